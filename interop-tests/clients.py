"""The clients that show behaviours: how each is run, and how it is installed where it is missing."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
AMQP = ROOT / "interop-tests" / "amqp"
PYTHON = ROOT / ".venvs" / "interop" / "bin" / "python"
GO_CLIENT = ROOT / "build" / "interop" / "go"
SHOW_TIMEOUT_S = 120


class Client(NamedTuple):
    """``command`` and a behaviour's name and the broker's URL make one run."""

    name: str
    command: tuple[str, ...]
    folder: Path
    behaviours: tuple[str, ...]
    """Patterns: a file for each."""
    needs: Path
    remedy: str

    def missing(self) -> str | None:
        """What to do where it can't be run; None where it can."""
        return None if self.needs.exists() else f"{self.name} is missing: {self.remedy}"

    def behaviour_names(self) -> list[str]:
        shared = {"__init__", "connection", "client", "main", "mod"}
        return sorted({path.stem for pattern in self.behaviours for path in self.folder.glob(pattern)} - shared)


REMEDY = "then run make interop"
NODE_MODULE = AMQP / "node" / "node_modules" / "amqplib" / "package.json"
CLIENTS = (
    Client("pika", (str(PYTHON), "run.py", "on_pika"), AMQP / "python", ("on_pika/*.py",), PYTHON, "run make interop"),
    Client(
        "aio-pika", (str(PYTHON), "run.py", "on_aio_pika"), AMQP / "python", ("on_aio_pika/*.py",), PYTHON,
        "run make interop",
    ),
    Client(
        "amqplib", ("node", "run.js"), AMQP / "node", ("behaviours/*.js",), NODE_MODULE,
        f"apt-get install nodejs npm, {REMEDY}",
    ),
    Client("amqp091-go", (str(GO_CLIENT),), AMQP / "go", ("*.go",), GO_CLIENT, f"install Go 1.22 or newer, {REMEDY}"),
)  # fmt: skip


def require(missing: str | None) -> None:
    """Skips the test if something is missing; where everything has to be there, fails it."""
    if missing is None:
        return
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def show(client: Client, behaviour: str, url: str, restart: Callable[[], None]) -> None:
    """Runs one behaviour to its end, restarting the broker where it asks for it."""
    command = [*client.command, behaviour, url]
    with tempfile.TemporaryFile("w+") as logged:  # a client's threads may log after the last word on its output
        with subprocess.Popen(
            command, cwd=client.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=logged, text=True
        ) as running:
            try:
                said = converse(running, restart)
                code = running.wait(SHOW_TIMEOUT_S)
            finally:
                running.kill()
        logged.seek(0)
        told = "\n".join([f"{' '.join(command)} ended with {code}:", *said, "and logged:", logged.read()])
    assert (code, said[-1:]) == (0, ["shown"]), told


def converse(running: subprocess.Popen[str], restart: Callable[[], None]) -> list[str]:
    assert running.stdin is not None
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line.rstrip("\n"))
        if said[-1] == "restart":
            restart()
            running.stdin.write("restarted\n")
            running.stdin.flush()
    return said
