"""What is a SCRAM client's message, and what isn't."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model.scram import (
    MESSAGE_SIZE_MAX,
    NONCE_SIZE_MAX,
    BadScramMessage,
    ClientFinal,
    ClientFirst,
    read_client_final,
    read_client_first,
)

PROOF = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    ("message", "user", "header", "bare"),
    [
        ("n,,n=user,r=nonce", "user", "n,,", "n=user,r=nonce"),
        ("y,,n=user,r=nonce", "user", "y,,", "n=user,r=nonce"),
        ("n,,n=a=2Cb=3Dc=3D2C,r=nonce", "a,b=c=2C", "n,,", "n=a=2Cb=3Dc=3D2C,r=nonce"),
        ("n,,n=/:ü,r=nonce,x=later,Y=a=b", "/:ü", "n,,", "n=/:ü,r=nonce,x=later,Y=a=b"),
    ],
)
def test_a_first_message_is_read(message: str, user: str, header: str, bare: str) -> None:
    assert read_client_first(message.encode()) == ClientFirst(user, "nonce", header, bare)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n=user,r=nonce",
        b"p=tls-unique,,n=user,r=nonce",
        b"p=tls-exporter,,n=user,r=nonce",
        b"n,a=admin,n=user,r=nonce",
        b"n,,",
        b"n,,n=user",
        b"n,,r=nonce,n=user",
        b"n,,n=,r=nonce",
        b"n,,n=user,r=",
        b"n,,m=must,n=user,r=nonce",
        b"n,,n=user,r=nonce,m=must",
        b"n,,n=user,r=nonce,",
        b"n,,n=user,r=nonce,xx",
        b"n,,n=us=er,r=nonce",
        b"n,,n=us=2cer,r=nonce",
        b"n,,n=user,r=no nce",
        b"n,,n=user,r=n\xc3\xbcnce",
        b"n,,n=us\0er,r=nonce",
        b"n,,n=us\xff,r=nonce",
        b"n,,n=user,r=" + b"x" * (NONCE_SIZE_MAX + 1),
        b"n,,n=user,r=nonce,x=" + b"x" * MESSAGE_SIZE_MAX,
    ],
)
def test_what_is_no_first_message_is_refused(message: bytes) -> None:
    with pytest.raises(BadScramMessage):
        read_client_first(message)


def test_the_limits_are_what_is_still_taken() -> None:
    nonce = "x" * NONCE_SIZE_MAX
    message = f"n,,n=user,r={nonce},x="
    message += "x" * (MESSAGE_SIZE_MAX - len(message))
    assert read_client_first(message.encode()).nonce == nonce


def test_a_last_message_is_read() -> None:
    read = read_client_final(f"c=biws,r=nonce,x=later,p={PROOF}".encode())
    assert read == ClientFinal(b"n,,", "nonce", bytes(32), "c=biws,r=nonce,x=later")


@pytest.mark.parametrize(
    "message",
    [
        "",
        f"p={PROOF}",
        f",p={PROOF}",
        f"c=biws,p={PROOF}",
        f"r=nonce,c=biws,p={PROOF}",
        f"c=biws,r=nonce,m=must,p={PROOF}",
        f"c=biws,r=nonce,p={PROOF},x=later",
        f"c=bi_s,r=nonce,p={PROOF}",
        f"c=bü==,r=nonce,p={PROOF}",
        "c=biws,r=nonce",
        "c=biws,r=nonce,p=",
        "c=biws,r=nonce,p=AAAA",
        f"c=biws,r=nonce,p={PROOF[:-1]}",
        f"c=biws,r=nonce,x={'x' * MESSAGE_SIZE_MAX},p={PROOF}",
    ],
)
def test_what_is_no_last_message_is_refused(message: str) -> None:
    with pytest.raises(BadScramMessage):
        read_client_final(message.encode())


@given(st.binary(max_size=80), st.sampled_from([b"", b"n,,n=user,r=nonce", b"c=biws,r=nonce,p="]))
def test_no_bytes_raise_anything_else(garbage: bytes, begun: bytes) -> None:
    for read in (read_client_first, read_client_final):
        try:
            read(begun + garbage)
        except BadScramMessage:
            continue
