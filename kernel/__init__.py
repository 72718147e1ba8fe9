"""The kernel's face: what Dragoman does per byte and per message.

Pure logic.  What touches the world stands in ``kernel.poller``, ``kernel.journal`` and ``kernel.disk``.
"""

from __future__ import annotations

from kernel._kernel import BUILD_PROFILE, TopicTrie, Wildcard

__all__ = ["BUILD_PROFILE", "TopicTrie", "Wildcard"]
