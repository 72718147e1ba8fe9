"""Two ends of a link without a net between them, for tests of the handshake."""

from __future__ import annotations

from typing import Any

from broker.cluster.frame import Frame, FrameDecoder
from broker.cluster.frame_kinds import Channel, Kind, Role
from broker.cluster.hello import FRESH, Handshake, Identity, Judge, PeerInfo, Secret, Terms
from broker.cluster.peer_link import PeerLink
from broker.cluster.violation import Closing

DIALER_NONCE = bytes(range(32))
ACCEPTOR_NONCE = bytes(range(32, 64))
SECRET = b"a secret of the tests"


def terms(name: str, **changed: Any) -> Terms:
    """Of a node whose peer id is its name's bytes."""
    who = Identity(
        peer=int.from_bytes(name.encode(), "big"),
        incarnation=changed.pop("incarnation", 1_700_000_000_000_000_000),
        cluster_id=changed.pop("cluster_id", FRESH),
        cluster_name=changed.pop("cluster_name", "orders"),
        node_name=name,
        address=f"{name}.example:7400",
    )
    secret = Secret(changed.pop("secret", SECRET))
    return Terms(**{"identity": who, "secret": secret, "secretless": not secret, **changed})


def welcome_all(_info: PeerInfo, _cluster_name: str, _proved: bool) -> Closing | None:
    return None


def dialer(
    of: Terms, channel: Channel = Channel.CONSENSUS, nonce: bytes = DIALER_NONCE, judge: Judge = welcome_all
) -> PeerLink:
    return PeerLink(Handshake(Role.DIALER, of, channel, nonce, judge), "b.example:7400", 0.0)


def acceptor(of: Terms, nonce: bytes = ACCEPTOR_NONCE, judge: Judge = welcome_all) -> PeerLink:
    return PeerLink(Handshake(Role.ACCEPTOR, of, None, nonce, judge), None, 0.0)


def taken(link: PeerLink) -> bytes:
    output = b"".join(link.take_output(1 << 30))
    link.receive_written(len(output))
    return output


def converse(one: PeerLink, other: PeerLink) -> list[tuple[str, bytes]]:
    """Carries bytes until nobody says more: (role, bytes)."""
    said = []
    ends = (one, other)
    while any(link.has_output for link in ends):
        for here, there in (ends, ends[::-1]):
            if output := taken(here):
                said.append((here.role.value, output))
                assert there.receive_data(output, 0.0) == []
    return said


def frames_of(data: bytes) -> list[Frame]:
    decoder = FrameDecoder()
    decoder.receive_data(data)
    frames = []
    while (frame := decoder.take_frame(1 << 30)) is not None:
        frames.append(frame)
    return frames


def kinds_of(said: list[tuple[str, bytes]]) -> list[str]:
    return [Kind(frame.kind).name for _, data in said for frame in frames_of(data)]
