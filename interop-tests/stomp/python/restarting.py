"""A behaviour that needs the broker to be killed and started asks whoever runs it to do that."""

from __future__ import annotations

import sys


def restart_broker() -> None:
    """Returns once it accepts connections again, with the same data."""
    print("restart", flush=True)
    assert sys.stdin.readline() == "restarted\n"
