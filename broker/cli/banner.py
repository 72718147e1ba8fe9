"""What `dragoman run` prints once it accepts connections."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from broker.cli.arguments import VERSION

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to reach a listener that takes connections at every address."""


def banner(cluster_name: str, addresses: Sequence[tuple[str, str, int]], data: Path) -> str:
    """``addresses``: protocol, host and port of each listener.  The two lines at the end can be pasted as they are."""
    lines = [f"Dragoman {VERSION}, cluster {cluster_name}"]
    lines += [f"  {name:<5} {host}:{port}" for name, host, port in addresses]
    lines.append(f"  data  {data}")
    http = next(((host, port) for name, host, port in addresses if name == "http"), None)
    if http is not None:
        lines.append(f"Open http://{shown_address(*http)}/ for how to connect, and how it is doing.")
    amqp = next(((host, port) for name, host, port in addresses if name == "amqp"), None)
    if amqp is not None:
        client = f"{shlex.quote(sys.executable)} -m broker.cli.first_message"
        url = first_url(*amqp)
        lines += [
            "Try it; each line in a terminal of its own:",
            f"  {client} receive {url} hello",
            f"  {client} send {url} hello 'Hello, world'",
        ]
    return "\n".join(lines) + "\n"


def first_url(host: str, port: int) -> str:
    return f"amqp://guest:guest@{shown_address(host, port)}"


def shown_address(host: str, port: int) -> str:
    """Where a client of this machine reaches it."""
    host = ANY.get(host, host)
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}"
