"""Every method on channel 0 in every state of a connection: an exact answer for each pair."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import kernel
from broker.model import replies
from broker.model.names import Channel
from broker.model.refusals import Refusal
from protocols.amqp.connection import CONNECTION_METHODS
from protocols.amqp.connection_state import DISCARDING, ConnectionState
from protocols.amqp.method_codec import encode_arguments
from protocols.amqp.methods import (
    METHOD_IDS,
    METHOD_NAMES,
    BasicAck,
    BasicNack,
    BasicPublish,
    BasicReject,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    Method,
)
from tests.protocols.amqp.conversation import Conversation, build, method, opened, started

CONNECTION = Channel(0)
START_OK = ConnectionStartOk({}, "PLAIN", b"\0guest\0secret", "en_US")
SAMPLES: dict[type[Method], Method] = {
    **{kind: build(kind, {}) for kind in METHOD_IDS},
    ConnectionStartOk: START_OK,
    ConnectionOpen: ConnectionOpen("/"),
    ConnectionClose: ConnectionClose(200, "bye"),
}
RUNS = (BasicPublish, BasicAck, BasicNack, BasicReject)
"""What the decoder never gives as a method."""


def send(talk: Conversation, sample: Method, channel: int = 0) -> list[str]:
    class_id, method_id = METHOD_IDS[type(sample)]
    return talk.frames(kernel.Method(channel, class_id, method_id, encode_arguments(sample)))


def then(state: Callable[[], Conversation], *steps: Method | replies.Reply) -> Callable[[], Conversation]:
    """The state that these steps lead to from another."""

    def reach() -> Conversation:
        talk = state()
        for step in steps:
            if isinstance(step, Method):
                send(talk, step)
            else:
                talk.core(step)
        return talk

    return reach


authenticating = then(started, START_OK)
tuning = then(authenticating, replies.Authenticated())
tuned = then(tuning, ConnectionTuneOk(0, 0, 0))
opening = then(tuned, ConnectionOpen("/"))
open_ = then(opening, replies.VhostOpened())

REACHED: dict[ConnectionState, Callable[[], Conversation]] = {
    ConnectionState.AWAITING_HEADER: Conversation,
    ConnectionState.AWAITING_START_OK: started,
    ConnectionState.AUTHENTICATING: authenticating,
    ConnectionState.LOGIN_REFUSED: then(authenticating, replies.Refuse(CONNECTION, Refusal.LOGIN_REFUSED, "")),
    ConnectionState.AWAITING_TUNE_OK: tuning,
    ConnectionState.AWAITING_OPEN: tuned,
    ConnectionState.OPENING: opening,
    ConnectionState.OPEN: open_,
    ConnectionState.CLOSING: then(open_, replies.CloseConnection("shutdown")),
    ConnectionState.FINISHING: then(open_, ConnectionClose(200, "bye")),
    ConnectionState.CLOSED: then(started, ConnectionClose(200, "bye")),
}
FINISHED = ["S: 0 connection.close-ok", "closing", "deadline: none"]
ANSWERS: dict[tuple[ConnectionState, type[Method]], list[str]] = {
    (ConnectionState.AWAITING_START_OK, ConnectionStartOk): ["asks: Authenticate('guest', b'secret', True)"],
    (ConnectionState.AWAITING_TUNE_OK, ConnectionTuneOk): [],
    (ConnectionState.AWAITING_OPEN, ConnectionOpen): ["asks: OpenVhost('/')"],
    (ConnectionState.OPEN, ConnectionUpdateSecret): ["S: 0 connection.update-secret-ok"],
    (ConnectionState.AWAITING_START_OK, ConnectionClose): FINISHED,
    (ConnectionState.AUTHENTICATING, ConnectionClose): FINISHED,
    (ConnectionState.AWAITING_TUNE_OK, ConnectionClose): FINISHED,
    (ConnectionState.AWAITING_OPEN, ConnectionClose): FINISHED,
    (ConnectionState.OPENING, ConnectionClose): ["asks: CloseSession()"],
    (ConnectionState.OPEN, ConnectionClose): ["asks: CloseSession()"],
    (ConnectionState.CLOSING, ConnectionClose): FINISHED,
    (ConnectionState.CLOSING, ConnectionCloseOk): ["closing", "deadline: none"],
}
WITH_SESSION = (ConnectionState.OPENING, ConnectionState.OPEN)


def test_the_table_holds_what_is_answered_and_no_more() -> None:
    assert CONNECTION_METHODS.keys() == ANSWERS.keys()
    assert REACHED.keys() == set(ConnectionState)


@pytest.mark.parametrize("state", ConnectionState, ids=lambda state: state.value)
@pytest.mark.parametrize("kind", [kind for kind in METHOD_IDS if kind not in RUNS], ids=lambda kind: METHOD_NAMES[kind])
def test_every_method_in_every_state(state: ConnectionState, kind: type[Method]) -> None:
    did = send(REACHED[state](), SAMPLES[kind])
    if state is ConnectionState.CLOSED:
        assert did == ["closing"]
    elif (state, kind) in ANSWERS:
        assert did == ANSWERS[state, kind]
    elif state in DISCARDING:
        assert did == []
    elif state is ConnectionState.AWAITING_HEADER:
        assert did == ["closing", "deadline: none"]
    else:
        class_id, method_id = METHOD_IDS[kind]
        assert did == [
            *(["asks: CloseSession()"] if state in WITH_SESSION else []),
            f'S: 0 connection.close reply_code=503 reply_text="COMMAND_INVALID - unexpected method'
            f" '{METHOD_NAMES[kind]}' in connection state {state.value}\" class_id={class_id} method_id={method_id}",
            "deadline: +1",
        ]


@pytest.mark.parametrize("state", ConnectionState, ids=lambda state: state.value)
def test_a_channel_in_every_state(state: ConnectionState) -> None:
    """Only an open connection has channels: before, they are unexpected; after, not looked at."""
    did = send(REACHED[state](), build(BasicAck, {"delivery_tag": 1}), channel=1)
    if state in DISCARDING:
        assert did == (["closing"] if state is ConnectionState.CLOSED else [])
        return
    if state is ConnectionState.AWAITING_HEADER:
        assert did == ["closing", "deadline: none"]
        return
    text = {ConnectionState.OPEN: "504 reply_text=\"CHANNEL_ERROR - expected 'channel.open'\""}.get(
        state, f'505 reply_text="UNEXPECTED_FRAME - channel 1 in connection state {state.value}"'
    )
    assert f"S: 0 connection.close reply_code={text} class_id=60 method_id=80" in did


@pytest.mark.parametrize("state", ConnectionState, ids=lambda state: state.value)
def test_every_reply_of_the_core_in_every_state(state: ConnectionState) -> None:
    """Replies may cross with the end of a connection: then they are dropped, and none ever fails."""
    for reply in (
        replies.Block("low on disk"),
        replies.Unblock(),
        replies.SessionClosed(),
        replies.Authenticated(),
        replies.VhostOpened(),
        replies.Refuse(CONNECTION, Refusal.RESOURCE_ERROR, "a shard is gone"),
        replies.CloseConnection("shutdown"),
    ):
        REACHED[state]().core(reply)


@pytest.mark.parametrize("state", [state for state in ConnectionState if state not in DISCARDING])
def test_the_broker_may_end_it_in_every_state(state: ConnectionState) -> None:
    did = REACHED[state]().core(replies.CloseConnection("broker shut down"))
    if state is ConnectionState.AWAITING_HEADER:
        assert did == ["closing", "deadline: none"]
        return
    assert did[-2:] == [
        'S: 0 connection.close reply_code=320 reply_text="CONNECTION_FORCED - broker shut down"',
        "deadline: +1",
    ]


@pytest.mark.parametrize("state", ConnectionState, ids=lambda state: state.value)
def test_the_client_may_hang_up_in_every_state(state: ConnectionState) -> None:
    talk = REACHED[state]()
    assert "closing" in talk.hangs_up()
    assert talk.sends(method(0, "connection.close", reply_code=200)) == ["closing"]
    assert talk.passes(1000) == ["closing"]


@pytest.mark.parametrize("state", [state for state in ConnectionState if state not in DISCARDING])
def test_no_handshake_lasts_longer_than_ten_seconds(state: ConnectionState) -> None:
    talk = REACHED[state]()
    if state is ConnectionState.OPEN:
        assert talk.passes(1000) == []
        return
    assert talk.passes(9.9) == []
    assert talk.passes(0.1) == ["closing", "deadline: none"]


def test_a_connection_with_heartbeats_that_never_opens_is_hung_up_on_too() -> None:
    talk = then(tuning, ConnectionTuneOk(0, 0, 1))()
    assert talk.passes(10) == ["closing", "deadline: none"]


def test_opened_is_open() -> None:
    assert opened(channels=0).sends(method(0, "connection.close", reply_code=200)) == ["asks: CloseSession()"]
