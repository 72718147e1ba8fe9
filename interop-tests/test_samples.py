"""Every sample of docs/clients runs as it is printed, and prints what stands under it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from broker_process import BrokerProcess
from clients import PYTHON, REMEDY, ROOT, require

pytestmark = pytest.mark.interop

PAGES = ROOT / "docs" / "clients"
NODE = Path(__file__).parent / "samples"
FENCES = re.compile(r"^## (.*?)$|^```(python|javascript)\n(.*?)^```\n\n```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SAMPLE_TIMEOUT_S = 60
DEFAULT_PORTS = {"amqp": 5672, "mqtt": 1883, "stomp": 61613, "http": 15672}


class Sample(NamedTuple):
    name: str
    language: str
    program: str
    printed: str


def samples() -> list[Sample]:
    found = []
    for page in sorted(PAGES.glob("*.md")):
        heading = ""
        for title, language, program, printed in FENCES.findall(page.read_text()):
            if title:
                heading = title
            else:
                found.append(Sample(f"{page.stem}-{heading}", language, program, printed))
    return found


def test_no_program_is_left_out() -> None:
    """One whose fence isn't followed by what it prints would not be run."""
    text = "".join(page.read_text() for page in PAGES.glob("*.md"))
    assert len(samples()) == len(re.findall(r"^```(?:python|javascript)$", text, re.MULTILINE)) > 0


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.name)
def test_a_sample_prints_what_it_says(broker: BrokerProcess, sample: Sample) -> None:
    program = sample.program
    for protocol, ours in broker.ports().items():
        program = re.sub(rf"\b{DEFAULT_PORTS[protocol]}\b", str(ours), program)
    if sample.language == "python":
        require(None if PYTHON.exists() else "Python's clients are missing: run make interop")
        command = [str(PYTHON), "-c", program]
    else:
        installed = (NODE / "node_modules").exists()
        require(None if installed else f"the Node clients are missing: apt-get install nodejs npm, {REMEDY}")
        command = ["node", "--input-type=module", "-e", program]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=SAMPLE_TIMEOUT_S, check=False)
    assert (done.returncode, done.stdout) == (0, sample.printed), done.stderr
