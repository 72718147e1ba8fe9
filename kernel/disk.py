"""The simulated disk: for simulations and tests only."""

from __future__ import annotations

from kernel._kernel import SimDisk

__all__ = ["SimDisk"]
