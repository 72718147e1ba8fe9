"""Many sockets in rounds: the part of the kernel that touches the network, for ``broker.server`` alone."""

from __future__ import annotations

from kernel._kernel import Poller

__all__ = ["Poller"]
