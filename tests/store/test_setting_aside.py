"""What a damaged directory holds is put aside whole, whatever falls meanwhile, and it begins anew as another peer."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from kernel.journal import Damage
from store import setting_aside
from store.files import DataDirectory, DirectoryInUse, MustJoin

FILE_SIZE = 1 << 20
TIME = "20260131T235959Z"


class Fallen(Exception):
    """The process died here."""


def damaged(path: Path) -> int:
    """A directory whose journal is damaged; its peer."""
    journal = DataDirectory(path).open_journal(FILE_SIZE)
    peer = journal.peer
    journal.close()
    DataDirectory(path).next_incarnation(7)
    (file,) = path.glob("journal-*1")
    content = bytearray(file.read_bytes())
    content[20] ^= 1
    file.write_bytes(content)
    with pytest.raises(Damage) as raised:
        DataDirectory(path).open_journal(FILE_SIZE)
    assert raised.value.loss
    return peer


def contents(folder: Path) -> dict[str, bytes]:
    kept = setting_aside.KEPT | {setting_aside.LOCK}
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file() and each.name not in kept}


def test_all_of_it_is_there_and_the_directory_is_another_peers(tmp_path: Path) -> None:
    peer = damaged(tmp_path)
    before = contents(tmp_path)
    (tmp_path / "lost+found").mkdir()
    directory = DataDirectory(tmp_path)
    assert directory.lost == ""
    directory.check_alone()
    folder = directory.set_aside(TIME)
    assert folder == tmp_path / f"damaged-{TIME}"
    assert contents(folder) == before
    assert not contents(tmp_path)
    assert directory.lost == folder.name
    with pytest.raises(MustJoin, match=r"cluster\.peers"):
        directory.check_alone()
    journal = directory.open_journal(FILE_SIZE)
    assert journal.created
    assert journal.peer != peer
    journal.close()
    assert directory.set_aside(TIME).name == f"damaged-{TIME}-2", "nothing is overwritten"
    assert contents(folder) == before
    assert (tmp_path / "lost+found").exists()


def test_a_directory_that_somebody_has_open_is_left_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path)
    journal = directory.open_journal(FILE_SIZE)
    before = contents(tmp_path)
    with pytest.raises(DirectoryInUse):
        directory.set_aside(TIME)
    assert contents(tmp_path) == before
    assert directory.lost == ""
    journal.close()


@pytest.mark.parametrize("steps", range(20))
def test_whatever_falls_meanwhile_a_part_of_it_never_opens(
    tmp_path: Path, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = damaged(tmp_path)
    before = contents(tmp_path)
    left = steps
    fsync, rename = os.fsync, Path.rename

    def fall_or(call: object) -> object:
        def stepped(*arguments: object) -> object:
            nonlocal left
            if left == 0:
                raise Fallen
            left -= 1
            return call(*arguments)  # type: ignore[operator]

        return stepped

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fall_or(fsync))
        patched.setattr(Path, "rename", fall_or(rename))
        with contextlib.suppress(Fallen):
            DataDirectory(tmp_path).set_aside(TIME)
    directory = DataDirectory(tmp_path)
    try:
        journal = directory.open_journal(FILE_SIZE)
    except Damage:
        # Nothing was moved yet.
        assert {name: data for name, data in contents(tmp_path).items() if name in before} == before
        return
    assert journal.created
    assert journal.peer != peer
    assert directory.lost.startswith("damaged-")
    journal.close()
    folder = tmp_path / directory.lost
    assert {name: data for name, data in contents(folder).items() if name in before} == before
