"""Whether a page holds anything that an inferred schema lacks: told in C, before anybody looks at a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, time
from typing import Annotated, Any

import msgspec

from singerkit_catalog.compiled import Field, Inexpressible, Style, compiled, struct

__all__ = ["checker_of", "decodable"]

RawRecord = msgspec.Raw | bytes | bytearray | memoryview
"""A JSON object."""

_RFC3339 = (
    r"^(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    r"[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])\Z"
)

_FORMATS: Mapping[str, Any] = {
    # A pattern, since msgspec's own datetime takes `+0200` and a blank for T, which are not of the format.
    "date-time": Annotated[str, msgspec.Meta(pattern=_RFC3339)],
    "date": date,
    "time": Annotated[time, msgspec.Meta(tz=False)],
    # A pattern, since msgspec's own UUID takes capital letters, which a database would not keep.
    "uuid": Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$")],
}
_KNOWN = Style(
    anything=Any,
    formats=_FORMATS,
    object_of=lambda fields, _: struct(
        [Field(one.name, one.type, is_required=False) for one in fields], False
    ),
)
"""Fields that an inferred schema has, any of which may be missing, and no others."""


def checker_of(schema: Mapping[str, Any] | None) -> Callable[[Sequence[RawRecord]], bool]:
    """Return a function that tells, in C, whether records hold nothing that an inferred schema lacks.

    It may say no to what fits after all (1e400 as a number): then the inference decides.
    """
    return decodable(schema, _KNOWN) if schema and schema.get("properties") else lambda _records: False


def decodable(schema: Mapping[str, Any], style: Style) -> Callable[[Sequence[RawRecord]], bool]:
    """Return a function that tells, in C, whether records are of the types that a schema is compiled to; where it cannot be, none are."""
    try:
        decoder = msgspec.json.Decoder(list[compiled(schema, style)])  # type: ignore[misc]  # made here
    except (Inexpressible, TypeError, ValueError):  # an odd name
        return lambda _records: False

    def fits(records: Sequence[RawRecord]) -> bool:
        try:
            decoder.decode(b"[" + b",".join(records) + b"]")
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    return fits
