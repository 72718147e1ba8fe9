"""Basic authentication (RFC 7617): who the HTTP request says it is.

A protocol inside may take it where its own login names nobody; nothing is proved here.
"""

from __future__ import annotations

import base64

SCHEME = "basic"


def read_basic_auth(authorization: str | None) -> tuple[str, bytes] | None:
    """User and password; None: the header is missing, of another scheme or malformed."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != SCHEME:
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except ValueError:
        return None
