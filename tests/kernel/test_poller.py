"""The poller over socket pairs, against a twin that keeps plain byte strings and decodes by itself."""

from __future__ import annotations

import os
import socket

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kernel import Account, AmqpDecoder, Chunk, Counters
from kernel.poller import Poller

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
ACK = b"\x01\x00\x01\x00\x00\x00\x0d\x00\x3c\x00\x50" + (7).to_bytes(8) + b"\x00\xce"
FRAMES = st.lists(st.sampled_from([HEARTBEAT, ACK]), max_size=4).map(b"".join)


class Peer:
    """The far end of one connection, and what is known of it."""

    def __init__(self, poller: Poller, token: int) -> None:
        ours, self.socket = socket.socketpair()
        self.socket.setblocking(False)
        self.decoder = AmqpDecoder()
        poller.add(token, ours.detach(), self.decoder)
        self.twin = AmqpDecoder()
        self.expected: list[str] = []
        self.frames: list[str] = []
        self.unsent = PROTOCOL_HEADER
        self.sent = b""
        self.received = b""
        self.hung_up = False
        self.ended = 0

    def write(self, size: int) -> None:
        data, self.unsent = self.unsent[:size], self.unsent[size:]
        self.socket.sendall(data)
        # The twin need not stop: what follows is decoded all the same once it is resumed.
        self.expected += map(repr, self.twin.receive_data(data))
        if self.twin.stopped:
            self.expected += map(repr, self.twin.resume())

    def read(self) -> None:
        try:
            while data := self.socket.recv(1 << 20):
                self.received += data
        except BlockingIOError:
            pass


class PollerMachine(RuleBasedStateMachine):
    """Whatever is paused, stopped or blocked meanwhile, every byte arrives once, in order, both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.output = Account("input", 0), Account("output", 0)
        self.poller = Poller(Counters(), self.input, self.output)
        self.peers = [Peer(self.poller, token) for token in range(3)]

    tokens = st.integers(0, 2)

    @rule(token=tokens, frames=FRAMES, size=st.integers(1, 40))
    def peer_writes(self, token: int, frames: bytes, size: int) -> None:
        peer = self.peers[token]
        if not peer.hung_up:
            peer.unsent += frames
            peer.write(size)

    @rule(token=tokens)
    def peer_reads(self, token: int) -> None:
        if not self.peers[token].hung_up:
            self.peers[token].read()

    @rule(token=tokens)
    def peer_shuts_its_side(self, token: int) -> None:
        peer = self.peers[token]
        if not peer.hung_up:
            peer.write(len(peer.unsent))
            peer.socket.shutdown(socket.SHUT_WR)
            peer.hung_up = True

    @rule()
    def round(self) -> None:
        for token, frames in self.poller.round():
            peer = self.peers[token]
            assert not peer.ended
            if frames is None:
                peer.ended += 1
            else:
                peer.frames += map(repr, frames)
                if peer.decoder.stopped:
                    self.poller.wake(token)
        for token, left in self.poller.take_unblocked():
            assert left == self.poller.output_size(token)

    @rule(token=tokens)
    def pause(self, token: int) -> None:
        self.poller.pause(token)

    @rule(token=tokens)
    def resume(self, token: int) -> None:
        self.poller.resume(token)

    @rule(token=tokens, sizes=st.lists(st.sampled_from([1, 100, 9000, 300_000]), max_size=3), shared=st.booleans())
    def send(self, token: int, sizes: list[int], shared: bool) -> None:
        peer = self.peers[token]
        pieces = [bytes([(len(peer.sent) + number) % 251]) * size for number, size in enumerate(sizes)]
        self.poller.send(token, [Chunk(piece) if shared else piece for piece in pieces])
        if not peer.ended:
            peer.sent += b"".join(pieces)

    @rule()
    def flush(self) -> None:
        for token, left in self.poller.flush():
            assert left == self.poller.output_size(token) > 0

    @invariant()
    def buffers_are_charged_once(self) -> None:
        assert self.output.charged == sum(self.poller.output_size(token) for token in range(3))
        assert self.input.charged == sum(self.poller.input_size(token) for token in range(3))

    @precondition(lambda self: self.poller.wait(0))
    @rule()
    def round_is_due(self) -> None:
        self.round()

    def teardown(self) -> None:
        for token, peer in enumerate(self.peers):
            self.poller.resume(token)
            if not peer.hung_up:
                peer.write(len(peer.unsent))
        self.flush()
        # A socket that is full has nothing to wait for until somebody reads.
        for peer in self.peers:
            peer.read()
        while self.poller.wait(0):
            self.round()
            for peer in self.peers:
                peer.read()
        for token, peer in enumerate(self.peers):
            peer.read()
            assert peer.frames == peer.expected
            assert peer.ended == peer.hung_up
            # Once the peer's end was told, what was left is nobody's.
            assert peer.sent.startswith(peer.received) if peer.hung_up else peer.received == peer.sent
            self.poller.remove(token)
            peer.socket.close()
        assert self.input.charged == self.output.charged == 0


TestPoller = PollerMachine.TestCase
TestPoller.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def new_poller() -> Poller:
    return Poller(Counters(), Account("input", 0), Account("output", 0))


def test_a_watched_eventfd_comes_by_its_token_and_need_not_be_read() -> None:
    poller = new_poller()
    signal = os.eventfd(0)
    assert poller.watch(signal) == -1
    os.eventfd_write(signal, 1)
    assert poller.wait(0)
    assert poller.round() == [(-1, None)]
    assert poller.round() == []
    os.close(signal)


def test_hanging_up_lets_the_last_words_out_and_waits_for_the_peer() -> None:
    poller = new_poller()
    peer = Peer(poller, 0)
    poller.send(0, [b"last words"])
    poller.hang_up(0)
    peer.socket.sendall(b"garbage that nobody decodes")
    assert poller.round() == []
    assert peer.socket.recv(100) == b"last words"
    assert peer.socket.recv(100) == b""
    peer.socket.close()
    assert poller.round() == [(0, None)]


def test_output_that_is_neither_bytes_nor_chunk_is_our_mistake() -> None:
    poller = new_poller()
    peer = Peer(poller, 0)
    with pytest.raises(TypeError, match="output is bytes or Chunk"):
        poller.send(0, ["text"])  # type: ignore[list-item]
    peer.socket.close()


def test_a_number_that_is_no_descriptor_is_refused() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        new_poller().add(0, 1_000_000, AmqpDecoder())
