"""A small real HTTP server with the known rows, for taps that read REST.

Every list answers one page of `PAGE` rows: ``{"results": [...], "next_page": 2}`` (null on the last), asks
``?page=``, and where rows have ``updated_at`` filters with ``?since=`` (at or after). The rows stand here as
JSON text, so that a decimal of 30 digits is sent as it is written. The children of a shop are at /shops/{id}/items.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from singerkit_check.suite.known import KNOWN
from singerkit_check.suite.singer import instant, parse, written

__all__ = ["PAGE", "TOKEN", "Asked", "Server", "free_port", "serve"]

PAGE = 5
TOKEN = "canary-3kq9x7-token"
"""The bearer token the server wants; a test looks for it in every byte the tap printed."""


def _texts() -> dict[str, list[str]]:
    """Return the rows by path; those of a child leave out what the path says."""
    texts = {name: list(known.texts) for name, known in KNOWN.items() if known.facts.is_top}
    for row in KNOWN["items"].rows:
        shop = row.pop("shop_id")
        texts.setdefault(f"shops/{shop}/items", []).append(written(row))
    return texts


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it; ``at`` is of the monotonic clock."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    at: float
    status: int


@dataclass
class Server:
    url: str = ""
    texts: dict[str, list[str]] = field(default_factory=_texts)
    asked: list[Asked] = field(default_factory=list)
    answers_first: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    """Path -> statuses and headers to answer before the real answers."""
    broken: set[str] = field(default_factory=set)
    """Paths that are answered with 400."""
    spoilt: set[str] = field(default_factory=set)
    """Rows, as text; a page with one of them is answered with 400."""
    _gates: dict[tuple[str, int], tuple[threading.Event, threading.Event]] = field(default_factory=dict)

    def rows(self, path: str) -> list[dict[str, Any]]:
        """Return the rows of one list as they are sent."""
        return [parse(text) for text in self.texts[path]]

    def requests(self, path: str, since: int = 0) -> list[Asked]:
        """Return the requests for ``path`` from the ``since``-th request of all on."""
        return [asked for asked in self.asked[since:] if asked.path == path]

    @contextmanager
    def held(self, path: str, page: int) -> Iterator[threading.Event]:
        """Hold the answer to one page; gives the event that says it has been asked for."""
        asked, go_on = self._gates[path, page] = (threading.Event(), threading.Event())
        try:
            yield asked
        finally:
            go_on.set()
            self._gates.pop((path, page), None)

    def release(self, path: str, page: int) -> None:
        self._gates[path, page][1].set()

    def answer(self, target: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body for one request."""
        parts = urlsplit(target)
        path = parts.path.strip("/")
        params = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        status, more, body = self._answer(path, params, headers)
        self.asked.append(Asked(path, params, headers, time.monotonic(), status))
        gate = self._gates.get((path, int(params.get("page", 1))))
        if gate is not None and status == 200:
            gate[0].set()
            gate[1].wait(60)
        return status, more, body

    def _answer(
        self, path: str, params: dict[str, str], headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {}, b'{"error": "no such token"}'
        if self.answers_first.get(path):
            status, more = self.answers_first[path].pop(0)
            return status, more, b'{"error": "not now"}'
        if path in self.broken:
            return 400, {}, b'{"error": "it is broken"}'
        if path not in self.texts:
            return 404, {}, b'{"error": "no such path"}'
        texts = self.texts[path]
        if since := params.get("since"):
            texts = [text for text in texts if instant(parse(text)["updated_at"]) >= instant(since)]
        page = int(params.get("page", 1))
        part = texts[(page - 1) * PAGE : page * PAGE]
        if self.spoilt.intersection(part):
            return 400, {}, b'{"error": "it is broken"}'
        after = str(page + 1) if page * PAGE < len(texts) else "null"
        return 200, {}, f'{{"results": [{", ".join(part)}], "next_page": {after}}}'.encode()


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = server.answer(self.path, headers)
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | more).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # a tap that was stopped or killed has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: what was asked is in `Server.asked`."""

    return Handler


def free_port() -> int:
    """Return a port that nobody listens on now, for a config that must stand before its server does."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serve(port: int = 0) -> Iterator[Server]:
    """Run a server of its own on 127.0.0.1, on a free port if none is given."""
    server = Server()
    listening = ThreadingHTTPServer(("127.0.0.1", port), _handler(server))
    listening.daemon_threads = True
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(5)
