"""Bad input by the byte (limits-and-bad-input.md, section 5): bytes in, ERROR out, hung up on, and nothing asked.

ERROR has ``receipt-id`` where the frame at fault asked for a receipt and could be read that far.
"""

from __future__ import annotations

import pytest

from protocols.stomp.settings import CONNECT_SIZE_MAX, EOL_BURST_MAX, RECEIPTS_MAX
from protocols.stomp.version import Version
from tests.protocols.stomp.conversation import Conversation, connected, subscribed
from tests.protocols.stomp.wire import ServerFrame, frame, read_frames

V1_0, V1_1, V1_2 = Version
VERSIONS = list(Version)
R = (("receipt", "r"),)
TO = ("destination", "/queue/a")


def said(talk: Conversation, data: bytes) -> tuple[list[ServerFrame], list[str], bool]:
    """Frames, commands and whether it hangs up, after these bytes."""
    talk.adapter.receive_data(data, talk.now)
    ready = talk.adapter.take_ready()
    output = b"".join(bytes(part) for part in ready.output)
    return read_frames(output, talk.version), [type(command).__name__ for command in ready.commands], ready.closing


def error_of(talk: Conversation, data: bytes, asked: list[str] | None = None) -> ServerFrame:
    """The ERROR behind which it hangs up.  Whatever is refused so asks nothing of the core, unless it is said."""
    frames, commands, closing = said(talk, data)
    assert closing
    assert commands == (asked or [])
    error = frames[-1]
    assert error.command == "ERROR"
    assert [each.command for each in frames[:-1]] == ["RECEIPT"] * (len(frames) - 1)
    assert error.header("content-type") == "text/plain"
    assert error.header("version") == "1.0,1.1,1.2"
    assert error.body.endswith(b"\n")
    assert len(error.body) > 10
    return error


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("data", "message", "receipt_id"),
    [
        (b"x" * 33, "Command too long", None),
        (b"HELLO\n\n\0", "Unknown command", None),
        (b"send\n\n\0", "Unknown command", None),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "Unknown command", None),
        (frame("MESSAGE", TO), "Unknown command", None),
        (frame("CONNECTED"), "Unknown command", None),
        (frame("SEND", TO, *((f"h{number}", "") for number in range(100))), "Too many headers", None),
        (frame("SEND", TO, ("a", "x" * (8 << 10))), None, None),
        (b"SEND\ndestination:/queue/a\nno colon\n\n\0", "Malformed frame", None),
        (b"SEND\ndestination:/queue/a\na:\xff\n\n\0", None, None),
        (b"SEND\ndestination:/queue/a\ncontent-length:2\n\nabc\0", "Malformed frame", None),
        (b"SEND\ndestination:/queue/a\ncontent-length:-1\n\n\0", "Invalid header", None),
        (b"SEND\ndestination:/queue/a\ncontent-length:9999999999999999999999\n\n\0", "Frame too large", None),
        (b"SEND\ndestination:/queue/a\ncontent-length:99999999\n\n", "Frame too large", None),
        (frame("SEND", *R), "Missing header", "r"),
        (frame("SEND", ("destination", ""), *R), "Unknown destination", "r"),
        (frame("SEND", ("destination", "queue/a"), *R), "Unknown destination", "r"),
        (frame("SEND", ("destination", "/nowhere/a"), *R), "Unknown destination", "r"),
        (frame("SEND", ("destination", "/queue/"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/a/b"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/%"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/%2"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/%zz"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/a%0Ab"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/%00"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/queue/%FF"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", f"/queue/{'x' * 256}"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/exchange//k"), *R), "Invalid destination", "r"),
        (frame("SEND", ("destination", "/temp-queue/a"), *R), "Invalid destination", "r"),
        (frame("SEND", TO, ("reply-to", "/temp-queue/"), *R), "Invalid reply-to", "r"),
        (frame("SEND", TO, ("message-id", "1"), *R), "Invalid header", "r"),
        (frame("SEND", TO, ("x-message-ttl", "soon"), *R), "Invalid header", "r"),
        (frame("SEND", TO, ("durable", "perhaps"), *R), "Invalid header", "r"),
        (frame("SEND", ("destination", "/topic/a"), ("user-id", "you"), *R), "Invalid header", "r"),
        (frame("SEND", ("destination", "/topic/a"), ("transaction", "t"), *R), "Unknown transaction", "r"),
        (frame("SUBSCRIBE", ("id", "0"), *R), "Missing header", "r"),
        (frame("SUBSCRIBE", ("id", "0"), ("destination", "/nowhere/a"), *R), "Unknown destination", "r"),
        (frame("SUBSCRIBE", ("id", "0"), ("destination", "/queue/%2"), *R), "Invalid destination", "r"),
        (frame("SUBSCRIBE", ("id", "0"), ("destination", "/temp-queue/a"), *R), "Invalid destination", "r"),
        (frame("SUBSCRIBE", ("id", "0"), ("destination", "/reply-queue/a"), *R), "Invalid destination", "r"),
        (frame("SUBSCRIBE", ("id", "0"), TO, ("ack", "no"), *R), "Invalid header", "r"),
        (frame("SUBSCRIBE", ("id", "0"), TO, ("selector", "a=1"), *R), "Unsupported header", "r"),
        (frame("SUBSCRIBE", ("id", "0"), TO, ("activemq.noLocal", "true"), *R), "Unsupported header", "r"),
        (frame("UNSUBSCRIBE", ("id", "0"), *R), "No subscription found", "r"),
        (frame("UNSUBSCRIBE", *R), "Missing header", "r"),
        (frame("BEGIN", *R), "Missing header", "r"),
        (frame("COMMIT", ("transaction", "t"), *R), "Unknown transaction", "r"),
        (frame("ABORT", ("transaction", "t"), *R), "Unknown transaction", "r"),
        (frame("CONNECT", ("login", "me")), "Already connected", None),
    ],
)
def test_what_is_wrong_in_every_version(
    version: Version, data: bytes, message: str | None, receipt_id: str | None
) -> None:
    error = error_of(connected(version, frame_size_max=1 << 20), data)
    assert message in (None, error.header("message"))
    assert receipt_id in (None, error.header("receipt-id"))


@pytest.mark.parametrize("line", [rb"a\t:b", rb"a:b\x", b"a:b\\", rb"\:b"])
def test_an_undefined_escape(line: bytes) -> None:
    """1.0 has none, so a backslash is one."""
    data = b"SEND\ndestination:/topic/a\n" + line + b"\n\n\0"
    for version in (V1_1, V1_2):
        assert error_of(connected(version), data).header("message") == "Malformed frame"
    assert said(connected(V1_0), data) == ([], ["Publish"], False)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_receipt_that_is_no_text_is_not_told(version: Version) -> None:
    """Found by fuzzing: what we send is UTF-8, also of who doesn't send it."""
    for command in (b"SEND\ndestination:/topic/a", b"BEGIN\ntransaction:t"):
        error = error_of(connected(version), command + b"\nreceipt:\x80\n\n\0")
        assert error.header("receipt-id") is None


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_behind_a_bad_frame_is_looked_at(version: Version) -> None:
    data = frame("SEND", ("destination", "/topic/a")) + frame("HELLO") + frame("SEND", ("destination", "/topic/b"))
    frames, commands, closing = said(connected(version), data)
    assert [each.command for each in frames] == ["ERROR"]
    assert commands == ["Publish"]
    assert closing


@pytest.mark.parametrize(
    "id", ["", "x", "1", "1@@s", "1@@s@@", "1@@other@@1", "0@@s@@1", "1@@s@@0", "1@@s@@-1", "2@@s@@1", "1@@s@@2",
           "1@@s@@1x", "1@@s@@" + "9" * 30, "99999@@s@@1", "1@@s@@1@@1"]
)  # fmt: skip
@pytest.mark.parametrize("command", ["ACK", "NACK"])
def test_an_unknown_ack_id(command: str, id: str) -> None:
    """One message was delivered: ``1@@s@@1``."""
    talk = subscribed()
    talk.reads('core: Deliver(1, "T_0", 1, deliveries("x"))')
    assert error_of(talk, frame(command, ("id", id), *R)).header("receipt-id") == "r"
    talk = subscribed()
    talk.reads('core: Deliver(1, "T_0", 1, deliveries("x"))')
    error_of(talk, frame(command, ("id", id)))


def test_acknowledgements_that_go_on_past_what_was_sent() -> None:
    """What came before counts."""
    talk = subscribed()
    talk.reads('core: Deliver(1, "T_0", 1, deliveries("x"))')
    error_of(talk, frame("ACK", ("id", "1@@s@@1")) + frame("ACK", ("id", "1@@s@@2")), ["Settle"])


def test_an_acknowledgement_names_its_message_as_its_version_does() -> None:
    for version, name in ((V1_0, "id"), (V1_1, "id"), (V1_2, "message-id")):
        talk = subscribed(version=version)
        talk.reads('core: Deliver(1, "T_0", 1, deliveries("x"))')
        error = error_of(talk, frame("ACK", (name, "1@@s@@1"), ("subscription", "0")))
        assert error.header("message") == "Missing header"


def test_nack_is_not_of_1_0() -> None:
    talk = subscribed(version=V1_0)
    talk.reads('core: Deliver(1, "T_0", 1, deliveries("x"))')
    assert error_of(talk, frame("NACK", ("message-id", "1@@s@@1"))).header("message") == "Unknown command"


@pytest.mark.parametrize(
    "data", [frame("BEGIN", ("transaction", "t"), body=b"x"), b"BEGIN\ntransaction:t\ncontent-length:1\n\nx\0"]
)
def test_a_body_that_has_no_place(data: bytes) -> None:
    assert error_of(connected(V1_2), data).header("message") == "Malformed frame"
    frames, _, closing = said(connected(V1_0), data)
    assert (frames, closing) == ([], False)


def test_subscribe_without_an_id_is_of_1_0_only() -> None:
    for version in (V1_1, V1_2):
        assert error_of(connected(version), frame("SUBSCRIBE", TO, *R)).header("message") == "Missing header"
    _, commands, closing = said(connected(V1_0), frame("SUBSCRIBE", TO))
    assert (commands, closing) == (["DeclareQueue"], False)


def test_the_first_of_repeated_headers_counts() -> None:
    data = frame("SUBSCRIBE", ("id", "0"), TO, ("ack", "client"), ("destination", "/nowhere/b"), ("ack", "no"))
    _, commands, closing = said(connected(V1_2), data)
    assert (commands, closing) == (["DeclareQueue"], False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (frame("SEND", TO, *R), "Not connected"),
        (frame("SUBSCRIBE", ("id", "0"), TO, *R), "Not connected"),
        (frame("DISCONNECT", *R), "Not connected"),
        (frame("HELLO"), "Unknown command"),
        (frame("CONNECT", ("accept-version", "2.0")), "Version mismatch"),
        (frame("CONNECT", ("accept-version", "")), "Version mismatch"),
        (frame("CONNECT"), "Bad CONNECT"),
        (frame("CONNECT", ("login", "a\rb"), ("passcode", "x")), "Bad CONNECT"),
        (frame("CONNECT", ("login", "me"), ("heart-beat", "soon,never")), "Invalid header"),
        (frame("CONNECT", ("login", "me"), ("heart-beat", "-1,0")), "Invalid header"),
        (frame("CONNECT", ("login", "me"), ("client-id", "c")), "Unsupported header"),
        (frame("CONNECT", *((f"a{number}", "x" * 8_000) for number in range(9))), "Frame too large"),
        (b"CONNECT\n" + b"x" * (8 << 10) + b":y\n\n\0", None),
    ],
)
def test_before_connected(data: bytes, message: str | None) -> None:
    error = error_of(Conversation(V1_0), data)
    assert message in (None, error.header("message"))


def test_the_frame_before_connected_is_bounded_whatever_it_says() -> None:
    talk = Conversation(V1_0, frame_size_max=1 << 20)
    assert len(said(talk, b"CONNECT\ncontent-length:100000\n\n" + b"x" * CONNECT_SIZE_MAX)[0]) == 1


def test_the_largest_frame() -> None:
    head = frame("SEND", ("destination", "/topic/a"), end=b"")
    talk = connected(V1_2, frame_size_max=1_000)
    _, commands, closing = said(talk, head + b"x" * (999 - len(head)) + b"\0")
    assert (commands, closing) == (["Publish"], False)
    assert error_of(talk, head + b"x" * (1_000 - len(head)) + b"\0").header("message") == "Frame too large"


def test_a_flood_of_line_ends() -> None:
    """The first is CONNECT's own."""
    talk = connected(V1_2)
    assert said(talk, b"\n" * (EOL_BURST_MAX + 1)) == ([], [], False)
    assert error_of(talk, b"\n").header("message") == "Too many heart-beats"


def test_line_ends_come_again_with_time_and_behind_frames_they_are_free() -> None:
    talk = connected(V1_2)
    said(talk, b"\n" * (EOL_BURST_MAX + 1))
    talk.now += 1
    assert said(talk, b"\r\n" * 100)[2] is False
    sent = frame("BEGIN", ("transaction", "t"), end=b"\0\n") + frame("ABORT", ("transaction", "t"), end=b"\0\n")
    assert said(talk, sent * EOL_BURST_MAX)[2] is False
    error_of(talk, b"\n")


def test_line_ends_before_connect_count_too() -> None:
    error_of(Conversation(V1_0), b"\n" * (EOL_BURST_MAX + 1))


def test_receipts_that_cost_nothing_are_bounded() -> None:
    talk = connected(V1_2)
    said(talk, frame("SEND", ("destination", "/topic/a"), ("receipt", "waits")))
    pair = frame("BEGIN", ("transaction", "t"), *R) + frame("ABORT", ("transaction", "t"), *R)
    assert said(talk, pair * (RECEIPTS_MAX // 2)) == ([], [], False)
    assert error_of(talk, pair).header("message") == "Too many receipts"


def test_a_name_of_a_stomp_client_never_breaks_a_line() -> None:
    """What is told of a bad name is escaped: nobody can put a header into an ERROR."""
    evil = "/nowhere/x\nmessage:injected\n\nbody"
    for version in (V1_1, V1_2):
        error = error_of(connected(version), frame("SEND", ("destination", evil), version=version))
        assert [name for name, _ in error.headers].count("message") == 1
        error = error_of(connected(version), frame("SUBSCRIBE", ("id", "0"), ("destination", evil), version=version))
        assert [name for name, _ in error.headers].count("message") == 1
        error = error_of(connected(version), frame("BEGIN", ("receipt", "a\nmessage:b"), version=version))
        assert error.header("receipt-id") == "a\nmessage:b"
