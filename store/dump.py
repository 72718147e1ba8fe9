"""``dragoman log dump``: a data directory in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from store.log_source import Entry, LogSource, RawManifest, RawWrite

WAVE_KIND = 0


def dump(source: LogSource) -> Iterator[str]:
    """All of it, newest checkpoint first, then segments, then the journal write by write.

    Raises what the source does; everything before the damage has been told by then.
    """
    yield f"store {source.store.hex()}, peer {source.peer}"
    yield ""
    yield from _files(source)
    manifest = source.manifest()
    yield ""
    yield from _checkpoint(manifest)
    for number, size, _ in manifest[3] if manifest else ():
        yield from _segment(source, number, size)
    for number in source.journal_files():
        yield ""
        yield from _journal_file(source, number, manifest)


def size_text(size: int) -> str:
    """``1536`` is 1.5 KiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} B"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """``3 waves``; ``1 wave``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _files(source: LogSource) -> Iterator[str]:
    def stem(named: tuple[str, int]) -> str:
        return named[0].partition("-")[0]

    for name, files in groupby(source.files(), stem):
        sizes = [size for _, size in files]
        yield f"{name:<10} {count_text(len(sizes), 'file'):>10} {size_text(sum(sizes)):>12}"


def _checkpoint(manifest: RawManifest | None) -> Iterator[str]:
    if manifest is None:
        yield "no checkpoint yet"
        return
    number, (first_file, first_write, through), groups, _, blocks = manifest
    size = sum(size for _, size, _ in blocks)
    count = sum(count for _, _, count in blocks)
    yield f"checkpoint {number}: {count_text(count, 'block')} in {count_text(len(blocks), 'file')}, {size_text(size)}"
    yield f"  goes on with journal file {first_file} at write {first_write}; the journal was at write {through}"
    for group, index, term, queues, messages, rows, senders in groups:
        parts = [count_text(queues, "queue"), count_text(messages, "message")]
        parts += [count_text(rows, "row"), count_text(senders, "sender")]
        yield f"  shard {group} through entry {index} (term {term}): {', '.join(parts)}"


def _segment(source: LogSource, number: int, size: int) -> Iterator[str]:
    runs = source.segment_runs(number)
    yield ""
    records = sum(run[4] for run in runs)
    yield f"segment {number}: {size_text(size)}, {count_text(len(runs), 'run')}, {count_text(records, 'record')}"
    for group, queue, run_size, pieces, run_records, first, last, guests in runs:
        line = f"  shard {group} queue {queue}: entries {first} to {last}, {count_text(run_records, 'record')} in "
        line += f"{count_text(pieces, 'piece')}, {size_text(run_size)}"
        if guests:
            line += f"; also for {count_text(len(guests), 'queue')}: {' '.join(map(str, guests))}"
        yield line


def _journal_file(source: LogSource, number: int, manifest: RawManifest | None) -> Iterator[str]:
    writes, end, bad = source.journal_writes(number)
    retired = manifest is not None and number < manifest[1][0]
    note = " (retired)" if retired else ""
    yield f"journal file {number}{note}: {count_text(len(writes), 'write')} up to byte {end}"
    for write in writes:
        yield from _write(source, number, write)
    if bad:
        yield f"  {end}: {bad}"


def _write(source: LogSource, number: int, write: RawWrite) -> Iterator[str]:
    position, write_number, synced_through, size, records = write
    yield f"  {position}: write {write_number}, {size_text(size)}, all through {synced_through} synced before"
    for group, hard_state, entries in records:
        for entry in map(Entry._make, entries):
            yield f"    shard {group} entry {entry.raft_index} (term {entry.term}): {_entry(source, number, entry)}"
        if hard_state is not None:
            term, vote, commit = hard_state
            yield f"    shard {group} term {term}, vote {vote}, commit {commit}"


def _entry(source: LogSource, number: int, entry: Entry) -> str:
    size = size_text(entry.size)
    if entry.kind != WAVE_KIND:
        return f"change of members, {size}"
    if entry.size == 0:
        return "begin of a term"
    data = source.read(f"journal-{number:016x}", entry.position, entry.size)
    try:
        wave = source.describe_wave(data)
    except ValueError as error:
        return f"no wave ({error}), {size}"
    _, frames, routes, routed, settled, returned, marks, commands, created, dropped = wave
    parts = [f"wave of {size}"]
    if frames:
        parts.append(f"{count_text(frames, 'frame')}, {count_text(routed, 'message')} on {count_text(routes, 'route')}")
    parts += [f"{count_text(settled, 'range')} settled"] if settled else []
    parts += [f"{count_text(returned, 'range')} returned"] if returned else []
    parts += [count_text(marks, "mark")] if marks else []
    parts += [count_text(commands, "command")] if commands else []
    parts += [f"{count_text(created, 'queue')} created"] if created else []
    parts += [f"{count_text(dropped, 'queue')} dropped"] if dropped else []
    return ", ".join(parts)
