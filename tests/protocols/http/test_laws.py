"""The laws of the HTTP adapter: any cut of the bytes gives the same, no bytes whatever raise anything."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.http.talk import GET, Talk, responses

REQUESTS = [
    GET,
    b"HEAD /a HTTP/1.1\r\nHost: here\r\n\r\n",
    b"\r\nGET /a%2fb/?q=1 HTTP/1.1\r\nHost: here\r\nX: \xff\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: here\r\nContent-Length: 11\r\n\r\nGET / HTTP/",
    b"POST /p HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0a;x=y\r\n0123456789\r\n0\r\nT: x\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"DELETE /nothing HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
]
WRONG = [
    b"GET / HTTP/1.1\nHost: here\n\n",
    b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    b"GET /\0 HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"G" * 20_000,
    b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 60000\r\n\r\n",
]
pieces = st.one_of(st.sampled_from(REQUESTS), st.sampled_from(REQUESTS + WRONG), st.binary(max_size=20))
streams = st.one_of(st.lists(pieces, max_size=6).map(b"".join), st.binary(max_size=200))


@given(streams, st.data())
def test_any_cut_gives_the_same_and_nothing_is_raised(stream: bytes, data: st.DataObject) -> None:
    whole = Talk().receive_all([stream])
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    cut = Talk().receive_all([stream[a:b] for a, b in itertools.pairwise([0, *cuts, len(stream)])])
    assert (cut.output, cut.closing) == (whole.output, whole.closing)
    assert cut.decoder.buffered == whole.decoder.buffered


@given(streams)
def test_a_byte_at_a_time_gives_the_same(stream: bytes) -> None:
    stream = stream[:600]
    whole = Talk().receive_all([stream])
    bytewise = Talk().receive_all([stream[at : at + 1] for at in range(len(stream))])
    assert (bytewise.output, bytewise.closing) == (whole.output, whole.closing)


@given(st.lists(st.sampled_from([each for each in REQUESTS[:5] if not each.startswith(b"HEAD")]), max_size=20))
def test_every_request_is_answered_in_order(requests: list[bytes]) -> None:
    talk = Talk().receive_all([b"".join(requests)])
    answered = responses(talk.output)
    assert [body.split(b" ")[0] for _, _, body in answered] == [each.strip().split(b" ")[0] for each in requests]
    assert not talk.closing
