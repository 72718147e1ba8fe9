"""Users and their passwords."""

from __future__ import annotations

import hashlib
import hmac

from broker.core.topology_commands import CreateVhost, PasswordHash, PutPermission, PutUser, TopologyCommand
from broker.core.topology_rows import UserRow
from broker.model.names import UserName, VhostName

ITERATIONS = 4096
"""RFC 7677's least for SCRAM-SHA-256: 0.9 ms.  A login costs the whole broker that long, and devices reconnect."""

LOOPBACK_USERS = frozenset({UserName("guest")})
"""Their passwords are known to everybody: only from this machine, as in RabbitMQ."""

DEFAULT_VHOST = VhostName("/")
DEFAULT_USER = UserName("guest")
DEFAULT_PASSWORD = b"guest"


def hash_password(password: bytes, salt: bytes, iterations: int = ITERATIONS) -> PasswordHash:
    """SCRAM-SHA-256's (RFC 5802 section 3), without SASLprep: passwords are compared as bytes.

    ``salt``: 16 random bytes, of whoever proposes the user.
    """
    salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
    return PasswordHash(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest(),
        server_key=hmac.digest(salted, b"Server Key", "sha256"),
    )


def founding_commands(
    salt: bytes, user: UserName = DEFAULT_USER, password: bytes = DEFAULT_PASSWORD
) -> list[TopologyCommand]:
    """What a new cluster begins with: vhost ``/`` and one user, who may do everything in it."""
    return [
        CreateVhost(DEFAULT_VHOST),
        PutUser(user, hash_password(password, salt), tags=("administrator",)),
        PutPermission(user, DEFAULT_VHOST, configure=".*", write=".*", read=".*"),
    ]


_DECOY = hash_password(b"", bytes(16))
"""Checked for users that don't exist, so that they take as long as those that do."""


class Users:
    """All users.

    The last password of each that was found right is remembered, as a plain digest in memory only: a storm of
    reconnecting devices costs one PBKDF2 a user.
    """

    def __init__(self) -> None:
        self._rows: dict[UserName, UserRow] = {}
        self._verified: dict[UserName, bytes] = {}
        self._filled: set[UserName] = set()
        """Whose passwords are known not to be empty."""

    def put(self, row: UserRow) -> None:
        self._rows[row.name] = row
        self._forget(row.name)

    def drop(self, name: UserName) -> None:
        self._forget(name)
        del self._rows[name]

    def _forget(self, name: UserName) -> None:
        self._verified.pop(name, None)
        self._filled.discard(name)

    def find(self, name: UserName) -> UserRow | None:
        return self._rows.get(name)

    def authenticate(self, name: UserName, password: bytes, loopback: bool) -> bool:
        """Is it the user it says?  An empty password never is one, nor one with a NUL.

        HMAC pads its key with NULs, so ``x`` and ``x\\0`` have one hash; SASL PLAIN can't carry a NUL anyway.
        """
        if (name in LOOPBACK_USERS and not loopback) or b"\0" in password:
            return False
        row = self._rows.get(name)
        there = row.password if row is not None else None
        kept = there or _DECOY
        digest = hmac.digest(kept.salt, password, "sha256")
        if hmac.compare_digest(digest, self._verified.get(name, b"")):
            return True
        given = hash_password(password, kept.salt, kept.iterations)
        same = hmac.compare_digest(given.stored_key, kept.stored_key)
        right = same and there is not None and password != b""
        if right:
            self._verified[name] = digest
        return right

    def scram_keys(self, name: UserName, loopback: bool) -> PasswordHash | None:
        """What a user is asked by who may log in from there; None: there is no such."""
        row = self._rows.get(name)
        if row is None or (name in LOOPBACK_USERS and not loopback):
            return None
        return row.password

    def confirm_scram(self, name: UserName, keys: PasswordHash) -> bool:
        """Is what it has proved still its password, and not an empty one?"""
        row = self._rows.get(name)
        if row is None or row.password != keys:
            return False
        if name not in self._filled:
            if hmac.compare_digest(hash_password(b"", keys.salt, keys.iterations).stored_key, keys.stored_key):
                return False
            self._filled.add(name)
        return True
