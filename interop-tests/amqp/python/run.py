"""``run.py on_pika|on_aio_pika BEHAVIOUR URL``: a stock Python client shows one behaviour, or fails."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys


def main() -> None:
    client, behaviour, url = sys.argv[1:]
    shown = importlib.import_module(f"{client}.{behaviour}").run(url)
    if inspect.iscoroutine(shown):
        asyncio.run(shown)
    print("shown")


if __name__ == "__main__":
    main()
