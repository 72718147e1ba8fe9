"""A broker for all behaviours, or another one's address in INTEROP_AMQP_URL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker_process import DRAGOMAN, BrokerProcess


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One broker that every behaviour meets as the last one left it."""
    assert DRAGOMAN.exists(), "run make build"
    process = BrokerProcess(tmp_path_factory.mktemp("broker"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def fresh_broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A started broker of this test alone, to be treated as it likes."""
    assert DRAGOMAN.exists(), "run make build"
    process = BrokerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def stranger() -> str | None:
    """The address of another broker, to see whether a behaviour is what that one shows too."""
    return os.environ.get("INTEROP_AMQP_URL")
