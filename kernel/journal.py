"""The part of the kernel that writes the log: for floor 4 and ``store.files`` only."""

from __future__ import annotations

from kernel._kernel import Damage, Export, Import, Journal, LogReader, SnapshotRefused

__all__ = ["Damage", "Export", "Import", "Journal", "LogReader", "SnapshotRefused"]
