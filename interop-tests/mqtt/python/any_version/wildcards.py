"""Which topics a filter matches: wildcards, empty levels, ``$``, dots, spaces and letters of any language."""

from __future__ import annotations

from device import Broker, Device, Filter, Message, fresh

# ~ stands for a level of this run alone.
TOPICS = (
    "~", "~/", "/~", "~//", "~/a/b", "~/A/b", "~/$a/b", "~/a/b/c", "~/a//c", "~/x.y/z", "~/x/y/z", "~/a b/ c ",
    "~/Ω/ünï/日本/😀", "$interop/~/a",
)  # fmt: skip
BELOW_OWN = {topic for topic in TOPICS if topic.startswith("~")}

MATCHED = {
    "~": {"~"},
    "~/": {"~/"},
    "+": {"~"},
    "+/+": {"~/", "/~"},
    "/+": {"/~"},
    "+/~": {"/~"},
    "~/+": {"~/"},
    "~/+/+": {"~//", "~/a/b", "~/A/b", "~/$a/b", "~/x.y/z", "~/a b/ c "},
    "~/a/+": {"~/a/b"},
    "~/+/b": {"~/a/b", "~/A/b", "~/$a/b"},
    "~/a/#": {"~/a/b", "~/a/b/c", "~/a//c"},
    "~/a/b/#": {"~/a/b", "~/a/b/c"},
    "~/a/+/c": {"~/a/b/c", "~/a//c"},
    "~/+/+/+": {"~/a/b/c", "~/a//c", "~/x/y/z"},
    "+/a/b/c": {"~/a/b/c"},
    "~/x.y/z": {"~/x.y/z"},
    "~/+/z": {"~/x.y/z"},
    "~/a b/+": {"~/a b/ c "},
    "~/Ω/+/日本/+": {"~/Ω/ünï/日本/😀"},
    "~/#": BELOW_OWN,
    "$interop/~/+": {"$interop/~/a"},
    "$interop/~/#": {"$interop/~/a"},
    "+/~/a": set(),
    "+/~/#": {"/~"},
    "+/#": BELOW_OWN | {"/~"},
    "#": BELOW_OWN | {"/~"},
}


def matched(subscriber: Device, publisher: Device, text: str, own: str) -> set[str]:
    """The topics that come through this filter."""
    end, marker = f"{own}-end", f"end of {text}".encode()  # a broker may send the marker once for each subscription
    assert subscriber.subscribe(Filter(text.replace("~", own), 1), Filter(end, 1)) == [1, 1], text
    publisher.publish_all([Message(topic.replace("~", own), topic.encode(), 1) for topic in TOPICS])
    publisher.publish(Message(end, marker, 1))
    got = [m for m in subscriber.messages_until(marker) if own in m.topic and not m.payload.startswith(b"end of ")]
    subscriber.unsubscribe(text.replace("~", own))
    topics = [message.payload.decode() for message in got]
    assert [message.topic for message in got] == [topic.replace("~", own) for topic in topics], "topics were changed"
    assert len(topics) == len(set(topics)), f"{text}: doubled: {topics}"
    return set(topics)


def run(broker: Broker) -> None:
    own = fresh("w")
    subscriber, publisher = broker.connect(), broker.connect()
    for text, wanted in MATCHED.items():
        got = matched(subscriber, publisher, text, own)
        assert got == wanted, f"{text}: wrongly {got - wanted}, not {wanted - got}"
