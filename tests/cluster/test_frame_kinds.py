"""The table of kinds: whole, and obeyed."""

from __future__ import annotations

from typing import Any

import pytest

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import (
    CHANNEL_SIZE_MAX,
    HANDSHAKE_SIZE_MAX,
    KINDS,
    Channel,
    Kind,
    Role,
    check_frame,
)
from broker.cluster.violation import LinkViolation, Reason

SAMPLES: dict[type, Any] = {int: 1, str: "a", bytes: b"b", list: []}
HEADS: dict[Kind, list[Any]] = {kind: [SAMPLES[field] for field in rule.fields] for kind, rule in KINDS.items()}


def refusal(frame: Frame, channel: Channel | None, sender: Role) -> Reason:
    with pytest.raises(LinkViolation) as caught:
        check_frame(frame, channel, sender)
    return caught.value.closing.reason


def test_the_table_has_every_kind_and_every_channel_a_limit() -> None:
    assert set(KINDS) == set(Kind)
    assert set(CHANNEL_SIZE_MAX) == set(Channel)
    assert all(HANDSHAKE_SIZE_MAX < size < 70 << 20 for size in CHANNEL_SIZE_MAX.values())


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_has_its_place_and_no_other(kind: Kind) -> None:
    rule = KINDS[kind]
    frame = Frame(kind, HEADS[kind])
    for channel in (None, *Channel):
        for sender in Role:
            if (channel, sender) == (rule.channel, rule.sender):
                assert check_frame(frame, channel, sender) is kind
            else:
                assert refusal(frame, channel, sender) is Reason.KIND_NOT_ALLOWED


@pytest.mark.parametrize("kind", list(Kind))
def test_a_head_has_its_shape(kind: Kind) -> None:
    rule, head = KINDS[kind], HEADS[kind]
    others: tuple[Any, ...] = (None, True, 1.5, {})
    wrong = [head[:at] for at in range(len(head))]
    wrong += [[*head[:at], other, *head[at + 1 :]] for at in range(len(head)) for other in others]
    if rule.longer:
        assert check_frame(Frame(kind, [*head, None]), rule.channel, rule.sender) is kind
    else:
        wrong.append([*head, 1])
    for other_head in wrong:
        assert refusal(Frame(kind, other_head), rule.channel, rule.sender) is Reason.BAD_FRAME


@pytest.mark.parametrize("kind", list(Kind))
def test_a_body_has_its_limit(kind: Kind) -> None:
    rule = KINDS[kind]
    check_frame(Frame(kind, HEADS[kind], bytes(rule.body_size_max)), rule.channel, rule.sender)
    longer = Frame(kind, HEADS[kind], bytes(rule.body_size_max + 1))
    assert refusal(longer, rule.channel, rule.sender) is Reason.FRAME_TOO_LARGE


def test_unknown_kinds() -> None:
    known = {int(kind) for kind in Kind}
    for number in range(256):
        if number not in known:
            assert refusal(Frame(number, []), Channel.BULK, Role.DIALER) is Reason.UNKNOWN_KIND
