"""The transcripts in ``tests/transcripts/amqp``: each conversation goes exactly as written.

A transcript's first line makes the conversation; the others are read as ``conversation`` says.  After a change that is
meant, ``REWRITE_TRANSCRIPTS=1 pytest tests/protocols/amqp/test_transcripts.py`` writes what is done anew; the diff is
then what there is to review.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker.model import replies
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from protocols.amqp.channel_methods import CHANNEL_METHODS
from protocols.amqp.connection import CONNECTION_METHODS
from protocols.amqp.methods import METHOD_NAMES
from protocols.amqp.settings import AmqpSettings
from tests.protocols.amqp.conversation import Conversation, opened, replayed, started

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts" / "amqp").glob("*.txt"))
MAKERS = {"opened": opened, "started": started, "Conversation": Conversation, "AmqpSettings": AmqpSettings}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_conversation_goes_as_written(path: Path) -> None:
    written = path.read_text()
    first, _, rest = written.partition("\n")
    going = f"{first}\n{replayed(rest, eval(first, MAKERS))}"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(going)
    else:
        assert going == written


def test_every_method_that_is_served_is_in_a_transcript() -> None:
    text = "".join(path.read_text() for path in TRANSCRIPTS)
    served = {METHOD_NAMES[method] for _, method in [*CHANNEL_METHODS, *CONNECTION_METHODS]}
    assert [name for name in sorted(served) if name not in text] == []


def test_every_reply_and_every_refusal_is_in_a_transcript() -> None:
    text = "".join(path.read_text() for path in TRANSCRIPTS)
    unasked = {replies.ScramChallenge}  # no AMQP client is offered SCRAM
    ours = [reply for reply in Reply.__args__ if reply.__module__ == replies.__name__ and reply not in unasked]
    refusals = [refusal for refusal in Refusal if refusal is not Refusal.CLIENT_ID_TAKEN]  # no AMQP client has one
    names = [reply.__name__ for reply in ours] + [refusal.name for refusal in refusals]
    assert [name for name in names if name not in text] == []
