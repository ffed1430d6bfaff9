"""RECORD lines that are taken apart: lines again, in which what was inside objects stands beside them, and elements of lists are records of their own.

A block is decoded at once by a type in which all that stays whole is left as it stands, and encoded at once (`unnestingblocks.py`). A
line that this refuses is cut by hand. What is not as its schema says goes on whole, and is judged as any value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from singerkit_catalog.unnesting import (
    PARENT_POSITION,
    POSITION,
    ROW_ID,
    VALUE,
    Part,
    Table,
    root_key,
    unnamed_list,
)
from singerkit_shell.errors import BadDataError
from singerkit_wire.elementmarks import ASIDE, Marks, aside, since_when
from singerkit_wire.messages import Run
from singerkit_wire.stream import DELETED_AT
from singerkit_wire.unnestingblocks import Blocks, Lines, compiled_blocks
from singerkit_wire.unnestingnames import GONE, Names, Wanted

__all__ = ["Unnester", "Wanted"]

_BLANKS = re.compile(r"[ \t\n\r]*")
_NULL = "null"


class _Whole(Exception):
    """An object that is not what its schema says, or has fields whose names are taken."""


class Unnester:
    """Takes the records of a stream apart.

    Fields that no schema names are learned as they come, and go on under names that are made as of the others. ``unnamed`` are the tables
    of lists that the schema does not name any more, and whether elements there may be marked as deleted: they go, or are marked, with their record.
    """

    def __init__(
        self,
        stream: str,
        table: Table,
        wanted: Wanted,
        unnamed: Mapping[str, bool] | None = None,
        marks: Marks | None = None,
    ) -> None:
        self.stream = stream
        self.marks = Marks() if marks is None else marks
        self.tables = {
            wanted.table_name(stream, one): Names(one, wanted.separator, wanted.keys)
            for one in table.all_tables()
        }
        for name, may_be_marked in (unnamed or {}).items():
            self.tables[name] = Names(
                unnamed_list(), wanted.separator, wanted.keys, may_be_marked=may_be_marked
            )
        self._table = table
        self._wanted = wanted
        self._fast: Blocks | None = None
        self._compile()

    def _compile(self) -> None:
        self._fast = compiled_blocks(self.stream, self.tables, self._wanted, self.marks)

    def holds_whole(self, table: str, names: Collection[str]) -> None:
        """Give null to these columns of what is taken apart, wherever it is."""
        known = self.tables[table]
        if not known.whole.issuperset(names):
            known.whole |= set(names)
            self._compile()

    def whole(self) -> dict[str, frozenset[str]]:
        """Return the columns, by table, of what had to stay whole."""
        return {name: frozenset(names.whole) for name, names in self.tables.items()}

    def apart(self, run: Run) -> list[Run]:
        """Return a run as runs of the stream itself, and of the tables of its lists, which may be empty.

        Raises:
            BadDataError: a field that no schema names has the name of one that is taken apart.
        """
        numbers = [run.line_number(index) for index in range(run.lines)]
        lines = None if self._fast is None else self._fast.apart(run.data, numbers)
        if lines is None:
            before, whole, marks = self._size(), self.whole(), self.marks.come
            lines = self._line_by_line(run.data, numbers)
            if before != self._size():
                self._compile()
            if whole != self.whole():  # records before have to say that theirs is not
                self.marks.come = marks
                lines = self._line_by_line(run.data, numbers)
        own = lines.pop(self.stream)
        runs = [msgspec.structs.replace(run, held=b"".join(own.data))]
        return runs + [
            Run(name, b"".join(one.data), len(one.numbers), one.numbers[0], tuple(one.numbers), one.ends)
            for name, one in lines.items()
            if one.numbers
        ]

    def _size(self) -> list[tuple[int, int]]:
        return [(names.count, len(names.whole)) for names in self.tables.values()]

    def _line_by_line(self, data: bytes, numbers: Sequence[int]) -> dict[str, Lines]:
        found: dict[str, Lines] = {name: Lines() for name in self.tables}
        for line, number in zip(data[:-1].split(b"\n"), numbers, strict=True):
            fast = None if self._fast is None else self._fast.apart(line + b"\n", [number])
            for name, lines in (self._by_hand(line, number) if fast is None else fast).items():
                found[name].data += lines.data
                found[name].numbers += lines.numbers
                found[name].ends += lines.ends
        return found

    # --- a line by hand ------------------------------------------------------------------------------------

    def _by_hand(self, line: bytes, number: int) -> dict[str, Lines]:
        try:
            text = line.decode()
            if not isinstance(json.loads(text)["record"], dict):
                raise ValueError
        except (ValueError, KeyError, RecursionError):
            return {
                self.stream: Lines([line + b"\n"], [number])
            }  # no such message at all, as the exact path will say
        message = dict(_members(text))
        fields = dict(_members(message["record"]))
        if self._wanted.row_ids is not None:
            if ROW_ID in fields:
                raise BadDataError(
                    f"Expected no field `{ROW_ID}` in records of stream `{self.stream}`, whose lists have tables of their own and refer to its rows by that "
                    f"(`nested`, `load_method: append`), got one at line {number}; what was committed is safe: leave it out with `select`, then run again."
                )
            fields[ROW_ID] = self._wanted.row_ids.next()
        rows = _Rows()
        message["record"] = _object(self._fields(fields, number, rows).items())
        found = {self.stream: Lines([_object(message.items()).encode() + b"\n"], [number])}
        return found | self._children(message, fields, rows, number)

    def _fields(self, fields: Mapping[str, str], number: int, rows: _Rows) -> dict[str, str]:
        record, names = self._table.row, self.tables[self.stream]
        kept: dict[str, str] = {}
        taken: dict[str, str] = {}
        for key, value in fields.items():
            if key in record.objects:
                taken |= self._taken(names, record.objects[key], value, rows)
            elif key in record.lists:
                taken |= self._listed(names, record.lists[key], value, rows, None)
            else:
                if key not in record.leaves and not names.learn(record, key):
                    raise BadDataError(
                        f"Expected fields with names of their own in stream `{self.stream}`, got `{key}` at line {number} beside an object of "
                        "which a field is called so when it is taken apart; what was committed is safe: choose another `separator` at `nested`, "
                        "then run again."
                    )
                kept[key] = value
        for key in record.required - fields.keys():
            if key in record.lists:  # its column is asked for, where there is one
                names.whole.add(record.lists[key].whole)
        return kept | taken

    def _taken(
        self, names: Names, part: Part, value: str, rows: _Rows, above: int | None = None
    ) -> dict[str, str]:
        """Return what comes of an object; where it is none, or another one than its schema says, nulls and what it is."""
        try:
            if value == _NULL:
                found = self._inside(names, part, None, rows, above)
            elif value.startswith("{"):
                found = self._inside(names, part, dict(_members(value)), rows, above)
            else:
                raise _Whole
        except _Whole:
            names.whole.add(part.name)
            return {**self._inside(names, part, None, rows, above), part.name: value}
        return {**found, part.name: _NULL} if part.name in names.whole else found

    def _inside(
        self, names: Names, part: Part, given: Mapping[str, str] | None, rows: _Rows, above: int | None
    ) -> dict[str, str]:
        fields = given or {}
        if given is not None and not part.required <= fields.keys():
            raise _Whole
        found: dict[str, str] = {name: fields.get(key, _NULL) for key, name in part.leaves.items()}
        for key in fields.keys() - part.leaves.keys() - part.objects.keys() - part.lists.keys():
            if not part.is_open or self._wanted.is_closed or not names.learn(part, key):
                raise _Whole
            found[names.name_of(part, key)] = fields[key]
        for key, inner in part.objects.items():
            found |= self._taken(names, inner, fields.get(key, _NULL), rows, above)
        for key, table in part.lists.items():
            found |= self._listed(names, table, fields.get(key, _NULL), rows, above)
        return found

    def _listed(
        self, names: Names, table: Table, value: str, rows: _Rows, above: int | None
    ) -> dict[str, str]:
        """Make rows of the elements of a list; return what stays of it in the row that it stands in."""
        name = self._wanted.table_name(self.stream, table)
        for inner in table.all_tables():  # it may have no elements, and they have none then
            rows.by_table.setdefault(self._wanted.table_name(self.stream, inner), [])
        found = rows.by_table[name]
        if value != _NULL and not value.startswith("["):
            names.whole.add(table.whole)
            return {table.whole: value}
        for element in _elements(value) if value != _NULL else ():
            row: dict[str, str] = {}
            found.append(row)
            position = len(found) - 1
            if table.level > 1:
                row[PARENT_POSITION] = str(above)
            row[POSITION] = str(position)
            if table.is_scalar:
                row[VALUE] = element
            else:
                row |= self._taken(self.tables[name], table.row, element, rows, position)
        return {table.whole: _NULL} if table.whole in names.whole else {}

    def _children(
        self, message: Mapping[str, str], fields: Mapping[str, str], rows: _Rows, number: int
    ) -> dict[str, Lines]:
        """Return the lines of the elements of lists, behind those of each table one that says where they end."""
        keys = {root_key(key): fields.get(key, _NULL) for key in self._wanted.keys}
        if _NULL in keys.values():  # the record itself is refused
            return {}
        said = fields.get(DELETED_AT, _NULL)
        goes = said != _NULL and self._wanted.deletes_marked
        appends = self._wanted.row_ids is not None
        since = since_when(said) if said != _NULL and not goes and not appends else None
        beside = [(key, message[key]) for key in ("time_extracted", "version") if key in message]
        found: dict[str, Lines] = {}
        for name, names in self.tables.items():
            came = rows.by_table.get(name)
            stays = said != _NULL or names.table.is_unnamed or not self._wanted.missing_is_null
            if name == self.stream:
                continue
            is_whole = not appends and (came is not None or goes or not stays)
            own = [] if goes else came or []
            beyond = (
                None
                if appends
                else aside(
                    since,
                    goes=goes,
                    is_whole=is_whole,
                    may_be_marked=names.may_be_marked,
                    have_come=self.marks.come,
                )
            )
            ends = [{**keys, POSITION: str(len(own)), DELETED_AT: GONE}] if is_whole else []
            ends += [{**keys, POSITION: str(ASIDE), DELETED_AT: beyond}] if beyond is not None else []
            if not (ends or own):
                continue
            made = [{**keys, **row, DELETED_AT: _NULL} for row in own] + ends
            records = (_object((key, row.get(key, _NULL)) for key in names.with_learned(row)) for row in made)
            found[name] = Lines(
                [
                    _object(
                        [("type", '"RECORD"'), ("stream", json.dumps(name)), ("record", record), *beside]
                    ).encode()
                    + b"\n"
                    for record in records
                ],
                [number] * len(made),
                ends=len(ends),
            )
        self.marks.come = self.marks.come or since is not None
        return found


@dataclass
class _Rows:
    """The elements of the lists of a record, by table."""

    by_table: dict[str, list[dict[str, str]]] = field(default_factory=dict)


_scan = json.JSONDecoder().raw_decode


def _members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the members of an object in valid JSON, each value as the text that stands there."""
    at = _after_blanks(text, _after_blanks(text, 0) + 1)
    while text[at] != "}":
        key, at = _scan(text, at)
        begin = _after_blanks(text, _after_blanks(text, at) + 1)
        _, end = _scan(text, begin)
        yield key, text[begin:end]
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def _elements(text: str) -> Iterator[str]:
    """Yield the elements of a list in valid JSON, each as the text that stands there."""
    at = _after_blanks(text, _after_blanks(text, 0) + 1)
    while text[at] != "]":
        _, end = _scan(text, at)
        yield text[at:end]
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return at if match is None else match.end()


def _object(members: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}"
