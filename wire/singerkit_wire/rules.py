"""What no typed decoder can judge of records: the fields, or the whole records, are read once more, as plain values.

`anyOf` of objects, `patternProperties`, `multipleOf` inside: jsonschema is not asked as long as all is as the schema wants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from singerkit_catalog.predicates import Predicate, Unsure, predicate
from singerkit_catalog.schema import draft_of
from singerkit_wire.checks import REFUSALS, Refused
from singerkit_wire.domain import EXACT
from singerkit_wire.kinds import Column

__all__ = ["KEYWORDS_OF_RECORDS", "Rules", "rules_of"]

KEYWORDS_OF_RECORDS = frozenset(
    {"type", "properties", "required", "additionalProperties", "title", "description", "default", "examples"}
    | {"$schema", "$id", "id", "definitions", "$defs", "$comment", "selected", "inclusion"}
)
"""Those that a typed decoder judges, or that judge nothing."""


@dataclass(frozen=True)
class Rules:
    """``fields`` are judged one by one, by what tells whether a value is valid; ``whole`` judges records."""

    decoder: Any
    fields: Sequence[Predicate]
    whole: Predicate | None

    def check(self, data: bytes) -> None:
        """See that all records, a line each, are as the schema wants.

        Raises:
            Refused: one is not, or may not be.
        """
        try:
            records = [message.record for message in self.decoder.decode_lines(data)]
            with localcontext(EXACT):
                is_valid = self._hold(records)
        except (*REFUSALS, Unsure, ArithmeticError) as error:
            raise Refused from error
        if not is_valid:
            raise Refused

    def _hold(self, records: Sequence[Any]) -> bool:
        if self.whole is not None:
            return all(map(self.whole, records))
        for index, judge in enumerate(self.fields):
            for value in map(attrgetter(f"f{index}"), records):
                if value is not UNSET and not judge(value):
                    return False
        return True


def rules_of(schema: Mapping[str, Any], columns: Sequence[Column]) -> Rules | None:
    """Return what judges ``columns``, and what the schema says of records beside their properties; None where that is nothing.

    Raises:
        Inexpressible: only jsonschema can judge that.
    """
    draft = draft_of(schema)
    beside = {key: value for key, value in schema.items() if key not in KEYWORDS_OF_RECORDS}
    additional = schema.get("additionalProperties")
    if additional not in (None, True, False, {}):
        beside["additionalProperties"] = additional
    required = schema.get("required", ())
    if not set(required) <= (schema.get("properties") or {}).keys():
        beside["required"] = required  # of fields that are no columns
    judged = beside.keys() & draft.VALIDATORS.keys()
    if judged:
        names = dict.fromkeys(schema.get("properties") or {}, True)
        properties = {**names, **{column.name: column.schema for column in columns}}
        whole = predicate({**beside, "properties": properties}, draft)
        return Rules(_decoder(dict[str, Any]), (), whole)
    if not columns:
        return None
    record = msgspec.defstruct(
        "Record",
        [(f"f{index}", Any | UnsetType, UNSET) for index in range(len(columns))],
        rename={f"f{index}": column.name for index, column in enumerate(columns)},
        gc=False,
    )
    return Rules(_decoder(record), [predicate(column.schema, draft) for column in columns], None)


def _decoder(record: Any) -> Any:
    message = msgspec.defstruct("Message", [("record", record)], gc=False)
    return msgspec.json.Decoder(message, float_hook=Decimal)
