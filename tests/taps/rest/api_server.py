"""A small HTTP server that answers as a test tells it to, well or badly, and remembers what it was asked.

    with serving({"/orders": lambda asked: json_reply([{"id": 1}])}) as api:
        api.url, api.asked

A route is a function from a request to a `Reply`; a `Reply` may lie about its length, break its chunks, drip
or hang up. ``repeatedly`` gives one reply after the other, `Table` rows that change as a test goes on, from a bookmark
on, and `dated` is the stream that reads them.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, list[str]]
    headers: Any
    raw_path: str
    method: str = "GET"
    body: bytes = b""
    certificate: Any = None
    """What a client has shown, with TLS."""

    @property
    def json(self) -> Any:
        """What the body holds."""
        return json.loads(self.body)

    def param(self, name: str, default: str | None = None) -> str | None:
        return self.query.get(name, [default])[0]


@dataclass
class Reply:
    """``length`` overrides Content-Length; ``drip`` sends a byte and waits that long, until the test ends.

    ``before`` is sent before the answer. ``until_close`` leaves Content-Length out: the body goes on until the connection ends.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    length: int | None = None
    chunked_and_broken: bool = False
    hang_up: bool = False
    drip: float | None = None
    until_close: bool = False
    before: bytes = b""


def json_reply(value: Any, status: int = 200, **headers: str) -> Reply:
    """``value`` as JSON; bytes are taken as JSON text already. ``a_b`` in ``headers`` becomes ``a-b``."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(body, status, {"Content-Type": "application/json", **named})


Route = Callable[[Asked], Reply]


def repeatedly(*replies: Reply) -> Route:
    """Give the replies in turn, the last one for ever."""
    left = list(replies)
    lock = threading.Lock()

    def route(_asked: Asked) -> Reply:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return route


def page_of(rows: Sequence[Any], asked: Asked, size: int) -> Sequence[Any]:
    """Return the rows at the `offset` that is asked for, or else on the `page`, counted from 1."""
    begin = int(asked.param("offset") or size * (int(asked.param("page") or 1) - 1))
    return rows[begin : begin + size]


class Table:
    """Rows in the order of `at`, from `since` on (`>=`), ``size`` a page or all at once; a test changes ``rows``."""

    def __init__(self, rows: list[dict[str, Any]], size: int | None = None) -> None:
        self.rows = rows
        self.size = size

    def __call__(self, asked: Asked) -> Reply:
        since = asked.param("since") or ""
        found = [row for row in self.rows if row.get("at", "") >= since]
        found.sort(key=lambda row: row.get("at", ""))
        return json_reply(found if self.size is None else page_of(found, asked, self.size))


def dated(name: str = "rows", **more: Any) -> dict[str, Any]:
    """Return a stream that asks a `Table` for what is new; ``more`` stands in the place of what is said here."""
    return {
        "name": name,
        "path": f"/{name}",
        "primary_keys": ["id"],
        "replication_key": "at",
        "incremental": {"param": "since"},
        "pagination": {"type": "single"},
    } | more


class Api:
    def __init__(self, routes: Mapping[str, Route]) -> None:
        self.routes = dict(routes)
        self.asked: list[Asked] = []
        self.is_over = threading.Event()
        self.url = ""

    def paths(self) -> list[str]:
        return [asked.raw_path for asked in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    api: Api

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up on us is what some tests want."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: _Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(parts.query, keep_blank_values=True)
        asked = Asked(parts.path, query, self.headers, self.path, self.command, body, self._shown())
        self.server.api.asked.append(asked)
        route = self.server.api.routes.get(parts.path)
        reply = route(asked) if route else json_reply({"error": "no such path"}, 404)
        self._send(reply)

    do_POST = do_PUT = do_PATCH = do_GET

    def _shown(self) -> Any:
        return self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None

    def _send(self, reply: Reply) -> None:
        if reply.hang_up:
            self.close_connection = True
            return
        self.wfile.write(reply.before)
        if "Date" in reply.headers:  # in place of that of this machine
            self.send_response_only(reply.status)
        else:
            self.send_response(reply.status)
        for name, text in reply.headers.items():
            for one in [text] if isinstance(text, str) else text:
                self.send_header(name, one)
        if reply.chunked_and_broken:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % (len(reply.body) + 10) + reply.body)
            self.close_connection = True
            return
        length = len(reply.body) if reply.length is None else reply.length
        if reply.until_close:
            self.close_connection = True
        elif reply.status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if reply.drip is not None:
            self._drip(reply.body, reply.drip)
        else:
            self.wfile.write(reply.body)
        if length != len(reply.body):
            self.close_connection = True

    def _drip(self, body: bytes, pause: float) -> None:
        for index in range(len(body)):
            self.wfile.write(body[index : index + 1])
            self.wfile.flush()
            if self.server.api.is_over.wait(pause):
                break
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def serving(
    routes: Mapping[str, Route],
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    clients: Path | None = None,
    needs_client: bool = True,
) -> Iterator[Api]:
    """Serve ``routes`` on a free port of 127.0.0.1 until the block is left; with TLS given a certificate.

    ``clients``: authority of the certificates that clients are asked for.
    """
    api = Api(routes)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.api = api
    api.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}"
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        if clients is not None:
            tls.load_verify_locations(clients)
            tls.verify_mode = ssl.CERT_REQUIRED if needs_client else ssl.CERT_OPTIONAL
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
