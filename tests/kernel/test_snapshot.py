"""A replica joins by a leader's snapshot: exported, carried over in pieces, imported, stepped."""

from __future__ import annotations

import pytest

from kernel import Shard
from kernel.journal import Journal, SnapshotRefused
from tests.kernel.carrier import JOINING, carried, chunks, joining
from tests.kernel.replicas import FILE_SIZE, SHARD, Member, stepped


def wanted() -> list[str]:
    settled = {*range(10), *range(20, 25)}
    return [f"message {number}" for number in range(50) if number not in settled] + ["last"]


def test_a_newcomer_comes_to_the_state_of_the_others_and_can_lead() -> None:
    cluster, leader, message = joining()
    newcomer = cluster.members[JOINING]
    imported = carried(cluster, message)
    assert not stepped(newcomer.shard, message), "only with its import"
    with pytest.raises(ValueError, match="not finished"):
        newcomer.shard.step_snapshot(message, imported)
    imported.finish()
    assert imported.finished
    assert newcomer.shard.step_snapshot(message, imported)
    leader.shard.report_snapshot(JOINING, True)
    cluster.tick(20)
    assert newcomer.shard.state_hash() == leader.shard.state_hash()
    assert not newcomer.shard.step_snapshot(message, imported), "of no use twice"
    assert leader.shard.propose_conf([("voter", JOINING)])
    cluster.tick(4)
    assert leader.shard.transfer_leader(JOINING)
    cluster.tick(4)
    assert cluster.leader() is newcomer
    assert newcomer.bodies() == wanted()


@pytest.mark.parametrize("stepped", [False, True])
def test_a_newcomer_that_falls_starts_with_what_it_imported(stepped: bool) -> None:
    cluster, leader, message = joining()
    newcomer = cluster.members[JOINING]
    imported = carried(cluster, message)
    imported.finish()
    if stepped:
        assert newcomer.shard.step_snapshot(message, imported)
        newcomer.sync()
    newcomer = cluster.members[JOINING] = newcomer.crashed(5)
    assert imported.position is not None
    assert newcomer.shard.applied_index == imported.position[0]
    assert newcomer.shard.conf() == leader.shard.conf()
    leader.shard.report_snapshot(JOINING, False)
    # The leader tries again, and is told that it is there already.
    again = Shard.snapshot_in(cluster.take_snapshot())
    assert again is not None
    assert again[1] <= newcomer.shard.applied_index
    leader.shard.report_snapshot(JOINING, True)
    cluster.tick(20)
    leader.publish("later")
    cluster.settled(leader)
    assert newcomer.shard.state_hash() == leader.shard.state_hash()
    newcomer = cluster.members[JOINING] = newcomer.crashed(6)
    cluster.tick(4)
    assert newcomer.shard.state_hash() == leader.shard.state_hash()


def test_cycles_and_an_import_do_not_hinder_each_other() -> None:
    cluster, leader, message = joining()
    newcomer = cluster.members[JOINING]
    imported = carried(cluster, message)
    assert newcomer.journal.begin_cycle([newcomer.shard], force=True)
    newcomer.journal.step()
    imported.finish()
    assert not newcomer.journal.begin_cycle([newcomer.shard], force=True), "the shard is not there yet"
    assert newcomer.shard.step_snapshot(message, imported)
    newcomer.sync()
    assert newcomer.journal.begin_cycle([newcomer.shard], force=True)
    while newcomer.journal.step():
        pass
    assert newcomer.journal.receive_cycle([newcomer.shard]) is not None
    newcomer = cluster.members[JOINING] = newcomer.crashed(9)
    cluster.tick(20)
    assert newcomer.shard.state_hash() == leader.shard.state_hash()


def test_what_is_damaged_on_its_way_is_refused_with_its_place() -> None:
    cluster, _, message = joining()
    snapshot = Shard.snapshot_in(message)
    assert snapshot is not None
    export = cluster.exports[snapshot[3]]
    stream = b"".join(chunks(export))
    journal = cluster.members[JOINING].journal
    bad = bytearray(stream)
    bad[len(bad) // 2] ^= 4
    imported = journal.begin_import(SHARD)
    with pytest.raises(SnapshotRefused, match="checksum") as refused:
        imported.receive(bytes(bad))
    assert 0 < refused.value.position <= len(bad) // 2
    assert "checksum" in refused.value.what
    with pytest.raises(SnapshotRefused, match="over"):
        imported.receive(b"x")
    cut = journal.begin_import(SHARD)
    cut.receive(stream[:-1])
    with pytest.raises(SnapshotRefused, match="end has not come"):
        cut.finish()
    other = journal.begin_import(SHARD + 1)
    with pytest.raises(SnapshotRefused, match="of group 3, not 4"):
        other.receive(stream)
    given_up = journal.begin_import(SHARD)
    given_up.receive(stream)
    given_up.abort()
    with pytest.raises(SnapshotRefused):
        given_up.finish()
    assert given_up.received == len(stream)


def test_an_export_is_closed_and_a_volatile_shard_has_none() -> None:
    cluster, leader, _ = joining()
    export = leader.shard.export()
    assert export is not None
    export.close()
    export.close()
    assert export.size == 0
    with pytest.raises(ValueError, match="closed"):
        export.read()
    with pytest.raises(ValueError, match="volatile"):
        Shard.volatile(1, 1, 1).export()
    other = cluster.members[JOINING].journal.begin_import(SHARD + 1)
    with pytest.raises(ValueError, match="another shard"):
        leader.shard.step_snapshot(b"", other)


def test_one_that_was_away_goes_by_its_leaders_word_unless_a_leader_said_more_since() -> None:
    cluster, leader, message = joining()
    newcomer = cluster.members[JOINING]
    imported = carried(cluster, message)
    imported.finish()
    assert newcomer.shard.step_snapshot(message, imported)
    leader.shard.report_snapshot(JOINING, True)
    cluster.tick(20)
    asked = newcomer.shard.contacts
    assert asked
    assert not newcomer.shard.let_go((leader.shard.term - 1, asked)), "of a leader that was"
    leader.publish("more")
    cluster.tick(4)
    assert newcomer.shard.contacts > asked
    assert not newcomer.shard.let_go((leader.shard.term, asked)), "it may have promised to hold this"
    assert not leader.shard.let_go((leader.shard.term, leader.shard.contacts))
    applied, term = newcomer.shard.applied_index, newcomer.shard.term
    assert applied
    assert not newcomer.shard.let_go()
    assert newcomer.shard.let_go((leader.shard.term, newcomer.shard.contacts))
    assert newcomer.shard.applied_index == applied
    newcomer.shard.forget()
    newcomer.shard.end_departure()
    assert (newcomer.shard.applied_index, newcomer.shard.term) == (0, term)


def test_a_node_that_left_a_shard_forgets_it_and_may_come_back() -> None:
    cluster, leader, message = joining()
    newcomer = cluster.members[JOINING]
    imported = carried(cluster, message)
    imported.finish()
    assert newcomer.shard.step_snapshot(message, imported)
    leader.shard.report_snapshot(JOINING, True)
    cluster.tick(20)
    assert not newcomer.shard.let_go(), "it is a member"
    assert not leader.shard.let_go()
    cluster.mute.add(JOINING)  # whose answers nobody waits for
    assert leader.shard.propose_conf([("remove", JOINING)])
    cluster.tick(4)
    term, applied = newcomer.shard.term, newcomer.shard.applied_index
    assert newcomer.shard.let_go()
    assert not newcomer.shard.let_go(), "it is at it"
    leader.publish("later")
    cluster.tick(4)
    assert not newcomer.journal.begin_cycle([newcomer.shard], force=True), "its old state would be news"
    assert newcomer.shard.applied_index == applied
    assert newcomer.shard.resume_snapshot(message) is False, "it would be forgotten too"
    newcomer.shard.forget()
    newcomer.shard.end_departure()
    assert (newcomer.shard.applied_index, newcomer.shard.term) == (0, term)
    assert not newcomer.shard.let_go(), "it never was a member"
    assert newcomer.journal.begin_cycle([newcomer.shard], force=True)
    newcomer.journal.abandon()
    newcomer.disk.crash(3)
    assert Journal.open_on(newcomer.disk, JOINING, bytes(16), FILE_SIZE).groups() == []
    newcomer.disk.crash(4)
    cluster.mute.clear()
    assert leader.shard.propose_conf([("learner", JOINING)])
    newcomer = cluster.members[JOINING] = Member(newcomer.disk, JOINING, [], 9)
    assert newcomer.shard.applied_index == 0
    # Raft still has the first offer, whose export is closed: another takes its place.
    cluster.take_snapshot()
    cluster.offer(leader.peer)
    leader.shard.report_snapshot(JOINING, False)
    message = cluster.take_snapshot()
    imported = carried(cluster, message)
    imported.finish()
    assert newcomer.shard.step_snapshot(message, imported)
    leader.shard.report_snapshot(JOINING, True)
    cluster.tick(20)
    assert newcomer.shard.state_hash() == leader.shard.state_hash()
