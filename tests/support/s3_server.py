"""A store that speaks the part of S3's protocol that reading needs, over the files of a folder.

It counts requests, so a test can see how a file is read. Nothing is written through it: a test writes the files, and
may read them with Spark, which then has the same bytes from the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS, SECRET = "AKIATESTONLY", "not/a/real+secret"
_PAGE = 3  # so that each test with more files sees several pages


@dataclass
class S3Server:
    """A running server.

    Attributes:
        folder: the folder whose subfolders are the buckets.
        endpoint: host and port.
        requests: method, path and range of each request.
        is_open: whether requests without the right key are answered.
        signed_by: the ids of the keys that signed requests; empty for those that are not signed.
        failures: the answers to the next requests for objects, instead of the objects. Each is given once.
    """

    folder: Path
    endpoint: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    is_open: bool = False
    signed_by: set[str] = field(default_factory=set)
    failures: list[tuple[HTTPStatus, str]] = field(default_factory=list)

    def settings(self) -> dict[str, str]:
        """Return the settings of a Spark session that reads from this store."""
        return {
            "fs.s3a.endpoint": f"http://{self.endpoint}",
            "fs.s3a.path.style.access": "true",
            "fs.s3a.access.key": ACCESS,
            "fs.s3a.secret.key": SECRET,
        }

    def path(self, bucket: str, key: str) -> Path:
        return self.folder / bucket / key


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: S3Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        self.store.requests.append((self.command, f"{bucket}/{key}", self.headers.get("Range", "")))
        signed = self.headers.get("Authorization", "")
        self.store.signed_by.add(signed.partition("Credential=")[2].partition("/")[0])
        if not self.store.is_open and f"Credential={ACCESS}/" not in signed:
            return self._send(HTTPStatus.FORBIDDEN, _error("AccessDenied"))
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if not (self.store.folder / bucket).is_dir():
            return self._send(HTTPStatus.NOT_FOUND, _error("NoSuchBucket"))
        if not key:
            return self._send(HTTPStatus.OK, self._list(bucket, query) if "list-type" in query else b"")
        file = self.store.path(bucket, key)
        if key.endswith("/") or not file.is_file():
            return self._send(HTTPStatus.NOT_FOUND, _error("NoSuchKey"))
        return self._object(file)

    def _object(self, file: Path) -> None:
        if self.store.failures:
            status, code = self.store.failures.pop(0)
            return self._send(status, _error(code))
        content = file.read_bytes()
        headers = {
            "ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
            "Content-Type": "binary/octet-stream",
        }
        found = self.headers.get("Range", "")
        if not found:
            return self._send(HTTPStatus.OK, content, headers)
        first, _, last = found.removeprefix("bytes=").partition("-")
        end = min(int(last or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
        return self._send(HTTPStatus.PARTIAL_CONTENT, content[int(first) : end + 1], headers)

    def _list(self, bucket: str, query: dict[str, str]) -> bytes:
        root, prefix = self.store.folder / bucket, query.get("prefix", "")
        keys = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
        wanted: dict[str, Path | None] = {}
        for key in keys:
            if not key.startswith(prefix):
                continue
            inner, slash, _ = key.removeprefix(prefix).partition("/")
            is_below = query.get("delimiter") == "/" and slash
            wanted[f"{prefix}{inner}/" if is_below else key] = None if is_below else root / key
        names = [name for name in wanted if name > query.get("continuation-token", "")]
        page = names[: min(_PAGE, int(query.get("max-keys", 1000)))]
        parts = [_entry(name, wanted[name]) for name in page]
        if len(page) < len(names):
            parts.append(f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>")
        more = str(len(page) < len(names)).lower()
        body = f"<Name>{bucket}</Name><KeyCount>{len(page)}</KeyCount><IsTruncated>{more}</IsTruncated>{''.join(parts)}"
        return f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult>{body}</ListBucketResult>'.encode()

    def _send(self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/xml"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(name: str, file: Path | None) -> str:
    if file is None:
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    found = file.stat()
    moment = datetime.fromtimestamp(int(found.st_mtime), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    parts = f"<Key>{escape(name)}</Key><Size>{found.st_size}</Size><LastModified>{moment}</LastModified>"
    return f"<Contents>{parts}</Contents>"


def _error(code: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'.encode()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve the subfolders of a folder as buckets, on a port of the loopback interface."""
    store = S3Server(folder)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    store.endpoint = f"127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
