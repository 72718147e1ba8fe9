"""Who a connection's user is, at the front.

A connection may prove it again later, as the same user only: what it holds was granted to that one.
"""

from __future__ import annotations

from broker.core.channel import Channel
from broker.core.front import Front
from broker.core.outcomes import Refused
from broker.core.permissions import Principal
from broker.core.scram import NONCE_SIZE, ScramExchange, decoy, encode_base64
from broker.model.commands import Authenticate, BeginScram, ContinueScram
from broker.model.names import UserName
from broker.model.refusals import Refusal
from broker.model.replies import Authenticated, ScramChallenge


def authenticate(front: Front, channel: Channel, command: Authenticate) -> None:
    right = front.back.topology.authenticate(command.user, command.password, command.loopback)
    _end(front, channel, command.user, right)


def begin_scram(front: Front, channel: Channel, command: BeginScram) -> None:
    """Whoever doesn't exist is asked too, and fails in the end."""
    back = front.back
    never = decoy(back.decoy_secret, command.user)
    keys = back.topology.scram_keys(command.user, command.loopback) or never
    nonce = encode_base64(back.random_bytes(NONCE_SIZE))
    front.scram = ScramExchange(command.user, command.client_first, keys, nonce)
    front.say(ScramChallenge(front.scram.server_first))


def continue_scram(front: Front, channel: Channel, command: ContinueScram) -> None:
    exchange, front.scram = front.scram, None
    assert exchange is not None, "begun before"
    server_final = exchange.receive_client_final(command.data)
    if server_final is None:
        _end(front, channel, exchange.user, right=False)
        return
    right = front.back.topology.confirm_scram(exchange.user, exchange.keys)
    _end(front, channel, exchange.user, right, server_final)


def _end(front: Front, channel: Channel, user: UserName, right: bool, data: bytes = b"") -> None:
    if right and (front.principal is None or front.principal.user == user):
        front.principal = front.principal or Principal(user)
        front.say(Authenticated(data))
    else:
        front.refuse(channel, Refused(Refusal.LOGIN_REFUSED, f"user '{user}'"))
