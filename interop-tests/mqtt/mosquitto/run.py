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
    shown = False
    try:
        importlib.import_module(f"{folder}.{behaviour}").run(Broker(url, level))
        shown = True
    except Exception as error:  # noqa: BLE001: told with what was compared
        print("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    for process in STARTED:
        process.kill()
    print("shown" if shown else "failed", flush=True)
    os._exit(not shown)  # its threads are not waited for


if __name__ == "__main__":
    main()
