"""The fast path: a schema compiled once into a typed decoder, a block decoded at once.

msgspec checks types and nullability in C while decoding. The decoder may only accept what jsonschema accepts; when
it refuses, `exact.py` decides. Numbers and nested values stay the text they were (`msgspec.Raw`).
"""

from __future__ import annotations

import datetime
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from singerkit_catalog.compiled import ANNOTATIONS, Inexpressible
from singerkit_catalog.schema import may_take_long
from singerkit_shell.encoding import check_utf8, has_escape
from singerkit_shell.signals import TooLong, stop_flag
from singerkit_wire.batch import Batch
from singerkit_wire.batches import Missing, batches_of
from singerkit_wire.bounds import Bounds
from singerkit_wire.checks import LONGEST_NUMBER, REFUSALS, Check, Refused, checks_of, moment_checks
from singerkit_wire.conflicts import pairs
from singerkit_wire.domain import Domain
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.nested import bounded, constrained
from singerkit_wire.rules import Rules, rules_of
from singerkit_wire.stream import DELETED_AT, EXTRACTED_AT, VERSION, Stream, of_messages
from singerkit_wire.wirecolumns import WireColumns

__all__ = [
    "CLOCKS",
    "NOT_TEXT",
    "NOT_TEXT_OR_NULL",
    "NUL",
    "ODD_ESCAPE",
    "VERSION_TYPE",
    "FastDecoder",
    "Refused",
    "compile_decoder",
    "spread",
    "without_fillers",
]

_T = TypeVar("_T")

NUL = b"\\u0000"
ODD_ESCAPE = re.compile(rb"\\[u/]")  # what COPY's CSV does not read as JSON means it
_LAST_MOMENT = re.compile(rb"23:59:59\.9999")
_LAST_SECOND = re.compile(rb"23:59:59\.")
_MAY_BE_FINER = re.compile(rb"\.[0-9]{7}(?<=:[0-9]{2}\.[0-9]{7})")
_FINER = re.compile(rb"\.[0-9]{6}0*[1-9]")  # digits of a second that no column of a clock holds
NOT_TEXT_OR_NULL = re.compile(rb'\n[^"n]')
NOT_TEXT = re.compile(rb'\n[^"]')
_PATTERN_SECONDS = 5.0  # of processor time for a block; then its records are judged one by one
_SIMPLE = ANNOTATIONS | {"type"}
_PLAIN_TYPES: Mapping[Kind, Any] = {
    Kind.BOOLEAN: bool,
    Kind.DATE_TIME: datetime.datetime,
    Kind.DATE: datetime.date,
    Kind.TIME: datetime.time,
    Kind.UUID: uuid.UUID,
    Kind.BINARY: str,
    Kind.NUMBER: Raw,
    Kind.JSON: Raw,
}
_FILLER = type(None)
_NO_FIELD = secrets.token_hex(8)
CLOCKS = (Kind.DATE_TIME, Kind.DATE, Kind.TIME)
_LONG = -(2**63), 2**63 - 1
VERSION_TYPE = Bounds().of_integers(*_LONG)


@dataclass(frozen=True)
class Texts:
    """The plain text columns, by place: those that may be null, and those that may not."""

    nullable: tuple[int, ...]
    required: tuple[int, ...]


@dataclass(frozen=True)
class Clocks:
    """The date and time columns of a stream: what is finer than a microsecond is rounded, and the run says so.

    ``rounded`` names the columns of which that is known; a key is never rounded.
    """

    columns: tuple[Column, ...]
    rounded: set[str]

    @cached_property
    def decoder(self) -> Any:
        """Of the values as they stand on the wire; most streams have none that may be too fine."""
        record = msgspec.defstruct(
            "Record",
            [(f"f{index}", Raw | UnsetType, UNSET) for index in range(len(self.columns))],
            rename={f"f{index}": column.name for index, column in enumerate(self.columns)},
            gc=False,
        )
        return msgspec.json.Decoder(msgspec.defstruct("Message", [("record", record)], gc=False))

    def check(self, data: bytes) -> None:
        """See that nothing is rounded that the exact path has to judge first.

        Raises:
            Refused: something would be.
        """
        judged = [(index, column) for index, column in enumerate(self.columns) if self._judges(column)]
        if not judged or not _MAY_BE_FINER.search(data):
            return
        try:
            records = [message.record for message in self.decoder.decode_lines(data)]
        except REFUSALS as error:
            raise Refused from error
        for index, _ in judged:
            values = [value for record in records if (value := getattr(record, f"f{index}")) is not UNSET]
            if _FINER.search(b"\n".join(values)):
                raise Refused

    def check_column(self, column: Column, values: bytes) -> None:
        """See the same of the values of one column.

        Raises:
            Refused: one would be rounded.
        """
        if self._judges(column) and _MAY_BE_FINER.search(values) and _FINER.search(values):
            raise Refused

    def _judges(self, column: Column) -> bool:
        return column.is_key or column.kind is Kind.DATE or column.name not in self.rounded


def _clocks(stream: Stream, rounded: set[str]) -> Clocks:
    return Clocks(tuple(c for c in stream.columns if c.kind in CLOCKS and not c.is_filler), rounded)


@dataclass(frozen=True)
class FastDecoder:
    """A stream's compiled decoder.

    ``quick`` leaves plain text as it stands on the wire, `full` reads it, `sparse` admits missing fields, too; these are made when they are
    needed, since a run may have thousands of streams.
    ``types`` are those of the columns, and ``demanded`` names one that no record may leave out; fields of no column are passed over where it
    ``passes_others``. ``refused`` is text that may stand for a value which only the exact path can judge. ``watches_deletions`` when other
    fields that no schema names are passed over, and one that tells of a deletion is not.
    """

    stream: Stream
    quick: Any
    make_full: Callable[[], Any]
    make_sparse: Callable[[], Any]
    texts: Texts
    checks: tuple[tuple[int, Check], ...]
    extra: tuple[Column, ...]
    missing: Missing
    in_order: bool
    refused: re.Pattern[bytes] | None
    is_slow: bool
    clocks: Clocks
    holds_nul: bool
    watches_deletions: bool
    rules: Rules | None
    types: Sequence[Any]
    demanded: str | None
    passes_others: bool
    pairs: Sequence[tuple[int, int]] = ()
    takes_columns: bool = False
    """Whether whoever takes the rows makes columns of all of them."""

    @cached_property
    def full(self) -> Any:
        return self.make_full()

    @cached_property
    def sparse(self) -> Any:
        return self.make_sparse()

    @cached_property
    def of_columns(self) -> Sequence[Any]:
        """A decoder for the values of each column; None where they stay as they stand on the wire."""
        return [None if type_ in (Raw, _FILLER) else msgspec.json.Decoder(type_) for type_ in self.types]

    @cached_property
    def names_on_wire(self) -> frozenset[str]:
        """The fields that the columns are filled from."""
        return frozenset(
            column.variant_of or column.name for column in self.stream.columns if not column.is_filler
        )

    def decode(self, data: bytes, lines: int, first_line: int) -> list[Batch]:
        """Decode that many RECORD lines to batches, one for each set of present columns.

        Raises:
            Refused: something in the block is unusual.
        """
        return self.within_time(lambda: self._decode(data, lines, first_line))

    def within_time(self, decode: Callable[[], _T]) -> _T:
        """Return what ``decode`` returns.

        Raises:
            Refused: it does, or takes too long.
        """
        if not self.is_slow:
            return decode()
        try:
            return stop_flag.within(_PATTERN_SECONDS, decode, "records were being judged, which takes long.")
        except TooLong:
            raise Refused from None

    def _decode(self, data: bytes, lines: int, first_line: int) -> list[Batch]:
        # Of no account where text is read, and NUL with it.
        has_odd_escapes = bool(self.quick or not self.holds_nul) and has_escape(ODD_ESCAPE, data)
        if (has_odd_escapes and not self.holds_nul and NUL in data) or (
            self.refused and self.refused.search(data)
        ):
            raise Refused
        self.clocks.check(data)
        if self.rules is not None:
            self.rules.check(data)
        columns = self.stream.columns + self.extra
        quick = self._quick_rows(data, lines) if self.quick and not has_odd_escapes else None
        if quick is not None:
            return [self._full_batch(quick, first_line)]
        try:
            messages = self.full.decode_lines(data)
        except REFUSALS:
            messages = self._decode_sparse(data)
            _require_one_each(messages, lines)
            rows = self.checked(WireColumns(self.rows_of(messages))).rows
            return batches_of(
                self.stream,
                columns,
                without_fillers(rows, self.pairs) if self.pairs else rows,
                first_line,
                missing=self.missing,
                in_order=self.in_order,
            )
        _require_one_each(messages, lines)
        return [self._full_batch(WireColumns(self.rows_of(messages)), first_line)]

    def _full_batch(self, found: WireColumns, first_line: int) -> Batch:
        columns = self.stream.columns + self.extra
        if self.takes_columns:
            found.make(len(columns))
        checked = self.checked(found, is_full=True)
        return Batch(columns, checked.rows, first_line, seen=checked)

    def _quick_rows(self, data: bytes, lines: int) -> WireColumns | None:
        """Return rows with text as it stands in the block, None when something else stands in its place."""
        try:
            messages = self.quick.decode_lines(data)
            _require_one_each(messages, lines)
            found = WireColumns(self.rows_of(messages))
            self.check_texts(found)
        except (*REFUSALS, Refused):
            return None
        return found

    def check_texts(self, columns: WireColumns) -> None:
        """See that there is text, or null, where ``quick`` has left what stood on the wire.

        Raises:
            Refused, UnicodeDecodeError: there is not, or it is not UTF-8.
        """
        _check_texts(columns, self.texts.nullable, NOT_TEXT_OR_NULL)
        _check_texts(columns, self.texts.required, NOT_TEXT)

    @cached_property
    def left_on_wire(self) -> tuple[int, ...]:
        """The places of values that stand in a row as on the wire, null among them."""
        numbers = (
            i for i, c in enumerate(self.stream.columns) if c.kind is Kind.NUMBER and not c.number_in_text
        )
        return (*self.texts.nullable, *self.texts.required, *numbers)

    def _decode_sparse(self, data: bytes) -> list[Any]:
        try:
            return self.sparse.decode_lines(data)  # type: ignore[no-any-return]
        except REFUSALS as error:
            raise Refused from error

    def rows_of(self, messages: list[Any]) -> list[tuple[Any, ...]]:
        """Return what messages hold, in the order of the columns; nothing of it is checked."""
        as_tuple = _as_tuple_of(self.stream, self.watches_deletions)
        if not self.extra:
            return [as_tuple(message.record) for message in messages]
        if len(self.extra) == 1:
            beside = attrgetter("version" if self.extra[0].name == VERSION else "time_extracted")
            return [(*as_tuple(message.record), beside(message)) for message in messages]
        return [(*as_tuple(message.record), message.time_extracted, message.version) for message in messages]

    def checked(self, columns: WireColumns, *, is_full: bool = False) -> WireColumns:
        """Return ``columns`` with what the checks make of their values; ``is_full``: none of them is missing.

        Raises:
            Refused: a check refuses one.
        """
        replaced: dict[int, Sequence[Any]] = {}
        for index, check in self.checks:
            column = columns[index]
            values = self.checked_column(check, column, is_full=is_full)
            if values is not column:
                replaced[index] = values
        return _with_columns(columns, replaced) if replaced and columns.rows else columns

    @staticmethod
    def checked_column(check: Check, column: Sequence[Any], *, is_full: bool) -> Sequence[Any]:
        """Return the values of one column as a check has them; the same ones where it changes none.

        Raises:
            Refused: it refuses one.
        """
        values = check(column if is_full else [value for value in column if value is not UNSET])
        if values is None:
            return column
        return values if is_full else spread(column, values)


def without_fillers(
    rows: Sequence[tuple[Any, ...]], pairs: Sequence[tuple[int, int]]
) -> list[tuple[Any, ...]]:
    """Return rows in which neither column of a field has anything that a record leaves out."""
    found: list[tuple[Any, ...]] = []
    for row in rows:
        for one, other in pairs:
            if row[one] is UNSET or row[other] is UNSET:
                row = tuple(UNSET if place in (one, other) else value for place, value in enumerate(row))
        found.append(row)
    return found


def spread(column: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """Return ``values`` in the places of ``column`` that hold any."""
    following = iter(values)
    return [UNSET if value is UNSET else next(following) for value in column]


def _with_columns(columns: WireColumns, replaced: Mapping[int, Sequence[Any]]) -> WireColumns:
    made: list[Sequence[Any]] = list(columns.make(len(columns.rows[0])))
    for index, column in replaced.items():
        made[index] = column
    return WireColumns.of(made)


def compile_decoder(
    stream: Stream,
    *,
    validate: bool,
    allow_extra: bool,
    with_metadata: bool,
    missing: Missing = Missing.KEEP,
    in_order: bool = False,
    demanded: str | None = None,
    rounded: set[str] | None = None,
    domain: Domain = Domain(),  # noqa: B008  frozen
    reads_texts: bool = False,
) -> FastDecoder | None:
    """Compile a stream's schema; None when only the exact path can judge its records, as one that leaves out the ``demanded`` field.

    ``validate`` False admits null everywhere and ignores constraints beyond the type. ``rounded`` names the columns of
    which the user knows that more than microseconds are rounded; the caller may add to it. ``reads_texts``: whoever takes the
    rows wants values, so no text is left as it stands on the wire, to be read later.
    """
    if validate and _refuses_a_field(stream.schema):
        return None
    forbid = not allow_extra or stream.schema.get("additionalProperties") is False
    watches = not forbid and not stream.is_whole_record and DELETED_AT not in stream.column_names
    message_type = partial(
        _message_type, stream, forbid_extra=forbid, watches=watches, with_metadata=with_metadata
    )
    try:
        told, more = _expressed(stream.columns, validate, domain)
        rules = rules_of(stream.schema, more) if validate and not stream.is_whole_record else None
        types = [_field_type(column, validate) for column in told]
        texts = Texts((), ()) if reads_texts else _plain_texts(stream, types)
        left_as_they_are = {*texts.nullable, *texts.required}

        def decoder_of(fields: Sequence[Any]) -> Any:
            return msgspec.json.Decoder(message_type(fields))

        quick = [_field(i, Raw if i in left_as_they_are else type_) for i, type_ in enumerate(types)]
        full = [_field(i, type_) for i, type_ in enumerate(types)]
        sparse = [
            _field(i, type_)
            if column.required or type_ is _FILLER or column.name == demanded
            else (f"f{i}", type_ | UnsetType, UNSET)
            for i, (column, type_) in enumerate(zip(stream.columns, types, strict=True))
        ]
        checks = [
            (i, check)
            for i, column in enumerate(told)
            if not column.is_filler
            for check in checks_of(column, validate, domain)
        ]
        extra = of_messages(stream) if with_metadata else ()
        if EXTRACTED_AT in (column.name for column in extra):
            checks += [(len(stream.columns), check) for check in moment_checks(domain)]
        made = FastDecoder(
            quick=decoder_of(quick) if left_as_they_are else None,
            make_full=partial(decoder_of, full),
            make_sparse=partial(decoder_of, sparse),
            texts=texts,
            checks=tuple(checks),
            stream=stream,
            extra=extra,
            missing=missing,
            in_order=in_order,
            refused=_refused_text(stream),
            is_slow=validate and may_take_long(stream.schema),
            clocks=_clocks(stream, set() if rounded is None else rounded),
            holds_nul=domain.holds_nul,
            watches_deletions=watches,
            rules=rules,
            types=types,
            demanded=demanded,
            passes_others=not forbid,
            pairs=tuple(pairs(stream).values()),
            takes_columns=reads_texts,
        )
        if not left_as_they_are:
            _ = made.full  # what msgspec cannot express is found now
        return made
    except (Inexpressible, ValueError, TypeError):
        # ValueError, TypeError: msgspec cannot express a name.
        return None


def _expressed(
    columns: Sequence[Column], validate: bool, domain: Domain
) -> tuple[list[Column], list[Column]]:
    """Return the columns with what a typed decoder and checks can judge of their schemas, and those whose schemas say more."""
    told: list[Column] = []
    more: list[Column] = []
    for column in columns:
        if column.is_filler:
            told.append(column)
            continue
        try:
            type_ = _field_type(column, validate)
            checks_of(column, validate, domain)
            if not _SIMPLE.issuperset(column.schema):
                msgspec.json.Decoder(type_)
            told.append(column)
        except (Inexpressible, ValueError, TypeError):
            # ValueError, TypeError: msgspec cannot express a bound or a pattern of this schema.
            told.append(replace(column, schema={}))
            more.append(replace(column, name=column.variant_of or column.name))
    return told, more


def _field(place: int, type_: Any) -> tuple[Any, ...]:
    return (f"f{place}", type_) if type_ is not _FILLER else (f"f{place}", type_, None)


def _plain_texts(stream: Stream, types: Sequence[Any]) -> Texts:
    """Find the text columns that nothing but their type constrains."""
    nullable: list[int] = []
    required: list[int] = []
    for place, (column, type_) in enumerate(zip(stream.columns, types, strict=True)):
        if column.kind is Kind.STRING and type_ in (str, str | None):
            (required if type_ is str else nullable).append(place)
    return Texts(tuple(nullable), tuple(required))


def _require_one_each(messages: list[Any], lines: int) -> None:
    # msgspec also takes two messages in one line, or one in two.
    if len(messages) != lines:
        raise Refused


def _refused_text(stream: Stream) -> re.Pattern[bytes] | None:
    clocks = [c for c in stream.columns if c.kind in (Kind.TIME, Kind.DATE_TIME) and not c.is_filler]
    if any(column.second_digits < 6 for column in clocks):  # the store rounds
        return _LAST_SECOND
    # msgspec rounds the last moment of a day to the first one, 24 hours too early.
    return _LAST_MOMENT if any(column.kind is Kind.TIME for column in clocks) else None


def _check_texts(columns: WireColumns, places: tuple[int, ...], unwanted: re.Pattern[bytes]) -> None:
    """Each value is one JSON value, which its first byte tells; msgspec has not looked at its encoding.

    Raises:
        Refused: a value is no text.
        UnicodeDecodeError: a value is not UTF-8.
    """
    for place in places:
        lines = columns[place].lines
        if unwanted.search(lines):
            raise Refused
        check_utf8(lines)


def _as_tuple_of(stream: Stream, watches_deletions: bool) -> Callable[[Any], tuple[Any, ...]]:
    if stream.is_whole_record:
        return _whole
    return _without_last if watches_deletions else msgspec.structs.astuple


def _whole(record: Raw) -> tuple[Raw]:
    return (record,)


def _without_last(record: Any) -> tuple[Any, ...]:
    return msgspec.structs.astuple(record)[:-1]


def _refuses_a_field(schema: Mapping[str, Any]) -> bool:
    """Tell whether a property has the schema `false`, which a column knows nothing of."""
    return any(prop is False for prop in (schema.get("properties") or {}).values())


def _message_type(
    stream: Stream, fields: Sequence[Any], *, forbid_extra: bool, watches: bool, with_metadata: bool
) -> type:
    record: Any = Raw
    if not stream.is_whole_record:
        # A value in it is refused here, and met on the exact path.
        watched = [("gone", None | UnsetType, UNSET)] if watches else []
        record = msgspec.defstruct(
            "Record",
            [*fields, *watched],
            rename={
                "gone": DELETED_AT,
                **{f"f{i}": _on_wire(column) for i, column in enumerate(stream.columns)},
            },
            forbid_unknown_fields=forbid_extra,
            kw_only=True,
            gc=False,
        )
    message: list[Any] = [("type", Literal["RECORD"]), ("stream", Literal[stream.name]), ("record", record)]
    if with_metadata:
        message += [
            ("time_extracted", datetime.datetime | None, None),
            ("version", VERSION_TYPE | None, None),
        ]
    return msgspec.defstruct("Message", message, gc=False)


def _on_wire(column: Column) -> str:
    """Return the name of the field that a column is filled from; a filler has one that no record has, or is refused for."""
    return f"{column.name} {_NO_FIELD}" if column.is_filler else column.variant_of or column.name


def _field_type(column: Column, validate: bool) -> Any:
    if column.is_filler:
        return _FILLER
    if column.kind in (Kind.NUMBER, Kind.JSON, Kind.ANY_TEXT) and not column.number_in_text:
        return Raw  # holds null, too: `_checks` judges what it holds
    type_ = _value_type(column, validate)
    is_key = column.required and not column.nullable
    return type_ | None if column.nullable or (not validate and not is_key) else type_


def _value_type(column: Column, validate: bool) -> Any:
    if column.number_in_text:
        if validate and constrained(str, column.schema) is not str:
            raise Inexpressible("a limit on the text of a number")
        return Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?\Z", max_length=LONGEST_NUMBER)]
    if column.kind is Kind.INTEGER:
        return (bounded(column.schema) if validate else Bounds()).of_integers(*_LONG)
    if column.kind is Kind.BIG_INTEGER:
        return int
    base = str if column.kind is Kind.STRING else _PLAIN_TYPES[column.kind]
    narrowed = constrained(base, column.schema) if validate else base
    return _limited(narrowed, column) if column.kind is Kind.STRING else narrowed


def _limited(type_: Any, column: Column) -> Any:
    """Narrow a text type to what the store's column holds."""
    if column.longest is None and column.keeps_blanks:
        return type_
    given: dict[str, Any] = {}
    if type_ is not str:
        metas: tuple[Any, ...] = getattr(type_, "__metadata__", ())
        if len(metas) != 1 or (metas[0].pattern is not None and not column.keeps_blanks):
            raise Inexpressible("a limit of the store on text that its schema limits, too")
        names = ("min_length", "max_length", "pattern")
        given = {name: getattr(metas[0], name) for name in names if getattr(metas[0], name) is not None}
    if column.longest is not None:
        given["max_length"] = min(column.longest, given.get("max_length", column.longest))
    if not column.keeps_blanks:
        given["pattern"] = r"(?:[^ ]|^)\Z"
    return Annotated[str, Meta(**given)]
