"""What the methods of a hook are given: a request that it may change, and an answer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from tap_rest.http.storing import Span

__all__ = ["Request", "Response"]


@dataclass(slots=True)
class Request:
    """A request, without what `auth` adds to it; ``headers``, ``url`` and ``body`` may be changed."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


class Response:
    """An answer: ``body`` is what came, unpacked where a Content-Encoding says so; ``open()`` reads a long one piece by piece."""

    def __init__(
        self, url: str, status: int, headers: Mapping[str, str], body: bytes | Span, most: int
    ) -> None:
        self.url, self.status, self.headers = url, status, headers
        self._body, self._most = body, most

    @property
    def body(self) -> bytes:
        """All of it.

        Raises:
            ValueError: it is longer than memory is to bear.
        """
        if isinstance(self._body, bytes):
            return self._body
        if len(self._body) > self._most:
            raise ValueError(f"the body is larger than {self._most} bytes: read it by open()")
        return self._body.read(0, len(self._body))

    def open(self) -> BinaryIO:
        """Return a file to read it from."""
        if isinstance(self._body, bytes):
            return io.BytesIO(self._body)
        return cast("BinaryIO", io.BufferedReader(_SpanReader(self._body), 1 << 20))


class _SpanReader(io.RawIOBase):
    """A file that reads a part of another one."""

    def __init__(self, span: Span) -> None:
        self._span, self._at = span, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        room = memoryview(buffer).cast("B")
        piece = self._span.read(self._at, len(room))
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
