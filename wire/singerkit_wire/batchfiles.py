"""The files that a BATCH message names become runs of RECORD lines, as if the tap had written them into the pipe (SINGER-RULES X04 to X10).

A file is read in chunks and never held; nothing is deleted. A unit of commit that is written again reads its files again.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import StopFlag
from singerkit_wire.lines import Chunk, read_chunks
from singerkit_wire.messages import Message, Run, as_version, decoded

__all__ = ["BatchFile", "batch_files"]

_FORMATS = ("jsonl", "parquet", "arrow")
_COMPRESSIONS = ("none", "gzip")
_HERE = ("", "localhost")
_one_value_each = msgspec.json.Decoder(msgspec.Raw)


class _Encoding(msgspec.Struct):
    format: str
    compression: str | None = None


class _Batch(msgspec.Struct):
    stream: str
    encoding: _Encoding
    manifest: list[str]
    version: Any = None


class _Unreadable(BadDataError):
    """A batch file cannot be read to its end."""


class BatchFile:
    """One file of a BATCH message, ``name`` as the message calls it."""

    def __init__(self, name: str, message: Message, batch: _Batch, head: bytes) -> None:
        self.name = name
        self._path, self._message, self._encoding, self._head = _path_of(name), message, batch.encoding, head
        self._stream = batch.stream

    def runs(self, *, chunk_bytes: int, max_line_bytes: int, stop: StopFlag) -> Iterator[Run]:
        """Yield the records in order as RECORD lines; line numbers are those of the file (rows, where it has columns).

        Raises:
            BadDataError: there is no such file, or it cannot be read to its end.
            Stopped: a signal came; the file was not read to its end.
        """
        with self._told(), self._opened(chunk_bytes) as source:
            chunks = read_chunks(
                source, chunk_bytes=chunk_bytes, max_line_bytes=max_line_bytes, wait_seconds=60, stop=stop
            )
            for chunk in chunks:
                stop.raise_if_set("nothing of the unit under way was committed.")
                if chunk.data.strip():
                    yield self._run(chunk)
            stop.raise_if_set("nothing of the unit under way was committed.")

    def in_it(self, error: BadDataError) -> BadDataError:
        """Return the error of a record with the file that it stands in; one of the file itself as it is."""
        if isinstance(error, _Unreadable):
            return error
        return BadDataError(f"{error} That line is one of the batch file `{self.name}`, {self._named}.")

    @property
    def _named(self) -> str:
        return f"which the BATCH at line {self._message.number} names"

    def _run(self, chunk: Chunk) -> Run:
        lines = chunk.data[:-1].split(b"\n")
        kept = [index for index, line in enumerate(lines) if line.strip()]
        numbers = tuple(chunk.first_line + index for index in kept)
        lines = [lines[index] for index in kept]
        _check_each_is_a_value(lines, numbers)
        data = self._head + (b"}\n" + self._head).join(lines) + b"}\n"
        return Run(self._stream, data, len(lines), numbers[0], numbers)

    @contextmanager
    def _opened(self, most: int) -> Iterator[IO[bytes]]:
        with open(self._path, "rb", opener=_at_once) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise BadDataError("it is no regular file")
            yield self._content(file, most)
            after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise BadDataError("it was changed while it was read")

    def _content(self, file: IO[bytes], most: int) -> Any:
        if self._encoding.format != "jsonl":
            from singerkit_wire.columnfiles import ColumnFile

            return ColumnFile(file, self._encoding.format)
        is_packed = self._encoding.compression == "gzip"
        return _Content(gzip.GzipFile(fileobj=file) if is_packed else file, most)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say of an error which file it is about."""
        try:
            yield
        except (OSError, EOFError, zlib.error) as error:
            why = "there is none" if isinstance(error, FileNotFoundError) else _reason(error)
            raise self._unreadable(why) from None
        except BadDataError as error:
            raise self._unreadable(str(error)) from None

    def _unreadable(self, why: str) -> BadDataError:
        return _Unreadable(
            f"The batch file `{self.name}`, {self._named}, cannot be loaded: {why.removesuffix('.')}; what was committed is safe: "
            "let the tap write it again, then run again."
        )


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe would wait for its writer


class _Content:
    """What a file holds, at most ``most`` bytes at a time; without its descriptor, by which the reader would pass over the compression."""

    def __init__(self, file: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, self._most))


def batch_files(message: Message) -> list[BatchFile]:
    """Return the files of a BATCH message; none is opened yet.

    Raises:
        BadDataError: the message is not of the shape of SINGER-RULES X04, or names what cannot be read here.
    """
    batch: _Batch = decoded(message, _Batch)
    encoding = batch.encoding
    _one_of("format", encoding.format, _FORMATS, message)
    if encoding.format == "jsonl":
        _one_of("compression", encoding.compression or "none", _COMPRESSIONS, message)
    head: dict[str, Any] = {"type": "RECORD", "stream": batch.stream}
    if batch.version is not None:
        head["version"] = _version(batch.version, message)
    text = msgspec.json.encode(head)[:-1] + b',"record":'
    return [BatchFile(name, message, batch, text) for name in batch.manifest]


def _version(value: Any, message: Message) -> int:
    try:
        return as_version(value)
    except ValueError as error:
        raise BadDataError(f"The BATCH message at line {message.number} is not valid: {error}.") from None


def _one_of(what: str, value: str, known: tuple[str, ...], message: Message) -> None:
    if value not in known:
        raise BadDataError(
            f"Expected the {what} {', '.join(known[:-1])} or {known[-1]} in the BATCH at line {message.number}, got `{value[:40]}`; what was committed "
            f"is safe: set `{what}` in the `batch_config` of the tap, or turn batches off there, then run again."
        )


def _path_of(name: str) -> Path:
    parts = urlsplit(name)
    is_url = "://" in name or parts.scheme == "file"
    if not is_url:
        return Path(name)
    if parts.scheme != "file" or parts.netloc not in _HERE:
        raise BadDataError(
            f"Expected batch files of this machine (`file:///...`), got one at `{parts.scheme}://{parts.hostname or ''}`; what was "
            "committed is safe: set `storage` in the `batch_config` of the tap to a folder here, or turn batches off there, then run again."
        )
    return Path(unquote(parts.path))


def _check_each_is_a_value(lines: Sequence[bytes], numbers: Sequence[int]) -> None:
    """Refuse a line that is not one JSON value: put into a RECORD it could be read as something else.

    Raises:
        BadDataError: there is one.
    """
    try:
        if len(_one_value_each.decode_lines(b"\n".join(lines))) == len(lines):
            return
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    for number, line in zip(numbers, lines, strict=True):
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            raise BadDataError(f"line {number} is not one JSON value") from None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "it ends in the middle of its compressed data" if isinstance(error, EOFError) else str(error)
