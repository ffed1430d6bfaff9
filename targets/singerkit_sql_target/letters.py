"""Dead letters as they are read again: which there are, and whether the table has had something newer of their keys since.

Which of two rows is newer is told by the bookmark of the stream (`bookmark_properties` of its SCHEMA), else by when the stored one came
(`_sdc_received_at`), in another run than the letter, since rows of one block are written together, and letters behind them; a row of an older version (`_sdc_table_version`) than the table holds is superseded by that. Where none of them tells, nothing does.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from singerkit_sql_target.dialect import Runs, Words
from singerkit_sql_target.methods import Method
from singerkit_sql_target.names import place_of
from singerkit_sql_target.rejects import REJECTS
from singerkit_sql_target.settings import Settings
from singerkit_state.runids import begun_at
from singerkit_wire.batch import SET_ASIDE_BY
from singerkit_wire.declarations import Declaration, read_declaration
from singerkit_wire.messages import Message
from singerkit_wire.stream import VERSION

__all__ = ["Letter", "Letters", "Since"]

T = TypeVar("T")
Ask = Callable[[Callable[[Runs], T], str, T], T]
_RECEIVED = "_sdc_received_at"


class Since(enum.Enum):
    """What the table has had of a letter's key since."""

    NOTHING = "nothing"
    OLDER = "an older row"
    NEWER = "a newer row"
    UNKNOWN = "a row, and nothing tells which is newer"


@dataclass(frozen=True)
class Letter:
    """A record that was set aside; ``declared`` is the SCHEMA that it came under, if that was kept."""

    pipeline: str
    run_id: str
    stream: str
    line: int
    path: str
    reason: str
    record: bytes
    rejected_at: datetime
    declared: str | None

    def declaration(self) -> Declaration | None:
        """Return what the SCHEMA says."""
        if self.declared is None:
            return None
        return read_declaration(Message("SCHEMA", self.stream, self.declared.encode(), self.line))

    @property
    def is_half_mapped(self) -> bool:
        """Whether a map has set it aside: some of its operations were done, and what it hides may be `***`."""
        try:
            return SET_ASIDE_BY in json.loads(self.record)
        except (ValueError, RecursionError, TypeError):
            return False


class _Record(msgspec.Struct):
    record: dict[str, msgspec.Raw]
    version: Any = None


class _Keyed(NamedTuple):
    """A letter with a key: what its SCHEMA says, and the texts of its fields."""

    declaration: Declaration
    keys: Sequence[str]
    values: Mapping[str, str | None]
    version: Any


class Letters:
    """The dead letters of one schema."""

    def __init__(self, words: Words, settings: Settings) -> None:
        self._words, self._settings = words, settings
        self._table = words.quote(settings.schema, REJECTS)

    def read(self, runs: Runs, streams: Sequence[str]) -> list[Letter]:
        """Return those of these streams, of all if there are none, in the order in which they were set aside."""
        found = runs.inspect(self._settings.schema, REJECTS)
        if found is None:
            return []
        declared = "declared" if "declared" in found.columns else "NULL"
        where = f" WHERE stream IN ({', '.join(map(literal, streams))})" if streams else ""
        rows = runs.execute(
            f"SELECT pipeline, run_id, stream, line, path, reason, record, rejected_at, {declared} FROM {self._table}{where} "
            "ORDER BY rejected_at, run_id, line"
        )
        return [
            Letter(pipeline, run_id, stream, line, path, reason, bytes(record), at, said)
            for pipeline, run_id, stream, line, path, reason, record, at, said in rows
        ]

    def removal(self, letter: Letter) -> str:
        """Return the statement that removes a letter: no run has set two records of one line aside."""
        pairs = {"pipeline": letter.pipeline, "run_id": letter.run_id, "stream": letter.stream}
        same = " AND ".join(f"{name} = {literal(value)}" for name, value in pairs.items())
        return f"DELETE FROM {self._table} WHERE {same} AND line = {letter.line}"

    def since(self, letter: Letter, ask: Ask[Since]) -> Since:
        """Tell what the table has had of a letter's key since; ``ask`` gives the last where the store takes no such value."""
        keyed = self._keyed(letter)
        if keyed is None:
            return Since.NOTHING
        declaration, keys, values, version = keyed
        if declaration.lists_of is not None:  # its record may have brought other elements since, or none
            return Since.UNKNOWN
        marks = declaration.bookmark_properties
        mark = marks[0] if isinstance(marks, list) and marks and isinstance(marks[0], str) else None
        mark = self._settings.newest_by.of(letter.stream) or mark
        look = _Look(self._words, self._settings, letter, keys, values, mark, version)
        return ask(look, f"looking for a row of stream `{letter.stream}`", Since.NOTHING)

    def key_of(self, letter: Letter) -> tuple[str, ...] | None:
        """Return the stream and the key of a letter whose row takes the place of another one of that key; None: of no other."""
        keyed = self._keyed(letter)
        return None if keyed is None else (letter.stream, *(str(keyed.values[key]) for key in keyed.keys))

    def _keyed(self, letter: Letter) -> _Keyed | None:
        declaration = letter.declaration()
        keys: Sequence[str] | None = self._settings.keying.fields(letter.stream)
        if keys is None and declaration is not None:
            keys = declaration.key_properties
        if declaration is None or not keys or self._settings.methods.of(letter.stream) is Method.APPEND:
            return None
        try:
            message = msgspec.json.decode(letter.record, type=_Record)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None  # nor can it be loaded
        values = {name: _text(raw) for name, raw in message.record.items()}
        if any(values.get(key) is None for key in keys):
            return None
        return _Keyed(declaration, keys, values, message.version)


@dataclass(frozen=True)
class _Look:
    words: Words
    settings: Settings
    letter: Letter
    keys: Sequence[str]
    values: Mapping[str, str | None]
    mark: str | None
    version: Any

    def __call__(self, runs: Runs) -> Since:
        schema, name = place_of(self.letter.stream, self.settings, self.words)
        found = runs.inspect(schema, name)
        if found is None:
            return Since.NOTHING
        types = {column: one.type for column, one in found.columns.items()}
        table = self.words.quote(schema, name)
        keys = {self._column(key): self.values[key] or "" for key in self.keys}
        if not keys.keys() <= types.keys():
            return Since.NOTHING
        same = " AND ".join(
            f"{self.words.quote(column)} = {self._cast(value, types[column])}"
            for column, value in keys.items()
        )
        rows = runs.execute(f"SELECT {self._is_newer(types)} FROM {table} WHERE {same}")
        if self._is_of_former_version(runs, table, types):
            return Since.NEWER
        if not rows:
            return Since.NOTHING
        told = [newer for (newer,) in rows]
        if None in told:
            return Since.UNKNOWN
        return Since.OLDER if all(told) else Since.NEWER

    def _is_newer(self, types: Mapping[str, str]) -> str:
        """Return the expression that tells whether the letter is newer than a row; NULL: nothing does."""
        mark = "" if self.mark is None else self._column(self.mark)
        value = None if self.mark is None else self.values.get(self.mark)
        if mark in types and value is not None:
            return f"{self._cast(value, types[mark])} > {self.words.quote(mark)}"
        if _RECEIVED in types:
            received, type_ = self.words.quote(_RECEIVED), types[_RECEIVED]
            begun, at = begun_at(self.letter.run_id), self.letter.rejected_at
            before = (
                ""
                if begun is None
                else f" WHEN {received} < {self._cast(begun.isoformat(), type_)} THEN true"
            )
            return f"CASE WHEN {received} >= {self._cast(at.isoformat(), type_)} THEN false{before} END"
        return "CAST(NULL AS BOOLEAN)"

    def _is_of_former_version(self, runs: Runs, table: str, types: Mapping[str, str]) -> bool:
        if VERSION not in types or not isinstance(self.version, int):
            return False
        [(newest,)] = runs.execute(f"SELECT max({self.words.quote(VERSION)}) FROM {table}")
        return newest is not None and int(newest) > self.version

    def _column(self, field: str) -> str:
        return self.words.column_name(self.settings.naming.column(self.letter.stream, field))

    def _cast(self, value: str, type_: str) -> str:
        return f"CAST({literal(value)} AS {type_})"


def literal(text: str) -> str:
    """Return a text as SQL has it; a NUL, which none has, is another character."""
    return "'" + text.replace("\x00", "\ufffd").replace("'", "''") + "'"


def _text(raw: msgspec.Raw) -> str | None:
    """Return a value of JSON as a column reads it; None: it is null, an object or an array."""
    text = bytes(raw).strip()
    if text[:1] == b'"':
        return str(msgspec.json.decode(text, type=str))
    return None if text[:1] in b"[{" or text == b"null" else text.decode()
