"""Written answers to what may stand in a configuration for this kind of broker and isn't a setting here.

Nothing is ignored in silence: a key is a setting (``schema``), or it is refused, with the reason if there is
one.  A section's answer covers all that is in it.
"""

from __future__ import annotations

NOT_HERE = "has no meaning here"

REFUSED_KEYS: dict[str, str] = {
    "cluster.metadata_store": f"{NOT_HERE}: the topology is kept in the broker's own log, no ZooKeeper is needed",
    "cluster.cookie": "is cluster.secret here, or cluster.secret_file",
    "cluster.routes": "is cluster.peers here",
    "cluster.seeds": "is cluster.peers here: the nodes, or a DNS name with the addresses of several",
    "cluster.partition_handling": f"{NOT_HERE}: a shard works where the majority of its replicas is, and what was "
    "confirmed is never given up",
    "broker.id": "is cluster.node_id here",
    "broker.rack": "is cluster.zone here",
    "broker.replication.default_replication_factor": "is cluster.replication_factor here: 1, 3 or 5",
    "broker.replication.acks": "is cluster.default_confirm here: none for 0, leader for 1, quorum for all",
    "broker.replication.replica_lag_time_max_ms": f"{NOT_HERE}: a replica that lags is never taken out of the majority "
    "that confirms; see cluster.replace_dead_after",
    "broker.replication.num_replica_fetchers": f"{NOT_HERE}: the leader sends, all shards' entries on one connection "
    "for each node",
    "broker.storage.segment_size": "a segment holds what is still wanted of one journal file: set journal_file_size",
    "broker.storage.retention_hours": "queues keep a message until it is settled or its TTL is over (x-message-ttl); "
    "topics with a retention aren't supported yet",
    "broker.storage.retention_bytes": "bound a queue with x-max-length-bytes; topics with a retention aren't "
    "supported yet",
    "broker.storage.compaction_enabled": "topics aren't supported yet, and queues have no keys to compact by",
    "broker.storage.flush_interval_ms": "a confirmed message is on disk, always: one sync serves all that came "
    "during the last one",
    "broker.performance.num_network_threads": f"{NOT_HERE}: one thread serves all sockets in rounds",
    "broker.performance.num_io_threads": f"{NOT_HERE}: the journal has one thread, which syncs for all",
    "broker.performance.socket_send_buffer": f"{NOT_HERE}: the system sizes socket buffers itself; what a client "
    "may leave unread is limits.memory.connection_output",
    "broker.performance.socket_receive_buffer": f"{NOT_HERE}: the system sizes socket buffers itself; what a client "
    "may have half sent is limits.memory.connection_input",
    "topics": "topics aren't supported yet",
    "consumer_groups": "consumer groups aren't supported yet; several consumers of one queue share its messages",
    "security.authentication": "AMQP's PLAIN and AMQPLAIN are what is supported, always on; SASL_SSL isn't yet",
    "security.authorization": "permissions by vhost and pattern are always on; ACL isn't supported yet",
    "security.ssl_keystore": "TLS isn't supported yet, and then it will be PEM files: a Java keystore means nothing "
    "here",
    "security.ssl_truststore": "TLS isn't supported yet, and then it will be PEM files: a Java keystore means nothing "
    "here",
    "security.tls": "TLS isn't supported yet",
    "monitoring": "metrics are at /metrics of the http listener",
    "monitoring.jmx_port": f"{NOT_HERE}: there is no Java virtual machine; metrics are at /metrics",
    "jmx_port": f"{NOT_HERE}: there is no Java virtual machine",
}

# Settings with one possible value, and why.
FIXED_VALUES: dict[str, str] = {
    "broker.storage.sync": "a confirm means that the message is on disk: without syncs a power cut would lose what was "
    "confirmed. For speed without durability, declare the queue non-durable",
    "broker.replication.min_insync_replicas": "it is the majority of cluster.replication_factor, always: fewer would "
    "lose confirmed messages, more would stop for one lost node",
    "broker.replication.unclean_leader_election": "a leader that lacks confirmed messages would lose them: leaders are "
    "elected by a majority only",
}

LATER_PROTOCOLS = ("kafka", "nats", "grpc", "amqp1")


def refused_protocol(protocol: object) -> str:
    """Why a listener can't speak ``protocol``."""
    if protocol == "cluster":
        return "nodes of a cluster meet at cluster.listen: it is no listener for clients"
    planned = " yet" if protocol in LATER_PROTOCOLS else ""
    return f"protocol {protocol!r} isn't supported{planned}: amqp (0-9-1), mqtt, stomp and http (with WebSocket) are"
