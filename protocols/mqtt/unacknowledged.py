"""What a client published and is not done with: the core's tags and the client's ids of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from broker.model.client_sessions import NO_CHANNEL, PublishOnce, Released
from broker.model.commands import Publish
from broker.model.replies import TagRange
from kernel import MessageRun, PacketIds, Receipts
from protocols.mqtt.packet_type import PacketType

FAILED = 0x80
"""The least reason code that says something failed."""


class Unacknowledged:
    """One connection's publishes of QoS 1 and 2."""

    __slots__ = ("_next_tag", "_receipts", "_unreleased")

    def __init__(self) -> None:
        self._next_tag = 1
        self._receipts: dict[int, Receipts] = {}
        """Of QoS 1 and of QoS 2: what was published and not confirmed."""
        self._unreleased: set[int] = set()
        """Packet ids of QoS 2 publishes that are not over."""

    def first_exceeding(self, qos: int, packet_ids: PacketIds, count_max: int) -> int | None:
        """The first of these that is more than may be unacknowledged at once ([MQTT-3.3.4-7])."""
        room = count_max - len(self._unreleased)
        if 1 in self._receipts:
            room -= len(self._receipts[1])
        if len(packet_ids) <= room:
            return None
        if qos == 1:
            return max(room, 0)
        # Rare.  What is sent again counts once.
        seen = set(self._unreleased)
        for position, packet_id in enumerate(packet_ids.to_list()):
            if packet_id not in seen:
                if room <= 0:
                    return position
                seen.add(packet_id)
                room -= 1
        return None

    def publish(self, qos: int, messages: MessageRun, packet_ids: PacketIds) -> Publish | PublishOnce:
        """What is asked of the core, with the tags that its answer has."""
        receipts = self._receipts.get(qos)
        if receipts is None:
            receipts = self._receipts[qos] = Receipts()
        tag = self._next_tag
        self._next_tag += messages.count
        receipts.push(tag, packet_ids)
        if qos == 1:
            return Publish(NO_CHANNEL, messages, tag)
        self._unreleased.update(packet_ids.to_list())
        return PublishOnce(messages, packet_ids, tag)

    def settle(self, tags: Sequence[TagRange], reason: int) -> Iterator[tuple[PacketType, int, PacketIds]]:
        """What may be acknowledged now, in the order in which it came ([MQTT-4.6.0-2]): packet, reason, ids."""
        for qos, receipts in self._receipts.items():
            kind = PacketType.PUBACK if qos == 1 else PacketType.PUBREC
            for first, last in tags:
                for settled, packet_ids in receipts.settle(first, last, reason):
                    if kind is PacketType.PUBREC and settled >= FAILED:
                        self._unreleased.difference_update(packet_ids.to_list())
                    yield kind, settled, packet_ids

    def release(self, released: Released) -> None:
        """Those of an earlier connection were never counted."""
        self._unreleased.difference_update(released.packet_ids.to_list(), released.unknown.to_list())
