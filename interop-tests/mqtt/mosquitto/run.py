"""``run.py LEVEL BEHAVIOUR URL``: Mosquitto's programs show one behaviour in a protocol level, or fail."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback

from programs import STARTED, Broker

FOLDERS = ("any_version", "version_5")


def main() -> None:
    level, behaviour, url = sys.argv[1:]
    (folder,) = (folder for folder in FOLDERS if importlib.util.find_spec(f"{folder}.{behaviour}"))
    sys.excepthook = fail
    importlib.import_module(f"{folder}.{behaviour}").run(Broker(url, level))
    end(0)


def fail(_: type[BaseException], error: BaseException, __: object) -> None:
    """Told with what was compared."""
    print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    end(1)


def end(code: int) -> None:
    """A client's threads are not waited for."""
    for process in STARTED:
        process.kill()
    print("failed" if code else "shown", flush=True)
    os._exit(code)


if __name__ == "__main__":
    main()
