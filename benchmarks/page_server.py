"""A small fast HTTP server of orders: ``page_server.py ROWS_FILE [LATENCY]``; prints its port when it is ready.

``GET /orders?page=N&per_page=1000&since=TIME`` answers
``{"data": [...], "meta": {"page": N, "next": N + 1}}`` (``next`` is null on the last page) with the rows whose
``updated_at`` is at least TIME, ascending. ``GET /orders/ID`` answers ``{"data": [{...}]}``, since the row of an id is at its place. With
LATENCY each answer is sent as many seconds after its request, however many are under way. Pages are slices of the mapped file: nothing is rendered per
request, so that the server is not what is measured.
"""

from __future__ import annotations

import asyncio
import mmap
import sys
from array import array
from bisect import bisect_left
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

_UPDATED_AT = b'"updated_at":"'


class Rows:
    """Rows in a file, ``,\\n`` between them, addressed by number without reading the others."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._begins = array("Q", [0])
        position = self._data.find(b"\n")
        while position >= 0:
            self._begins.append(position + 1)
            position = self._data.find(b"\n", position + 1)
        self.count = len(self._begins)
        self._begins.append(len(self._data) + 2)

    def slice(self, first: int, end: int) -> bytes:
        """Return rows ``first`` to ``end`` (exclusive) with commas between them."""
        return self._data[self._begins[first] : self._begins[end] - 2] if first < end else b""

    def first_since(self, time: str) -> int:
        """Return the number of the first row whose ``updated_at`` is at least ``time`` (RFC 3339, with Z)."""
        return bisect_left(range(self.count), time.encode(), key=self._updated_at)

    def _updated_at(self, number: int) -> bytes:
        row = self.slice(number, number + 1)
        begin = row.index(_UPDATED_AT) + len(_UPDATED_AT)
        return row[begin : row.index(b'"', begin)]


def answer(rows: Rows, target: str) -> bytes:
    """Return the whole response, head and body, to a GET of ``target``."""
    url = urlsplit(target)
    if url.path != "/orders":
        number = url.path.removeprefix("/orders/")
        if not number.isdecimal() or not 0 < int(number) <= rows.count:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return _whole(b'{"data":[%b]}' % rows.slice(int(number) - 1, int(number)))
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    page, size = int(query.get("page", "1")), int(query.get("per_page", "1000"))
    start = rows.first_since(query["since"]) if "since" in query else 0
    first = min(start + (page - 1) * size, rows.count)
    end = min(first + size, rows.count)
    next_page = str(page + 1).encode() if end < rows.count else b"null"
    return _whole(b'{"data":[%b],"meta":{"page":%d,"next":%b}}' % (rows.slice(first, end), page, next_page))


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return head + body


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests have no body and are answered in order."""

    def __init__(self, rows: Rows, latency: float) -> None:
        self._rows, self._latency = rows, latency
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, self._received = self._received.split(b"\r\n\r\n", 1)
            target = request.split(b" ", 2)[1].decode()
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer, target)
            else:
                self._answer(target)

    def _answer(self, target: str) -> None:
        self._transport.write(answer(self._rows, target))


async def serve(path: Path, latency: float) -> None:
    rows = Rows(path)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(rows, latency), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0))
