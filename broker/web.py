"""What an HTTP listener speaks, put together: HTTP, the pages, and other protocols over WebSocket."""

from __future__ import annotations

from functools import partial

from broker.admin import health
from broker.admin.cluster_api import add_cluster_routes
from broker.admin.landing import WebSocketDoor, landing_page
from broker.admin.metrics import Sources, kept, node_metrics, queue_metrics
from broker.admin.router import Router
from broker.admin.static_files import INDEX, PAGES, TYPES, StaticFiles, read_folder
from broker.cli.arguments import VERSION
from broker.config import Config
from broker.config.schema import HttpListener
from broker.server.connection import Opened, Peer
from broker.server.listener import Protocol
from broker.server.serve import monotonic, now_ms
from kernel import WebDecoder
from protocols.adapter import Adapter
from protocols.http.connection import HttpAdapter
from protocols.http.message import Handler, Request, Response, refusal
from protocols.http.settings import HttpSettings
from protocols.websocket.connection import WebSocketAdapter
from protocols.websocket.handshake import NotAccepted, shake_hands
from protocols.websocket.inner import PATHS, TOKENS, InnerProtocol, Protocols, UpgradeRequest
from protocols.websocket.settings import WebSocketSettings

HEAD_ROOM = 64 << 10
"""A WebSocket message may be so much larger than the broker's largest message: the inner protocol's own limit is to
answer first."""


def http_protocol(listener: HttpListener, config: Config, known: Protocols | None, handler: Handler) -> Protocol:
    """``known``: what can be spoken over WebSocket, None: nothing; ``handler`` answers what isn't an upgrade."""
    spoken: dict[str, InnerProtocol] = {}
    if known is not None:
        spoken = {name: known[name] for name in listener.websocket_protocols}
    websocket_settings = WebSocketSettings(
        origins=frozenset(listener.allowed_origins),
        message_size_max=config.broker.performance.max_message_size + HEAD_ROOM,
        ping_interval_s=listener.ping_interval,
        first_bytes_timeout_s=config.broker.limits.handshake_timeout,
    )
    http_settings = HttpSettings(
        body_size_max=listener.max_body_size,
        head_timeout_s=config.broker.limits.handshake_timeout,
        idle_timeout_s=listener.idle_timeout,
    )

    def open_http(peer: Peer, now: float) -> Opened:
        decoder = WebDecoder()

        def upgrade(request: Request, leftover: bytes, now: float) -> Adapter | Response:
            answer = shake_hands(request.method, request.path, request.headers, spoken, websocket_settings)
            if isinstance(answer, NotAccepted):
                return refusal(answer.status, answer.detail, answer.headers)
            authorization = request.headers.get("authorization")
            asked = UpgradeRequest(request.path, answer.token, authorization, request.peer, request.loopback)
            return WebSocketAdapter(decoder, answer, asked, leftover, spoken, websocket_settings, now)

        adapter = HttpAdapter(
            decoder, handler, upgrade, http_settings, now_ms, peer=peer.address, loopback=peer.loopback, now=now
        )
        return Opened(adapter, decoder)

    return open_http


def site(listener: HttpListener, config: Config, why_not_ready: health.WhyNot, sources: Sources) -> Router:
    """Everything that is not WebSocket.  OSError: the pages can't be read."""
    files = read_folder(PAGES)
    doors = [(each.protocol, f"{each.host}:{each.port}") for each in config.broker.listeners]
    spoken = listener.websocket_protocols
    websocket = [
        WebSocketDoor(name, path, tuple(token for token, of in TOKENS.items() if of == name))
        for path, name in PATHS.items()
        if name in spoken
    ]
    landing = partial(landing_page, VERSION, doors, websocket, demo=f"demo/{INDEX}" in files)
    files[INDEX] = landing()
    router = Router(StaticFiles(files))
    door = sources.cluster
    if door is not None:
        figures = door.figures
        page = kept(lambda: landing(cluster=figures()), monotonic, TYPES[".html"])
        for path in ("/", f"/{INDEX}"):
            router.add("GET", path, page)
    router.add("GET", "/health/live", health.live)
    router.add("GET", "/health/ready", health.ready(why_not_ready))
    router.add("GET", "/metrics", kept(partial(node_metrics, sources), monotonic))
    router.add("GET", "/metrics/per-object", kept(partial(queue_metrics, sources), monotonic))
    add_cluster_routes(router, sources.broker.back, door)
    return router
