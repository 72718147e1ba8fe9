"""What ``dragoman`` understands.  argparse: `dragoman --help` takes 40 ms, typer's import alone 120 ms."""

from __future__ import annotations

import argparse
from pathlib import Path

VERSION = "0.1.0"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="dragoman", description="A multi-protocol message broker.")
    top.add_argument("--version", action="version", version=f"dragoman {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="start the broker", description="Starts the broker; SIGTERM stops it.")
    add_config(run)

    demo = commands.add_parser(
        "demo",
        help="a broker with a fleet, a worker and a live page",
        description="Starts a broker on a temporary data directory, a simulated fleet (MQTT), a worker (AMQP) and "
        "a live page (STOMP over WebSocket); Ctrl-C ends them all.",
    )
    demo.add_argument("--port-offset", metavar="N", type=int, help="added to every port; without it, what is free")
    demo.add_argument("--devices", metavar="COUNT", type=_devices, default=50, help="1 to 1000; default: 50")

    config = commands.add_parser("config", help="check or show the configuration")
    config_commands = config.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = config_commands.add_parser("check", help="tell everything that is wrong with a file")
    check.add_argument("config", metavar="FILE", type=Path)
    add_config(config_commands.add_parser("show", help="print what is in force, every key written out"))
    log = commands.add_parser("log", help="look into a data directory")
    log_commands = log.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, help_text in (("dump", "print what the log holds"), ("verify", "read all of it and check it")):
        command = log_commands.add_parser(action, help=f"{help_text}; the broker must not be running")
        command.add_argument("directory", metavar="DIRECTORY", type=Path)
    return top


def _devices(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("must be 1 to 1000")
    return int(text)


def add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", type=Path, help="YAML; without it the documented defaults")
