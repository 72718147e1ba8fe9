"""What all clients of a load are told to do."""

from __future__ import annotations

import threading


class Orders:
    """Looked at by many threads."""

    def __init__(self) -> None:
        self.stopping = threading.Event()
        self.paused = threading.Event()
        """Stay connected, and publish nothing."""
        self.homing = threading.Event()
        """Go to the node that you came to first, if you are at another."""

    @property
    def stop(self) -> bool:
        return self.stopping.is_set()
