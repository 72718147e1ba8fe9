"""Bad input by its bytes: the rows of HTTP/1.1 in the list of limits, each with its status."""

from __future__ import annotations

import pytest

from protocols.http.settings import CHUNK_COUNT_MAX, PIPELINED_COUNT_MAX
from tests.protocols.http.talk import GET, Talk, responses, statuses

HOST = b"Host: here\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
ROWS = {
    "headers of more than 16 KiB": (431, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 16_400 + b"\r\n\r\n"),
    "a request line of more": (431, b"GET /" + b"x" * 16_400),
    "many small headers": (431, b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 3_000),
    "a body that is too large": (413, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 50001\r\n\r\n"),
    "a chunked body that is too large": (413, CHUNKED + b"fff0\r\n" + b"x" * 0xFFF0),
    "a length that is huge": (413, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999999999999999\r\n\r\n"),
    "length and encoding": (
        400,
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    "one length twice": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\ncontent-length : 1\r\n\r\nx"),
    "a list of lengths": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 2\r\n\r\nx"),
    "a negative length": (400, b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n"),
    "a folded header": (400, b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n"),
    "a space before a colon": (400, b"GET / HTTP/1.1\r\nHost : here\r\n\r\n"),
    "a bare line feed": (400, b"GET / HTTP/1.1\r\nHost: here\nX: y\r\n\r\n"),
    "bare line feeds only": (400, b"GET / HTTP/1.1\nHost: here\n\n"),
    "a bare carriage return": (400, b"GET / HTTP/1.1\r\nX: a\rb\r\n" + HOST + b"\r\n"),
    "a bad chunk size": (400, CHUNKED + b"xyz\r\n"),
    "a chunk that is longer than it says": (400, CHUNKED + b"1\r\nab\r\n"),
    "a negative chunk": (400, CHUNKED + b"-1\r\n"),
    "a chunk ended by a bare line feed": (400, CHUNKED + b"1\nx\n0\n\n\r\n"),
    "chunks without end": (400, CHUNKED + b"1\r\nx\r\n" * (CHUNK_COUNT_MAX + 1)),
    "an unknown encoding": (501, b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n"),
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n"),
    "another version": (505, b"GET / HTTP/3.0\r\n" + HOST + b"\r\n"),
    "HTTP/2 from the start": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "no request line": (400, b"hello\r\n\r\n"),
    "NUL in a path": (400, b"GET /a%00b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a raw NUL": (400, b"GET /a\0b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a path without a slash": (400, b"GET index HTTP/1.1\r\n" + HOST + b"\r\n"),
    "half an escape": (400, b"GET /%4 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a path that is not UTF-8": (400, b"GET /%ff HTTP/1.1\r\n" + HOST + b"\r\n"),
    "a fragment": (400, b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "an upgrade with a body": (
        400,
        b"GET /ws HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nContent-Length: 1\r\n\r\nx",
    ),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("cut", [1 << 20, 1000, 1])
def test_is_refused_and_the_connection_closed(row: str, cut: int) -> None:
    status, stream = ROWS[row]
    talk = Talk()
    for start in range(0, len(stream), cut):
        talk.receive(stream[start : start + cut])
    [(answered, headers, body)] = responses(talk.output)
    assert answered == status
    assert headers["connection"] == "close"
    assert body.startswith(str(status).encode())
    assert talk.closing
    assert talk.receive(GET) == b""
    assert talk.decoder.buffered == 0


def test_a_declared_body_is_refused_before_it_is_read() -> None:
    talk = Talk()
    answer = talk.receive(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 50001\r\nExpect: 100-continue\r\n\r\n")
    assert statuses(answer) == [413]


def test_pipelined_requests_are_capped() -> None:
    assert statuses(Talk().receive(GET * (PIPELINED_COUNT_MAX + 1))) == [200] * (PIPELINED_COUNT_MAX + 1)
    talk = Talk()
    assert statuses(talk.receive(GET * 1000)) == [200] * PIPELINED_COUNT_MAX + [429]
    assert talk.closing
    patient = Talk()
    assert statuses(b"".join(patient.receive(GET) for _ in range(200))) == [200] * 200


def test_a_slow_head_is_408() -> None:
    talk = Talk()
    for byte in GET[:9]:
        talk.receive(bytes((byte,)))
        assert talk.wait(1.0) == b""
    assert statuses(talk.wait(1.1)) == [408]
    assert talk.closing


def test_a_slow_body_is_408_and_one_that_gets_on_is_not() -> None:
    head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 50000\r\n\r\n"
    slow, steady = Talk(), Talk()
    slow.receive(head)
    steady.receive(head)
    for _ in range(9):
        slow.receive(b"x" * 900)
        steady.receive(b"x" * 1100)
        answered = slow.wait(1.0)
        assert steady.wait(1.0) == b""
        if answered:
            break
    assert statuses(answered) == [408]
    assert slow.closing
    assert not steady.closing


def test_who_says_nothing_is_hung_up_on() -> None:
    silent, idle = Talk(), Talk()
    assert silent.wait(9.9) == b""
    assert not silent.closing
    assert (silent.wait(0.2), silent.closing) == (b"", True)
    idle.receive(GET)
    idle.wait(59.9)
    assert not idle.closing
    idle.wait(0.2)
    assert idle.closing


def test_who_is_not_read_is_not_slow() -> None:
    talk = Talk()
    talk.receive(GET[:5])
    talk.wait(9.0)
    talk.adapter.receive_frames((), talk.now)
    talk.settle()
    assert talk.wait(9.0) == b""
    assert not talk.closing
