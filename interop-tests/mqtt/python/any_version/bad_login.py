"""A wrong password and an unknown user are refused with the right code, and nobody else suffers."""

from __future__ import annotations

from device import Broker, RefusedError

BAD_USER_NAME_OR_PASSWORD = 0x86
NOT_AUTHORIZED = 0x87
"""MQTT 3.1.1's 4 and 5, told as MQTT 5 counts; either is right for 3."""


def run(broker: Broker) -> None:
    right = {BAD_USER_NAME_OR_PASSWORD, NOT_AUTHORIZED}
    for user, password in ((broker.address.user, "wrong"), ("nobody", broker.address.password)):
        device = broker.device(user=user, password=password)
        try:
            device.connect()
        except RefusedError as refused:
            assert refused.code in right, refused
        else:
            raise AssertionError(f"{user} may log in with {password}")
    broker.connect().disconnect()
