"""What ``stomper`` 0.4.3 writes: the sloppiest client there is, its frames byte by byte.

It is tolerated as far as the specification lets one: an end without a line end before it, spaces, line ends between
frames.  It escapes nothing, so what it writes of a name with a colon means what the bytes say.
"""

from __future__ import annotations

from tests.protocols.stomp.conversation import V1_1, Conversation, connected, subscribed

CONNECT = b"CONNECT\naccept-version:1.1\nhost:/\nheart-beat:0,0\nlogin:me\npasscode:pw\n\n\x00\n"
SUBSCRIBE = b"SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client\n\n\x00\n"
SEND = b"SEND\ndestination:/topic/a\ncontent-type:text/plain\n\nhello\x00\n"
DISCONNECT = b"DISCONNECT\nreceipt:77\n\x00\n"
"""The blank line is missing."""


def test_its_conversation() -> None:
    talk = Conversation(V1_1)
    assert talk.sends(CONNECT) == ["asks: Authenticate('me', pw, True)"]
    talk.reads("core: Authenticated(), VhostOpened()")
    assert talk.sends(SUBSCRIBE) == ["asks: DeclareQueue(0, QueueSpec('a', True))"]
    talk.reads('core: QueueDeclared(0, "a", 0, 0)')
    talk.reads('core: ConsumerStarted(1, "T_1")')
    assert talk.sends(SEND) == ["asks: Publish(0, [amq.topic/a:hello content-type:text/plain])"]
    talk.reads('core: Deliver(1, "T_1", 1, deliveries("x"))')
    ack = b"ACK\nsubscription:1\nmessage-id:1@@s@@1\n\n\x00\n"
    assert talk.sends(ack) == ["asks: Settle(1, 0, 1, Outcome.ACCEPTED)"]
    nack = b"NACK\nsubscription:1\nmessage-id:1@@s@@1\ntransaction:t\n\n\x00\n"
    assert talk.sends(b"BEGIN\ntransaction:t\n\n\x00\n" + nack + b"ABORT\ntransaction:t\n\n\x00\n") == []
    assert talk.sends(b"UNSUBSCRIBE\nid:1\n\n\x00\n") == ["asks: CloseChannel(1)"]


def test_disconnect_without_its_blank_line() -> None:
    talk = connected(V1_1)
    assert talk.sends(DISCONNECT) == ["asks: CloseSession()"]
    assert talk.reads("core: SessionClosed()") == ["S: RECEIPT receipt-id:77", "closing"]


def test_heart_beats_before_a_frame() -> None:
    talk = connected(V1_1)
    assert talk.sends(b"\n\n\n" + SEND) == ["asks: Publish(0, [amq.topic/a:hello content-type:text/plain])"]


def test_a_body_that_begins_with_line_ends_keeps_them() -> None:
    """It would drop them itself; on the wire they are the body's."""
    talk = connected(V1_1)
    said = talk.sends(b"SEND\ndestination:/topic/a\n\n\n\n  indented\n\x00\n")
    assert said == ["asks: Publish(0, [amq.topic/a:\n\n  indented\n])"]


def test_spaces_are_significant() -> None:
    """It trims those around names and values, and takes others to do so."""
    talk = connected(V1_1)
    said = talk.sends(b"SEND\ndestination: /topic/a\n\nhello\x00\n")
    assert said[0].startswith("S: ERROR 'message:Unknown destination'")
    assert said[1] == "closing"


def test_a_colon_that_it_does_not_escape() -> None:
    talk = connected(V1_1)
    said = talk.sends(b"SEND\ndestination:/topic/a\nurl:http://x:1/\n\nhello\x00\n")
    assert said == [r"asks: Publish(0, [amq.topic/a:hello url:http\c//x\c1/])"]


def test_a_backslash_that_it_does_not_escape() -> None:
    talk = connected(V1_1)
    said = talk.sends(b"SEND\ndestination:/topic/a\npath:C:\\temp\n\nhello\x00\n")
    assert said[0].startswith("S: ERROR 'message:Malformed frame'")


def test_what_it_injects_is_what_it_says() -> None:
    """A value with a line break becomes two headers at the client: nothing that a server could tell."""
    talk = connected(V1_1)
    said = talk.sends(b"SEND\ndestination:/topic/a\nname:x\npersistent:true\n\nhello\x00\n")
    assert said == ["asks: Publish(0, [amq.topic/a:hello name:x persistent])"]


def test_a_body_in_characters_for_its_length() -> None:
    """``StompBuffer`` counts characters: "é" is one of them and two bytes, so NUL is not where it should be."""
    talk = connected(V1_1)
    said = talk.sends("SEND\ndestination:/topic/a\ncontent-length:1\n\né\x00\n".encode())
    assert said[0].startswith("S: ERROR 'message:Malformed frame'")


def test_a_frame_without_its_line_end_is_whole() -> None:
    """It waits for NUL and a line feed; we don't, and what we send has both."""
    talk = subscribed(version=V1_1)
    talk.adapter.receive_replies([], talk.now)
    assert talk.sends(SEND.rstrip(b"\n")) == ["asks: Publish(0, [amq.topic/a:hello content-type:text/plain])"]
