"""From the source's records to RECORD lines: a chunk at a time, no Python per record or field.

A chunk of raw objects is joined to one JSON array and decoded once into structs whose fields are the
selected properties as `msgspec.Raw`: numbers and nested values keep their exact text, a missing property is null,
unless the stream sends partial records. Typed rows (typedrows.py) are such structs already, of the columns that were
asked for. All are encoded as lines at once, and the lines wrapped as RECORD messages. Ready rows (readyrows.py) of just what is
sent are lines already.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from operator import attrgetter, is_not
from typing import Any, Protocol, TypeAlias, cast

import msgspec
from msgspec import UNSET, Raw
from singer_sdk.singerlib import SelectionMask

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_state.memory import TypedRecord
from singerkit_wire.keyforms import KeyForm, key_form
from singerkit_wire.readyrows import ReadyRows
from singerkit_wire.stream import DELETED_AT
from singerkit_wire.typedrows import TypedRow, is_plain_name, values_of
from singerkit_wire.wording import Wording, fields_of

__all__ = [
    "Decoded",
    "RawRecord",
    "Record",
    "RecordEncoder",
    "Rows",
    "SentRows",
    "as_they_came",
    "members_of",
    "split_records",
]

RawRecord = msgspec.Raw | bytes | bytearray | memoryview
"""One JSON object in UTF-8, as the source sent it. ``split_records`` cuts a JSON array into
such objects and checks the encoding; a connector that cuts by other means checks it itself."""

Record: TypeAlias = RawRecord | TypedRecord
"""What a source gives: raw JSON, or a row whose values have types."""

Rows: TypeAlias = list[Any] | ReadyRows
"""Decoded records of one chunk: structs, or dicts of raw values, or what need not be. Only a `RecordEncoder` looks inside."""

_NULL = Raw(b"null")  # this very object stands for a property that was left out
_ONE_LINE = bytes.maketrans(b"\n\r", b"  ")
_encoder = msgspec.json.Encoder(decimal_format="number")
_raw_list = msgspec.json.Decoder(list[Raw])
_raw_object = msgspec.json.Decoder(dict[str, Raw])
_raw_objects: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[dict[str, Raw]])


def split_records(array: RawRecord, where: str, *, is_utf8: bool = False) -> list[Raw]:
    """Cut a JSON array into its items, untouched.

    ``where`` names the place in errors: "page 3 of stream orders". ``is_utf8`` says that the caller has checked
    that already; it costs as much as cutting.

    Raises:
        BadDataError: not a JSON array, not UTF-8, or nested too deeply.
    """
    text = bytes(array)
    if not is_utf8 and not _is_utf8(text):
        raise BadDataError(f"Expected UTF-8 in {where}, got other bytes; set the encoding of the source.")
    return _decode(_raw_list, text, where)


def as_they_came(records: Sequence[Raw]) -> list[Raw]:
    """Return what `split_records` has cut with half characters as the source has them: not all that reads it knows its marks for them."""
    return (
        [Raw(_surrogates.restore(bytes(record))) for record in records]
        if _surrogates.is_used
        else list(records)
    )


class _Layout(Protocol):
    """How rows of one stream are held between decoding and encoding."""

    form: object
    """What its rows look like: those of two layouts with equal forms are alike."""

    def is_all_of(self, names: Sequence[str]) -> bool: ...

    def decode(self, array: bytes, where: str) -> list[Any]: ...

    def fill(self, rows: list[Any], name: str, value: Raw) -> None: ...

    def leave_out(self, rows: list[Any]) -> None: ...

    def column(self, rows: list[Any], name: str) -> list[Raw]: ...


class RecordEncoder:
    """Encodes the records of one stream.

    ``schema`` is the stream's resolved schema; only its properties that ``mask`` selects are sent. A schema
    without ``properties`` sends records whole. A property that a record leaves out is sent as null (DESIGN 6), unless
    it is required or ``partial`` says that what is left out is not known. ``times`` are fields that hold points in time
    though the schema does not say so. ``tells_deletions``: what a record leaves out whose row is gone (`DELETED_AT`) is not known.
    """

    def __init__(
        self,
        stream: str,
        schema: Mapping[str, Any],
        mask: SelectionMask,
        *,
        partial: bool = False,
        times: Collection[str] = (),
        tells_deletions: bool = False,
    ) -> None:
        self._stream = stream
        self._schema, self._mask, self._partial, self._times = schema, mask, partial, times
        self._tells_deletions = tells_deletions and bool(mask["properties", DELETED_AT])
        self._former: tuple[Mapping[str, Any], RecordEncoder] | None = None
        self._wording = Wording(schema, times, keeps_null=partial)
        self._begin = b'{"type":"RECORD","stream":%s,"record":' % _encoder.encode(stream)
        properties = self._properties = schema.get("properties")
        self._key_forms: dict[str, KeyForm] = {}
        self._asked: dict[str, str] = {}
        """Properties that were asked for of rows that are lines already, with the fields of what `_reader` makes of them."""
        self._reader: msgspec.json.Decoder[list[Any]] = _raw_list
        self._read: tuple[ReadyRows | None, list[Any]] = (None, [])
        """Rows that were looked into last, until their lines are made."""
        filled = set() if partial else set(properties or ()) - set(schema.get("required", ()))
        self._layout = _layout_of(properties, mask, filled)
        self._encoded: tuple[Rows, bytes] = ([], b"")
        """Rows that were encoded last, until their lines are made."""
        self.fields = tuple(sorted(name for name in properties or () if mask["properties", name]))
        """The fields that are sent; none: records are sent whole."""

    @cached_property
    def fields_inside(self) -> dict[str, Any]:
        """The fields that are sent, each with those inside it that are known."""
        properties = self._properties or {}
        return {
            name: _selected(fields_of(properties[name]), self._mask, ("properties", name))
            for name in self.fields
        }

    def as_before(self, fields: Mapping[str, Any], kinds: Mapping[str, Any]) -> RecordEncoder:
        """Return what reads records as they were when ``fields`` were sent of them; ``kinds``: the schemas of those then."""
        if self._former is None or self._former[0] != fields:
            self._former = fields, self._as_before(fields, kinds)
        return self._former[1]

    def _as_before(self, fields: Mapping[str, Any], kinds: Mapping[str, Any]) -> RecordEncoder:
        opened = {name for name, inside in fields.items() if inside or name not in self.fields}
        if not opened:
            return self
        own = {path: on for path, on in self._mask.items() if len(path) < 2 or path[1] not in opened}
        mask = SelectionMask(own)
        mask.update({("properties", name): True for name in opened})
        known = {**{name: kinds.get(name, {}) for name in opened}, **(self._properties or {})}
        schema = {**self._schema, "properties": known}
        return RecordEncoder(
            self._stream,
            schema,
            mask,
            partial=self._partial,
            times=self._times,
            tells_deletions=self._tells_deletions,
        )

    def decode(
        self,
        records: Sequence[Record],
        constants: Mapping[str, Any] | None = None,
        known: Decoded | None = None,
    ) -> Rows:
        """Return the selected part of raw JSON objects, with ``constants`` where a property is missing.

        Typed rows have no more than what is selected, and no property is missing: they are returned as they are. So are the
        rows of ``known``, if it is these very records, decoded as they would be here.

        Raises:
            BadDataError: a record is no JSON object.
        """
        if _are_typed(records):
            return list(records)
        if isinstance(records, ReadyRows) and self._layout.is_all_of(records.names):
            return records
        taken = known.taken(records) if known is not None and known.form == self._layout.form else None
        rows = self._decoded(records) if taken is None else taken
        for name, value in (constants or {}).items():
            self._layout.fill(rows, name, Raw(_encoder.encode(value)))
        if self._tells_deletions:
            marks = self._layout.column(rows, DELETED_AT)
            gone = [row for row, mark in zip(rows, marks, strict=True) if bytes(mark) != b"null"]
            self._layout.leave_out(gone)
        return rows

    def decoded(self, records: Sequence[RawRecord]) -> Decoded:
        """Return raw records with what `decode` makes of them, for whoever decodes them alike later."""
        return Decoded(records, self._decoded(records), self._layout.form)

    def _decoded(self, records: Sequence[Record]) -> list[Any]:
        array = b"[" + b",".join(cast("Sequence[RawRecord]", records)) + b"]"
        if b"\n" in array or b"\r" in array:
            # Outside strings they are blanks, and inside strings JSON does not allow them.
            array = array.translate(_ONE_LINE)
        return self._layout.decode(array, f"a record of stream `{self._stream}`")

    def column(self, rows: Rows, name: str) -> list[Raw]:
        """Return one property of all rows as raw JSON; missing is ``null``."""
        if isinstance(rows, ReadyRows) and name in rows.names and is_plain_name(name):
            return self._column_of(rows, name)
        rows = self._open(rows)
        if _are_typed(rows):
            return values_of(rows, name)
        return self._layout.column(rows, name)

    def _column_of(self, rows: ReadyRows, name: str) -> list[Raw]:
        """Return one property of rows of which only those that are asked for are looked into, all at once."""
        if name not in self._asked:
            self._asked[name] = f"f{len(self._asked)}"
            fields = [(field, Raw) for field in self._asked.values()]
            names = {field: asked for asked, field in self._asked.items()}
            struct = msgspec.defstruct("Asked", fields, rename=names, gc=False)
            self._reader = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]
            self._read = None, []
        if self._read[0] is not rows:
            array = b"[%s]" % rows.block[:-1].replace(b"\n", b",")
            self._read = rows, _decode(self._reader, array, f"a record of stream `{self._stream}`")
        return list(map(attrgetter(self._asked[name]), self._read[1]))

    def _open(self, rows: Rows) -> list[Any]:
        return self._decoded(rows) if isinstance(rows, ReadyRows) else rows

    def stands_in(self, rows: Rows, name: str) -> bool:
        """Tell whether a property stands in any of ``rows``, be it as null."""
        if isinstance(rows, ReadyRows):
            return True
        return _are_typed(rows) or any(map(is_not, self.column(rows, name), repeat(_NULL)))

    def key_values(self, rows: Rows, name: str) -> Sequence[bytes]:
        """Return one property of all rows so that what is one value to its type is one text; missing is ``null``."""
        if name not in self._key_forms:
            self._key_forms[name] = key_form((self._properties or {}).get(name))
        known = rows.known(name) if isinstance(rows, ReadyRows) else None
        texts = _encoder.encode_lines(self.column(rows, name)).splitlines() if known is None else known
        return self._key_forms[name](texts)

    def lines(self, rows: Rows, time_extracted: str, version: int | None = None) -> bytes:
        """Return the RECORD lines of ``rows``, each ended by a newline; ``version``: that of a full load."""
        if not rows:
            return b""
        # A row has no newline inside: all can be wrapped at once.
        end = b',"time_extracted":%s}\n' % _encoder.encode(time_extracted)
        if version is not None:
            end = b',"version":%d%s' % (version, end)
        lines = self._encode(rows).replace(b"\n", end + self._begin)
        self._encoded, self._read = ([], b""), (None, [])
        whole = memoryview(lines)[: -len(self._begin)]  # not copied once more: a row may be large
        return _surrogates.restore(b"".join((self._begin, whole)))

    def hashes(self, rows: Rows) -> list[int]:
        """Return a number for each of ``rows``: of two that differ it differs, of the same as it came it is the same."""
        return list(map(hash, self._encode(rows).splitlines()))

    def _encode(self, rows: Rows) -> bytes:
        if isinstance(rows, ReadyRows):
            return rows.block
        if self._encoded[0] is not rows:
            self._encoded = rows, _encoder.encode_lines(rows)
        return self._encoded[1]

    def wording(self, rows: Rows, only: Collection[str] | None = None) -> list[bytes]:
        """Return a text for each of ``rows``, the same for all that say the same, in the fields ``only`` if given."""
        lines = _encoder.encode_lines(self._open(rows))
        return [_surrogates.restore(text) for text in self._wording.texts(lines, only)]


@dataclass(slots=True)
class Decoded:
    """Records, and the rows that an encoder has made of them before constants; ``form``: what those look like."""

    records: Sequence[Record]
    rows: list[Any] | None
    form: object
    order: tuple[Any, list[Any]] | None = None
    """Of which kind the replication key is, and what its values compare by, where they ascend and none is null."""

    def order_of(self, records: Sequence[Record], kind: object) -> list[Any] | None:
        """Return what the replication key of these very records compares by; None: nobody has looked, or as another kind."""
        known = self.order if self.records is records else None
        return known[1] if known is not None and known[0] == kind else None

    def rows_of(self, records: Sequence[Record]) -> list[Any] | None:
        """Return the rows of these very records; None: they are not of them, or somebody has taken them."""
        return self.rows if self.records is records else None

    def taken(self, records: Sequence[Record]) -> list[Any] | None:
        """Return the same and let go of them: their memory is used again for the next page while it still is in the cache."""
        rows = self.rows_of(records)
        if rows is not None:
            self.rows = None
        return rows

    def behind(self, count: int, records: Sequence[Record]) -> Decoded:
        """Return the same without the first ``count`` records; ``records`` are the others."""
        order = None if self.order is None else (self.order[0], self.order[1][count:])
        return Decoded(records, None if self.rows is None else self.rows[count:], self.form, order)


@dataclass(slots=True, frozen=True)
class SentRows:
    """Reads records as they are sent: with the constants of their page (`singerkit_state.memory.RowReader`).

    ``by``: what reads those fields of them by which they are recognised, where these are fewer.
    """

    encoder: RecordEncoder
    constants: Mapping[str, Any] | None = None
    kinds: Mapping[str, Any] = field(default_factory=dict)
    """The schemas of the fields that former runs have sent."""
    by: RecordEncoder | None = None

    @property
    def fields(self) -> Mapping[str, Any]:
        return (self.by or self.encoder).fields_inside

    @property
    def whole(self) -> SentRows:
        return replace(self, by=None)

    def texts(self, records: Sequence[Record], only: Mapping[str, Any] | None = None) -> list[bytes]:
        encoder = (self.by or self.encoder) if only is None else self.encoder.as_before(only, self.kinds)
        return encoder.wording(encoder.decode(records, self.constants), only)


def picked(rows: Rows, numbers: Sequence[int]) -> Rows:
    """Return some of ``rows``."""
    return rows.picked(numbers) if isinstance(rows, ReadyRows) else [rows[number] for number in numbers]


def _are_typed(records: Sequence[Any]) -> bool:
    # The first of ready rows would be cut out of all of them.
    return not isinstance(records, ReadyRows) and bool(records) and isinstance(records[0], TypedRow)


def _selected(fields: dict[str, Any], mask: SelectionMask, path: tuple[str, ...]) -> dict[str, Any]:
    """Return those of ``fields`` that are selected below ``path``."""
    below = {name: (*path, "properties", name) for name in fields}
    return {name: _selected(fields[name], mask, below[name]) for name in fields if mask[below[name]]}


def _layout_of(properties: Mapping[str, Any] | None, mask: SelectionMask, filled: set[str]) -> _Layout:
    if properties is None:
        return _Dicts(None, {}, set())
    selected = [name for name in properties if mask[("properties", name)]]
    deselected_inside = {
        name: dropped for name in selected if (dropped := _deselected_below(mask, ("properties", name)))
    }
    if deselected_inside or not all(map(is_plain_name, selected)):
        return _Dicts(selected, deselected_inside, filled)
    return _Structs(selected, filled)


def _deselected_below(mask: SelectionMask, breadcrumb: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the property paths below ``breadcrumb`` that are not selected, relative to it."""
    depth = len(breadcrumb)
    paths = (path[depth:] for path, on in mask.items() if not on and path[:depth] == breadcrumb)
    return [tuple(part[1::2]) for part in paths if part]


class _Structs:
    """The fast layout: a generated struct per stream, built and read in C."""

    def __init__(self, names: Sequence[str], filled: set[str]) -> None:
        self._fields = {name: f"f{index}" for index, name in enumerate(names)}
        self._filled = filled
        self._leaves_out = False
        """Whether what a record leaves out has been left out of a row."""
        self.form: object = (tuple(names), frozenset(filled))
        struct = msgspec.defstruct(
            "Record",
            [
                (field, Raw | msgspec.UnsetType, _NULL if name in filled else UNSET)
                for name, field in self._fields.items()
            ],
            rename={field: name for name, field in self._fields.items()},
            gc=False,
        )
        self._decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]

    def is_all_of(self, names: Sequence[str]) -> bool:
        """Tell whether records of these fields, none left out, are sent as they are."""
        return tuple(names) == tuple(self._fields)

    def decode(self, array: bytes, where: str) -> list[Any]:
        return _decode(self._decoder, array, where)

    def fill(self, rows: list[Any], name: str, value: Raw) -> None:
        field = self._fields.get(name)
        if field is None:
            return
        there = map(attrgetter(field), rows)
        lacking = [row for row, own in zip(rows, there, strict=True) if own is UNSET or own is _NULL]
        deque(map(setattr, lacking, repeat(field), repeat(value)), maxlen=0)

    def leave_out(self, rows: list[Any]) -> None:
        """Leave out what the records of ``rows`` have left out."""
        fields = [self._fields[name] for name in self._filled if name in self._fields]
        self._leaves_out = self._leaves_out or bool(rows)
        for row in rows:
            for left_out in [one for one in fields if getattr(row, one) is _NULL]:
                setattr(row, left_out, UNSET)

    def column(self, rows: list[Any], name: str) -> list[Raw]:
        field = self._fields[name]
        values = list(map(attrgetter(field), rows))
        if name in self._filled and not self._leaves_out:
            return values
        return [_NULL if value is UNSET else value for value in values] if UNSET in values else values


class _Dicts:
    """The complete layout: for records sent whole, odd property names, and selection below the top level."""

    def __init__(
        self,
        names: Sequence[str] | None,
        deselected_inside: Mapping[str, list[tuple[str, ...]]],
        filled: set[str],
    ) -> None:
        self._names = names
        self._filled = filled
        self._deselected_inside = deselected_inside
        self.form: object = (names, deselected_inside, filled)
        self._decoder = msgspec.json.Decoder(list[dict[str, Raw]])

    def is_all_of(self, names: Sequence[str]) -> bool:
        return self._names is not None and not self._deselected_inside and list(names) == list(self._names)

    def decode(self, array: bytes, where: str) -> list[Any]:
        rows = _decode(self._decoder, array, where)
        if self._names is not None:
            rows = [
                {name: row.get(name, _NULL) for name in self._names if name in row or name in self._filled}
                for row in rows
            ]
        for name, paths in self._deselected_inside.items():
            for row in rows:
                if name in row:
                    row[name] = _without(row[name], paths)
        return rows

    def fill(self, rows: list[Any], name: str, value: Raw) -> None:
        if self._names is not None and name not in self._names:
            return
        for row in rows:
            if row.get(name, _NULL) is _NULL:
                row[name] = value

    def leave_out(self, rows: list[Any]) -> None:
        for row in rows:
            for name in [name for name, value in row.items() if value is _NULL]:
                del row[name]

    def column(self, rows: list[Any], name: str) -> list[Raw]:
        return [row.get(name, _NULL) for row in rows]


def members_of(record: bytes, where: str) -> dict[str, Raw]:
    """Return the values of a raw JSON object by their names, each as it came.

    Raises:
        BadDataError: it is none, or nested too deeply; ``where`` is named.
    """
    try:
        return _raw_object.decode(record)
    except (msgspec.DecodeError, RecursionError):
        values = _decode(_raw_objects, b"[%b]" % record, where)[0]
        return {name: Raw(_surrogates.restore(bytes(value))) for name, value in values.items()}


def _without(value: Raw, paths: Iterable[tuple[str, ...]]) -> Raw:
    """Return a raw JSON object without the properties at ``paths``; any other value as it is."""
    if not bytes(value).lstrip().startswith(b"{"):
        return value
    members = _raw_object.decode(value)
    for path in paths:
        if len(path) == 1:
            members.pop(path[0], None)
        elif path[0] in members:
            members[path[0]] = _without(members[path[0]], [path[1:]])
    return Raw(_encoder.encode(members))


def _decode(decoder: msgspec.json.Decoder[list[Any]], array: bytes, where: str) -> list[Any]:
    try:
        return decoder.decode(array)
    except msgspec.ValidationError as error:
        raise BadDataError(f"{_finding(error)} in {where}.") from None
    except msgspec.DecodeError as error:
        shielded = _surrogates.shield(array)
        if shielded is None:
            raise BadDataError(f"Expected JSON in {where}, got text that is not: {error}.") from None
    except RecursionError:
        raise BadDataError(f"Expected JSON of a sane depth in {where}, got one nested too deeply.") from None
    try:
        return decoder.decode(shielded)
    except msgspec.DecodeError as error:
        raise BadDataError(f"Expected JSON in {where}, got text that is not: {error}.") from None


def _finding(error: msgspec.ValidationError) -> str:
    return str(error).split(" - at ")[0]


def _is_utf8(data: bytes) -> bool:
    try:
        check_utf8(data)
    except UnicodeDecodeError:
        return False
    return True


class _Surrogates:
    """Carries lone surrogates (``"\\ud800"`` is legal JSON, and no text) past msgspec, which refuses them.

    They become a marker that no source can know, and are put back in the lines: the value leaves as it came,
    and what becomes of it is the target's policy.
    """

    _ESCAPE = re.compile(
        rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
    )

    def __init__(self) -> None:
        nonce = secrets.token_hex(8).encode()
        self._mark = b"~" + nonce + rb"\1~"
        self._marked = re.compile(b"~" + nonce + b"(u[0-9a-fA-F]{4})~")
        self.is_used = False

    def shield(self, text: bytes) -> bytes | None:
        """Return ``text`` with markers for its lone surrogates, or None when there are none."""
        shielded = self._ESCAPE.sub(self._shield_one, text)
        if shielded == text:
            return None
        self.is_used = True
        return shielded

    def _shield_one(self, match: re.Match[bytes]) -> bytes:
        return match.group() if match.group(1) is None else match.expand(self._mark)

    def restore(self, text: bytes) -> bytes:
        """Undo `shield`."""
        return self._marked.sub(rb"\\\1", text) if self.is_used else text


_surrogates = _Surrogates()
