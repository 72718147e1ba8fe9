"""TLS between nodes: both ends show a certificate of the cluster's own authority.

Its name need not be that of the address: who is at the other end is proved by the handshake that follows
(``hello.py``), and nodes move.  One certificate serves for both roles, so if it says what it may be used for, it has to
say server and client.
"""

from __future__ import annotations

import ssl

import msgspec


class TlsFiles(msgspec.Struct, frozen=True):
    """Paths of PEM files."""

    ca_file: str
    cert_file: str
    key_file: str


class TlsContexts(msgspec.Struct, frozen=True):
    """Of the two roles."""

    acceptor: ssl.SSLContext
    dialer: ssl.SSLContext


class TlsUnusable(Exception):
    """The files can't be used; says which, and why."""


def load_tls(files: TlsFiles) -> TlsContexts:
    """Reads the files.  Raises TlsUnusable."""
    return TlsContexts(
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), files), _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), files)
    )


def _load(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    # All nodes are ours, so none needs anything older.
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_verify_locations(files.ca_file)
    except OSError as error:
        raise TlsUnusable(f"{files.ca_file}: {_words(error)}") from error
    try:
        context.load_cert_chain(files.cert_file, files.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise TlsUnusable(f"{files.cert_file} and {files.key_file}: {_words(error)}") from error
    return context


def _no_password() -> str:
    """Else OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted, which isn't supported")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").replace("_", " ").lower()
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
