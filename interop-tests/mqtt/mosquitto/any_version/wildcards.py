"""Wildcards, empty levels, spaces, dots and letters of any language."""

from __future__ import annotations

from programs import Broker, fresh


def run(broker: Broker) -> None:
    own = fresh("w")
    below = broker.subscribe("-t", f"{own}/#", "-T", f"{own}/left/out", "-t", f"{own}-end", "-q", "1", form="%t %p")
    one = broker.subscribe("-t", f"{own}/+/b c/+", "-t", f"{own}-end", "-q", "1", form="%t %p")
    topics = ["", "/", "/x/b c/", "/x.y/b c/z", "/日本/b c/😀", "/left/out", "/x/B c/z"]
    for topic in topics:
        broker.publish(f"{own}{topic}", "-m", ".", "-q", "1")
    broker.publish(f"{own}-end", "-m", "end", "-q", "1")
    assert below.until("end") == [f"{own}{topic} ." for topic in topics if topic != "/left/out"]
    assert one.until("end") == [f"{own}{topic} ." for topic in topics if "/b c/" in topic]
    below.stop()
    one.stop()
