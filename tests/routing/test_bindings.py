"""A binding is known by all that it says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from broker.model.arguments import decode_arguments, encode_arguments
from broker.model.names import ExchangeName, RoutingKey
from broker.model.topology import Arguments, BindingSpec, Timestamp
from routing.bindings import Binding

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(0, 2**64 - 1).map(Timestamp)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
ARGUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


def typed(value: object) -> object:
    """``value`` so that 1, True, 1.0 and Timestamp(1) are four values."""
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    return type(value), value


@given(arguments=ARGUMENTS)
def test_arguments_survive_their_bytes_with_their_types(arguments: Arguments) -> None:
    assert typed(decode_arguments(encode_arguments(arguments))) == typed(arguments)


@given(arguments=ARGUMENTS, data=st.data())
def test_the_order_of_arguments_does_not_matter(arguments: Arguments, data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(arguments.items()))))
    assert encode_arguments(shuffled) == encode_arguments(arguments)


def test_bindings_that_differ_in_anything_differ() -> None:
    specs = [
        BindingSpec(ExchangeName("x"), "d", RoutingKey("k")),
        BindingSpec(ExchangeName("y"), "d", RoutingKey("k")),
        BindingSpec(ExchangeName("x"), "e", RoutingKey("k")),
        BindingSpec(ExchangeName("x"), "d", RoutingKey("l")),
        BindingSpec(ExchangeName("x"), "d", RoutingKey("k"), to_exchange=True),
        *(BindingSpec(ExchangeName("x"), "d", RoutingKey("k"), arguments={"n": n}) for n in (1, True, 1.0, "1")),
        BindingSpec(ExchangeName("x"), "d", RoutingKey("k"), arguments={"n": Timestamp(1)}),
    ]
    assert len({Binding.of(spec) for spec in specs}) == len(specs)
    assert [Binding.of(spec).spec() for spec in specs] == specs
