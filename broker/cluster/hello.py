"""The handshake between nodes, without I/O: who are you, what do you speak, and do you know the secret?

    dialer                                                    acceptor
      HELLO      versions, features, channel, who, nonce  ->
             <-  versions, features, version, who, nonce      CHALLENGE
      PROOF      HMAC                                     ->
             <-  HMAC                                         WELCOME, or REJECT: reason, words

A proof is HMAC-SHA256 with the cluster's secret over a label, the prover's role, and all of HELLO and CHALLENGE: so
nothing said can be changed on the way, no proof serves twice (both nonces) or comes back from where it was sent
(role).  It proves who is there when the link is made; what is sent on it later only TLS protects.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import cbor2
import msgspec

from broker.cluster.frame import Frame
from broker.cluster.frame_kinds import Channel, Kind, Role, check_frame
from broker.cluster.violation import WORDS, Closing, LinkViolation, Reason, printable

MAGIC = "dragoman-cluster"
PROOF_LABEL = "dragoman cluster proof 1"
VERSION_MIN = 1
VERSION_MAX = 1
FEATURES: tuple[str, ...] = ()
"""What nodes of one version may have or not have: sorted names."""
NONCE_SIZE = 32
CLUSTER_ID_SIZE = 16
FRESH = bytes(CLUSTER_ID_SIZE)
"""The cluster id of a node that is in no cluster yet."""
NAME_LENGTH_MAX = 255
ADDRESS_LENGTH_MAX = 300
"""A DNS name has 253 letters at most, and a port follows."""
FEATURE_COUNT_MAX = 64
FEATURE_LENGTH_MAX = 64
U64_MAX = (1 << 64) - 1


class Secret:
    """What all nodes of a cluster know.  It can't be printed."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(...)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def prove(self, said: bytes) -> bytes:
        """32 bytes that only who knows the secret could have made of ``said``."""
        return hmac.digest(self._value, said, "sha256")


class Identity(msgspec.Struct, frozen=True):
    """Who a node says it is."""

    peer: int
    """Drawn with the data directory, not 0."""
    incarnation: int
    """Of this start: larger than those of earlier ones."""
    cluster_id: bytes
    cluster_name: str
    node_name: str
    address: str
    """host:port where the others reach it."""
    may_found: bool = True
    """Whether it may have part in founding a cluster: not a node that lost what it held of one."""


class PeerInfo(msgspec.Struct, frozen=True):
    """Another node, as it was when a link to or from it was made."""

    peer: int
    incarnation: int
    cluster_id: bytes
    node_name: str
    address: str
    version: int
    """Spoken on the link."""
    features: tuple[str, ...]
    """Those that both have."""
    version_max: int = 0
    """The highest that it speaks."""
    may_found: bool = True

    @property
    def fresh(self) -> bool:
        return self.cluster_id == FRESH


class Terms(msgspec.Struct, frozen=True):
    """What one node brings to each of its handshakes."""

    identity: Identity
    secret: Secret
    secretless: bool = False
    """Whether an empty secret is meant: whoever reaches the port is then a node."""
    version_min: int = VERSION_MIN
    version_max: int = VERSION_MAX
    features: tuple[str, ...] = FEATURES

    def __post_init__(self) -> None:
        assert self.secret or self.secretless, "an empty secret"
        assert 0 < self.version_min <= self.version_max
        assert _is_features(list(self.features)), self.features
        assert _is_identity(self.identity), self.identity


Judge = Callable[[PeerInfo, str, bool], Closing | None]
"""Whether the node, of this cluster name, can be spoken with; the last says whether it has proved the secret."""


class Handshake:
    """One end's part in it."""

    def __init__(self, role: Role, terms: Terms, channel: Channel | None, nonce: bytes, judge: Judge) -> None:
        """The acceptor's ``channel`` is None: HELLO says which it is."""
        assert (channel is None) is (role is Role.ACCEPTOR)
        assert len(nonce) == NONCE_SIZE
        self.role = role
        self.channel = channel
        self.info: PeerInfo | None = None
        """The other node, once it has said who it is; it is proved when ``done``."""
        self.done = False
        self._terms = terms
        self._nonce = nonce
        self._judge = judge
        self._cluster_name = ""
        self._hello: list[Any] = []
        self._challenge: list[Any] = []
        self._expected = Kind.HELLO if role is Role.ACCEPTOR else Kind.CHALLENGE

    def start(self) -> list[Frame]:
        """What is sent first."""
        if self.role is Role.ACCEPTOR:
            return []
        assert self.channel is not None
        terms = self._terms
        offer = [terms.version_min, terms.version_max, list(terms.features)]
        self._hello = [MAGIC, *offer, int(self.channel), *self._who()]
        return [Frame(Kind.HELLO, self._hello)]

    def receive_frame(self, frame: Frame) -> list[Frame]:
        """What is to be sent back.  Raises LinkViolation."""
        kind = check_frame(frame, None, self.role.other)
        if kind is Kind.REJECT:
            raise LinkViolation(Reason.REJECTED, _rejection(*frame.head))
        if kind is not self._expected:
            raise LinkViolation(Reason.KIND_NOT_ALLOWED, f"{kind.name} instead of {self._expected.name}")
        return _RECEIVE[kind](self, frame.head)

    def reject(self, closing: Closing) -> list[Frame]:
        """What the other is told, if it is to be told anything."""
        if self.role is not Role.ACCEPTOR or self.done or closing.reason not in TOLD:
            return []
        return [Frame(Kind.REJECT, [closing.reason.value, str(closing)])]

    def _who(self) -> list[Any]:
        who = self._terms.identity
        return [
            who.peer,
            who.incarnation,
            who.cluster_id,
            who.cluster_name,
            who.node_name,
            who.address,
            self._nonce,
            int(who.may_found),
        ]

    def _receive_hello(self, head: list[Any]) -> list[Frame]:
        magic, version_min, version_max, features, channel, *who = head
        if magic != MAGIC:
            raise LinkViolation(Reason.BAD_FRAME, "HELLO of something else")
        if channel not in Channel.__members__.values():
            raise LinkViolation(Reason.BAD_FRAME, f"HELLO for channel {channel}")
        version = self._receive_who(version_min, version_max, features, who)
        self.channel = Channel(channel)
        self._hello = head
        terms = self._terms
        offer = [terms.version_min, terms.version_max, list(terms.features)]
        self._challenge = [*offer, version, *self._who()]
        self._expected = Kind.PROOF
        return [Frame(Kind.CHALLENGE, self._challenge)]

    def _receive_challenge(self, head: list[Any]) -> list[Frame]:
        version_min, version_max, features, chosen, *who = head
        version = self._receive_who(version_min, version_max, features, who)
        if chosen != version:
            raise LinkViolation(Reason.VERSION, f"{chosen} was chosen, and {version} is the highest of both")
        self._challenge = head
        self._refuse(proved=False)
        self._expected = Kind.WELCOME
        return [Frame(Kind.PROOF, [self._proof(self.role)])]

    def _receive_proof(self, head: list[Any]) -> list[Frame]:
        self._check_proof(head[0])
        self._refuse(proved=True)
        self.done = True
        return [Frame(Kind.WELCOME, [self._proof(self.role)])]

    def _receive_welcome(self, head: list[Any]) -> list[Frame]:
        self._check_proof(head[0])
        self._refuse(proved=True)
        self.done = True
        return []

    def _receive_who(self, version_min: int, version_max: int, features: list[Any], who: list[Any]) -> int:
        """The version to speak."""
        terms = self._terms
        peer, incarnation, cluster_id, cluster_name, node_name, address, nonce, may_found, *_later = who
        identity = Identity(peer, incarnation, cluster_id, cluster_name, node_name, address)
        if not (_is_identity(identity) and _is_features(features) and len(nonce) == NONCE_SIZE):
            raise LinkViolation(Reason.BAD_FRAME, "who it is can't be read")
        version = min(version_max, terms.version_max)
        if version < max(version_min, terms.version_min):
            theirs = f"{node_name} speaks {version_min} to {version_max}"
            raise LinkViolation(Reason.VERSION, f"{theirs}, this node {terms.version_min} to {terms.version_max}")
        both = tuple(name for name in features if name in terms.features)
        self.info = PeerInfo(
            peer, incarnation, cluster_id, node_name, address, version, both, version_max, may_found != 0
        )
        self._cluster_name = cluster_name
        return version

    def _refuse(self, proved: bool) -> None:
        assert self.info is not None
        closing = self._judge(self.info, self._cluster_name, proved)
        if closing is not None:
            raise LinkViolation(closing.reason, closing.detail)

    def _proof(self, role: Role) -> bytes:
        said = [PROOF_LABEL, role.value, self._hello, self._challenge]
        return self._terms.secret.prove(cbor2.dumps(said, canonical=True))

    def _check_proof(self, proof: bytes) -> None:
        if not hmac.compare_digest(proof, self._proof(self.role.other)):
            raise LinkViolation(Reason.WRONG_SECRET)


_RECEIVE: dict[Kind, Callable[[Handshake, list[Any]], list[Frame]]] = {
    Kind.HELLO: Handshake._receive_hello,
    Kind.CHALLENGE: Handshake._receive_challenge,
    Kind.PROOF: Handshake._receive_proof,
    Kind.WELCOME: Handshake._receive_welcome,
}
TOLD = frozenset(
    {
        Reason.VERSION,
        Reason.WRONG_SECRET,
        Reason.CLUSTER_NAME,
        Reason.CLUSTER_ID,
        Reason.STALE_INCARNATION,
        Reason.OURSELVES,
        Reason.COPIED_PEER,
    }
)
"""What the dialer is told with REJECT; who sends garbage is told nothing."""


def _rejection(reason: str, words: str) -> str:
    """For people: the other's words, and ours if it has none."""
    known = reason in Reason.__members__.values()
    return printable(words) or (WORDS[Reason(reason)] if known else "no reason given")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_LENGTH_MAX and name.isprintable()


def _is_address(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return (
        0 < len(host) <= ADDRESS_LENGTH_MAX
        and host.isprintable()
        and port.isascii()
        and port.isdecimal()
        and len(port) <= 5
        and 0 < int(port) <= 65_535
    )


def _is_features(features: list[Any]) -> bool:
    return (
        len(features) <= FEATURE_COUNT_MAX
        and all(type(name) is str and 0 < len(name) <= FEATURE_LENGTH_MAX for name in features)
        and sorted(set(features)) == features
    )


def _is_identity(who: Identity) -> bool:
    return (
        0 < who.peer <= U64_MAX
        and 0 <= who.incarnation <= U64_MAX
        and len(who.cluster_id) == CLUSTER_ID_SIZE
        and _is_name(who.cluster_name)
        and _is_name(who.node_name)
        and _is_address(who.address)
    )
