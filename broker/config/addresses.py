"""Where nodes find each other: ``host:port``, ``[::1]:25672``, or a name alone."""

from __future__ import annotations

import ipaddress
import re

import msgspec

CLUSTER_PORT = 25672
"""Where a node is expected whose address has no port."""
HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?\.?")
"""A DNS name or an IPv4 address: letters, digits, hyphens, and underscores as service names have them."""
PORT = re.compile(r"[1-9][0-9]{0,4}")


class Address(msgspec.Struct, frozen=True):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Only this machine is there.  A name is what it says, but for localhost (RFC 6761 6.3)."""
        ip = self._ip()
        return self.host == "localhost" if ip is None else ip.is_loopback

    @property
    def is_name(self) -> bool:
        """It is to be looked up, and may stand for several machines."""
        return self._ip() is None

    @property
    def wildcard(self) -> bool:
        """All addresses of this machine: to listen at, not to be found at."""
        ip = self._ip()
        return ip is not None and ip.is_unspecified

    def _ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def parse_address(text: str, default_port: int | None = None) -> Address:
    """Raises ValueError in words; without ``default_port`` for a missing port, too."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        if not bracket or (rest and not rest.startswith(":")) or not _is_ipv6(host):
            raise ValueError(f"{text!r} is not an IPv6 address in brackets and a port")
    elif text.count(":") > 1:
        raise ValueError(f"{text!r}: write an IPv6 address in brackets, [::1]:{CLUSTER_PORT}")
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
        if not HOST.fullmatch(host):
            raise ValueError(f"{text!r} is not a host and a port, such as 10.0.0.1:{CLUSTER_PORT}")
    if not rest:
        if default_port is None:
            raise ValueError(f"{text!r} lacks a port, such as {CLUSTER_PORT}")
        return Address(host, default_port)
    if not PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{text!r}: a port is a number from 1 to 65535")
    return Address(host, int(port))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True
