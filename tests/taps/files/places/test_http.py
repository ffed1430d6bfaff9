"""What is peculiar to HTTP: what is sent to whom, redirects, servers without ranges, sizes and versions, pages of links."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.files.places import grounds
from taps.files.places.grounds import QUICK
from taps.files.places.test_places import listed, whole

from singerkit_shell.errors import (
    ConfigurationError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from tap_files.places.choosing import place_of
from tap_files.places.contract import Place
from tap_files.settings.storage import storage_problems
from tap_files.settings.storage_http import http_problems


class Other(http.server.BaseHTTPRequestHandler):
    """A server by hand, for what no well-made one does; ``asked`` has method, path and headers of all requests."""

    protocol_version = "HTTP/1.1"
    asked: list[tuple[str, str, dict[str, str]]]
    cut_at: list[int]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, dict(self.headers)))
        body = b"0123456789" * 20_000
        if self.path.startswith("/nohead") and self.command == "HEAD":
            self.answer(405, {}, b"")
        elif self.path.startswith("/metadata"):
            self.answer(302, {"Location": "http://169.254.169.254/latest/meta-data/"}, b"")
        elif self.path.startswith("/untold"):
            self.answer(200, {}, b"id\n1\n")
        elif self.path.startswith("/wrongrange") and "Range" in self.headers:
            self.answer(206, {"ETag": '"1"', "Content-Range": f"bytes 0-9/{len(body)}"}, body[:10])
        elif self.path.startswith("/cut"):
            start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
            headers = {"ETag": '"1"', "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            end = self.cut_at.pop() if self.cut_at and self.command == "GET" else len(body)
            self.answer(206 if start else 200, headers, body[start:], body[start:end])
            self.close_connection = end < len(body)
        else:
            self.answer(200, {"ETag": '"1"'}, body)

    def answer(self, status: int, headers: dict[str, str], body: bytes, sent: bytes | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if sent is None else sent)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="session")
def other() -> Iterator[tuple[str, type[Other]]]:
    kind = type("OfOneRun", (Other,), {"asked": [], "cut_at": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  a client may go at any time
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_files.places.http._PIECE", 1 << 12)


def place_at(url: str, **said: Any) -> Place:
    return place_of(url, QUICK | {"http": said})


def refusal(url: str, name: str, **said: Any) -> SingerkitError:
    place = place_at(url, **said)
    with pytest.raises(SingerkitError) as refused:
        list(place.files(name))
    place.close()
    return refused.value


def test_files_are_those_that_are_named_without_their_query(
    nginx: tuple[str, Path], caplog: pytest.LogCaptureFixture
):
    url, data = nginx
    (data / "a b.csv").write_bytes(b"id\n")
    (data / "c.csv").write_bytes(b"id\n1\n")
    place = place_at(
        url,
        urls=[
            f"{url}/a%20b.csv?signature={canary('signed url')}",
            f"{url}/c.csv",
            f"{url}/sub/none.csv",
            "http://other/d.csv",
        ],
    )
    assert set(listed(place, "")) == {"a b.csv", "c.csv"}
    assert "has no `sub/none.csv`" in caplog.text
    (found,) = place.files("a")
    assert whole(place.open(found)) == b"id\n"
    assert list(place.files("d")) == []
    with pytest.raises(ConfigurationError, match="no folder `missing`"):
        list(place.files("missing/"))
    place.close()
    alone = place_at(url)
    assert set(listed(alone, "c.csv")) == {"c.csv"}
    for name in ("none.csv", "c", ""):
        with pytest.raises(ConfigurationError, match="no file") as absent:
            list(alone.files(name))
        assert "storage.http.urls" in str(absent.value)
    alone.close()


def test_a_server_without_ranges_is_read_from_its_beginning(nginx: tuple[str, Path], small: None):
    url, data = nginx
    content = bytes(range(256)) * 100
    (data / "whole.bin").write_bytes(content)
    place = place_at(url)
    (found,) = place.files("whole/whole.bin")
    assert whole(place.open(found, 20_001)) == content[20_001:]
    assert whole(place.open(found, len(content))) == b""
    place.close()


def test_what_is_cut_is_asked_for_from_there_on(other: tuple[str, type[Other]], small: None):
    url, kind = other
    place = place_at(url)
    (found,) = place.files("cut.bin")
    kind.asked.clear()
    kind.cut_at[:] = [150_000, 50_000]
    assert whole(place.open(found)) == b"0123456789" * 20_000
    ranges = [headers.get("Range") for method, _, headers in kind.asked if method == "GET"]
    assert ranges == [None, "bytes=50000-", "bytes=150000-"]
    assert [headers.get("If-Range") for _, _, headers in kind.asked][1:3] == ['"1"'] * 2
    kind.cut_at[:] = [10_000] * 9
    with pytest.raises(RetryableError, match="after 3 tries"):
        whole(place.open(found))
    kind.cut_at.clear()
    (found,) = place.files("wrongrange")
    with pytest.raises(RetryableError, match="not asked for"):
        whole(place.open(found, 5))
    place.close()


def test_credentials_go_to_the_host_of_base_url_alone(
    nginx: tuple[str, Path], other: tuple[str, type[Other]], tmp_path: Path
):
    url, kind = other
    secret = canary("http token")
    kind.asked.clear()
    said = {"token": secret, "headers": {"X-Key": canary("http header")}, "base_url": url}
    place = place_at(url, **said)
    list(place.files("a.csv"))
    place.close()
    assert kind.asked[-1][2]["Authorization"] == f"Bearer {secret}"
    assert kind.asked[-1][2]["X-Key"] == canary("http header")
    place = place_at(url, **said | {"base_url": nginx[0]})
    list(place.files("a.csv"))
    place.close()
    assert not {"Authorization", "X-Key"} & set(kind.asked[-1][2])
    own = tmp_path / "own"
    own.mkdir()
    with grounds.nginx(own, away=url) as (redirecting, _):
        said["base_url"] = redirecting
        refused = refusal(redirecting, "away/a.csv", **said)
        assert (type(refused), refused.exit_code) == (NotAuthorisedError, 77)
        assert "another origin" in str(refused)
        place = place_at(redirecting, allowed_hosts=[url], **said)
        kind.asked.clear()
        (found,) = place.files("away/a.csv")
        assert len(whole(place.open(found))) == 200_000
        place.close()
    assert kind.asked
    assert not any({"Authorization", "X-Key"} & set(headers) for _, _, headers in kind.asked)


def test_each_refusal_is_a_sentence_and_an_exit_code(
    nginx: tuple[str, Path], other: tuple[str, type[Other]], monkeypatch: pytest.MonkeyPatch
):
    url, data = nginx
    (data / "a.csv").write_bytes(b"id\n")
    refused = refusal(url, "closed/a.csv")
    assert (type(refused), refused.exit_code) == (NotAuthorisedError, 77)
    busy = refusal(url, "busy/a.csv")
    assert (type(busy), busy.exit_code) == (RetryableError, 69)
    assert "status 503" in str(busy)
    assert "connection was refused" in str(refusal("http://127.0.0.1:1", "a.csv"))
    assert refusal("http://nothing.invalid", "a.csv").exit_code == 69
    assert "redirects" in str(refusal(url, "round/a.csv"))
    metadata = refusal(other[0], "metadata/a.csv", allowed_hosts=["http://169.254.169.254"])
    assert (type(metadata), metadata.exit_code) == (ConfigurationError, 78)
    assert "metadata address" in str(metadata)
    lookup = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **options: lookup(
            "169.254.169.254" if host == "inside.test" else host, *more, **options
        ),
    )
    assert "metadata address" in str(refusal("http://inside.test", "a.csv"))


def test_a_password_in_the_base_url_is_refused_as_it_is_not_sent():
    (problem,) = http_problems({"base_url": "http://user:hunter2@127.0.0.1"})
    assert "`storage.http.base_url` without user and password" in problem
    assert "hunter2" not in problem


def test_what_has_no_version_is_another_one_each_time(other: tuple[str, type[Other]]):
    place = place_at(other[0])
    (first,) = place.files("untold.csv")
    (second,) = place.files("untold.csv")
    assert first.version != second.version
    assert whole(place.open(first)) == b"id\n1\n"
    (found,) = place.files("nohead.csv")
    assert found.size == 200_000
    place.close()


def test_links_elsewhere_and_those_that_sort_are_none_of_the_folder(nginx: tuple[str, Path]):
    url, data = nginx
    (data / "page").mkdir()
    (data / "page" / "a.csv").write_bytes(b"id\n")
    (data / "page" / "index.html").write_text(
        "<a href='../a.csv'>up</a><a href='?C=M'>sort</a><a href='//other/page/b.csv'>b</a><A HREF=a.csv>a</A><a href='c/d.csv'>d</a><a>none</a>"
        "<a href='/page/a.csv#x'>again</a><a href='gone.csv'>gone</a><a href='..%2fa.csv'>trick</a><a href='%2e%2e/'>trick</a>"
    )
    served = place_at(url, listing="links")
    assert set(listed(served, "page/")) == {"page/a.csv"}
    served.close()
    (data / "page" / "index.html").unlink()
    other = place_at(url, listing="links")
    with pytest.raises(ConfigurationError, match="no folder `page/none`"):
        list(other.files("page/none/"))
    other.close()


def test_settings_that_go_nowhere_are_named():
    said = [
        {"token": "t"},
        {"base_url": "http://h", "username": "u"},
        {"urls": ["http://h/a", "http://h/a?x=1"]},
        {"urls": ["http://u:p@h/a"]},
        {"urls": ["http://h/a"], "listing": "links"},
        {"base_url": "no url with spaces"},
        {"allowed_addresses": ["x"]},
        {"ca_file": "/nonexistent"},
    ]
    assert [len(list(storage_problems({"http": one}))) > 0 for one in said] == [True] * len(said)
    assert not list(storage_problems({"http": {"base_url": "http://h", "token": "t"}}))
