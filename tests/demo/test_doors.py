from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from broker.config import Config, load
from broker.demo.command import broker_environment, introduction
from broker.demo.doors import Door, Taken, free_doors

USUAL = [Door("amqp", "127.0.0.1", 5672), Door("http", "127.0.0.1", 15672)]


def ports(doors: Sequence[Door]) -> list[int]:
    return [door.port for door in doors]


def test_free_ports_are_the_documented_ones() -> None:
    doors, moved = free_doors(USUAL, None, lambda _: True)
    assert (doors, moved) == (USUAL, "")


def test_where_one_is_taken_all_are_moved_and_it_is_said() -> None:
    doors, moved = free_doors(USUAL, None, lambda door: door.port not in (5672, 15772))
    assert ports(doors) == [5872, 15872]
    assert moved == "port 5672 (amqp) is taken: all ports are moved by 200"


def test_it_says_so_where_none_is_free() -> None:
    with pytest.raises(Taken, match=r"ports 5672 \(amqp\), 15672 \(http\) are taken, and so are others"):
        free_doors(USUAL, None, lambda _: False)


def test_an_offset_that_was_asked_for_is_kept_to() -> None:
    doors, moved = free_doors(USUAL, 100, lambda _: True)
    assert (ports(doors), moved) == ([5772, 15772], "")
    with pytest.raises(Taken, match=r"port 5772 \(amqp\) is taken: try another --port-offset"):
        free_doors(USUAL, 100, lambda door: door.port != 5772)


@pytest.mark.parametrize("offset", [-5672, 50_000])
def test_there_is_no_such_port(offset: int) -> None:
    with pytest.raises(Taken, match="there is no port"):
        free_doors(USUAL, offset, lambda _: True)


def test_the_broker_is_told_of_its_doors_and_its_data_and_of_nothing_else() -> None:
    moved = [Door(each.protocol, each.host, each.port + 100) for each in Config().broker.listeners]
    data = Path("/tmp/a: b, 'c'")
    config = load(None, broker_environment({"DRAGOMAN__BROKER__LIMITS__CHANNEL_MAX": "1"}, data, moved))
    assert [Door(each.protocol, each.host, each.port) for each in config.broker.listeners] == moved
    assert config.broker.storage.log_dir == str(data)
    assert config.broker.limits == Config().broker.limits
    assert broker_environment({"HOME": os.curdir}, data, moved)["HOME"] == os.curdir


def test_the_introduction_names_every_door_and_the_page() -> None:
    said = introduction(USUAL, 50)
    assert "AMQP 127.0.0.1:5672, HTTP and WebSocket 127.0.0.1:15672" in said
    assert "Open http://127.0.0.1:15672/demo/" in said
    assert "Open" not in introduction(USUAL[:1], 50)
