"""Coverage-guided fuzzing of the adapter, with the kernel's decoder before it and a core behind.

``python -m tests.protocols.stomp.fuzz [--seconds 60] [--seed N] [--keep] [FILE...]``

Starts from ``corpus/``, where an input is a byte for the listener's settings, one for how the bytes come and what the
core does meanwhile, and the client's bytes.  ``FILE`` checks an input again.  ``fuzzing.py`` has the rest.
"""

from __future__ import annotations

import random
from pathlib import Path

from broker.model.refusals import Refusal
from protocols.stomp.headers import REFUSED
from protocols.stomp.queue_parameters import ARGUMENTS, PROPERTIES
from protocols.stomp.settings import StompSettings
from tests.protocols.fuzzing import Target, main
from tests.protocols.stomp.core_double import SETTINGS, Connection, assert_same, assert_well_behaved

CORPUS = Path(__file__).parent / "corpus"
LISTENERS = (
    SETTINGS,
    StompSettings(default_nack_requeue=False, prefetch_count=3, subscriptions_max=1, transactions_max=1),
    StompSettings(allow_anonymous=True, heartbeat_min_ms=100),
    StompSettings(frame_size_max=200, transaction_size_max=50),
)
PIECES = (1, 7, 40, 4_096)
"""Bytes that come at once."""
REFUSALS = (None, None, Refusal.ACCESS_REFUSED, Refusal.NOT_FOUND)
COMMANDS = ("SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT", "DISCONNECT", "CONNECT")
HEADERS = (
    "id:0", "receipt:1", "destination:/queue/a", "destination:/topic/a.*", "destination:/exchange/x/k", "transaction:t",
    "ack:client", "ack:client-individual", "durable:true", "durable:false", "auto-delete:true", "exclusive:true",
    "persistent:true", "reply-to:/temp-queue/r", "id:1@@s@@1", "message-id:1@@s@@1", "subscription:0", "requeue:false",
    "content-length:3", "x-queue-name:n", "x-priority:4", "prefetch-count:1", "user-id:me", "heart-beat:100,100",
    "accept-version:1.2", "accept-version:1.1", "login:me", "passcode:pw", "host:/", "expiration:10",
    *(f"{name}:1" for name in (*ARGUMENTS, *PROPERTIES, *REFUSED["SUBSCRIBE"])),
)  # fmt: skip

TELLING = (b"\0", b"\n", b"\r\n", b":", b"\\", b"\\c", b"%2F", b"/", b"@@", b"\xc3")


def check(data: bytes) -> None:
    """The laws; AssertionError, or whatever else is raised, where one is broken."""
    which, how = (*data[:2], 0, 0)[:2]
    stream = data[2:]
    settings = LISTENERS[which % len(LISTENERS)]
    _check_cuts(stream, settings, PIECES[how & 3])
    _check_talk(stream, settings, PIECES[how & 3], how >> 2)


def _check_cuts(stream: bytes, settings: StompSettings, piece: int) -> None:
    whole, cut = Connection(settings), Connection(settings)
    whole.receive(stream)
    for start in range(0, len(stream), piece):
        cut.receive(stream[start : start + piece])
    assert_same(cut, whole)
    assert_well_behaved(whole)


def _check_talk(stream: bytes, settings: StompSettings, piece: int, how: int) -> None:
    """The core answers and refuses, and delivers, between the pieces."""
    connection = Connection(settings)
    refusal = REFUSALS[how & 3]
    for start in range(0, len(stream), piece):
        connection.receive(stream[start : start + piece])
        for _ in range(how >> 2 & 3):
            if connection.core.pending:
                connection.say(connection.core.answer(refusal))
        connection.say(connection.core.deliver(how >> 4 & 3))
    connection.finish()
    connection.adapter.receive_timeout(1e9)
    connection.settle()
    assert_well_behaved(connection)


def _insert_frame(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    """Well-framed, where one may begin."""
    headers = rng.sample(HEADERS, rng.randrange(6))
    written = "\n".join((rng.choice(COMMANDS), *headers, "", "")).encode() + b"x" * rng.randrange(4) + b"\0"
    begin = out.find(b"\0", at) + 1 or len(out)
    out[begin:begin] = written


def _insert_header(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    line = out.find(b"\n", at) + 1 or len(out)
    out[line:line] = rng.choice(HEADERS).encode() + b"\n"


def _telling(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out[at : at + rng.randrange(2)] = rng.choice(TELLING)


def _rearrange(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    """Another listener, another core."""
    out[:2] = bytes((rng.randrange(4), rng.randrange(256)))


MUTATIONS = (_insert_frame, _insert_frame, _insert_header, _telling, _rearrange)
TARGET = Target("the STOMP adapter", CORPUS, check, MUTATIONS)

if __name__ == "__main__":
    main(TARGET)
