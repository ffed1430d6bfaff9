"""Lines of logs: by a known pattern or a regular expression, whose groups become columns of texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import methodcaller
from typing import Any

import msgspec
from msgspec import Raw

from tap_files.formats.contract import BadRow, Bytes, OtherSettings, Piece, Spot
from tap_files.formats.logfmt import logfmt_pairs
from tap_files.formats.patience import TooSlowError, patience
from tap_files.formats.wholelines import SHOWN, Block, WholeLines
from tap_files.settings.log import LogSettings

__all__ = ["KNOWN", "LogReader", "reader_of"]

_BLOCK_SECONDS, _ROW_SECONDS = 2.0, 0.5
"""Of the processor's: for the rows of a piece, and for one of a piece that took longer."""

_QUOTED = r'[^"\\]*+(?:\\.[^"\\]*+)*+'
_COMMON = (
    r"(?P<host>\S++) (?P<ident>\S++) (?P<user>[^\[\]]+) \[(?P<time>[^\]]++)\] "
    r'"(?=(?:(?P<method>[A-Z]++) (?P<path>[^ "\\]*+(?:\\.[^ "\\]*+)*+)(?: (?P<protocol>[A-Z]++/[\d.]++))?")?)'
    rf'(?P<request>{_QUOTED})" (?P<status>\d{{3}}|-) (?P<bytes>\d++|-)'
)
KNOWN = {
    "common": _COMMON,
    "combined": rf'{_COMMON} "(?P<referer>{_QUOTED})" "(?P<agent>{_QUOTED})"',
    "syslog": (
        r"(?:<(?P<priority>\d{1,3})>)?(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\S++) (?P<host>\S++) "
        r"(?:(?P<tag>[^:\[\]\s]++)(?:\[(?P<pid>[^\]]*+)\])?: ?)?(?P<message>.*)"
    ),
    "rfc5424": (
        r"<(?P<priority>\d{1,3})>(?P<version>\d{1,2}) (?P<time>\S++) (?P<host>\S++) (?P<app>\S++) (?P<pid>\S++) (?P<message_id>\S++) "
        rf'(?P<data>-|(?:\[(?:[^\]\\"]|"{_QUOTED}")*+\])++)(?: \ufeff?(?P<message>.*))?'
    ),
}
"""Expressions by the names of `log.pattern`. In all of them `-` stands for nothing, but in texts of any kind."""
_FREE = ("message", "request")
_NOTHING = "-"
_encoder = msgspec.json.Encoder()


@dataclass(slots=True)
class _Rows:
    """Texts of rows; the line on which each begins, and the block that has it; what is wrong with some, by their index here."""

    texts: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)

    def add(self, text: str, begin: tuple[Block, int], fault: str | None = None) -> None:
        """Add a row that begins in a line of a block."""
        block, index = begin
        if fault is not None:
            self.faults[len(self.texts)] = fault
        self.texts.append(text)
        self.lines.append(block.line + index + 1)
        self.blocks.append(block)

    def byte(self, at: int) -> int:
        """Return the byte where a row begins."""
        block = self.blocks[at]
        return block.byte_of(self.lines[at] - block.line - 1)


class LogReader:
    """See `formats.contract.Reader`."""

    def __init__(self, settings: LogSettings, content: Bytes, start: Spot) -> None:
        self._lines = WholeLines(content, start, settings.encoding, "log.encoding", settings.max_row_bytes)
        self._count = start.row
        self._start = re.compile(settings.row_start) if settings.row_start else None
        self._rows = (
            _single
            if self._start is None
            else SeveralLines(self._start, content, settings.max_row_bytes).rows
        )
        self._is_logfmt = settings.pattern == "logfmt"
        self._has_nothing = settings.pattern in KNOWN
        text = KNOWN.get(settings.pattern or "", settings.expression or "")
        pattern = re.compile(text, re.DOTALL if self._start else 0)
        self._match: Callable[[str], re.Match[str] | None] = pattern.fullmatch
        self._names = sorted(pattern.groupindex, key=pattern.groupindex.__getitem__)
        numbers = [pattern.groupindex[name] - 1 for name in self._names]
        self._groups: Callable[[Any], Sequence[Any]] = (
            _groups if len(numbers) == pattern.groups else lambda match: _chosen(match.groups(), numbers)
        )
        self._what = f"the pattern `{settings.pattern}`" if settings.pattern else "`log.expression`"
        self.fields: Mapping[str, Mapping[str, Any] | None] | None = (
            None if self._is_logfmt else dict.fromkeys(self._names)
        )

    def pieces(self) -> Iterator[Piece]:
        """See `formats.contract.Reader.pieces`."""
        for rows, byte, line in self._rows(self._lines.blocks()):
            self._count += len(rows.texts)
            behind = Spot(byte, line, self._count, self._lines.context)
            yield self._records(rows, behind) if self._is_logfmt else self._columns(rows, behind)

    def _columns(self, rows: _Rows, behind: Spot) -> Piece:
        matches = self._matches(rows)
        names, good = self._names, _sifted(matches, rows.faults)
        found = list(map(self._groups, good))
        columns: Sequence[Sequence[Any]] = list(zip(*found, strict=True))
        if self._has_nothing:
            columns = [_without_nothing(name, column) for name, column in zip(names, columns, strict=False)]
        by_name = dict(zip(names, columns or [()] * len(names), strict=True))
        return self._piece(rows, behind, len(good), columns=by_name)

    def _records(self, rows: _Rows, behind: Spot) -> Piece:
        records = list[Raw]()
        for index, text in enumerate(rows.texts):
            if index not in rows.faults:
                try:
                    records.append(Raw(_encoder.encode(logfmt_pairs(text))))
                except (ValueError, UnicodeError) as error:
                    rows.faults[index] = str(error)
        return self._piece(rows, behind, len(records), records=records)

    def _matches(self, rows: _Rows) -> list[re.Match[str] | None]:
        """Match all rows, and note those that do not fit."""
        try:
            with patience(_BLOCK_SECONDS):
                matches = list(map(self._match, rows.texts))
        except TooSlowError:
            matches = [self._patiently(rows, index) for index in range(len(rows.texts))]
        if None in matches:
            fault = f"Expected a row that {self._what} fits, got another one"
            for index, match in enumerate(matches):
                if match is None:
                    rows.faults.setdefault(index, fault)
        return matches

    def _patiently(self, rows: _Rows, index: int) -> re.Match[str] | None:
        try:
            with patience(_ROW_SECONDS):
                return self._match(rows.texts[index])
        except TooSlowError:
            rows.faults.setdefault(
                index,
                f"Expected a row for which {self._what} takes less than {_ROW_SECONDS} seconds, got one for which it takes longer; what cannot "
                "fit should fail at once: write `a++` in place of `a+`, `(?>...)` in place of `(...)`, and no repetition in a repetition",
            )
            return None

    def _piece(
        self,
        rows: _Rows,
        behind: Spot,
        count: int,
        columns: Mapping[str, Sequence[Any]] | None = None,
        records: Sequence[Raw] | None = None,
    ) -> Piece:
        first = behind.row - len(rows.texts) + 1
        numbers: Sequence[int] = range(first, first + len(rows.texts))
        lines: Sequence[int] = rows.lines
        bad = [
            BadRow(first + at, lines[at], rows.byte(at), rows.faults[at], rows.texts[at][:SHOWN])
            for at in sorted(rows.faults)
        ]
        if bad:
            numbers, lines = _sifted(numbers, rows.faults), _sifted(lines, rows.faults)
        return Piece(count, numbers, columns, records, lines, behind, bad)


_groups = methodcaller("groups")


def _chosen(groups: Sequence[Any], numbers: Sequence[int]) -> Sequence[Any]:
    return [groups[number] for number in numbers]


def _byte(begin: tuple[Block, int]) -> int:
    block, index = begin
    return block.byte_of(index)


def _sifted(values: Sequence[Any], faults: Mapping[int, str]) -> Sequence[Any]:
    return values if not faults else [value for index, value in enumerate(values) if index not in faults]


def _without_nothing(name: str, values: Sequence[str | None]) -> Sequence[str | None]:
    if name in _FREE or _NOTHING not in values:
        return values
    return [None if value == _NOTHING else value for value in values]


def _texts_of(block: Block) -> list[str]:
    texts = b"\n".join(block.texts).decode().split("\n")
    return [text.removesuffix("\r") for text in texts]


_Cut = Iterator[tuple[_Rows, int, int]]


def _single(blocks: Iterator[Block]) -> _Cut:
    """Yield the rows of each block, a line each, with the bytes and lines of the file up to where they end."""
    for block in blocks:
        texts = _texts_of(block)
        if not block.faults and all(texts) and not any(map(str.isspace, texts)):
            rows = _Rows(
                texts, list(range(block.line + 1, block.line + 1 + len(texts))), [block] * len(texts)
            )
        else:
            rows = _Rows()
            for index, text in enumerate(texts):
                if text and not text.isspace():
                    rows.add(text, (block, index), block.faults.get(index))
        yield rows, block.end, block.line + len(block.texts)


class SeveralLines:
    """Puts rows of several lines together; ``most``: bytes that one may have."""

    def __init__(self, start: re.Pattern[str], content: Bytes, most: int) -> None:
        self._begins, self._content, self._most = start.match, content, most
        self._held: list[str] = []
        """Lines of the row that may go on."""
        self._begin: tuple[Block, int] | None = None
        """Where it begins."""
        self._fault: str | None = None
        self._size = 0

    def rows(self, blocks: Iterator[Block]) -> _Cut:
        """As `_single`: the row that may go on in the next block waits, and the place where it begins is the end."""
        block: Block | None = None
        for block in blocks:
            rows = _Rows()
            texts = _texts_of(block)
            for index, (text, is_first) in enumerate(zip(texts, self._are_first(texts), strict=True)):
                if is_first:
                    self._end(rows)
                    self._begin = block, index
                elif self._begin is None:
                    if not text.strip():
                        continue
                    self._begin, self._fault = (
                        (block, index),
                        "Expected a row that begins as `log.row_start` says, got another line",
                    )
                self._hold(text, block.faults.get(index))
            if self._begin is None:
                yield rows, block.end, block.line + len(block.texts)
            else:
                yield rows, _byte(self._begin), self._begin[0].line + self._begin[1]
        if block is not None and self._begin is not None and self._content.is_whole:
            rows = _Rows()
            self._end(rows)
            yield rows, block.end, block.line + len(block.texts)

    def _are_first(self, texts: list[str]) -> list[bool]:
        try:
            with patience(_BLOCK_SECONDS):
                return [self._begins(text) is not None for text in texts]
        except TooSlowError:
            raise OtherSettings(
                f"Expected `log.row_start` to take less than {_BLOCK_SECONDS} seconds for {len(texts)} lines, got such as take longer; mend the "
                "expression: no repetition in a repetition"
            ) from None

    def _hold(self, text: str, fault: str | None) -> None:
        self._size += len(text) + 1
        if self._size > self._most:
            self._fault = (
                self._fault
                or f"Expected a row of at most {self._most} bytes, got a longer one; does `log.row_start` fit?"
            )
        else:
            self._held.append(text)
        self._fault = self._fault or fault

    def _end(self, rows: _Rows) -> None:
        if self._begin is not None:
            rows.add("\n".join(self._held).rstrip("\n"), self._begin, self._fault)
        self._held, self._begin, self._fault, self._size = [], None, None, 0


def reader_of(settings: LogSettings, content: Bytes, start: Spot) -> LogReader:
    """See `formats.contract.Reader`."""
    return LogReader(settings, content, start)
