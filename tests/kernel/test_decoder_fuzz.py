"""Coverage-guided fuzzing of the decoders for DRAGOMAN_TEST_FUZZ_S seconds (``make test-long``): see tests/fuzz."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

FUZZ = Path(__file__).parent.parent / "fuzz"
SECONDS = int(os.environ.get("DRAGOMAN_TEST_FUZZ_S", "0"))


@pytest.mark.slow
@pytest.mark.skipif(SECONDS == 0, reason="set DRAGOMAN_TEST_FUZZ_S, or make test-long")
@pytest.mark.parametrize("protocol", ["amqp", "mqtt", "stomp", "web"])
def test_no_input_that_fuzzing_finds_breaks_a_law(protocol: str) -> None:
    of_protocol = [] if protocol == "amqp" else [f"--{protocol}"]
    command = ["cargo", "run", "-q", "--locked", "--release", "--", *of_protocol, "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=FUZZ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all laws hold" in done.stdout
