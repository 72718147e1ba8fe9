"""The fuzzer's corpus keeps the laws, and what it finds in DRAGOMAN_TEST_FUZZ_S seconds (``make test-long``) does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.protocols.fuzzing import ROOT
from tests.protocols.stomp import fuzz

SECONDS = int(os.environ.get("DRAGOMAN_TEST_FUZZ_S", "0"))


def test_the_corpus_keeps_the_laws() -> None:
    paths = sorted(fuzz.CORPUS.iterdir())
    assert paths
    for path in paths:
        fuzz.check(path.read_bytes())


@pytest.mark.slow
@pytest.mark.skipif(SECONDS == 0, reason="set DRAGOMAN_TEST_FUZZ_S, or make test-long")
def test_no_input_that_fuzzing_finds_breaks_a_law() -> None:
    command = [sys.executable, "-m", fuzz.__name__, "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all laws hold" in done.stdout
