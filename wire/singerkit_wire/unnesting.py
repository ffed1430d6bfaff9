"""RECORD lines whose objects are taken apart: lines again, with what was inside them beside them, each value as it stood.

A block is decoded at once by a type in which every value but the objects is left as it stands, and encoded at once. A line that this
refuses is cut by hand. An object that is not what its schema says goes on whole, and is judged as any value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from singerkit_catalog.unnesting import Part
from singerkit_shell.errors import BadDataError
from singerkit_wire.messages import Run

__all__ = ["Unnester"]

_MOST_LEARNED = 1000
_BLANKS = re.compile(r"[ \t\n\r]*")
_NULL = "null"
_Getter = Callable[[Any], tuple[Any, ...]]


class _Whole(Exception):
    """An object that is not what its schema says, or has fields whose names are taken."""


class Unnester:
    """Takes the records of a stream apart; ``whole`` are the objects of which some value had to stay whole, by the names of their columns.

    Fields that no schema names are learned as they come, and go on under names that are made as of the others.
    """

    def __init__(self, stream: str, record: Part, separator: str, *, is_closed: bool) -> None:
        self.stream = stream
        self.whole: set[str] = set()
        self._record = record
        self._separator = separator
        self._is_closed = is_closed
        self._learned: dict[str, dict[str, str]] = {part.name: {} for part in record.all_parts()}
        self._known = {
            name
            for part in record.all_parts()
            for name in (*part.leaves.values(), *map(_name, part.objects.values()))
        }
        self._fast = _compiled(self)

    def holds_whole(self, names: set[str]) -> None:
        """Give null to these columns of objects wherever the object is taken apart."""
        if not names <= self.whole:
            self.whole |= names
            self._fast = _compiled(self)

    def fields_of(self, part: Part) -> dict[str, str]:
        """Return the fields of an object that stay whole, with their names beside it."""
        return {**part.leaves, **self._learned[part.name]}

    @property
    def record(self) -> Part:
        return self._record

    def apart(self, run: Run) -> Run:
        """Return a run with its records taken apart.

        Raises:
            BadDataError: a field that no schema names has the name of one that is taken apart.
        """
        data = None if self._fast is None else self._fast(run.data, run.lines)
        if data is None:
            known, whole = len(self._known), len(self.whole)
            data = self._line_by_line(run)
            if known != len(self._known) or whole != len(self.whole):
                self._fast = _compiled(self)
            if whole != len(self.whole):  # records before have to say that theirs is not
                data = self._line_by_line(run)
        return msgspec.structs.replace(run, data=data)

    def _line_by_line(self, run: Run) -> bytes:
        lines = run.data[:-1].split(b"\n")
        return b"".join(self._line(line, run.line_number(index)) + b"\n" for index, line in enumerate(lines))

    def _line(self, line: bytes, number: int) -> bytes:
        if self._fast is not None:
            found = self._fast(line + b"\n", 1)
            if found is not None:
                return found[:-1]
        try:
            text = line.decode()
            if not isinstance(json.loads(text)["record"], dict):
                return line
        except (ValueError, KeyError, RecursionError):
            return line  # no such message at all, as the exact path will say
        message = dict(_members(text))
        fields = dict(_members(message["record"]))
        members = list(self._fields(fields, number))
        message["record"] = _object(members)
        return _object(message.items()).encode()

    def _fields(self, fields: dict[str, str], number: int) -> Iterator[tuple[str, str]]:
        taken: dict[str, str] = {}
        for key, value in fields.items():
            part = self._record.objects.get(key)
            if part is None:
                if key not in self._record.leaves and not self._learn(self._record, key, key):
                    raise BadDataError(
                        f"Expected fields with names of their own in stream `{self.stream}`, got `{key}` at line {number} beside an object of "
                        "which a field is called so when it is taken apart; what was committed is safe: choose another `separator` at `nested`, "
                        "then run again."
                    )
                yield key, value
            else:
                taken.update(self._object(part, value))
        yield from taken.items()

    def _object(self, part: Part, value: str) -> dict[str, str]:
        """Return what comes of an object; where it is none, or another one than its schema says, nulls and what it is."""
        try:
            if value == _NULL:
                found = self._inside(part, {}, is_null=True)
            elif value.startswith("{"):
                found = self._inside(part, dict(_members(value)), is_null=False)
            else:
                raise _Whole
        except _Whole:
            self.whole.add(part.name)
            return {**self._inside(part, {}, is_null=True), part.name: value}
        return {**found, part.name: _NULL} if part.name in self.whole else found

    def _inside(self, part: Part, fields: dict[str, str], *, is_null: bool) -> dict[str, str]:
        if not is_null and not part.required <= fields.keys():
            raise _Whole
        found: dict[str, str] = {name: fields.get(key, _NULL) for key, name in part.leaves.items()}
        for key in fields.keys() - part.leaves.keys() - part.objects.keys():
            name = self._separator.join((*part.path, key))
            if not part.is_open or self._is_closed or not self._learn(part, key, name):
                raise _Whole
            found[name] = fields[key]
        for key, inner in part.objects.items():
            found |= self._object(inner, fields.get(key, _NULL))
        return found

    def _learn(self, part: Part, key: str, name: str) -> bool:
        """Note a field that no schema names; False: its name is taken."""
        learned = self._learned[part.name]
        if key in learned:
            return True
        if name in self._known:
            return False
        if len(self._known) < _MOST_LEARNED + len(self._record.leaves):
            learned[key] = name
            self._known.add(name)
        return True


def _name(part: Part) -> str:
    return part.name


# --- a block at once -------------------------------------------------------------------------------------


def _compiled(unnester: Unnester) -> Callable[[bytes, int], bytes | None] | None:
    """Return what takes a block apart, or says by None that something in it is unusual; None: msgspec has no such type."""
    try:
        return _Compiled(unnester)
    except (TypeError, ValueError):  # a name that msgspec does not take
        return None


class _Compiled:
    def __init__(self, unnester: Unnester) -> None:
        record = unnester.record
        top = unnester.fields_of(record)
        self._parts: list[_Inner] = []
        fields = [_field(index, UNSET) for index in range(len(top))]
        for part in record.objects.values():
            inner = _Inner(unnester, part)
            fields.append((f"o{len(self._parts)}", inner.type | None | UnsetType, UNSET))
            self._parts.append(inner)
        rename = {f"f{index}": key for index, key in enumerate(top)}
        rename |= {f"o{index}": key for index, key in enumerate(record.objects)}
        type_ = msgspec.defstruct("Record", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        self._top = _getter([f"f{index}" for index in range(len(top))])
        self._decoder: Any = msgspec.json.Decoder(
            msgspec.defstruct("Message", [("record", type_), *_BESIDE], gc=False)
        )
        names = [*top.values(), *(name for inner in self._parts for name in inner.names)]
        flat = msgspec.defstruct(
            "Record",
            [(f"f{index}", Any, UNSET) for index in range(len(names))],
            rename={f"f{index}": name for index, name in enumerate(names)},
            gc=False,
        )
        message = msgspec.defstruct(
            "Message", [("type", str), ("stream", str), ("record", flat), *_BESIDE], gc=False
        )
        self._record, self._message, self._stream = flat, message, unnester.stream

    def __call__(self, data: bytes, lines: int) -> bytes | None:
        try:
            messages = self._decoder.decode_lines(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(messages) != lines:
            return None
        records = [message.record for message in messages]
        columns = [[self._top(record) for record in records]]
        for index, inner in enumerate(self._parts):
            columns.append(inner.rows([getattr(record, f"o{index}") for record in records]))
        record, message, stream = self._record, self._message, self._stream
        rows = columns[0] if len(columns) == 1 else map(chain.from_iterable, zip(*columns, strict=True))
        return _encoder.encode_lines(
            [
                message("RECORD", stream, record(*row), one.time_extracted, one.version)
                for one, row in zip(messages, rows, strict=True)
            ]
        )


_BESIDE = [("time_extracted", Raw | UnsetType, UNSET), ("version", Raw | UnsetType, UNSET)]
_encoder = msgspec.json.Encoder()


class _Inner:
    """An object inside: its type, and the rows of what is in it."""

    def __init__(self, unnester: Unnester, part: Part) -> None:
        leaves = unnester.fields_of(part)
        self._inner = [_Inner(unnester, inner) for inner in part.objects.values()]
        fields: list[Any] = []
        for index, key in enumerate(leaves):
            fields.append(
                (f"f{index}", Raw)
                if key in part.required
                else _field(index, None if key in part.leaves else UNSET)
            )
        for index, (key, inner) in enumerate(zip(part.objects, self._inner, strict=True)):
            type_ = inner.type | None
            fields.append((f"o{index}", type_) if key in part.required else (f"o{index}", type_, None))
        rename = {f"f{index}": key for index, key in enumerate(leaves)}
        rename |= {f"o{index}": key for index, key in enumerate(part.objects)}
        self.type: Any = msgspec.defstruct(
            "Object", fields, rename=rename, kw_only=True, forbid_unknown_fields=True, gc=False
        )
        names = [f"f{index}" for index in range(len(leaves))]
        inner_names = [f"o{index}" for index in range(len(self._inner))]
        self._null = self.type(
            **{name: None if key in part.leaves else UNSET for name, key in zip(names, leaves, strict=True)},
            **dict.fromkeys(inner_names),
        )
        self._unset = self.type(**dict.fromkeys([*names, *inner_names], UNSET))
        self._leaves = _getter(names)
        self._is_whole = part.name in unnester.whole
        self.names: list[str] = [
            *leaves.values(),
            *([part.name] if self._is_whole else []),
            *(name for inner in self._inner for name in inner.names),
        ]

    def rows(self, objects: Sequence[Any]) -> list[tuple[Any, ...]]:
        null, unset = self._null, self._unset
        objects = [null if one is None else unset if one is UNSET else one for one in objects]
        columns = [[self._leaves(one) for one in objects]]
        if self._is_whole:
            columns.append([(UNSET,) if one is unset else (None,) for one in objects])
        for index, inner in enumerate(self._inner):
            columns.append(inner.rows([getattr(one, f"o{index}") for one in objects]))
        if len(columns) == 1:
            return columns[0]
        return list(map(tuple, map(chain.from_iterable, zip(*columns, strict=True))))


def _field(index: int, default: Any) -> tuple[str, Any, Any]:
    return f"f{index}", Raw | UnsetType if default is UNSET else Raw, default


def _getter(names: Sequence[str]) -> _Getter:
    if not names:
        return lambda _one: ()
    if len(names) == 1:
        get = attrgetter(names[0])
        return lambda one: (get(one),)
    return attrgetter(*names)


# --- a line by hand --------------------------------------------------------------------------------------

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


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return at if match is None else match.end()


def _object(members: Any) -> str:
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}"
