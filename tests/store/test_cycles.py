"""A node through many cycles of its store, on real files: nothing confirmed is lost, and the journal stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.cli.log_commands import dump_log, verify_log
from broker.model import commands as c
from broker.model.names import DeliveryTag
from kernel.journal import Damage
from tests.core.node import CHANNEL, Node, confirmed, consume, declare, delivered, publish

FILE_SIZE = 1 << 20
BODY = "x" * 1000
ROUNDS = 8
BATCH = 400
FLIPS = 60


def filled(directory: Path, rounds: int = ROUNDS) -> tuple[Node, list[str]]:
    """A node that published in batches, settled all but every tenth message, and cycled; the bodies that are left."""
    node = Node(directory, file_size=FILE_SIZE)
    session = node.session()
    node.ask(session, declare(), consume())
    left: list[str] = []
    tag = 0
    for number in range(rounds):
        bodies = [f"{number:03} {i:04} {BODY}" for i in range(BATCH)]
        replies = node.ask(session, publish(*bodies, tag=tag + 1))
        assert len(confirmed(replies)) == BATCH
        session.receive_drained()
        assert [body for body, _ in delivered(replies)] == bodies
        for i, body in enumerate(bodies):
            if i % 10 == 0:
                left.append(body)
            else:
                settle = DeliveryTag(tag + i + 1)
                session.submit([c.Settle(CHANNEL, settle, settle, c.Outcome.ACCEPTED)])
        tag += BATCH
        node.run()
        node.cycle()
    node.run()
    return node, left


def drained(node: Node) -> list[str]:
    session = node.session()
    got: list[str] = []
    replies = node.ask(session, consume(no_ack=True))
    while replies:
        got += [body for body, _ in delivered(replies) if body]
        session.receive_drained()
        node.run()
        replies = session.take_replies()
    return got


def test_what_is_left_survives_cycles_and_a_crash_in_order(tmp_path: Path) -> None:
    node, left = filled(tmp_path)
    for kernel in node.kernels:
        assert node.journal.replayed_hash(kernel.id, kernel.applied_index) == kernel.state_hash()
    node = node.crashed()
    assert drained(node) == left


def test_retired_files_leave_what_lives_and_little_more(tmp_path: Path) -> None:
    node, left = filled(tmp_path)
    journal, segments, _ = node.journal.sizes
    assert journal <= 3 * FILE_SIZE
    assert len(left) * len(BODY) <= segments + journal
    assert segments < 3 * len(left) * len(BODY)
    node = node.crashed()  # whoever held the messages is gone
    assert len(drained(node)) == len(left)
    node.run()
    node.cycle()
    node.cycle()
    assert node.journal.sizes[1] == 0  # nobody wants a segment any more


def test_the_log_commands_tell_a_good_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node, _ = filled(tmp_path, 3)
    node.journal.close()
    assert verify_log(tmp_path) == 0
    assert "good" in capsys.readouterr().out
    assert dump_log(tmp_path) == 0
    told = capsys.readouterr().out
    assert "journal file" in told
    assert "checkpoint" in told


def live_positions(path: Path) -> list[int]:
    """Bytes that are not zero: what was written, and none of what is only there to be written."""
    data = path.read_bytes()
    return [position for position, byte in enumerate(data) if byte]


@pytest.mark.slow
def test_a_flipped_bit_is_refused_with_its_file_and_a_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node, _ = filled(tmp_path, 4)
    node.journal.close()
    names = [path.name for path in sorted(tmp_path.iterdir()) if path.name.startswith(("journal-", "segment-"))]
    newest = max(path.name for path in tmp_path.iterdir() if path.name.startswith("manifest-"))
    for name in [*names, newest]:
        path = tmp_path / name
        good = path.read_bytes()
        positions = live_positions(path)
        for position in positions[:: max(1, len(positions) // FLIPS)]:
            path.write_bytes(good[:position] + bytes([good[position] ^ 0x10]) + good[position + 1 :])
            assert verify_log(tmp_path) == 1, f"{name} byte {position}"
            told = capsys.readouterr().out
            assert name in told
            assert "good" not in told.split("\n")[0]
        path.write_bytes(good)
    assert verify_log(tmp_path) == 0


def test_a_journal_that_is_damaged_below_its_end_does_not_start(tmp_path: Path) -> None:
    node, _ = filled(tmp_path, 1)
    node.journal.abandon()
    newest = max(path for path in tmp_path.iterdir() if path.name.startswith("journal-"))
    data = bytearray(newest.read_bytes())
    position = live_positions(newest)[len(live_positions(newest)) // 4]
    data[position] ^= 1
    newest.write_bytes(data)
    with pytest.raises(Damage, match=newest.name):
        Node(tmp_path, 2, FILE_SIZE)
    assert newest.read_bytes() == bytes(data)
