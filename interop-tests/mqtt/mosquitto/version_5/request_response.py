"""mosquitto_rr asks and is answered."""

from __future__ import annotations

import subprocess

from programs import WAIT_S, Broker, fresh


def run(broker: Broker) -> None:
    topic = fresh("service")
    responder = broker.subscribe("-t", topic, "-q", "1", form="%R|%D|%p")
    command = broker.command("mosquitto_rr", "-t", topic, "-e", f"{topic}/answer", "-m", "question", "-q", "1",
                             "-D", "publish", "correlation-data", "77")  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        answer_topic, correlation, question = responder.next().split("|")
        assert (answer_topic, correlation, question) == (f"{topic}/answer", "77", "question")
        broker.publish(answer_topic, "-m", "answer", "-q", "1", "-D", "publish", "correlation-data", correlation)
        assert asking.communicate(timeout=WAIT_S)[0] == "answer\n"
    assert asking.returncode == 0
    responder.stop()
