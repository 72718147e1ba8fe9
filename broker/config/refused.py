"""Written answers to what may stand in a configuration for this kind of broker and isn't a setting here.

Nothing is ignored in silence: a key is a setting (``schema``), or it is refused, with the reason if there is
one.  A section's answer covers all that is in it.
"""

from __future__ import annotations

LATER_CLUSTER = "this version runs as a single node"
NOT_HERE = "has no meaning here"

REFUSED_KEYS: dict[str, str] = {
    "cluster.peers": f"{LATER_CLUSTER}: leave it out",
    "cluster.metadata_store": f"{NOT_HERE}: the topology is kept in the broker's own log, no ZooKeeper is needed",
    "broker.id": "is cluster.node_id here",
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
    "broker.replication.default_replication_factor": f"{LATER_CLUSTER}, so there is 1 copy",
    "broker.replication.min_insync_replicas": "it is the majority of the replicas, always: fewer would lose confirmed "
    f"messages, more would stop for one lost node. {LATER_CLUSTER.capitalize()}, whose majority is 1",
    "broker.replication.unclean_leader_election": "a leader that lacks confirmed messages would lose them: leaders are "
    "elected by a majority only",
}

LATER_PROTOCOLS = ("kafka", "nats", "grpc", "amqp1", "cluster")


def refused_protocol(protocol: object) -> str:
    """Why a listener can't speak ``protocol``."""
    planned = " yet" if protocol in LATER_PROTOCOLS else ""
    return f"protocol {protocol!r} isn't supported{planned}: amqp (0-9-1), mqtt, stomp and http (with WebSocket) are"
