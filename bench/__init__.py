"""The same load on Dragoman and on its peers, on one machine in one run, printed as ratios.

``python -m bench`` starts private peers (RabbitMQ, Mosquitto, rumqttd, Artemis) and a private Dragoman, drives all with
the kernel's generator, run about run, and writes ``docs/performance.md``.  Only ratios of one run count: the machine's
noise meets both.
"""
