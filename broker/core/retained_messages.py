"""All retained messages as this node has them: found, made where they are led, and sent to new subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.core.client_session import ClientSession
from broker.core.far_retained import FarLookup
from broker.core.retained import RETAINED_BASE, Retained, RetainedLimits
from broker.core.shard import Shard
from broker.core.sys_topics import PREFIX as SYS_PREFIX
from broker.model.client_sessions import SubscriptionSpec
from broker.model.names import VhostName

if TYPE_CHECKING:
    from broker.core.back import Back


class RetainedMessages:
    """Part of the back."""

    def __init__(self, back: Back, limits: RetainedLimits) -> None:
        self._back = back
        self._limits = limits
        self._by_vhost: dict[VhostName, Retained] = {}
        self._vhost_count = 0

    def of(self, vhost: VhostName) -> Retained:
        """Those of one, which lie in the shard that its row says."""
        retained = self._by_vhost.get(vhost)
        if retained is None:
            back, topology = self._back, self._back.topology
            id = RETAINED_BASE + topology.vhost_id(vhost)
            shard = back.logged_shard(topology.retained_shard(vhost))
            if shard.leading and not shard.kernel.has_queue(id):
                shard.create_queue(id)
            retained = Retained(shard, id, self._limits, lambda deadline_ms: back.schedule(deadline_ms, shard, id))
            shard.queues[id] = self._by_vhost[vhost] = retained
            shard.dirty[id] = None
        return retained

    @property
    def count(self) -> int:
        """In the shards that are led here."""
        return sum(retained.count for retained in self._by_vhost.values())

    def queue(self, vhost: VhostName) -> tuple[Shard, int]:
        retained = self.of(vhost)
        return retained.shard, retained.id

    def replay(self, client: ClientSession, spec: SubscriptionSpec) -> None:
        """Sends what is retained for a new subscription."""
        back = self._back
        if spec.filter.startswith(SYS_PREFIX):
            back.sys_topics.replay(client, spec)
            return
        shard = back.logged_shard(back.topology.retained_shard(client.row.vhost))
        if back.forwarding is not None and not shard.hands_out:
            FarLookup(back, client, spec.filter, spec.qos)
        else:
            self.of(client.row.vhost).look_up(client, spec)

    # ---- who leads

    def open(self, shard: Shard) -> None:
        """At the start: those that it has."""
        for vhost in self._back.topology.vhosts():
            if shard.kernel.has_queue(RETAINED_BASE + self._back.topology.vhost_id(vhost)):
                self.of(vhost)

    def lead(self, shard: Shard) -> None:
        """In a cluster: what other nodes publish to be retained is to find its queue."""
        for vhost in self._back.topology.vhosts():
            if self._back.topology.retained_shard(vhost) == shard.id:
                self.of(vhost)

    def look_for_vhosts(self) -> None:
        """In a cluster: new ones have their retained messages in shards that are led here, perhaps."""
        back = self._back
        count = len(back.topology.tables.vhosts)
        if count == self._vhost_count:
            return
        self._vhost_count = count
        for shard in back.logged:
            if shard.leading:
                self.lead(shard)

    def forget(self, shard: Shard) -> None:
        """It is led elsewhere, or anew: lookups that are not over begin again where it is led."""
        for vhost in [vhost for vhost, retained in self._by_vhost.items() if retained.shard is shard]:
            for lookup in self._by_vhost.pop(vhost).take_lookups():
                FarLookup(self._back, lookup.client, lookup.filter.decode(), lookup.qos)
