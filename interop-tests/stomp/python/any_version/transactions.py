"""What is sent and settled in a transaction happens at COMMIT, and never after ABORT or a lost connection."""

from __future__ import annotations

from client import Broker, fresh


def run(broker: Broker) -> None:
    source, target = f"/queue/{fresh('source')}", f"/queue/{fresh('target')}"
    worker, watcher = broker.connect(), broker.connect()
    watcher.subscribe(target)
    for number in (1, 2):
        watcher.send_surely(source, b"%d" % number)
    worker.subscribe(source, "client", prefetch_count="1")

    task = worker.next_message()
    aborted = worker.stomp.begin()
    worker.send(target, b"aborted", transaction=aborted)
    worker.stomp.abort(aborted, receipt="aborted")
    assert worker.next_receipt() == "aborted"

    committed = worker.stomp.begin()
    for number in range(3):
        worker.send(target, b"%d" % number, transaction=committed)
    worker.settle(task, transaction=committed)
    worker.send_surely(target, b"outside")
    assert watcher.next_message().body == b"outside"
    worker.stomp.commit(committed, receipt="committed")
    assert worker.next_receipt() == "committed"
    assert watcher.take(3) == [b"0", b"1", b"2"]

    task = worker.next_message()
    assert task.body == b"2"
    lost = worker.stomp.begin()
    worker.send(target, b"lost", transaction=lost)
    worker.settle(task, transaction=lost, receipt="noted")
    assert worker.next_receipt() == "noted"
    worker.hang_up()
    watcher.assert_nothing_left(target)
    heir = broker.connect()
    heir.subscribe(source, "client")
    again = heir.next_message()
    assert (again.body, again.redelivered) == (b"2", True)
    heir.settle(again)
    heir.disconnect()
    watcher.disconnect()
