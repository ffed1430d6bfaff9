"""Connections: which answer belongs to which request, when a connection is used again, and what goes over it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from taps.rest.api_server import json_reply, serving
from taps.rest.certificates import Authority

from singerkit_shell.errors import BadDataError, RetryableError
from tap_rest.answers.answer import Response
from tap_rest.config import api_settings
from tap_rest.http.connection import Watchdog
from tap_rest.http.retries import Transient
from tap_rest.http.transport import Transport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b"


@dataclass
class Scripted:
    """Sends what it was told to, one text for each request; ``heard``: the requests, by connection."""

    url: str
    answers: list[bytes]
    heard: list[list[bytes]] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)
    hangs_up: bool = False

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.heard.append([])
                self.connections.append(connection)
                threading.Thread(target=self._talk, args=(connection, self.heard[-1]), daemon=True).start()

    def _talk(self, connection: socket.socket, heard: list[bytes]) -> None:
        with connection, contextlib.suppress(OSError):
            left = b""
            while self.answers:
                while b"\r\n\r\n" not in left and not self.hangs_up:
                    data = connection.recv(65536)
                    if not data:
                        return
                    left += data
                request, _, left = left.partition(b"\r\n\r\n")
                heard.append(request)
                connection.sendall(self.answers.pop(0))
                if self.hangs_up:
                    connection.recv(1)
                    return


@contextlib.contextmanager
def scripted(*answers: bytes, hangs_up: bool = False) -> Iterator[Scripted]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}", list(answers), hangs_up=hangs_up)
        thread = threading.Thread(target=server.serve, args=(listener,), daemon=True)
        thread.start()
        yield server
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextlib.contextmanager
def transport(url: str, **more: Any) -> Iterator[Transport]:
    settings = api_settings({"base_url": url, "streams": [{"name": "rows", "path": "/rows"}], **more})
    watchdog = Watchdog()
    made = Transport(settings, (), watchdog, str)
    yield made
    made.close()
    watchdog.close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


def send(over: Transport, url: str, method: str = "GET", data: bytes | None = None) -> Response:
    return over.send(over.session.prepare_request(requests.Request(method, url, data=data)), url)


def chunked(body: bytes, more: str = "") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{more}\r\n{len(body):x}\r\n".encode()
        + body
        + b"\r\n0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("answers", "connections"),
    [
        ([OK % (2, b"[]")] * 3, [3]),
        ([chunked(b"[]"), b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", OK % (2, b"[]")], [3]),
        ([OK % (0, b""), b"HTTP/1.1 204 None\r\n\r\n", OK % (2, b"[]")], [3]),
        ([OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % (2, b"[]"), OK % (2, b"[]"), OK % (2, b"[]")], [1, 2]),
        ([OK.replace(b"1.1", b"1.0") % (2, b"[]")] * 3, [1, 1, 1]),
        ([OK.replace(b"1.1", b"1.0").replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n") % (2, b"[]")] * 3, [3]),
    ],
    ids=["length", "chunks and no body", "nothing", "closed", "1.0", "1.0 kept"],
)  # fmt: skip
def test_a_connection_is_used_again_behind_a_whole_answer(
    answers: Sequence[bytes], connections: list[int]
) -> None:
    with scripted(*answers) as server, transport(server.url) as over:
        for _ in answers:
            assert send(over, f"{server.url}/rows").body in (b"[]", b"")
    assert [len(heard) for heard in server.heard] == connections


def test_a_body_that_was_not_read_to_its_end_is_not_taken_for_the_next_answer() -> None:
    long = OK % (60, b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["theirs"]'.ljust(60))
    with (
        scripted(long, OK % (2, b"[]")) as server,
        transport(server.url, limits={"response_bytes": 50}) as over,
    ):
        with pytest.raises(BadDataError, match="larger than 50 bytes"):
            send(over, f"{server.url}/rows")
        assert send(over, f"{server.url}/rows").body == b"[]"
    assert [len(heard) for heard in server.heard] == [1, 1]


@pytest.mark.parametrize("way", ["at once", "behind it"])
def test_an_answer_that_nobody_asked_for_is_nobodys(way: str) -> None:
    unasked = OK % (10, b'["theirs"]')
    first = OK % (2, b"[]") + (unasked if way == "at once" else b"")
    with scripted(first, OK % (3, b"[1]")) as server, transport(server.url) as over:
        assert send(over, f"{server.url}/rows").body == b"[]"
        if way == "behind it":
            server.connections[0].sendall(unasked)  # on one machine it is there when the call returns
        assert send(over, f"{server.url}/rows").body == b"[1]"


def test_a_length_beside_chunks_does_not_count() -> None:
    body = b"[" + b"1," * 524_287 + b"1,2]"
    assert len(body) > 1024 * 1024
    answer = chunked(body, f"Content-Length: {1024 * 1024}\r\n")
    with scripted(answer) as server, transport(server.url) as over:
        assert send(over, f"{server.url}/rows").body == body


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (OK % (9, b"[]"), Transient, "shorter than announced"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n[]", Transient, "shorter than announced"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n", Transient, "the connection was lost"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n[1]", BadDataError, "is no HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n[1]", Transient, "the connection failed"),
        (b"* OK IMAP4\r\n\r\n", Transient, "did not begin as HTTP does"),
    ],
    ids=["length", "chunks", "head", "lengths", "version", "another protocol"],
)  # fmt: skip
def test_what_is_not_whole_is_no_answer(answer: bytes, error: type[Exception], words: str) -> None:
    with scripted(answer) as server, transport(server.url) as over, pytest.raises(error, match=words):
        send(over, f"{server.url}/rows")


def test_who_refuses_a_long_body_and_hangs_up_is_heard() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nlong"
    with scripted(refusal, hangs_up=True) as server, transport(server.url) as over:
        answer = send(over, f"{server.url}/rows", "POST", b"x" * 4_000_000)
        assert (answer.status, answer.body) == (413, b"long")


def test_a_request_says_what_it_is_and_nothing_else() -> None:
    with scripted(*[OK % (2, b"[]")] * 2) as server, transport(server.url) as over:
        over.session.headers["X-Name"] = "é"
        send(over, f"{server.url}/rows?a=b#part")
        send(over, f"{server.url}/rows", "POST", b"{}")
        lines = [request.decode("latin-1").split("\r\n") for request in server.heard[0]]
    where = server.url.removeprefix("http://")
    assert lines[0][:2] == ["GET /rows?a=b HTTP/1.1", f"Host: {where}"]
    assert "X-Name: é" in lines[0]
    assert lines[1][0] == "POST /rows HTTP/1.1"
    assert "Content-Length: 2" in lines[1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", "a\r\nY: b"), ("X", "a\nY: b"), ("X", "a\r"), ("X\r\nY", "b"), ("X", "a\r\n\r\nGET /")],
)
def test_no_header_makes_another(name: str, value: str) -> None:
    with scripted(OK % (2, b"[]")) as server, transport(server.url) as over:
        prepared = over.session.prepare_request(requests.Request("GET", f"{server.url}/rows"))
        prepared.headers[name] = value
        with pytest.raises(BadDataError):
            over.send(prepared, f"{server.url}/rows")
        assert server.heard in ([], [[]])


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX:y", "/é", "/a\x00"])
def test_no_url_makes_another_request(path: str) -> None:
    with scripted(OK % (2, b"[]")) as server, transport(server.url) as over:
        prepared = over.session.prepare_request(requests.Request("GET", f"{server.url}/rows"))
        prepared.url = f"{server.url}{path}"
        with pytest.raises((BadDataError, ValueError)):
            over.send(prepared, f"{server.url}/rows")
        assert server.heard in ([], [[]])


@pytest.mark.parametrize("is_known", [True, False])
def test_the_authorities_are_those_of_requests(
    is_known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "ours")
    pair = authority.pair("server")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))  # what OpenSSL would take by itself
    if is_known:
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(authority.file))
    served = serving({"/rows": lambda _: json_reply([])}, certificate=pair.certificate, key=pair.key)
    with served as api, transport(api.url) as over:
        if is_known:
            assert send(over, f"{api.url}/rows").body == b"[]"
        else:
            with pytest.raises(RetryableError, match="is not accepted"):
                send(over, f"{api.url}/rows")


def test_a_proxy_is_asked_for_the_whole_url_and_its_answer_is_read_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\n[]"
    with scripted(answer, answer) as proxy, transport("http://api.test") as over:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://ann:secret@"))
        for _ in range(2):
            assert send(over, "http://api.test/rows?a=b").body == b"[]"
    first, second = (request.decode().split("\r\n") for request in proxy.heard[0])
    assert first[0] == "GET http://api.test/rows?a=b HTTP/1.1"
    assert "Proxy-Authorization: Basic YW5uOnNlY3JldA==" in first
    assert "Cookie: a=1; b=2" in second
    assert len(proxy.heard) == 1


@pytest.mark.parametrize("answer", [OK % (9, b"[]"), b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n"])
def test_what_a_proxy_cuts_is_no_answer_either(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer) as proxy, transport("http://api.test") as over:
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", proxy.url)
        with pytest.raises(Transient):
            send(over, "http://api.test/rows")
