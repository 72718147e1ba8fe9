"""Bad input to STOMP's decoder, limit by limit; what the laws don't name: destinations, receipts, frames."""

from __future__ import annotations

import pytest

from kernel import (
    DESTINATION_EXCHANGE,
    DESTINATION_QUEUE,
    DESTINATION_TEMP_QUEUE,
    ORIGIN_STOMP,
    DeliveryRun,
    Eols,
    MessageRun,
    Sends,
    SettleKind,
    Settlement,
    StompDecoder,
    StompFrame,
    StompReceipts,
    StompSubscription,
    Violation,
    encode_messages,
    encode_stomp_frame,
    parse_destination,
    replace_reply_to,
)

SEND = b"SEND\ndestination:/queue/q\nreceipt:r\n"
FRAME_SIZE_MAX = 4 << 20


def opened(version: int = 12) -> StompDecoder:
    decoder = StompDecoder()
    [connect] = decoder.receive_data(b"CONNECT\naccept-version:1.2\n\n\0")
    assert connect == StompFrame(b"CONNECT", [(b"accept-version", b"1.2")])
    assert decoder.stopped
    decoder.version, decoder.session, decoder.frame_size_max = version, b"s-1", FRAME_SIZE_MAX
    assert decoder.resume() == []
    return decoder


def violation_of(stream: bytes, version: int = 12) -> Violation:
    decoder = opened(version)
    [violation] = decoder.receive_data(stream)
    assert isinstance(violation, Violation)
    assert violation.connection
    assert decoder.receive_data(SEND + b"\n\0") == []
    assert decoder.buffered == 0
    return violation


@pytest.mark.parametrize(
    ("stream", "text", "receipt_id"),
    [
        (b"A" * 33, "Command too long: ", b""),
        (b"SEND\n" + b"a:b\n" * 101, "Too many headers: at most 100 are allowed", b""),
        (SEND + b"a:" + b"x" * 8191, "Header line too long: ", b"r"),
        (SEND + b"content-length:4194304\n\n", "Frame too large: at most 4194304 bytes are allowed", b"r"),
        (SEND + b"\n" + b"x" * FRAME_SIZE_MAX, "Frame too large: at most 4194304 bytes are allowed", b"r"),
        (SEND + b"a:\\t\n\n\0", "Malformed frame: undefined escape", b"r"),
        (SEND + b"content-length:2\n\nabc\0", "Malformed frame: no NUL after the 2 bytes", b"r"),
        (SEND + b"content-length:-1\n\n\0", 'Invalid header: content-length is "-1", not a number of bytes', b"r"),
        (SEND + b"content-length:1" + b"0" * 40 + b"\n\n\0", "Frame too large: ", b"r"),
        (b"PUBLISH\nreceipt:r\n\n\0", 'Unknown command: "PUBLISH" is not a client\'s', b"r"),
        (b"CONNECTED\n\n\0", 'Unknown command: "CONNECTED"', b""),
        (b"STOMP\nreceipt:r\n\n\0", "Already connected: a second CONNECT came", b"r"),
        (b"SEND\nreceipt:r\n\n\0", "Missing header: SEND has no destination", b"r"),
        (b"SEND\ndestination:/q\n\n\0", 'Unknown destination: "/q" begins with none of /queue/, ', b""),
        (b"SEND\ndestination:/queue/%zz\n\n\0", "Invalid destination: ", b""),
        (b"SEND\ndestination:/exchange//k\n\n\0", 'Invalid destination: "/exchange//k" has an empty name', b""),
        (SEND + b"message-id:1\n\n\0", "Invalid header: message-id is the broker's", b"r"),
        (b"ACK\nid:1@@s-2@@1\nreceipt:r\n\n\0", 'Message not found: ACK of "1@@s-2@@1", which no message', b"r"),
        (b"ACK\nmessage-id:1@@s-1@@1\n\n\0", "Missing header: ACK has no id", b""),
        (b"ACK\nid:1@@s-1@@1\n\nbody\0", "Malformed frame: ACK has a body, which only a SEND may", b""),
        (b"SUBSCRIBE\nid:0\ncontent-length:1\n\nx\0", "Malformed frame: SUBSCRIBE has a body", b""),
        (SEND + b"no colon\n\n\0", 'Malformed frame: the header line "no colon" has no colon', b"r"),
        (SEND + b"a:\xff\n\n\0", "Malformed frame: the headers of SEND are not UTF-8", b"r"),
        (SEND + b"a:b\0", "Malformed frame: NUL after", b"r"),
    ],
)
def test_bad_input_is_told_in_words_and_ends_it(stream: bytes, text: str, receipt_id: bytes) -> None:
    violation = violation_of(stream)
    assert violation.text.startswith(text)
    assert violation.receipt_id == receipt_id


def test_nothing_but_connect_comes_first_and_only_64_kib_of_it() -> None:
    [violation] = StompDecoder().receive_data(SEND + b"\n\0")
    assert isinstance(violation, Violation)
    assert violation.text == "Not connected: SEND came before CONNECT"
    assert violation.receipt_id == b"r"
    decoder = StompDecoder()
    flood = b"CONNECT\n" + (b"a:" + b"x" * 8000 + b"\n") * 8
    assert decoder.receive_data(flood) == []
    [violation] = decoder.receive_data(b"b:" + b"x" * 8000)
    assert isinstance(violation, Violation)
    assert violation.text == "Frame too large: at most 65536 bytes are allowed"


def test_what_1_0_does_not_know() -> None:
    assert violation_of(b"NACK\nmessage-id:1@@s-1@@1\n\n\0", 10).text.startswith("Unknown command: ")
    [frame] = opened(10).receive_data(b"BEGIN\ntransaction: t \n\nbody\0")
    assert frame == StompFrame(b"BEGIN", [(b"transaction", b"t")])


def test_line_ends_are_counted_read_by_read() -> None:
    decoder = opened()
    assert decoder.receive_data(b"\n" * 1001) == [Eols(1000)]  # the first is CONNECT's own
    assert decoder.receive_data(b"\r") == []
    assert decoder.receive_data(b"\n") == [Eols(1)]


def test_an_acknowledgement_that_must_be_seen_is_a_frame() -> None:
    stream = b"ACK\nid:1@@s-1@@7\n\n\0ACK\nid:1@@s-1@@8\ntransaction:t\n\n\0"
    plain, frame = opened().receive_data(stream)
    assert plain == Settlement(1, 7, 7, SettleKind.ACK)
    assert isinstance(frame, StompFrame)
    assert frame.settlement == Settlement(1, 8, 8, SettleKind.ACK)
    assert "passcode" in repr(StompFrame(b"CONNECT", [(b"passcode", b"secret")]))
    assert "secret" not in repr(StompFrame(b"CONNECT", [(b"passcode", b"secret")]))


def test_a_destination_is_parsed() -> None:
    assert parse_destination(b"/queue/a%2Fb") == (DESTINATION_QUEUE, b"", b"a/b")
    assert parse_destination(b"/exchange/x/a.b") == (DESTINATION_EXCHANGE, b"x", b"a.b")
    assert parse_destination(b"/temp-queue/t") == (DESTINATION_TEMP_QUEUE, b"", b"t")
    with pytest.raises(ValueError, match=r'^Unknown destination: "t" '):
        parse_destination(b"t")


def test_receipts_that_await_no_confirm_and_those_that_are_refused() -> None:
    [sends] = opened().receive_data(SEND + b"\n\0" + SEND.replace(b":r", b":s") + b"\n\0")
    assert isinstance(sends, Sends)
    receipts = StompReceipts(12)
    receipts.add_sends(sends.receipts, 0, False)
    receipts.add_sends(sends.receipts, 5, True)
    with pytest.raises(ValueError, match="tags ascend"):
        receipts.add_sends(sends.receipts, 6, True)
    assert receipts.take() == b"RECEIPT\nreceipt-id:r\n\n\0\nRECEIPT\nreceipt-id:s\n\n\0\n"
    assert receipts.reject([(1, 4), (6, 6)]) == b"s"
    receipts.confirm([(5, 5)])
    assert receipts.take() == b"RECEIPT\nreceipt-id:r\n\n\0\n"
    assert len(receipts) == 1
    with pytest.raises(ValueError, match="awaits"):
        receipts.finish(0)


def test_frames_of_the_server() -> None:
    error = encode_stomp_frame(b"ERROR", [(b"message", b"a:\n")], b"why", 12)
    assert error == b"ERROR\nmessage:a\\c\\n\ncontent-length:3\n\nwhy\0\n"
    with pytest.raises(ValueError, match="version"):
        encode_stomp_frame(b"ERROR", [], b"", 13)
    run = MessageRun.of(0, [(b"", b"q", b"reply-to:/temp-queue/t\n", b"hi", 0, None)], ORIGIN_STOMP)
    replaced = replace_reply_to(run, b"/reply-queue/x")
    subscription = StompSubscription(b"0", 1, b"s-1", 12, True)
    wire = bytes(encode_messages(DeliveryRun.of(replaced, 0, 1, False), 9, subscription))
    assert wire == (
        b"MESSAGE\nsubscription:0\ndestination:/queue/q\nmessage-id:1@@s-1@@9\nack:1@@s-1@@9\nredelivered:false\n"
        b"reply-to:/reply-queue/x\ncontent-length:2\n\nhi\0\n"
    )
    with pytest.raises(ValueError, match="tag"):
        encode_messages(DeliveryRun.of(run, 0, 1, False), 0, subscription)
    amqp = MessageRun.of(0, [(b"", b"q", b"\0\0", b"hi", 0, None)])
    with pytest.raises(ValueError, match="STOMP"):
        replace_reply_to(amqp, b"x")
    of_amqp = bytes(encode_messages(DeliveryRun.of(amqp, 0, 1, False), 9, subscription))
    assert of_amqp == wire.replace(b"reply-to:/reply-queue/x\n", b"")
