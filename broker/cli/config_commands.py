"""``dragoman config check`` and ``config show``."""

from __future__ import annotations

import sys

from broker.config import Config, ConfigError, render


def report(error: ConfigError) -> None:
    """Tells what is wrong, a line each."""
    for problem in error.problems:
        print(problem, file=sys.stderr)


def check(config: Config) -> None:
    """It was read, so it is good."""
    listeners = ", ".join(f"{each.protocol} on {each.host}:{each.port}" for each in config.broker.listeners)
    if config.cluster.listen:
        listeners += f", other nodes on {config.cluster.listen}"
    print(f"good: {listeners}; data in {config.broker.storage.log_dir}")


def show(config: Config) -> None:
    print(render(config), end="")
