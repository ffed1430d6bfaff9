"""The head of an answer: its status, and its headers by names whose case does not count.

http.client has the headers read by the parser of e-mails, which costs as much as all else that it does for an answer. Here a head that is written
as nearly all are is taken apart at once; any other is left to that parser. What http.client lets pass where the end of a body depends on it, a head that
breaks off and a length that is none, is refused.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Collection, Iterator, Mapping
from email.parser import Parser
from http import HTTPStatus
from typing import Any

__all__ = ["AnswerHeaders", "ContentLengthError", "FinalResponse", "by_name"]

_LINE = 65536
_MOST = 100
_FIELD = r"([!-9;-~]+):([^\r\n]*)\r?\n"
_FIELDS = re.compile(_FIELD)
_HEADERS = re.compile(rf"(?:{_FIELD})*")
_HEAD = re.compile(
    rf"HTTP/1\.(?P<version>[01]) (?P<status>[2-9]\d\d)(?: [^\r\n]*)?\r\n(?P<headers>(?:{_FIELD})*)\r\n"
)
_NO_BODY = (HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)


class ContentLengthError(ValueError):
    """The Content-Length is no number, or there are several: where the body ends is not known."""


class AnswerHeaders(Mapping[str, str]):
    """Headers; the values of those of one name are joined, as everywhere."""

    __slots__ = ("_found",)

    def __init__(self, pairs: Collection[tuple[str, str]]) -> None:
        self._found = {name.lower(): (name, [value.strip(" \t")]) for name, value in pairs}
        if len(self._found) < len(pairs):
            self._found.clear()
            for name, value in pairs:
                self._found.setdefault(name.lower(), (name, []))[1].append(value.strip(" \t"))

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._found[name.lower()][1])

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of a name, as `Mapping.get` would after raising KeyError."""
        found = self._found.get(name.lower())
        return default if found is None else ", ".join(found[1])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._found.values())

    def __len__(self) -> int:
        return len(self._found)

    def first(self, name: str) -> str:
        """Return the first value of a name, "" where there is none."""
        found = self._found.get(name.lower())
        return found[1][0] if found else ""

    def get_all(self, name: str, default: Any = None) -> Any:
        """Return the values of a name one by one, as who looks for cookies asks for them."""
        return self._found[name.lower()][1] if name in self else default


def by_name(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return headers by names whose case does not count, as those of an answer are already."""
    return headers if isinstance(headers, AnswerHeaders) else AnswerHeaders(headers.items())


class FinalResponse(http.client.HTTPResponse):
    """The answer behind those that only announce it (`103 Early Hints`, `102 Processing`): http.client passes over 100 alone."""

    def begin(self) -> None:
        """Read the head, as http.client does, in its order.

        Raises:
            http.client.HTTPException, OSError, ContentLengthError: it is not there, or none.
        """
        headers: Any = self._at_once()
        if headers is None:
            headers = self._line_by_line()
        self.code, self.headers, self.msg = self.status, headers, headers
        has_body = self.status not in _NO_BODY and self._method != "HEAD"  # type: ignore[attr-defined]  # of http.client
        self.chunked = has_body and headers.first("Transfer-Encoding").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length_in(headers) if has_body else 0
        self.will_close = (
            self._closes(headers)
            or (self.length is None and not self.chunked)
            or self.status == HTTPStatus.SWITCHING_PROTOCOLS
        )

    def _closes(self, headers: AnswerHeaders) -> bool:
        """Tell whether no other answer comes on the connection; of a header that is there twice the first counts, as to http.client."""
        said = headers.first("Connection").lower()
        if self.version == 11:
            return "close" in said
        stays = "keep-alive" in said or "keep-alive" in headers.first("Proxy-Connection").lower()
        return not (stays or headers.first("Keep-Alive"))

    def _at_once(self) -> AnswerHeaders | None:
        """Return the headers of a head that has come in one piece, and is written as nearly all are."""
        begun = self.fp.peek()
        head = _HEAD.fullmatch(begun[: begun.find(b"\r\n\r\n") + 4].decode("latin-1"))
        if head is None:
            return None
        self.fp.read(head.end())
        self.version, self.status = 10 + int(head["version"]), int(head["status"])
        return _headers_of(_FIELDS.findall(head["headers"]))

    def _line_by_line(self) -> AnswerHeaders:
        version, status, _ = self._read_status()  # type: ignore[attr-defined]  # of http.client
        while status < HTTPStatus.OK and status != HTTPStatus.SWITCHING_PROTOCOLS:
            _read_headers(self.fp)
            version, status, _ = self._read_status()  # type: ignore[attr-defined]  # of http.client
        if not version.startswith("HTTP/1.") and version != "HTTP/0.9":
            raise http.client.UnknownProtocol(version)
        self.version, self.status = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11, status
        text = _read_headers(self.fp)
        if _HEADERS.fullmatch(text):
            return _headers_of(_FIELDS.findall(text))
        return _headers_of([*Parser(_class=http.client.HTTPMessage).parsestr(text).raw_items()])


def _read_headers(file: Any) -> str:
    """Return the lines of headers, with the limits that http.client has."""
    lines: list[bytes] = []
    while (line := file.readline(_LINE + 1)) not in (b"\r\n", b"\n"):
        if len(line) > _LINE:
            raise http.client.LineTooLong("header line")
        if not line:
            raise http.client.RemoteDisconnected("the connection ended in the head of an answer")
        lines.append(line)
        if len(lines) > _MOST:
            raise http.client.HTTPException(f"got more than {_MOST} headers")
    return b"".join(lines).decode("latin-1")


def _headers_of(pairs: list[tuple[str, str]]) -> AnswerHeaders:
    if len(pairs) > _MOST:
        raise http.client.HTTPException(f"got more than {_MOST} headers")
    return AnswerHeaders(pairs)


def _length_in(headers: AnswerHeaders) -> int | None:
    """Return what the Content-Length says, which proxies may write twice.

    Raises:
        ContentLengthError: it says nothing, or different things.
    """
    found = {
        text.strip(" \t") for value in headers.get_all("Content-Length", ()) for text in value.split(",")
    }
    if not found:
        return None
    text = found.pop()
    if found or not (text.isascii() and text.isdecimal()):
        raise ContentLengthError
    return int(text)
