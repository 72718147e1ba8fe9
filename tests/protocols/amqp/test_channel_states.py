"""Every method on a channel in every state of it: an exact answer for each pair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import kernel
from broker.model import replies
from broker.model.names import Channel as ChannelNumber
from broker.model.names import ConsumerTag, DeliveryTag, QueueName
from broker.model.refusals import Refusal
from broker.model.replies import Reply
from protocols.amqp.channel import CHANNEL_REPLIES, ChannelState
from protocols.amqp.channel_methods import CHANNEL_METHODS, REFUSED_METHODS
from protocols.amqp.method_codec import encode_arguments
from protocols.amqp.methods import METHOD_IDS, METHOD_NAMES, BasicAck, BasicNack, BasicPublish, BasicReject, Method
from tests.protocols.amqp.conversation import Conversation, build, deliveries, messages, method, opened, publish

RUNS = (BasicPublish, BasicAck, BasicNack, BasicReject)
BY_NAME = {name: kind for kind, name in METHOD_NAMES.items()}
ONE = ChannelNumber(1)


def open_() -> Conversation:
    """Channel 1 with a queue that an empty name stands for."""
    talk = opened()
    talk.sends(method(1, "queue.declare", queue="last"))
    talk.core(replies.QueueDeclared(ONE, QueueName("last"), 0, 0))
    return talk


def closing() -> Conversation:
    talk = open_()
    talk.core(replies.Refuse(ONE, Refusal.NOT_FOUND, "no exchange 'x' in vhost '/'"))
    return talk


def finishing() -> Conversation:
    talk = open_()
    talk.sends(method(1, "channel.close", reply_code=200, reply_text="bye"))
    return talk


def closed() -> Conversation:
    talk = closing()
    talk.sends(method(1, "channel.close-ok"))
    return talk


REACHED: dict[ChannelState, Callable[[], Conversation]] = {
    ChannelState.OPEN: open_,
    ChannelState.CLOSING: closing,
    ChannelState.FINISHING: finishing,
    ChannelState.CLOSED: closed,
}

OPEN_ANSWERS: dict[str, list[str]] = {
    "channel.flow": ['S: 0 connection.close reply_code=540 reply_text="NOT_IMPLEMENTED - active=false" class_id=20'
                     " method_id=20"],
    "channel.open": ["S: 0 connection.close reply_code=504 reply_text=\"CHANNEL_ERROR - second 'channel.open' seen\""
                     " class_id=20 method_id=10"],
    "channel.close": ["asks: CloseChannel(1)"],
    "exchange.declare": ["asks: DeclareExchange(1, ExchangeSpec('', ''))"],
    "exchange.delete": ["asks: DeleteExchange(1, '')"],
    "exchange.bind": ["asks: Bind(1, BindingSpec('', '', '', True))"],
    "exchange.unbind": ["asks: Unbind(1, BindingSpec('', '', '', True))"],
    "queue.declare": ["asks: DeclareQueue(1, QueueSpec(''))"],
    "queue.bind": ["asks: Bind(1, BindingSpec('', 'last', 'last'))"],
    "queue.unbind": ["asks: Unbind(1, BindingSpec('', 'last', 'last'))"],
    "queue.purge": ["asks: PurgeQueue(1, 'last')"],
    "queue.delete": ["asks: DeleteQueue(1, 'last')"],
    "basic.qos": ["S: 1 basic.qos-ok"],
    "basic.consume": ["asks: Consume(1, '', 'last')"],
    "basic.cancel": ["asks: Cancel(1, '')"],
    "basic.cancel-ok": [],
    "basic.get": ["asks: Get(1, 'last')"],
    "basic.recover": ['S: 0 connection.close reply_code=540 reply_text="NOT_IMPLEMENTED - requeue=false" class_id=60'
                      " method_id=110"],
    "basic.recover-async": ['S: 0 connection.close reply_code=540 reply_text="NOT_IMPLEMENTED - requeue=false"'
                            " class_id=60 method_id=100"],
    "confirm.select": ["S: 1 confirm.select-ok"],
}  # fmt: skip
CLOSING_ANSWERS: dict[str, list[str]] = {
    "channel.close": ["S: 1 channel.close-ok"],
    "channel.close-ok": [],
}
CONNECTION_ENDS = ["deadline: +1"]


def send(talk: Conversation, kind: type[Method]) -> list[str]:
    class_id, method_id = METHOD_IDS[kind]
    return talk.frames(kernel.Method(1, class_id, method_id, encode_arguments(build(kind, {}))))


def fatal(code: str, detail: str, kind: type[Method]) -> list[str]:
    class_id, method_id = METHOD_IDS[kind]
    return [
        "asks: CloseSession()",
        f'S: 0 connection.close reply_code={code} reply_text="{detail}" class_id={class_id} method_id={method_id}',
        *CONNECTION_ENDS,
    ]


def test_the_table_holds_what_is_answered_and_no_more() -> None:
    answered = {(ChannelState.OPEN, BY_NAME[name]) for name in OPEN_ANSWERS}
    assert CHANNEL_METHODS.keys() == answered | {(ChannelState.CLOSING, BY_NAME[name]) for name in CLOSING_ANSWERS}
    assert REACHED.keys() == set(ChannelState)
    assert {METHOD_NAMES[kind] for kind in REFUSED_METHODS} == {"tx.select", "tx.commit", "tx.rollback"}


@pytest.mark.parametrize("kind", [kind for kind in METHOD_IDS if kind not in RUNS], ids=lambda kind: METHOD_NAMES[kind])
def test_every_method_on_an_open_channel(kind: type[Method]) -> None:
    did, name = send(open_(), kind), METHOD_NAMES[kind]
    if name in OPEN_ANSWERS:
        ends = bool(OPEN_ANSWERS[name]) and "connection.close" in OPEN_ANSWERS[name][0]
        assert did == [*(["asks: CloseSession()"] if ends else []), *OPEN_ANSWERS[name], *(CONNECTION_ENDS * ends)]
    elif name.startswith("tx.") and not name.endswith("-ok"):
        assert did == fatal("540", f"NOT_IMPLEMENTED - {name} is not supported", kind)
    else:
        assert did == fatal("503", f"COMMAND_INVALID - unexpected method '{name}'", kind)


@pytest.mark.parametrize("kind", [kind for kind in METHOD_IDS if kind not in RUNS], ids=lambda kind: METHOD_NAMES[kind])
def test_every_method_on_a_channel_that_we_closed_is_discarded(kind: type[Method]) -> None:
    assert send(closing(), kind) == CLOSING_ANSWERS.get(METHOD_NAMES[kind], [])


@pytest.mark.parametrize("state", [ChannelState.FINISHING, ChannelState.CLOSED], ids=lambda state: state.value)
@pytest.mark.parametrize("kind", [kind for kind in METHOD_IDS if kind not in RUNS], ids=lambda kind: METHOD_NAMES[kind])
def test_every_method_on_a_channel_that_is_gone(state: ChannelState, kind: type[Method]) -> None:
    did = send(REACHED[state](), kind)
    if state is ChannelState.CLOSED and METHOD_NAMES[kind] == "channel.open":
        assert did == ["asks: OpenChannel(1)", "S: 1 channel.open-ok"]
    else:
        assert did == fatal("504", "CHANNEL_ERROR - expected 'channel.open'", kind)


@pytest.mark.parametrize("state", ChannelState, ids=lambda state: state.value)
def test_runs_in_every_state(state: ChannelState) -> None:
    published = REACHED[state]().sends(publish(1, body=b"hello"))
    settled = REACHED[state]().sends(method(1, "basic.ack", delivery_tag=7))
    if state is ChannelState.OPEN:
        assert published == ["asks: Publish(1, [/k:hello])"]
        assert settled == ["asks: Settle(1, 7, 7, Outcome.ACCEPTED)"]
    elif state is ChannelState.CLOSING:
        assert published == settled == []
    else:
        assert published == fatal("504", "CHANNEL_ERROR - expected 'channel.open'", BasicPublish)
        assert settled == fatal("504", "CHANNEL_ERROR - expected 'channel.open'", BasicAck)


@pytest.mark.parametrize("state", ChannelState, ids=lambda state: state.value)
def test_a_message_that_is_too_large_in_every_state(state: ChannelState) -> None:
    talk = REACHED[state]()
    talk.decoder.message_size_max = 3
    did = talk.sends(publish(1, body=b"hello"))
    if state is ChannelState.OPEN:
        text = "PRECONDITION_FAILED - message size 5 is larger than configured max size 3 (311 CONTENT_TOO_LARGE)"
        assert did == [
            "asks: CloseChannel(1)",
            f'S: 1 channel.close reply_code=406 reply_text="{text}" class_id=60 method_id=40',
        ]
    elif state is ChannelState.CLOSING:
        assert did == []
    else:
        assert did == fatal("504", "CHANNEL_ERROR - expected 'channel.open'", BasicPublish)


CHANNEL_REPLY_SAMPLES: list[Reply] = [
    replies.Deliver(ONE, ConsumerTag("t"), DeliveryTag(1), deliveries("a")),
    replies.Confirm(ONE, [(1, 1)]),
    replies.Reject(ONE, [(1, 1)]),
    replies.Return(ONE, Refusal.NO_ROUTE, "", messages("a")),
    replies.ConsumerLost(ONE, ConsumerTag("t")),
    replies.Done(ONE),
    replies.QueueDeclared(ONE, QueueName("q"), 0, 0),
    replies.QueueDeleted(ONE, 0),
    replies.QueuePurged(ONE, 0),
    replies.ConsumerStarted(ONE, ConsumerTag("t")),
    replies.ConsumerCancelled(ONE, ConsumerTag("t")),
    replies.Got(ONE, DeliveryTag(1), deliveries("a"), 0),
    replies.GotNothing(ONE),
    replies.Refuse(ONE, Refusal.NOT_FOUND, "no queue 'q' in vhost '/'"),
]


def test_every_reply_to_a_channel_has_a_sample() -> None:
    assert {type(reply) for reply in CHANNEL_REPLY_SAMPLES} == CHANNEL_REPLIES | {replies.Refuse}


@pytest.mark.parametrize("state", [ChannelState.CLOSING, ChannelState.FINISHING, ChannelState.CLOSED])
@pytest.mark.parametrize("reply", CHANNEL_REPLY_SAMPLES, ids=lambda reply: type(reply).__name__)
def test_replies_that_cross_with_the_end_of_a_channel_are_dropped(state: ChannelState, reply: Reply) -> None:
    talk = REACHED[state]()
    assert talk.core(reply) == []
    finished = ["S: 1 channel.close-ok"] if state is ChannelState.FINISHING else []
    assert talk.core(replies.ChannelClosed(ONE)) == finished


@pytest.mark.parametrize("reply", CHANNEL_REPLY_SAMPLES, ids=lambda reply: type(reply).__name__)
def test_replies_that_cross_with_the_end_of_the_connection_are_dropped(reply: Reply) -> None:
    talk = opened()
    talk.sends(method(0, "connection.close", reply_code=200))
    assert talk.core(reply, replies.ChannelClosed(ONE)) == []
