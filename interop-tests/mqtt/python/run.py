"""``run.py CLIENT LEVEL BEHAVIOUR URL``: a stock Python client shows one behaviour in a protocol level, or fails."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from urllib.parse import urlsplit

from device import Address, Broker

FOLDERS = ("any_version", "version_5")


def main() -> None:
    client, level, behaviour, url = sys.argv[1:]
    parts = urlsplit(url)
    assert parts.hostname, url
    address = Address(parts.hostname, parts.port or 1883, parts.username or "", parts.password or "", int(level))
    (folder,) = (folder for folder in FOLDERS if importlib.util.find_spec(f"{folder}.{behaviour}"))
    broker = Broker(importlib.import_module(f"on_{client}").CLIENT, address)
    sys.excepthook = fail
    importlib.import_module(f"{folder}.{behaviour}").run(broker)
    broker.close()
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
