"""Coverage-guided fuzzing of the whole adapter, with the kernel's decoder before it and a core behind.

``python -m tests.protocols.mqtt.fuzz_adapter [--seconds 60] [--seed N] [--keep] [FILE...]``

Starts from ``adapter_corpus/``, where an input is a byte for the listener's settings, one for how the bytes come and
what the core does meanwhile, and the client's bytes.  ``FILE`` checks an input again.  ``fuzzing.py`` has the rest.
"""

from __future__ import annotations

import random
from pathlib import Path

from broker.model.refusals import Refusal
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packets import Pingreq
from protocols.mqtt.settings import MqttSettings
from tests.protocols.fuzzing import TELLING, Target, main
from tests.protocols.mqtt.conversation import V5
from tests.protocols.mqtt.core_double import SETTINGS, Connection, assert_same, assert_well_behaved
from tests.protocols.mqtt.wire import remaining_length

CORPUS = Path(__file__).parent / "adapter_corpus"
LISTENERS = (
    SETTINGS,
    MqttSettings(receive_maximum=2, retain_available=False, topic_alias_maximum=0),
    MqttSettings(allow_anonymous=False, persistent_client_expiration_s=10, keep_alive_max_s=5, packet_size_max=100),
    MqttSettings(disconnect_on_unauthorized=False, enforce_receive_maximum=False),
)
PIECES = (1, 7, 40, 4_096)
"""Bytes that come at once."""
REFUSALS = (None, None, Refusal.ACCESS_REFUSED, Refusal.RESOURCE_ERROR)


def check(data: bytes) -> None:
    """The laws; AssertionError, or whatever else is raised, where one is broken."""
    which, how = (*data[:2], 0, 0)[:2]
    stream = data[2:]
    settings = LISTENERS[which % len(LISTENERS)]
    _check_cuts(stream, settings, PIECES[how & 3])
    _check_talk(stream, settings, PIECES[how & 3], how >> 2)


def _check_cuts(stream: bytes, settings: MqttSettings, piece: int) -> None:
    whole, cut = Connection(settings), Connection(settings)
    whole.receive(stream)
    for start in range(0, len(stream), piece):
        cut.receive(stream[start : start + piece])
    assert_same(cut, whole)
    assert_well_behaved(whole)


def _check_talk(stream: bytes, settings: MqttSettings, piece: int, how: int) -> None:
    """The core answers and refuses, and delivers, between the pieces."""
    connection = Connection(settings)
    refusal = REFUSALS[how & 3]
    for start in range(0, len(stream), piece):
        connection.receive(stream[start : start + piece])
        for _ in range(how >> 2 & 3):
            if connection.core.pending:
                connection.say(connection.core.answer(refusal))
        connection.say(connection.core.deliver((how >> 4 & 3) % 3, how & 1))
    connection.finish()
    connection.adapter.receive_timeout(1e9)
    connection.settle()
    assert_well_behaved(connection)


def _insert_packet(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    """Of a length that is right."""
    body = bytes(rng.choices(TELLING, k=rng.randrange(8)))
    out[at:at] = bytes((rng.choice((0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xA2, 0xE0, 0xF0)),))
    out[at + 1 : at + 1] = remaining_length(len(body)) + body


def _ping(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    out += encode_packet(Pingreq(), V5)


def _rearrange(out: bytearray, at: int, other: bytes, rng: random.Random) -> None:
    """Another listener, another core."""
    out[:2] = bytes((rng.randrange(4), rng.randrange(256)))


TARGET = Target("the MQTT adapter", CORPUS, check, (_insert_packet, _ping, _rearrange))

if __name__ == "__main__":
    main(TARGET)
