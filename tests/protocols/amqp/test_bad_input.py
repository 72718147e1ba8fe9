"""Bad input by the byte: a test for each row about AMQP 0-9-1 of what a broker must stand, and what it answers exactly.

Nothing else may change: after a channel's error the connection goes on; after the connection's the socket is given up
within a second, whether or not the client says close-ok.
"""

from __future__ import annotations

import struct

import pytest

from broker.model import replies
from broker.model.names import Channel as ChannelNumber
from broker.model.refusals import Refusal
from protocols.amqp.method_codec import encode_method
from protocols.amqp.methods import ConnectionStartOk, ConnectionTuneOk
from protocols.amqp.settings import AmqpSettings
from protocols.amqp.table import encode_table
from tests.protocols.amqp.conversation import CAPABLE, Conversation, content, frame, method, opened, publish, started

START_OK = ConnectionStartOk({"capabilities": CAPABLE}, "PLAIN", b"\0guest\0guest", "en_US")


def ids(class_id: int, method_id: int) -> bytes:
    return struct.pack(">HH", class_id, method_id)


def tuning() -> Conversation:
    talk = started()
    talk.sends(encode_method(0, START_OK))
    talk.core(replies.Authenticated())
    return talk


def assert_ends(talk: Conversation, data: bytes, code: int, detail: str, at: tuple[int, int] = (0, 0)) -> None:
    """These bytes end the connection with this code and text, and whatever follows is not looked at."""
    did = talk.sends(data)
    texts = [line for line in did if line.startswith("S:")]
    numbers = f" class_id={at[0]} method_id={at[1]}" if at != (0, 0) else ""
    assert texts == [f"S: 0 connection.close reply_code={code} reply_text={detail}{numbers}"]
    assert did[-1] == "deadline: +1"
    assert talk.sends(publish(1, body=b"late") + method(1, "queue.declare", queue="late")) == []
    assert talk.passes(0.99) == []
    assert talk.passes(0.01) == ["closing", "deadline: none"]


def assert_closes_channel(talk: Conversation, data: bytes, code: int, detail: str, at: tuple[int, int]) -> None:
    """These bytes end channel 1 with this code and text; what is on its way there is discarded, channel 2 goes on."""
    assert talk.sends(data) == [
        "asks: CloseChannel(1)",
        f'S: 1 channel.close reply_code={code} reply_text="{detail}" class_id={at[0]} method_id={at[1]}',
    ]
    assert talk.sends(publish(1) + publish(2, body=b"b")) == ["asks: Publish(2, [/k:b])"]
    assert talk.sends(method(1, "channel.close-ok") + method(1, "channel.open")) == [
        "asks: OpenChannel(1)",
        "S: 1 channel.open-ok",
    ]


@pytest.mark.parametrize(
    "header",
    [b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x00\x09\x00", b"AMQP\x01\x01\x00\x0a", b"GET / HT", bytes(8)],
)
def test_a_wrong_protocol_header_is_answered_with_ours(header: bytes) -> None:
    assert Conversation().sends(header + b"whatever follows") == ["S: header", "closing", "deadline: none"]


def test_a_frame_larger_than_was_agreed() -> None:
    big = struct.pack(">BHI", 1, 0, 8193 - 8)
    assert_ends(started(), big, 501, '"FRAME_ERROR - frame of 8193 bytes, at most 8192 are allowed"')
    big = struct.pack(">BHI", 3, 1, 131_073 - 8)
    assert_ends(opened(), big, 501, '"FRAME_ERROR - frame of 131073 bytes, at most 131072 are allowed"')
    lowered = opened(frame_max=4096)
    big = struct.pack(">BHI", 1, 1, 0xFFFF_FFFF)
    assert_ends(lowered, big, 501, '"FRAME_ERROR - frame of 4294967303 bytes, at most 4096 are allowed"')


def test_a_frame_that_ends_wrongly_or_is_of_no_known_type() -> None:
    broken = method(1, "queue.declare", queue="q")[:-1] + b"\xcd"
    assert_ends(opened(), broken, 501, '"FRAME_ERROR - frame does not end in 0xCE"')
    for kind in (0, 4, 7, 9, 255):
        text = f'"FRAME_ERROR - unknown frame type {kind}"'
        assert_ends(opened(), frame(kind, 1, b"abc"), 501, text)
        assert_ends(started(), frame(kind, 0, b"abc"), 501, text)


def test_a_method_of_channel_0_out_of_order() -> None:
    text = "\"COMMAND_INVALID - unexpected method '{}' in connection state {}\""
    tune_ok = encode_method(0, ConnectionTuneOk(0, 0, 0))
    unexpected = text.format("connection.tune-ok", "awaiting-start-ok")
    assert_ends(started(), tune_ok, 503, unexpected, (10, 31))
    vhost = method(0, "connection.open", virtual_host="/")
    unexpected = text.format("connection.open", "awaiting-tune-ok")
    assert_ends(tuning(), vhost, 503, unexpected, (10, 40))
    secure = method(0, "connection.secure-ok", response=b"x")
    assert_ends(started(), secure, 503, text.format("connection.secure-ok", "awaiting-start-ok"), (10, 21))


def test_a_second_open_and_a_second_start_ok() -> None:
    text = "\"COMMAND_INVALID - unexpected method '{}' in connection state open\""
    vhost = method(0, "connection.open", virtual_host="/")
    assert_ends(opened(), vhost, 503, text.format("connection.open"), (10, 40))
    assert_ends(opened(), encode_method(0, START_OK), 503, text.format("connection.start-ok"), (10, 11))


def test_a_method_of_a_channel_on_channel_0_and_the_reverse() -> None:
    text = "\"COMMAND_INVALID - unexpected method 'queue.declare' in connection state open\""
    assert_ends(opened(), method(0, "queue.declare", queue="q"), 503, text, (50, 10))
    text = '"COMMAND_INVALID - connection methods belong to channel 0"'
    assert_ends(opened(), method(1, "connection.close", reply_code=200), 503, text, (10, 50))
    text = '"CHANNEL_ERROR - no channel to publish on"'
    assert_ends(opened(), publish(0), 504, text, (60, 40))
    text = '"COMMAND_INVALID - a channel\'s method on channel 0"'
    assert_ends(opened(), method(0, "basic.ack", delivery_tag=1), 503, text, (60, 80))


def test_a_channel_before_the_connection_is_open() -> None:
    text = '"UNEXPECTED_FRAME - the connection is not open yet"'
    assert_ends(started(), method(1, "channel.open"), 505, text)
    assert_ends(tuning(), publish(1), 505, text)


def test_a_heartbeat_on_a_channel_other_than_0() -> None:
    text = '"UNEXPECTED_FRAME - heartbeat on a channel other than 0"'
    assert_ends(opened(), frame(8, 1, b""), 505, text)
    assert opened().sends(frame(8, 0, b"")) == []


DECLARE = method(1, "queue.declare", queue="q")[7:-1]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (b"", "arguments too short"),
        (b"\0\0\x05q", "arguments too short"),
        (b"\0\0\x01q\0\0\0\0", "arguments too short"),
        (b"\0\0\x01q\0\0\0\0\x09\x01kS\xff\xff\xff\xff", "arguments too short"),
        (b"\0\0\x01q\0\0\0\0\x07\x01kS\xff\xff\xff\xff", "field value beyond its table"),
        (b"\0\0\x01q\0\0\0\0\x03\x01k?", "unknown type of field value"),
        (b"\0\0\x02\xff\xfe\0\0\0\0\0", "short string is not UTF-8"),
        (DECLARE[4:] + b"\0", "bytes after the arguments"),
    ],
)
def test_arguments_that_are_cut_short_or_garbled(arguments: bytes, fault: str) -> None:
    text = f'"SYNTAX_ERROR - {fault}"'
    assert_ends(opened(), frame(1, 1, ids(50, 10) + arguments), 502, text, (50, 10))


def test_names_of_255_bytes_are_the_longest_there_are() -> None:
    """A longer one cannot be written: its length would be a second octet, which is taken for the next argument."""
    assert opened().sends(method(1, "queue.declare", queue="q" * 255)) == [
        f"asks: DeclareQueue(1, QueueSpec('{'q' * 255}'))"
    ]
    longer = b"\0\0\xff" + b"q" * 256 + b"\0\0\0\0\0"
    text = '"SYNTAX_ERROR - bytes after the arguments"'
    assert_ends(opened(), frame(1, 1, ids(50, 10) + longer), 502, text, (50, 10))


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = b"\x01kF" + struct.pack(">I", len(inner)) + inner
    return struct.pack(">I", len(inner)) + inner


@pytest.mark.parametrize("depth", [32, 18_000])
def test_tables_nested_too_deep_in_arguments(depth: int) -> None:
    declare = frame(1, 1, ids(50, 10) + b"\0\0\x01q\0" + nested(depth))
    assert_ends(opened(), declare, 502, '"SYNTAX_ERROR - tables nested too deep"', (50, 10))
    shallow = frame(1, 1, ids(50, 10) + b"\0\0\x01q\0" + nested(31))
    assert opened().sends(shallow)[0].startswith("asks: DeclareQueue(1, ")


def test_tables_nested_too_deep_in_headers() -> None:
    """21,000 empty tables in each other are 147,000 bytes: a frame of 131,072 holds 18,000 of them."""
    headers = nested(18_000)
    sent = method(1, "basic.publish", routing_key="k") + content(1, b"", b"\x20\x00" + headers)
    assert_ends(opened(), sent, 502, '"SYNTAX_ERROR - tables nested too deep"', (60, 40))


def test_a_channel_that_is_not_open() -> None:
    text = "\"CHANNEL_ERROR - expected 'channel.open'\""
    assert_ends(opened(), publish(2), 504, text, (60, 40))
    assert_ends(opened(), method(2, "queue.declare", queue="q"), 504, text, (50, 10))
    assert_ends(opened(), method(2, "basic.ack", delivery_tag=1), 504, text, (60, 80))
    assert_ends(opened(), method(2, "channel.close", reply_code=200), 504, text, (20, 40))
    second = "\"CHANNEL_ERROR - second 'channel.open' seen\""
    assert_ends(opened(), method(1, "channel.open"), 504, second, (20, 10))


def test_a_channel_beyond_channel_max() -> None:
    assert opened().sends(method(2047, "channel.open")) == ["asks: OpenChannel(2047)", "S: 2047 channel.open-ok"]
    text = '"NOT_ALLOWED - channel 2048 is beyond the negotiated channel_max (2047)"'
    assert_ends(opened(), method(2048, "channel.open"), 530, text, (20, 10))
    text = "\"CHANNEL_ERROR - expected 'channel.open'\""
    assert_ends(opened(), method(65_535, "basic.ack", delivery_tag=1), 504, text, (60, 80))


def test_content_out_of_order() -> None:
    header_first = '"UNEXPECTED_FRAME - content header without a publish"'
    assert_ends(opened(), content(1, b""), 505, header_first)
    body_first = '"UNEXPECTED_FRAME - body without a content header"'
    assert_ends(opened(), frame(3, 1, b"body"), 505, body_first)
    assert_ends(opened(), method(1, "basic.publish") + frame(3, 1, b"body"), 505, body_first)
    within = '"UNEXPECTED_FRAME - a method within a message\'s content"'
    unfinished = method(1, "basic.publish") + content(1, b"body")[:-12]
    assert_ends(opened(), unfinished + method(1, "queue.declare", queue="q"), 505, within, (50, 10))
    assert_ends(opened(), unfinished + publish(1), 505, within, (60, 40))
    assert_ends(opened(), method(1, "basic.publish") + publish(1), 505, within, (60, 40))
    wrong_class = method(1, "basic.publish") + frame(2, 1, struct.pack(">HHQH", 50, 0, 0, 0))
    of_basic = '"UNEXPECTED_FRAME - content header of a class other than 60, or with a weight"'
    assert_ends(opened(), wrong_class, 505, of_basic)


def test_a_body_longer_than_its_header_said() -> None:
    longer = method(1, "basic.publish") + content(1, b"body")[:-12] + frame(3, 1, b"bodyy")
    text = '"FRAME_ERROR - body is longer than its header said"'
    assert_ends(opened(), longer, 501, text, (60, 40))


def test_a_message_larger_than_the_limit() -> None:
    talk = opened(AmqpSettings(message_size_max=1000), channels=2)
    text = "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 (311 CONTENT_TOO_LARGE)"
    assert_closes_channel(talk, publish(1, body=bytes(1001)), 406, text, (60, 40))
    assert opened(AmqpSettings(message_size_max=1000)).sends(publish(1, body=b"x" * 1000)) == [
        f"asks: Publish(1, [/k:{'x' * 1000}])"
    ]


@pytest.mark.parametrize("number", [(60, 41), (60, 130), (99, 10), (0, 0), (65_535, 65_535)])
def test_an_unknown_class_or_method(number: tuple[int, int]) -> None:
    for channel in (0, 1):
        text = '"NOT_IMPLEMENTED - unknown method"'
        at = number if number != (0, 0) else (0, 0)
        assert_ends(opened(), frame(1, channel, ids(*number)), 540, text, at)


def test_no_permission_closes_the_channel() -> None:
    talk = opened(channels=2)
    talk.sends(publish(1, exchange="x"))
    detail = "access to exchange 'x' in vhost '/' refused for user 'guest'"
    assert talk.core(replies.Refuse(ChannelNumber(1), Refusal.ACCESS_REFUSED, detail)) == [
        "asks: CloseChannel(1)",
        f'S: 1 channel.close reply_code=403 reply_text="ACCESS_REFUSED - {detail}" class_id=60 method_id=40',
    ]


def test_an_unknown_delivery_tag_closes_the_channel() -> None:
    talk = opened(channels=2)
    assert talk.sends(method(1, "basic.ack", delivery_tag=9)) == ["asks: Settle(1, 9, 9, Outcome.ACCEPTED)"]
    assert talk.core(replies.Refuse(ChannelNumber(1), Refusal.PRECONDITION_FAILED, "unknown delivery tag 9")) == [
        "asks: CloseChannel(1)",
        'S: 1 channel.close reply_code=406 reply_text="PRECONDITION_FAILED - unknown delivery tag 9"'
        " class_id=60 method_id=80",
    ]
    zero = method(1, "basic.ack", delivery_tag=0)
    text = "PRECONDITION_FAILED - unknown delivery tag 0"
    assert_closes_channel(opened(channels=2), zero, 406, text, (60, 80))


def test_a_declaration_beyond_a_limit_ends_the_connection() -> None:
    talk = opened()
    talk.sends(method(1, "queue.declare", queue="q"))
    assert talk.core(replies.Refuse(ChannelNumber(1), Refusal.RESOURCE_ERROR, "queue limit (10) is reached")) == [
        "asks: CloseSession()",
        'S: 0 connection.close reply_code=506 reply_text="RESOURCE_ERROR - queue limit (10) is reached"'
        " class_id=50 method_id=10",
        "deadline: +1",
    ]


def test_silence_for_two_heartbeats_is_death() -> None:
    talk = opened(heartbeat=10)
    assert talk.passes(5) == ["S: heartbeat", "deadline: +5"]
    assert talk.passes(5) == ["S: heartbeat", "deadline: +5"]
    assert talk.passes(5) == ["S: heartbeat", "deadline: +5"]
    assert talk.passes(5) == ["closing", "deadline: none"]


def test_any_traffic_is_a_sign_of_life() -> None:
    talk = opened(heartbeat=10)
    for _ in range(9):
        talk.passes(5)
        assert talk.sends(publish(1)[:3]) == []
        talk.passes(5)
        assert talk.sends(publish(1)[3:]) == ["asks: Publish(1, [/k:])"]


def test_a_handshake_of_more_than_ten_seconds() -> None:
    for talk in (Conversation(), started(), tuning()):
        talk.sends(b"")
        assert talk.passes(9.99) == []
        assert talk.passes(0.01) == ["closing", "deadline: none"]


def test_a_refused_login() -> None:
    refused = replies.Refuse(ChannelNumber(0), Refusal.LOGIN_REFUSED, "no such user")
    knows, silent = started(), started()
    knows.sends(encode_method(0, START_OK))
    assert knows.core(refused) == ["deadline: +0.1"]
    assert knows.passes(0.1) == [
        'S: 0 connection.close reply_code=403 reply_text="ACCESS_REFUSED - Login was refused using authentication'
        ' mechanism PLAIN. For details see the broker logfile."',
        "deadline: +1",
    ]
    silent.sends(encode_method(0, ConnectionStartOk({}, "PLAIN", b"\0guest\0wrong", "en_US")))
    assert silent.core(refused) == ["deadline: +3"]
    assert silent.sends(encode_method(0, START_OK)) == []
    assert silent.passes(3) == ["closing", "deadline: none"]


def test_the_delay_of_a_refused_login_is_constant() -> None:
    """However long the core looked at it: the client hears of it at the same time."""
    slow = started()
    slow.sends(encode_method(0, START_OK))
    slow.now += 0.06
    assert slow.core(replies.Refuse(ChannelNumber(0), Refusal.LOGIN_REFUSED, "")) == ["deadline: +0.04"]


@pytest.mark.parametrize(
    ("frame_max", "detail"),
    [
        (131_073, "frame_max = 131073 is higher than the maximum allowed value (131072)"),
        (4095, "frame_max = 4095 is lower than the minimum allowed value (4096)"),
    ],
)
def test_a_frame_max_that_was_not_offered(frame_max: int, detail: str) -> None:
    text = f'"NOT_ALLOWED - failed to negotiate connection parameters: negotiated {detail}"'
    assert_ends(tuning(), encode_method(0, ConnectionTuneOk(0, frame_max, 0)), 530, text, (10, 31))


def test_a_message_for_at_once_or_never_is_not_implemented() -> None:
    text = '"NOT_IMPLEMENTED - immediate=true"'
    assert_ends(opened(), publish(1, immediate=True), 540, text, (60, 40))


def test_too_much_behind_a_queue_without_a_name() -> None:
    """What waits for the broker to name a queue is bounded, in frames and in bytes."""
    unnamed = method(1, "queue.declare") + method(1, "queue.purge")
    text = '"RESOURCE_ERROR - too much sent while a queue.declare without a name is not answered"'
    frames = b"".join(method(1, "basic.qos", prefetch_count=1) for _ in range(255))
    fits = opened()
    assert fits.sends(unnamed + frames) == ["asks: DeclareQueue(1, QueueSpec(''))"]
    assert_ends(fits, method(1, "basic.qos"), 506, text, (60, 10))
    fits = opened(channels=2)
    fits.sends(unnamed + publish(1, body=bytes(600_000)))
    fits.sends(unnamed.replace(b"\1\0\1", b"\1\0\2"))
    assert_ends(fits, publish(2, body=bytes(600_000)), 506, text)


def test_a_name_with_a_control_character() -> None:
    for name in ("a\nb", "a\rb", "a\0b", "\x7f", "\x85"):
        shown = name.replace(name[0] if len(name) == 1 else name[1], "?")
        declare = method(1, "queue.declare", queue=name)
        text = f"PRECONDITION_FAILED - queue name '{shown}' holds a control character"
        assert_closes_channel(opened(channels=2), declare, 406, text, (50, 10))
        text = "PRECONDITION_FAILED - exchange name or routing key holds a control character"
        assert_closes_channel(opened(channels=2), publish(1, key=name, body=b"body"), 406, text, (60, 40))
        assert_closes_channel(opened(channels=2), publish(1, exchange=name), 406, text, (60, 40))
    dead_letters = {"x-dead-letter-routing-key": "a\nb"}
    declare = method(1, "queue.declare", queue="q", arguments=dead_letters)
    text = "PRECONDITION_FAILED - argument 'x-dead-letter-routing-key' 'a?b' holds a control character"
    assert_closes_channel(opened(channels=2), declare, 406, text, (50, 10))


def test_an_expiration_that_is_no_number() -> None:
    good, bad = publish(1, body=b"1"), publish(1, body=b"2", properties=b"\x01\x00\x041.5s")
    talk = opened(channels=2)
    assert talk.sends(good + good + bad + good) == [
        "asks: Publish(1, [/k:1, /k:1])",
        "asks: CloseChannel(1)",
        "S: 1 channel.close reply_code=406 reply_text=\"PRECONDITION_FAILED - invalid expiration '1.5s'\""
        " class_id=60 method_id=40",
    ]


def test_a_user_id_that_is_not_the_login() -> None:
    guest, other = b"\x00\x10\x05guest", b"\x00\x10\x05other"
    talk = opened(channels=2)
    assert talk.sends(publish(1, properties=guest) + publish(1, properties=other)) == [
        "asks: Publish(1, [/k:])",
        "asks: CloseChannel(1)",
        "S: 1 channel.close reply_code=406 reply_text=\"PRECONDITION_FAILED - user_id property set to 'other' but"
        " authenticated user was 'guest'\" class_id=60 method_id=40",
    ]


def test_a_table_of_arguments_that_is_well_formed_passes() -> None:
    table = {"x-message-ttl": 5, "nested": {"list": [1, None, True]}}
    assert encode_table(table) in method(1, "queue.declare", queue="q", arguments=table)
    assert opened().sends(method(1, "queue.declare", queue="q", arguments=table)) == [
        f"asks: DeclareQueue(1, QueueSpec('q', arguments={table}))"
    ]
