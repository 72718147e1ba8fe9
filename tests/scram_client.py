"""A SCRAM-SHA-256 client for tests, written from RFC 5802 alone; it says what it is told to, right or wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramClient:
    def __init__(self, user: str, password: str, nonce: str = "rOprNGfwEbeRWgbNEkqO", header: str = "n,,") -> None:
        self.header = header
        self.password = password
        self.nonce = nonce
        self.bare = f"n={user.replace('=', '=3D').replace(',', '=2C')},r={nonce}"
        self.server_proof = b""

    @property
    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(
        self, server_first: bytes, extension: str = "", header: str | None = None, nonce: str | None = None
    ) -> bytes:
        """What answers the challenge; afterwards ``server_proof`` is what the server is to say.

        With another header or nonce than was agreed on the proof speaks of that one.
        """
        fields = dict(field.split("=", 1) for field in server_first.decode().split(","))
        assert fields["r"].startswith(self.nonce)
        assert len(fields["r"]) >= len(self.nonce) + 18
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        encoded = base64.b64encode((header or self.header).encode()).decode()
        without_proof = f"c={encoded},r={nonce or fields['r']}{extension}"
        spoken = f"{self.bare},{server_first.decode()},{without_proof}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), spoken, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.server_proof = b"v=" + base64.b64encode(hmac.digest(server_key, spoken, "sha256"))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()
