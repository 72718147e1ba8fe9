"""``dragoman config check`` and ``config show``."""

from __future__ import annotations

import sys

from broker.config import Config, ConfigError, render


def report(error: ConfigError) -> int:
    """Tells what is wrong, a line each; the exit code."""
    for problem in error.problems:
        print(problem, file=sys.stderr)
    return 2


def check(config: Config) -> int:
    """It was read, so it is good."""
    listeners = ", ".join(f"{each.protocol} on {each.host}:{each.port}" for each in config.broker.listeners)
    print(f"good: {listeners}; data in {config.broker.storage.log_dir}")
    return 0


def show(config: Config) -> int:
    print(render(config), end="")
    return 0
