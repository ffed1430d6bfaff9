"""Read the wire: chunks of whole lines, bounded in bytes, never waiting longer than needed for a slow pipe."""

from __future__ import annotations

import io
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag

__all__ = ["Chunk", "read_chunks"]

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
    rest = b""
    ended = False
    while not ended and not stop:
        parts, ended = _gather(read, chunk_bytes, wait_seconds)
        pieces = [rest, *parts]
        if line == 1 and offset == 0:
            data = b"".join(pieces)
            # A byte order mark is tolerated; offsets stay true.
            pieces = [b" " * 3 + data[3:] if data.startswith(b"\xef\xbb\xbf") else data]
        whole, rest = _cut(pieces)
        lines = whole.count(b"\n")
        if ended and not stop and rest:
            yield from _checked(whole, lines, line, offset, max_line_bytes)
            line += lines
            if len(rest) > max_line_bytes:
                raise _too_long(line, max_line_bytes)
            if rest.strip():
                yield Chunk(rest + b"\n", 1, line, offset + len(whole), is_cut=True)
            return
        if len(rest) > max_line_bytes:
            yield from _checked(whole, lines, line, offset, max_line_bytes)
            raise _too_long(line + lines, max_line_bytes)
        if not parts:
            yield Chunk(b"", 0, line, offset)
        elif whole:
            yield from _checked(whole, lines, line, offset, max_line_bytes)
            line += lines
            offset += len(whole)


def _cut(pieces: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the whole lines of what has come, and what stands behind them; each byte is copied once."""
    for number in reversed(range(len(pieces))):
        last = pieces[number]
        end = last.rfind(b"\n") + 1
        if end:
            whole = b"".join([*pieces[:number], memoryview(last)[:end]])
            return whole, b"".join([memoryview(last)[end:], *pieces[number + 1 :]])
    return b"", b"".join(pieces)


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
