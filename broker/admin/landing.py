"""The page at ``/``: what this is, and how to connect."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dragoman</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<h1>Dragoman</h1>
<p>A message broker, version {version}: one model of messages, one routing and one log under the protocols that its
clients speak. What is published in one can be consumed in any other.</p>
<h2>Look</h2>
<ul>
{links}
</ul>
<h2>Connect</h2>
<table>
<thead><tr><th>Protocol</th><th>Where</th></tr></thead>
<tbody>
{doors}
</tbody>
</table>
<h2>Connect by WebSocket</h2>
{websocket}
</body>
</html>
"""
TABLE = """\
<table>
<thead><tr><th>Protocol</th><th>Path</th><th>Subprotocol</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>At <code>/ws</code> any of these subprotocols does; without one, the first bytes tell what is spoken.</p>"""


class WebSocketDoor(msgspec.Struct, frozen=True):
    """A protocol that is spoken over WebSocket."""

    name: str
    path: str
    tokens: tuple[str, ...]


def landing_page(
    version: str, doors: Sequence[tuple[str, str]], websocket: Sequence[WebSocketDoor], *, demo: bool
) -> bytes:
    """``doors``: what is spoken, and where; ``demo``: there is one to be linked."""
    links = [("/health/ready", "whether it serves"), ("/metrics", "its figures, for Prometheus")]
    links += [("/metrics/per-object", "the figures of each queue")]
    links += [("/demo/", "a demonstration")] if demo else []
    rows = "\n".join(
        f"<tr><td>{escape(door.name)}</td><td><code>{escape(door.path)}</code></td>"
        f"<td>{', '.join(f'<code>{escape(token)}</code>' for token in door.tokens)}</td></tr>"
        for door in websocket
    )
    page = PAGE.format(
        version=escape(version),
        links="\n".join(f'<li><a href="{path}">{path}</a>: {text}</li>' for path, text in links),
        doors="\n".join(
            f"<tr><td>{escape(name)}</td><td><code>{escape(place)}</code></td></tr>" for name, place in doors
        ),
        websocket=TABLE.format(rows=rows) if websocket else "<p>Nothing is spoken over WebSocket here.</p>",
    )
    return page.encode()
