"""The exact path: one record at a time, slow, complete and correct. jsonschema is the authority on validity.

It takes over a block the fast path refused, and must give the same rows for the records both accept.
"""

from __future__ import annotations

import datetime
import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from decimal import MAX_EMAX, Decimal, InvalidOperation, localcontext
from functools import cached_property
from itertools import islice
from typing import Any

import msgspec
from jsonschema import ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend
from msgspec import UNSET, Raw

from singerkit_catalog.schema import draft_of
from singerkit_shell.configtext import RepeatedKeyError, without_repeats
from singerkit_shell.signals import JUDGE_SECONDS, TooLong, stop_flag
from singerkit_shell.words import counted
from singerkit_wire.batch import Reject
from singerkit_wire.conflicts import Conflicts, OnConflict, admits, odd_fields, pairs, policies
from singerkit_wire.domain import EXACT, Domain, levels
from singerkit_wire.kinds import Column, Kind, from_base64
from singerkit_wire.messages import as_version
from singerkit_wire.stream import DELETED_AT, EXTRACTED_AT, VERSION, Stream
from singerkit_wire.unstorable import Policy, Unstorable, storable

__all__ = [
    "ExactDecoder",
    "KeyLeftOut",
    "NoVariant",
    "NotNullable",
    "OutOfRange",
    "RejectedRow",
    "TooWide",
    "UnknownFields",
    "compile_exact",
    "date_time",
]

_LONGEST_INTEGER = 4000  # digits; Python refuses to convert longer ones
_SHORTEST_EXTREME = 5000  # bytes; a shorter line holds no number out of range without a long exponent
_MAY_BE_UNSTORABLE = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|NaN|Infinity|[0-9][eE][+-]?[0-9]{5}")
_DATE_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ](?P<clock>[0-9]{2}:[0-9]{2})(?::(?P<second>[0-9]{2})"
    r"(?:[.,](?P<fraction>[0-9]+))?)?\s*(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\Z"
)
_DECIMAL = re.compile(
    r"(?a:[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,18})?|(?i:nan|inf|infinity)))"
)  # the last three are numbers, and no JSON
_FINER = re.compile(r"[.,][0-9]{6}0*[1-9]")  # digits of a second that no column of a clock holds
_CLOCKS = frozenset({Kind.DATE_TIME, Kind.DATE, Kind.TIME})
_AS_IT_STOOD = frozenset({Kind.JSON, Kind.ANY_TEXT})
_NO_NUMBER = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_encoder = msgspec.json.Encoder(decimal_format="number")


class _RawFields(msgspec.Struct):
    record: dict[str, Raw]


class _RawRecord(msgspec.Struct):
    record: Raw


_fields_decoder = msgspec.json.Decoder(_RawFields)
_record_decoder = msgspec.json.Decoder(_RawRecord)


class RejectedRow(Exception):
    """A record that cannot be stored; ``path`` is below the record, as in ``$.qty``.

    ``is_malformed`` when the line is no message at all: that is the tap's fault, not the row's. ``policy`` is what
    `on_type_conflict` says where it is about that.
    """

    def __init__(
        self,
        path: str,
        reason: str,
        *,
        is_unstorable: bool = False,
        is_malformed: bool = False,
        policy: OnConflict | None = None,
    ) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason
        self.is_unstorable = is_unstorable
        self.is_malformed = is_malformed
        self.policy = policy


class KeyLeftOut(RejectedRow):
    """A record without its key."""


class UnknownFields(Exception):
    """A record has fields its schema does not name, with a value of each."""

    def __init__(self, fields: dict[str, Any]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


class TooWide(Exception):
    """A value does not fit its column, which has to become one of ``kind`` before the block is redone."""

    def __init__(self, column: str, kind: Kind = Kind.BIG_INTEGER) -> None:
        super().__init__(column)
        self.column = column
        self.kind = kind


class NotNullable(Exception):
    """A field has null, which its schema does not admit, and its column has to take it before the block is redone."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class NoVariant(Exception):
    """A value is not of the type of its column, which has to get a variant before the block is redone."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


@dataclass(frozen=True)
class ExactDecoder:
    """Judges records of one stream; ``rounded`` names the columns in which a value had more than microseconds.

    ``policies`` is what `on_type_conflict` says of fields, ``types`` the JSON types of these, ``pairs`` the places of their
    columns where they have two; ``fixed`` are those whose column becomes no wider; ``demanded`` is a field that only records may leave out
    which say that their row is gone. ``odd`` notes the fields of the last record that had a
    value of another type, ``nulls`` those with a null that is not admitted, and ``moved`` those whose value stands in the variant, with what is said of it besides.
    """

    stream: Stream
    validates: bool
    policy: Policy
    domain: Domain
    extra: tuple[Column, ...]
    forbid_extra: bool
    policies: Mapping[str, OnConflict] = field(default_factory=dict)
    takes_unstorable: bool = False
    takes_no_json: bool = False
    types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pairs: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    nullable: Mapping[str, bool] = field(default_factory=dict)
    fixed: Collection[str] = ()
    demanded: str | None = None
    rounded: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    nulls: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)

    @cached_property
    def validator(self) -> Any:
        """Of the draft that ``$schema`` names, else Draft 7 as in singer-sdk; most streams never need one."""
        draft = draft_of(self.stream.schema)
        checker = draft.TYPE_CHECKER.redefine("integer", lambda _checker, value: _is_integer(value))
        return extend(draft, type_checker=checker)(dict(self.stream.schema))  # type: ignore[no-untyped-call]

    def decode(self, line: bytes) -> tuple[Any, ...]:
        """Return the row of a RECORD line, `UNSET` for missing fields.

        Raises:
            RejectedRow: the record cannot be stored as it is.
            TooWide: a column must be widened first.
            NotNullable, NoVariant: a column must take null, or get a variant first.
            UnknownFields: the record has fields the schema does not name, and none were expected.
        """
        message = _parsed(line)
        record = message.get("record")
        if not isinstance(record, dict):
            raise RejectedRow("$", "Expected `object`, got " + _shown(record))
        raws = self._raws(line)
        if len(line) > _SHORTEST_EXTREME or _MAY_BE_UNSTORABLE.search(line):
            stored = self._storable(record)
            if self.stream.is_whole_record:
                raws = raws if stored == record else {}
            else:
                raws = {name: raw for name, raw in raws.items() if stored.get(name) == record.get(name)}
            record = stored
        self._require_keys(record)
        self.odd.clear()
        self.nulls.clear()
        self.moved.clear()
        self._find_odd(record)
        if self.validates:
            self._validate(record)
        if not self.stream.is_whole_record:
            self._meet_unknown(record)
        if self.stream.is_whole_record:
            row: tuple[Any, ...] = (self._whole(record, raws),)
        else:
            row = self._row(record, raws)
        return (*row, *(_METADATA_READERS[column.name](message, self.domain) for column in self.extra))

    def _find_odd(self, record: Mapping[str, Any]) -> None:
        """Note the fields with a value of another JSON type than their schema names.

        Raises:
            RejectedRow: it is to be refused for that.
            NotNullable: it is null, and the column is made for none.
        """
        for name, types in self.types.items():
            if name in record and not admits(types, record[name]):
                policy = self.policies[name]
                if policy in (OnConflict.QUARANTINE, OnConflict.FAIL):
                    wanted = " or ".join(f"`{type_}`" for type_ in sorted(types, key=_null_last))
                    raise RejectedRow(
                        f"$.{name}", f"Expected {wanted}, got {_shown(record[name])}", policy=policy
                    )
                if record[name] is None and not self.nullable[name]:
                    raise NotNullable(name)
                (self.nulls if record[name] is None else self.odd).add(name)

    def _row(self, record: Mapping[str, Any], raws: Mapping[str, Raw]) -> tuple[Any, ...]:
        row = [self._value(column, record, raws) for column in self.stream.columns]
        for name, (home, variant) in self.pairs.items():
            if name not in record:
                row[home] = row[variant] = UNSET
            elif isinstance(row[home], _Odd):
                row[home], row[variant] = None, row[home].text
        return tuple(row)

    def _meet_unknown(self, record: Mapping[str, Any]) -> None:
        unknown = record.keys() - set(self.stream.fields)
        if not self.forbid_extra:
            unknown &= {DELETED_AT} if record.get(DELETED_AT) is not None else set()
        if unknown:
            raise UnknownFields({name: record[name] for name in record if name in unknown})

    def reject(self, rejected: RejectedRow, line: bytes, number: int) -> Reject:
        return Reject(self.stream.name, number, rejected.path, rejected.reason, line)

    def _require_keys(self, record: Mapping[str, Any]) -> None:
        for key in self.stream.key_properties:
            if key not in record:
                raise KeyLeftOut(f"$.{key}", "Expected the key property, which is missing")
            if record[key] is None:
                raise RejectedRow(f"$.{key}", "Expected a value in the key property, got `null`")
        for name in self.stream.needed:
            if record.get(name) is None:
                got = "got `null`" if name in record else "which is missing"
                raise RejectedRow(
                    f"$.{name}",
                    f"Expected a value in the field by which sets of rows are replaced (`replace_by`), {got}",
                )
        if self.demanded is not None and self.demanded not in record and record.get(DELETED_AT) is None:
            raise RejectedRow(
                f"$.{self.demanded}",
                "Expected the field that tells which version of a row is the newer (`newest_by`), which is missing",
            )

    def _validate(self, record: Mapping[str, Any]) -> None:
        def judge() -> ValidationError | None:
            with localcontext(EXACT):
                errors = self.validator.iter_errors(record)
                if self.odd or self.nulls:
                    errors = (one for one in errors if not self._is_odd(one))
                found: ValidationError | None = best_match(errors)
                return found

        try:
            # A pattern may backtrack for ever, and not only patterns take long on what was made for it.
            error = stop_flag.within(JUDGE_SECONDS, judge, "a record was being judged, which takes long.")
        except TooLong:
            raise RejectedRow(
                "$",
                f"Expected a record that its schema can judge within {JUDGE_SECONDS:g} seconds, got one that takes "
                "longer, as by a `pattern` with a repetition in a repetition",
            ) from None
        except RecursionError:
            raise RejectedRow("$", "Expected less nesting, got too many levels") from None
        except InvalidOperation:
            raise RejectedRow(
                "$", "Expected numbers that `multipleOf` can judge, got one too large"
            ) from None
        if error is not None:
            path = _path_of(error)
            if path == "$" and not error.validator:  # jsonschema does not say which property it was
                refused = (name for name in record if self._properties.get(name) is False)
                path = "".join(["$", *(f".{name}" for name in islice(refused, 1))])
            raise RejectedRow(path, _reason(error))

    def _is_odd(self, error: ValidationError) -> bool:
        """Whether it is about the value of a field of which it is known that it is of another type."""
        return bool(error.absolute_path) and error.absolute_path[0] in self.odd | self.nulls

    @cached_property
    def _documents(self) -> frozenset[str]:
        """The fields that go into columns of documents, which have no such numbers at any depth."""
        return frozenset(column.name for column in self.stream.columns if column.kind is Kind.JSON)

    @property
    def _properties(self) -> Mapping[str, Any]:
        return self.stream.schema.get("properties") or {}

    def _storable(self, record: dict[str, Any]) -> dict[str, Any]:
        try:
            for key in self.stream.key_properties:  # two keys that were replaced would be one row
                storable(record.get(key), f"$.{key}", Policy.FAIL, self.domain)
            apart = {name: value for name, value in record.items() if self._stands_beside(name, value)}
            others = {name: value for name, value in record.items() if name not in apart}
            found = storable(others, "$", self.policy, self.domain)
            return (
                {name: apart[name] if name in apart else found[name] for name in record} if apart else found
            )
        except RecursionError:
            raise RejectedRow("$", "Expected less nesting, got too many levels") from None
        except Unstorable as error:
            raise RejectedRow(error.path, error.reason, is_unstorable=True) from None

    def _stands_beside(self, name: str, value: Any) -> bool:
        """Whether it is a number that no column of numbers holds, in a field of which such a value may stand in its variant."""
        if not self.takes_unstorable or name not in self.policies or name in self._documents:
            return False
        if isinstance(value, float):  # NaN or an infinity
            return self.takes_no_json
        return isinstance(value, Decimal) and not self.domain.numbers.hold(value)

    def _raws(self, line: bytes) -> Mapping[str, Raw]:
        """Return the fields as they stood on the wire, when a column wants their text."""
        if not self.policies and not any(column.kind in _AS_IT_STOOD for column in self.stream.columns):
            return {}
        try:
            if self.stream.is_whole_record:
                return {self.stream.columns[0].name: _record_decoder.decode(line).record}
            return _fields_decoder.decode(line).record
        except (msgspec.MsgspecError, RecursionError):
            return {}  # what is not JSON to msgspec is written anew

    def _value(self, column: Column, record: Mapping[str, Any], raws: Mapping[str, Raw]) -> Any:
        name = column.variant_of or column.name
        value = record.get(name, UNSET)
        if value is UNSET:
            return UNSET
        if value is None or column.is_filler:
            return None
        try:
            if column.kind is Kind.ANY_TEXT:
                return _any_text(value, raws.get(name), column, self.domain)
            if column.kind is Kind.JSON:
                return _json_text(value, raws.get(name), column, self.domain)
            if column.kind in _CLOCKS and isinstance(value, str) and _FINER.search(value):
                self._round(value, column)
            return _CONVERTERS[column.kind](value, column, self.domain)
        except RejectedRow as error:
            return self._other(column, value, raws, error)
        except TooWide:
            if column.name not in self.fixed:
                raise
            return self._other(column, value, raws, _placed(column, value, "an integer of 64 bits"))
        except OutOfRange as error:
            if self.takes_unstorable and name in self.policies:
                rejected = RejectedRow(f"$.{name}", str(error), is_unstorable=True)
                return self._other(column, value, raws, rejected)
            is_key = column.name in self.stream.key_properties
            if self.policy in (Policy.FAIL, Policy.QUARANTINE) or is_key:
                raise RejectedRow(f"$.{column.name}", str(error), is_unstorable=True) from None
            return None

    def _other(self, column: Column, value: Any, raws: Mapping[str, Raw], rejected: RejectedRow) -> _Odd:
        """Return a value that its column does not hold as its variant has it.

        Raises:
            RejectedRow: there is none for it.
            TooWide, NoVariant: a column is to be changed or made first.
        """
        name, policy = column.name, self.policies.get(column.name)
        if policy is None or column.variant_of is not None:
            raise rejected
        if policy in (OnConflict.QUARANTINE, OnConflict.FAIL):
            raise RejectedRow(rejected.path, rejected.reason, policy=policy)
        is_number = isinstance(value, int | Decimal)
        wider = None if name in self.fixed else _wider(column, value, policy, rejected)
        if wider is not None:
            raise TooWide(name, wider)
        if name not in self.pairs:
            raise NoVariant(name)
        self.moved[name] = rejected.reason if is_number and rejected.is_unstorable else ""
        return _Odd(
            _any_text(value, raws.get(name), replace(column, longest=None, keeps_blanks=True), self.domain)
        )

    def _whole(self, record: dict[str, Any], raws: Mapping[str, Raw]) -> str:
        (column,) = self.stream.columns
        try:
            return _json_text(record, raws.get(column.name), column, self.domain)
        except OutOfRange as error:
            raise RejectedRow("$", str(error), is_unstorable=True) from None

    def _round(self, value: str, column: Column) -> None:
        """Note that a value loses digits; a key may not, and a date has no place for any."""
        if column.is_key:
            raise OutOfRange(
                f"Expected a key of at most six digits of a second, which is all that its column holds, got {_shown(value)}; "
                "`text` in `column_types` holds them all"
            )
        if column.kind is Kind.DATE:
            raise OutOfRange(f"Expected a date, got {_shown(value)}")
        self.rounded.add(column.name)


def compile_exact(
    stream: Stream,
    *,
    validate: bool,
    policy: Policy,
    extra: tuple[Column, ...],
    forbid_extra: bool,
    domain: Domain = Domain(),  # noqa: B008  frozen
    conflicts: Conflicts = Conflicts(),  # noqa: B008  frozen
    fixed: Collection[str] = (),
    demanded: str | None = None,
) -> ExactDecoder:
    """Return what judges records of a stream; without ``validate`` their types alone."""
    said = policies(stream, conflicts)
    return ExactDecoder(
        stream,
        validate,
        policy,
        domain,
        extra,
        forbid_extra,
        policies=said,
        takes_unstorable=conflicts.takes_unstorable,
        takes_no_json=conflicts.takes_no_json,
        types=odd_fields(stream, said),
        pairs=pairs(stream),
        nullable={column.name: column.nullable for column in stream.columns},
        fixed=fixed,
        demanded=demanded,
    )


def _wider(column: Column, value: Any, policy: OnConflict, rejected: RejectedRow) -> Kind | None:
    """Return the kind of column that holds a value as well as those that are there; None: it is to stand beside it."""
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if is_number and column.kind in (Kind.INTEGER, Kind.BIG_INTEGER) and not rejected.is_unstorable:
        return Kind.NUMBER
    if policy is OnConflict.WIDEN or (column.kind is Kind.STRING and not isinstance(value, str)):
        return Kind.ANY_TEXT
    return None


@dataclass(frozen=True)
class _Odd:
    """A value that stands in the variant of its column."""

    text: str


def _is_integer(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, Decimal):  # not `value % 1`: its quotient must fit the context's precision
        return value.is_finite() and value == value.to_integral_value()
    return isinstance(value, int)


class OutOfRange(Exception):
    """A value that its type admits and the store does not."""


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(
            line.decode("utf-8"), parse_float=_decimal, parse_int=_integer, parse_constant=_constant
        )
    except UnicodeDecodeError:
        raise RejectedRow("$", "Expected UTF-8 text, got other bytes", is_malformed=True) from None
    except RecursionError:
        raise RejectedRow("$", "Expected less than a thousand levels of nesting, got more") from None
    except ValueError as error:
        raise RejectedRow("$", f"Expected JSON, got something else ({error})", is_malformed=True) from None
    if not isinstance(message, dict):
        raise RejectedRow("$", "Expected `object`, got " + _shown(message))
    return message


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return _BEYOND_ALL  # `storable` refuses or replaces it


_BEYOND_ALL = Decimal(f"1e{MAX_EMAX}")


def _integer(text: str) -> int | Decimal:
    return Decimal(text) if len(text) >= _LONGEST_INTEGER or text == "-0" else int(text)


def _constant(name: str) -> Any:
    return _NotANumber(name)


class _NotANumber(float):
    """NaN or an infinity: not JSON, and yet written by some taps."""

    def __new__(cls, name: str) -> _NotANumber:
        return super().__new__(cls, name)


def _path_of(error: ValidationError) -> str:
    path = "$"
    for part in error.absolute_path:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    if error.validator == "required":
        missing = error.message.split("'")[1]
        path += f".{missing}"
    return path


def _reason(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    if not error.validator:  # the schema is no object
        return f"Expected nothing where its schema is `false`, got {_shown(error.instance)}"
    if error.validator == "type":
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"Expected {' or '.join(f'`{name}`' for name in names)}, got {_shown(error.instance)}"
    if error.validator == "required":
        return "Expected a required property, which is missing"
    if error.validator == "additionalProperties":
        return "Expected no properties beyond the schema's, got more"
    rule = f"{error.validator}: {_short(json.dumps(wanted, default=str))}"
    return f"Expected what `{rule}` allows, got {_shown(error.instance)}"


def _shown(value: Any) -> str:
    """Show short scalars, else only the type: row content does not belong in logs."""
    if isinstance(value, dict | list):
        return "`object`" if isinstance(value, dict) else "`array`"
    text = str(value) if isinstance(value, Decimal) else json.dumps(value)
    return f"`{text}`" if len(text) <= 16 else f"`{_type_name(value)}` of {len(text)} characters"


def _null_last(type_: str) -> tuple[bool, str]:
    return type_ == "null", type_


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _type_name(value: Any) -> str:
    return "string" if isinstance(value, str) else "number"


_ANY_DAY = datetime.date(2000, 1, 1)
_METADATA = Column("time_extracted", Kind.DATE_TIME, nullable=True, required=False)


def _extracted_at(message: Mapping[str, Any], domain: Domain) -> Any:
    extracted = message.get("time_extracted")
    try:
        return None if extracted is None else _to_date_time(extracted, _METADATA, domain)
    except OutOfRange as error:
        raise RejectedRow("$", f"{error} in `time_extracted`", is_unstorable=True) from None


def _version(message: Mapping[str, Any], _domain: Domain) -> int | None:
    version = message.get("version")
    try:
        return None if version is None else as_version(version)
    except ValueError as error:
        raise RejectedRow("$", f"{error}, got {_shown(version)}") from None


_METADATA_READERS = {EXTRACTED_AT: _extracted_at, VERSION: _version}


def _placed(column: Column, value: Any, expected: str) -> RejectedRow:
    return RejectedRow(f"$.{column.name}", f"Expected `{expected}`, got {_shown(value)}")


def _to_integer(value: Any, column: Column, domain: Domain) -> int:
    if not _is_integer(value):
        raise _placed(column, value, "integer")
    if not -(2**63) <= value < 2**63:  # compared before int() writes out all that an exponent stands for
        if domain.wide_integers is None:
            raise OutOfRange("Expected an integer of at most 64 bits, got one out of range")
        raise TooWide(column.name)
    return int(value)


def _to_big_integer(value: Any, column: Column, domain: Domain) -> Any:
    if not _is_integer(value):
        raise _placed(column, value, "integer")
    return Raw(_number_text(Decimal(value), column, domain))


def _to_number(value: Any, column: Column, domain: Domain) -> Any:
    if column.number_in_text:
        if not isinstance(value, str):
            raise _placed(column, value, "string")
        if not _DECIMAL.fullmatch(value):  # Decimal takes blanks, `1_000` and the digits of all scripts, too
            raise _placed(column, value, "decimal")
        value = _decimal(value)
        _number_text(value, column, domain)
        return f"{value:f}"
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float):
        raise _placed(column, value, "number")
    if isinstance(value, float):
        raise OutOfRange(f"Expected a JSON number, got `{value}`")
    return Raw(_number_text(Decimal(value), column, domain))


def _number_text(value: Decimal, column: Column, domain: Domain) -> bytes:
    if not value.is_finite():
        raise OutOfRange(f"Expected a JSON number, got `{value}`")
    for numbers in (domain.numbers, column.numbers):
        if numbers is not None and not numbers.hold(value):
            raise OutOfRange(numbers.refusal(value))
    return str(value).encode()


def _to_boolean(value: Any, column: Column, _domain: Domain) -> bool:
    if not isinstance(value, bool):
        raise _placed(column, value, "boolean")
    return value


def _to_text(value: Any, column: Column, _domain: Domain) -> str:
    if not isinstance(value, str):
        raise _placed(column, value, "string")
    return _within_limits(value, column)


def _within_limits(text: str, column: Column) -> str:
    """See that the store's column keeps all of ``text``; some cut blanks at the end without a word."""
    if column.longest is not None and len(text) > column.longest:
        raise OutOfRange(f"Expected text of at most {column.longest} characters, got one of {len(text)}")
    if not column.keeps_blanks and text.endswith(" "):
        raise OutOfRange("Expected text without blanks at its end, which its column does not keep, got some")
    return text


def _any_text(value: Any, raw: Raw | None, column: Column, domain: Domain) -> str:
    """Return text as it is, and any other value as the JSON that it was."""
    if isinstance(value, str):
        return _within_limits(value, column)
    if isinstance(value, float):  # which is no JSON
        return _NO_NUMBER[str(value)]
    return _within_limits(_to_json(value, column, domain) if raw is None else str(raw, "utf-8"), column)


def date_time(value: Any, what: str = "date-time") -> datetime.datetime:
    """Read ISO 8601 by the rules of docs/values.md: no offset is UTC, second 60 the next minute, microseconds."""
    match = _DATE_TIME.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise OutOfRange(f"Expected a {what} (RFC 3339), got {_shown(value)}")
    lacks = "between the years 1 and 9999"
    try:
        if not match["date"].startswith("0000"):
            lacks = "of a day that the calendar has"
        base = datetime.datetime.fromisoformat(f"{match['date']}T00:00")
        lacks = "with an offset below 24 hours, and minutes below 60 in it"
        zone = _zone(match["zone"])
        lacks = "with a time from 00:00:00 to 24:00:00"
        hours, minutes = map(int, (match["clock"] or "00:00").split(":"))
        second = int(match["second"] or 0)
        if hours > 24 or minutes > 59 or second > 60 or (hours == 24 and (minutes or second)):
            raise ValueError
        lacks = "between the years 1 and 9999"
        micros = int(Decimal("0." + (match["fraction"] or "0")) * 1_000_000 + Decimal("0.5"))
        moment = base + datetime.timedelta(hours=hours, minutes=minutes, seconds=second, microseconds=micros)
        return moment.replace(tzinfo=zone)
    except (ValueError, OverflowError):
        raise OutOfRange(f"Expected a {what} {lacks}, got {_shown(value)}") from None


def _to_date_time(value: Any, column: Column, domain: Domain) -> datetime.datetime:
    """Read a date-time; in UTC when its offset is wider than the store reads."""
    moment = date_time(value)
    _check_year(moment, value, domain)
    try:
        _rounded_up(moment, column)
    except OverflowError:
        raise OutOfRange(
            f"Expected a date-time that rounds to one before the year 10000, got {_shown(value)}"
        ) from None
    widest = domain.widest_offset
    if widest is None or abs(moment.utcoffset() or datetime.timedelta()) <= widest:
        return moment
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:
        raise OutOfRange(f"Expected a date-time between the years 1 and 9999, got {_shown(value)}") from None


def _check_year(moment: datetime.date, value: Any, domain: Domain) -> None:
    if not domain.holds_year_of(moment):
        first, last = domain.years or (datetime.MINYEAR, datetime.MAXYEAR)
        raise OutOfRange(f"Expected a date between the years {first} and {last}, got {_shown(value)}")


def _rounded_up(moment: datetime.datetime, column: Column) -> datetime.datetime:
    """Return a moment of the same day if the store's column rounds ``moment`` to one of that day."""
    return moment + datetime.timedelta(microseconds=10 ** (6 - column.second_digits) // 2)


def _zone(text: str | None) -> datetime.timezone | None:
    if text is None:
        return None
    if text in "Zz":
        return datetime.UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if minutes > 59:
        raise ValueError
    offset = datetime.timedelta(hours=hours, minutes=minutes)
    return datetime.timezone(-offset if text[0] == "-" else offset)


def _to_date(value: Any, _column: Column, domain: Domain) -> datetime.date:
    moment = date_time(value, "date")
    if moment.time() != datetime.time() or (moment.utcoffset() or datetime.timedelta()):
        raise OutOfRange(f"Expected a date, got {_shown(value)}")
    _check_year(moment.date(), value, domain)
    return moment.date()


def _to_time(value: Any, column: Column, _domain: Domain) -> datetime.time:
    try:
        moment = date_time(f"{_ANY_DAY}T{value}")
    except OutOfRange:
        raise OutOfRange(f"Expected a time (RFC 3339), got {_shown(value)}") from None
    if moment.utcoffset():
        raise OutOfRange(f"Expected a time in UTC or without an offset, got {_shown(value)}")
    if (
        _rounded_up(moment, column).date() != _ANY_DAY
    ):  # 24:00, a leap second: midnight would be a day too early
        raise OutOfRange(f"Expected a time before midnight, got {_shown(value)}")
    return moment.time()


def _to_uuid(value: Any, column: Column, domain: Domain) -> uuid.UUID:
    try:
        return uuid.UUID(_to_text(value, column, domain))
    except ValueError:
        raise _placed(column, value, "uuid") from None


def _to_binary(value: Any, column: Column, domain: Domain) -> bytes:
    found = from_base64(_to_text(value, column, domain))
    if found is None:
        raise _placed(column, value, "base64")
    return found


def _json_text(value: Any, raw: Raw | None, column: Column, domain: Domain) -> str:
    """Return a document as it stood on the wire, as the fast path does, or written anew where that hides what was not judged."""
    if raw is None or (_MAY_BE_UNSTORABLE.search(raw) and _has_repeated_key(raw)):
        text = _to_json(value, column, domain)
    else:
        text = str(raw, "utf-8")
    if domain.nesting is not None and levels(text) > domain.nesting:
        raise OutOfRange(
            f"Expected a document of at most {counted(domain.nesting, 'level')}, got one of more"
        )
    return text


def _has_repeated_key(document: Raw) -> bool:
    """Of two equal keys only the last one was judged, and the text of the first stands there, too."""
    try:
        json.loads(bytes(document), object_pairs_hook=without_repeats, parse_int=str, parse_float=str)
    except RepeatedKeyError:
        return True
    return False


def _to_json(value: Any, column: Column, _domain: Domain) -> str:
    try:
        return _encoder.encode(value).decode()
    except RecursionError:
        raise _placed(column, value, "less nesting") from None


_CONVERTERS = {
    Kind.INTEGER: _to_integer,
    Kind.BIG_INTEGER: _to_big_integer,
    Kind.NUMBER: _to_number,
    Kind.BOOLEAN: _to_boolean,
    Kind.STRING: _to_text,
    Kind.DATE_TIME: _to_date_time,
    Kind.DATE: _to_date,
    Kind.TIME: _to_time,
    Kind.UUID: _to_uuid,
    Kind.BINARY: _to_binary,
}
