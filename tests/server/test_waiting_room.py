"""What a node that serves nobody yet answers over HTTP."""

from __future__ import annotations

import json
import re

import trio
import trio.testing

from broker.admin.waiting import waiting_site
from broker.config.schema import Config, HttpListener
from broker.server.connection import Peer
from broker.server.listener import Endpoint
from broker.server.waiting_room import answer
from broker.web import http_protocol

WHY = "waiting for n2:7000, n3:7000: a cluster is founded once all of cluster.peers answered"
PEER = Peer("127.0.0.1", 1, True)


def endpoint(why: str = WHY) -> Endpoint:
    listener = HttpListener(protocol="http")
    return Endpoint("http", "127.0.0.1", 0, http_protocol(listener, Config(), None, waiting_site(lambda: why)))


async def ask(*requests: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer; the connection is kept for all of them."""
    ours, theirs = trio.testing.memory_stream_pair()
    answers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, endpoint(), PEER, theirs)
        for request in requests:
            for part in (request[:7], request[7:]):
                await ours.send_all(part)
            head, _, body = bytes(await ours.receive_some(1 << 20)).partition(b"\r\n\r\n")
            size = re.search(rb"content-length: (\d+)", head.lower())
            assert size is not None
            assert len(body) == int(size[1])
            answers.append((int(head.split()[1]), body))
        await ours.send_eof()
    return answers


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: n1", *lines, "", ""]).encode()


async def test_it_is_alive_and_not_ready_and_says_what_it_waits_for() -> None:
    live, ready, cluster, page = await ask(
        get("/health/live"), get("/health/ready"), get("/api/cluster", "Authorization: Basic eDp5"), get("/")
    )
    assert live[0] == 200
    assert (ready[0], json.loads(ready[1])["reason"]) == (503, WHY)
    for status, body in (cluster, page):
        assert (status, json.loads(body)["error"]) == (503, f"this node serves nobody yet: {WHY}")


async def test_what_is_no_http_is_hung_up_on() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, endpoint(), PEER, theirs)
        await ours.send_all(b"AMQP\x00\x00\x09\x01\r\n\r\n")
        assert b" 400 " in await ours.receive_some(1 << 20)


async def test_nothing_is_spoken_over_websocket() -> None:
    [(status, _)] = await ask(
        get(
            "/ws/mqtt",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol: mqtt",
        )
    )
    assert status >= 400
