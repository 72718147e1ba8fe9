"""A field table as bytes: the same arguments are the same bytes, in whatever order they came."""

from __future__ import annotations

from typing import Any

import msgspec

from broker.model.topology import Arguments, Timestamp

_TIMESTAMP_CODE = 1
_TIMESTAMP_SIZE = 8


def _encode_foreign(value: object) -> msgspec.msgpack.Ext:
    assert isinstance(value, Timestamp), value
    return msgspec.msgpack.Ext(_TIMESTAMP_CODE, value.to_bytes(_TIMESTAMP_SIZE, "big"))


def _decode_foreign(code: int, data: memoryview) -> Timestamp:
    if code != _TIMESTAMP_CODE or len(data) != _TIMESTAMP_SIZE:
        raise ValueError(f"no argument is written as extension {code} of {len(data)} bytes")
    return Timestamp.from_bytes(data, "big")


arguments_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_foreign, order="deterministic")
"""Encodes whatever holds Arguments."""


def arguments_decoder(type: Any) -> msgspec.msgpack.Decoder[Any]:
    """The other way, for what holds Arguments in fields of ``type``."""
    return msgspec.msgpack.Decoder(type, ext_hook=_decode_foreign)


_decoder = arguments_decoder(Arguments)


def encode_arguments(arguments: Arguments) -> bytes:
    """Equal bytes for equal arguments.  Integers of any width are one kind; a bool, a float or a time is none."""
    return arguments_encoder.encode(arguments)


def decode_arguments(data: bytes) -> Arguments:
    """Raises msgspec.DecodeError, msgspec.ValidationError or ValueError for what encode_arguments did not write."""
    arguments: Arguments = _decoder.decode(data)
    return arguments
