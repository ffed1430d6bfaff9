"""One request and its answer over a connection of urllib3's pool, with http.client alone in between.

What requests and urllib3 do for each answer besides (retries, redirects, decoding, hooks, copies of the headers) is done elsewhere
here, or not needed, and costs three times what http.client does. Connections, TLS, certificates and their reuse are the pool's.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import requests

__all__ = ["Answer", "Exchange"]

_NOT_IN_A_TARGET = re.compile(r"[^!-~]")


class Answer:
    """An answer whose body is still to be read."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.msg  # type: ignore[assignment]  # see `heads`
        self._original_response = raw  # by this name requests looks for cookies

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the body as it came; b"" at its end.

        Raises:
            http.client.HTTPException, OSError: it is not whole.
        """
        raw = self._original_response
        data = raw.read(size)
        if not data and raw.length:
            raise http.client.IncompleteRead(data, raw.length)
        return data


class Exchange:
    """Sends ``request`` over a connection of ``pool``, which goes back there behind the whole body; ``watchdog`` is told which it is.

    ``timeouts``: seconds to connect, and without a byte.
    """

    def __init__(
        self, pool: Any, request: requests.PreparedRequest, timeouts: tuple[float, float], watchdog: Any
    ) -> None:
        self._pool, self._request, self._timeouts, self._watchdog = pool, request, timeouts, watchdog
        self._connection: Any = None
        self._raw: http.client.HTTPResponse | None = None

    def __enter__(self) -> Answer:
        try:
            self._connection = connection = self._pool._get_conn()  # one that is alive, or a new one
            self._watchdog.connection = connection
            connection.timeout = self._timeouts[0]
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(self._timeouts[1])
            self._raw = self._ask(connection)
            return Answer(self._raw)
        except BaseException:
            self._release(is_whole=False)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release(is_whole=kind is None and self._raw is not None and self._raw.isclosed())

    def _ask(self, connection: Any) -> http.client.HTTPResponse:
        """Send the request, and return its answer as far as its head."""
        method = str(self._request.method)
        is_taken = True
        try:
            connection.sock.sendall(_written(self._request, method, connection))
        except (BrokenPipeError, ConnectionResetError):
            is_taken = False  # who refuses a long body may have answered before its end, and hung up
        raw: http.client.HTTPResponse = connection.response_class(connection.sock, method=method)
        try:
            raw.begin()
        except BaseException:
            raw.close()
            raise
        if raw.will_close or not is_taken:
            connection.close()  # the answer has the socket as long as it is read
        return raw

    def _release(self, *, is_whole: bool) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not is_whole:
            connection.close()
            if self._raw is not None:
                self._raw.close()
        self._pool._put_conn(connection)


def _written(request: requests.PreparedRequest, method: str, connection: Any) -> bytes:
    """Return a request as it goes over the line.

    Raises:
        ValueError: the URL or a header holds what would be read as another part of the request.
    """
    url = str(request.url)
    target = url[url.index("/", url.index("://") + 3) :].partition("#")[0]
    if _NOT_IN_A_TARGET.search(target):
        raise ValueError("a blank, or what is no ASCII, in a URL")
    fields = _fields(request.headers, method, connection)
    body = request.body or b""
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n%b" % (
        method.encode(),
        target.encode(),
        fields,
        body.encode() if isinstance(body, str) else body,
    )


def _fields(headers: Any, method: str, connection: Any) -> bytes:
    """Return the headers of a request as they go over the line; those of the request before on a connection are known.

    Raises:
        ValueError: an end of line in one, or in the method.
    """
    stored = getattr(headers, "_store", None)
    known = getattr(connection, "written", None)
    if known is not None and stored is not None and known[:2] == (method, stored):
        return bytes(known[2])
    lines = [] if "Host" in headers else [f"Host: {_host_of(connection)}"]
    lines += [
        f"{name}: {value if isinstance(value, str) else value.decode('latin-1')}"
        for name, value in headers.items()
    ]
    text = "\r\n".join(lines)
    if (method + text).count("\n") != len(lines) - 1 or (method + text).count("\r") != len(lines) - 1:
        raise ValueError("an end of line in a header")
    fields = text.encode("latin-1")
    connection.written = method, None if stored is None else stored.copy(), fields
    return fields


def _host_of(connection: Any) -> str:
    host = connection.host
    host = f"[{host.strip('[]')}]" if ":" in host else host
    return host if connection.port == connection.default_port else f"{host}:{connection.port}"
