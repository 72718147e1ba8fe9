"""What earlier versions said is still said and understood, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.cluster.frame_kinds import KINDS, Channel, Kind
from broker.cluster.hello import VERSION_MAX, VERSION_MIN
from tests.cluster.handshakes import acceptor, converse, dialer, frames_of, taken, terms
from tests.cluster.make_golden import GOLDEN, READY, golden_lines, golden_terms

FILES = sorted(GOLDEN.glob("version-*.txt"))


def lines_of(path: Path) -> list[tuple[str, bytes]]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return [(what, bytes.fromhex(data)) for what, data in pairs]


def test_every_version_that_is_spoken_has_its_file() -> None:
    assert [path.name for path in FILES] == [f"version-{n}.txt" for n in range(VERSION_MIN, VERSION_MAX + 1)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_golden_conversation_is_held_again(path: Path) -> None:
    """Each end is played against what the other once said, and says the same as then."""
    version = int(path.stem.partition("-")[2])
    ours, theirs = golden_terms(version)
    for link, own in ((dialer(ours), "dialer"), (acceptor(theirs), "acceptor")):
        for what, data in lines_of(path)[:4]:
            if what == own:
                assert taken(link) == data
            else:
                link.receive_data(data, 0.0)
        assert link.ready
        assert link.info is not None
        assert link.info.version == version
        assert link.info.features == ("moves",)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_frames_are_understood(path: Path) -> None:
    golden = {what: data for what, data in lines_of(path)[4:] if what != "REJECT"}
    for name, data in golden.items():
        kind = Kind[name]
        channel = KINDS[kind].channel
        assert isinstance(channel, Channel)
        one, other = dialer(terms("a"), channel), acceptor(terms("b"))
        converse(one, other)
        assert other.receive_data(data, 0.0) == [READY[kind]]
    (rejection,) = (frames_of(data) for what, data in lines_of(path) if what == "REJECT")
    assert [frame.head[0] for frame in rejection] == ["wrong-secret"]


def test_the_newest_says_what_its_file_says() -> None:
    """If this fails after a change, the change needs a new version, or the file was never released."""
    assert FILES[-1].read_text().splitlines() == golden_lines(VERSION_MAX)
    assert set(READY) == {kind for kind, rule in KINDS.items() if rule.channel is not None}
