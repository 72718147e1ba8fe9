"""What a message says, in no protocol's words; and what is left of it in each."""

from __future__ import annotations

import random
from typing import NamedTuple

WAIT_S = 10.0
EXPIRY_S = 60
EXPIRY_LOSS_S = 5
"""What of the expiry may have passed on the way."""


class Said(NamedTuple):
    """``reply_to``: ("queue", its name) or ("topic", its levels).  None: not said."""

    payload: bytes
    persistent: bool = False
    content_type: str | None = None
    correlation: str | None = None
    reply_to: tuple[str, str] | None = None
    expires_s: int | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


PLAIN = (
    Said(b""),
    Said(b"\0"),
    Said(bytes(range(256)), persistent=True),
    Said("grün, 日本, 😀".encode(), persistent=True),
    Said(random.Random(1).randbytes(1 << 20), persistent=True),
    Said(b"line\nline\r\n:\\n"),
)
"""What every protocol can say."""
RICH = (
    Said(b"x", content_type="text/plain; charset=utf-8"),
    Said(b"x", correlation="order 7: ü"),
    Said(b"x", reply_to=("queue", "answers-of-7")),
    Said(b"x", reply_to=("topic", "answers.of.7")),
    Said(b"x", expires_s=EXPIRY_S, persistent=True),
    Said(b"x", headers={"unit": "°C", "colon": "back\\slash:colon", "empty": "", "text": "one\ntwo"}),
    Said(b"{}", True, "application/json", "c-1", ("queue", "q"), EXPIRY_S, {"a": "1", "b": "2"}),
)
"""What MQTT 3.1.1 can't."""


def left_of(said: Said, *kinds: str) -> Said:
    """What is heard of it, if it passes clients of these kinds."""
    if "mqtt4" in kinds:
        return Said(said.payload, said.persistent)
    # A line end is no text to MQTT (docs/conversions.md): its clients get such a value in base64.
    headers = {name: value for name, value in said.headers.items() if not ("mqtt5" in kinds and "\n" in value)}
    return said._replace(headers=headers)


def same(heard: Said, expected: Said) -> bool:
    """But for what of the expiry has passed; a broker may tell more headers than were said."""
    if (heard.expires_s is None) != (expected.expires_s is None):
        return False
    if heard.expires_s is not None and not EXPIRY_S - EXPIRY_LOSS_S <= heard.expires_s <= EXPIRY_S:
        return False
    told = {name: heard.headers.get(name) for name in expected.headers}
    return heard._replace(expires_s=None, headers=told) == expected._replace(expires_s=None)
