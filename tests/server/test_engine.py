"""The engine with the echo protocol, by sockets and by streams: the same suite for both.

Where a test waits for time to pass it goes by streams alone, with a clock that jumps.
"""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.server.admission import Admission, ConnectionLimits
from broker.server.buffers import Buffers
from broker.server.engine import LOOK_INTERVAL_S, Engine
from broker.server.pump import LAST_WORDS_TIMEOUT_S, LINGER_TIMEOUT_S, WRITE_TIMEOUT_S
from broker.server.rounds import GOODBYE_TIMEOUT_S, Phase
from tests.server.echo import (
    CLOSE_OK,
    CLOSE_TIMEOUT_S,
    HANDSHAKE,
    HEARTBEAT,
    SILENCE_S_MAX,
    DrawnSyncs,
    EchoCore,
    publish,
)
from tests.server.echo_server import receive_all, receive_exactly, running, wait_until

both_paths = pytest.mark.parametrize("polled", [False, True], ids=["streams", "sockets"])


@both_paths
async def test_what_is_published_comes_back(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        assert await receive_exactly(client, 5) == b"hello"
        await client.send_all(publish(b"one") + HEARTBEAT + publish(b"two"))
        assert await receive_exactly(client, 10) == b"pongonetwo"


@both_paths
async def test_what_comes_behind_a_stop_is_decoded_once_the_adapter_resumes(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE + publish(b"at once"))
        assert await receive_exactly(client, 12) == b"helloat once"


@both_paths
async def test_a_big_echo_comes_back_whole_however_slowly_it_is_read(polled: bool) -> None:
    bodies = [bytes([number]) * 300_000 for number in range(20)]
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)

        async def send() -> None:
            for body in bodies:
                await client.send_all(publish(body))

        server.nursery.start_soon(send)
        data = await receive_exactly(client, 5 + sum(map(len, bodies)))
        assert data[5:] == b"".join(bodies)


@both_paths
async def test_many_connections_are_served_in_the_same_rounds(polled: bool) -> None:
    async with running(polled) as server:
        clients = [server.connect() for _ in range(50)]
        for number, client in enumerate(clients):
            await client.send_all(HANDSHAKE + publish(b"%03d" % number))
        for number, client in enumerate(clients):
            assert await receive_exactly(client, 8) == b"hello%03d" % number


def test_what_was_synced_before_the_first_round_is_told_in_it() -> None:
    told: list[int] = []

    class Told(EchoCore):
        def receive_synced(self, write: int) -> None:
            told.append(write)

    syncs = DrawnSyncs()
    core = Told(syncs)
    syncs.submitted = syncs.synced = 3
    admission = Admission(ConnectionLimits())
    engine = Engine(core, syncs, now_ms=lambda: 0, admission=admission, buffers=Buffers())
    engine.round(0.0)
    engine.round(0.0)
    assert told == [3]
    assert not engine.round(0.0)  # nothing came of it, or of anything else


@both_paths
async def test_a_confirm_waits_for_the_sync(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE + publish(b"x", persistent=True))
        assert await receive_exactly(client, 6) == b"hellox"
        assert server.syncs.submitted == 1
        server.sync()
        assert await receive_exactly(client, 1) == b"!"


@both_paths
async def test_last_words_are_heard_though_the_peer_goes_on_talking(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE + b"\x2a" + bytes(50_000))
        with trio.move_on_after(0.01):
            await client.send_all(bytes(50_000))
        assert await receive_all(client) == b"hellobad"
        await client.aclose()


@both_paths
async def test_a_peer_that_hangs_up_is_forgotten(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        await receive_exactly(client, 5)
        assert len(server.core.sessions) == 1
        await client.aclose()
        await wait_until(lambda: not server.engine.connections)
        assert not server.core.sessions


@both_paths
async def test_a_full_session_is_not_read_until_it_is_no_more(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        assert await receive_exactly(client, 5) == b"hello"
        server.core.congested = True
        await client.send_all(publish(b"x"))
        assert await receive_exactly(client, 1) == b"x"
        await trio.testing.wait_all_tasks_blocked(0.001)
        await client.send_all(publish(b"y"))
        with trio.move_on_after(0.02) as waiting:
            await client.receive_some(1)
        assert waiting.cancelled_caught
        server.core.congested = False
        server.engine.ring()
        assert await receive_exactly(client, 1) == b"y"


@both_paths
async def test_a_bug_in_an_adapter_ends_the_broker(polled: bool) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="an adapter's bug"), flatten_subgroups=True):
        async with running(polled) as server:
            client = server.connect()
            await client.send_all(HANDSHAKE)
            await receive_exactly(client, 5)
            (connection,) = server.engine.connections.values()

            def fail(*_: object) -> None:
                raise AssertionError("an adapter's bug")

            connection.adapter.receive_frames = fail  # type: ignore[method-assign, assignment]
            await client.send_all(HEARTBEAT)
            await trio.sleep_forever()


@both_paths
async def test_stopping_says_goodbye_and_waits_for_the_answer(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        await receive_exactly(client, 5)
        server.rounds.stop("goodbye")
        assert await receive_exactly(client, 7) == b"goodbye"
        assert server.rounds.phase is Phase.GOODBYE
        await client.send_all(CLOSE_OK)
        assert await receive_all(client) == b"bye"
        await client.aclose()


@both_paths
async def test_stopping_waits_for_the_journal(polled: bool) -> None:
    async with running(polled) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE + publish(b"x", persistent=True))
        await receive_exactly(client, 6)
        server.rounds.stop("")
        server.rounds.hurry()
        await receive_all(client)
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert server.rounds.phase is Phase.SYNCING
        server.sync()


async def test_a_silent_peer_is_hung_up_on_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        began_at = trio.current_time()
        await trio.sleep(SILENCE_S_MAX / 2)
        await client.send_all(HEARTBEAT)
        assert await receive_all(client) == b"hellopong"
        assert trio.current_time() == pytest.approx(began_at + 1.5 * SILENCE_S_MAX)


async def test_silence_does_not_count_while_a_connection_is_not_read(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        await receive_exactly(client, 5)
        server.core.congested = True
        await client.send_all(publish(b"x"))
        await receive_exactly(client, 1)
        await trio.sleep(10 * SILENCE_S_MAX)
        server.core.congested = False
        server.engine.ring()
        await client.send_all(HEARTBEAT)
        assert await receive_exactly(client, 4) == b"pong"


async def test_a_peer_that_takes_no_output_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        stuck = server.connect(buffered=False)
        began_at = trio.current_time()
        await stuck.send_all(HANDSHAKE + publish(b"x"))
        await wait_until(lambda: not server.engine.connections, step_s=1.0)
        assert WRITE_TIMEOUT_S <= trio.current_time() - began_at <= WRITE_TIMEOUT_S + 1


async def test_who_never_hangs_up_is_freed_all_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE + CLOSE_OK)
        began_at = trio.current_time()
        assert await receive_all(client) == b"hellobye"
        await wait_until(lambda: not server.engine.connections, step_s=0.1)
        assert trio.current_time() - began_at <= LINGER_TIMEOUT_S + 0.2


async def test_last_words_that_nobody_takes_are_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        client = server.connect(buffered=False)
        await client.send_all(HANDSHAKE + CLOSE_OK)
        began_at = trio.current_time()
        await wait_until(lambda: not server.engine.connections, step_s=0.1)
        assert trio.current_time() - began_at == pytest.approx(LAST_WORDS_TIMEOUT_S, abs=0.2)


async def test_stopping_takes_no_longer_than_it_may(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        client = server.connect()
        await client.send_all(HANDSHAKE)
        await receive_exactly(client, 5)
        server.rounds.stop("goodbye")
        began_at = trio.current_time()
        assert await receive_all(client) == b"goodbye"
        assert trio.current_time() - began_at == pytest.approx(min(CLOSE_TIMEOUT_S, GOODBYE_TIMEOUT_S))


async def test_who_begins_a_message_must_get_on_with_it(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False) as server:
        quick, slow, idle = server.connect(), server.connect(), server.connect()
        message = publish(bytes(70_000))
        for client in quick, slow, idle:
            await client.send_all(HANDSHAKE)
            await receive_exactly(client, 5)
        for at in range(0, len(message), 20_000):
            await quick.send_all(message[at : at + 20_000])
            with contextlib.suppress(trio.BrokenResourceError):
                await slow.send_all(message[at // 100 : at // 100 + 200])
            await trio.sleep(LOOK_INTERVAL_S)
        await receive_exactly(quick, 70_000)
        assert await receive_all(slow) == b""
        await idle.send_all(HEARTBEAT)
        assert await receive_exactly(idle, 4) == b"pong"


async def test_who_holds_the_buffers_waits_while_they_are_short(autojump_clock: trio.testing.MockClock) -> None:
    async with running(polled=False, buffers=Buffers(150_000, 1 << 30)) as server:
        first, second = server.connect(), server.connect()
        big = publish(bytes(200_000))
        for client in first, second:
            await client.send_all(HANDSHAKE + big[:100_000])
            await receive_exactly(client, 5)
        await trio.testing.wait_all_tasks_blocked()
        assert [c.flow.paused for c in server.engine.connections.values()] == [False, True]
        await first.send_all(big[100_000:])
        await receive_exactly(first, 200_000)
        await second.send_all(big[100_000:])
        await receive_exactly(second, 200_000)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 400_000), st.booleans()), max_size=8), st.booleans())
async def test_every_message_comes_back_once_in_order(steps: list[tuple[int, int, bool]], polled: bool) -> None:
    async with running(polled) as server:
        clients = [server.connect() for _ in range(3)]
        sent = [b"hello"] * 3
        for client in clients:
            await client.send_all(HANDSHAKE)

        async def send(index: int) -> None:
            for number, (which, size, persistent) in enumerate(steps):
                if which == index:
                    await clients[index].send_all(publish(bytes([number + 64]) * size, persistent))

        for index in range(3):
            own = [bytes([n + 64]) * size for n, (which, size, _) in enumerate(steps) if which == index]
            sent[index] += b"".join(own)
            server.nursery.start_soon(send, index)
        for index, client in enumerate(clients):
            assert await receive_exactly(client, len(sent[index])) == sent[index]
