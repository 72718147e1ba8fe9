"""The part of the kernel that writes the log: for floor 4 and ``store.files`` only."""

from __future__ import annotations

from kernel._kernel import Damage, Journal, LogReader

__all__ = ["Damage", "Journal", "LogReader"]
