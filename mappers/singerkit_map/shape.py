"""What the records of a stream look like at one operation: fields with their schemas, keys, bookmarks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_map.paths import Impossible, Path, schema_at
from singerkit_wire.stream import DELETED_AT

__all__ = ["TELLS_DELETIONS", "Shape", "check_kind"]

_WORDS = {
    "string": "text",
    "object": "an object",
    "array": "a list",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
}
TELLS_DELETIONS = (
    f"`{DELETED_AT}` tells which rows are gone at the source, and without it they would stay in the target"
)
_TOLD_BY_THE_TAP = (
    f"`{DELETED_AT}` tells which rows are gone at the source, and is made and changed by no operation"
)
_DELETIONS = Path(DELETED_AT)


@dataclass(frozen=True)
class Shape:
    """The shape of the records of one stream."""

    stream: str
    fields: Mapping[str, Any]
    """The schema of each field, in their order, references resolved."""
    keys: tuple[str, ...] = ()
    bookmarks: tuple[str, ...] = ()
    """The replication key as the SCHEMA message has it."""
    required: frozenset[str] = frozenset()
    inferred: tuple[str, ...] = ()
    origins: Mapping[str, str] | None = None
    """The fields that came so, wherever they have been moved, each with its name then; None: all, as they are."""
    merged: frozenset[str] = frozenset()
    """The fields of which two values may have become one, so that rows are no longer found by them as they were sent."""
    is_opaque: bool = False
    """Nobody knows which values a field may have come from (`python`)."""

    def check_free(self, path: Path, setting: str = "as") -> None:
        """See that no field is at ``path``.

        Raises:
            Impossible: one is, or it would tell of deleted rows.
        """
        if path == _DELETIONS:
            raise Impossible(_TOLD_BY_THE_TAP, setting)
        try:
            schema_at(self.fields, path)
        except Impossible:
            return
        raise Impossible(f"there is a field `{path}` already", setting)

    def check_may_change(self, path: Path, setting: str = "field") -> None:
        """See that what is at ``path`` does not tell of deleted rows: what an operation makes of it may be null, or no longer be.

        Raises:
            Impossible: it does.
        """
        if path.top == DELETED_AT:
            raise Impossible(_TOLD_BY_THE_TAP, setting)

    def renamed(self, names: Mapping[str, str]) -> Shape:
        """Return the shape with fields at the top called otherwise, keys and bookmarks with them.

        Raises:
            Impossible: the field that tells of deleted rows would be.
        """
        if DELETED_AT in names:
            raise Impossible(TELLS_DELETIONS, "from")

        def of(fields: Iterable[str]) -> tuple[str, ...]:
            return tuple(names.get(name, name) for name in fields)

        return replace(
            self,
            fields={names.get(name, name): schema for name, schema in self.fields.items()},
            keys=of(self.keys),
            bookmarks=of(self.bookmarks),
            required=frozenset(of(self.required)),
            inferred=of(self.inferred),
            origins={names.get(name, name): origin for name, origin in self.came_as.items()},
            merged=frozenset(of(self.merged)),
        )

    @property
    def came_as(self) -> Mapping[str, str]:
        """The fields that came so, each with its name then."""
        return {name: name for name in self.fields} if self.origins is None else self.origins

    def only(self, kept: Collection[str], setting: str) -> Shape:
        """Return the shape with these fields alone.

        Raises:
            Impossible: one that is in the key would go, or the one that tells of deleted rows.
        """
        lost = [key for key in self.keys if key not in kept]
        if lost:
            raise Impossible(
                f"`{lost[0]}` is in the key of the stream, without which its rows are not known again",
                setting,
            )

        if DELETED_AT in self.fields and DELETED_AT not in kept:
            raise Impossible(TELLS_DELETIONS, setting)

        def of(fields: Iterable[str]) -> tuple[str, ...]:
            return tuple(name for name in fields if name in kept)

        return replace(
            self,
            fields={name: schema for name, schema in self.fields.items() if name in kept},
            bookmarks=of(self.bookmarks),
            required=frozenset(of(self.required)),
            inferred=of(self.inferred),
            origins={name: origin for name, origin in self.came_as.items() if name in kept},
        )

    def with_fields(self, fields: Mapping[str, Any], merged: str | None = None) -> Shape:
        """Return the shape with these fields; ``merged``: one of which two values may become one."""
        more = frozenset() if merged is None else frozenset({merged})
        return replace(self, fields=fields, origins=self.came_as, merged=self.merged | more)


def check_kind(schema: Mapping[str, Any], takes: Collection[str], field: str) -> None:
    """See that a field may hold what an operation works on.

    Raises:
        Impossible: its schema admits none of it.
    """
    has = types_of(schema) - {"null"}
    if "number" in takes:
        has |= {"number"} & {"number" if kind == "integer" else "" for kind in has}
    if has and has.isdisjoint(takes):
        expected = " or ".join(_WORDS[kind] for kind in sorted(takes))
        got = " or ".join(_WORDS.get(kind, kind) for kind in sorted(has))
        raise Impossible(f"Expected {expected} in `{field}`, the SCHEMA has {got} there")
