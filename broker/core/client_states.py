"""What a shard's log says of the durable client sessions that live in it.

The session's shard keeps, beside its queue, all that must survive: whether it is attached, when it expires, its will,
the ids of what it published exactly once and has not released, and the ids for which it is owed a release.  Changes are
commands in the shard's waves, in one wave with the messages they belong to; ``ClientStates`` applies them, and writes
rows for the shard's checkpoint.  Time is the wave's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from broker.model.client_sessions import NEVER
from broker.model.names import ClientSessionId

COMMAND_VERSION = 1
ROW_VERSION = 1
"""The first byte of each."""
STATE_ROW = b"s"
IDS_ROW = b"i"


class Attached(msgspec.Struct, frozen=True, tag=True):
    """``will``: a record batch of one message (kernel.encode_record_batch); None: there is none."""

    session: ClientSessionId
    expiry_s: int
    will: bytes | None
    will_delay_s: int
    queue_length_max: int = 1000


class Detached(msgspec.Struct, frozen=True, tag=True):
    """``expiry_s`` None: as it was."""

    session: ClientSessionId
    send_will: bool
    expiry_s: int | None


class WillSent(msgspec.Struct, frozen=True, tag=True):
    """In one wave with the will in the outbox."""

    session: ClientSessionId


class TakenIn(msgspec.Struct, frozen=True, tag=True):
    """These were published exactly once; in one wave with the messages in the outbox."""

    session: ClientSessionId
    packet_ids: list[int]


class Released(msgspec.Struct, frozen=True, tag=True):
    session: ClientSessionId
    packet_ids: list[int]


class Received(msgspec.Struct, frozen=True, tag=True):
    """The client has these; in one wave with the settles."""

    session: ClientSessionId
    packet_ids: list[int]


class Completed(msgspec.Struct, frozen=True, tag=True):
    session: ClientSessionId
    packet_ids: list[int]


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Its row in the meta shard is gone."""

    session: ClientSessionId


ClientCommand: TypeAlias = Attached | Detached | WillSent | TakenIn | Released | Received | Completed | Ended

_encoder = msgspec.msgpack.Encoder()
_command_decoder = msgspec.msgpack.Decoder(ClientCommand)


def encode_client_command(command: ClientCommand) -> bytes:
    return bytes((COMMAND_VERSION,)) + _encoder.encode(command)


def decode_client_command(data: bytes) -> ClientCommand:
    """Raises ValueError for what encode_client_command of this version or an earlier one did not write."""
    if data[:1] != bytes((COMMAND_VERSION,)):
        raise ValueError(f"a client session's command of version {data[:1].hex() or 'none'}")
    command: ClientCommand = _command_decoder.decode(data[1:])
    return command


class ClientState(msgspec.Struct):
    """One session.  Times in ms of wall time; 0: never."""

    attached: bool = False
    expiry_s: int = 0
    expires_at_ms: int = 0
    will: bytes | None = None
    will_delay_s: int = 0
    will_at_ms: int = 0
    queue_length_max: int = 1000


class PacketIdState(msgspec.Struct):
    """``taken``: published by the client and not released.  ``owed``: received by it, release owed; both in order."""

    taken: dict[int, None] = {}
    owed: dict[int, None] = {}


class ClientStates:
    """Those of one shard."""

    def __init__(self, rows: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Raises ValueError for rows that can't be read."""
        self.states: dict[ClientSessionId, ClientState] = {}
        self.ids: dict[ClientSessionId, PacketIdState] = {}
        self._changed: dict[bytes, bytes | None] = {}
        for key, value in rows:
            self._restore(key, value)

    def apply(self, command: ClientCommand, time_ms: int) -> None:
        """Of a session that is not here any more nothing but Attached does anything."""
        session = command.session
        match command:
            case Attached():
                self.states[session] = ClientState(
                    True,
                    command.expiry_s,
                    will=command.will,
                    will_delay_s=command.will_delay_s,
                    queue_length_max=command.queue_length_max,
                )
                self.ids.setdefault(session, PacketIdState())
                self._write_state(session)
            case Ended():
                if self.states.pop(session, None) is not None:
                    del self.ids[session]
                    self._changed[_key(STATE_ROW, session)] = self._changed[_key(IDS_ROW, session)] = None
            case _ if session not in self.states:
                pass
            case Detached():
                self._detach(self.states[session], command, time_ms)
                self._write_state(session)
            case WillSent():
                self.states[session].will = None
                self.states[session].will_at_ms = 0
                self._write_state(session)
            case TakenIn() | Released() | Received() | Completed():
                self._change_ids(self.ids[session], command)
                self._write_ids(session)

    def rows_changed(self) -> list[tuple[bytes, bytes | None]]:
        """What the rows became since this was last asked; None: gone."""
        changed, self._changed = self._changed, {}
        return sorted(changed.items())

    def _detach(self, state: ClientState, command: Detached, time_ms: int) -> None:
        """The will goes when its delay or the session is over, whichever is first (MQTT 5 3.1.3.2.2)."""
        state.attached = False
        if command.expiry_s is not None:
            state.expiry_s = command.expiry_s
        never = state.expiry_s == NEVER
        state.expires_at_ms = 0 if never else time_ms + state.expiry_s * 1000
        if not command.send_will:
            state.will = None
        if state.will is not None:
            delay_s = state.will_delay_s if never else min(state.will_delay_s, state.expiry_s)
            state.will_at_ms = time_ms + delay_s * 1000

    def _change_ids(self, ids: PacketIdState, command: TakenIn | Released | Received | Completed) -> None:
        match command:
            case TakenIn():
                ids.taken.update(dict.fromkeys(command.packet_ids))
            case Released():
                for packet_id in command.packet_ids:
                    ids.taken.pop(packet_id, None)
            case Received():
                ids.owed.update(dict.fromkeys(command.packet_ids))
            case Completed():
                for packet_id in command.packet_ids:
                    ids.owed.pop(packet_id, None)

    def _write_state(self, session: ClientSessionId) -> None:
        self._changed[_key(STATE_ROW, session)] = bytes((ROW_VERSION,)) + _encoder.encode(self.states[session])

    def _write_ids(self, session: ClientSessionId) -> None:
        ids = self.ids[session]
        encoded = _encoder.encode((list(ids.taken), list(ids.owed)))
        self._changed[_key(IDS_ROW, session)] = bytes((ROW_VERSION,)) + encoded

    def _restore(self, key: bytes, value: bytes) -> None:
        if value[:1] != bytes((ROW_VERSION,)) or key[:1] not in (STATE_ROW, IDS_ROW) or len(key) != KEY_SIZE:
            raise ValueError(f"row {key!r} of version {value[:1].hex() or 'none'} is not known to this broker")
        session = ClientSessionId(int.from_bytes(key[1:], "big"))
        if key[:1] == STATE_ROW:
            self.states[session] = msgspec.msgpack.decode(value[1:], type=ClientState)
            self.ids.setdefault(session, PacketIdState())
        else:
            taken, owed = msgspec.msgpack.decode(value[1:], type=tuple[list[int], list[int]])
            self.ids[session] = PacketIdState(dict.fromkeys(taken), dict.fromkeys(owed))


KEY_SIZE = 9


def _key(kind: bytes, session: ClientSessionId) -> bytes:
    return kind + session.to_bytes(8, "big")
