"""Ctrl-C and its kin, as a question that a loop asks."""

from __future__ import annotations

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ASK_INTERVAL_S = 0.25
"""How often a loop that has nothing else to do should ask."""


class Stopping:
    """True once this process was told to end; told again, it is no more so."""

    def __init__(self) -> None:
        self._asked = False
        for number in SIGNALS:
            signal.signal(number, self._receive)

    def __bool__(self) -> bool:
        return self._asked

    def _receive(self, *_: object) -> None:
        self._asked = True
