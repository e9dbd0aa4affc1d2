"""``dts-fsm transfer`` as people use it: whole folders, interruptions, failures and hostile names."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dts_fsm.databases.scan import update_catalog
from tests.acceptance.conftest import Command, until

LARGE_BYTES = 160 << 20
"""Enough that a process can be caught while it moves the file."""


def tree(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Give checksum, permission bits and time of modification of each regular file below a folder, by its path."""
    found = {}
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            status = file.stat()
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            found[file.relative_to(folder).as_posix()] = (digest, status.st_mode & 0o777, status.st_mtime_ns)
    return found


def payload(destination: Path) -> Path:
    """The one payload of a destination."""
    (folder,) = destination.glob("dts-*")
    return folder


def without_manifest(folder: Path) -> dict[str, tuple[str, int, int]]:
    return {path: facts for path, facts in tree(folder).items() if path != "manifest.json"}


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def large(folder: Path) -> Path:
    folder.mkdir()
    with (folder / "large.bin").open("wb") as file:
        file.write(os.urandom(1 << 20))
        file.truncate(LARGE_BYTES)
    (folder / "small.txt").write_text("small")
    return folder


def catch(destination: Path) -> None:
    """Wait until a file is on its way."""
    until(lambda: any(part.stat().st_size > 0 for part in destination.rglob(".dts-*.part") if part.exists()), "a part")


class TestSuccess:
    def test_a_folder_arrives_byte_for_byte_with_modes_times_and_a_manifest(
        self, command: Command, genomes: Path, tmp_path: Path
    ) -> None:
        source, destination = tmp_path / "genomes", tmp_path / "archive"
        shutil.copytree(genomes, source)
        (source / "README.md").chmod(0o640)
        os.utime(source / "README.md", ns=(1, 981173106123456789))
        before = tree(source)
        done = command.run("transfer", source, destination, "--description", "# genomes")
        assert (done.returncode, done.stderr) == (0, "")
        assert without_manifest(payload(destination)) == before == tree(source)
        assert done.stdout.splitlines()[0].startswith("succeeded: 9 files, 495.4 kB in ")
        assert done.stdout.splitlines()[1] == str(payload(destination))
        told = manifest(payload(destination))
        assert {item["path"]: item["hash"] for item in told["resources"]} == {
            path: f"sha256:{digest}" for path, (digest, _, _) in before.items()
        }
        assert (told["description"], told["username"], told["instructions"]) == ("# genomes", "", None)
        assert told["contributors"][0]["id"] == payload(destination).name.removeprefix("dts-")

    def test_the_same_transfer_again_makes_a_payload_of_its_own(
        self, command: Command, genomes: Path, tmp_path: Path
    ) -> None:
        first = command.json("transfer", genomes, tmp_path / "archive", "--no-durable")
        second = command.json("transfer", genomes, tmp_path / "archive", "--no-durable")
        assert (first["code"], second["code"], first["id"] == second["id"]) == ("succeeded", "succeeded", False)
        assert tree(Path(first["folder"])).keys() == tree(Path(second["folder"])).keys()
        assert len(command.states()) == 1
        assert len(command.json("journal", "--data-dir", second["state_dir"])) == 2

    def test_one_file_arrives_alone(self, command: Command, genomes: Path, tmp_path: Path) -> None:
        told = command.json("transfer", genomes / "plasmid" / "NC_005816.gb", tmp_path / "archive")
        assert without_manifest(Path(told["folder"])).keys() == {"NC_005816.gb"}
        assert (told["num_files"], told["num_bytes"]) == (1, 31838)

    def test_a_catalog_of_the_source_says_what_is_moved(self, command: Command, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        for name in ("a.txt", "b.txt"):
            (source / name).write_text(name)
        command.ok("catalog", source, "--exclude", "b.txt")
        told = command.json("transfer", source, tmp_path / "archive")
        assert without_manifest(Path(told["folder"])).keys() == {"a.txt"}

    def test_the_standard_library_arrives_whole(self, command: Command, tmp_path: Path) -> None:
        source, destination = tmp_path / "lib", tmp_path / "archive"
        left_out = shutil.ignore_patterns("__pycache__", "site-packages", "dist-packages", "config-3*")
        shutil.copytree(sysconfig.get_path("stdlib"), source, ignore=left_out)
        before = {path: facts for path, facts in tree(source).items() if not (source / path).is_symlink()}
        assert len(before) > 1000
        told = command.json("transfer", source, destination)
        assert (told["code"], told["num_files"]) == ("succeeded", len(before))
        assert without_manifest(payload(destination)) == before

    def test_quiet_says_nothing(self, command: Command, genomes: Path, tmp_path: Path) -> None:
        done = command.run("transfer", "--quiet", genomes, tmp_path / "archive")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_a_state_folder_inside_the_source_is_not_moved(self, command: Command, tmp_path: Path) -> None:
        (command.home / "paper.txt").write_text("paper")
        told = command.json("transfer", command.home, tmp_path / "archive")
        assert without_manifest(Path(told["folder"])).keys() == {"paper.txt"}

    def test_a_terminal_gets_progress_bars(self, command: Command, genomes: Path, tmp_path: Path) -> None:
        reader, writer = pty.openpty()
        env = command.env | {"TERM": "xterm-256color", "COLUMNS": "100"}
        process = command.start("transfer", genomes, tmp_path / "archive", stderr=writer, env=env)
        os.close(writer)
        shown = b""
        while select.select([reader], [], [], 30)[0]:
            try:
                chunk = os.read(reader, 65536)
            except OSError:  # Linux says so when the other side of a terminal has been closed
                break
            if not chunk:
                break
            shown += chunk
        os.close(reader)
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert [text for text in (b"catalog", b"succeeded", b"9/9 files", b"495.4/495.4 kB") if text not in shown] == []


def freeze(process: subprocess.Popen[str], home: Path) -> None:
    """The process stands still, and not within a transaction: that would hold up everybody else."""
    (store,) = home.rglob("dts.db")
    for _ in range(1000):
        process.send_signal(signal.SIGSTOP)
        with closing(sqlite3.connect(store, timeout=0.05, isolation_level=None)) as db:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
            else:
                db.execute("ROLLBACK")
                return
        threading.Event().wait(0.003)
    raise TimeoutError("it is always within a transaction")


class TestInterruption:
    def test_an_interrupted_transfer_goes_on_with_the_same_command(self, command: Command, tmp_path: Path) -> None:
        source, destination = large(tmp_path / "source"), tmp_path / "archive"
        process = command.start("transfer", source, destination, "--no-durable")
        catch(destination)
        process.send_signal(signal.SIGSTOP)  # so that it cannot end before the signal reaches it
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (130, "")
        assert "give the same command again" in err
        self.goes_on(command, source, destination)

    def test_a_killed_transfer_goes_on_with_the_same_command(self, command: Command, tmp_path: Path) -> None:
        source, destination = large(tmp_path / "source"), tmp_path / "archive"
        process = command.start("transfer", source, destination, "--no-durable")
        catch(destination)
        process.kill()
        process.wait(30)
        self.goes_on(command, source, destination)

    def goes_on(self, command: Command, source: Path, destination: Path) -> None:
        begun = payload(destination).name.removeprefix("dts-")
        assert not (payload(destination) / "manifest.json").exists()
        done = command.run("transfer", source, destination, "--no-durable")
        assert done.returncode == 0
        assert f"going on with the interrupted transfer {begun}" in done.stderr
        assert without_manifest(payload(destination)) == tree(source)

    def test_a_signal_while_the_catalog_is_made_leaves_nothing_behind(self, command: Command, tmp_path: Path) -> None:
        source, destination = large(tmp_path / "source"), tmp_path / "archive"
        process = command.start("transfer", source, destination)
        until(lambda: list(command.home.rglob("dts.db.lock")), "the store is open")
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Traceback" not in err
        assert not list(destination.rglob("*"))

    def test_a_second_command_watches_the_first(self, command: Command, tmp_path: Path) -> None:
        source, destination = large(tmp_path / "source"), tmp_path / "archive"
        first = command.start("transfer", source, destination, "--no-durable")
        catch(destination)
        freeze(first, command.home)
        second = command.start("transfer", source, destination, "--no-durable")
        assert second.stderr is not None
        assert "another process moves the same files" in second.stderr.readline()
        first.send_signal(signal.SIGCONT)
        outs = [process.communicate(timeout=30)[0].splitlines()[-1:] for process in (first, second)]
        assert (first.returncode, second.returncode) == (0, 0)
        assert outs == [[str(payload(destination))]] * 2


class TestFailure:
    def failed(self, command: Command, source: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
        done = command.run("transfer", source, tmp_path / "archive")
        assert done.returncode == 1
        assert done.stdout == ""
        assert not list((tmp_path / "archive").rglob("manifest.json"))
        return done

    def edited(self, source: Path, path: str, changes: Mapping[str, Any]) -> None:
        file = source / "datapackage.json"
        package = json.loads(file.read_text())
        for resource in package["resources"]:
            if resource["path"] == path:
                resource.update(changes)
        file.write_text(json.dumps(package))

    @pytest.fixture
    def source(self, genomes: Path, tmp_path: Path) -> Path:
        source = tmp_path / "genomes"
        shutil.copytree(genomes, source)
        update_catalog(source)
        return source

    def test_a_wrong_checksum_fails_that_file_and_the_transfer(
        self, command: Command, source: Path, tmp_path: Path
    ) -> None:
        self.edited(source, "plasmid/NC_005816.gb", {"hash": "sha256:" + "0" * 64})
        done = self.failed(command, source, tmp_path)
        assert "failed (checksum mismatch): 8 of 9 files arrived" in done.stderr
        assert re.search(r"plasmid/NC_005816\.gb .*checksum mismatch", done.stderr)
        assert not (payload(tmp_path / "archive") / "plasmid" / "NC_005816.gb").exists()

    def test_a_file_that_is_listed_and_missing_fails_the_transfer(
        self, command: Command, source: Path, tmp_path: Path
    ) -> None:
        (source / "README.md").unlink()
        done = self.failed(command, source, tmp_path)
        assert "README.md" in done.stderr

    def test_a_file_that_was_changed_behind_its_time_of_modification_fails_once_only(
        self, command: Command, tmp_path: Path
    ) -> None:
        source, times = tmp_path / "changing", (1_000_000_000, 1_000_000_000)
        source.mkdir()
        codes = []
        for content in ("before", "behind", "behind"):
            (source / "file").write_text(content)
            os.utime(source / "file", times)
            codes.append(command.run("transfer", source, tmp_path / "archive").returncode)
        assert codes == [0, 1, 0]

    def test_a_damaged_catalog_is_one_clear_line(self, command: Command, source: Path, tmp_path: Path) -> None:
        (source / "datapackage.json").write_text("{")
        done = self.failed(command, source, tmp_path)
        assert done.stderr.startswith(f"Error: {source}/datapackage.json: it cannot be used as a catalog")
        assert len(done.stderr.splitlines()) == 1

    def test_a_destination_inside_of_the_source_is_refused(self, command: Command, source: Path) -> None:
        for destination in (source, source / "archive"):
            done = command.run("transfer", source, destination)
            assert (done.returncode, "is inside of the source" in done.stderr) == (1, True)
        assert not (source / "archive").exists()

    def test_an_empty_source_is_refused(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        done = self.failed(command, tmp_path / "empty", tmp_path)
        assert done.stderr == f"Error: {tmp_path / 'empty'} has no files to transfer\n"

    def test_a_transfer_that_fails_before_it_begins_makes_no_destination(
        self, command: Command, tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        self.failed(command, tmp_path / "empty", tmp_path)
        assert not (tmp_path / "archive").exists()

    def test_an_output_that_cannot_be_written_is_told_apart_from_the_transfer(
        self, command: Command, source: Path, tmp_path: Path
    ) -> None:
        with open("/dev/full", "w") as full:
            moved = command.run("transfer", source, tmp_path / "archive", stdout=full)
            helped = command.run("--help", stdout=full)
        lost = "Error: standard output could not be written: No space left on device"
        assert (moved.returncode, helped.returncode, helped.stderr) == (1, 1, f"{lost}\n")
        assert moved.stderr == f"{lost}; the transfer itself succeeded: {payload(tmp_path / 'archive')}\n"

    def test_a_current_folder_that_was_removed_is_named_as_the_cause(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "gone").mkdir()
        move = f"cd gone && rmdir ../gone && exec {sys.executable} -m dts_fsm.cli transfer .. x"
        done = subprocess.run(
            ["sh", "-c", move], cwd=tmp_path, env=command.env, capture_output=True, text=True, timeout=30, check=False
        )
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            1,
            "Error: the current folder no longer exists: go to another one",
        )

    def test_a_missing_source_is_wrong_usage(self, command: Command, tmp_path: Path) -> None:
        assert command.run("transfer", tmp_path / "nothing", tmp_path / "archive").returncode == 2

    def test_what_cannot_be_stored_is_no_traceback(self, command: Command, source: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = command.run("transfer", source, tmp_path / "file" / "archive")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("Error: ")


class TestHostileNames:
    def test_files_that_are_missed_are_named_even_quietly_and_have_an_exit_status(
        self, command: Command, tmp_path: Path
    ) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "good").write_text("good")
        (source / "link").symlink_to("good")
        (source / "empty").mkdir()
        quiet = command.run("transfer", "-q", source, tmp_path / "archive")
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
        (source / os.fsdecode(b"latin-\xe9")).write_text("")
        told = command.run("transfer", "-q", source, tmp_path / "archive")
        assert (told.returncode, told.stdout, "link" in told.stderr) == (4, "", False)
        assert "\nlatin-\\udce9  the path " in told.stderr
        assert told.stderr.endswith("incomplete: 1 of the files and folders had to be left out, see above\n")
        assert "1 empty folder\n" in command.run("transfer", source, tmp_path / "archive").stderr

    def test_what_was_left_out_is_still_told_when_the_transfer_goes_on(self, command: Command, tmp_path: Path) -> None:
        source, destination = large(tmp_path / "source"), tmp_path / "archive"
        (source / os.fsdecode(b"latin-\xe9")).write_text("")
        process = command.start("transfer", source, destination, "--no-durable")
        catch(destination)
        process.kill()
        process.wait(30)
        done = command.run("transfer", "-q", source, destination, "--no-durable")
        assert (done.returncode, "\nlatin-\\udce9  the path " in done.stderr) == (4, True)

    def test_strange_names_arrive_and_impossible_ones_are_listed(self, command: Command, tmp_path: Path) -> None:
        source, destination = tmp_path / "source", tmp_path / "archive"
        source.mkdir()
        good = [
            "[bold red]markup[/]",
            "--version",
            "-rf",
            "a b  c",
            "'\"`$(reboot)`",
            "back\\slash",
            "per%cent?*",
            "x" * 200,
            "ünï\u0308cødé-\N{SNOWMAN}",
            "\u202etxt.exe",
            "#;:,=@ ~",
            ".hidden",
            "users.csv",
            "sub/manifest.json",
            "sub/datapackage.json",
        ]
        for name in good:
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_text(name)
        (source / "\x1b[2Jclear").write_text("")
        (source / "line\nbreak").write_text("")
        (source / os.fsdecode(b"latin-\xe9")).write_text("")
        (source / "link").symlink_to("/etc/passwd")
        os.mkfifo(source / "fifo")
        done = command.run("transfer", source, destination)
        assert done.returncode == 4
        assert without_manifest(payload(destination)).keys() == set(good)
        assert "\x1b" not in done.stderr + done.stdout
        for name in ("\\x1b[2Jclear", "line\\nbreak", "latin-\\udce9", "link", "fifo"):
            assert f"\n{name} " in done.stderr
        state = command.states()[0]
        (listed,) = command.json("list", "--data-dir", state)
        for form in ([], ["--json"]):
            told = command.ok("files", listed["id"], "--data-dir", state, *form)
            assert "[bold red]markup[/]" in told
            assert "\x1b" not in told
        assert "\\u202etxt.exe" in command.ok("files", listed["id"], "--data-dir", state)
