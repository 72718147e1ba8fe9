"""The native module, as Python sees it.  Each class's rules stand in the Rust file of the same name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, Protocol, TypeAlias, TypeVar, final

_FrameT = TypeVar("_FrameT")
_ViolationT = TypeVar("_ViolationT", bound=Exception)

BUILD_PROFILE: Final[str]

NO_CONFIRM_ASKED: Final[int]
UNKNOWN_CONFIRM: Final[int]
FLAG_PERSISTENT: Final[int]
FLAG_MANDATORY: Final[int]
FLAG_HAS_USER_ID: Final[int]
FLAG_BAD_EXPIRATION: Final[int]
FLAG_EXACTLY_ONCE: Final[int]
"""MQTT's QoS 2; with FLAG_PERSISTENT, which is QoS 1 or 2."""
FLAG_RETAIN: Final[int]
FLAG_REPLAYED: Final[int]
"""It comes from the retained messages, for a subscription that is new."""
ORIGIN_AMQP: Final[int]
ORIGIN_MQTT: Final[int]
ORIGIN_STOMP: Final[int]
FLAG_DEAD_LETTERED: Final[int]
"""Its record of deaths was written by the broker."""

_Row: TypeAlias = tuple[bytes, bytes, bytes, bytes, int, int | None]
"""Exchange, routing key, encoded properties, body, flags (FLAG_...), expiration in ms."""

@final
class MessageRun:
    """Consecutive publishes of one channel; ``size`` is bytes of bodies, ``flags`` those of any message."""

    @staticmethod
    def of(channel: int, rows: Sequence[_Row], origin: int = 0) -> MessageRun: ...
    @staticmethod
    def gathered(runs: Sequence[MessageRun]) -> MessageRun:
        """The messages of runs of one origin, in order, as one; ValueError for several origins or too many keys."""
    @property
    def origin(self) -> int:
        """ORIGIN_...: what the properties are encoded in."""
    @property
    def channel(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def payload_size(self) -> int:
        """Bytes of properties, bodies and names."""
    @property
    def flags(self) -> int: ...
    @property
    def persistent(self) -> bool: ...
    @property
    def mandatory(self) -> bool: ...
    def __len__(self) -> int: ...
    def keys(self) -> list[tuple[bytes, bytes] | tuple[bytes, bytes, bool]]:
        """The distinct (exchange, routing key), as first seen; of MQTT's a topic is the routing key of the same levels,
        and ``$queue/name`` the default exchange's.  A third value, True: an MQTT topic that begins with ``$``."""
    def select(self, keys: Sequence[int]) -> MessageRun:
        """The messages of these keys (by their place in ``keys``) only, in order."""
    def places(self, keys: Sequence[int]) -> list[int]:
        """Where the messages that ``select`` gives stand in this run."""
    def before(self, index: int) -> MessageRun: ...
    def after(self, index: int) -> MessageRun:
        """The messages from ``index`` on; all keys of the run keep their places."""
    def mandatory_only(self) -> MessageRun: ...
    def compacted(self) -> MessageRun:
        """The same messages in a buffer of their own: kept for long, they don't keep the reads they came in."""
    def before_key(self, key: int) -> MessageRun:
        """The messages before the first that has this key."""
    def first_with_flag(self, flag: int) -> int | None: ...
    def first_with_other_user(self, user: bytes) -> int | None:
        """The first message whose user-id property is there and is not ``user``."""
    def confirms(self) -> list[tuple[int, int]] | None:
        """How many messages in turn ask for a level of confirm (``x-confirm``), and for which.

        A ConfirmLevel's number, NO_CONFIRM_ASKED or UNKNOWN_CONFIRM.  None, at little cost: nobody asks.
        """
    def cycling(self, queue: bytes) -> list[int]:
        """Dead letters that must not be put into ``queue``: they were there before, and nobody rejected them since.

        Nearly always empty, and cheap where no message is a dead letter.
        """
    def key(self, index: int) -> int: ...
    def body(self, index: int) -> bytes: ...
    def properties(self, index: int) -> bytes: ...
    def expiration_ms(self, index: int) -> int | None: ...
    def priority(self, index: int) -> int: ...
    def rows(self) -> list[_Row]:
        """Everything, for tests and cold paths."""

@final
class DeliveryRun:
    """Messages for one consumer, in order; ``size`` is bytes of bodies and properties."""

    @staticmethod
    def of(messages: MessageRun, first: int, count: int, redelivered: bool) -> DeliveryRun: ...
    @staticmethod
    def joined(runs: Sequence[DeliveryRun]) -> DeliveryRun: ...
    def encode(self) -> bytes:
        """For the front of another node (kernel/src/delivery_wire.rs)."""
    @staticmethod
    def decode(data: bytes) -> DeliveryRun:
        """Raises ValueError for what is damaged."""
    @property
    def count(self) -> int: ...
    @property
    def size(self) -> int: ...
    def __len__(self) -> int: ...
    def messages(self) -> MessageRun:
        """The same messages as a run of their own, to be published again."""
    def topics(self) -> list[bytes]:
        """The distinct topics, as first seen; whatever the origin, as MQTT writes them."""
    def redelivered(self, index: int) -> bool: ...
    def body(self, index: int) -> bytes: ...
    def properties(self, index: int) -> bytes: ...
    def exchange(self, index: int) -> bytes: ...
    def routing_key(self, index: int) -> bytes: ...

@final
class FrameDecoder(Generic[_FrameT, _ViolationT]):
    """Frames between nodes (kernel/src/peer_frame.rs)."""

    def __new__(
        cls,
        make: Callable[[int, list[Any], bytes], _FrameT],
        decode_head: Callable[[bytes], list[Any]],
        violation: Callable[[str, str], _ViolationT],
    ) -> FrameDecoder[_FrameT, _ViolationT]:
        """``make`` a frame of its kind, head and body; ``decode_head`` where it is more than a few numbers, which may
        raise a ``violation`` of a reason and a detail."""
    @property
    def unfinished(self) -> bool: ...
    def receive_data(self, data: bytes) -> None:
        """Call it when all frames of the bytes before have been taken."""
    def take_frames(
        self, size_max: int, count_max: int | None, plain_kind: int
    ) -> tuple[list[_FrameT], bool, _ViolationT | None]:
        """Up to so many, or all; whether all are of that kind with one number as head, and a body that leaves room for
        the largest head; what is wrong with the next."""

class _PeerFrame(Protocol):
    @property
    def head(self) -> list[Any]: ...
    @property
    def body(self) -> bytes: ...

@final
class Piece:
    """Bytes of the kernel's that are to be sent: a read-only buffer, of which nothing is copied."""

    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Chunk:
    """Encoded output that several connections may share."""

    def __new__(cls, data: bytes) -> Chunk: ...
    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class SettleKind:
    """How a consumer settles; NACK and REJECT are without requeue."""

    ACK: ClassVar[SettleKind]
    NACK: ClassVar[SettleKind]
    NACK_REQUEUE: ClassVar[SettleKind]
    REJECT: ClassVar[SettleKind]
    REJECT_REQUEUE: ClassVar[SettleKind]
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Settlement:
    """Delivery tags ``first`` to ``last``; ``first`` 0: all so far through ``last``; both 0: all so far."""

    def __new__(cls, channel: int, first: int, last: int, kind: SettleKind) -> Settlement: ...
    @property
    def channel(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def kind(self) -> SettleKind: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Method:
    """A well-formed method; ``arguments`` are the bytes after its two ids."""

    def __new__(cls, channel: int, class_id: int, method_id: int, arguments: bytes) -> Method: ...
    @property
    def channel(self) -> int: ...
    @property
    def class_id(self) -> int: ...
    @property
    def method_id(self) -> int: ...
    @property
    def arguments(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class ProtocolHeader:
    """A connection's first 8 bytes, whatever they are."""

    def __new__(cls, data: bytes) -> ProtocolHeader: ...
    @property
    def data(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Heartbeat:
    def __new__(cls) -> Heartbeat: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class PacketIds:
    """MQTT's packet identifiers, in order."""

    @staticmethod
    def of(packet_ids: Sequence[int]) -> PacketIds: ...
    def __len__(self) -> int: ...
    def to_list(self) -> list[int]: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Publishes:
    """Consecutive PUBLISH packets of one QoS; those of QoS 0 have no packet identifiers."""

    def __new__(cls, qos: int, messages: MessageRun, packet_ids: PacketIds) -> Publishes: ...
    @property
    def qos(self) -> int: ...
    @property
    def messages(self) -> MessageRun: ...
    @property
    def packet_ids(self) -> PacketIds: ...

@final
class Acks:
    """Consecutive MQTT acknowledgements of one kind (packet type 4, PUBACK, to 7, PUBCOMP) and one reason code."""

    def __new__(cls, kind: int, reason: int, packet_ids: PacketIds) -> Acks: ...
    @property
    def kind(self) -> int: ...
    @property
    def reason(self) -> int: ...
    @property
    def packet_ids(self) -> PacketIds: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Packet:
    """Any other MQTT packet: its type, its flags (allowed ones), and all after its fixed header, unread."""

    def __new__(cls, kind: int, flags: int, body: bytes) -> Packet: ...
    @property
    def kind(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Data:
    """Bytes as they came: of HTTP, or the first of a WebSocket whose protocol is not known yet."""

    def __new__(cls, data: bytes) -> Data: ...
    @property
    def data(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Control:
    """WebSocket's close (8), ping (9) or pong (10)."""

    def __new__(cls, opcode: int, payload: bytes) -> Control: ...
    @property
    def opcode(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Violation:
    """The peer broke the protocol: AMQP's reply code, MQTT 5's reason code or WebSocket's close code (from 1000;
    no other is so large), the detail after the code's name, the method at fault (or 0, 0).

    ``connection``: the connection must end, and its decoder discards what follows; else the channel only.
    """

    def __new__(
        cls,
        code: int,
        text: str,
        channel: int,
        class_id: int,
        method_id: int,
        connection: bool,
        receipt_id: bytes = b"",
    ) -> Violation: ...
    @property
    def code(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def channel(self) -> int: ...
    @property
    def class_id(self) -> int: ...
    @property
    def method_id(self) -> int: ...
    @property
    def connection(self) -> bool: ...
    @property
    def receipt_id(self) -> bytes:
        """What STOMP's frame at fault asks as its receipt; empty: none."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Histogram:
    """Counts of values (a latency in microseconds, say) in log-linear buckets, within 1/128 of each."""

    def __new__(cls) -> Histogram: ...
    def record(self, value: int, count: int = 1) -> None: ...
    def record_spaced(self, value: int, interval: int) -> None:
        """Records also what a closed loop that meant to measure every ``interval`` left out while it waited."""
    def merge(self, other: Histogram) -> None: ...
    def percentile(self, percent: float) -> int:
        """The value, to within its bucket, that ``percent`` (0 to 100) of all don't exceed; 0 of none."""
    @property
    def count(self) -> int: ...
    @property
    def min(self) -> int: ...
    @property
    def max(self) -> int: ...
    @property
    def mean(self) -> float: ...
    def buckets(self) -> list[tuple[int, int, int]]:
        """Of each bucket that holds something: lowest value, highest value, count."""

@final
class Counters:
    """A node's counters, by name.  They only grow."""

    def __new__(cls) -> Counters: ...
    def add(self, name: str, count: int = 1) -> None: ...
    def get(self, name: str) -> int: ...
    def values(self) -> list[tuple[str, int]]:
        """By name, in order."""

@final
class Account:
    """Bytes held under one name, against a budget."""

    def __new__(cls, name: str, budget: int) -> Account: ...
    def charge(self, size: int) -> None: ...
    def release(self, size: int) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def budget(self) -> int: ...
    @property
    def charged(self) -> int: ...
    @property
    def exceeded(self) -> bool: ...

@final
class Wildcard:
    """A level of a topic pattern that is not spelled out."""

    ONE: ClassVar[Wildcard]
    """Any one level: AMQP's ``*``, MQTT's ``+``."""
    MANY: ClassVar[Wildcard]
    """Zero or more levels, anywhere: ``#``."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...
    def __int__(self, /) -> int: ...

_PatternLevel: TypeAlias = bytes | Wildcard

def to_mqtt(messages: MessageRun) -> MessageRun:
    """The same messages in MQTT's form (``docs/conversions.md``); the same bytes if it is theirs.

    Never fails.  Flags that say something of AMQP's properties (user id, bad expiration, dead-lettered) are not kept.
    """

def to_amqp(messages: MessageRun) -> MessageRun:
    """The same messages in AMQP 0-9-1's form, with a delivery-mode; the same bytes if it is theirs.  Never fails."""

def to_stomp(messages: MessageRun) -> MessageRun:
    """The same messages in STOMP's form; the same bytes if it is theirs.  Never fails.

    Flags that say something of AMQP's properties alone (bad expiration, dead-lettered) are not kept; a user id's is,
    but for MQTT's messages, which have none.
    """

def routing_key_of_topic(topic: bytes) -> bytes:
    """The same levels as AMQP writes them: ``a/x.y`` is ``a.x%2Ey``."""

def topic_of_routing_key(routing_key: bytes) -> bytes:
    """The other way; an empty routing key is ``%00``."""

def queue_of_topic(topic: bytes) -> bytes | None:
    """The queue that ``$queue/<name>`` leads to; None of any other topic."""

def filter_levels(filter: bytes) -> list[bytes | Wildcard]:
    """An MQTT topic filter's levels, each as the word of a routing key."""

@final
class TopicTrie:
    """Topic patterns with ids, as levels: no separator is known here, and an empty level is a level."""

    def __new__(cls) -> TopicTrie: ...
    def insert(self, pattern: Sequence[_PatternLevel], id: int) -> bool:
        """False if the pair was there already.  A pattern may have many u64 ids, and an id many patterns."""

    def remove(self, pattern: Sequence[_PatternLevel], id: int) -> bool:
        """False if there was no such pair.  Patterns are compared as written: ``#.#`` is not ``#`` here."""

    def match(self, levels: Sequence[bytes], *, leading_wildcards: bool = True) -> list[int]:
        """The ids of all patterns that match, ascending, each once; in time levels x nodes at most.

        Without ``leading_wildcards`` no wildcard stands for the first level: MQTT's rule for ``$SYS/...``.
        """

    def __len__(self, /) -> int:
        """How many (pattern, id) pairs there are."""

    @property
    def node_count(self) -> int:
        """What the patterns cost: nodes in use, the root included."""

@final
class NamePattern:
    """A regular expression over names, matched in linear time: no back-references, no look-around.

    Raises ValueError, saying in one line what is wrong with the pattern.
    """

    def __new__(cls, pattern: str) -> NamePattern: ...
    def matches(self, name: str) -> bool:
        """Does any part of ``name`` match?"""

_Frame: TypeAlias = (
    MessageRun
    | Settlement
    | Method
    | ProtocolHeader
    | Heartbeat
    | Publishes
    | Acks
    | Packet
    | Data
    | Control
    | Sends
    | StompFrame
    | Eols
    | Violation
)

@final
class AmqpDecoder:
    """One AMQP 0-9-1 connection's bytes to frames, however they are cut; no bytes give more than a Violation.

    Stops after a protocol header, start-ok, secure-ok, tune-ok and connection.open until ``resume``; while it
    is stopped, don't receive more.  Sizes are bytes; ``frame_size_max`` counts a frame whole.
    """

    def __new__(cls, frame_size_max: int = 8192, message_size_max: int = 16777216) -> AmqpDecoder: ...
    frame_size_max: int
    message_size_max: int
    @property
    def stopped(self) -> bool: ...
    @property
    def buffered(self) -> int:
        """Bytes held of frames and messages that are not complete."""
    def receive_data(self, data: bytes) -> list[_Frame]: ...
    def resume(self) -> list[_Frame]:
        """Goes on with what is buffered."""

@final
class MqttDecoder:
    """One MQTT connection's bytes to frames, however they are cut; no bytes give more than a Violation.

    Stops after CONNECT and each AUTH until ``resume``; while it is stopped, don't receive more.  Messages have the
    exchange ``amq.topic``, the topic as routing key, and the properties but message expiry and topic alias.
    """

    def __new__(cls, packet_size_max: int = 65536) -> MqttDecoder: ...
    version: int
    """3 (3.1), 4 (3.1.1) or 5, as CONNECT says; 0: it has not come, or names none of these."""
    packet_size_max: int
    """Bytes of a whole packet."""
    topic_alias_max: int
    """Of aliases that the client gives; 0: none."""
    @property
    def stopped(self) -> bool: ...
    @property
    def buffered(self) -> int:
        """Bytes held of a packet that is not complete, or while stopped."""
    def receive_data(self, data: bytes) -> list[_Frame]: ...
    def resume(self) -> list[_Frame]:
        """Goes on with what is buffered."""

@final
class WebDecoder:
    """One connection's bytes as they come (each read one Data, then it is stopped), and after ``upgrade`` WebSocket's
    frames: the inner decoder's frames as they are, and Control and Violation (close codes) between them.

    Stopped when the inner decoder is; while it is stopped, don't receive more.
    """

    def __new__(cls) -> WebDecoder: ...
    def upgrade(
        self,
        inner: AmqpDecoder | MqttDecoder | StompDecoder | None,
        leftover: bytes,
        text_allowed: bool,
        message_size_max: int,
    ) -> None:
        """WebSocket's frames begin with ``leftover``, and are read from ``resume`` on; ``held`` is 0 again.

        Without ``inner`` it stops with the first payload, which is Data.  ValueError: it was upgraded before.
        """
    def choose(self, inner: AmqpDecoder | MqttDecoder | StompDecoder, first: bytes, text_allowed: bool) -> None:
        """Who gets the payloads, from ``first`` on, once it is resumed.  ValueError: there is one already."""
    message_size_max: int
    """Bytes of a message, of all its frames; for those that begin from now on."""
    control_room: int
    """How many pings and pongs may still come before they are a violation."""
    held: int
    """Bytes that its adapter holds of what it was given, counted in ``buffered``."""
    @property
    def text(self) -> bool:
        """The client's last message was of text."""
    @property
    def stopped(self) -> bool: ...
    @property
    def buffered(self) -> int:
        """Bytes held of what is not complete, the inner decoder's too, or while stopped."""
    def receive_data(self, data: bytes) -> list[_Frame]: ...
    def resume(self) -> list[_Frame]:
        """Goes on with what is buffered."""

def encode_web_messages(output: Sequence[bytes | Chunk], text: bool) -> list[bytes | Chunk]:
    """A server's messages around ``output``: heads, and between them its pieces (large ones in parts; a chunk's parts
    share its memory).  Of text if that is asked for and each piece is UTF-8; at most 256 KiB each."""

def encode_web_control(opcode: int, payload: bytes) -> bytes:
    """A server's control frame.  ValueError: no control opcode, or more than 125 bytes."""

def encode_acks(kind: int, packet_ids: PacketIds, reason: int, version: int) -> bytes:
    """PUBACK (4) to PUBCOMP (7) for each; versions 3 and 4 have no reason code.

    ValueError: the kind has no such reason code.
    """

DESTINATION_QUEUE: Final[int]
"""``/queue/<name>``: the default exchange; the queue is created on first use."""
DESTINATION_TOPIC: Final[int]
"""``/topic/<key>``: the exchange ``amq.topic``."""
DESTINATION_EXCHANGE: Final[int]
"""``/exchange/<x>[/<key>]``."""
DESTINATION_AMQ_QUEUE: Final[int]
"""``/amq/queue/<name>``: the default exchange; the queue is never created."""
DESTINATION_REPLY_QUEUE: Final[int]
"""``/reply-queue/<name as it is>``: the default exchange."""
DESTINATION_TEMP_QUEUE: Final[int]
"""``/temp-queue/<name>``, which only a reply-to names."""

def parse_destination(destination: bytes) -> tuple[int, bytes, bytes]:
    """DESTINATION_..., exchange, and routing key (of the default exchange: the queue), without percent escapes.

    Names are UTF-8 of at most 255 bytes without control characters.  ValueError: what is wrong, for the client:
    ``Unknown destination: ...`` or ``Invalid destination: ...``.
    """

@final
class SendReceipts:
    """Which messages of a run ask for which receipt."""

    def __len__(self) -> int: ...
    def to_list(self) -> list[tuple[int, bytes]]:
        """Place in the run, ascending, and receipt id."""

@final
class Sends:
    """Consecutive SENDs that are alike in kind, transaction, parameters and temporary queue."""

    @property
    def messages(self) -> MessageRun: ...
    @property
    def kind(self) -> int:
        """DESTINATION_..., not that of a temporary queue."""
    @property
    def receipts(self) -> SendReceipts: ...
    @property
    def transaction(self) -> bytes:
        """Empty: none."""
    @property
    def parameters(self) -> list[tuple[bytes, bytes]]:
        """Headers that say how the queue is made, for DESTINATION_QUEUE only."""
    @property
    def temp_queue(self) -> bytes:
        """The name in ``reply-to:/temp-queue/<name>``; empty: none."""

@final
class StompFrame:
    """Any other frame of STOMP.  It has no body: one that has is a Violation; in 1.0 the body is dropped."""

    def __new__(
        cls, command: bytes, headers: Sequence[tuple[bytes, bytes]], settlement: Settlement | None = None
    ) -> StompFrame: ...
    @property
    def command(self) -> bytes:
        """As a client writes it; STOMP is CONNECT."""
    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """Unescaped, UTF-8, without NUL; of a repeated name the first."""
    @property
    def settlement(self) -> Settlement | None:
        """What an ACK or NACK says; only one with a receipt or a transaction comes so."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Eols:
    """Line ends between frames, which are heart-beats: at most one of these for each read.

    The one after a frame's NUL is the frame's own.
    """

    def __new__(cls, count: int) -> Eols: ...
    @property
    def count(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class StompDecoder:
    """One STOMP connection's bytes to frames, however they are cut; no bytes give more than a Violation.

    Stops after CONNECT (or STOMP) until ``resume``; while it is stopped, don't receive more.  A Violation's text is
    ``message: detail``, its code 0.  ACK and NACK are Settlements: ``requeue:true`` is NACK_REQUEUE, ``requeue:false``
    REJECT, without it NACK.
    """

    def __new__(cls, frame_size_max: int = 65536) -> StompDecoder: ...
    version: int
    """10, 11 or 12; 0: not set yet."""
    frame_size_max: int
    """Bytes from the command through the NUL."""
    @property
    def session(self) -> bytes:
        """What the ids of its messages have between channel and tag."""
    @session.setter
    def session(self, session: bytes) -> None: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def buffered(self) -> int:
        """Bytes held of a frame that is not complete, or while stopped."""
    def receive_data(self, data: bytes) -> list[_Frame]: ...
    def resume(self) -> list[_Frame]:
        """Goes on with what is buffered."""

@final
class StompReceipts:
    """RECEIPT frames that are owed, in the order their frames came."""

    def __new__(cls, version: int) -> StompReceipts: ...
    def add_sends(self, receipts: SendReceipts, first_tag: int, confirmed: bool) -> None:
        """With ``confirmed`` each is due once its message's tag is confirmed, else at once; tags are counted on from
        ``first_tag``.  ValueError: a tag is not larger than all before."""
    def add(self, receipt_id: bytes) -> int:
        """Another frame's; its number, for ``finish``."""
    def finish(self, number: int) -> None:
        """It is due.  ValueError: none of this number awaits that."""
    def confirm(self, ranges: Sequence[tuple[int, int]]) -> None:
        """First and last tags; those that nobody waits for are passed over."""
    def reject(self, ranges: Sequence[tuple[int, int]]) -> bytes | None:
        """The first receipt id that awaits the confirm of one of these tags; it stays owed."""
    def take(self) -> bytes:
        """RECEIPT frames of those at the head that are due."""
    def __len__(self) -> int:
        """How many are owed."""

@final
class StompSubscription:
    """What the MESSAGE frames of one subscription have in common."""

    def __new__(
        cls, subscription_id: bytes | None, channel: int, session: bytes, version: int, wants_ack: bool
    ) -> StompSubscription: ...

def encode_messages(deliveries: DeliveryRun, first_tag: int, subscription: StompSubscription) -> Chunk:
    """MESSAGE for each, with ``message-id:<channel>@@<session>@@<tag>`` and in 1.2, if it wants that, ``ack``.

    A header that the version can't write (a line end in 1.0) or that has NUL is left out, as is a publisher's of a name
    that is the broker's (``ack``, ``subscription``...).  ValueError: a tag is 0 or no u64.
    """

def encode_stomp_frame(command: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes, version: int) -> bytes:
    """A frame of the server's, headers escaped by the version (CONNECTED's never), content-length if there is a body.

    A header that can't be written so is left out.
    """

def replace_reply_to(messages: MessageRun, value: bytes) -> MessageRun:
    """Messages of STOMP's own with this ``reply-to`` wherever they have one.  ValueError: another origin."""

@final
class Receipts:
    """A publisher's packets of QoS 1 or 2 that await a confirm: MQTT acknowledges in the order of receipt."""

    def __new__(cls) -> Receipts: ...
    def push(self, first_tag: int, packet_ids: PacketIds) -> None:
        """Their tags go on from ``first_tag``.  ValueError: it is not larger than all before."""
    def settle(self, first_tag: int, last_tag: int, reason: int) -> list[tuple[int, PacketIds]]:
        """What may be acknowledged now, in order, by reason; tags that nobody waits for are passed over."""
    def __len__(self) -> int:
        """How many are not acknowledged yet."""

@final
class Inflight:
    """What was sent to a subscriber with QoS 1 or 2 and is not done with.  A packet identifier is 1 + the sequence mod
    65535; ranges are of sequences, both ends included."""

    def __new__(cls) -> Inflight: ...
    def push(self, sequences: Sequence[tuple[int, int]]) -> PacketIds:
        """These are sent now.  ValueError: an identifier is in use; nothing is changed then."""
    def push_foreign(self, queue: int, sequences: Sequence[tuple[int, int]], next_sequence: int) -> PacketIds:
        """These of another queue are sent now, at QoS 1, with the free identifiers that the session's own sequences, of
        which the next is ``next_sequence``, come to last.  ValueError: there are too few; nothing is changed then."""
    def acknowledge(
        self, packet_ids: PacketIds, kind: int
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]], list[int]]:
        """PUBACK (4), PUBREC (5) or PUBCOMP (7) came: the sequences settled by it, merged and ascending; (queue, first,
        last) of foreign ones likewise; and the identifiers that nothing of the kind was due for.

        After PUBREC a PUBREL is owed until PUBCOMP.  A PUBREC that refuses is given as PUBACK, which alone settles
        foreign ones.
        """
    def owed(self) -> PacketIds:
        """Identifiers for which a PUBREL is owed, in the order of their PUBRECs."""
    def restore_owed(self, packet_ids: PacketIds) -> None:
        """Takes in a session's that was stored.  ValueError: one is 0 or in use; nothing is changed then."""
    @property
    def outstanding(self) -> int:
        """Sent and unsettled, or owed: what counts against the subscriber's Receive Maximum."""
    def room(self, next_sequence: int) -> int:
        """How many sequences from this one on may be sent until an identifier would be used twice."""
    def take_sent(self) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
        """The connection is gone: sequences that were sent, and will be again, and (queue, first, last) of foreign
        ones, which are to go back; what is owed stays owed."""

@final
class Grant:
    """What a subscription is entitled to, as far as it shows in a PUBLISH; subscription identifiers are MQTT 5's."""

    def __new__(cls, qos: int, retain_as_published: bool, subscription_ids: Sequence[int]) -> Grant: ...
    @property
    def qos(self) -> int: ...
    @property
    def retain_as_published(self) -> bool: ...
    @property
    def subscription_ids(self) -> list[int]: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class TopicAliases:
    """The topic aliases that we gave to one subscriber: the first topics to come get them."""

    def __new__(cls, maximum: int) -> TopicAliases: ...
    def __len__(self) -> int: ...

@final
class PublishEncoder:
    """Deliveries as PUBLISH packets.  One for all connections of a listener: a fan-out is encoded once."""

    def __new__(cls) -> PublishEncoder: ...
    def encode(
        self,
        deliveries: DeliveryRun,
        *,
        version: int,
        grants: Grant | Sequence[Grant],
        packet_ids: PacketIds | None,
        now_ms: int,
        packet_size_max: int,
        aliases: TopicAliases | None,
    ) -> tuple[Chunk, list[int]]:
        """The packets, and which deliveries (by index) are left out because they are larger than ``packet_size_max``.

        ``grants``: one for all, or one for each of ``deliveries.topics()``.  ``packet_ids``: one for each delivery,
        which is of QoS 1 or 2 then; None: all are of QoS 0.  ``now_ms``: wall time.
        """
    @property
    def held(self) -> int:
        """Bytes kept for others of the same class."""

def encode_deliveries(
    deliveries: DeliveryRun, channel: int, consumer_tag: bytes, first_tag: int, frame_size_max: int
) -> Chunk:
    """basic.deliver for each, delivery tags counted on from ``first_tag``."""

def encode_get_ok(
    deliveries: DeliveryRun, channel: int, tag: int, message_count: int, frame_size_max: int
) -> Chunk: ...
def encode_returns(
    messages: MessageRun, channel: int, reply_code: int, reply_text: bytes, frame_size_max: int
) -> Chunk:
    """basic.return for each."""

def encode_confirms(channel: int, ranges: Sequence[tuple[int, int]], settled_through: int, nack: bool) -> bytes:
    """basic.ack or basic.nack for ranges of tags, both ends included, ascending.

    All tags through ``settled_through`` were settled before: a range that goes on from there is one frame
    (``multiple``), any other a frame for each tag.
    """

def dead_letter(
    deliveries: DeliveryRun, queue: bytes, reason: str, exchange: bytes, routing_key: bytes | None, now_s: int
) -> MessageRun:
    """The same messages, readdressed (a ``routing_key`` of None: they keep theirs), their death in their headers.

    ``queue``: where they died; ``reason``: rejected, expired, maxlen or delivery_limit; ``now_s``: Unix time.
    An expiration goes into the record.  Where they may not go (``MessageRun.cycling``) is for who routes them.
    """

def encode_record_batch(messages: MessageRun, time_ms: int) -> bytes:
    """A frame of the log."""

def decode_record_batch(frame: bytes) -> tuple[int, MessageRun, list[int]]:
    """Time, messages (of channel 0) and their record numbers; ValueError says what is damaged."""

def retain_records(frame: bytes, ranges: Sequence[tuple[int, int]]) -> bytes | None:
    """The frame with only the records in ``ranges`` (first, past the last; ascending), their numbers kept.

    None if none is left; ValueError says what is damaged.
    """

class Damage(Exception):
    """What is on disk is not what was written: file, position, what, and the remedy."""

    file: str
    position: int
    what: str
    remedy: str
    loss: bool
    """A good copy is needed, or another member's; else the wrong program or directory reads what is whole."""

@final
class SimDisk:
    """A disk in memory that loses exactly what a real one may lose, drawn from a seed.  Its clones are one disk."""

    def __new__(cls, capacity: int) -> SimDisk:
        """``capacity``: bytes that fit."""
    def copy(self) -> SimDisk:
        """Another disk that holds the same now, as a process finds it that starts there."""
    def crash(self, seed: int) -> None:
        """Power loss and return: of what was not synced some sectors are kept."""
    def kill(self) -> None:
        """The process dies and the machine goes on: nothing written is lost."""
    def cut_power_after(self, calls: int) -> None:
        """After so many more calls that change something, every such call fails until a crash or kill."""
    @property
    def calls(self) -> int:
        """Calls so far that changed something."""
    @property
    def free(self) -> int: ...
    def set_capacity(self, capacity: int) -> None: ...
    def fail_sync_once(self, name: str) -> None:
        """The next sync of the file fails with EIO, and what it should have saved is then clean."""
    def fail_read_once(self, name: str) -> None: ...
    def fail_write_once(self, name: str) -> None:
        """The next write to the file fails with EIO after half of it."""
    def flip_bit(self, name: str, position: int, bit: int) -> None:
        """Inverts one bit of what is on the platter and in the cache.  OSError: no such file."""
    def names(self) -> list[str]: ...
    def read(self, name: str) -> bytes:
        """A file's bytes as they read now."""

@final
class Journal:
    """A data directory's log: journal, segments and checkpoints (kernel/src/store.rs).

    With a driver, threads write, sync and take the steps of cycles; without one ``carry_out`` (or
    ``begin_write`` and ``end_write``) and ``step`` do.
    """

    @staticmethod
    def open(directory: str, peer: int, store: bytes, file_size: int) -> Journal:
        """The directory's journal; an empty directory becomes ``peer``'s own, with a ``store`` id of 16 bytes.

        Takes the directory's lock.  Raises Damage or OSError; then nothing was changed.
        """
    @staticmethod
    def open_on(disk: SimDisk, peer: int, store: bytes, file_size: int) -> Journal:
        """The same on a simulated disk."""
    @property
    def peer(self) -> int: ...
    @property
    def created(self) -> bool:
        """The directory was empty and has been made this peer's."""
    @property
    def cut(self) -> bool:
        """A torn last write was cut off."""
    @property
    def closed_cleanly(self) -> bool: ...
    def fileno(self) -> int:
        """Readable after a completion, a finished cycle or a failure, until ``clear_event``."""
    def clear_event(self) -> None: ...
    @property
    def synced(self) -> int:
        """Submissions that are on disk."""
    @property
    def submitted(self) -> int: ...
    @property
    def state(self) -> tuple[str, str]:
        """("open", ""), ("no space", "") or ("poisoned", why)."""
    def check(self) -> None:
        """Raises what the store or its journal failed by, if one did: Damage or OSError."""
    @property
    def pressure(self) -> str | None:
        """Why publishers must wait: "poisoned", "no space" or "journal full"; None: they need not."""
    @property
    def sizes(self) -> tuple[int, int, int]:
        """Bytes of journal not retired, of segments, of checkpoints."""
    @property
    def sync_times(self) -> Histogram:
        """Microseconds of each write and its sync so far, by the driver; a copy."""
    def carry_out(self) -> bool:
        """Writes and syncs what is waiting here and now, for whoever has no driver; False: nothing was."""
    def begin_write(self) -> bool:
        """Writes one write's worth but does not sync it, for drawn completions; False: nothing was waiting."""
    def end_write(self) -> None:
        """Syncs the write that was begun, if one was."""
    def replayed_hash(self, id: int, through: int) -> int:
        """The ``state_hash`` that a shard comes to by checkpoint and journal through entry ``through``."""
    def start_driver(self) -> None: ...
    def close(self) -> bool:
        """Writes all that was submitted and marks the journal as closed cleanly; gives the directory back."""
    def abandon(self) -> None:
        """Gives the directory back as a process does that dies: nothing is written or marked."""
    def groups(self) -> list[int]:
        """Of which checkpoint or journal hold something and whose shards were not restored yet."""
    @property
    def cycle_wanted(self) -> bool:
        """Whether ``begin_cycle`` should be called."""
    def begin_cycle(self, shards: Sequence[Shard], force: bool = False) -> bool:
        """Starts sealing, checkpoint and retiring from all logged shards as they are now.

        ``force``: a checkpoint even if nothing calls for one.  False: one is under way, or a shard owes commands.
        """
    def receive_cycle(self, shards: Sequence[Shard]) -> tuple[int, int, int, int] | None:
        """Takes in the cycle that finished, if one did: files retired, bytes sealed, segments dropped, checkpoint."""
    def begin_import(self, group: int) -> Import:
        """Begins to take in a peer's snapshot of a shard."""
    def step(self) -> bool:
        """Takes one step of what is due in the background; False: nothing is.  Raises Damage or OSError."""

class SnapshotRefused(Exception):
    """What a peer sent can't be taken in."""

    position: int
    """Byte of the stream."""
    what: str

@final
class Export:
    """A shard as it was, on its way to another store (kernel/src/snapshot_export.rs).

    While it is open, cycles keep what it wants.
    """

    @property
    def index(self) -> int: ...
    @property
    def term(self) -> int: ...
    @property
    def size(self) -> int:
        """Bytes of the stream, about: a message in several queues is counted for each."""
    def read(self) -> bytes:
        """The next bytes, at most 1 MiB; b"": that was all.

        Takes as long as the disk does, without the GIL: for a thread of its own.  Raises Damage; OSError also when the
        shard was replaced by a snapshot; ValueError once closed.
        """
    def close(self) -> None: ...

@final
class Import:
    """A shard's snapshot on its way into a store (kernel/src/snapshot_import.rs).

    Takes as long as the disk does, without the GIL: for a thread of its own.  An error ends it.
    """

    @property
    def group(self) -> int: ...
    @property
    def received(self) -> int:
        """Bytes that came so far."""
    @property
    def position(self) -> tuple[int, int] | None:
        """Index and term; None: the stream's head has not come."""
    @property
    def finished(self) -> bool: ...
    def receive(self, data: bytes) -> None:
        """The next bytes of the stream, however it is cut.  Raises SnapshotRefused and OSError."""
    def finish(self) -> None:
        """Makes it, durably, the store's newest state of the group.  Raises SnapshotRefused and OSError.

        ``Shard.step_snapshot`` is to follow.  A store that starts in between starts with this state.
        """
    def abort(self) -> None:
        """Gives it up, if it is not finished."""

@final
class LogReader:
    """A data directory as ``dragoman log`` reads it (kernel/src/face/log_reader.rs).  Changes nothing."""

    @staticmethod
    def open(directory: str) -> LogReader:
        """Takes the directory's lock.  Raises BlockingIOError if a broker has it, Damage or OSError."""
    @staticmethod
    def open_on(disk: SimDisk) -> LogReader:
        """The same on a simulated disk."""
    def close(self) -> None:
        """Gives the directory back."""
    @property
    def peer(self) -> int: ...
    @property
    def store(self) -> bytes: ...
    def files(self) -> list[tuple[str, int]]:
        """Name and bytes of all files, sorted."""
    def manifest(
        self,
    ) -> (
        tuple[
            int,
            tuple[int, int, int],
            list[tuple[int, int, int, int, int, int, int]],
            list[tuple[int, int, int]],
            list[tuple[int, int, int]],
        ]
        | None
    ):
        """The newest checkpoint; None: there is none.

        Number, (first journal file, its first write, journal written through), groups as (group, applied index, its
        term, queues, messages, rows, senders), segments as (number, bytes, runs), blocks files as (number, bytes,
        blocks).
        """
    def journal_files(self) -> list[int]: ...
    def journal_writes(
        self, number: int
    ) -> tuple[
        list[
            tuple[
                int,
                int,
                int,
                int,
                list[tuple[int, tuple[int, int, int] | None, list[tuple[int, int, int, int, int]]]],
            ]
        ],
        int,
        str,
    ]:
        """The good writes of a journal file, where they end, and what is wrong there ("": nothing).

        Each is (position, number, synced through, bytes, records), a record (group, (term, vote, commit) or None,
        entries), an entry (index, term, kind, position of its data, bytes).
        """
    def segment_runs(self, number: int) -> list[tuple[int, int, int, int, int, int, int, list[int]]]:
        """Each (group, queue, bytes, pieces, records, first entry, last entry, guests)."""
    def read(self, name: str, position: int, size: int) -> bytes:
        """Bytes of a file, fewer where it ends."""
    @staticmethod
    def describe_wave(data: bytes) -> tuple[int, int, int, int, int, int, int, int, int, int]:
        """Time in ms; how many frames, routes, messages routed, settled and returned ranges, marks, commands, queues
        created, queues dropped.  Raises ValueError if it is none."""
    def verify(self) -> list[tuple[str, int]]:
        """Reads and checks everything that is live: what there is of each kind.  Raises Damage or OSError."""
    @property
    def verified(self) -> tuple[str, int]:
        """The file that ``verify`` reads now, and bytes of those it is done with; for another thread."""

_Target: TypeAlias = (
    tuple[int, int | None, int | None] | tuple[int, int | None, int | None, int, tuple[int, int] | None]
)

@final
class Route:
    """Where a key of a run leads within one shard."""

    def __new__(cls, targets: Sequence[_Target]) -> Route:
        """Each (queue, its message TTL in ms, how many more it takes before it rejects); None: no bound.

        And perhaps: which messages it gets (0 all, 1 persistent, 2 transient, 3 to be retained); (whose turn it is, of
        how many).
        """
    @property
    def bounded(self) -> bool:
        """Some queue of it may reject."""
    @property
    def empty(self) -> bool:
        """It leads nowhere."""
    @property
    def targets(self) -> list[tuple[int, int | None, int | None, int, tuple[int, int] | None]]: ...

@final
class Shard:
    """A shard (kernel/src/shard.rs).  Outcomes are the log's numbers (kernel/src/wave.rs).

    What takes something in raises ValueError unless the shard serves.  RaftDead: the group fell over Raft.
    """

    @staticmethod
    def volatile(id: int, peer: int, incarnation: int) -> Shard: ...
    @staticmethod
    def logged_alone(journal: Journal, id: int, incarnation: int, seed: int, cache_size_max: int) -> Shard:
        """A shard whose only voter is this node, as the journal has it.  Raises Damage."""
    @staticmethod
    def replica(
        journal: Journal, id: int, incarnation: int, seed: int, cache_size_max: int, voters: Sequence[int]
    ) -> Shard:
        """A member of a Raft group, as the journal has it.  Raises Damage.

        ``voters``: the configuration of a group the store knows nothing of: its own peer founds one, none waits for
        a leader's snapshot.  Until there is a checkpoint each start must say the same.
        """
    @property
    def id(self) -> int: ...
    @property
    def logged(self) -> bool: ...
    @property
    def serving(self) -> bool:
        """Leads, and has applied an entry of its own term."""
    @property
    def memory_size(self) -> int: ...
    @property
    def under_way_size(self) -> int: ...
    @property
    def urgent(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def time_ms(self) -> int: ...
    @property
    def applied_index(self) -> int: ...
    @property
    def may_expire(self) -> bool: ...
    def state_hash(self) -> int: ...
    def queue_ids(self) -> list[int]: ...
    def has_queue(self, queue: int) -> bool: ...
    def barrier(self, urgent: bool = True) -> int:
        """The number of a command that does nothing but be applied after all before it.

        If it is not urgent it rides with the next write, as settles do.
        """
    def publish(
        self, messages: MessageRun, routes: Sequence[Route], turns: Sequence[int] = ...
    ) -> tuple[int, list[int] | None]:
        """``routes``: one for each of the run's keys; ``turns``: of each key's first message, for those who take turns.

        Its number, and the records some queue rejected.
        """
    def accept(self, messages: MessageRun, outbox: int, command: bytes) -> int:
        """The messages into an outbox and the command, in one wave; the command's number."""
    def commit(
        self,
        messages: MessageRun | None,
        routes: Sequence[Route],
        turns: Sequence[int],
        settled: Sequence[tuple[int, int, int, int]],
        command: bytes | None,
    ) -> int:
        """A transaction's part in this shard, in one wave; its number.

        ``routes`` have room for all messages; ``settled``: (queue, first, last sequence, outcome).
        """
    def next_sequence(self, queue: int) -> int:
        """What the next message of the queue gets, those under way counted in."""
    def receive_move(
        self,
        messages: MessageRun,
        routes: Sequence[Route],
        sender: tuple[int, int],
        number: int,
        turns: Sequence[int] = ...,
    ) -> None: ...
    def applied_through(self, peer: int, incarnation: int) -> int: ...
    def senders(self) -> list[tuple[int, int]]: ...
    def forget_sender(self, peer: int, incarnation: int) -> None: ...
    def create_queue(self, queue: int) -> int: ...
    def drop_queue(self, queue: int) -> int: ...
    def propose_command(self, command: bytes) -> int: ...
    def note_command(self, command: bytes) -> None:
        """A command that nobody waits for: it rides with the next write."""
    def settle(self, queue: int, first: int, last: int, outcome_number: int) -> None: ...
    def give_back(self, queue: int, first: int, last: int) -> None: ...
    def counts(self, queue: int) -> tuple[int, int, int]:
        """Ready, held by consumers or on their way out, on their way in."""
    def ready_size(self, queue: int) -> int: ...
    def check_out(self, queue: int, count: int) -> list[tuple[int, int]]: ...
    def check_out_expired(self, queue: int, now_ms: int, count: int) -> list[tuple[int, int]]: ...
    def hold(self, queue: int, first: int, last: int) -> list[tuple[int, int]]:
        """Checks out what of these is ready, wherever that lies in the queue: first and last of each range."""
    def first_ready(self, queue: int) -> int | None:
        """The sequence of the message at the head."""
    def ready_from(self, queue: int) -> int:
        """Nothing that is ready, or still to come, has a lower sequence: the head's, if anything is ready."""
    def head_expires_ms(self, queue: int) -> int: ...
    def take(
        self, queue: int, count: int, size: int, settle: bool = False
    ) -> tuple[DeliveryRun, list[tuple[int, int]], int, int] | None:
        """Deliveries, their sequences (first, last), how many, about how many bytes on the wire; None: none now."""
    def reserve_mark(self, queue: int) -> None: ...
    def peek(self, queue: int, first: int, last: int) -> tuple[DeliveryRun, int] | None:
        """As many of the first checked-out messages as are in memory, and the sequence they go through.

        None: the first is not in memory; it is wanted.
        """
    def bury(
        self, messages: MessageRun, outbox: int, queue: int, ranges: Sequence[tuple[int, int]], outcome_number: int
    ) -> None: ...
    def take_wanted_reads(self) -> list[int]:
        """Entries to be given to ``read``, each asked for once."""
    def read(self, entries: Sequence[int]) -> None:
        """Reads entries' frames back.  Takes as long as the disk does, without the GIL.  Raises Damage or OSError."""
    def put_row(self, key: bytes, value: bytes | None) -> None: ...
    def rows(self) -> list[tuple[bytes, bytes]]: ...
    def propose(self, now_ms: int) -> None:
        """Proposes what was gathered, if that is possible now."""
    def campaign(self) -> bool:
        """Starts an election, which a group's only voter wins; False: not able to now."""
    def receive_synced(self, write: int) -> None:
        """The journal's writes through this one are on disk."""
    def tick(self) -> None:
        """Raft's clock."""
    def tell_synced(self) -> None:
        """Replica effects tell from now on what is on this leader's disk."""
    @property
    def leading(self) -> bool: ...
    @property
    def leader(self) -> int:
        """A peer; 0: none is known."""
    @property
    def term(self) -> int: ...
    @property
    def quiet(self) -> bool:
        """Its clock may stand still.

        A leader whose members all have its whole log and know that it is committed, with no change, transfer, read or
        snapshot under way; a follower that knows a leader and has applied all it has.
        """
    @property
    def dead(self) -> str | None:
        """Why the group does nothing any more: every call raises RaftDead then."""
    def leave(self, why: str) -> None:
        """Has part in nothing any more, and serves nobody; ``dead`` then says why."""
    @property
    def contacts(self) -> int:
        """Messages that came from leaders of its group since the start: each may have been promised something."""
    def let_go(self, said: tuple[int, int] | None = None) -> bool:
        """By all that it holds, its group has let this replica go: until ``end_departure`` it takes nothing in, and no
        cycle begins.  False: not so, or not now.

        ``said``, (term, contacts): not by what it holds, but by the word of who leads in that term, which was asked for
        when so many ``contacts`` had come.  False: of an older term than is known here, or more came since.

        Such a one is to ``forget`` all but how it voted, durably, which takes as long as the disk does; it then is as
        one that never joined.
        """
    def forget(self) -> None:
        """May be called on a thread.  Raises OSError: if that is for lack of room, nothing was done; or Damage."""
    def end_departure(self) -> None:
        """Follows ``forget``, whatever came of it."""
    def follow(self, leader: int, term: int) -> bool:
        """Another peer says that it leads in a later term, by another way than Raft's; False: not in a later one."""
    def transfer_leader(self, peer: int) -> bool:
        """Asks another voter to lead; what was gathered waits until it does or time is up."""
    def report_unreachable(self, peer: int) -> None:
        """The last message to it was not sent."""
    def report_snapshot(self, peer: int, arrived: bool) -> None:
        """Must follow every snapshot that was sent."""
    def report_snapshot_progress(self, peer: int) -> None:
        """It is still on its way: its time starts again."""
    def propose_conf(self, changes: Sequence[tuple[str, int]]) -> bool:
        """("voter" | "learner" | "remove", peer); several at once by a joint configuration.  False: not now."""
    def conf(self) -> tuple[list[int], list[int], list[int], list[int]]:
        """Voters, voters that are being left (a joint configuration), learners, voters that will be learners."""
    def status(self) -> tuple[str, int, int, int, int, int, list[tuple[int, int, bool, bool]]] | None:
        """Role, term, leader, last index, commit, applied, [(peer, matched, active, snapshot pending)].

        Roles: "follower", "pre-candidate", "candidate", "leader"; only a leader knows of peers.  None: volatile.
        """
    def read_index(self, context: int) -> bool:
        """Asks through where a reader must have applied to see all that is committed now: see the effects.

        An answer may never come.  False: not the leader, or not able to now.
        """
    def take_replica_effects(
        self,
    ) -> (
        tuple[
            list[tuple[int, int, int]],
            list[tuple[int, int]],
            tuple[bool, int, int] | None,
            bool,
            list[tuple[int, int, int]],
        ]
        | None
    ):
        """[(peer, incarnation, applied through)] where it serves, [(context, index)] of reads, (serving, leader, term),
        restored, and as the first, what is on this leader's disk, once somebody asked for it (``tell_synced``).

        The third: as it is now, if it changed.  The fourth: a snapshot took the place of the state, and what
        ``take_effects`` tells is later.
        """
    def wants_snapshot(self) -> int | None:
        """The peer for which a newer snapshot must be offered; told once."""
    def export(self) -> Export | None:
        """The shard as it is now; None: not now, since it owes rows or takes a snapshot in.  ValueError: volatile."""
    def offer_snapshot(self, export: Export, data: bytes) -> bool:
        """Followers that need it are sent a message with ``data``, by which they fetch the export.  False: not now."""
    def step_snapshot(self, message: bytes, imported: Import) -> bool:
        """A leader's message with a snapshot that was taken in; False: refused, or of no use.

        ValueError: the import is not finished or of another shard.
        """
    def resume_snapshot(self, message: bytes) -> bool | None:
        """Steps a leader's message with a snapshot that the store has, or a later one: imported before, and not told.

        None: it is to be fetched.  False: Raft had no use for it.  Raises Damage or OSError.
        """
    @staticmethod
    def snapshot_in(message: bytes) -> tuple[int, int, int, bytes] | None:
        """Of a message with a snapshot: the leader, index, term, data; None: it carries none."""
    def accepted_through(self, peer: int, incarnation: int) -> int:
        """The last number taken in of a sender, those under way counted in; 0: none."""
    def take_in(self, peer: int, incarnation: int, number: int, urgent: bool) -> None:
        """The sender's commands through ``number`` are in the waves gathered so far.

        To be said after each command that may have begun a new wave.  ValueError: taken in before.
        """
    def append(self, messages: MessageRun, routes: Sequence[Route], turns: Sequence[int] = ...) -> list[int] | None:
        """``publish`` without a number: the records some queue rejected."""
    def append_with_command(self, messages: MessageRun, outbox: int, command: bytes) -> None:
        """``accept`` without a number."""
    def append_part(
        self,
        messages: MessageRun | None,
        routes: Sequence[Route],
        turns: Sequence[int],
        settled: Sequence[tuple[int, int, int, int]],
        command: bytes | None,
    ) -> None:
        """``commit`` without a number."""
    def begin_queue(self, queue: int) -> None:
        """``create_queue`` without a number."""
    def end_queue(self, queue: int) -> None:
        """``drop_queue`` without a number."""
    def take_effects(self) -> tuple[list[int], list[int], int, list[tuple[int, int, bytes]]] | None:
        """Changed queues, dropped queues, own commands applied through (0: none), commands (index, ms, bytes)."""
    def unpin(self, from_: int) -> int: ...

def busy_shards(shards: Sequence[Shard]) -> list[int]:
    """Which of them gathered something that is not proposed, or have effects that were not taken."""

def any_urgent(shards: Sequence[Shard]) -> bool:
    """Somebody waits for what one of them gathered, and it can be proposed."""

def wanting_shards(shards: Sequence[Shard]) -> list[int]:
    """Which of them would give something by ``take_wanted_reads``."""

def any_due(shards: Sequence[Shard]) -> bool:
    """Whether a step would take something in of one of them, or propose something at once."""

def receive_synced(shards: Sequence[Shard], write: int) -> int | None:
    """The journal's writes through this one are on disk: those that were not left are told.  Which of them ceased to
    serve by it, if one did; the others are then still to be told.

    Raises RaftDead.
    """

def step_frames(
    shards: dict[int, Shard], frames: Sequence[_PeerFrame], first: int
) -> tuple[bool, list[tuple[int, str]], int]:
    """Gives groups what peers say to them, from the frame at ``first`` on.  Whether a step would make something of it;
    notes: the frame's place, and that its group is "unknown"; that it was "refused", so nothing was done, as one with
    a snapshot always is; that it "asked" for votes; that the replica here "ceased" to serve by it; and where to go on:
    who ceased is seen to before others are told anything.

    Raises RaftDead.
    """

def take_frames(shards: Sequence[Shard]) -> list[tuple[int, int, bool, int, list[bytes | Piece]]]:
    """What their groups have to say, as frames: (which of them, the peer, whether it goes by the bulk connection,
    bytes, pieces)."""

def quiet_marks(shards: Sequence[Shard]) -> list[int]:
    """Of each: 0 if it is not ``quiet``, else a number that is another one once something was applied."""

def under_way_size(shards: Sequence[Shard]) -> int:
    """Bytes of all of them that are not committed."""

@final
class RetainedIndex:
    """Topics and their last messages in one queue of a shard (kernel/src/retained.rs)."""

    def __new__(cls, queue: int, count_max: int, size_max: int) -> RetainedIndex:
        """``size_max``: bytes of bodies."""
    def __len__(self, /) -> int: ...
    def collect(self, shard: Shard) -> tuple[int, int] | None:
        """Takes in what is new: how many, and how many of them were over the limits.  None: they must be read first."""
    def expire(self, shard: Shard, now_ms: int) -> None: ...
    @property
    def expires_ms(self) -> int:
        """When the next one does; 0: none."""
    def page(self, filter: bytes, from_: bytes, count: int) -> tuple[list[int], bytes | None]:
        """Sequences of up to ``count`` topics that match, and where to go on; ``from_`` empty: the beginning."""
    def fetch(self, shard: Shard, sequences: Sequence[int], now_ms: int) -> tuple[MessageRun, int]:
        """The messages of the first sequences that are in memory, for a new subscription; how many those are."""

@final
class Unsettled:
    """What a channel was delivered and has not settled."""

    def __new__(cls) -> Unsettled: ...
    def __len__(self, /) -> int: ...
    def push(self, consumer: int, queue: int, sequences: Sequence[tuple[int, int]], kept: bool = True) -> int:
        """Gives the next tags; the first of them."""
    def settle(self, first: int, last: int) -> list[tuple[int, int, int, int]] | None:
        """(consumer, queue, first, last sequence) of each range; None: a tag is not unsettled."""
    def copy(self) -> Unsettled:
        """The same once more, to see what settles would come to."""
    def take_all(self) -> list[tuple[int, int, int, int]]: ...

@final
class Poller:
    """Many sockets in rounds: one call receives and decodes for all that are ready, one sends for all.

    A token is its owner's number for one socket, from 0, given once.  Buffers are charged to ``input``
    and ``output``.  What a peer does is never an error here.
    """

    def __new__(cls, counters: Counters, input: Account, output: Account) -> Poller: ...
    def fileno(self) -> int:
        """Readable when there is something for a round to do, but for what is ``pending``."""
    @property
    def pending(self) -> bool:
        """The next round has something to do that the descriptor doesn't tell of."""
    def add(self, token: int, fd: int, decoder: AmqpDecoder | MqttDecoder | StompDecoder | WebDecoder) -> None:
        """Takes ``fd`` over.  OSError where the system has no room for it; it is closed then."""
    def remove(self, token: int) -> None:
        """Closes it, whatever is left to be written."""
    def watch(self, fd: int, writes: bool = False) -> int:
        """Each change of ``fd`` to readable (an eventfd's need not be read) comes with the token returned: -1, ...

        With ``writes`` each to writable too, after it did not take all of a write.
        """
    def unwatch(self, token: int) -> None:
        """Reports no more of it; what is told already may still name it."""
    def accept(self, token: int) -> tuple[int, str, int]:
        """The next connection that waits at the watched listener ``token``: descriptor, the peer's address, its port.

        An IPv4 address that came over IPv6 is an IPv4 address.  OSError: accept(2)'s; BlockingIOError: nobody waits.
        """
    def round(self) -> list[tuple[int, list[_Frame] | None]]:
        """What came: frames (none: bytes that complete none), or None: the end, told once; or a watched token."""
    def send(self, token: int, output: list[bytes | Chunk]) -> None:
        """Queues output for the next flush; after the end or a hang-up it is nobody's."""
    def flush(self) -> list[tuple[int, int]]:
        """Writes what was queued since the last one; which sockets are blocked now, and with how many bytes left."""
    def take_unblocked(self) -> list[tuple[int, int]]:
        """Which blocked sockets took something since this was last asked, and how many bytes are left."""
    def pause(self, token: int) -> None:
        """Stops reading."""
    def resume(self, token: int) -> None:
        """Reads on."""
    def wake(self, token: int) -> None:
        """Resumes the decoder, at the beginning of the next round."""
    def hang_up(self, token: int) -> None:
        """Lets output out, shuts our side, discards input until the peer's end, which is told.

        How long that may take is its owner's business, and so is ``remove`` in any case.
        """
    def output_size(self, token: int) -> int: ...
    def input_size(self, token: int) -> int: ...
    def slow_inputs(self, least: int) -> list[int]:
        """Those whose unfinished frame or message has grown by less than ``least`` bytes since this was last asked."""
    def wait(self, block_us: int, spin_us: int = 0) -> bool:
        """Waits for something to do without trio: asleep, then looking; says whether there is."""

class LoadError(RuntimeError):
    """The broker refused, hung up, or lost, repeated or reordered messages."""

def run_load(spec: Mapping[str, object]) -> dict[str, Any]:
    """Puts a load on a broker and measures it, in this thread without the GIL.

    ``spec`` has each field of ``LoadSpec`` in ``src/generator/mod.rs``, the answer each of ``LoadResult``.
    LoadError if it did not come to its end, or not every message arrived once and in order.
    """

def look_up_retained(spec: Mapping[str, object]) -> dict[str, Any]:
    """Looks up single retained messages while another subscriber reads all, in this thread without the GIL.

    ``spec`` has each field of ``LookUpSpec`` in ``src/generator/mqtt/look_up.rs``, the answer each of
    ``LookUpResult``.  LoadError if a message was refused, lost or came twice.
    """

@final
class MqttSubscribers:
    """MQTT clients that connected one after another, each with one subscription, and do nothing more."""

    def __new__(cls, host: str, port: int, count: int, nonce: int) -> MqttSubscribers:
        """LoadError if one was refused."""
    @property
    def seconds(self) -> float:
        """From the first connect to the last SUBACK."""
    def close(self) -> None: ...

class RaftDead(RuntimeError):
    """The shard's group does nothing any more, and why: it is to be restored from the journal."""

class RaftRefused(RuntimeError):
    """The group did nothing of it; the text says why."""

@final
class RaftReady:
    """One round's work, to be done in the order of ``RaftReady``'s rules in ``raft_ready.rs``."""

    @property
    def number(self) -> int: ...
    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """(peer, message) to be sent at once."""
    @property
    def must_sync(self) -> bool:
        """``entries`` and the hard state must become durable; then ``on_persisted(number)``."""
    @property
    def entries(self) -> list[tuple[int, int, int, bytes]]:
        """(index, term, kind, data)."""
    @property
    def committed(self) -> list[tuple[int, int, int, bytes]]: ...

@final
class RaftGroup:
    """A new Raft group, for tests; the shard uses it in Rust.  Whatever it won't do is RaftRefused."""

    def __new__(cls, peer: int, group: int, voters: Sequence[int], seed: int) -> RaftGroup: ...
    def propose(self, data: bytes) -> tuple[int, int]:
        """Term and index of the entry, which isn't committed yet."""
    def step(self, data: bytes) -> None: ...
    def tick(self) -> bool: ...
    def campaign(self) -> None: ...
    def ready(self) -> RaftReady | None: ...
    def on_persisted(self, number: int) -> list[tuple[int, bytes]]:
        """The messages that had to wait for it."""
    def on_applied(self, index: int) -> None: ...
    @property
    def term(self) -> int: ...
    @property
    def leader(self) -> int: ...
    @property
    def is_leading(self) -> bool: ...
