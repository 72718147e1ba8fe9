"""The fuzzers' corpora keep the laws, and what they find in DRAGOMAN_TEST_FUZZ_S seconds (``make test-long``) does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.protocols.fuzzing import ROOT, Target
from tests.protocols.mqtt import fuzz, fuzz_adapter

SECONDS = int(os.environ.get("DRAGOMAN_TEST_FUZZ_S", "0"))
TARGETS = [(fuzz.__name__, fuzz.TARGET), (fuzz_adapter.__name__, fuzz_adapter.TARGET)]


@pytest.mark.parametrize(("module", "target"), TARGETS)
def test_the_corpus_keeps_the_laws(module: str, target: Target) -> None:
    paths = sorted(target.corpus.iterdir())
    assert paths
    for path in paths:
        target.check(path.read_bytes())


@pytest.mark.slow
@pytest.mark.skipif(SECONDS == 0, reason="set DRAGOMAN_TEST_FUZZ_S, or make test-long")
@pytest.mark.parametrize(("module", "target"), TARGETS)
def test_no_input_that_fuzzing_finds_breaks_a_law(module: str, target: Target) -> None:
    command = [sys.executable, "-m", module, "--seconds", str(SECONDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all laws hold" in done.stdout
