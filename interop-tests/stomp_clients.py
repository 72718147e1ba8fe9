"""The STOMP clients that show behaviours, and which ones each can't or other brokers don't."""

from __future__ import annotations

import shutil
from pathlib import Path

from clients import PYTHON, REMEDY, ROOT, Client

STOMP = ROOT / "interop-tests" / "stomp"
NODE_MODULE = STOMP / "node" / "node_modules" / "@stomp" / "stompjs" / "package.json"
RUBY = Path("/usr/lib/ruby/vendor_ruby/stomp.rb")
PERL = Path("/usr/share/perl5/Net/Stomp.pm")
WEBSOCKET = "-websocket"
"""What the names of clients that come by WebSocket end with."""

# Others are on record as failing these; what RabbitMQ 3.10.8 does is said.
OURS_ONLY = {
    "errors_end": "names no receipt, and does not always hang up",
    "receipts": "answers a persistent SEND after what came after it",
    "send_transactional": "answers a SEND in a transaction after its COMMIT",
}
OURS_ONLY_BY_WEBSOCKET = {"errors": "hangs up without an ERROR"}


def why_ours_only(client: str, behaviour: str) -> str | None:
    """What another broker is known to do instead; None where it is held to it too."""
    by_websocket = OURS_ONLY_BY_WEBSOCKET.get(behaviour) if client.endswith(WEBSOCKET) else None
    return OURS_ONLY.get(behaviour) or by_websocket


def python_client(version: str) -> Client:
    patterns = ("any_version/*.py",) if version == "1.0" else ("any_version/*.py", "version_1_1/*.py")
    return Client(
        f"stomp.py-{version}", (str(PYTHON), "run.py", version), STOMP / "python", patterns, PYTHON, "run make interop"
    )


def node_client(name: str, version: str, by: str = "") -> Client:
    command = ("node", "run.js", name, version)
    remedy = f"apt-get install nodejs npm, {REMEDY}"
    return Client(f"{name}-{version}{by}", command, STOMP / "node", ("behaviours/*.js",), NODE_MODULE, remedy)


def ruby_client(version: str) -> Client:
    # The gem of Debian is older than what its Ruby warns of.
    command = (shutil.which("ruby") or "ruby", "-W0", "run.rb", version)
    remedy = "apt-get install ruby ruby-stomp"
    return Client(f"ruby-stomp-{version}", command, STOMP / "ruby", ("behaviours/*.rb",), RUBY, remedy)


def perl_client(version: str) -> Client:
    command = ("perl", "run.pl", version)
    remedy = "apt-get install libnet-stomp-perl"
    return Client(f"Net::Stomp-{version}", command, STOMP / "perl", ("behaviours/*.pl",), PERL, remedy)


VERSIONS = ("1.0", "1.1", "1.2")
STOMP_CLIENTS = (
    *(python_client(version) for version in VERSIONS),
    *(node_client("stompjs", version) for version in VERSIONS),
    *(node_client("stompjs", version, WEBSOCKET) for version in VERSIONS),
    *(node_client("stompit", version) for version in VERSIONS),
    *(ruby_client(version) for version in VERSIONS),
    *(perl_client(version) for version in VERSIONS),
)
