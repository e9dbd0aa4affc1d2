"""Small disks that can be filled, made read-only, and cut off from their power. Mounting takes the rights of root."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D
"""Source: Linux, fs/ext4/ext4.h: _IOR('X', 125, __u32)."""

EXT4_GOING_FLAGS_NOLOGFLUSH = 0x2
"""The journal is not written out first, as in a power cut. Source: Linux, fs/ext4/ext4.h."""

_UNMOUNT_S = 20.0


class CannotMountError(Exception):
    """This machine or this user may not mount file systems."""


def _run(*command: object) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotMountError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def _unmount(folder: Path) -> None:
    """The file system is not mounted any more, and its loop device is free; whoever still uses it is waited for."""
    deadline = time.monotonic() + _UNMOUNT_S
    while os.path.ismount(folder):
        done = subprocess.run(["umount", str(folder)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            continue
        if time.monotonic() > deadline:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            raise AssertionError(f"{folder} was still in use: {done.stderr}")
        time.sleep(0.02)


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Give a file system in memory of this size ("2m"), mounted on the folder.

    Raises:
        CannotMountError: not permitted.
    """
    folder.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "dts-faults", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The file system that is mounted on the folder takes no writes for a while."""
    _run("mount", "-o", "remount,ro", folder)
    try:
        yield
    finally:
        _run("mount", "-o", "remount,rw", folder)


class PowerDisk:
    """An ext4 file system in an image, whose power can be cut.

    Args:
        folder: for the image and the mount point.

    Attributes:
        root: where it is mounted.

    Raises:
        CannotMountError: not permitted, or there are no loop devices or no mkfs.ext4.
    """

    def __init__(self, folder: Path, size: str = "48M") -> None:
        self._image = folder / "disk.img"
        self.root = folder / "disk"
        self.root.mkdir()
        with self._image.open("wb") as image:
            image.truncate(int(size[:-1]) << 20)
        try:
            _run("mkfs.ext4", "-q", "-F", self._image)
        except FileNotFoundError as error:
            raise CannotMountError("there is no mkfs.ext4") from error
        self.mount()

    def mount(self) -> None:
        """It can be used; after a cut its journal is replayed. The kernel writes nothing of its own accord."""
        # a long commit interval leaves to the tested code what must be durable, instead of to the passing of time
        _run("mount", "-o", "loop,commit=300", self._image, self.root)

    def cut(self) -> None:
        """Nothing that is not on the disk by now will ever be; every write fails from now on."""
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", EXT4_GOING_FLAGS_NOLOGFLUSH))
        finally:
            os.close(folder)

    def unmount(self) -> None:
        """Not mounted, and its loop device is free. Idempotent."""
        _unmount(self.root)


@contextlib.contextmanager
def power_disk(folder: Path) -> Iterator[PowerDisk]:
    """Give a disk whose power can be cut; it is unmounted afterwards, whatever happens.

    Raises:
        CannotMountError: see ``PowerDisk``.
    """
    disk = PowerDisk(folder)
    try:
        yield disk
    finally:
        disk.unmount()
