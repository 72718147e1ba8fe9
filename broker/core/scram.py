"""SCRAM-SHA-256 without channel binding (RFC 5802 and 7677), the server's side of one exchange.

The server never learns the password: it keeps what ``PasswordHash`` holds, and the client proves that it has the rest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from broker.core.topology_commands import PasswordHash
from broker.core.users import ITERATIONS
from broker.model.names import UserName
from broker.model.scram import BadScramMessage, ClientFirst, read_client_final

NONCE_SIZE = 18
"""Random bytes of the server's part: 24 characters."""
DECOY_SECRET_SIZE = 32
_SALT_SIZE = 16


def decoy(secret: bytes, user: UserName) -> PasswordHash:
    """What a user who doesn't exist is asked with: the same each time, as a real one's, so that nobody learns who does.

    ``secret``: the process's, which nobody else knows.
    """
    name = user.encode()
    return PasswordHash(
        salt=hmac.digest(secret, b"salt" + name, "sha256")[:_SALT_SIZE],
        iterations=ITERATIONS,
        stored_key=hmac.digest(secret, b"stored key" + name, "sha256"),
        server_key=hmac.digest(secret, b"server key" + name, "sha256"),
    )


class ScramExchange:
    """One login: the server's first message, then the client's proof, once."""

    def __init__(self, user: UserName, client_first: ClientFirst, keys: PasswordHash, nonce: str) -> None:
        """``nonce``: the server's part of it, printable and without a comma; never the same twice."""
        self.user = user
        self.keys = keys
        self._client_first = client_first
        self._nonce = client_first.nonce + nonce
        self._server_first = f"r={self._nonce},s={encode_base64(keys.salt)},i={keys.iterations}"

    @property
    def server_first(self) -> bytes:
        return self._server_first.encode()

    def receive_client_final(self, data: bytes) -> bytes | None:
        """The server's last message, its own proof; None: the client doesn't know the password, or cheats."""
        first, keys = self._client_first, self.keys
        try:
            final = read_client_final(data)
        except BadScramMessage:
            return None
        if final.gs2_header != first.gs2_header.encode() or final.nonce != self._nonce:
            return None
        spoken = f"{first.bare},{self._server_first},{final.without_proof}".encode()
        signature = hmac.digest(keys.stored_key, spoken, "sha256")
        client_key = bytes(ours ^ theirs for ours, theirs in zip(signature, final.proof, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key):
            return None
        return b"v=" + base64.b64encode(hmac.digest(keys.server_key, spoken, "sha256"))


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
