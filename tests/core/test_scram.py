"""A login by SCRAM-SHA-256: the RFC's own, right and wrong ones, and that nobody learns who exists."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.core.scram import ScramExchange
from broker.core.session import Session
from broker.core.topology_commands import DeleteUser, PutUser
from broker.core.users import hash_password
from broker.model import commands as c
from broker.model import replies as r
from broker.model.names import UserName, VhostName
from broker.model.refusals import Refusal
from broker.model.scram import read_client_first
from tests.core.node import Node
from tests.scram_client import ScramClient

ALICE = UserName("alice")
EMPTY = UserName("empty")
NO_PASSWORD = UserName("certificate")
SALT = b"0123456789abcdef"


def test_the_example_of_rfc_7677() -> None:
    keys = hash_password(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    first = read_client_first(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    exchange = ScramExchange(UserName(first.user), first, keys, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    nonce = b"rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    assert exchange.server_first == b"r=" + nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    final = b"c=biws,r=" + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert exchange.receive_client_final(final) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.broker.back.submit(PutUser(ALICE, hash_password("päss".encode(), SALT)))
    made.broker.back.submit(PutUser(EMPTY, hash_password(b"", SALT)))
    made.broker.back.submit(PutUser(NO_PASSWORD, None))
    made.run()
    yield made
    made.journal.abandon()


def challenged(session: Session, client: ScramClient, user: str, *, loopback: bool = False) -> bytes:
    session.submit([c.BeginScram(UserName(user), read_client_first(client.first), loopback)])
    (challenge,) = session.take_replies()
    assert isinstance(challenge, r.ScramChallenge)
    return challenge.data


def answered(session: Session, final: bytes) -> r.Reply:
    session.submit([c.ContinueScram(final)])
    (reply,) = session.take_replies()
    return reply


def logged_in(session: Session, user: str, password: str, *, loopback: bool = False) -> bool:
    """Says the exchange; a yes is proved by the server too, a no is LOGIN_REFUSED."""
    client = ScramClient(user, password)
    reply = answered(session, client.final(challenged(session, client, user, loopback=loopback)))
    if isinstance(reply, r.Authenticated):
        assert reply.data == client.server_proof
        return True
    assert isinstance(reply, r.Refuse)
    assert reply.refusal is Refusal.LOGIN_REFUSED
    return False


def test_the_right_password_and_no_other_is_accepted(node: Node) -> None:
    for _ in range(2):
        assert logged_in(node.broker.open_session(), ALICE, "päss")
        for wrong in ("", "pass", "guest"):
            session = node.broker.open_session()
            assert not logged_in(session, ALICE, wrong)
            assert session.principal is None


def test_whoever_is_in_has_the_rights_of_the_user(node: Node) -> None:
    session = node.broker.open_session()
    assert logged_in(session, "guest", "guest", loopback=True)
    session.submit([c.OpenVhost(VhostName("/"))])
    assert session.take_replies() == [r.VhostOpened()]


def test_guest_comes_from_this_machine_only(node: Node) -> None:
    assert not logged_in(node.broker.open_session(), "guest", "guest")


def test_without_a_password_or_with_an_empty_one_there_is_no_login(node: Node) -> None:
    for _ in range(2):
        for user in (EMPTY, NO_PASSWORD):
            assert not logged_in(node.broker.open_session(), user, "")


@pytest.mark.parametrize("user", ["nobody", NO_PASSWORD, "guest"])
def test_who_has_no_login_is_asked_as_anybody_and_refused(node: Node, user: str) -> None:
    asked = set()
    for _ in range(3):
        client = ScramClient(user, "x")
        session = node.broker.open_session()
        data = challenged(session, client, user)
        nonce, salt, iterations = data.decode().split(",")
        asked.add((salt, iterations))
        assert not isinstance(answered(session, client.final(data)), r.Authenticated)
    ((salt, iterations),) = asked
    real = challenged(node.broker.open_session(), ScramClient(ALICE, ""), ALICE).decode().split(",")
    assert (len(salt), iterations) == (len(real[1]), real[2])
    assert salt != real[1]
    assert len(nonce) == len(real[0])


def test_users_who_do_not_exist_differ_and_so_do_nodes(node: Node, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Node(tmp_path / "other", incarnation=2)
    salts = {
        challenged(each.broker.open_session(), ScramClient(user, ""), user).split(b",")[1]
        for each in (node, other)
        for user in ("nobody", "somebody")
    }
    other.journal.abandon()
    assert len(salts) == 4


def test_no_nonce_comes_twice(node: Node) -> None:
    session = node.broker.open_session()
    nonces = {challenged(session, ScramClient(ALICE, ""), ALICE).split(b",")[0] for _ in range(10)}
    assert len(nonces) == 10


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "another header": lambda final: final.replace(b"c=biws", b"c=eSws"),
    "another nonce": lambda final: final.replace(b",r=r", b",r=R"),
    "the client's nonce": lambda final: final[: final.index(b",r=") + 23] + final[final.index(b",p=") :],
    "another proof": lambda final: final[: final.index(b",p=") + 3] + base64.b64encode(bytes(32)),
    "an extension that the proof does not speak of": lambda final: final.replace(b",p=", b",x=1,p="),
    "an extension that must be understood": lambda final: final.replace(b",p=", b",m=1,p="),
    "no proof": lambda final: final[: final.index(b",p=")],
    "nothing": lambda final: b"",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_proof_that_is_wrong_anywhere_is_refused(node: Node, wrong: str) -> None:
    session = node.broker.open_session()
    client = ScramClient(ALICE, "päss")
    final = client.final(challenged(session, client, ALICE))
    spoiled = WRONG[wrong](final)
    assert spoiled != final
    reply = answered(session, spoiled)
    assert isinstance(reply, r.Refuse)
    assert reply.refusal is Refusal.LOGIN_REFUSED


@pytest.mark.parametrize(("header", "nonce"), [("y,,", None), ("p=tls-exporter,,", None), (None, "another")])
def test_a_proof_of_what_was_not_agreed_on_is_refused(node: Node, header: str | None, nonce: str | None) -> None:
    session = node.broker.open_session()
    client = ScramClient(ALICE, "päss")
    final = client.final(challenged(session, client, ALICE), header=header, nonce=nonce)
    assert isinstance(answered(session, final), r.Refuse)
    assert session.scram is None, "there is one try for a challenge"


@pytest.mark.parametrize(("header", "extension"), [("y,,", ""), ("n,,", ",x=later"), ("y,,", ",x=1,Z=2")])
def test_what_the_proof_speaks_of_is_accepted(node: Node, header: str, extension: str) -> None:
    session = node.broker.open_session()
    client = ScramClient(ALICE, "päss", header=header)
    final = client.final(challenged(session, client, ALICE), extension)
    assert answered(session, final) == r.Authenticated(client.server_proof)


def test_a_proof_serves_one_challenge_only(node: Node) -> None:
    session = node.broker.open_session()
    client = ScramClient(ALICE, "päss")
    old = client.final(challenged(session, client, ALICE))
    challenged(session, client, ALICE)
    assert isinstance(answered(session, old), r.Refuse)


@pytest.mark.parametrize(
    "change", [DeleteUser(ALICE), PutUser(ALICE, hash_password(b"new", SALT)), PutUser(ALICE, None)]
)
def test_a_password_that_is_gone_meanwhile_is_none(node: Node, change: DeleteUser | PutUser) -> None:
    session = node.broker.open_session()
    client = ScramClient(ALICE, "päss")
    final = client.final(challenged(session, client, ALICE))
    node.broker.back.submit(change)
    node.run()
    assert isinstance(answered(session, final), r.Refuse)


def test_who_is_in_proves_it_again_as_the_same_user_only(node: Node) -> None:
    session = node.broker.open_session()
    assert logged_in(session, ALICE, "päss")
    assert logged_in(session, ALICE, "päss")
    assert not logged_in(session, "guest", "guest", loopback=True)
    session.submit([c.Authenticate(UserName("guest"), b"guest", True)])
    (reply,) = session.take_replies()
    assert isinstance(reply, r.Refuse)
    assert session.principal is not None
    assert session.principal.user == ALICE


def test_nothing_to_try_passwords_on_is_shown() -> None:
    assert repr(c.ContinueScram(b"c=biws,r=nonce,p=proof")) == "ContinueScram(...)"
