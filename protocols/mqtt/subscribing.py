"""SUBSCRIBE and UNSUBSCRIBE: filters to subscriptions, answers to reason codes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker.model.client_sessions import SubscriptionSpec
from broker.model.refusals import Refusal
from protocols.mqtt.packet_type import PacketType
from protocols.mqtt.packets import Suback, Subscribe, SubscriptionRequest, Unsuback, Unsubscribe
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.refusals import reason_for
from protocols.mqtt.topic_filter import TopicFilter, is_queue, is_shared, parse_filter
from protocols.mqtt.violation import protocol_error

QUEUE_QOS_MAX = 1
"""The most that a queue's messages are granted: they are acknowledged once."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A packet whose answer is owed, and for each filter the reason code that is known; None: the core's to say."""

    packet_id: int
    reasons: tuple[ReasonCode | None, ...]
    granted: tuple[int, ...] = ()
    """What is granted to those that the core does not refuse, in order."""


def read_subscribe(packet: Subscribe) -> tuple[Asked, list[SubscriptionSpec]]:
    """What is asked, and the subscriptions that may be."""
    specs = []
    reasons: list[ReasonCode | None] = []
    for request in packet.requests:
        if request.no_local and is_shared(request.filter):
            raise protocol_error("No Local on a shared subscription")  # [MQTT-3.8.3-4]
        parsed = parse_filter(request.filter)
        if not isinstance(parsed, TopicFilter):
            reasons.append(parsed)
        elif request.no_local and is_queue(parsed.filter):
            # A queue doesn't know whose messages they are.
            reasons.append(ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR)
        else:
            specs.append(_spec(request, parsed))
            reasons.append(None)
    return Asked(packet.packet_id, tuple(reasons), tuple(spec.qos for spec in specs)), specs


def _spec(request: SubscriptionRequest, parsed: TopicFilter) -> SubscriptionSpec:
    return SubscriptionSpec(
        parsed.filter,
        min(request.qos, QUEUE_QOS_MAX) if is_queue(parsed.filter) else request.qos,
        parsed.share,
        request.no_local,
        request.retain_as_published,
        request.retain_handling,
    )


def suback(asked: Asked, refusals: Sequence[Refusal | None]) -> Suback:
    said = iter(zip(asked.granted, refusals, strict=True))
    codes = []
    for reason in asked.reasons:
        if reason is None:
            qos, refusal = next(said)
            reason = ReasonCode(qos) if refusal is None else reason_for(refusal, PacketType.SUBACK)
        codes.append(reason)
    return Suback(asked.packet_id, tuple(codes))


def read_unsubscribe(packet: Unsubscribe) -> tuple[Asked, list[tuple[str | None, str]]]:
    filters = []
    reasons: list[ReasonCode | None] = []
    for text in packet.filters:
        parsed = parse_filter(text)
        if isinstance(parsed, TopicFilter):
            filters.append((parsed.share, parsed.filter))
            reasons.append(None)
        else:
            reasons.append(parsed)
    return Asked(packet.packet_id, tuple(reasons)), filters


def unsuback(asked: Asked, found: Sequence[bool]) -> Unsuback:
    said = iter(found)
    there, missing = ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED
    codes = [(there if next(said) else missing) if reason is None else reason for reason in asked.reasons]
    return Unsuback(asked.packet_id, tuple(codes))
