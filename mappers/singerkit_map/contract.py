"""The contract of an operation.

Each operation is a module of `operations/`, with a row in `operations/table.py`:

* ``SETTINGS``: the JSON Schema of what the config says, without ``op`` (``description``, ``properties``, ``required``); keys that it does not
  name are refused before ``made`` is called, and so are values of other types;
* ``made(said, place) -> Operation``: called once when the config is read. ``place`` is where it stands (`map.streams.users[3]`).
  Raises `ConfigurationError` for what needs no SCHEMA to be wrong, with the place in it.

Most operations work on values, one field of a record at a time: those are an `OfValue`, or an `OfParts` where one value becomes several fields.
Others work on the shape of records, and are a `Operation` of their own.

Three kinds of nothing: a field that a record leaves out stays out, null stays null (a value function sees neither), and an empty text is a value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from singerkit_map.block import Block
from singerkit_map.onvalues import spread, work_on
from singerkit_map.paths import BadValue, Impossible, Path, path_of, schema_at, with_schema_at
from singerkit_map.shape import Shape, check_kind

__all__ = [
    "ANY",
    "TEXT",
    "BadValue",
    "Impossible",
    "OfParts",
    "OfValue",
    "Operation",
    "Schema",
    "Shape",
    "hides",
]

Schema = Mapping[str, Any]

TEXT = frozenset({"string"})
ANY = frozenset({"string", "integer", "number", "boolean", "object", "array"})


def hides(operation: Operation) -> bool:
    """Tell whether an operation keeps values from going on."""
    return getattr(operation, "protects", False) or getattr(operation, "hides", False)


class Operation(Protocol):
    """What is done to the records of a stream, first to their SCHEMA and then to blocks of them."""

    @property
    def place(self) -> str:
        """Where it stands in the config."""
        ...

    def outcome(self, shape: Shape) -> Shape:
        """Return the shape of records behind this operation. Called once for each SCHEMA, before a row is read.

        Raises:
            Impossible: it cannot be done to such records.
        """
        ...

    def apply(self, block: Block, before: Shape, /) -> None:
        """Do it to a block of records, whose shape was ``before``.

        Raises:
            BadDataError: a value is bad, and `on_error` is `fail`.
        """
        ...


@dataclass(frozen=True)
class OfValue:
    """An operation on one field, or with ``into`` on a copy of it.

    ``value`` is called once for each *distinct* value of a block, so it must depend on nothing but the value. It is given str, bool, int,
    `ExactNumber` (a `Decimal` that knows its text; never float), list or dict, and only of the JSON types in ``takes``: what else the field holds is
    a bad value, told of by the engine. It returns one of these or None for null; a value that is returned as it was given (``is``) keeps its text on the wire. Raises `BadValue`.

    ``null`` and ``missing``: what stands in the place of null, and of a field that is left out (`default`); `...`: they stay so.
    """

    place: str
    field: str
    """A path: `email`, `address.city`, `items[].sku`, `tags[]`."""
    value: Callable[[Any], Any]
    schema_of: Callable[[Schema], Schema]
    """From the schema of the field to that of what ``value`` returns; raises `Impossible`."""
    into: str | None = None
    """The name of the field that gets it, in the same object; None: the field itself (`as` in the config)."""
    takes: Collection[str] = ANY
    """The JSON types that ``value`` is given; a field whose SCHEMA admits none of them is `Impossible`."""
    protects: bool = False
    keeps_keys: bool = False
    """Two values that differ stay different and one stays one: keys may be changed by it."""
    null: Any = ...
    missing: Any = ...
    of_texts: Callable[[Sequence[bytes]], Sequence[bytes | None]] | None = None
    """What ``value`` makes of many values at once, from JSON texts (UTF-8) to JSON texts and nothing decoded on the way; None for null, and for each
    of which ``value`` is to be asked, as for all that might be bad."""

    def outcome(self, shape: Shape) -> Shape:
        path = path_of(self.field, shape.fields)
        check_kind(schema_at(shape.fields, path), self.takes, self.field)
        if self.into is None or path.is_nested:
            shape.check_may_change(path)
        if self.into is not None:
            shape.check_free(path.beside(self.into))
        elif self.protects and path.top in shape.bookmarks:
            raise Impossible(
                f"`{self.field}` is the replication key, whose values stand in the STATE as they are, and would not be hidden; read the stream by another one"
            )
        elif not self.keeps_keys and not path.is_nested and path.top in shape.keys:
            raise Impossible(
                f"`{self.field}` is in the key of the stream, and this operation may make one key of two"
            )
        changed = with_schema_at(shape.fields, path, self.schema_of, self.into)
        return shape.with_fields(changed, None if self.keeps_keys or self.into is not None else path.top)

    def may_be_null(self, before: Shape) -> list[Path]:
        """Return the paths of what becomes null with `on_error: null`: what it makes, and what is no object or list on the way there."""
        path = path_of(self.field, before.fields)
        return [*path.to_parents(), path] if self.into is None else [path.beside(self.into)]

    def apply(self, block: Block, before: Shape, /) -> None:
        work_on(block, path_of(self.field, before.fields), self, before.keys)


@dataclass(frozen=True)
class OfParts:
    """An operation that makes several fields of one at the top of a record; the field itself stays.

    ``value`` is that of `OfValue`, and returns a value for each of ``parts`` in their order, None for null. A part of a field that is left out is
    left out, of null is null.
    """

    place: str
    field: str
    """A path without lists."""
    parts: Mapping[str, Schema]
    """The new fields, each with its schema; they admit null."""
    value: Callable[[Any], tuple[Any, ...]]
    takes: Collection[str] = TEXT
    protects: bool = False

    def outcome(self, shape: Shape) -> Shape:
        path = path_of(self.field, shape.fields)
        if path.in_lists:
            raise Impossible(f"`{self.field}` is in a list, of which no fields at the top can be made")
        check_kind(schema_at(shape.fields, path), self.takes, self.field)
        for name in self.parts:
            shape.check_free(Path(name), "into")
        return shape.with_fields({**shape.fields, **self.parts})

    def apply(self, block: Block, before: Shape, /) -> None:
        spread(block, path_of(self.field, before.fields), self)
