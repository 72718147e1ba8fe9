"""Routes, static files, health and the metrics' text."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest

from broker.admin import health
from broker.admin.exposition import Exposition, label_value
from broker.admin.landing import WebSocketDoor, landing_page
from broker.admin.metrics import kept
from broker.admin.router import Router
from broker.admin.static_files import StaticFiles, read_folder
from broker.model.cluster_figures import ClusterFigures, NodeFigures, ShardFigures
from kernel import Histogram
from protocols.http.message import Request, Response

FILES = StaticFiles({"index.html": b"<p>", "demo/index.html": b"demo", "a.js": b"1", "x.bin": b"\0"})


def request(path: str = "/", method: str = "GET", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    segments = tuple(segment.replace("%2f", "/") for segment in path[1:].split("/"))
    return Request(method, path, segments, "", named, b"", "127.0.0.1", True)


def shown(request: Request) -> Response:
    return Response(body=repr(dict(request.parameters)).encode())


ROUTER = Router(FILES)
ROUTER.add("GET", "/q", shown)
ROUTER.add("GET", "/q/{vhost}/{name}", shown)
ROUTER.add("DELETE", "/q/{vhost}/{name}", shown)


@pytest.mark.parametrize(
    ("asked", "status", "body"),
    [
        (request("/q"), 200, b"{}"),
        (request("/q/a/b%2fc"), 200, b"{'vhost': 'a', 'name': 'b/c'}"),
        (request("/q/a/b", "DELETE"), 200, b"{'vhost': 'a', 'name': 'b'}"),
        (request("/q/a/b", "HEAD"), 200, b"{'vhost': 'a', 'name': 'b'}"),
        (request("/q/a/b", "PUT"), 405, b"405 Method Not Allowed: not with this method\n"),
        (request("/q/a"), 404, b"404 Not Found: there is nothing here\n"),
        (request("/"), 200, b"<p>"),
        (request("/demo/"), 200, b"demo"),
        (request("/demo"), 308, b""),
        (request("/a.js", "POST"), 405, b"405 Method Not Allowed: not with this method\n"),
        (request("/../etc/passwd"), 400, b"400 Bad Request: a path that leads elsewhere than it says\n"),
        (request("/demo/./x"), 400, b"400 Bad Request: a path that leads elsewhere than it says\n"),
        (request("/demo%2findex.html"), 400, b"400 Bad Request: a path that leads elsewhere than it says\n"),
        (request("/demo%5Cx"), 400, b"400 Bad Request: a path that leads elsewhere than it says\n"),
    ],
)
def test_a_request_finds_its_handler(asked: Request, status: int, body: bytes) -> None:
    response = ROUTER(asked)
    assert (response.status, response.body) == (status, body)
    if status == 405:
        assert "GET" in response.headers["Allow"]


def test_a_file_has_its_type_and_is_not_sent_twice() -> None:
    response = FILES(request("/a.js"))
    assert response.content_type == "text/javascript; charset=utf-8"
    assert FILES(request("/x.bin")).content_type == "application/octet-stream"
    etag = response.headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = FILES(request("/a.js", if_none_match=known))
        assert (again.status, again.body, again.headers["ETag"]) == (HTTPStatus.NOT_MODIFIED, b"", etag)
    assert FILES(request("/a.js", if_none_match='"other"')).status == HTTPStatus.OK


def test_hidden_files_and_links_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_bytes(b"a")
    (tmp_path / ".secret").write_bytes(b"s")
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert read_folder(tmp_path) == {"sub/a.txt": b"a"}


def test_ready_says_why_not() -> None:
    reason: list[str | None] = [None]
    ready = health.ready(lambda: reason[0])
    assert (ready(request()).status, ready(request()).body) == (HTTPStatus.OK, b'{"status":"ok"}\n')
    reason[0] = "low on disk"
    response = ready(request())
    assert response.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert response.body == b'{"status":"unavailable","reason":"low on disk"}\n'
    assert health.live(request()).status == HTTPStatus.OK


def test_figures_are_written_as_prometheus_reads_them() -> None:
    histogram = Histogram()
    for value in (40, 60, 2_000, 9_000_000):
        histogram.record(value)
    out = Exposition()
    out.counter("a_total", "All.", [({"name": 'x"\n\\'}, 1), ({}, 2)])
    out.histogram("t_seconds", "Times.", histogram)
    lines = out.encode().decode().splitlines()
    assert lines[:4] == ["# HELP a_total All.", "# TYPE a_total counter", 'a_total{name="x\\"\\n\\\\"} 1', "a_total 2"]
    buckets = [line for line in lines if "bucket" in line]
    assert buckets[0] == 't_seconds_bucket{le="5e-05"} 1'
    assert buckets[1] == 't_seconds_bucket{le="0.0001"} 2'
    assert buckets[-2:] == ['t_seconds_bucket{le="5.0"} 3', 't_seconds_bucket{le="+Inf"} 4']
    assert lines[-1] == "t_seconds_count 4"
    assert len(label_value("n" * 1000)) == 255


def test_figures_are_not_gathered_more_often_than_once_a_second() -> None:
    now, count = [10.0], [0]

    def write() -> bytes:
        count[0] += 1
        return str(count[0]).encode()

    handler = kept(write, lambda: now[0])
    bodies = []
    for _ in range(5):
        bodies.append(handler(request()).body)
        now[0] += 0.5
    assert bodies == [b"1", b"1", b"2", b"2", b"3"]


def test_the_landing_page_links_what_is_there() -> None:
    doors = [WebSocketDoor("mqtt", "/mqtt", ("mqtt", "mqttv3.1"))]
    page = landing_page("1<2", [("mqtt", "127.0.0.1:1883")], doors, demo=False)
    assert b"1&lt;2" in page
    assert b"<code>/mqtt</code></td><td><code>mqtt</code>, <code>mqttv3.1</code>" in page
    assert b"/demo/" not in page
    assert b"/demo/" in landing_page("1", [], [], demo=True)


def test_the_landing_page_shows_the_cluster_and_no_markup_of_its_names() -> None:
    nodes = (
        NodeFigures("n<1>", "a", 1, "127.0.0.1:1", "", "member", "", True, None, None),
        NodeFigures("n2", "b", 2, "127.0.0.1:2", "east", "leaving", "", False, None, 3.0),
    )
    shards = (ShardFigures(0, ("a",), "a", 1, ("a",)), ShardFigures(1, ("a",)))
    page = landing_page("1", [], [], demo=False, cluster=ClusterFigures("id", "orders", "a", 3, 1, nodes, shards))
    assert b"<h2>Cluster orders</h2>" in page
    assert b"1 of 2 nodes are up, 1 of 2 shards are served" in page
    assert b"<td>n&lt;1&gt;</td>" in page
    assert b"<td>member, this node</td><td>1</td><td>1</td>" in page
    assert b"<td>leaving, down</td><td>0</td><td>0</td>" in page
    assert b"Cluster" not in landing_page("1", [], [], demo=False)
