"""The transcripts in ``tests/transcripts/mqtt``: each conversation goes exactly as written.

A transcript's first line makes the conversation; the others are read as ``conversation`` says.  After a change that is
meant, ``REWRITE_TRANSCRIPTS=1 pytest tests/protocols/mqtt/test_transcripts.py`` writes what is done anew; the diff is
then what there is to review.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from broker.model.refusals import Refusal
from protocols.mqtt.connection import PACKETS, REPLIES
from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import PACKET_TYPES
from protocols.mqtt.packets import PACKETS as LAYOUTS
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from tests.protocols.mqtt.conversation import Conversation, connected, replayed

TRANSCRIPTS = sorted((Path(__file__).parents[2] / "transcripts" / "mqtt").glob("*.txt"))
VERSIONS = {"V3_1": Version.MQTT_3_1, "V3_1_1": Version.MQTT_3_1_1, "V5": Version.MQTT_5}
MAKERS = {"connected": connected, "Conversation": Conversation, **VERSIONS}


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_conversation_goes_as_written(path: Path) -> None:
    written = path.read_text()
    first, _, rest = written.partition("\n")
    going = f"{first}\n{replayed(rest, eval(first, MAKERS))}"
    if os.environ.get("REWRITE_TRANSCRIPTS"):
        path.write_text(going)
    else:
        assert going == written


def text_of(version: str = "") -> str:
    """All that is written, or all of conversations in this version."""
    texts = [path.read_text() for path in TRANSCRIPTS]
    return "".join(text for text in texts if not version or re.search(rf"\({version}\b", text.partition("\n")[0]))


def test_every_reply_and_every_refusal_is_in_a_transcript() -> None:
    text = text_of()
    names = [reply.__name__ for reply in REPLIES] + [f"Refusal.{refusal.name}" for refusal in Refusal]
    assert [name for name in names if name not in text] == []


def test_every_packet_that_is_served_is_in_a_transcript_of_each_version() -> None:
    for name, version in VERSIONS.items():
        text = text_of(name)
        served = {PACKET_TYPES[packet] for _, packet in PACKETS} | {PacketType.PUBLISH}
        served |= {PacketType.PUBACK, PacketType.PUBREC, PacketType.PUBREL, PacketType.PUBCOMP}
        if version is not Version.MQTT_5:
            served.remove(PacketType.AUTH)
        assert [kind.name for kind in sorted(served) if not re.search(rf"(C:|\+) {kind.name.lower()}\b", text)] == []
        sent = [
            kind
            for kind, layout in LAYOUTS.items()
            if Sender.SERVER in (layout.senders if version is Version.MQTT_5 else layout.senders_v3)
        ]
        sent = [PacketType.PUBLISH, *(kind for kind in sent if kind is not PacketType.AUTH)]
        assert [kind.name for kind in sent if f"S: {kind.name.lower()}" not in text] == []


def test_every_setting_is_in_a_transcript() -> None:
    firsts = " ".join(path.read_text().partition("\n")[0] for path in TRANSCRIPTS)
    assert [name for name in MqttSettings.__struct_fields__ if f"{name}=" not in firsts] == []
