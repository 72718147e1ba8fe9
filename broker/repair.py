"""A node whose data is damaged gives it up and is made anew from the others', if it has any and may.

A repair under the old peer id could let it vote with less than it had promised, so it comes back as another peer:
its directory's content is put aside, and the fresh node is taken in under the old name (log-and-shards.md section 11).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import structlog

from broker.config.schema import Cluster
from kernel.journal import Damage
from store.files import DataDirectory

log = structlog.get_logger()

REPAIRS_MAX = 3
"""Folders with what was put aside; a disk that damages more than that is not to be trusted."""


def repair(path: Path, section: Cluster, failures: list[BaseException]) -> bool:
    """Puts the directory's content aside if that mends what the node failed by; then it is to be started anew.

    Raises DirectoryInUse or OSError.
    """
    damages = [each for each in failures if isinstance(each, Damage)]
    if not damages or len(damages) != len(failures) or not all(damage.loss for damage in damages):
        return False
    reason = why_not(path, section)
    if reason:
        log.error("damaged data is not repaired", why=reason)
        return False
    damage = damages[0]
    log.error("data is damaged", file=damage.file, position=damage.position, what=damage.what)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = DataDirectory(path).set_aside(now)
    log.warning("damaged data is put aside; this node joins its cluster anew", folder=str(folder))
    return True


def why_not(path: Path, section: Cluster) -> str:
    """Why damage must wait for people; empty: it need not."""
    if not section.listen or not section.peers:
        return "there are no cluster.peers to be repaired from"
    if section.repair == "manual":
        return "cluster.repair is manual"
    count = sum(each.is_dir() and each.name.startswith("damaged-") for each in path.iterdir())
    if count >= REPAIRS_MAX:
        return f"it was put aside {count} times already: look at the disk, then move the folders damaged-* away"
    return ""
