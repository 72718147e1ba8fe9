"""What outlives a connection: a client's session, its subscriptions and its will (MQTT 5 section 4.1).

The commands of a client are answered in order on channel 0.  Packet ids are the client's own for what it publishes
exactly once, and the session's for what it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker.model.names import Channel, ClientId, UserName
from broker.model.refusals import Refusal
from kernel import DeliveryRun, Grant, MessageRun, PacketIds

NO_CHANNEL = Channel(0)
NO_IDS = PacketIds.of([])
NEVER = 0xFFFFFFFF
"""A session expiry that is none, in seconds."""


class Will(msgspec.Struct, frozen=True, gc=False, tag=True):
    """One message, sent when the client is lost; seconds later if the session lasts so long."""

    messages: MessageRun
    delay_s: int = 0


class AuthenticateAnonymous(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The listener lets its peer in without a login, as ``user`` -> Authenticated, or Refuse LOGIN_REFUSED."""

    user: UserName


class AttachSession(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client's session, resumed or new -> SessionAttached, or Refuse CLIENT_ID_TAKEN.

    Whoever is attached to it is told SessionTaken.  An empty ``client_id`` asks for one of the broker's making.
    ``expiry_s``: how long it outlives the connection (0: not, and nothing of it is logged; ``NEVER``).
    ``receive_max``: how many QoS 1 and 2 messages may be unacknowledged.
    """

    client_id: ClientId
    clean_start: bool
    expiry_s: int
    receive_max: int
    will: Will | None = None
    queue_length_max: int = 1000
    """Messages kept for the client beyond those it was sent."""


class DetachSession(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client says goodbye.  Not answered.  ``expiry_s`` None: as it was."""

    send_will: bool
    expiry_s: int | None = None


class SubscriptionSpec(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A valid filter, without its ``$share`` and name.  ``retain_handling``: 0 send retained messages, 1 only if the
    subscription is new, 2 don't.

    ``$queue/<name>`` consumes from that queue beside its other consumers, at QoS 1 what is acknowledged; it has no
    share, no retained messages, and whose messages they are is not known there: ``no_local`` is not set.
    """

    filter: str
    qos: int
    share: str | None = None
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(msgspec.Struct, frozen=True, gc=False, tag=True):
    """-> Subscribed, once messages published from then on are routed.  ``id`` 0: none."""

    subscriptions: Sequence[SubscriptionSpec]
    id: int = 0


class Unsubscribe(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Each (share, filter) -> Unsubscribed."""

    filters: Sequence[tuple[str | None, str]]


class PublishOnce(msgspec.Struct, frozen=True, gc=False, tag=True):
    """A run that is to be taken once, however often it comes, until its ids are released.

    Each message's tag, counted on from ``first_tag``, comes back in a Confirm or a Reject: it is safe, or taken
    already; or too many ids are not released.
    """

    messages: MessageRun
    packet_ids: PacketIds
    first_tag: int
    channel: Channel = NO_CHANNEL


class Release(msgspec.Struct, frozen=True, gc=False, tag=True):
    """These ids may be used again -> Released."""

    packet_ids: PacketIds


class Acknowledge(msgspec.Struct, frozen=True, gc=False, tag=True):
    """What the client says of deliveries by their ids; ``kind`` is the packet's type: PUBACK 4, PUBREC 5, PUBCOMP 7.

    Not answered, but PUBREC: -> ReleaseDue.  ``refused``: it will not have them, and no PUBREL is due; those of a queue
    that it shares with others are rejected.
    """

    kind: int
    packet_ids: PacketIds
    refused: bool = False


class SessionAttached(msgspec.Struct, frozen=True, gc=False, tag=True):
    """``present``: there was a session, and it goes on."""

    client_id: ClientId
    present: bool


class SessionTaken(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Another connection of the same client has the session now."""


class Subscribed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """For each subscription why it was refused, or None."""

    refusals: Sequence[Refusal | None]


class Unsubscribed(msgspec.Struct, frozen=True, gc=False, tag=True):
    """For each filter whether there was a subscription."""

    found: Sequence[bool]


class Released(msgspec.Struct, frozen=True, gc=False, tag=True):
    """That these ids were released is safe; ``unknown`` were not in use."""

    packet_ids: PacketIds
    unknown: PacketIds


class ReleaseDue(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The client's PUBRECs for these are safe, and PUBREL is due; ``unknown`` were not sent."""

    packet_ids: PacketIds
    unknown: PacketIds


class DeliverPublishes(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Messages of the session, to be sent with these ids; None: at QoS 0.

    ``grants``: what the session's subscriptions ask for, for each of ``deliveries.topics()``; or one for all.
    """

    deliveries: DeliveryRun
    packet_ids: PacketIds | None
    grants: Grant | Sequence[Grant]
