"""What an HTTP listener can be told, and its limits with their reasons."""

from __future__ import annotations

import msgspec

HEAD_SIZE_MAX = 16 << 10
"""Bytes of request line and headers, as h11's own default; more is 431."""
PIPELINED_COUNT_MAX = 32
"""Requests that come before the answer to the one before them; more is 429.  Browsers don't send any."""
CHUNK_COUNT_MAX = 8_192
"""Pieces of a chunked body: 20 MiB in pieces of 2.5 KiB.  Each costs us as much as a small request."""
BODY_WINDOW_S = 5.0
BODY_PROGRESS_MIN = 5 << 10
"""Bytes by which a body must have grown after each window: 1 KiB a second, or it is 408."""


class HttpSettings(msgspec.Struct, frozen=True):
    """Of one listener."""

    body_size_max: int = 20 << 20
    """Bytes; more is 413, before any of it is read if its size is declared."""
    head_timeout_s: float = 10.0
    """From the first byte of a request (or from connecting) to the end of its head: an upgrade has no longer either."""
    idle_timeout_s: float = 60.0
    """How long a connection is kept for the next request."""
