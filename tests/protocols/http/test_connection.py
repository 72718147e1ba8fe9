"""Good requests, and what every response has."""

from __future__ import annotations

from broker.model.replies import CloseConnection
from tests.protocols.http.talk import GET, Talk, responses


def test_a_connection_is_kept_until_one_side_says_close() -> None:
    talk = Talk()
    [(status, headers, body)] = responses(talk.receive(GET))
    assert (status, body) == (200, b"GET /  ")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'self'; frame-ancestors 'none'"
    assert headers["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert headers["content-length"] == "7"
    assert "connection" not in headers
    talk.receive(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert talk.closing


def test_http_1_0_closes() -> None:
    talk = Talk()
    [(status, headers, _)] = responses(talk.receive(b"GET / HTTP/1.0\r\n\r\n"))
    assert (status, headers["connection"], talk.closing) == (200, "close", True)


def test_a_head_request_gets_the_length_and_no_body() -> None:
    talk = Talk()
    answer = talk.receive(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n")
    [(status, headers, body)] = responses(answer, ["HEAD"])
    assert (status, headers["content-length"], body) == (200, "8", b"")
    assert answer.endswith(b"\r\n\r\n")


def test_a_response_without_content_has_no_length() -> None:
    [(status, headers, body)] = responses(Talk().receive(b"PUT /nothing HTTP/1.1\r\nHost: here\r\n\r\n"))
    assert (status, body) == (204, b"")
    assert "content-length" not in headers
    assert "content-type" not in headers


def test_bodies_come_whole_however_they_are_sent() -> None:
    head = b"POST /x?y HTTP/1.1\r\nHost: here\r\n"
    plain = Talk().receive(head + b"Content-Length: 5\r\n\r\nhello")
    chunked = Talk().receive(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
    assert [body for _, _, body in responses(plain + chunked)] == [b"POST /x y hello"] * 2


def test_who_waits_for_100_is_told_to_go_on() -> None:
    talk = Talk()
    head = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    assert talk.receive(head).startswith(b"HTTP/1.1 100 ")
    assert responses(talk.receive(b"hello"))[0][2] == b"POST /  hello"


def test_targets_of_proxies_are_understood() -> None:
    [(status, _, body)] = responses(Talk().receive(b"GET http://here:1/a?b HTTP/1.1\r\nHost: here\r\n\r\n"))
    assert (status, body) == (200, b"GET /a b ")


def test_shutdown_closes() -> None:
    talk = Talk()
    talk.adapter.receive_replies([CloseConnection("bye")], talk.now)
    talk.settle()
    assert talk.closing


def test_what_has_come_of_a_request_is_counted() -> None:
    talk = Talk()
    talk.receive(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5000\r\n\r\n" + b"x" * 4000)
    assert talk.decoder.buffered == 4000
    talk.receive(b"x" * 1000 + GET[:10])
    assert talk.decoder.buffered == 10
