"""Waiting for syncs in the kernel: when it is done, and for how long."""

from __future__ import annotations

from broker.server.sync_wait import MISS_COUNT_MAX, REST_COUNT, SPIN_US, SyncWait, WaitPlan


def waiting(sync_s: float = 0.0003) -> SyncWait:
    """One that has seen many syncs take so long, on an idle machine."""
    wait = SyncWait()
    wait.spare_cpu = 1.0
    for number in range(50):
        wait.receive_progress(float(number), in_flight=True, synced=False)
        wait.receive_progress(number + sync_s, in_flight=False, synced=True)
    return wait


def test_nothing_is_waited_for_that_is_not_in_flight() -> None:
    assert waiting().plan(100.0) is None


def test_it_sleeps_until_the_sync_is_about_to_end_and_then_looks() -> None:
    wait = waiting()
    wait.receive_progress(100.0, in_flight=True, synced=False)
    plan = wait.plan(100.0)
    assert plan is not None
    assert abs(plan.block_us - (300 - SPIN_US)) <= 1
    assert plan.spin_us == 2 * SPIN_US
    assert wait.plan(100.0003) == WaitPlan(0, 2 * SPIN_US)


def test_a_sync_that_begins_when_one_ends_counts_from_there() -> None:
    wait = waiting()
    wait.receive_progress(100.0, in_flight=True, synced=False)
    wait.receive_progress(100.0003, in_flight=True, synced=True)
    plan = wait.plan(100.0003)
    assert plan is not None
    assert plan.block_us > 200


def test_a_busy_machine_and_a_slow_disk_are_left_to_trio() -> None:
    busy = waiting()
    busy.spare_cpu = 0.1
    slow = waiting(sync_s=0.05)
    for wait in busy, slow:
        wait.receive_progress(100.0, in_flight=True, synced=False)
        assert wait.plan(100.0) is None


def test_vain_waits_are_given_up_for_a_while() -> None:
    wait = waiting()
    wait.receive_progress(100.0, in_flight=True, synced=False)
    for _ in range(MISS_COUNT_MAX + 1):
        assert wait.plan(100.0) is not None
        wait.receive_outcome(False)
    assert [wait.plan(100.0) for _ in range(REST_COUNT)] == [None] * REST_COUNT
    assert wait.plan(100.0) is not None


def test_a_wait_that_is_worth_it_makes_up_for_a_vain_one() -> None:
    wait = waiting()
    wait.receive_progress(100.0, in_flight=True, synced=False)
    for _ in range(10 * MISS_COUNT_MAX):
        wait.receive_outcome(False)
        wait.receive_outcome(True)
        assert wait.plan(100.0) is not None
