"""Who gets in, and that a password is nowhere to be read."""

from __future__ import annotations

import pytest

from broker.core import users
from broker.core.topology import Topology
from broker.core.topology_commands import DeleteUser, PutUser
from broker.core.users import DEFAULT_USER, founding_commands, hash_password
from broker.model.names import UserName

ALICE = UserName("alice")


@pytest.fixture
def topology() -> Topology:
    topology = Topology()
    for command in founding_commands(b"salt"):
        topology.apply(command, 0)
    topology.apply(PutUser(ALICE, hash_password("päss".encode(), b"0123456789abcdef")), 0)
    return topology


def test_the_right_password_and_no_other_is_accepted(topology: Topology) -> None:
    for _ in range(2):
        assert topology.authenticate(ALICE, "päss".encode(), loopback=False)
        for wrong in (b"", b"pass", "päs".encode(), "päss\0".encode(), b"guest"):
            assert not topology.authenticate(ALICE, wrong, loopback=True)


def test_guest_comes_from_this_machine_only(topology: Topology) -> None:
    assert topology.authenticate(DEFAULT_USER, b"guest", loopback=True)
    assert not topology.authenticate(DEFAULT_USER, b"guest", loopback=False)


def test_nobody_is_let_in_as_nobody(topology: Topology) -> None:
    for password in (b"", b"guest"):
        assert not topology.authenticate(UserName("nobody"), password, loopback=True)


def test_without_a_password_or_with_an_empty_one_there_is_no_login(topology: Topology) -> None:
    for kept in (None, hash_password(b"", b"salt")):
        topology.apply(PutUser(ALICE, kept), 0)
        assert not topology.authenticate(ALICE, b"", loopback=True)


def test_an_old_password_is_forgotten_with_what_was_remembered_of_it(topology: Topology) -> None:
    old = "päss".encode()
    assert topology.authenticate(ALICE, old, loopback=True)
    topology.apply(PutUser(ALICE, hash_password(b"new", b"other salt")), 0)
    assert not topology.authenticate(ALICE, old, loopback=True)
    assert topology.authenticate(ALICE, b"new", loopback=True)
    topology.apply(DeleteUser(ALICE), 0)
    assert not topology.authenticate(ALICE, b"new", loopback=True)


def test_the_second_login_costs_no_pbkdf2(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []

    def counted(password: bytes, salt: bytes, iterations: int) -> object:
        hashed.append(password)
        return hash_password(password, salt, iterations)

    monkeypatch.setattr(users, "hash_password", counted)
    for _ in range(3):
        assert topology.authenticate(DEFAULT_USER, b"guest", loopback=True)
    assert hashed == [b"guest"]
    assert not topology.authenticate(UserName("nobody"), b"x", loopback=True)
    assert hashed == [b"guest", b"x"], "an unknown user takes as long"


def test_a_hash_is_scrams() -> None:
    """RFC 7677 section 3's example: user "user", password "pencil"."""
    import base64
    import hmac

    salt, client_nonce = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), "rOprNGfwEbeRWgbNEkqO"
    server_nonce = client_nonce + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r={client_nonce},r={server_nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={server_nonce}"
    signature = hmac.digest(hash_password(b"pencil", salt, 4096).server_key, message.encode(), "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_a_hash_does_not_print_itself() -> None:
    command = PutUser(ALICE, hash_password(b"secret", b"pepper and salt"))
    assert "pepper" not in repr(command)
    assert "stored" not in repr(command)
