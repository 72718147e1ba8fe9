"""``run.py VERSION BEHAVIOUR URL``: stomp.py shows one behaviour in a protocol version, or fails."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback

from client import Broker

FOLDERS = ("any_version", "version_1_1")


def main() -> None:
    version, behaviour, url = sys.argv[1:]
    (folder,) = (folder for folder in FOLDERS if importlib.util.find_spec(f"{folder}.{behaviour}"))
    sys.excepthook = fail
    importlib.import_module(f"{folder}.{behaviour}").run(Broker(url, version))
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
