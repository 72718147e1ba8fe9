"""``dragoman demo``: a broker with something going on.

A fleet of refrigerated trucks speaks MQTT (``fleet.py``), a worker averages over AMQP what they measure
(``worker.py``), and a page shows both over STOMP in a WebSocket (``broker/admin/pages/demo/``).  Fleet and worker are
programs for any broker.
"""
