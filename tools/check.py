"""Lint and tests, step by step: ``check.py lint | test | test-long | interop`` with ``.venv``'s Python.

Every step runs, also after one that failed; pytest comes last, so that its summary is the last thing said.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PYTHON = sys.executable
OURS = ("broker", "protocols", "routing", "store", "kernel", "tests", "tools", "bench", "interop-tests")
CARGO = ("--locked", "--manifest-path", "kernel/Cargo.toml")
STUBTEST = ("--mypy-config-file", "pyproject.toml", "--allowlist", "kernel/stubtest.allow", "--ignore-unused-allowlist")


class Step(NamedTuple):
    """A command and the environment it adds."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}


def module(name: str, *arguments: str) -> tuple[str, ...]:
    return (PYTHON, "-m", name, *arguments)


def lint_steps() -> list[Step]:
    folders = [folder for folder in OURS if next((ROOT / folder).rglob("*.py"), None)]
    return [
        Step("ruff check", module("ruff", "check", "--quiet", ".")),
        Step("ruff format", module("ruff", "format", "--check", "--quiet", ".")),
        Step("mypy", module("mypy", *folders)),
        Step("stubtest", module("mypy.stubtest", "kernel._kernel", *STUBTEST)),
        Step("cargo fmt", ("cargo", "fmt", "--check", "--manifest-path", "kernel/Cargo.toml")),
        Step(
            "clippy without Python",
            ("cargo", "clippy", "-q", *CARGO, "--all-targets", "--no-default-features", "--", "-D", "warnings"),
        ),
        Step("clippy with Python", ("cargo", "clippy", "-q", *CARGO, "--", "-D", "warnings"), {"PYO3_PYTHON": PYTHON}),
    ]


HOUSE_RULES = Step("house rules", module("pytest", "-q", "tests/test_house_rules.py"))
CARGO_TEST = Step("cargo test", ("cargo", "test", "-q", *CARGO, "--no-default-features"))
# Unit tests know no port and no clock, so that two cores may have one half each.  Those with real clients wait for them
# most of the time: two files at a time, each with a broker of its own, and in a file one test after the other.
UNIT = Step("unit tests", module("pytest", "-n", "2", "--dist", "worksteal", "tests"))
INTEROP = Step("interop", module("pytest", "-n", "2", "--dist", "loadfile", "--durations", "10", "interop-tests"))

# What `make test-long` turns up.  Whatever is set already wins: SIMULATION_SECONDS=36000 make test-long.
LONG = {
    "HYPOTHESIS_PROFILE": "slow",
    "DRAGOMAN_TEST_FUZZ_S": "100",  # coverage-guided fuzzing of each decoder and adapter: 10 minutes in all
    "DRAGOMAN_TEST_STOMP_VERSIONS": "all",  # every STOMP client in every version that it speaks
    "SIMULATION_SECONDS": "600",  # simulations of drawn seeds
    "DRAGOMAN_TEST_KILL_ROUNDS": "50",  # kill -9 under confirmed load
    "DRAGOMAN_TEST_RIG_KILLS": "20",  # kill -9 of a random node of three, and a quarter as often SIGSTOP of the leader
}


def plan(target: str) -> list[Step]:
    match target:
        case "lint":
            return [*lint_steps(), HOUSE_RULES]
        case "test":
            return [*lint_steps(), CARGO_TEST, UNIT, INTEROP]
        case "test-long":
            long = {**LONG, **{name: os.environ[name] for name in LONG if name in os.environ}}
            return [*lint_steps(), *(step._replace(environment=long) for step in (CARGO_TEST, UNIT, INTEROP))]
        case "interop":
            return [INTEROP]
        case _:
            raise SystemExit(f"check.py: no such target {target!r}")


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: check.py lint|test|test-long|interop", file=sys.stderr)
        return 2
    failed: list[str] = []
    steps = plan(arguments[0])
    for step in steps:
        if step is steps[-1] and failed:
            print(f"-- failed so far: {', '.join(failed)}", flush=True)
        print(f"-- {step.name}", flush=True)
        started = time.monotonic()
        code = subprocess.run(step.command, cwd=ROOT, env={**os.environ, **step.environment}, check=False).returncode
        if code:
            failed.append(step.name)
        if step is not steps[-1]:
            print(f"   {'FAILED' if code else 'ok'} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
