"""Read the wire: chunks of whole lines, bounded in bytes, never waiting longer than needed for a slow pipe."""

from __future__ import annotations

import io
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag

__all__ = ["Chunk", "has_come", "read_chunks"]

_MARK = b"\xef\xbb\xbf"
_READ_SIZE = 1 << 20
_PIPE_SIZE = 1 << 20
_F_SETPIPE_SZ = 1031  # Linux; a larger pipe lets tap and target work in longer turns


@dataclass(frozen=True)
class Chunk:
    """Whole lines, ``lines`` of them; ``first_line`` counts from 1, ``offset`` is in bytes from the start.

    ``is_cut`` marks a last line that the input did not end with a newline.
    """

    data: bytes
    lines: int
    first_line: int
    offset: int
    is_cut: bool = False


def read_chunks(
    source: IO[Any], *, chunk_bytes: int, max_line_bytes: int, wait_seconds: float, stop: StopFlag
) -> Iterator[Chunk]:
    """Yield the input in chunks of about ``chunk_bytes``, or what came within ``wait_seconds``.

    A silent pipe gives an empty chunk from time to time, so that the caller can commit what waits. Ends early,
    without the rest of the input, when ``stop`` is set.

    Raises:
        BadDataError: a line is longer than ``max_line_bytes``.
    """
    read = _reader(source, stop)
    line, offset = 1, 0
    rest = bytearray()  # of a line whose end has not come
    ended = False
    while not ended and not stop:
        parts, ended = _gather(read, chunk_bytes, wait_seconds)
        is_silent = not parts
        if not offset and len(rest) < len(_MARK):
            parts = [_without_mark(b"".join([rest, *parts]))]
            rest.clear()
        whole = _cut(rest, parts, is_long=len(rest) >= chunk_bytes)
        parts.clear()  # nothing is held here twice, nor while another line comes
        while whole:
            lines, size = whole[0].count(b"\n"), len(whole[0])
            yield from _checked(whole.pop(0), lines, line, offset, max_line_bytes)
            line += lines
            offset += size
        if len(rest) > max_line_bytes:
            raise _too_long(line, max_line_bytes)
        if ended and not stop and rest:
            if not rest.isspace():
                yield Chunk(b"".join([rest, b"\n"]), 1, line, offset, is_cut=True)
            return
        if is_silent:
            yield Chunk(b"", 0, line, offset)


def _without_mark(start: bytes) -> bytes:
    """A byte order mark is tolerated; offsets stay true."""
    return b" " * len(_MARK) + start[len(_MARK) :] if start.startswith(_MARK) else start


def _cut(rest: bytearray, parts: list[bytes], *, is_long: bool) -> list[bytes]:
    """Return the whole lines of what has come, and leave what stands behind them in ``rest``, where no line ends before.

    The line that begins there is given by itself where it ``is_long``, so that nothing is copied with it later.
    """
    whole = []
    if is_long:
        for number, part in enumerate(parts):
            end = part.find(b"\n") + 1
            if end:
                whole.append(b"".join([rest, *parts[:number], memoryview(part)[:end]]))
                parts = [part[end:], *parts[number + 1 :]]
                rest.clear()
                break
    for number in reversed(range(len(parts))):
        last = parts[number]
        end = last.rfind(b"\n") + 1
        if end:
            whole.append(b"".join([rest, *parts[:number], memoryview(last)[:end]]))
            parts = [last[end:], *parts[number + 1 :]]
            rest.clear()
            break
    for part in parts:
        rest += part
    return whole


def _checked(data: bytes, lines: int, line: int, offset: int, max_line_bytes: int) -> Iterator[Chunk]:
    if not data:
        return
    if len(data) > max_line_bytes:
        start = 0
        for index, part in enumerate(data.split(b"\n")):
            if len(part) > max_line_bytes:
                yield Chunk(data[:start], index, line, offset)
                raise _too_long(line + index, max_line_bytes)
            start += len(part) + 1
    yield Chunk(data, lines, line, offset)


def _too_long(line: int, limit: int) -> BadDataError:
    return BadDataError(
        f"Expected lines of at most {limit} bytes (max_line_bytes), got a longer one at line {line}; "
        "what was committed is safe: raise max_line_bytes if such records are right, then run again."
    )


def _gather(
    read: Callable[[float], bytes | None], chunk_bytes: int, wait_seconds: float
) -> tuple[list[bytes], bool]:
    """Collect input until there is enough or time is up; True at the end of the input."""
    parts: list[bytes] = []
    size = 0
    deadline = time.monotonic() + wait_seconds
    while size < chunk_bytes:
        timeout = deadline - time.monotonic()
        if timeout <= 0:
            break
        data = read(timeout)
        if data is None:
            break
        if not data:
            return parts, True
        parts.append(data)
        size += len(data)
    return parts, False


def has_come(source: IO[Any]) -> bool:
    """Tell whether the input, its end included, can be read without waiting for it."""
    try:
        return bool(select.select([source.fileno()], [], [], 0)[0])
    except (io.UnsupportedOperation, AttributeError, OSError):
        return True


def _reader(source: IO[Any], stop: StopFlag) -> Callable[[float], bytes | None]:
    """Return read(timeout): bytes, b"" at the end, None when time ran out or a signal came."""
    try:
        descriptor = source.fileno()
    except (io.UnsupportedOperation, AttributeError, OSError):
        return lambda _timeout: _as_bytes(source.read(_READ_SIZE))
    _enlarge_pipe(descriptor)

    def read(timeout: float) -> bytes | None:
        watched = [descriptor] if stop.wakeup_fd is None else [descriptor, stop.wakeup_fd]
        ready, _, _ = select.select(watched, [], [], timeout)
        if stop or descriptor not in ready:
            return None
        return os.read(descriptor, _READ_SIZE)

    return read


def _as_bytes(data: str | bytes) -> bytes:
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data


def _enlarge_pipe(descriptor: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE_SIZE)
    except (ImportError, OSError):
        return  # not a pipe, or not Linux: only slower
