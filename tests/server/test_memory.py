"""Memory that is freed is kept."""

from __future__ import annotations

import platform

from broker.server.memory import keep_freed_memory


def test_glibc_takes_what_it_is_told_and_others_are_left_alone() -> None:
    assert keep_freed_memory() is (platform.libc_ver()[0] == "glibc")
