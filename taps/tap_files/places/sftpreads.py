"""A piece of a file by SFTP: many requests at once, whose answers are put together; paramiko's own way keeps a whole file in memory, or a thread."""

from __future__ import annotations

from typing import Any

__all__ = ["piece_of"]

_REQUEST = 32_768
"""Bytes that every server answers with at once."""


def piece_of(client: Any, file: Any, offset: int, size: int) -> bytes:
    """Return so many bytes of an open file, fewer at its end.

    Raises:
        OSError, EOFError, SSHException: as paramiko does; the client is of no use then.
    """
    pieces = {start: b"" for start in range(offset, offset + size, _REQUEST)}
    ends = {start: min(start + _REQUEST, offset + size) for start in pieces}
    wanted = list(pieces)
    while wanted:
        answers = _Answers(client, file, [(start + len(pieces[start]), ends[start]) for start in wanted])
        got = answers.all()
        for start, data in zip(wanted, got, strict=True):
            pieces[start] += data
        # A server may answer with less than was asked for; with nothing, it is the end.
        wanted = [
            start
            for start, data in zip(wanted, got, strict=True)
            if data and start + len(pieces[start]) < ends[start]
        ]
    return b"".join(pieces.values())


class _Answers:
    """What the client calls with the answers to requests that were sent together, in whatever order they come."""

    def __init__(self, client: Any, file: Any, spans: list[tuple[int, int]]) -> None:
        from paramiko.sftp import CMD_READ, int64

        self._client = client
        self._failure: OSError | None = None
        self._data: dict[int, bytes] = {}
        self._numbers = [
            client._async_request(self, CMD_READ, file.handle, int64(start), end - start)
            for start, end in spans
        ]

    def all(self) -> list[bytes]:
        while len(self._data) < len(self._numbers):
            self._client._read_response()
        if self._failure is not None:
            raise self._failure
        return [self._data[number] for number in self._numbers]

    def _async_response(self, kind: int, message: Any, number: int) -> None:
        from paramiko.sftp import CMD_DATA

        self._data[number] = b""
        if kind == CMD_DATA:
            self._data[number] = message.get_string()
            return
        try:
            self._client._convert_status(message)
        except EOFError:
            return
        except OSError as error:
            self._failure = error
