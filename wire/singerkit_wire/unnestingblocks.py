"""A block of RECORD lines taken apart at once, by types that are made of how records are taken apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from singerkit_catalog.unnesting import PARENT_POSITION, POSITION, ROW_ID, VALUE, Part, Table, root_key
from singerkit_wire.elementmarks import ASIDE, Marks, aside, since_when
from singerkit_wire.rowids import RowIds
from singerkit_wire.stream import DELETED_AT
from singerkit_wire.unnestingnames import GONE, Names, Wanted

__all__ = ["Blocks", "Lines", "compiled_blocks"]

_Getter = Callable[[Any], tuple[Any, ...]]
_Values = list[tuple["_List", list[Any]]]
_BESIDE = [("time_extracted", Raw | UnsetType, UNSET), ("version", Raw | UnsetType, UNSET)]
_NULL, _GONE = Raw(b"null"), Raw(GONE.encode())
_encoder = msgspec.json.Encoder()


@dataclass
class Lines:
    """Lines of one stream, in pieces, and of which line of the input each has come; ``ends`` of them say where elements end, or since when they are gone."""

    data: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    ends: int = 0


def compiled_blocks(stream: str, tables: Mapping[str, Names], wanted: Wanted, marks: Marks) -> Blocks | None:
    """Return what takes blocks apart; None where msgspec has no such type."""
    try:
        return Blocks(stream, tables, wanted, marks)
    except (TypeError, ValueError):  # a name that it does not take
        return None


class Blocks:
    """Takes blocks apart that have nothing unusual in them."""

    def __init__(self, stream: str, tables: Mapping[str, Names], wanted: Wanted, marks: Marks) -> None:
        self._stream, self._wanted, self._marks = stream, wanted, marks
        record = tables[stream].table.row
        self._record = _Object(stream, record, tables[stream], tables, wanted, is_record=True)
        self._decoder: Any = msgspec.json.Decoder(
            msgspec.defstruct("Message", [("record", self._record.type), *_BESIDE], gc=False)
        )
        self._line = _Line(self._record.names)
        places = self._record.places
        self._keys = _getter([places.get(key, "") for key in wanted.keys])
        self._mark = places.get(DELETED_AT)
        self._has_lists = len(tables) > 1
        unnamed = [*map(root_key, wanted.keys), POSITION, DELETED_AT]
        self._unnamed = [(name, _Line(unnamed), own) for name, own in tables.items() if own.table.is_unnamed]

    def apart(self, data: bytes, numbers: Sequence[int]) -> dict[str, Lines] | None:
        """Return the lines of each table; None: something in the block is unusual."""
        try:
            messages = self._decoder.decode_lines(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(messages) != len(numbers):
            return None
        records = [message.record for message in messages]
        if self._wanted.row_ids is not None and not self._gave_ids(records, self._wanted.row_ids):
            return None
        rows, values = self._record.rows(records)
        found = {
            self._stream: Lines(
                [self._line.encoded(self._stream, zip(messages, rows, strict=True))], list(numbers)
            )
        }
        if self._has_lists:
            children = self._children(messages, records, values, numbers)
            if children is None:
                return None
            found |= children
        return found

    def _gave_ids(self, records: Sequence[Any], row_ids: RowIds) -> bool:
        """Give each record an id; False: one has a field of that name."""
        place = self._record.places[ROW_ID]
        if any(getattr(record, place) is not UNSET for record in records):
            return False
        for record in records:
            setattr(record, place, Raw(row_ids.next().encode()))
        return True

    def _children(
        self, messages: Sequence[Any], records: Sequence[Any], values: _Values, numbers: Sequence[int]
    ) -> dict[str, Lines] | None:
        keys = list(map(self._keys, records))
        if any(key is UNSET or key == _NULL for row in keys for key in row):
            return None
        gone, since = self._gone(records)
        block = _Block(messages, keys, gone, since, numbers, self._wanted, have_marks_come=self._marks.come)
        for list_, lists in values:
            block.take(list_, [(root, None, value) for root, value in enumerate(lists)])
        for name, line, own in self._unnamed:
            block.end(name, line, own)
        self._marks.come = self._marks.come or any(since)
        return block.found

    def _gone(self, records: Sequence[Any]) -> tuple[list[bool], list[str | None]]:
        """Tell of each record whether it says that its row is gone, and since when its elements are, where they stay."""
        since: list[str | None] = [None] * len(records)
        if self._mark is None:
            return [False] * len(records), since
        get = attrgetter(self._mark)
        gone = [(mark := get(record)) is not UNSET and mark != _NULL for record in records]
        if not (self._wanted.deletes_marked or self._wanted.row_ids is not None) and any(gone):
            since = [
                since_when(str(get(record), "utf-8")) if is_gone else None
                for record, is_gone in zip(records, gone, strict=True)
            ]
        return gone, since


class _Block:
    """The elements of the lists of a block."""

    def __init__(
        self,
        messages: Sequence[Any],
        keys: Sequence[tuple[Any, ...]],
        gone: Sequence[bool],
        since: Sequence[str | None],
        numbers: Sequence[int],
        wanted: Wanted,
        *,
        have_marks_come: bool,
    ) -> None:
        self._messages, self._keys, self._gone, self._numbers = messages, keys, gone, numbers
        self._wanted, self._since = wanted, since
        marked = (root for root, one in enumerate(since) if one is not None)
        self._marked_from = -1 if have_marks_come else next(marked, len(messages))
        self.found: dict[str, Lines] = {}

    def take(self, list_: _List, came: Sequence[tuple[int, int | None, Any]]) -> None:
        """Take the lists of one table: of which record each is, which element it is in, and what it holds."""
        elements: list[Any] = []
        places: list[tuple[int, int | None, int]] = []
        counts: dict[int, int] = {}
        goes = self._wanted.deletes_marked
        for root, above, value in came:
            is_gone = self._gone[root]
            if value is UNSET and (is_gone or not self._wanted.missing_is_null) and not (is_gone and goes):
                continue
            position = counts.setdefault(root, 0)
            if value is UNSET or value is None or (is_gone and goes):
                continue
            elements += value
            places += [(root, above, at) for at in range(position, position + len(value))]
            counts[root] = position + len(value)
        rows, values = list_.rows(elements)
        self.found[list_.name] = self._lines(list_, rows, places, counts)
        for inner, lists in values:
            # A record without elements has none inside of them, which it has to say, too.
            inside = [(root, at, value) for (root, _, at), value in zip(places, lists, strict=True)]
            ends = [(root, None, None) for root in counts]
            inner_came = sorted([*inside, *ends], key=lambda one: one[0])
            self.take(inner, inner_came)

    def end(self, name: str, line: _Line, own: Names) -> None:
        """Have all elements of records that are gone go from a table of which nothing else is known, or be marked there."""
        made: list[tuple[Any, tuple[Any, ...]]] = []
        numbers: list[int] = []
        for root, is_gone in enumerate(self._gone):
            goes = is_gone and self._wanted.deletes_marked
            beyond = self._aside(root, own, is_whole=goes)
            says = (0, _GONE) if goes else (ASIDE, beyond)
            if goes or beyond is not None:
                made.append((self._messages[root], (*self._keys[root], *says)))
                numbers.append(self._numbers[root])
        self.found[name] = Lines([line.encoded(name, made)] if made else [], numbers, len(made))

    def _aside(self, root: int, own: Names, *, is_whole: bool) -> Raw | None:
        said = aside(
            self._since[root],
            goes=self._gone[root] and self._wanted.deletes_marked,
            is_whole=is_whole,
            may_be_marked=own.may_be_marked,
            have_come=root > self._marked_from,
        )
        return None if said is None else Raw(said.encode())

    def _lines(
        self,
        list_: _List,
        rows: Sequence[tuple[Any, ...]],
        places: Sequence[tuple[int, int | None, int]],
        counts: Mapping[int, int],
    ) -> Lines:
        made: list[tuple[Any, tuple[Any, ...]]] = []
        numbers: list[int] = []
        nothing = list_.nothing
        is_inner = list_.is_inner
        following = zip(places, rows, strict=True)
        ends = 0
        appends = self._wanted.row_ids is not None
        is_quiet = self._marked_from == len(self._messages) and not any(self._gone)
        for root, message in enumerate(self._messages):
            count, key = counts.get(root), self._keys[root]
            came = count or 0
            for _ in range(came):
                (_, above, at), row = next(following)
                above_ = (above, at) if is_inner else (at,)
                made.append((message, (*key, *above_, *row, None)))
            if not appends and count is not None:
                end = (None, count) if is_inner else (count,)
                made.append((message, (*key, *end, *nothing, _GONE)))
                ends += 1
                came += 1
            if not (appends or (is_quiet and count is not None)):
                beyond = self._aside(root, list_.own, is_whole=count is not None)
                if beyond is not None:
                    end = (None, ASIDE) if is_inner else (ASIDE,)
                    made.append((message, (*key, *end, *nothing, beyond)))
                    ends += 1
                    came += 1
            numbers += [self._numbers[root]] * came
        return Lines([list_.line.encoded(list_.name, made)] if made else [], numbers, ends)


class _Line:
    """Rows as RECORD lines."""

    def __init__(self, names: Sequence[str]) -> None:
        record = msgspec.defstruct(
            "Record",
            [(f"f{index}", Any, UNSET) for index in range(len(names))],
            rename={f"f{index}": name for index, name in enumerate(names)},
            gc=False,
        )
        self._record: Any = record
        self._message: Any = msgspec.defstruct(
            "Message", [("type", str), ("stream", str), ("record", record), *_BESIDE], gc=False
        )

    def encoded(self, stream: str, rows: Any) -> bytes:
        """Return lines of rows, each with the message that it has come in."""
        record, message = self._record, self._message
        return _encoder.encode_lines(
            [message("RECORD", stream, record(*row), one.time_extracted, one.version) for one, row in rows]
        )


class _Object:
    """An object inside, or a row of a table: its type, and the rows of what is in it."""

    def __init__(
        self,
        stream: str,
        part: Part,
        own: Names,
        tables: Mapping[str, Names],
        wanted: Wanted,
        *,
        is_record: bool = False,
    ) -> None:
        leaves = own.fields_of(part)
        default = UNSET if is_record else None
        self._objects = [_Object(stream, inner, own, tables, wanted) for inner in part.objects.values()]
        self._lists = [_List(stream, table, tables, wanted) for table in part.lists.values()]
        fields: list[Any] = []
        for index, key in enumerate(leaves):
            is_learned = is_record or key not in part.leaves
            fields.append(
                _field(
                    f"f{index}", Raw, key in part.required and not is_record, UNSET if is_learned else None
                )
            )
        for mark, keys, inner_types in (
            ("o", part.objects, [one.type | None for one in self._objects]),
            ("l", part.lists, [one.type | None for one in self._lists]),
        ):
            for index, (key, type_) in enumerate(zip(keys, inner_types, strict=True)):
                must = key in part.required and (mark == "l" or not is_record)
                fields.append(_field(f"{mark}{index}", type_, must, default))
        rename = {f"f{index}": key for index, key in enumerate(leaves)}
        rename |= {f"o{index}": key for index, key in enumerate(part.objects)}
        rename |= {f"l{index}": key for index, key in enumerate(part.lists)}
        self.places = {key: name for name, key in rename.items()}
        self.type: Any = msgspec.defstruct(
            "Object", fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False
        )
        names = [f"f{index}" for index in range(len(leaves))]
        inner = [name for name in rename if name not in names]
        is_unset = {
            name: UNSET if key not in part.leaves else None for name, key in zip(names, leaves, strict=True)
        }
        self._null = self.type(**is_unset, **dict.fromkeys(inner))
        self._unset = self.type(**dict.fromkeys(rename, UNSET))
        self._leaves = _getter(names)
        self._has_whole = part.name in own.whole
        self._whole_lists = [table.whole in own.whole for table in part.lists.values()]
        self.names: list[str] = [
            *leaves.values(),
            *([part.name] if self._has_whole else []),
            *(
                table.whole
                for table, is_whole in zip(part.lists.values(), self._whole_lists, strict=True)
                if is_whole
            ),
            *(name for one in self._objects for name in one.names),
        ]
        wholes = self._has_whole + sum(self._whole_lists)
        inside = chain.from_iterable(one.nothing for one in self._objects)
        self.nothing: tuple[Any, ...] = (*is_unset.values(), *(None,) * wholes, *inside)
        """The row of one that is not there."""

    def rows(self, objects: Sequence[Any]) -> tuple[list[tuple[Any, ...]], _Values]:
        """Return what stays in the row, and the lists in it."""
        null, unset = self._null, self._unset
        objects = [null if one is None else unset if one is UNSET else one for one in objects]
        columns = [[self._leaves(one) for one in objects]]
        if self._has_whole:
            columns.append([(UNSET,) if one is unset else (None,) for one in objects])
        lists: _Values = []
        for index, list_ in enumerate(self._lists):
            values = list(map(attrgetter(f"l{index}"), objects))
            lists.append((list_, values))
            if self._whole_lists[index]:
                columns.append([(UNSET,) if value is UNSET else (None,) for value in values])
        for index, inner in enumerate(self._objects):
            rows, more = inner.rows(list(map(attrgetter(f"o{index}"), objects)))
            columns.append(rows)
            lists += more
        if len(columns) == 1:
            return columns[0], lists
        return list(map(tuple, map(chain.from_iterable, zip(*columns, strict=True)))), lists


class _List:
    """A list: its type, and the rows of its elements."""

    def __init__(self, stream: str, table: Table, tables: Mapping[str, Names], wanted: Wanted) -> None:
        self.name = wanted.table_name(stream, table)
        self.is_inner = table.level > 1
        self.own = tables[self.name]
        self._element = (
            None if table.is_scalar else _Object(stream, table.row, tables[self.name], tables, wanted)
        )
        self.type = _list_of(Raw if self._element is None else self._element.type | None)
        own = [VALUE] if self._element is None else self._element.names
        self.nothing = (None,) if self._element is None else self._element.nothing
        above = [*map(root_key, wanted.keys), *([PARENT_POSITION] if self.is_inner else []), POSITION]
        self.line = _Line([*above, *own, DELETED_AT])

    def rows(self, elements: Sequence[Any]) -> tuple[list[tuple[Any, ...]], _Values]:
        return ([(one,) for one in elements], []) if self._element is None else self._element.rows(elements)


def _list_of(type_: Any) -> Any:
    return list[type_]


def _field(name: str, type_: Any, is_required: bool, default: Any) -> tuple[Any, ...]:
    if is_required:
        return name, type_
    return name, type_ | UnsetType if default is UNSET else type_, default


def _getter(names: Sequence[str]) -> _Getter:
    if not names:
        return lambda _one: ()
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda one: (get(one),)
    return attrgetter(*names)
