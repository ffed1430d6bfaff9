"""What the records of a stream look like at one operation: fields with their schemas, keys, bookmarks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_map.paths import Impossible, Path, schema_at

__all__ = ["Shape", "check_kind"]

_WORDS = {
    "string": "text",
    "object": "an object",
    "array": "a list",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
}


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
    adds_rows: bool = False
    """A record may have become several, or none: what is told by values of its fields is not told of its rows."""

    def check_free(self, path: Path, setting: str = "as") -> None:
        """See that no field is at ``path``.

        Raises:
            Impossible: one is.
        """
        try:
            schema_at(self.fields, path)
        except Impossible:
            return
        raise Impossible(f"there is a field `{path}` already", setting)

    def renamed(self, names: Mapping[str, str]) -> Shape:
        """Return the shape with fields at the top called otherwise, keys and bookmarks with them."""

        def of(fields: Iterable[str]) -> tuple[str, ...]:
            return tuple(names.get(name, name) for name in fields)

        return replace(
            self,
            fields={names.get(name, name): schema for name, schema in self.fields.items()},
            keys=of(self.keys),
            bookmarks=of(self.bookmarks),
            required=frozenset(of(self.required)),
            inferred=of(self.inferred),
        )

    def only(self, kept: Collection[str], setting: str) -> Shape:
        """Return the shape with these fields alone.

        Raises:
            Impossible: one that is in the key would go.
        """
        lost = [key for key in self.keys if key not in kept]
        if lost:
            raise Impossible(
                f"`{lost[0]}` is in the key of the stream, without which its rows are not known again",
                setting,
            )

        def of(fields: Iterable[str]) -> tuple[str, ...]:
            return tuple(name for name in fields if name in kept)

        return replace(
            self,
            fields={name: schema for name, schema in self.fields.items() if name in kept},
            bookmarks=of(self.bookmarks),
            required=frozenset(of(self.required)),
            inferred=of(self.inferred),
        )


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
