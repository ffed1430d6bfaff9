"""The value table (DESIGN 6) of DuckDB: types of new columns, which existing ones keep a kind, and how it is given then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from singerkit_sql_target import decimals
from singerkit_wire.domain import Numbers
from singerkit_wire.kinds import Column, Kind

__all__ = ["DOUBLES", "VALUE_TABLE", "as_stored", "digits_of", "fitting", "new_type"]

VALUE_TABLE: Mapping[Kind, str] = {
    Kind.INTEGER: "BIGINT",
    Kind.BIG_INTEGER: "DECIMAL(38,0)",
    Kind.NUMBER: "DECIMAL(38,9)",
    Kind.BOOLEAN: "BOOLEAN",
    Kind.STRING: "VARCHAR",
    Kind.DATE_TIME: "TIMESTAMP WITH TIME ZONE",
    Kind.DATE: "DATE",
    Kind.TIME: "TIME",
    Kind.UUID: "UUID",
    Kind.BINARY: "BLOB",
    Kind.JSON: "JSON",
    Kind.ANY_TEXT: "VARCHAR",
}
DOUBLES: Mapping[str, tuple[int, int]] = {"DOUBLE": (308, 323), "FLOAT": (38, 45)}
"""Types whose numbers are the nearest they have, with the digits beyond which that is infinity, or nothing."""

_MOST_DIGITS = 38
_INTEGERS: Mapping[str, int] = {"TINYINT": 2, "SMALLINT": 4, "INTEGER": 9, "BIGINT": 18, "HUGEINT": 38}
"""Integer types, with how many digits each surely holds."""
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)\Z")
_ALIASES: Mapping[str, str] = {
    "INT1": "TINYINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT128": "HUGEINT",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "FLOAT8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "BOOL": "BOOLEAN",
    "LOGICAL": "BOOLEAN",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "DATETIME": "TIMESTAMP",
    "BYTEA": "BLOB",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
}
_CLOCKS: Mapping[str, Kind] = {
    "TIMESTAMP WITH TIME ZONE": Kind.DATE_TIME,
    "TIMESTAMP": Kind.DATE_TIME,
    "DATE": Kind.DATE,
    "TIME": Kind.TIME,
}
_NUMBERS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER})


def digits_of(type_: str) -> tuple[int, int] | None:
    """Return how many digits a type has before and after the point; None for one that is not exact."""
    if type_ in _INTEGERS:
        return _INTEGERS[type_], 0
    found = _DECIMAL.match(type_)
    if found is None:
        return None
    precision, scale = map(int, found.groups())
    return precision - scale, scale


def new_type(column: Column, chosen: str | None, number_type: str) -> str:
    """Return the type for a new column: the chosen one, else the table's, with the scale that the schema tells.

    Raises:
        ValueError: the chosen type is none that rows can be loaded into.
    """
    if chosen is not None:
        return _known(chosen)
    if column.kind is not Kind.NUMBER:
        return VALUE_TABLE[column.kind]
    if (number_type == "double" and not column.number_in_text) or decimals.is_double(column):
        return "DOUBLE"
    digits = decimals.declared(column, _MOST_DIGITS)
    return VALUE_TABLE[Kind.NUMBER] if digits is None else _decimal(digits)


def _decimal(digits: decimals.Digits) -> str:
    return f"DECIMAL({sum(digits)},{digits[1]})"


def _known(chosen: str) -> str:
    name = " ".join(chosen.upper().split())
    name = re.sub(r"\AVARCHAR ?\(\d+\)\Z", "VARCHAR", name)
    decimal = re.match(r"(?:DECIMAL|NUMERIC|DEC)(?: ?\((\d+)(?: ?, ?(\d+))?\))?\Z", name)
    if decimal:
        precision, scale = int(decimal[1] or 18), int(decimal[2] or (0 if decimal[1] else 3))
        if not 1 <= precision <= _MOST_DIGITS or scale > precision:
            raise ValueError(
                f"`{chosen}` has more than {_MOST_DIGITS} digits, or more after the point than in all"
            )
        return f"DECIMAL({precision},{scale})"
    name = _ALIASES.get(name, name)
    if name not in {*VALUE_TABLE.values(), *_INTEGERS, *DOUBLES, *_CLOCKS}:
        raise ValueError(f"`{chosen}` is not a type of DuckDB that rows are loaded into")
    return name


def fitting(column: Column, found: str, wanted: str) -> str | None:
    """Return the type that keeps what a column of type ``found`` holds and every value of its kind; None if none does."""
    if found in (wanted, "VARCHAR"):
        return found
    has = digits_of(found)
    if column.kind not in _NUMBERS or has is None:
        return None
    if found in _INTEGERS and column.kind is Kind.INTEGER:
        return found if has[0] >= _INTEGERS["BIGINT"] else "BIGINT"
    if wanted in DOUBLES:
        return None if found in _INTEGERS else found
    if found not in _INTEGERS and column.kind is not Kind.NUMBER and has[0] >= decimals.BIGINT_DIGITS:
        return found
    if found == "BIGINT":
        has = decimals.BIGINT_DIGITS, 0
    needs = (decimals.BIGINT_DIGITS, 0) if column.kind is Kind.INTEGER else digits_of(wanted)
    both = None if needs is None else decimals.joined(has, needs, _MOST_DIGITS)
    return None if both is None else _decimal(both)


def as_stored(column: Column, type_: str) -> Column | None:
    """Return the column with the kind, and the digits, in which a column of that type takes its values; None if it takes none."""
    kind = column.kind
    if type_ == "VARCHAR":
        return replace(column, kind=decimals.as_text(column), number_in_text=False)
    if type_ == "JSON":
        return replace(column, kind=Kind.JSON, number_in_text=False)
    if type_ in _CLOCKS:
        may_be = kind is Kind.STRING or kind in _CLOCKS.values()
        return replace(column, kind=_CLOCKS[type_]) if may_be else None
    digits = digits_of(type_)
    if digits is not None or type_ in DOUBLES:
        return _as_number(column, type_, digits)
    if type_ == "UUID" and kind is Kind.STRING:
        return replace(column, kind=Kind.UUID)
    return column if type_ == VALUE_TABLE[kind] else None


def _as_number(column: Column, type_: str, digits: tuple[int, int] | None) -> Column | None:
    if column.kind is Kind.INTEGER and type_ == "BIGINT":
        return column
    others = "VARCHAR, which keeps every digit" + ("" if type_ == "DOUBLE" else ", or DOUBLE, which rounds")
    numbers = Numbers(
        *(digits or DOUBLES[type_]),
        holder=f"its column of type {type_} (`column_types` chooses another: {others})",
        counts_zeros=False,
        as_double=type_ == "DOUBLE" and decimals.is_double(column),
        as_single=type_ == "FLOAT",
    )
    if column.kind in (Kind.INTEGER, Kind.BIG_INTEGER):
        return replace(column, kind=Kind.BIG_INTEGER, numbers=numbers)
    if column.kind is Kind.NUMBER:
        return replace(column, numbers=numbers)
    return (
        replace(column, kind=Kind.NUMBER, number_in_text=True, numbers=numbers)
        if column.kind is Kind.STRING
        else None
    )
