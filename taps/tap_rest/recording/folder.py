"""The folder of a recording: `exchanges.ndjson`, an exchange a line, and `bodies/` of what is too long for one.

The first line says what the run began with, the last one that it has ended; without that the recording was cut off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.http.storing import MEMORY, PIECE, Disk, Span

__all__ = ["FORMAT", "FolderReader", "FolderWriter", "FullError"]

FORMAT = 1
_FILE, _BODIES = "exchanges.ndjson", "bodies"
_IN_LINE = 2048  # bytes
_BODY_FILE = re.compile(r"bodies/[0-9]{6,}\.(?:json|csv|xml|txt|bin)")
_KINDS = (("json", "json"), ("csv", "csv"), ("xml", "xml"), ("text", "txt"))
_LONGEST_LINE = 64 << 20


class FullError(Exception):
    """The recording has as many bytes as it may have."""


class FolderWriter:
    """Writes a recording of ``limit`` bytes at most into a new folder that nobody else may read.

    Raises (all methods):
        CannotWriteError: the disk does not take it.
    """

    def __init__(self, folder: str, limit: int) -> None:
        """Make the folder.

        Raises:
            ConfigurationError: it is there already, with something in it.
        """
        self._folder, self._left, self._number = Path(folder), limit, 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(self._folder.iterdir()):
                raise ConfigurationError(
                    f"The folder {folder} holds something already; nothing was asked: name a new one for the recording."
                )
            (self._folder / _BODIES).mkdir(mode=0o700)
            self._file = self._opened(_FILE)
        except OSError as error:
            raise self._failure(error) from None

    def _opened(self, name: str) -> BinaryIO:
        return open(
            os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        )

    def _failure(self, error: OSError) -> CannotWriteError:
        return CannotWriteError(
            f"The recording in {self._folder} cannot be written ({error.strerror}); rows read so far are safe: make room there, or name "
            "another folder."
        )

    def line(self, told: Mapping[str, Any]) -> None:
        """Write a line.

        Raises:
            FullError: it is beyond the limit.
        """
        text = msgspec.json.encode(told) + b"\n"
        self._take(len(text))
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise self._failure(error) from None

    def last_line(self, told: Mapping[str, Any]) -> None:
        """Write the line that makes the recording whole, whatever the limit says."""
        self._left += PIECE
        self.line(told)
        try:
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._failure(error) from None

    def body(self, pieces: Iterable[bytes], content_type: str) -> dict[str, str]:
        """Return what a line holds of a body: its text, or the name of the file where it is, written by now.

        Raises:
            FullError: it is beyond the limit.
        """
        head, rest = b"", iter(pieces)
        for piece in rest:
            head += piece
            if len(head) > _IN_LINE:
                break
        if len(head) <= _IN_LINE and _is_text(head):
            return {"body": head.decode()} if head else {}
        self._number += 1
        name = f"{_BODIES}/{self._number:06}.{_extension(content_type, head)}"
        try:
            with self._opened(name) as file:
                try:
                    for piece in chain([head], rest):
                        self._take(len(piece))
                        file.write(piece)
                except FullError:
                    os.unlink(self._folder / name)
                    raise
        except OSError as error:
            raise self._failure(error) from None
        return {"body_file": name}

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FullError


def _is_text(body: bytes) -> bool:
    try:
        return "\0" not in body.decode()
    except UnicodeDecodeError:
        return False


def _extension(content_type: str, head: bytes) -> str:
    if head.lstrip()[:1] in (b"{", b"["):
        return "json"
    return next((ending for part, ending in _KINDS if part in content_type.lower()), "bin")


class FolderReader:
    """Reads a recording."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines; one at the end that was cut off is left out.

        Raises:
            ConfigurationError: there is no recording.
            BadDataError: a line is none of a recording.
        """
        path = self._folder / _FILE
        try:
            with open(path, "rb") as file:
                number = 0
                while text := file.readline(_LONGEST_LINE):
                    number += 1
                    if not text.endswith(b"\n"):
                        return
                    yield self._line(text, number)
        except OSError as error:
            raise ConfigurationError(
                f"There is no recording to be read in {self._folder} ({error.strerror}: {_FILE}); nothing was read: `tap-rest record` makes one."
            ) from None

    def _line(self, text: bytes, number: int) -> dict[str, Any]:
        try:
            line = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise BadDataError(
                f"Expected an object at line {number} of {self._folder / _FILE}, got something else; nothing of it is used: record again."
            )
        return line

    def body(self, told: Mapping[str, Any]) -> bytes | Span:
        """Return the body that a line tells of.

        Raises:
            BadDataError: its file is not there.
        """
        name = told.get("body_file")
        if name is None:
            return str(told.get("body", "")).encode()
        try:
            if not _BODY_FILE.fullmatch(str(name)):
                raise FileNotFoundError(2, "no file of a recording")
            file = open(self._folder / str(name), "rb")  # noqa: SIM115  a span outlives this
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise BadDataError(
                f"The recording in {self._folder} lacks the file `{redactor.mask_foreign(str(name))[:40]}` ({error.strerror}), which holds an answer; record again."
            ) from None
        if size > MEMORY:
            return Span(Disk(file), 0, size)
        with file:
            return file.read()
