"""Packets of every type for hypothesis, with what the version has of them and nothing else."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from protocols.mqtt.packet_type import PacketType, Sender
from protocols.mqtt.packets import (
    PACKETS,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    SubscriptionRequest,
    Unsuback,
    Unsubscribe,
    Will,
)
from protocols.mqtt.properties import LARGEST, PROPERTIES, DataType, Holder, Properties, Property
from protocols.mqtt.reason_codes import REASON_CODES, ReasonCode, carried
from protocols.mqtt.topic_filter import is_shared
from protocols.mqtt.version import Version

strings = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)
topic_names = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="+#"), min_size=1, max_size=12)
packet_ids = st.integers(1, 0xFFFF)
binaries = st.binary(max_size=12)
VALUES: dict[DataType, st.SearchStrategy[Any]] = {
    DataType.STRING: strings,
    DataType.TOPIC_NAME: topic_names,
    DataType.BINARY_DATA: binaries,
    DataType.STRING_PAIR: st.tuples(strings, strings),
}


@cache
def property_values(row: Property, holder: Holder) -> st.SearchStrategy[Any]:
    largest = LARGEST.get(row.type) if row.largest is None else row.largest
    one = VALUES[row.type] if largest is None else st.integers(row.smallest, largest)
    if not row.repeats_in:
        return one
    return st.lists(one, min_size=1, max_size=3 if holder in row.repeats_in else 1).map(tuple)


@cache
def properties_of(holder: Holder, without: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Some of what may be there, in any order."""
    rows = {name: row for name, row in PROPERTIES.items() if holder in row.holders and name not in without}
    chosen = st.lists(st.sampled_from(sorted(rows)), unique=True, max_size=6)
    return chosen.flatmap(
        lambda some: st.tuples(*(property_values(rows[name], holder) for name in some)).map(
            lambda values: dict(zip(some, values, strict=True))
        )
    )


def _consistent(properties: dict[str, Any]) -> bool:
    return "authentication_data" not in properties or "authentication_method" in properties


@cache
@st.composite
def wills(draw: st.DrawFn, version: Version) -> Will:
    properties: Properties = draw(properties_of(Holder.WILL)) if version is Version.MQTT_5 else {}
    payload = draw(strings).encode() if properties.get("payload_format_indicator") else draw(binaries)
    return Will(draw(topic_names), payload, draw(st.integers(0, 2)), draw(st.booleans()), properties)


@st.composite
def connects(draw: st.DrawFn, version: Version) -> Connect:
    user_name = draw(st.none() | names)
    may_have_password = version is Version.MQTT_5 or user_name is not None
    client_id = draw(names)
    return Connect(
        version,
        client_id or ("c" if version is Version.MQTT_3_1 else ""),
        draw(st.booleans()) if client_id or version is not Version.MQTT_3_1_1 else True,
        draw(st.integers(0, 0xFFFF)),
        draw(st.none() | wills(version)),
        user_name,
        draw(st.none() | binaries) if may_have_password else None,
        draw(st.booleans()),
        draw(properties_of(Holder.CONNECT).filter(_consistent)) if version is Version.MQTT_5 else {},
    )


@st.composite
def connacks(draw: st.DrawFn, version: Version) -> Connack:
    if version is Version.MQTT_5:
        code = draw(st.sampled_from(sorted(carried(PacketType.CONNACK, Sender.SERVER).values())))
        return Connack(not code and draw(st.booleans()), code, draw(properties_of(Holder.CONNACK)))
    code = draw(st.sampled_from(sorted(REASON_CODES.values())))
    return Connack(not code and version is not Version.MQTT_3_1 and draw(st.booleans()), code)


def _requests(version: Version) -> st.SearchStrategy[tuple[SubscriptionRequest, ...]]:
    qos = st.integers(0, 2)
    if version is Version.MQTT_5:
        one = st.builds(SubscriptionRequest, names, qos, st.booleans(), st.booleans(), qos)
        one = one.filter(lambda request: not (request.no_local and is_shared(request.filter)))
    else:
        one = st.builds(SubscriptionRequest, names, qos)
    return st.lists(one, min_size=1, max_size=4).map(tuple)


def codes_of(packet_type: PacketType, sender: Sender) -> st.SearchStrategy[ReasonCode]:
    return st.sampled_from(sorted(carried(packet_type, sender).values()))


def auths(sender: Sender) -> st.SearchStrategy[Auth]:
    def legal(auth: Auth) -> bool:
        has_method = "authentication_method" in auth.properties
        return has_method or (not auth.reason_code and "authentication_data" not in auth.properties)

    return st.builds(Auth, codes_of(PacketType.AUTH, sender), properties_of(Holder.AUTH)).filter(legal)


def _packets_v5(packet_type: PacketType, sender: Sender) -> st.SearchStrategy[Any]:
    """Those that have nothing but an id, reason codes and properties."""
    holder = Holder[packet_type.name]
    packet = PACKETS[packet_type].packet
    match packet_type:
        case PacketType.AUTH:
            return auths(sender)
        case PacketType.DISCONNECT:
            without = "server_reference" if sender is Sender.CLIENT else "session_expiry_interval"
            return st.builds(packet, codes_of(packet_type, sender), properties_of(holder, (without,)))
        case PacketType.SUBACK | PacketType.UNSUBACK:
            codes = st.lists(codes_of(packet_type, sender), min_size=1, max_size=4).map(tuple)
            return st.builds(packet, packet_ids, codes, properties_of(holder))
        case _:
            return st.builds(packet, packet_ids, codes_of(packet_type, sender), properties_of(holder))


@cache
def packets_of(packet_type: PacketType, version: Version, sender: Sender) -> st.SearchStrategy[Any]:
    """Any such packet that this sender may send."""
    v5 = version is Version.MQTT_5
    own = properties_of(Holder[packet_type.name]) if v5 and packet_type.name in Holder.__members__ else st.just({})
    match PACKETS[packet_type].packet:
        case kind if kind is Connect:
            return connects(version)
        case kind if kind is Connack:
            return connacks(version)
        case kind if kind is Subscribe:
            return st.builds(Subscribe, packet_ids, _requests(version), own)
        case kind if kind is Unsubscribe:
            return st.builds(Unsubscribe, packet_ids, st.lists(names, min_size=1, max_size=4).map(tuple), own)
        case kind if kind in (Pingreq, Pingresp):
            return st.just(kind())
        case _ if v5:
            return _packets_v5(packet_type, sender)
        case kind if kind is Suback:
            codes = st.sampled_from([ReasonCode.SUCCESS, *map(ReasonCode, (1, 2, 0x80))])
            return st.builds(Suback, packet_ids, st.lists(codes, min_size=1, max_size=4).map(tuple))
        case kind if kind in (Unsuback, Puback, Pubrec, Pubrel, Pubcomp):
            return st.builds(kind, packet_ids)
        case kind:
            assert kind is Disconnect
            return st.just(Disconnect())


SENT: list[tuple[PacketType, Version, Sender]] = [
    (packet_type, version, sender)
    for packet_type, layout in PACKETS.items()
    for version in Version
    for sender in sorted(layout.senders if version is Version.MQTT_5 else layout.senders_v3)
]
"""Each packet of each version from each sender."""


@st.composite
def sent_packets(draw: st.DrawFn) -> tuple[Packet, Version, Sender]:
    packet_type, version, sender = draw(st.sampled_from(SENT))
    return draw(packets_of(packet_type, version, sender)), version, sender
