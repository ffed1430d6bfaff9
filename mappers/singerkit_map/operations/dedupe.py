"""`dedupe`: of records with one key in a run the first stays, or each that is newer than those before it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from singerkit_map.block import Bad, Block, texts_of
from singerkit_map.contract import Impossible, Operation, Shape
from singerkit_map.jsontexts import values
from singerkit_map.operations.filters import moment_of
from singerkit_map.paths import path_of, schema_at
from singerkit_shell.errors import BadDataError
from singerkit_wire.stream import DELETED_AT

__all__ = ["SETTINGS", "made"]

SETTINGS: Mapping[str, Any] = {
    "description": "Of the records of a run that have one key the first stays; with `order_by` each that is newer than those before it, so that behind it the last is "
    "the newest. Earlier runs are not looked at: there the key in the target does it. "
    "A record of a deleted row, where no SCHEMA tells of them, is a bad record.",
    "required": ["key"],
    "properties": {
        "key": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "secret": False},
            "minItems": 1,
            "description": "The fields that tell records apart, at the top of the record.",
        },
        "order_by": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "description": "The field that tells which of two is newer: numbers, points in time or texts, at the top of the record.",
        },
        "most_keys": {
            "type": "integer",
            "minimum": 1,
            "default": 5_000_000,
            "description": "How many keys are held in memory, some 100 bytes each; a run that meets more of them ends.",
        },
    },
}


@dataclass(frozen=True)
class _Dedupe:
    place: str
    key: tuple[str, ...]
    order_by: str | None
    most_keys: int
    seen: dict[str, dict[bytes, Any]] = field(default_factory=dict, compare=False)
    """By stream and key what its newest record is ordered by."""
    is_of_rows = True

    def outcome(self, shape: Shape) -> Shape:
        for setting, names in (
            ("key", self.key),
            ("order_by", () if self.order_by is None else (self.order_by,)),
        ):
            for name in names:
                if path_of(name, shape.fields).is_nested:
                    raise Impossible(f"`{name}` is no field at the top; `copy` it there first", setting)
                schema_at(shape.fields, path_of(name, shape.fields), setting)
        if DELETED_AT in shape.fields:
            raise Impossible("the stream tells of changes and deleted rows, of which each counts", "")
        return shape

    def forget(self, stream: str) -> None:
        """Rows were taken away: the same keys may come again."""
        self.seen.pop(stream, None)

    def apply(self, block: Block, _before: Shape, /) -> None:
        block.refuse_deleted(self.place)
        seen = self.seen.setdefault(block.place.stream, {})
        orders = [None] * len(block) if self.order_by is None else self._orders(block, self.order_by)
        kept: list[int] = []
        for row, key in enumerate(self._keys(block)):
            if row in block.bad:
                kept.append(row)
            elif key not in seen or (self.order_by is not None and _is_newer(orders[row], seen[key])):
                seen[key] = orders[row]
                kept.append(row)
        if len(seen) > self.most_keys:
            raise BadDataError(
                f"Stream `{block.place.stream}` has more than {self.most_keys} keys in this run (`most_keys` of `{self.place}`), which are held in memory; "
                "what was committed is safe: raise it, or leave this to the key of the target, then run again."
            )
        if len(kept) < len(block):
            block.take(kept)

    def _keys(self, block: Block) -> list[bytes]:
        """Return a digest of the key of each record, the same for texts that say the same."""
        columns = [_plain(texts_of(block.columns[name])) for name in self.key]
        return [
            hashlib.blake2b(repr(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            for parts in zip(*columns, strict=True)
        ]

    def _orders(self, block: Block, name: str) -> list[Any]:
        keys = texts_of(block.columns[name])
        found = dict(
            zip(
                distinct := [key for key in dict.fromkeys(keys) if key is not None],
                values(distinct),
                strict=True,
            )
        )
        orders: list[Any] = []
        for row, key in enumerate(keys):
            value = None if key is None else moment_of(found[key])
            if isinstance(value, dict | list | bool):
                block.nulled(
                    row, Bad(name, "expected a number, a text or a point in time to order by", self.place)
                )
                value = None
            orders.append(value)
        return orders


def _plain(texts: Sequence[bytes | None]) -> list[Any]:
    distinct = [text for text in dict.fromkeys(texts) if text is not None]
    found: dict[bytes | None, Any] = dict(zip(distinct, map(_key_of, values(distinct)), strict=True))
    found[None] = None
    return [found[text] for text in texts]


def _key_of(value: Any) -> Any:
    """Return a value whose `repr` is the same for what is one value."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return value
    if isinstance(value, Decimal) and not value.is_finite():
        return ("number", str(value))
    return ("number", str(Decimal(value).normalize()))


def _is_newer(order: Any, before: Any) -> bool:
    """Null is older than all; values of two kinds are in no order, and the later record counts."""
    if order is None or before is None:
        return before is None and order is not None
    is_number = isinstance(order, int | Decimal)
    if is_number != isinstance(before, int | Decimal) or isinstance(order, datetime) != isinstance(
        before, datetime
    ):
        return True
    return bool(order > before)


def made(said: Mapping[str, Any], place: str) -> Operation:
    """Return the operation that a config says."""
    return _Dedupe(place, tuple(said["key"]), said.get("order_by"), said.get("most_keys", 5_000_000))
