"""What a SCRAM client says (RFC 5802 section 7), for whatever protocol carries it.

No channel binding is offered, so a client says ``n`` or ``y``; and nobody may act for somebody else (authzid).  Names
are taken as they are, without SASLprep: users are found by their bytes here, whatever way they log in.
"""

from __future__ import annotations

import base64
import binascii
import re

import msgspec

MESSAGE_SIZE_MAX = 2048
"""Bytes: room for two names (a vhost's and a user's) of 255 with every byte escaped, and a nonce."""
NONCE_SIZE_MAX = 256
"""Characters of the client's part; 24 are usual."""
PROOF_SIZE = 32
"""Bytes of SHA-256."""
_GS2_HEADER = re.compile(r"[ny],,")
_ATTRIBUTE = re.compile(r"[A-Za-z]=[^\0,]+")
_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")
_NAME = re.compile(r"(?:[^\0,=]|=2C|=3D)+")
_RESERVED = "m="
"""Extensions that must be understood; none is defined."""


class BadScramMessage(ValueError):
    """It is not what a client says."""


class ClientFirst(msgspec.Struct, frozen=True, gc=False):
    """Who wants in.  ``bare``: the message without its GS2 header, as it came."""

    user: str
    nonce: str
    gs2_header: str
    bare: str


class ClientFinal(msgspec.Struct, frozen=True, gc=False):
    """The proof.  ``without_proof``: what it speaks for, as it came."""

    gs2_header: bytes
    """As the client repeats it."""
    nonce: str
    proof: bytes
    without_proof: str


def read_client_first(data: bytes) -> ClientFirst:
    """Raises BadScramMessage."""
    text = _text(data)
    header = _GS2_HEADER.match(text)
    if header is None:
        raise BadScramMessage("no GS2 header without channel binding and authorization identity")
    bare = text[header.end() :]
    user, nonce = _attributes(bare, "nr")
    if not _NAME.fullmatch(user):
        raise BadScramMessage("a user name that is not escaped")
    if len(nonce) > NONCE_SIZE_MAX or not _NONCE.fullmatch(nonce):
        raise BadScramMessage("a nonce that is too long, or not printable")
    return ClientFirst(user.replace("=2C", ",").replace("=3D", "="), nonce, header.group(), bare)


def read_client_final(data: bytes) -> ClientFinal:
    """Raises BadScramMessage."""
    without_proof, comma, last = _text(data).rpartition(",")
    if not comma or not last.startswith("p="):
        raise BadScramMessage("no proof at its end")
    header, nonce = _attributes(without_proof, "cr")
    proof = _base64(last[2:])
    if len(proof) != PROOF_SIZE:
        raise BadScramMessage(f"a proof of {len(proof)} bytes")
    return ClientFinal(_base64(header), nonce, proof, without_proof)


def _text(data: bytes) -> str:
    if len(data) > MESSAGE_SIZE_MAX:
        raise BadScramMessage(f"{len(data)} bytes of {MESSAGE_SIZE_MAX}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadScramMessage("no UTF-8") from None


def _attributes(text: str, names: str) -> list[str]:
    """The values of the attributes that must come first; extensions after them are passed over."""
    attributes = text.split(",")
    if any(not _ATTRIBUTE.fullmatch(attribute) or attribute.startswith(_RESERVED) for attribute in attributes):
        raise BadScramMessage("no list of attributes, or an extension that must be understood")
    if [attribute[0] for attribute in attributes[: len(names)]] != list(names):
        raise BadScramMessage(f"it doesn't begin with {' and '.join(names)}")
    return [attribute[2:] for attribute in attributes[: len(names)]]


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadScramMessage("no base64") from None
