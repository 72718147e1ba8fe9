"""``dragoman log dump`` and ``log verify``.  The exit code is 1 for damage and 2 for a directory that can't be read."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kernel.journal import Damage, LogReader
from store import dump, verify
from store.files import DirectoryInUse, open_reader

DAMAGED = 1
UNREADABLE = 2
PROGRESS_INTERVAL_S = 1.0


def dump_log(directory: Path) -> int:
    """Prints what the log holds."""

    def lines(reader: LogReader) -> None:
        for line in dump.dump(reader):
            print(line)
        # Only now is it known whether what was told is all there should be.
        reader.verify()

    return _read(directory, lines)


def verify_log(directory: Path) -> int:
    """Reads all of it, telling how far it is, and prints what there is."""

    def lines(reader: LogReader) -> None:
        done = threading.Event()
        total = sum(size for _, size in reader.files())
        teller = threading.Thread(target=_tell, args=(reader, total, done), daemon=True)
        teller.start()
        try:
            counts = reader.verify()
        finally:
            done.set()
            teller.join()
        print("\n".join(verify.good(counts)))

    return _read(directory, lines)


def _tell(reader: LogReader, total: int, done: threading.Event) -> None:
    while not done.wait(PROGRESS_INTERVAL_S):
        name, size = reader.verified
        print(f"{dump.size_text(size)} of {dump.size_text(total)}, {name} ...", file=sys.stderr)


def _read(directory: Path, lines: Callable[[LogReader], None]) -> int:
    try:
        reader = open_reader(directory)
        try:
            lines(reader)
        finally:
            reader.close()
    except Damage as damage:
        print("\n".join(verify.damaged(damage.file, damage.position, damage.what, damage.remedy)))
        return DAMAGED
    except (DirectoryInUse, OSError) as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    return 0
