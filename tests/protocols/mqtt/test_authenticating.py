"""Enhanced authentication (MQTT 5, 4.12) as conversations: bytes in, packets out, with the core behind."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.core.topology_commands import CreateVhost, PutPermission, PutUser
from broker.core.users import hash_password
from broker.model.names import UserName, VhostName
from kernel import MqttDecoder, PublishEncoder
from protocols.adapter import Output
from protocols.mqtt.authenticating import METHOD
from protocols.mqtt.connection import MqttAdapter
from protocols.mqtt.packet_codec import encode_packet
from protocols.mqtt.packet_type import Sender
from protocols.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Subscribe,
    SubscriptionRequest,
)
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.version import Version
from tests.core.node import Node
from tests.protocols.mqtt.wire import decoded
from tests.scram_client import ScramClient

V5 = Version.MQTT_5
SETTINGS = MqttSettings()
CONTINUE, AGAIN = ReasonCode.CONTINUE_AUTHENTICATION, ReasonCode.RE_AUTHENTICATE
PING = encode_packet(Pingreq(), V5)
PUBLISH_QOS_1 = bytes.fromhex("32 06 00 01 61 00 07 00")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(tmp_path_factory.mktemp("node"))
    back = made.broker.back
    back.submit(CreateVhost(VhostName("v")))
    for name in ("alice", "bob", "a,b=c"):
        user = UserName(name)
        back.submit(PutUser(user, hash_password(b"secret", name.encode())))
        for vhost in ("/", "v"):
            back.submit(PutPermission(user, VhostName(vhost), configure=".*", write=".*", read=".*"))
    made.run()
    yield made
    made.journal.abandon()


def unexplained(packet: Packet) -> Packet:
    """Without its reason string, which is for people."""
    own = getattr(packet, "properties", {})
    kept = {name: value for name, value in own.items() if name != "reason_string"}
    return msgspec.structs.replace(packet, properties=kept) if kept != own else packet


class Peer:
    """A client's end of a connection, and the core at the other."""

    def __init__(self, node: Node, settings: MqttSettings = SETTINGS, *, loopback: bool = False) -> None:
        self.node = node
        self.now = 100.0
        self.decoder = MqttDecoder()
        self.adapter = MqttAdapter(
            self.decoder, PublishEncoder(), settings, lambda: node.wall_ms, loopback=loopback, now=self.now
        )
        self.session = node.broker.open_session()
        self.closed = False
        self.deadline: float | None = None
        self.scram = ScramClient("", "")
        self._output: list[Output] = []

    def send(self, data: bytes | Packet) -> list[Packet]:
        """What comes of it."""
        self.adapter.receive_data(data if isinstance(data, bytes) else encode_packet(data, V5), self.now)
        return self.settle()

    def wait(self, seconds: float) -> list[Packet]:
        self.now += seconds
        self.adapter.receive_timeout(self.now)
        return self.settle()

    def settle(self) -> list[Packet]:
        """The core does what it was asked to, and says so."""
        while True:
            ready = self.adapter.take_ready()
            self._output += ready.output
            self.closed, self.deadline = self.closed or ready.closing, ready.deadline
            self.session.submit(ready.commands)
            self.node.run()
            replies = self.session.take_replies()
            self.adapter.receive_replies(replies, self.now)
            if ready.resumed:
                self.adapter.receive_frames(self.decoder.resume(), self.now)
            if not (replies or ready.resumed):
                break
        output, self._output = self._output, []
        return [unexplained(decoded(bytes(each), self._version, Sender.SERVER)) for each in output]

    @property
    def _version(self) -> Version:
        return Version(self.decoder.version) if self.decoder.version else V5

    # The exchange.

    def connect(
        self, user: str = "alice", password: str = "secret", user_name: str | None = None, header: str = "n,,"
    ) -> list[Packet]:
        self.scram = ScramClient(user, password, header=header)
        return self.send(connect_packet(self.scram.first, user_name=user_name, client_id=f"device of {user}"))

    def again(self, user: str = "alice", password: str = "secret") -> list[Packet]:
        self.scram = ScramClient(user, password, nonce="again")
        return self.send(auth(AGAIN, self.scram.first))

    def answer(self, packets: list[Packet]) -> list[Packet]:
        """Goes on from the challenge."""
        return self.send(auth(CONTINUE, self.scram.final(challenge_of(packets))))

    def let_in(self, user: str = "alice", user_name: str | None = None) -> Peer:
        (connack,) = self.answer(self.connect(user, user_name=user_name))
        assert isinstance(connack, Connack)
        assert connack.reason_code is ReasonCode.SUCCESS
        return self


def connect_packet(
    data: bytes | None, method: str = METHOD, user_name: str | None = None, client_id: str = "device"
) -> Connect:
    return Connect(V5, client_id, user_name=user_name, properties=properties(data, method))


def properties(data: bytes | None, method: str | None = METHOD) -> Properties:
    made: Properties = {}
    if method is not None:
        made["authentication_method"] = method
    if data is not None:
        made["authentication_data"] = data
    return made


def auth(reason: ReasonCode, data: bytes | None, method: str | None = METHOD) -> Auth:
    return Auth(reason, properties(data, method))


def challenge_of(packets: list[Packet]) -> bytes:
    (packet,) = packets
    assert isinstance(packet, Auth)
    assert packet.reason_code is CONTINUE
    assert set(packet.properties) == {"authentication_method", "authentication_data"}
    assert packet.properties["authentication_method"] == METHOD
    return packet.properties["authentication_data"]


def ended_with(peer: Peer, packets: list[Packet], answer: Packet) -> bool:
    return peer.closed and packets == [answer]


@pytest.mark.parametrize("header", ["n,,", "y,,"])
def test_a_client_that_proves_who_it_is_is_let_in_and_told_the_server_s_proof(node: Node, header: str) -> None:
    peer = Peer(node)
    (connack,) = peer.answer(peer.connect(header=header))
    assert isinstance(connack, Connack)
    assert connack.reason_code is ReasonCode.SUCCESS
    assert connack.properties["authentication_method"] == METHOD  # [MQTT-4.12.0-5]
    assert connack.properties["authentication_data"] == peer.scram.server_proof
    assert peer.send(PING) == [Pingresp()]
    assert peer.session.principal is not None
    assert peer.session.principal.user == "alice"
    assert not peer.closed


def test_without_a_method_there_is_none_in_connack(node: Node) -> None:
    peer = Peer(node)
    (connack,) = peer.send(Connect(V5, "device", user_name="alice", password=b"secret"))
    assert isinstance(connack, Connack)
    assert not {"authentication_method", "authentication_data"} & set(connack.properties)  # [MQTT-4.12.0-6]


@pytest.mark.parametrize(
    ("user", "user_name", "vhost"),
    [("alice", None, "/"), ("alice", "alice", "/"), ("v:alice", None, "v"), ("v:alice", "v:alice", "v"),
     ("v:a,b=c", None, "v")],
)  # fmt: skip
def test_the_scram_user_name_may_name_a_vhost(node: Node, user: str, user_name: str | None, vhost: str) -> None:
    assert Peer(node).let_in(user, user_name).session.vhost == vhost


@pytest.mark.parametrize(
    ("user", "password", "user_name"),
    [
        ("alice", "wrong", None),
        ("nobody", "secret", None),
        ("v:nobody", "secret", None),
        ("guest", "guest", None),  # not from another machine
        ("alice", "secret", "bob"),
        ("alice", "secret", "v:alice"),
        ("v:", "secret", None),
    ],
)
def test_who_is_not_who_it_says_is_told_so_later_and_hung_up_on(
    node: Node, user: str, password: str, user_name: str | None
) -> None:
    peer = Peer(node)
    packets = peer.connect(user, password, user_name)
    if packets:
        peer.now += 1
        packets = peer.answer(packets)
    assert packets == []
    assert peer.deadline == peer.now + SETTINGS.login_failure_delay_s
    assert peer.wait(SETTINGS.login_failure_delay_s / 2) == []
    assert not peer.closed
    packets = peer.wait(SETTINGS.login_failure_delay_s)
    assert ended_with(peer, packets, Connack(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD))


def test_a_vhost_that_it_may_not_enter_is_refused(node: Node) -> None:
    peer = Peer(node)
    packets = peer.answer(peer.connect("nowhere:alice"))
    assert ended_with(peer, packets, Connack(False, ReasonCode.NOT_AUTHORIZED))


@pytest.mark.parametrize("data", [b"", b"\xff", b"alice", b"p=tls-exporter,,n=alice,r=x", b"n,a=bob,n=alice,r=x"])
def test_a_first_message_that_is_none_is_a_refused_login(node: Node, data: bytes) -> None:
    peer = Peer(node)
    assert peer.send(connect_packet(data)) == []
    assert not peer.closed
    packets = peer.wait(SETTINGS.login_failure_delay_s)
    assert ended_with(peer, packets, Connack(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD))


@pytest.mark.parametrize("method", ["", "PLAIN", "SCRAM-SHA-1", "scram-sha-256", "SCRAM-SHA-256-PLUS"])
def test_another_method_is_refused(node: Node, method: str) -> None:
    peer = Peer(node)
    packets = peer.send(connect_packet(b"n,,n=alice,r=x", method))
    assert ended_with(peer, packets, Connack(False, ReasonCode.BAD_AUTHENTICATION_METHOD))


def test_connect_without_authentication_data_is_a_protocol_error(node: Node) -> None:
    peer = Peer(node)
    packets = peer.send(connect_packet(None))
    assert ended_with(peer, packets, Connack(False, ReasonCode.PROTOCOL_ERROR))


NOT_THE_ANSWER: dict[str, bytes | Packet] = {
    "another method": auth(CONTINUE, b"c=biws", "SCRAM-SHA-1"),
    "no method": bytes.fromhex("f0 07 18 05 16 00 02 63 3d"),
    "no data": auth(CONTINUE, None),
    "re-authenticate": auth(AGAIN, b"n,,n=alice,r=x"),
    "success": auth(ReasonCode.SUCCESS, b"c=biws"),
    "success, left out": bytes.fromhex("f0 00"),
    "a ping": PING,
    "a publish": PUBLISH_QOS_1,
    "a publish at QoS 0": bytes.fromhex("30 04 00 01 61 00"),
    "a publish with a topic alias": bytes.fromhex("30 07 00 01 61 03 23 00 01"),
    "an acknowledgement": bytes.fromhex("40 02 00 01"),
    "a subscription": Subscribe(1, (SubscriptionRequest("a", 0),)),
    "connect": Connect(V5, "device"),
}


@pytest.mark.parametrize("sent", NOT_THE_ANSWER)
def test_only_the_answer_may_follow_the_challenge(node: Node, sent: str) -> None:
    peer = Peer(node)
    challenge_of(peer.connect())
    packets = peer.send(NOT_THE_ANSWER[sent])
    assert ended_with(peer, packets, Connack(False, ReasonCode.PROTOCOL_ERROR))
    assert peer.session.principal is None


def test_a_client_may_give_up(node: Node) -> None:
    peer = Peer(node)
    peer.connect()
    assert peer.send(Disconnect()) == []
    assert peer.closed


def test_a_client_that_does_not_answer_is_hung_up_on_in_time(node: Node) -> None:
    peer = Peer(node)
    begun = peer.now
    peer.now += 9
    peer.connect()
    assert peer.deadline == begun + SETTINGS.handshake_timeout_s
    assert peer.wait(1) == []
    assert peer.closed


def test_what_comes_with_the_answer_waits_for_connack(node: Node) -> None:
    peer = Peer(node)
    challenge = challenge_of(peer.connect())
    final = auth(CONTINUE, peer.scram.final(challenge))
    packets = peer.send(encode_packet(final, V5) + PING + PUBLISH_QOS_1)
    assert [type(packet) for packet in packets] == [Connack, Pingresp, Puback]


# Again, on an open connection.


def test_a_client_proves_itself_again_as_often_as_it_likes(node: Node) -> None:
    peer = Peer(node).let_in("v:alice")
    for _ in range(3):
        packets = peer.answer(peer.again("v:alice"))
        assert packets == [Auth(ReasonCode.SUCCESS, properties(peer.scram.server_proof))]
        assert peer.send(PING) == [Pingresp()]
    assert not peer.closed
    assert peer.session.vhost == "v"


def test_publishing_goes_on_meanwhile(node: Node) -> None:
    peer = Peer(node).let_in()
    peer.scram = ScramClient("alice", "secret", nonce="again")
    packets = peer.send(PING + encode_packet(auth(AGAIN, peer.scram.first), V5) + PUBLISH_QOS_1)
    assert {type(packet) for packet in packets} == {Pingresp, Auth, Puback}
    challenge = challenge_of([packet for packet in packets if isinstance(packet, Auth)])
    assert peer.send(PUBLISH_QOS_1) == [Puback(7)]
    final = auth(CONTINUE, peer.scram.final(challenge))
    packets = peer.send(PUBLISH_QOS_1 + encode_packet(final, V5) + PUBLISH_QOS_1 + PING)
    assert sorted(type(packet).__name__ for packet in packets) == ["Auth", "Pingresp", "Puback", "Puback"]


@pytest.mark.parametrize(
    ("user", "password"),
    [("alice", "wrong"), ("bob", "secret"), ("nobody", "secret"), ("v:alice", "secret"), ("", "secret")],
)
def test_whoever_fails_then_or_is_somebody_else_is_hung_up_on(node: Node, user: str, password: str) -> None:
    peer = Peer(node).let_in()
    packets = peer.again(user, password)
    if not peer.closed:
        packets = peer.answer(packets)
    assert ended_with(peer, packets, Disconnect(ReasonCode.NOT_AUTHORIZED))


def test_the_user_name_of_connect_holds_then_too(node: Node) -> None:
    peer = Peer(node).let_in("alice", "alice")
    assert peer.answer(peer.again("alice")) == [Auth(ReasonCode.SUCCESS, properties(peer.scram.server_proof))]
    assert ended_with(peer, peer.again("/:alice"), Disconnect(ReasonCode.NOT_AUTHORIZED))


WRONG_AUTH: dict[str, bytes | Packet] = {
    "another method": auth(AGAIN, b"n,,n=alice,r=x", "SCRAM-SHA-1"),
    "no method": bytes.fromhex("f0 07 19 05 16 00 02 6e 2c"),
    "no data": auth(AGAIN, None),
    "an answer to no challenge": auth(CONTINUE, b"c=biws"),
    "success": auth(ReasonCode.SUCCESS, b"n,,n=alice,r=x"),
    "nothing": bytes.fromhex("f0 00"),
}


@pytest.mark.parametrize("sent", WRONG_AUTH)
def test_a_wrong_auth_packet_on_an_open_connection_is_a_protocol_error(node: Node, sent: str) -> None:
    peer = Peer(node).let_in()
    packets = peer.send(WRONG_AUTH[sent])
    assert ended_with(peer, packets, Disconnect(ReasonCode.PROTOCOL_ERROR))


def test_nobody_begins_again_before_the_end(node: Node) -> None:
    peer = Peer(node).let_in()
    peer.again()
    assert ended_with(peer, peer.again(), Disconnect(ReasonCode.PROTOCOL_ERROR))


@pytest.mark.parametrize("reason", [CONTINUE, AGAIN])
def test_auth_without_a_method_in_connect_is_a_protocol_error(node: Node, reason: ReasonCode) -> None:
    peer = Peer(node)
    peer.send(Connect(V5, "device", user_name="alice", password=b"secret"))
    packets = peer.send(auth(reason, b"n,,n=alice,r=x"))
    assert ended_with(peer, packets, Disconnect(ReasonCode.PROTOCOL_ERROR))


def test_auth_before_connect_is_answered_with_nothing(node: Node) -> None:
    peer = Peer(node)
    assert peer.send(auth(AGAIN, b"n,,n=alice,r=x")) == []
    assert peer.closed


def test_mqtt_3_has_no_auth(node: Node) -> None:
    peer = Peer(node)
    connect = Connect(Version.MQTT_3_1_1, "old", user_name="alice", password=b"secret")
    peer.adapter.receive_data(encode_packet(connect, Version.MQTT_3_1_1), peer.now)
    assert [type(packet) for packet in peer.settle()] == [Connack]
    assert not peer.closed
    peer.adapter.receive_data(encode_packet(auth(AGAIN, b"n,,n=alice,r=x"), V5), peer.now)
    assert peer.settle() == []
    assert peer.closed


# Laws.


def test_any_cut_of_the_bytes_gives_the_same(node: Node) -> None:
    def said(cuts: tuple[int, int, int]) -> list[tuple[str, int]]:
        peer = Peer(node)
        seen: list[Packet] = []

        def in_parts(data: bytes, cut: int) -> list[Packet]:
            packets = peer.send(data[: cut % len(data)]) + peer.send(data[cut % len(data) :])
            seen.extend(packets)
            return packets

        peer.scram = ScramClient("alice", "secret")
        packets = in_parts(encode_packet(connect_packet(peer.scram.first), V5), cuts[0])
        final = auth(CONTINUE, peer.scram.final(challenge_of(packets)))
        in_parts(encode_packet(final, V5) + PING, cuts[1])
        peer.scram = ScramClient("alice", "secret", nonce="again")
        packets = in_parts(encode_packet(auth(AGAIN, peer.scram.first), V5) + PING, cuts[2])
        final = auth(CONTINUE, peer.scram.final(challenge_of([each for each in packets if isinstance(each, Auth)])))
        in_parts(encode_packet(final, V5) + PING, cuts[1])
        return [(type(packet).__name__, getattr(packet, "reason_code", 0)) for packet in seen]

    whole = said((0, 0, 0))
    assert sorted(name for name, _ in whole) == ["Auth", "Auth", "Auth", "Connack", *["Pingresp"] * 3]
    for cut in range(200):
        assert sorted(said((cut, cut, cut))) == sorted(whole)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=40), kind=st.sampled_from([b"", b"\xf0", b"\x30", b"\x32", b"\x82", b"\x40"]))
def test_garbage_after_the_challenge_raises_nothing_and_lets_nobody_in(node: Node, data: bytes, kind: bytes) -> None:
    peer = Peer(node)
    peer.connect()
    peer.send(kind + data)
    peer.wait(SETTINGS.handshake_timeout_s)
    assert peer.closed
    assert peer.session.principal is None
