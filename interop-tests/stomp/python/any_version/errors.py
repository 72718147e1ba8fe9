"""A mistake is answered with an ERROR, and not with the receipt that was asked for."""

from __future__ import annotations

from client import Broker, Client, fresh


def unknown_destination(client: Client) -> None:
    client.send("/nowhere/x", b"", receipt="wrong")


def no_such_exchange(client: Client) -> None:
    client.send(f"/exchange/{fresh('nowhere')}/key", b"", receipt="wrong")


def no_such_transaction(client: Client) -> None:
    client.stomp.commit("nobody's", receipt="wrong")


def unsubscribed(client: Client) -> None:
    client.stomp.unsubscribe(id="nobody's", receipt="wrong")


MISTAKES = (unknown_destination, no_such_exchange, no_such_transaction, unsubscribed)


def run(broker: Broker) -> None:
    for mistake in MISTAKES:
        client = broker.connect()
        mistake(client)
        assert client.next_error().headers["message"], mistake
        assert "wrong" not in client.listener.receipts.queue, mistake
