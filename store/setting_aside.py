"""A damaged directory's content is put aside, whole, and the directory begins anew as another peer's.

Nothing is deleted: files are renamed into ``damaged-<UTC time>/`` in the directory itself, which may be where a disk is
mounted.  Law, whatever falls in between: the directory never opens with a part of what it held.  So the identity goes
first, journal files last, and a mark says where everything was going until all of it is there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "lock"
"""The kernel's file (real_disk.rs)."""
RESERVE = "reserve"
"""Holds nothing but room (space.rs), which whoever begins anew needs."""
IDENTITY = "identity"
JOURNAL = "journal-"
GOING = "setting-aside"
"""Names the folder, until everything is there."""
MUST_JOIN = "must-join"
"""Names the folder, for good: who lost what it held may not found a cluster, which would be one without it."""
KEPT = frozenset({LOCK, RESERVE, GOING, MUST_JOIN})


class Busy(Exception):
    """Somebody has the directory open."""


def set_aside(path: Path, time: str) -> Path:
    """Where everything is now.  ``time``: UTC, as ``20260131T235959Z``.  Raises Busy or OSError."""
    with _locked(path):
        folder = _new_folder(path, f"damaged-{time}")
        _write(path, MUST_JOIN, folder.name)
        _write(path, GOING, folder.name)
        _move(path, folder)
        return folder


def go_on_setting_aside(path: Path) -> None:
    """Ends what a crash interrupted, if it did.  Raises Busy or OSError."""
    if not (path / GOING).exists():
        return
    with _locked(path):
        folder = path / (path / GOING).read_text().strip()
        folder.mkdir(exist_ok=True)
        _move(path, folder)


def lost(path: Path) -> str:
    """The folder with what the directory held before, if that was put aside; else empty."""
    mark = path / MUST_JOIN
    return mark.read_text().strip() if mark.exists() else ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{path} is in use") from None
        yield
    finally:
        os.close(file)


def _new_folder(path: Path, name: str) -> Path:
    number, folder = 1, path / name
    while folder.exists():
        number += 1
        folder = path / f"{name}-{number}"
    folder.mkdir()
    return folder


def _move(path: Path, folder: Path) -> None:
    _sync(path)
    for name in _in_order(path):
        target = folder / name
        assert not target.exists(), f"{target} is there already"
        (path / name).rename(target)
        if name == IDENTITY:
            _sync(folder)
            _sync(path)
    _sync(folder)
    _sync(path)
    (path / GOING).unlink()
    _sync(path)


def _in_order(path: Path) -> list[str]:
    """Files of ours; folders are somebody else's, or were put aside before."""
    names = [each.name for each in path.iterdir() if each.name not in KEPT and each.is_file()]
    return sorted(names, key=lambda name: (name != IDENTITY, name.startswith(JOURNAL), name))


def _write(path: Path, name: str, text: str) -> None:
    new = path / f"{name}.new"
    with new.open("w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path / name)
    _sync(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
