"""What is promised of files that have been reported, and making many durable at once where the file system can."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from enum import StrEnum
from typing import Self

_LIBC = ctypes.CDLL(None, use_errno=True)

_LOCAL_DISK_MAGICS = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994})
"""ext2 to ext4, xfs, btrfs, f2fs and tmpfs.

Others, FUSE above all, may take ``syncfs`` without passing it on to whoever has the disk. Source: Linux, statfs(2).
"""

_STATFS_BYTES = 256  # more than any struct statfs has


class Durability(StrEnum):
    """What holds after a power cut. After the death of a process, however sudden, each promises the same.

    ``BATCH`` and ``FILE`` lose nothing that was reported, and never show a file that is not complete: it has its name
    only once its content is on the medium.

    Attributes:
        FILE: each file is synced for itself, appears for itself, and its folder is synced after it: a power cut undoes
            no more than the files under way, one for each worker.
        BATCH: the files of a batch (one large file, or up to 512 small ones) are synced together, where the file system
            can do that, and appear together: a power cut undoes no more than the batches under way.
        NONE: nothing is synced. After a power cut, files that were reported may be missing, empty or in part.
    """

    FILE = "file"
    BATCH = "batch"
    NONE = "none"

    @classmethod
    def of(cls, value: bool | str) -> Self:
        """Give what a setting says: a name, or True for ``BATCH`` and False for ``NONE``.

        Raises:
            ValueError: it says anything else.
        """
        if isinstance(value, bool):
            return cls("batch" if value else "none")
        return cls(value)


def _syncfs_reports_errors() -> bool:
    """True from Linux 5.8 on; earlier ones lose write errors. Source: Linux, syncfs(2)."""
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    return platform.system() == "Linux" and release is not None and tuple(map(int, release.groups())) >= (5, 8)


_SYNCFS_WORKS = _syncfs_reports_errors() and hasattr(_LIBC, "syncfs")


def syncs_at_once(folder: int) -> bool:
    """True where ``sync_file_system`` makes everything on the folder's file system durable."""
    if not _SYNCFS_WORKS:
        return False
    answer = ctypes.create_string_buffer(_STATFS_BYTES)
    if _LIBC.fstatfs(folder, answer) != 0:
        return False
    return ctypes.c_long.from_buffer(answer).value in _LOCAL_DISK_MAGICS


def sync_file_system(folder: int) -> None:
    """Make all that was written to the folder's file system before this call durable, contents and names.

    Raises:
        OSError: something could not be written since the folder was opened.
    """
    if _LIBC.syncfs(folder) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
