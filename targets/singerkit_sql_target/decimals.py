"""Decimals of a fixed scale, as nearly every warehouse has them: which one a schema declares, which keeps two.

A type is (digits before the point, digits after it) here; the dialect knows how it is written.
"""

from __future__ import annotations

from decimal import Decimal

from singerkit_wire.kinds import Column, Kind

__all__ = ["BIGINT_DIGITS", "Digits", "as_text", "declared", "is_double", "joined"]

Digits = tuple[int, int]

BIGINT_DIGITS = 19
"""What a column of decimals has to have before the point to hold every integer of 64 bits."""

_NOT_TEXT = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.JSON, Kind.ANY_TEXT})


def declared(column: Column, most: int) -> Digits | None:
    """The decimal that a schema declares: `precision` and `scale` beside `x-singer.decimal`, or a `multipleOf`.

    ``most`` is how many digits the store has in all; None for a schema that declares none, or one that it cannot hold.
    """
    precision, scale = column.schema.get("precision"), column.schema.get("scale", 0)
    if type(precision) is int and type(scale) is int and 0 <= scale <= precision <= most and precision:
        return precision - scale, scale
    step = column.schema.get("multipleOf")
    if isinstance(step, bool) or not isinstance(step, int | float | Decimal) or step <= 0:
        return None
    exponent = Decimal(str(step)).normalize().as_tuple().exponent
    after = max(0, -exponent) if isinstance(exponent, int) else most
    return (most - after, after) if after <= most - BIGINT_DIGITS else None


def is_double(column: Column) -> bool:
    """Whether a schema says that the source has binary doubles there: `"format": "double"`, as OpenAPI has it."""
    return (
        column.kind is Kind.NUMBER and not column.number_in_text and column.schema.get("format") == "double"
    )


def joined(one: Digits, other: Digits, most: int) -> Digits | None:
    """The decimal that keeps what both keep; None when that has more than ``most`` digits."""
    before, after = max(one[0], other[0]), max(one[1], other[1])
    return (before, after) if before + after <= most else None


def as_text(column: Column) -> Kind:
    """The kind in which a column of text takes values: what is no text goes there as its JSON."""
    if column.is_key and column.kind in (Kind.INTEGER, Kind.BIG_INTEGER):
        return column.kind  # `12.0` is the key `12`
    return Kind.ANY_TEXT if column.kind in _NOT_TEXT and not column.number_in_text else Kind.STRING
