"""From a type of PostgreSQL to the JSON that leaves: its schema, and what the SELECT makes of a column so that `row_to_json` gives it.

The log gives texts, of which `log/values.py` makes the same JSON by the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["ANY_JSON", "MAY_BE_INFINITE", "MOMENTS", "ORDERED", "Kind", "PgType", "Types"]


class Kind(Enum):
    """What becomes of a value."""

    INTEGER = "integer"
    NUMBER = "number"
    REAL = "real"
    """Of single precision: beside a number, or one of double precision, it is not what its digits say (0.8 is more than 0.8)."""
    DOUBLE = "double"
    MONEY = "money"
    BOOLEAN = "boolean"
    TEXT = "text"
    DATE = "date"
    INSTANT = "instant"
    LOCAL = "local"
    TIME = "time"
    UUID = "uuid"
    BYTES = "bytes"
    JSON = "json"
    HSTORE = "hstore"
    ARRAY = "array"
    COMPOSITE = "composite"
    FOREIGN = "foreign"
    """A type of an extension, which may have a cast to JSON of its own: its text."""


ORDERED = (
    Kind.INTEGER,
    Kind.NUMBER,
    Kind.DOUBLE,
    Kind.DATE,
    Kind.INSTANT,
    Kind.LOCAL,
    Kind.TIME,
    Kind.UUID,
)
"""Kinds whose values have one order, that of `singerkit_state.order`, whatever collation there is, and compare with values that are given."""

MOMENTS = (Kind.DATE, Kind.INSTANT, Kind.LOCAL)
"""Kinds of points in time."""

MAY_BE_INFINITE = (Kind.NUMBER, Kind.REAL, Kind.DOUBLE)
"""Kinds of numbers that have NaN and infinite ones."""

_BUILT_IN: Mapping[str, Kind] = {
    **dict.fromkeys(("int2", "int4", "int8"), Kind.INTEGER),
    "numeric": Kind.NUMBER,
    "float4": Kind.REAL,
    "float8": Kind.DOUBLE,
    "money": Kind.MONEY,
    "bool": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamptz": Kind.INSTANT,
    "timestamp": Kind.LOCAL,
    "time": Kind.TIME,
    "uuid": Kind.UUID,
    "bytea": Kind.BYTES,
    **dict.fromkeys(("json", "jsonb"), Kind.JSON),
    # Arrays to `row_to_json`, and texts to everybody else.
    **dict.fromkeys(("int2vector", "oidvector"), Kind.FOREIGN),
}
"""Of `pg_catalog`; whatever else stands there is text to `row_to_json`."""

ANY_JSON = ("boolean", "number", "string", "array", "object")
"""The types of a value that may be any JSON, beside null."""


@dataclass(frozen=True)
class PgType:
    """A row of `pg_type`, with the attributes of a composite one."""

    oid: int
    name: str
    schema: str
    type: str
    """`typtype`: b(ase), c(omposite), d(omain), e(num), r(ange), m(ultirange), p(seudo)."""
    element: int
    """Of an array, else 0."""
    base: int
    """Of a domain, else 0."""
    attributes: tuple[tuple[str, int], ...] = ()


class Types:
    """The types of one database."""

    def __init__(
        self,
        found: Mapping[int, PgType],
        *,
        local_is_utc: bool,
        admits_text: bool,
        money_digits: int = 2,
        again: Callable[[], Mapping[int, PgType]] = dict,
    ) -> None:
        """``admits_text``: numbers that JSON does not have are sent as text. ``money_digits``: behind the point, in this database.

        ``again`` returns the types that there are now; called where one is met that was made meanwhile.
        """
        self.money_digits = money_digits
        self._found, self._again = dict(found), again
        self._local_is_utc, self._admits_text = local_is_utc, admits_text

    def of(self, oid: int) -> PgType:
        """Return a type, of a domain that which it stands for."""
        found = self._known(oid)
        while found.type == "d":
            found = self._known(found.base)
        return found

    def _known(self, oid: int) -> PgType:
        """Return a type as it stands in the catalog; one that the log tells of, and that was dropped since, has texts alone."""
        if oid not in self._found:
            self._found |= self._again()
        return self._found.setdefault(oid, PgType(oid, "", "", "b", 0, 0))

    def kind(self, oid: int) -> Kind:
        """Return what becomes of the values of a type."""
        found = self.of(oid)
        if found.element:
            return Kind.ARRAY
        if found.type == "c":
            return Kind.COMPOSITE
        if found.schema == "pg_catalog" and found.type != "p":
            return _BUILT_IN.get(found.name, Kind.TEXT)
        if found.type not in ("b", "p"):
            return Kind.TEXT
        return Kind.HSTORE if found.name == "hstore" else Kind.FOREIGN

    def schema(self, oid: int) -> dict[str, Any]:
        """Return the JSON Schema of a column."""
        kind = self.kind(oid)
        if kind is Kind.ARRAY:
            # How many dimensions an array has is a matter of each value.
            return {"type": ["null", "array"], "items": _or_list(self._inside(self.of(oid).element))}
        if kind is Kind.COMPOSITE:
            attributes = self.of(oid).attributes
            return {
                "type": ["null", "object"],
                "properties": {name: self._inside(of) for name, of in attributes},
            }
        if kind in MAY_BE_INFINITE and self._admits_text:
            return {"type": ["null", "number", "string"]}
        if kind is Kind.LOCAL and not self._local_is_utc:
            return {"type": ["null", "string"]}
        return _schema(kind)

    def _inside(self, oid: int) -> dict[str, Any]:
        """Return the schema of a value within another one, where PostgreSQL makes JSON of it as it does by itself."""
        kind = self.kind(oid)
        if kind in (Kind.ARRAY, Kind.COMPOSITE):
            return self.schema(oid)
        if kind in MAY_BE_INFINITE:
            return {"type": ["null", "number", "string"]}  # NaN and infinite ones are text
        if kind in (Kind.BYTES, Kind.MONEY):
            return {"type": ["null", "string"]}
        if kind is Kind.FOREIGN:
            return {"type": ["null", *ANY_JSON]}
        return _schema(kind)

    def expression(self, oid: int, column: str) -> str:
        """Return what stands for a column, which is ``column`` in SQL, within the SELECT that `row_to_json` is made of."""
        make = _EXPRESSIONS.get(self.kind(oid))
        return column if make is None else make(column)


def _schema(kind: Kind) -> dict[str, Any]:
    types, more = _SCHEMAS.get(kind, (("string",), {}))
    return {"type": ["null", *types], **more}


_SCHEMAS: Mapping[Kind, tuple[Sequence[str], Mapping[str, Any]]] = {
    Kind.INTEGER: (("integer",), {}),
    Kind.NUMBER: (("number",), {}),
    **dict.fromkeys((Kind.REAL, Kind.DOUBLE), (("number",), {"format": "double"})),
    Kind.MONEY: (("number",), {}),
    Kind.BOOLEAN: (("boolean",), {}),
    Kind.DATE: (("string",), {"format": "date"}),
    Kind.INSTANT: (("string",), {"format": "date-time"}),
    Kind.LOCAL: (("string",), {"format": "date-time"}),
    Kind.TIME: (("string",), {"format": "time"}),
    Kind.UUID: (("string",), {"format": "uuid"}),
    Kind.BYTES: (("string",), {"contentEncoding": "base64"}),
    Kind.JSON: (ANY_JSON, {}),
    Kind.HSTORE: (("object",), {"additionalProperties": {"type": ["null", "string"]}}),
}
_EXPRESSIONS: Mapping[Kind, Callable[[str], str]] = {
    Kind.MONEY: lambda column: f"{column}::pg_catalog.numeric",
    # `encode` breaks its lines.
    Kind.BYTES: lambda column: f"pg_catalog.translate(pg_catalog.encode({column}, 'base64'), E'\\n', '')",
    Kind.FOREIGN: lambda column: f"{column}::pg_catalog.text",
}


def _or_list(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": list(dict.fromkeys([*schema["type"], "array"]))}
