"""Methods: every one round and round, exact about bad bytes, and pamqp agreed with where it is right."""

from __future__ import annotations

from typing import Any

import pamqp.base
import pamqp.commands
import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.amqp.method_codec import decode_method, encode_arguments, encode_method
from protocols.amqp.methods import (
    FIELDS,
    METHOD_IDS,
    METHOD_NAMES,
    METHODS,
    Kind,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.violation import ProtocolViolation

short_strings = st.text(max_size=40)
simple_tables: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from("abc"), st.booleans() | st.text(max_size=5)
)
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.OCTET: st.integers(0, 2**8 - 1),
    Kind.SHORT: st.integers(0, 2**16 - 1),
    Kind.LONG: st.integers(0, 2**32 - 1),
    Kind.LONG_LONG: st.integers(0, 2**64 - 1),
    Kind.SHORT_STRING: short_strings,
    Kind.LONG_STRING: st.binary(max_size=50),
    Kind.TABLE: simple_tables,
    Kind.BIT: st.booleans(),
}


def methods(kind: type[Method]) -> st.SearchStrategy[Method]:
    return st.builds(kind, *(VALUES[field] for _, field in FIELDS[kind]))


any_method = st.sampled_from(sorted(METHOD_IDS, key=METHOD_IDS.__getitem__)).flatmap(methods)


@given(any_method)
def test_what_is_encoded_is_decoded(method: Method) -> None:
    class_id, method_id = METHOD_IDS[type(method)]
    assert decode_method(class_id, method_id, encode_arguments(method)) == method


@given(any_method, st.data())
def test_arguments_cut_anywhere_are_a_syntax_error(method: Method, data: st.DataObject) -> None:
    arguments = encode_arguments(method)
    cut = data.draw(st.integers(0, len(arguments) + 1))
    if cut == len(arguments):
        return
    damaged = arguments[:cut] if cut < len(arguments) else arguments + b"\0"
    with pytest.raises(ProtocolViolation) as caught:
        decode_method(*METHOD_IDS[type(method)], damaged)
    assert caught.value.code is ReplyCode.SYNTAX_ERROR
    assert (caught.value.class_id, caught.value.method_id) == METHOD_IDS[type(method)]


@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=60))
def test_garbage_is_a_syntax_error_and_nothing_else(number: tuple[int, int], arguments: bytes) -> None:
    try:
        found: object = type(decode_method(*number, arguments))
    except ProtocolViolation as violation:
        found = violation.code
    assert found in (METHODS[number], ReplyCode.SYNTAX_ERROR)


def test_an_unknown_method_is_not_implemented() -> None:
    for number in ((10, 12), (60, 41), (99, 10), (65535, 65535)):
        with pytest.raises(ProtocolViolation) as caught:
            decode_method(*number, b"")
        assert caught.value.code is ReplyCode.NOT_IMPLEMENTED


def test_bits_share_an_octet_lowest_first() -> None:
    arguments = encode_arguments(QueueDeclare(0, "q", durable=True, auto_delete=True))
    assert arguments == b"\0\0\x01q" + bytes((0b01010,)) + b"\0\0\0\0"


def test_names_that_pamqp_refuses_are_served() -> None:
    for name in ("mit Leerzeichen", "очередь", "a?b*c", "x" * 255):
        frame = encode_method(1, QueueDeclareOk(name, 0, 0))
        assert name.encode() in frame


def test_our_methods_are_those_of_pamqp() -> None:
    kinds: dict[int, Any] = pamqp.commands.INDEX_MAPPING
    theirs = {(number >> 16, number & 0xFFFF): kind.name for number, kind in kinds.items()}
    ours = {number: METHOD_NAMES[kind] for number, kind in METHODS.items()}
    named = {number: name.replace(".", " ").replace("-", "").lower() for number, name in ours.items()}
    assert named == {number: name.replace(".", " ").lower() for number, name in theirs.items()}


# pamqp refuses names outside its pattern, takes only text for long strings, sorts tables,
# takes a long-long for signed, and holds what the specification deprecates to one value.
PAMQP_VALUES = {
    **VALUES,
    Kind.LONG_LONG: st.integers(0, 2**63 - 1),
    Kind.SHORT_STRING: st.text("abcXYZ019-_.:@#,/+ ", max_size=100),
    Kind.LONG_STRING: st.text("abc \0", max_size=20).map(str.encode),
    Kind.TABLE: simple_tables.map(lambda table: dict(sorted(table.items()))),
}
PAMQP_CONSTANTS: dict[str, Any] = {
    "ticket": 0, "capabilities": "", "insist": False, "known_hosts": "", "out_of_band": "0", "channel_id": b"0",
    "cluster_id": "", "mechanism": "PLAIN", "locale": "en_US", "version_major": 0, "version_minor": 9,
}  # fmt: skip


def pamqp_methods(kind: type[Method]) -> st.SearchStrategy[Method]:
    constants = {name: st.just(value) for name, value in PAMQP_CONSTANTS.items()}
    return st.builds(kind, *(constants.get(name, PAMQP_VALUES[field]) for name, field in FIELDS[kind]))


def to_pamqp(method: Method) -> pamqp.base.Frame:
    class_id, method_id = METHOD_IDS[type(method)]
    values = [getattr(method, name) for name, _ in FIELDS[type(method)]]
    kind = pamqp.commands.INDEX_MAPPING[class_id << 16 | method_id]
    theirs: pamqp.base.Frame = kind(*(value.decode() if isinstance(value, bytes) else value for value in values))
    return theirs


@pytest.mark.filterwarnings("ignore:This command is deprecated:DeprecationWarning")
@given(st.sampled_from(sorted(METHOD_IDS, key=METHOD_IDS.__getitem__)).flatmap(pamqp_methods))
def test_pamqp_writes_the_same_bytes(method: Method) -> None:
    assert pamqp.frame.marshal(to_pamqp(method), 7) == encode_method(7, method)
