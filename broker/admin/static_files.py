"""Files of a folder, read once: what isn't there at the start is never served."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import msgspec

from broker.admin.router import method_not_allowed
from protocols.http.message import Request, Response, refusal

PAGES = Path(__file__).parent / "pages"
"""What comes with the broker."""
FILE_SIZE_MAX = 16 << 20
FILE_COUNT_MAX = 10_000
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
"""By suffix; anything else is bytes, which no browser guesses at (nosniff)."""
INDEX = "index.html"
_HIDDEN = re.compile(r"%2f|%5c|\\", re.IGNORECASE)
"""A slash in disguise."""


class StaticFile(msgspec.Struct, frozen=True):
    content: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, name: str, content: bytes) -> StaticFile:
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(content, TYPES.get(Path(name).suffix.lower(), "application/octet-stream"), f'"{digest}"')


class StaticFiles:
    """A handler for GET and HEAD."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """By their paths, ``demo/index.html``."""
        self._files = {tuple(path.split("/")): StaticFile.of(path, content) for path, content in files.items()}

    def __call__(self, request: Request) -> Response:
        segments = request.segments
        if _HIDDEN.search(request.path) or "." in segments or ".." in segments:
            return refusal(HTTPStatus.BAD_REQUEST, "a path that leads elsewhere than it says")
        if segments[-1] == "":
            segments = (*segments[:-1], INDEX)
        file = self._files.get(segments)
        if file is None:
            if (*segments, INDEX) in self._files:
                return Response(HTTPStatus.PERMANENT_REDIRECT, headers={"Location": f"{request.path}/"})
            return refusal(HTTPStatus.NOT_FOUND, "there is nothing here")
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed({"GET": self})
        # Looked at again each time: a page and its script are of one version, or neither is.
        headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
        if is_known(request.headers.get("if-none-match"), file.etag):
            return Response(HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(HTTPStatus.OK, file.content_type, file.content, headers)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this version (RFC 9110, 13.1.2; compared weakly)."""
    if if_none_match is None:
        return False
    known = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return "*" in known or etag in known


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files in it and below, by their paths; hidden ones and links are left out.  OSError: it can't be read."""
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        if path.stat().st_size > FILE_SIZE_MAX or len(files) == FILE_COUNT_MAX:
            raise OSError(f"{path}: more than {FILE_SIZE_MAX} bytes, or more than {FILE_COUNT_MAX} files")
        files[name] = path.read_bytes()
    return files
