"""MQTT 5's enhanced authentication (4.12): SCRAM-SHA-256 in CONNECT and AUTH packets.

The SCRAM user name is read as CONNECT's is: ``vhost:user`` names both.  CONNECT may hold a user name too, which is to
be the same; a password beside it proves nothing and isn't looked at.
"""

from __future__ import annotations

from broker.model.commands import BeginScram, ContinueScram
from broker.model.replies import Authenticated, ScramChallenge
from broker.model.scram import BadScramMessage, read_client_first
from protocols.mqtt.connecting import Login, read_login
from protocols.mqtt.packets import Auth, Connect
from protocols.mqtt.properties import Properties
from protocols.mqtt.reason_codes import ReasonCode
from protocols.mqtt.settings import MqttSettings
from protocols.mqtt.violation import ProtocolViolation, protocol_error

METHOD = "SCRAM-SHA-256"


class Authentication:
    """One connection's: at CONNECT, and each time that its client authenticates again (4.12.1).

    Where a command is asked for and the answer is None, the login is to be refused.
    """

    __slots__ = ("_challenged", "_loopback", "_settings", "_user_name", "login", "proof")

    def __init__(self, connect: Connect, settings: MqttSettings, *, loopback: bool) -> None:
        """Raises ProtocolViolation: there is no such method here."""
        method = connect.properties["authentication_method"]
        if method != METHOD:
            raise ProtocolViolation(ReasonCode.BAD_AUTHENTICATION_METHOD, f"the only method here is {METHOD}")
        self._settings = settings
        self._loopback = loopback
        self._user_name = connect.user_name
        self._challenged = False
        """The client's proof is to come."""
        self.login: Login | None = None
        """What was begun first: who it is, once that is proved."""
        self.proof: Properties = {}
        """The server's, for the packet that says that the client is let in."""

    def begin(self, properties: Properties) -> BeginScram | None:
        """What CONNECT or an AUTH packet with Re-authenticate asks; raises ProtocolViolation."""
        data = _data(properties)
        try:
            client_first = read_client_first(data)
        except BadScramMessage:
            return None
        if self._user_name is not None and client_first.user != self._user_name:
            return None
        login = read_login(client_first.user, self._settings)
        if login.user is None or (self.login is not None and login.vhost != self.login.vhost):
            return None
        if self.login is None:
            self.login = login
        return BeginScram(login.user, client_first, self._loopback)

    def receive_auth(self, packet: Auth) -> BeginScram | ContinueScram | None:
        """What the packet asks; raises ProtocolViolation."""
        due = ReasonCode.CONTINUE_AUTHENTICATION if self._challenged else ReasonCode.RE_AUTHENTICATE
        if packet.reason_code is not due:
            raise protocol_error(f"AUTH with {packet.reason_code.name} where {due.name} is due")
        if packet.properties.get("authentication_method") != METHOD:
            raise protocol_error("the authentication method is another one")  # [MQTT-4.12.0-5], [MQTT-4.12.1-1]
        if not self._challenged:
            return self.begin(packet.properties)
        self._challenged = False
        return ContinueScram(_data(packet.properties))

    def challenge(self, reply: ScramChallenge) -> Auth:
        self._challenged = True
        return Auth(ReasonCode.CONTINUE_AUTHENTICATION, _properties(reply.data))

    def succeed(self, reply: Authenticated) -> None:
        self.proof = _properties(reply.data)


def _data(properties: Properties) -> bytes:
    data = properties.get("authentication_data")
    if data is None:
        raise protocol_error("no authentication data")
    return data


def _properties(data: bytes) -> Properties:
    return {"authentication_method": METHOD, "authentication_data": data}
