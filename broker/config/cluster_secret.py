"""The secret that nodes of a cluster share, from the configuration or from the file that it names."""

from __future__ import annotations

from pathlib import Path

from broker.config.problem import ConfigError, Mark, Problem
from broker.config.schema import SECRET_SIZE_MAX, Cluster

SECRET_SIZE_MIN = 16
"""Bytes.  Whoever hears a handshake can try guesses at leisure: 128 random bits can't be guessed."""


def read_secret(cluster: Cluster) -> bytes:
    """Empty if there is none.  A file's last line break is not part of it.  Raises ConfigError."""
    if not cluster.secret_file:
        return cluster.secret.encode()
    path = Path(cluster.secret_file)
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_SIZE_MAX + 2)
    except OSError as error:
        raise _problem(path, f"can't be read: {error.strerror}") from None
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    if not SECRET_SIZE_MIN <= len(secret) <= SECRET_SIZE_MAX:
        raise _problem(path, f"a secret has {SECRET_SIZE_MIN} to {SECRET_SIZE_MAX} bytes")
    return secret


def _problem(path: Path, text: str) -> ConfigError:
    return ConfigError([Problem(Mark(str(path), 1, 1), f"cluster.secret_file: {text}")])
