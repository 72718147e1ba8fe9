"""The page at ``/``: what this is, and how to connect."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from broker.model.cluster_figures import ClusterFigures

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
{cluster}<h2>Connect</h2>
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


CLUSTER = """\
<h2>Cluster {name}</h2>
<p>{up} of {node_count} nodes are up, {served} of {shard_count} shards are served. <code>dragoman cluster status</code>
tells more.</p>
<table>
<thead><tr><th>Node</th><th>Address for nodes</th><th>Zone</th><th>State</th><th>Leads</th><th>Holds</th></tr></thead>
<tbody>
{nodes}
</tbody>
</table>
"""


class WebSocketDoor(msgspec.Struct, frozen=True):
    """A protocol that is spoken over WebSocket."""

    name: str
    path: str
    tokens: tuple[str, ...]


def landing_page(
    version: str,
    doors: Sequence[tuple[str, str]],
    websocket: Sequence[WebSocketDoor],
    *,
    demo: bool,
    cluster: ClusterFigures | None = None,
) -> bytes:
    """``doors``: what is spoken, and where; ``demo``: there is one to be linked; ``cluster``: None of a node alone."""
    links = [("/health/ready", "whether it serves"), ("/metrics", "its figures, for Prometheus")]
    links += [("/metrics/per-object", "the figures of each queue")]
    links += [("/api/cluster", "the cluster, for administrators and programs")] if cluster is not None else []
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
        cluster="" if cluster is None else cluster_section(cluster),
        websocket=TABLE.format(rows=rows) if websocket else "<p>Nothing is spoken over WebSocket here.</p>",
    )
    return page.encode()


def cluster_section(cluster: ClusterFigures) -> str:
    """Who belongs, as this node sees it."""
    rows = []
    for node in cluster.nodes:
        leads = sum(shard.leader == node.peer for shard in cluster.shards)
        holds = sum(node.peer in shard.voters for shard in cluster.shards)
        up = "this node" if node.peer == cluster.node else "up" if node.up else "down"
        cells = (node.name, node.address, node.zone, f"{node.state}, {up}", str(leads), str(holds))
        rows.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    return CLUSTER.format(
        name=escape(cluster.name),
        up=sum(node.up for node in cluster.nodes),
        node_count=len(cluster.nodes),
        served=sum(bool(shard.leader) for shard in cluster.shards),
        shard_count=len(cluster.shards),
        nodes="\n".join(rows),
    )
