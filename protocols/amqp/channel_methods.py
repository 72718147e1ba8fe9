"""What each method does on an open channel: one entry in a table per method.

A handler turns a method into a command and says how the reply is answered; with no-wait set nothing is said, though a
refusal still closes the channel.  Names are checked here, at the border: see ``broker.model.names``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import kernel
from broker.model import commands, replies
from broker.model.commands import Command
from broker.model.names import CONTROL_CHARACTER, ConsumerTag, ExchangeName, QueueName, RoutingKey
from broker.model.topology import Arguments, BindingSpec, ExchangeSpec, QueueSpec
from protocols.adapter import Output
from protocols.amqp.channel import Answer, Channel, ChannelState
from protocols.amqp.confirms import Confirms
from protocols.amqp.method_codec import decode_method, encode_method
from protocols.amqp.methods import (
    METHOD_IDS,
    METHOD_NAMES,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetEmpty,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverAsync,
    BasicRecoverOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlow,
    ChannelFlowOk,
    ChannelOpen,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeBindOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    ExchangeDelete,
    ExchangeDeleteOk,
    ExchangeUnbind,
    ExchangeUnbindOk,
    Method,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
    TxCommit,
    TxRollback,
    TxSelect,
)
from protocols.amqp.reply_codes import ReplyCode
from protocols.amqp.violation import ProtocolViolation

NAME_ARGUMENTS = ("x-dead-letter-exchange", "x-dead-letter-routing-key", "alternate-exchange")
"""Arguments whose value becomes a name."""

Handler: TypeAlias = Callable[[Channel, Any], None]


def receive_method(channel: Channel, frame: kernel.Method) -> None:
    """One method on a channel that is there, in whatever state.  Raises ProtocolViolation."""
    number = (frame.class_id, frame.method_id)
    if channel.state is ChannelState.CLOSING and number not in (_CLOSE_ID, _CLOSE_OK_ID):
        return
    if channel.holding:
        channel.hold(frame)
        return
    method = decode_method(frame.class_id, frame.method_id, frame.arguments)
    handler = CHANNEL_METHODS.get((channel.state, type(method)))
    if handler is not None:
        if channel.naming and _uses_last_queue(method):
            channel.hold(frame)
        else:
            handler(channel, method)
        return
    channel.refuse_late(number)
    refusal = REFUSED_METHODS.get(type(method))
    code, detail = refusal or (ReplyCode.COMMAND_INVALID, f"unexpected method '{METHOD_NAMES[type(method)]}'")
    raise ProtocolViolation(code, detail, *number)


_CLOSE_ID = METHOD_IDS[ChannelClose]
_CLOSE_OK_ID = METHOD_IDS[ChannelCloseOk]


# Names.


def _checked(name: str, what: str) -> str:
    if CONTROL_CHARACTER.search(name):
        raise ProtocolViolation(ReplyCode.PRECONDITION_FAILED, f"{what} '{name}' holds a control character")
    return name


def _exchange(name: str) -> ExchangeName:
    return ExchangeName(_checked(name, "exchange name"))


def _routing_key(key: str) -> RoutingKey:
    return RoutingKey(_checked(key, "routing key"))


def _checked_arguments(arguments: Arguments) -> Arguments:
    for argument in NAME_ARGUMENTS:
        value = arguments.get(argument)
        if isinstance(value, str):
            _checked(value, f"argument '{argument}'")
    return arguments


def _uses_last_queue(method: Method) -> bool:
    if isinstance(method, QueueDeclare):
        return method.passive and not method.queue
    return not getattr(method, "queue", "named")


def _queue(channel: Channel, name: str) -> QueueName:
    """The queue that a method names; an empty name is the channel's last declared one."""
    if name:
        return QueueName(_checked(name, "queue name"))
    if channel.last_queue is None:
        raise ProtocolViolation(ReplyCode.NOT_FOUND, "no previously declared queue")
    return channel.last_queue


# Answers.


def _silence(reply: Any) -> None:
    return None


def _with(channel: Channel, method: Method) -> Answer:
    """The same answer whatever the reply says."""

    def answer(reply: Any) -> Output:
        return encode_method(channel.number, method)

    return answer


def _ask(channel: Channel, command: Command, method: Method, answer: Answer) -> None:
    """Asks the core; a method with no-wait set gets no answer."""
    silent = getattr(method, "no_wait", False)
    channel.ask(command, type(method), _silence if silent else answer)


# Channels.


def _flow(channel: Channel, method: ChannelFlow) -> None:
    if not method.active:
        raise ProtocolViolation(ReplyCode.NOT_IMPLEMENTED, "active=false")
    channel.answer_now(ChannelFlow, ChannelFlowOk(active=True))


def _close(channel: Channel, method: ChannelClose) -> None:
    channel.finish()


def _close_again(channel: Channel, method: ChannelClose) -> None:
    """Both sides said channel.close at once: the client waits for close-ok as we do."""
    channel.outbox.send(channel.number, ChannelCloseOk())


def _closed(channel: Channel, method: ChannelCloseOk) -> None:
    channel.state = ChannelState.CLOSED


def _open_again(channel: Channel, method: ChannelOpen) -> None:
    raise ProtocolViolation(ReplyCode.CHANNEL_ERROR, "second 'channel.open' seen")


# Exchanges.


def _declare_exchange(channel: Channel, method: ExchangeDeclare) -> None:
    spec = ExchangeSpec(
        name=_exchange(method.exchange),
        type=method.type,
        durable=method.durable,
        auto_delete=method.auto_delete,
        internal=method.internal,
        arguments=_checked_arguments(method.arguments),
    )
    command = commands.DeclareExchange(channel.number, spec, method.passive)
    _ask(channel, command, method, _with(channel, ExchangeDeclareOk()))


def _delete_exchange(channel: Channel, method: ExchangeDelete) -> None:
    command = commands.DeleteExchange(channel.number, _exchange(method.exchange), method.if_unused)
    _ask(channel, command, method, _with(channel, ExchangeDeleteOk()))


def _exchange_binding(method: ExchangeBind | ExchangeUnbind) -> BindingSpec:
    return BindingSpec(
        source=_exchange(method.source),
        destination=_exchange(method.destination),
        routing_key=_routing_key(method.routing_key),
        to_exchange=True,
        arguments=method.arguments,
    )


def _bind_exchange(channel: Channel, method: ExchangeBind) -> None:
    command = commands.Bind(channel.number, _exchange_binding(method))
    _ask(channel, command, method, _with(channel, ExchangeBindOk()))


def _unbind_exchange(channel: Channel, method: ExchangeUnbind) -> None:
    command = commands.Unbind(channel.number, _exchange_binding(method))
    _ask(channel, command, method, _with(channel, ExchangeUnbindOk()))


# Queues.


def _declare_queue(channel: Channel, method: QueueDeclare) -> None:
    unnamed = not method.queue and not method.passive
    name = QueueName("") if unnamed else _queue(channel, method.queue)
    spec = QueueSpec(
        name=name,
        durable=method.durable,
        exclusive=method.exclusive,
        auto_delete=method.auto_delete,
        arguments=_checked_arguments(method.arguments),
    )
    receive_name: Callable[[QueueName], None] | None = None
    if unnamed:
        receive_name = channel.declare_unnamed()
    else:
        channel.declare_named(name)

    def answer(reply: replies.QueueDeclared) -> Output | None:
        if receive_name is not None:
            receive_name(reply.name)
        if method.no_wait:
            return None
        declared = QueueDeclareOk(reply.name, reply.message_count, reply.consumer_count)
        return encode_method(channel.number, declared)

    channel.ask(commands.DeclareQueue(channel.number, spec, method.passive), QueueDeclare, answer)


def _queue_binding(channel: Channel, method: QueueBind | QueueUnbind) -> BindingSpec:
    """With neither a queue nor a key the key is the queue's name too (AMQP 0-9-1 1.7.2.3)."""
    queue = _queue(channel, method.queue)
    key = method.routing_key if method.queue or method.routing_key else queue
    return BindingSpec(
        source=_exchange(method.exchange),
        destination=queue,
        routing_key=_routing_key(key),
        arguments=method.arguments,
    )


def _bind_queue(channel: Channel, method: QueueBind) -> None:
    command = commands.Bind(channel.number, _queue_binding(channel, method))
    _ask(channel, command, method, _with(channel, QueueBindOk()))


def _unbind_queue(channel: Channel, method: QueueUnbind) -> None:
    command = commands.Unbind(channel.number, _queue_binding(channel, method))
    _ask(channel, command, method, _with(channel, QueueUnbindOk()))


def _purge_queue(channel: Channel, method: QueuePurge) -> None:
    def answer(reply: replies.QueuePurged) -> Output:
        return encode_method(channel.number, QueuePurgeOk(reply.message_count))

    _ask(channel, commands.PurgeQueue(channel.number, _queue(channel, method.queue)), method, answer)


def _delete_queue(channel: Channel, method: QueueDelete) -> None:
    def answer(reply: replies.QueueDeleted) -> Output:
        return encode_method(channel.number, QueueDeleteOk(reply.message_count))

    queue = _queue(channel, method.queue)
    command = commands.DeleteQueue(channel.number, queue, method.if_unused, method.if_empty)
    _ask(channel, command, method, answer)


# Consumers.


def _qos(channel: Channel, method: BasicQos) -> None:
    """``global`` as RabbitMQ reads it: false is for each consumer to come, true for all of the channel together."""
    if method.prefetch_size:
        raise ProtocolViolation(ReplyCode.NOT_IMPLEMENTED, f"prefetch_size!=0 ({method.prefetch_size})")
    credit = method.prefetch_count or None
    if method.global_:
        channel.tell(commands.SetChannelCredit(channel.number, credit))
    else:
        channel.prefetch_count = credit
    channel.answer_now(BasicQos, BasicQosOk())


def _consume(channel: Channel, method: BasicConsume) -> None:
    def answer(reply: replies.ConsumerStarted) -> Output:
        return encode_method(channel.number, BasicConsumeOk(reply.consumer_tag))

    command = commands.Consume(
        channel=channel.number,
        consumer_tag=ConsumerTag(_checked(method.consumer_tag, "consumer tag")),
        queue=_queue(channel, method.queue),
        no_ack=method.no_ack,
        exclusive=method.exclusive,
        no_local=method.no_local,
        credit=None if method.no_ack else channel.prefetch_count,
        arguments=method.arguments,
    )
    _ask(channel, command, method, answer)


def _cancel(channel: Channel, method: BasicCancel) -> None:
    tag = ConsumerTag(_checked(method.consumer_tag, "consumer tag"))
    _ask(channel, commands.Cancel(channel.number, tag), method, _with(channel, BasicCancelOk(tag)))


def _cancelled(channel: Channel, method: BasicCancelOk) -> None:
    """The client saw that its consumer is gone; our cancel asked for no answer, and some give it."""


def _get(channel: Channel, method: BasicGet) -> None:
    def answer(reply: replies.Got | replies.GotNothing) -> Output:
        if isinstance(reply, replies.GotNothing):
            return encode_method(channel.number, BasicGetEmpty())
        frame_size_max = channel.outbox.frame_size_max
        return kernel.encode_get_ok(reply.deliveries, channel.number, reply.tag, reply.message_count, frame_size_max)

    channel.ask(commands.Get(channel.number, _queue(channel, method.queue), method.no_ack), BasicGet, answer)


def _recover(channel: Channel, method: BasicRecover | BasicRecoverAsync) -> None:
    if not method.requeue:
        raise ProtocolViolation(ReplyCode.NOT_IMPLEMENTED, "requeue=false")
    asynchronous = isinstance(method, BasicRecoverAsync)
    answer = _silence if asynchronous else _with(channel, BasicRecoverOk())
    channel.ask(commands.Recover(channel.number), type(method), answer)


def _select_confirms(channel: Channel, method: ConfirmSelect) -> None:
    if channel.confirms is None:
        channel.confirms = Confirms(channel.number)
    if not method.no_wait:
        channel.answer_now(ConfirmSelect, ConfirmSelectOk())


_OPEN_METHODS: dict[type[Method], Handler] = {
    ChannelOpen: _open_again,
    ChannelFlow: _flow,
    ChannelClose: _close,
    ExchangeDeclare: _declare_exchange,
    ExchangeDelete: _delete_exchange,
    ExchangeBind: _bind_exchange,
    ExchangeUnbind: _unbind_exchange,
    QueueDeclare: _declare_queue,
    QueueBind: _bind_queue,
    QueueUnbind: _unbind_queue,
    QueuePurge: _purge_queue,
    QueueDelete: _delete_queue,
    BasicQos: _qos,
    BasicConsume: _consume,
    BasicCancel: _cancel,
    BasicCancelOk: _cancelled,
    BasicGet: _get,
    BasicRecover: _recover,
    BasicRecoverAsync: _recover,
    ConfirmSelect: _select_confirms,
}

CHANNEL_METHODS: dict[tuple[ChannelState, type[Method]], Handler] = {
    **{(ChannelState.OPEN, method): handler for method, handler in _OPEN_METHODS.items()},
    (ChannelState.CLOSING, ChannelClose): _close_again,
    (ChannelState.CLOSING, ChannelCloseOk): _closed,
}
"""What a method does in a state.  What is not here is discarded while CLOSING, 504 while FINISHING, and on an open
channel what ``REFUSED_METHODS`` says of it, else 503."""

REFUSED_METHODS: dict[type[Method], tuple[ReplyCode, str]] = {
    method: (ReplyCode.NOT_IMPLEMENTED, f"{METHOD_NAMES[method]} is not supported")
    for method in (TxSelect, TxCommit, TxRollback)
}
"""Methods that are known and not served."""
