"""``run.py AMQP_URL LEVEL BEHAVIOUR MQTT_URL``: one behaviour between an AMQP and an MQTT client, or fails."""

from __future__ import annotations

import importlib
import os
import sys
import traceback

from bridge import AmqpEnd, MqttEnd


def main() -> None:
    amqp_url, level, behaviour, mqtt_url = sys.argv[1:]
    sys.excepthook = fail
    importlib.import_module(behaviour).run(AmqpEnd(amqp_url), MqttEnd(mqtt_url, int(level)))
    end(0)


def fail(_: type[BaseException], error: BaseException, __: object) -> None:
    """Told with what was compared."""
    print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    end(1)


def end(code: int) -> None:
    """A client's threads are not waited for."""
    print("failed" if code else "shown", flush=True)
    os._exit(code)


if __name__ == "__main__":
    main()
