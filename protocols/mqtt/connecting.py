"""From CONNECT to CONNACK: what a client asks for, and what it is told."""

from __future__ import annotations

import msgspec

from broker.model.client_sessions import NEVER, AttachSession, Will
from broker.model.names import ClientId, UserName, VhostName
from kernel import FLAG_EXACTLY_ONCE, FLAG_PERSISTENT, FLAG_RETAIN, ORIGIN_MQTT, MessageRun
from protocols.mqtt.packet_codec import PACKET_SIZE_MAX
from protocols.mqtt.packets import Connack, Connect
from protocols.mqtt.packets import Will as WillPacket
from protocols.mqtt.properties import Holder, Properties, properties_encoder
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from protocols.mqtt.violation import ProtocolViolation

MQTT_EXCHANGE = b"amq.topic"
"""The exchange that topics are routing keys of, as in RabbitMQ."""
VHOST_SEPARATOR = ":"
QOS_FLAGS = (0, FLAG_PERSISTENT, FLAG_PERSISTENT | FLAG_EXACTLY_ONCE)
EXPIRATION_MS_MAX = 2**32 - 2
CONTINUED = 0x80
"""A byte of a variable byte integer that another one follows."""
RECEIVE_MAX_DEFAULT = 65_535
NOT_OF_THE_MESSAGE = ("message_expiry_interval", "will_delay_interval")
"""Kept beside a will's properties, or no property of what is published."""
_encode_properties = properties_encoder(Holder.PUBLISH)


class Login(msgspec.Struct, frozen=True, gc=False):
    """Who a client says it is; ``user`` None: nobody."""

    user: UserName | None
    password: bytes
    vhost: VhostName


def login_of(connect: Connect, settings: MqttSettings) -> Login:
    return read_login(connect.user_name, settings, connect.password or b"")


def read_login(user: str | None, settings: MqttSettings, password: bytes = b"") -> Login:
    """A user name ``vhost:user`` names both, as in RabbitMQ."""
    vhost = settings.vhost
    if user is not None and VHOST_SEPARATOR in user:
        vhost, user = user.rsplit(VHOST_SEPARATOR, 1)
    named = UserName(user) if user else None
    return Login(named, password, VhostName(vhost))


class Agreement(msgspec.Struct, frozen=True, gc=False):
    """What holds for the connection, by CONNECT and by the listener."""

    version: Version
    keep_alive_s: int
    receive_max: int
    packet_size_max: int
    topic_alias_max: int
    expiry_s: int
    problem_information: bool
    response_information: bool


def agree(connect: Connect, settings: MqttSettings) -> Agreement:
    properties = connect.properties
    v5 = connect.protocol_level is Version.MQTT_5
    keep_alive_s = connect.keep_alive
    most = settings.keep_alive_max_s
    if v5 and most is not None and not 0 < keep_alive_s <= most:
        keep_alive_s = most
    return Agreement(
        version=connect.protocol_level,
        keep_alive_s=keep_alive_s,
        receive_max=min(properties.get("receive_maximum", RECEIVE_MAX_DEFAULT), settings.max_inflight_messages),
        packet_size_max=properties.get("maximum_packet_size", PACKET_SIZE_MAX),
        topic_alias_max=min(properties.get("topic_alias_maximum", 0), settings.topic_alias_maximum),
        expiry_s=session_expiry(_asked_expiry(connect), settings),
        problem_information=bool(properties.get("request_problem_information", 1)),
        response_information=bool(properties.get("request_response_information", 0)),
    )


def _asked_expiry(connect: Connect) -> int:
    if connect.protocol_level is Version.MQTT_5:
        return connect.properties.get("session_expiry_interval", 0)
    return 0 if connect.clean_start else NEVER


def session_expiry(asked_s: int, settings: MqttSettings) -> int:
    """Within what the listener allows."""
    most = settings.persistent_client_expiration_s
    return asked_s if most is None else min(asked_s, most)


def attach_command(connect: Connect, agreement: Agreement, settings: MqttSettings) -> AttachSession:
    return AttachSession(
        client_id=ClientId(connect.client_id),
        clean_start=connect.clean_start,
        expiry_s=agreement.expiry_s,
        receive_max=agreement.receive_max,
        will=None if connect.will is None else _will(connect.will, settings),
        queue_length_max=settings.max_queued_messages,
    )


def _will(will: WillPacket, settings: MqttSettings) -> Will:
    if will.retain and not settings.retain_available:
        raise ProtocolViolation(ReasonCode.RETAIN_NOT_SUPPORTED, "there are no retained messages here")
    flags = QOS_FLAGS[will.qos] | (FLAG_RETAIN if will.retain else 0)
    expiry_s = will.properties.get("message_expiry_interval")
    expiration_ms = None if expiry_s is None else min(expiry_s * 1000, EXPIRATION_MS_MAX)
    encoded = _message_properties(will.properties)
    row = (MQTT_EXCHANGE, will.topic.encode(), encoded, will.payload, flags, expiration_ms)
    delay_s = will.properties.get("will_delay_interval", 0)
    return Will(MessageRun.of(0, [row], ORIGIN_MQTT), delay_s)


def _message_properties(properties: Properties) -> bytes:
    """As a message keeps them: without their length."""
    kept: Properties = {name: value for name, value in properties.items() if name not in NOT_OF_THE_MESSAGE}  # type: ignore[assignment]
    encoded = _encode_properties(kept)
    length_size = next(index for index, byte in enumerate(encoded) if byte < CONTINUED) + 1
    return encoded[length_size:]


def accepted(
    connect: Connect,
    agreement: Agreement,
    settings: MqttSettings,
    client_id: ClientId,
    present: bool,
    proof: Properties,
) -> Connack:
    """Announces what differs from the specification's defaults.  ``proof``: of an enhanced authentication, or empty."""
    if agreement.version is not Version.MQTT_5:
        return Connack(present)
    properties: Properties = {
        **proof,
        "receive_maximum": settings.receive_maximum,
        "topic_alias_maximum": settings.topic_alias_maximum,
        "maximum_packet_size": settings.packet_size_max,
    }
    if not connect.client_id:
        properties["assigned_client_identifier"] = client_id
    if agreement.keep_alive_s != connect.keep_alive:
        properties["server_keep_alive"] = agreement.keep_alive_s
    if agreement.expiry_s != connect.properties.get("session_expiry_interval", 0):
        properties["session_expiry_interval"] = agreement.expiry_s
    if not settings.retain_available:
        properties["retain_available"] = 0
    if agreement.response_information and settings.response_information:
        properties["response_information"] = f"{settings.response_information}/{client_id}/"
    return Connack(present, properties=properties)
