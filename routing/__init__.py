"""Exchanges and bindings: from (exchange, routing key) to queues.  No queues and no I/O here."""
