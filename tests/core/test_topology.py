"""What the topology says, in RabbitMQ's words, and the corners that a model seldom reaches."""

from __future__ import annotations

import pytest

from broker.core.outcomes import Applied, Outcome, Refused
from broker.core.permissions import Action, Principal
from broker.core.resources import exchange_resource, queue_resource
from broker.core.topology import Topology
from broker.core.topology_commands import (
    Bind,
    CreateVhost,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeletePermission,
    DeleteQueue,
    DeleteUser,
    DeleteVhost,
    PutPermission,
    PutUser,
    TopologyCommand,
    Unbind,
    decode_command,
    encode_command,
)
from broker.core.topology_rows import QueueRow
from broker.core.topology_tables import VOLATILE_ID_FIRST
from broker.core.users import founding_commands
from broker.model.names import (
    NO_SESSION,
    ExchangeName,
    QueueId,
    QueueName,
    RoutingKey,
    SessionId,
    ShardId,
    UserName,
    VhostName,
)
from broker.model.refusals import Refusal
from broker.model.topology import Arguments, BindingSpec, ExchangeSpec, QueueSpec, Timestamp

VHOST = VhostName("/")
ME, OTHER = SessionId(1), SessionId(2)
GUEST = Principal(UserName("guest"))


@pytest.fixture
def topology() -> Topology:
    topology = Topology()
    for command in founding_commands(b"salt"):
        assert done(topology, command).changed
    return topology


def done(topology: Topology, command: TopologyCommand) -> Applied:
    outcome = topology.apply(command, 0)
    assert isinstance(outcome, Applied), outcome
    return outcome


def queue(
    name: str, arguments: Arguments | None = None, *, durable: bool = True, exclusive: bool = False, auto: bool = False
) -> DeclareQueue:
    spec = QueueSpec(QueueName(name), durable, exclusive, auto, arguments or {})
    return DeclareQueue(VHOST, spec, ShardId(1), session=ME)


def exchange(
    name: str,
    type: str = "direct",
    arguments: Arguments | None = None,
    *,
    durable: bool = True,
    auto: bool = False,
    internal: bool = False,
) -> DeclareExchange:
    return DeclareExchange(VHOST, ExchangeSpec(ExchangeName(name), type, durable, auto, internal, arguments or {}))


def binding(source: str, destination: str, *, to_exchange: bool = False) -> BindingSpec:
    return BindingSpec(ExchangeName(source), destination, RoutingKey("k"), to_exchange)


DECLARED: list[TopologyCommand] = [
    queue("q", {"x-message-ttl": 100}),
    queue("own", exclusive=True, durable=False),
    exchange("x", arguments={"alternate-exchange": "amq.fanout"}),
]
REFUSALS: list[tuple[TopologyCommand, Refusal, str]] = [
    (
        queue("q", durable=False),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'",
    ),
    (
        queue("q", auto=True),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'",
    ),
    (
        queue("q"),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': "
        "received none but current is the value '100' of type 'signedint'",
    ),
    (
        queue("q", {"x-message-ttl": 200}),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '200' but current is '100'",
    ),
    (
        queue("q", {"x-message-ttl": 100, "x-queue-type": "quorum"}),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received 'quorum' but current is 'classic'",
    ),
    (
        queue("q", {"x-message-ttl": 100}, exclusive=True),
        Refusal.RESOURCE_LOCKED,
        "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared on another "
        "connection or the exclusive property value does not match that of the original declaration.",
    ),
    (queue("amq.q"), Refusal.ACCESS_REFUSED, "queue name 'amq.q' contains reserved prefix 'amq.*'"),
    (queue("q" * 256), Refusal.PRECONDITION_FAILED, "queue name is empty or longer than 255 bytes"),
    (
        queue("n", {"x-expires": 0}),
        Refusal.PRECONDITION_FAILED,
        "invalid arg 'x-expires' for queue 'n' in vhost '/': {value_zero,0}",
    ),
    (
        queue("n", {"x-queue-type": "quorum"}, durable=False),
        Refusal.PRECONDITION_FAILED,
        "invalid property 'non-durable' for queue 'n' in vhost '/'",
    ),
    (
        exchange("x", "fanout", {"alternate-exchange": "amq.fanout"}),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'",
    ),
    (
        exchange("x", arguments={"alternate-exchange": "amq.direct"}),
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': "
        "received 'amq.direct' but current is 'amq.fanout'",
    ),
    (
        exchange("n", arguments={"alternate-exchange": 5}),
        Refusal.PRECONDITION_FAILED,
        "invalid type 'signedint' for arg 'alternate-exchange' in exchange 'n' in vhost '/'",
    ),
    (exchange("n", "odd"), Refusal.PRECONDITION_FAILED, "unknown exchange type 'odd'"),
    (exchange("amq.n"), Refusal.ACCESS_REFUSED, "exchange name 'amq.n' contains reserved prefix 'amq.*'"),
    (exchange(""), Refusal.ACCESS_REFUSED, "operation not permitted on the default exchange"),
    (
        DeleteExchange(VHOST, ExchangeName("")),
        Refusal.ACCESS_REFUSED,
        "operation not permitted on the default exchange",
    ),
    (
        DeleteExchange(VHOST, ExchangeName("amq.topic")),
        Refusal.ACCESS_REFUSED,
        "deletion of system exchange 'amq.topic' in vhost '/' not allowed",
    ),
    (Bind(VHOST, binding("", "q")), Refusal.ACCESS_REFUSED, "operation not permitted on the default exchange"),
    (Unbind(VHOST, binding("", "q")), Refusal.ACCESS_REFUSED, "operation not permitted on the default exchange"),
    (
        Bind(VHOST, binding("x", "", to_exchange=True)),
        Refusal.ACCESS_REFUSED,
        "operation not permitted on the default exchange",
    ),
    (Bind(VHOST, binding("none", "none")), Refusal.NOT_FOUND, "no exchange 'none' in vhost '/'"),
    (Bind(VHOST, binding("x", "none")), Refusal.NOT_FOUND, "no queue 'none' in vhost '/'"),
    (Bind(VHOST, binding("x", "none", to_exchange=True)), Refusal.NOT_FOUND, "no exchange 'none' in vhost '/'"),
    (
        Bind(VHOST, binding("x", "own"), OTHER),
        Refusal.RESOURCE_LOCKED,
        "cannot obtain exclusive access to locked queue 'own' in vhost '/'. It could be originally declared on another "
        "connection or the exclusive property value does not match that of the original declaration.",
    ),
    (
        PutPermission(UserName("guest"), VHOST, "(", "", ""),
        Refusal.PRECONDITION_FAILED,
        "invalid pattern in a permission: unclosed group",
    ),
    (PutPermission(UserName("nobody"), VHOST, "", "", ""), Refusal.NOT_FOUND, "no user 'nobody'"),
    (PutPermission(UserName("guest"), VhostName("v"), "", "", ""), Refusal.VHOST_NOT_FOUND, "vhost v not found"),
    (
        DeletePermission(UserName("guest"), VhostName("v")),
        Refusal.NOT_FOUND,
        "no permission of user 'guest' in vhost 'v'",
    ),
    (DeleteUser(UserName("nobody")), Refusal.NOT_FOUND, "no user 'nobody'"),
    (DeleteVhost(VhostName("v")), Refusal.VHOST_NOT_FOUND, "vhost v not found"),
    (CreateVhost(VhostName("")), Refusal.PRECONDITION_FAILED, "vhost name is empty or longer than 255 bytes"),
    (PutUser(UserName(""), None), Refusal.PRECONDITION_FAILED, "user name is empty or longer than 255 bytes"),
]


@pytest.mark.parametrize(("command", "refusal", "detail"), REFUSALS, ids=[detail[:60] for _, _, detail in REFUSALS])
def test_a_refusal_says_what_rabbitmq_says_and_changes_nothing(
    topology: Topology, command: TopologyCommand, refusal: Refusal, detail: str
) -> None:
    for declaration in DECLARED:
        done(topology, declaration)
    topology.rows_changed()
    assert topology.apply(command, 0) == Refused(refusal, detail)
    assert topology.rows_changed() == []


def test_what_is_declared_again_the_same_is_the_same(topology: Topology) -> None:
    first = done(topology, queue("q", {"x-max-length": 5}))
    again = done(topology, queue("q", {"x-queue-type": "classic", "x-max-length": 5, "x-queue-mode": "lazy", "who": 1}))
    assert (again.changed, again.queue) == (False, first.queue)
    assert done(topology, exchange("amq.topic", "topic")).changed is False
    done(topology, exchange("x", arguments={"who": 1}))
    assert done(topology, exchange("x")).changed is False


def test_what_is_not_there_is_deleted_and_unbound_already(topology: Topology) -> None:
    for command in (
        DeleteQueue(VHOST, QueueName("none")),
        DeleteExchange(VHOST, ExchangeName("none")),
        Unbind(VHOST, binding("amq.direct", "none")),
        Unbind(VHOST, binding("none", "none", to_exchange=True)),
    ):
        assert done(topology, command) == Applied(changed=False)


def test_a_used_exchange_is_not_deleted_if_unused(topology: Topology) -> None:
    for command in (exchange("x"), queue("q"), Bind(VHOST, binding("x", "q"))):
        done(topology, command)
    refused = Refused(Refusal.PRECONDITION_FAILED, "exchange 'x' in vhost '/' in use")
    unused = DeleteExchange(VHOST, ExchangeName("x"), if_unused=True)
    assert topology.apply(unused, 0) == topology.admit(unused) == refused
    done(topology, Unbind(VHOST, binding("x", "q")))
    assert topology.admit(unused) is None
    assert done(topology, unused).changed


def test_a_volatile_binding_uses_an_exchange_for_the_front_and_not_for_the_log(topology: Topology) -> None:
    """Another replica has no such binding, and must come to the same rows."""
    for command in (exchange("x"), queue("v", durable=False), Bind(VHOST, binding("x", "v"))):
        done(topology, command)
    unused = DeleteExchange(VHOST, ExchangeName("x"), if_unused=True)
    assert topology.admit(unused) is not None
    assert done(topology, unused).changed
    assert topology.bindings(VHOST) == []


def test_volatile_auto_delete_exchanges_go_one_after_the_other(topology: Topology) -> None:
    for name in ("a", "b", "c"):
        done(topology, exchange(name, durable=False, auto=True))
    done(topology, queue("q"))
    done(topology, Bind(VHOST, binding("a", "b", to_exchange=True)))
    done(topology, Bind(VHOST, binding("b", "c", to_exchange=True)))
    done(topology, Bind(VHOST, binding("c", "q")))
    done(topology, DeleteQueue(VHOST, QueueName("q")))
    assert [row.spec.name for row in topology.exchanges(VHOST) if not row.spec.name.startswith("amq.")] == []


def test_a_logged_auto_delete_exchange_goes_by_a_follow_up_that_survives_a_crash(topology: Topology) -> None:
    for command in (exchange("x", auto=True), queue("q"), Bind(VHOST, binding("x", "q"))):
        done(topology, command)
    assert topology.unfinished() == []
    outcome = done(topology, DeleteQueue(VHOST, QueueName("q")))
    assert outcome.follow_ups != ()
    rows = [(key, value) for key, value in topology.rows_changed() if value is not None]
    restored = Topology.from_rows(rows)
    assert restored.unfinished() == list(outcome.follow_ups)
    (follow_up,) = outcome.follow_ups
    assert done(restored, follow_up).changed
    assert not done(restored, follow_up).changed
    done(restored, exchange("x", auto=True))
    assert not done(restored, follow_up).changed, "the next exchange of that name is another"


def test_a_logged_declaration_meets_a_volatile_one_before_it_is_proposed(topology: Topology) -> None:
    done(topology, queue("q", durable=False))
    done(topology, exchange("x", durable=False))
    assert topology.admit(queue("q")) == Refused(
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current is 'false'",
    )
    assert topology.admit(exchange("x")) == Refused(
        Refusal.PRECONDITION_FAILED,
        "inequivalent arg 'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'",
    )
    assert topology.admit(queue("q", durable=False)) is None, "a volatile one is answered by apply"


def test_a_logged_declaration_takes_the_name_from_a_volatile_one_that_slipped_in(topology: Topology) -> None:
    slipped_in = done(topology, queue("q", durable=False)).queue
    outcome = done(topology, queue("q"))
    assert slipped_in is not None
    assert outcome.queues_dropped == (slipped_in,)
    router = topology.router(VHOST)
    assert router is not None
    assert outcome.queue is not None
    assert router.route(b"", b"q") == (outcome.queue.queue_id,)
    assert topology.queue(slipped_in.queue_id) is None


def test_an_id_is_never_given_again(topology: Topology) -> None:
    def declared(command: DeclareQueue) -> QueueId:
        row = done(topology, command).queue
        assert row is not None
        return row.queue_id

    first = declared(queue("q"))
    done(topology, DeleteQueue(VHOST, QueueName("q")))
    rows = [(key, value) for key, value in topology.rows_changed() if value is not None]
    topology = Topology.from_rows(rows)
    second = declared(queue("q"))
    assert second > first
    chosen = QueueId(second + 10)
    spec = QueueSpec(QueueName("chosen"), durable=True)
    assert declared(DeclareQueue(VHOST, spec, ShardId(1), chosen)) == chosen
    late = DeclareQueue(VHOST, QueueSpec(QueueName("late"), durable=True), ShardId(1), first)
    assert declared(late) == chosen + 1, "another proposer had it"
    assert declared(queue("v", durable=False)) == VOLATILE_ID_FIRST
    assert declared(queue("w", durable=False)) == VOLATILE_ID_FIRST + 1


def test_an_exclusive_queue_is_its_sessions_own_and_volatile(topology: Topology) -> None:
    row = done(topology, queue("own", exclusive=True)).queue
    assert row is not None
    assert row.volatile
    assert topology.find_queue(VHOST, QueueName("own"), ME) == row
    refused = topology.find_queue(VHOST, QueueName("own"), OTHER)
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.RESOURCE_LOCKED
    assert topology.queues_of_session(ME) == [row]
    assert topology.queues_of_session(OTHER) == topology.queues_of_session(NO_SESSION) == []
    outcome = topology.apply(DeleteQueue(VHOST, QueueName("own"), session=OTHER), 0)
    assert isinstance(outcome, Refused)
    done(topology, DeleteQueue(VHOST, QueueName("own"), session=ME))
    assert topology.queues_of_session(ME) == []


def test_only_the_queue_that_is_meant_is_deleted(topology: Topology) -> None:
    row = done(topology, queue("q")).queue
    assert isinstance(row, QueueRow)
    assert done(topology, DeleteQueue(VHOST, QueueName("q"), QueueId(row.queue_id + 1))) == Applied(changed=False)
    assert done(topology, DeleteQueue(VHOST, QueueName("q"), row.queue_id)) == Applied(changed=True, queue=row)


def test_a_vhost_takes_all_that_is_in_it(topology: Topology) -> None:
    for command in (queue("q"), queue("v", durable=False), exchange("x"), Bind(VHOST, binding("x", "q"))):
        done(topology, command)
    outcome = done(topology, DeleteVhost(VHOST))
    assert [row.spec.name for row in outcome.queues_dropped] == ["q", "v"]
    assert [topology.queues(), topology.exchanges(VHOST), topology.bindings(VHOST), topology.vhosts()] == [[]] * 4
    assert topology.router(VHOST) is None
    left = [key[:1] for key, value in topology.rows_changed() if value is not None]
    assert left == [b"c", b"u"], "the counter and the user stay"


def test_a_passive_declaration_finds_what_is_there(topology: Topology) -> None:
    row = done(topology, queue("q")).queue
    assert topology.find_queue(VHOST, QueueName("q"), OTHER) == row
    assert topology.find_queue(VHOST, QueueName("n"), ME) == Refused(Refusal.NOT_FOUND, "no queue 'n' in vhost '/'")
    found = topology.find_exchange(VHOST, ExchangeName("amq.topic"))
    assert not isinstance(found, Refused)
    assert found.spec.type == "topic"
    missing = topology.find_exchange(VHOST, ExchangeName("n"))
    assert missing == Refused(Refusal.NOT_FOUND, "no exchange 'n' in vhost '/'")
    assert isinstance(topology.find_exchange(VHOST, ExchangeName("")), Refused)


def test_publishing_asks_for_the_right_then_the_exchange(topology: Topology) -> None:
    def refusal(exchange: str, principal: Principal = GUEST) -> Refused | None:
        return topology.admit_publish(principal, VHOST, ExchangeName(exchange))

    assert refusal("") is refusal("amq.direct") is None
    assert refusal("n") == Refused(Refusal.NOT_FOUND, "no exchange 'n' in vhost '/'")
    assert refusal("amq.rabbitmq.trace") == Refused(
        Refusal.ACCESS_REFUSED, "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'"
    )
    assert refusal("", Principal(UserName("nobody"))) == Refused(
        Refusal.ACCESS_REFUSED, "write access to exchange 'amq.default' in vhost '/' refused for user 'nobody'"
    )


def test_every_change_of_rights_changes_the_generation(topology: Topology) -> None:
    user, vhost = UserName("u"), VhostName("v")
    generations = [topology.rights_generation]
    for command in (
        CreateVhost(vhost),
        PutUser(user, None),
        PutPermission(user, vhost, "", "a", ".*"),
        PutPermission(user, vhost, "", "b", ".*"),
        DeletePermission(user, vhost),
        PutPermission(user, vhost, "", "b", ".*"),
        DeleteUser(user),
        exchange("x", durable=False),
        DeleteExchange(VHOST, ExchangeName("x")),
        DeleteVhost(vhost),
    ):
        done(topology, command)
        assert topology.rights_generation not in generations
        generations.append(topology.rights_generation)
    done(topology, queue("q", durable=False))
    assert topology.rights_generation == generations[-1], "a reply queue makes nobody ask again"


def test_a_vhost_opens_for_whom_it_has_a_permission(topology: Topology) -> None:
    assert topology.open_vhost(GUEST, VHOST) is None
    assert topology.open_vhost(GUEST, VhostName("v")) == Refused(Refusal.VHOST_NOT_FOUND, "vhost v not found")
    done(topology, PutUser(UserName("u"), None))
    assert topology.open_vhost(Principal(UserName("u")), VHOST) == Refused(
        Refusal.VHOST_ACCESS_REFUSED, "access to vhost '/' refused for user 'u'"
    )
    done(topology, PutPermission(UserName("u"), VHOST, "", "", ""))
    assert topology.open_vhost(Principal(UserName("u")), VHOST) is None


def test_a_command_needs_every_right_it_uses(topology: Topology) -> None:
    user = Principal(UserName("u"))
    done(topology, PutUser(user.user, None))
    done(topology, PutPermission(user.user, VHOST, configure="^mine", write="^(mine|dl)", read="^mine"))

    def refused(command: DeclareQueue | DeclareExchange | Bind) -> str | None:
        outcome = topology.authorize_command(user, command)
        return None if outcome is None else outcome.detail

    tail = "refused for user 'u'"
    assert refused(queue("mine.q", {"x-dead-letter-exchange": "dl"})) is None
    assert refused(queue("q")) == f"configure access to queue 'q' in vhost '/' {tail}"
    theirs = queue("mine.q", {"x-dead-letter-exchange": "theirs"})
    assert refused(theirs) == f"write access to exchange 'theirs' in vhost '/' {tail}"
    alternate = exchange("mine.x", arguments={"alternate-exchange": "theirs"})
    assert refused(alternate) == f"write access to exchange 'theirs' in vhost '/' {tail}"
    assert refused(Bind(VHOST, binding("dl", "mine.q"))) == f"read access to exchange 'dl' in vhost '/' {tail}"
    assert refused(Bind(VHOST, binding("mine.x", "q"))) == f"write access to queue 'q' in vhost '/' {tail}"
    assert topology.authorize(user, Action.READ, queue_resource(VHOST, "mine.q")) is None
    assert topology.authorize(user, Action.CONFIGURE, exchange_resource(VHOST, "dl")) is not None
    assert topology.authorize_any(user, exchange_resource(VHOST, "dl")) is None, "it may write"
    assert topology.authorize_any(user, exchange_resource(VHOST, "theirs")) == Refused(
        Refusal.ACCESS_REFUSED, f"configure access to exchange 'theirs' in vhost '/' {tail}"
    )


@pytest.mark.parametrize(
    "command",
    [
        *founding_commands(b"salt"),
        *(command for command, _, _ in REFUSALS),
        queue("q", {"t": Timestamp(5), "table": {"list": [1, 2.5, None, b"bytes", True]}}),
    ],
    ids=repr,
)
def test_a_command_travels(command: TopologyCommand) -> None:
    assert decode_command(encode_command(command)) == command


def test_a_command_or_row_of_another_version_is_refused(topology: Topology) -> None:
    data = encode_command(queue("q"))
    for bad in (b"", b"\x02" + data[1:], data[:-1], b"\x01\xc0"):
        with pytest.raises(ValueError, match=r"."):
            decode_command(bad)
    rows = [(key, value) for key, value in topology.rows_changed() if value is not None]
    key, value = rows[-1]
    for bad_row in ((key, b"\x02" + value[1:]), (b"?", value), (key + b"x", value)):
        with pytest.raises(ValueError, match="topology row"):
            Topology.from_rows([*rows[:-1], bad_row])
    orphans = [(key, value) for key, value in rows if key[:1] != b"v"]
    with pytest.raises(ValueError, match="names what is not there"):
        Topology.from_rows(orphans)


def test_a_row_says_when_it_was_made(topology: Topology) -> None:
    outcome: Outcome = topology.apply(queue("q"), 123)
    assert isinstance(outcome, Applied)
    assert outcome.queue is not None
    assert outcome.queue.created_ms == 123
