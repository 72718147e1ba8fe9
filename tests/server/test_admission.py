"""Who is let in, against sets of who is there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.server.admission import Admission, ConnectionLimits

LIMITS = ConnectionLimits(count_max=6, unproven_count_max=4, unproven_count_max_per_address=2)
steps = st.lists(st.tuples(st.sampled_from(["come", "prove", "leave"]), st.integers(0, 5)))


@given(steps)
def test_connections_are_admitted_within_every_limit_and_no_further(steps: list[tuple[str, int]]) -> None:
    admission = Admission(LIMITS)
    there: list[tuple[str, bool]] = []
    for step, number in steps:
        if step == "come":
            address = f"10.0.0.{number}"
            unproven = [where for where, proven in there if not proven]
            room = len(there) < 6 and len(unproven) < 4 and unproven.count(address) < 2
            assert admission.admit(address) is room
            if room:
                there.append((address, False))
        elif number < len(there):
            address, proven = there[number]
            if step == "leave":
                del there[number]
                admission.leave(address, proven)
            elif not proven:
                there[number] = (address, True)
                admission.prove(address)
        assert admission.count == len(there)
        assert admission.unproven_count == sum(not proven for _, proven in there)
