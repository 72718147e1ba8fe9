#!/bin/sh
# Locks the Python packages with their hashes: requirements/*.txt.  Needs uv (pip install uv).
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "dragoman: uv is missing: pip install uv" >&2; exit 1; }
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile() { uv pip compile -q --universal --python-version 3.11 --generate-hashes "$@"; }
compile pyproject.toml --extra build --extra demo -o requirements/runtime.txt
compile pyproject.toml --extra build --extra demo --extra test -c requirements/runtime.txt -o requirements/test.txt
compile requirements/interop.in -o requirements/interop.txt
compile requirements/interop_amqtt.in -o requirements/interop_amqtt.txt
