"""`schema_contract`: whether the table of a stream may get new columns and types."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_catalog.patterns import EVERY, ByPattern, known_words
from singerkit_wire.stream import Stream

__all__ = ["CONTRACTS", "SETTING", "Contract", "Contracts", "contracts_of", "without"]


class Contract(enum.Enum):
    """What becomes of a column or type that a table does not have yet."""

    EVOLVE = "evolve"
    FREEZE = "freeze"
    IGNORE = "ignore"


CONTRACTS: Mapping[str, Contract] = {contract.value: contract for contract in Contract}

SETTING: Mapping[str, Any] = {
    "type": ["string", "object"],
    "additionalProperties": {"type": "string"},
    "minProperties": 1,
    "default": "evolve",
    "description": "Whether a table that is there may change: `evolve` adds columns and widens types; `freeze` ends the run with 65, before anything "
    "is written, where a SCHEMA or a record brings a new column or type; `ignore` leaves new columns out, with a warning, and refuses new "
    "types. For all streams or by globs over their names, of which the most exact one counts. Where a table stays as it is, a value "
    "that is not of the type of its column is refused (`on_invalid`), unless `on_type_conflict` says `quarantine` or `fail`.",
}


@dataclass(frozen=True)
class Contracts(ByPattern[Contract]):
    """The contracts by pattern."""

    by_pattern: Mapping[str, Contract] = field(default_factory=lambda: {EVERY: Contract.EVOLVE})
    setting: str = "schema_contract"
    default: Contract = Contract.EVOLVE

    def evolves(self, stream: str) -> bool:
        return self.of(stream) is Contract.EVOLVE


def contracts_of(said: Any) -> Contracts:
    """Return what `schema_contract` says; of what has problems nothing."""
    return Contracts(known_words(said, CONTRACTS))


def without(stream: Stream, fields: Collection[str]) -> Stream:
    """Return a stream that does not have ``fields``, and whose records may have them all the same."""
    schema = dict(stream.schema)
    schema["properties"] = {
        name: prop for name, prop in (schema.get("properties") or {}).items() if name not in fields
    }
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name not in fields]
    if schema.get("additionalProperties") is False:
        del schema["additionalProperties"]
    columns = tuple(
        column for column in stream.columns if column.name not in fields and column.variant_of not in fields
    )
    left_out = stream.left_out | frozenset(fields)
    return replace(stream, schema=schema, columns=columns, left_out=left_out)
