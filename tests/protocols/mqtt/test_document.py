"""The page about MQTT says what the adapter does."""

from __future__ import annotations

from pathlib import Path

from broker.model.refusals import Refusal
from protocols.mqtt.document import document
from protocols.mqtt.packet_type import PacketType
from protocols.mqtt.reason_codes import CARRIERS
from protocols.mqtt.refusals import REASONS, reason_for

PAGE = Path(__file__).parents[3] / "docs" / "protocols" / "mqtt.md"


def test_the_page_is_what_the_tables_say() -> None:
    """After a change that is meant: ``python -m protocols.mqtt.document > docs/protocols/mqtt.md``."""
    assert PAGE.read_text() == document()


def test_every_refusal_has_a_reason_that_each_packet_may_carry() -> None:
    assert REASONS.keys() == set(Refusal)
    for refusal in Refusal:
        for kind in (
            PacketType.CONNACK,
            PacketType.PUBACK,
            PacketType.PUBREC,
            PacketType.SUBACK,
            PacketType.UNSUBACK,
            PacketType.DISCONNECT,
        ):
            assert kind in CARRIERS[reason_for(refusal, kind)]
