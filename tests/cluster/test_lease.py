"""Whether a node may route."""

from broker.cluster.lease import LEASE_PART, Lease

OWN, OTHER, THIRD = 1, 2, 3
MEMBERS = (OWN, OTHER, THIRD)
SUSPICION_S = 1.0


def lease_of(heard_at: dict[int, float]) -> Lease:
    return Lease(lambda peer: heard_at[peer], OWN, SUSPICION_S)


def test_a_node_that_started_routes_once_the_meta_shard_has_heard_it_and_it_knows_what_others_know() -> None:
    lease = lease_of({OTHER: 0.0, THIRD: 0.0})
    assert not lease.update(MEMBERS, 0.1, own_index=7, seen_index=7)
    lease.applied()
    assert not lease.update(MEMBERS, 0.1, own_index=7, seen_index=8)
    assert lease.update(MEMBERS, 0.2, own_index=8, seen_index=8)
    assert lease.update(MEMBERS, 0.3, own_index=8, seen_index=9), "what comes while it is heard is waited for"


def test_a_node_that_most_do_not_hear_routes_nothing_before_it_knows_what_they_know() -> None:
    heard_at = {OTHER: 0.0, THIRD: 0.0}
    lease = lease_of(heard_at)
    lease.applied()
    end = LEASE_PART * SUSPICION_S
    assert lease.update(MEMBERS, end - 0.1, own_index=1, seen_index=1)
    assert not lease.update(MEMBERS, end, own_index=1, seen_index=1)
    heard_at[OTHER] = end
    assert not lease.update(MEMBERS, end + 0.1, own_index=1, seen_index=2)
    assert lease.update(MEMBERS, end + 0.1, own_index=2, seen_index=2)
