"""The node's budget of buffers, and who waits when it is used up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.server.buffers import SMALL_INPUT_SIZE, Buffers, holders

sizes = st.integers(0, 10) | st.just(SMALL_INPUT_SIZE) | st.integers(SMALL_INPUT_SIZE, 10 * SMALL_INPUT_SIZE)


@given(st.dictionaries(st.integers(0, 20), st.tuples(sizes, sizes)))
def test_all_big_inputs_wait_but_the_biggest_and_so_does_who_takes_no_output(
    sizes: dict[int, tuple[int, int]],
) -> None:
    waiting = set(holders(sizes))
    going_on = [sizes[token] for token in sizes.keys() - waiting]
    assert all(output == 0 for _, output in going_on)
    assert sum(size > SMALL_INPUT_SIZE for size, _ in going_on) <= 1
    assert all(size > SMALL_INPUT_SIZE or output for size, output in (sizes[token] for token in waiting))
    free_of_output = [size for size, output in sizes.values() if not output]
    if free_of_output:
        assert max(free_of_output) in [size for size, _ in going_on], "somebody can finish"


def test_it_stays_exceeded_until_an_eighth_is_free() -> None:
    buffers = Buffers(input_size_max=80, output_size_max=1000)
    exceeded = []
    for size in 80, 81, 71, 70, 71:
        buffers.input.charge(size)
        exceeded.append(buffers.exceeded)
        buffers.input.release(size)
    assert exceeded == [False, True, True, False, False]
