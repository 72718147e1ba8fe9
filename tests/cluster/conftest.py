"""What many tests of clusters begin with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.nodes import TestedCluster


@pytest.fixture
def cluster() -> Iterator[TestedCluster]:
    """Three nodes, all members of all groups from the start."""
    made = TestedCluster(3, static=True)
    made.settle()
    yield made
    for name in list(made.nodes):
        made.kill(name)
