"""Cut a chunk into runs of RECORD lines of one stream and single messages of other kinds.

On the usual stream, where every line of a chunk begins alike, no Python runs per line. Lines of many streams by turns are one run of
each between two messages of another kind: nobody behind this looks at each turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_wire.columns import Columns, joined_columns
from singerkit_wire.lines import Chunk

__all__ = [
    "Message",
    "Run",
    "Splitter",
    "as_version",
    "decoded",
    "state_text",
]

_INTEGER = re.compile(r"-?[0-9]{1,19}\Z", re.ASCII)
_RECORD = b'"record"'
_LENGTH = len(_RECORD)
_MOST_KNOWN, _LONGEST_KNOWN = 10_000, 500  # ways in which lines begin, and bytes of one
_LONG_LINE = 1 << 16  # bytes; a chunk of such lines is not held twice
_LEAST, _MOST = -(2**63), 2**63 - 1


class _Header(msgspec.Struct, gc=False):
    type: str
    stream: str | None = None


class Run(msgspec.Struct, frozen=True, gc=False):
    """RECORD lines of one stream, whole and in order, ``lines`` of them; ``held``: those, or the columns that they are written of on demand.

    ``numbers`` tells the line numbers where the lines did not follow each other. ``ends`` is how many lines are no records, and
    say where the elements of lists end (`unnesting.py`).
    """

    stream: str
    held: bytes | Columns
    lines: int
    first_line: int
    numbers: tuple[int, ...] = ()
    ends: int = 0

    @property
    def data(self) -> bytes:
        """The lines."""
        return self.held.data if isinstance(self.held, Columns) else self.held

    @property
    def columns(self) -> Columns | None:
        """The records in columns, where they stand so."""
        return self.held if isinstance(self.held, Columns) else None

    @property
    def size(self) -> int:
        """About how many bytes the lines are, which need not be written for it."""
        return self.held.size if isinstance(self.held, Columns) else len(self.held)

    def line_number(self, index: int) -> int:
        return self.numbers[index] if self.numbers else self.first_line + index


class Message(msgspec.Struct, frozen=True, gc=False):
    """One line of another kind; ``type`` in upper case."""

    type: str
    stream: str | None
    line: bytes
    number: int


def decoded(message: Message, type_: Any) -> Any:
    """Return a message as a msgspec type.

    Raises:
        BadDataError: it is not of that shape.
    """
    try:
        return msgspec.json.decode(message.line, type=type_)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadDataError(
            f"The {message.type} message at line {message.number} is not valid: {error}."
        ) from None


class _State(msgspec.Struct):
    value: msgspec.Raw


_state_decoder = msgspec.json.Decoder(_State)


def state_text(state: Message) -> str:
    """Return the value of a STATE message as it was sent.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: msgspec does not read it, as half of a surrogate pair.
    """
    return str(bytes(_state_decoder.decode(state.line).value), "utf-8")


def joined_runs(runs: Sequence[Run]) -> Run:
    """Return runs of one stream as one; in columns, where all of them are alike in those."""
    first = runs[0]
    numbers = tuple(run.line_number(index) for run in runs for index in range(run.lines))
    held = joined_columns([run.columns for run in runs])
    return Run(
        first.stream,
        b"".join(run.data for run in runs) if held is None else held,
        len(numbers),
        first.first_line,
        numbers,
        sum(run.ends for run in runs),
    )


class _Lines(msgspec.Struct):
    """Lines of a stream that follow each other in ``data``, from ``start`` to ``end``."""

    data: bytes
    stream: str
    first_line: int
    start: int
    end: int
    lines: int = 1


def _run(pieces: list[_Lines]) -> Run:
    first = pieces[0]
    if len(pieces) == 1:
        return Run(first.stream, first.data[first.start : first.end], first.lines, first.first_line)
    data = b"".join([piece.data[piece.start : piece.end] for piece in pieces])
    numbers = tuple(
        [number for piece in pieces for number in range(piece.first_line, piece.first_line + piece.lines)]
    )
    return Run(first.stream, data, len(numbers), first.first_line, numbers)


_header_decoder = msgspec.json.Decoder(_Header)


class Splitter:
    """Remembers, per stream, how its RECORD lines begin."""

    def __init__(self) -> None:
        self._prefix = b""
        self._prefix_stream = ""
        self._streams: dict[bytes, str] = {}

    def split(self, chunk: Chunk) -> Iterator[Run | Message]:
        """Yield the messages of a chunk in order, and before each the records that stand there, a run of each stream.

        Raises:
            BadDataError: a line is not a JSON object with a ``type``, or a RECORD names no stream.
        """
        if self._is_one_run(chunk):
            yield Run(self._prefix_stream, chunk.data, chunk.lines, chunk.first_line)
            return
        current: _Lines | None = None
        waiting: dict[str, list[_Lines]] = {}
        start = 0
        for number, line in enumerate(_lines_of(chunk), chunk.first_line):
            begin, start = start, start + len(line) + 1
            if self._prefix and line.startswith(self._prefix):
                kind, stream = "RECORD", self._prefix_stream
            elif (known := self._streams.get(prefix := line[: line.find(_RECORD) + _LENGTH])) is not None:
                kind, stream = "RECORD", known
                self._prefix, self._prefix_stream = prefix, known
            elif not line or line.isspace():
                continue
            else:
                kind, stream = self._classify(line, number, chunk.offset + begin)
            if kind == "RECORD" and current is not None and (current.stream, current.end) == (stream, begin):
                current.end = start
                current.lines += 1
                continue
            if kind == "RECORD":
                current = _Lines(chunk.data, stream, number, begin, start)
                waiting.setdefault(stream, []).append(current)
                continue
            yield from map(_run, waiting.values())
            waiting.clear()
            current = None
            yield Message(kind, stream or None, line, number)
        yield from map(_run, waiting.values())

    def _is_one_run(self, chunk: Chunk) -> bool:
        """Tell whether all lines begin with the prefix: counting it is quicker than to look behind each line's end."""
        prefix = self._prefix
        if not prefix or not chunk.data.startswith(prefix):
            return False
        return chunk.data.count(b"\n" + prefix) == chunk.lines - 1

    def _classify(self, line: bytes, number: int, offset: int) -> tuple[str, str]:
        header = _header_of(line, number, offset)
        kind = header.type.upper()
        if kind == "RECORD":
            if header.stream is None:
                raise BadDataError(
                    f"Expected `stream` in the RECORD at line {number}, which has none; "
                    "what was committed is safe: fix the tap, then run again."
                )
            self._learn(line, header.stream)
        return kind, header.stream or ""

    def _learn(self, line: bytes, stream: str) -> None:
        """Take the bytes before ``"record"`` as the prefix, if they alone say type and stream."""
        at = line.find(_RECORD)
        if at < 0:
            return
        prefix = line[: at + _LENGTH]
        try:
            header = _header_decoder.decode(prefix + b":null}")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return
        if header.type.upper() == "RECORD" and header.stream == stream:
            self._prefix, self._prefix_stream = prefix, stream
            if len(self._streams) < _MOST_KNOWN and len(prefix) <= _LONGEST_KNOWN:
                self._streams[prefix] = stream


def _lines_of(chunk: Chunk) -> Iterable[bytes]:
    """The lines of a chunk, and what stands behind the last; long ones one after the other."""
    data = chunk.data
    return _one_by_one(data) if len(data) > _LONG_LINE * chunk.lines else data.split(b"\n")


def _one_by_one(data: bytes) -> Iterator[bytes]:
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        yield data[start:end]
        start = end + 1
    yield data[start:]


def _header_of(line: bytes, number: int, offset: int) -> _Header:
    try:
        return _header_decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        try:
            # The standard library reads what the exact path has a policy for: lone surrogates, NaN, Infinity.
            return msgspec.convert(json.loads(line), _Header)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            raise _malformed(line, number, offset, error) from None


def _malformed(line: bytes, number: int, offset: int, error: Exception) -> BadDataError:
    if isinstance(error, RecursionError):
        finding = "one nested too deeply"
    elif isinstance(error, UnicodeDecodeError):
        finding = "bytes that are not UTF-8"
    elif isinstance(error, msgspec.ValidationError):
        finding = "one without a text `type`" if line.lstrip().startswith(b"{") else "another JSON value"
    else:
        finding = "text that is not JSON"
    return BadDataError(
        f"Expected a Singer message (a JSON object), got {finding} at line {number} (byte {offset}); "
        "what was committed is safe: fix the tap, then run again."
    )


def as_version(value: Any) -> int:
    """Return the ``version`` of a message, which some taps write as text.

    Raises:
        ValueError: it is no integer of 64 bits.
    """
    if isinstance(value, str) and _INTEGER.match(value):
        value = int(value)
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or not _LEAST <= value <= _MOST or value != int(value):
        raise ValueError("Expected an integer of 64 bits in `version`")
    return int(value)
