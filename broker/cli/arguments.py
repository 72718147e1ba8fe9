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
    add_cluster(commands)
    return top


def add_cluster(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cluster = commands.add_parser(
        "cluster",
        help="look at a cluster and change it",
        description="Asks a node of the cluster over HTTP.  What is asked goes on by itself: Ctrl-C ends the watching. "
        "Exit codes: 0 done, 1 refused, 2 wrong arguments, 3 not reached or not allowed, 4 (status) a shard has no "
        "leader.",
    )
    actions = cluster.add_subparsers(dest="action", required=True, metavar="ACTION")
    node = "its name, or its peer id as status shows it"

    def action(name: str, help: str) -> argparse.ArgumentParser:
        command = actions.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        command.add_argument("--url", metavar="URL", default="http://127.0.0.1:15672", help="default: %(default)s")
        command.add_argument(
            "--user",
            metavar="NAME",
            help="an administrator; the password is taken from DRAGOMAN_PASSWORD, or asked for",
        )
        return command

    action("status", "tell who belongs, what is where, and what is under way")
    action("add", "look for a new node at an address, and wait until it is a member").add_argument(
        "address", metavar="ADDRESS", help="its cluster listener, host:port"
    )
    remove = action("remove", "have a node leave, and wait until it holds nothing")
    remove.add_argument("node", metavar="NODE", help=node)
    remove.add_argument("--cancel", action="store_true", help="let it stay after all")
    move = action("move", "move a shard's replica from one node to another, and wait until it is there")
    move.add_argument("shard", metavar="SHARD", type=int, help="its number; 0 is the meta shard")
    move.add_argument("source", metavar="FROM", help=node)
    move.add_argument("target", metavar="TO", help=node)
    transfer = action("transfer", "have another of its nodes lead a shard, and wait until it does")
    transfer.add_argument("shard", metavar="SHARD", type=int, help="its number; 0 is the meta shard")
    transfer.add_argument("target", metavar="TO", help=node)


def _devices(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError("must be 1 to 1000")
    return int(text)


def add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", type=Path, help="YAML; without it the documented defaults")
