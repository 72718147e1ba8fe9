"""Everybody who subscribed gets a copy, by name or by pattern; nobody who came later or left does."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    stem = fresh("topic")
    publisher = broker.connect()
    publisher.send_surely(f"/topic/{stem}.a", b"before")
    watchers = {}
    for pattern in ("a", "*", "#", "a.*"):
        watchers[pattern] = broker.connect()
        watchers[pattern].subscribe(f"/topic/{stem}.{pattern}")
    twice = watchers["a"].subscribe(f"/topic/{stem}.a")
    publisher.send(f"/topic/{stem}.a", b"1")
    publisher.send(f"/topic/{stem}.a.b", b"2")
    publisher.send_surely(f"/topic/{stem}.c", b"3")
    expected = {"a": [b"1", b"1"], "*": [b"1", b"3"], "#": [b"1", b"2", b"3"], "a.*": [b"2"]}
    assert {pattern: watcher.take(len(expected[pattern])) for pattern, watcher in watchers.items()} == expected
    watchers["a"].unsubscribe(twice)
    publisher.send(f"/topic/{stem}.a", b"4")
    publisher.send(f"/topic/{stem}.a", b"5")
    assert watchers["a"].take(2) == [b"4", b"5"]
    first = watchers["#"].next_message()
    assert first.headers["destination"] == f"/topic/{stem}.a"
    for client in (*watchers.values(), publisher):
        client.disconnect()
