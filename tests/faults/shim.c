/* Faults for one process: counts its writing calls on files below a folder, and at the k-th one does as it was told.
 *
 * Preload it (LD_PRELOAD), and call dts_arm; nothing happens before that. SQLite and Python reach the C library through
 * the functions below, so that what runs above them is the real thing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* To be killed after a call is to be killed before the next one. */
enum kind { COUNT, KILL, TEAR, FAIL_ONCE, FAIL_ON };

static char folder[PATH_MAX];
static size_t folder_length;
static int kind, error_number;
static long target, seen;
static char letters[1 << 16];  /* of each call: w for a write, s for a sync, t for a truncate, n for a name */

/* Calls below the folder are counted from now on; the k-th one, from 1, has the fault, with FAIL_ON those after it too. */
void dts_arm(const char *below, int what, long k, int number) {
    folder_length = strlen(below);
    memcpy(folder, below, folder_length + 1);
    kind = what;
    target = k;
    error_number = number;
    seen = 0;
}

void dts_disarm(void) { kind = COUNT; }

const char *dts_letters(void) { return letters; }

static int is_below(const char *path) {
    return folder_length > 0 && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == 0);
}

static int is_watched(int fd) {
    char link[32], path[PATH_MAX];
    if (folder_length == 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

/* Count a call, and give 0 or the error that it fails with. */
static int before(char letter) {
    int saved = errno;
    long number = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (number < (long)sizeof letters) letters[number - 1] = letter;
    if (kind == KILL && number == target) die();
    if (kind == FAIL_ONCE && number == target) return error_number;
    /* a full disk takes syncs and truncations, a broken one takes nothing */
    if (kind == FAIL_ON && number >= target && (letter == 'w' || error_number != ENOSPC)) return error_number;
    errno = saved;
    return 0;
}

static void after(void) {
    if (kind == TEAR && seen == target) die();
}

static size_t torn(size_t size) { return kind == TEAR && seen == target ? size / 2 : size; }

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define AROUND(name, watched, letter, call)            \
    static __typeof__(&name) next;                     \
    if (next == NULL) next = NEXT(name);               \
    int is = (watched);                                \
    if (is && (errno = before(letter)) != 0) return -1; \
    __typeof__(call) result = call;                    \
    if (is) after();                                   \
    return result;

ssize_t write(int fd, const void *data, size_t size) {
    AROUND(write, is_watched(fd), 'w', next(fd, data, is ? torn(size) : size))
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    AROUND(pwrite, is_watched(fd), 'w', next(fd, data, is ? torn(size) : size, offset))
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    AROUND(pwrite64, is_watched(fd), 'w', next(fd, data, is ? torn(size) : size, offset))
}
int fsync(int fd) { AROUND(fsync, is_watched(fd), 's', next(fd)) }
int fdatasync(int fd) { AROUND(fdatasync, is_watched(fd), 's', next(fd)) }
int ftruncate(int fd, off_t size) { AROUND(ftruncate, is_watched(fd), 't', next(fd, size)) }
int ftruncate64(int fd, off64_t size) { AROUND(ftruncate64, is_watched(fd), 't', next(fd, size)) }
int unlink(const char *path) { AROUND(unlink, is_below(path), 'n', next(path)) }
int rename(const char *from, const char *to) { AROUND(rename, is_below(to), 'n', next(from, to)) }
