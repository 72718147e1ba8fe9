"""The transcripts in ``tests/transcripts/stomp``: each conversation goes exactly as written.

A transcript's first line makes the conversation; the others are read as ``conversation`` says.  After a change that is
meant, ``REWRITE_TRANSCRIPTS=1 pytest tests/protocols/stomp/test_transcripts.py`` writes what is done anew; the diff is
then what there is to review.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from broker.model.refusals import Refusal
from protocols.stomp.client import COMMANDS
from protocols.stomp.connection import REPLIES
from protocols.stomp.version import Version
from tests.protocols.stomp.conversation import Conversation, connected, replayed, subscribed

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts" / "stomp").glob("*.txt"))
VERSIONS = {version.name: version for version in Version}
MAKERS = {"connected": connected, "subscribed": subscribed, "Conversation": Conversation, **VERSIONS}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_conversation_goes_as_written(path: Path) -> None:
    written = path.read_text()
    first, _, rest = written.partition("\n")
    going = f"{first}\n{replayed(rest, eval(first, MAKERS))}"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(going)
    else:
        assert going == written


def test_every_reply_every_refusal_and_every_command_is_in_a_transcript() -> None:
    text = "".join(path.read_text() for path in TRANSCRIPTS)
    names = [reply.__name__ for reply in REPLIES] + [f"Refusal.{refusal.name}" for refusal in Refusal]
    assert [name for name in names if name not in text] == []
    commands = ["CONNECT", "STOMP", "SEND", *COMMANDS]
    assert [command for command in commands if not re.search(rf"(C:|\+) {command}\b", text)] == []
