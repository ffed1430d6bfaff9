"""A schema that is taken apart: what is inside objects stands beside them, and elements of lists are rows of tables of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.compiled import is_annotation
from singerkit_catalog.schema import is_nullable, or_null

__all__ = [
    "ELEMENT",
    "PARENT_POSITION",
    "POSITION",
    "ROW_ID",
    "VALUE",
    "Part",
    "SameName",
    "Table",
    "asks_more",
    "child_schema",
    "parts_of",
    "root_key",
    "taken_apart",
    "unnamed_list",
    "with_row_id",
]

POSITION, PARENT_POSITION = "_position", "_parent_position"
"""Where an element of a list stands among those of its record, from 0 on, and the one that it is inside of."""
VALUE, ELEMENT = "value", "_value"
"""An element that is no object, and one that was to be an object and is none."""

ROW_ID = "_row_id"
"""What tells the rows of a stream apart of which each one is kept, whatever its key."""

_STRUCTURE = frozenset({"type", "properties", "required", "additionalProperties"})
_OF_LISTS = frozenset({"type", "items"})
_NULL: Mapping[str, Any] = {"type": "null"}
_INTEGER: Mapping[str, Any] = {"type": "integer"}


class SameName(Exception):
    """Two fields would have one name; ``path`` is that of the one inside an object or list."""

    def __init__(self, path: str, name: str) -> None:
        super().__init__(name)
        self.path = path
        self.name = name


@dataclass(frozen=True)
class Part:
    """An object that is taken apart, or a row of a table.

    ``name`` is that of the column in which it stands where it has to stay whole, ``path`` its fields from the row of its table on,
    ``where`` those from the record on. ``leaves`` are the fields that stay whole, by their name in the object, each with the name that it gets;
    ``objects`` and ``lists`` those that are taken apart themselves. ``is_open``: it may have fields that nothing names.
    """

    name: str
    path: tuple[str, ...]
    where: tuple[str, ...]
    schema: Mapping[str, Any]
    leaves: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, Part] = field(default_factory=dict)
    lists: Mapping[str, Table] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    is_open: bool = True

    def all_parts(self) -> Iterator[Part]:
        """Yield it, and what stands in the same row."""
        yield self
        for part in self.objects.values():
            yield from part.all_parts()

    def all_lists(self) -> Iterator[Table]:
        for part in self.all_parts():
            yield from part.lists.values()


@dataclass(frozen=True)
class Table:
    """Rows of their own: the records of a stream, or the elements of the lists at one place in them.

    ``names`` are those of the lists that lead there, ``whole`` that of the column in which such a list stands where it has to stay whole.
    ``level`` is how many lists are around its rows; ``is_scalar``: elements are no objects that are taken apart. ``is_unnamed``: no schema
    names the lists any more, and nothing is known of their elements.
    """

    names: tuple[str, ...]
    whole: str
    row: Part
    level: int = 0
    is_scalar: bool = False
    is_unnamed: bool = False

    def all_tables(self) -> Iterator[Table]:
        """Yield it, and those of lists in its rows."""
        yield self
        for table in self.row.all_lists():
            yield from table.all_tables()

    def inner_tables(self) -> list[Table]:
        return [table for table in self.all_tables() if table is not self]

    def wholes(self) -> dict[str, Any]:
        """Return the columns in which what is taken apart stands whole where it has to, with the schema of each."""
        found: dict[str, Any] = {} if self.is_scalar else {self.row.name: self.row.schema}
        for part in self.row.all_parts():
            for key, inner in part.objects.items():
                found[inner.name] = part.schema["properties"][key]
            for key, table in part.lists.items():
                found[table.whole] = part.schema["properties"][key]
        found.pop("", None)
        return found


def unnamed_list() -> Table:
    """Return the table of lists that no schema names any more."""
    return Table((), "", Part("", (), (), {"properties": {}}), 1, is_unnamed=True)


def asks_more(schema: Mapping[str, Any]) -> list[str]:
    """Return the keywords of a record's schema that ask more of it than of its single fields."""
    return sorted(key for key in schema if key not in _STRUCTURE and not is_annotation(key))


def root_key(key: str) -> str:
    """Return what a key property of a record is called in the tables of its lists."""
    return f"_root{key}" if key == ROW_ID else f"_root_{key}"


def with_row_id(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of records that have a row id besides."""
    properties = {**schema["properties"], ROW_ID: {"type": "string", "format": "uuid"}}
    return {**schema, "properties": properties, "required": [*schema.get("required", ()), ROW_ID]}


def parts_of(
    schema: Mapping[str, Any],
    keys: Collection[str],
    depth: int,
    separator: str,
    *,
    lists: bool = False,
    always: bool = False,
) -> Table | None:
    """Return how a record is taken apart, ``depth`` objects and lists deep; None where it has nothing to take apart, unless ``always``.

    Raises:
        SameName: two fields would have one name.
    """
    record = _Apart(separator, depth, lists, frozenset(keys)).part(schema, (), (), "", _Place())
    if not (record.objects or record.lists or always):
        return None
    stream = Table((), "", record)
    for table in stream.all_tables():
        _check_names(table, keys)
    return stream


def _check_names(table: Table, keys: Collection[str]) -> None:
    seen = set(table.row.leaves.values())
    if table.names:
        reserved = {*map(root_key, keys), POSITION, PARENT_POSITION, ELEMENT, "_sdc_deleted_at"}
        for name in seen & reserved:
            raise SameName(".".join((*table.row.where, name)), name)
        seen |= reserved
    for part in table.row.all_parts():
        inner = [*part.leaves.items()] if part is not table.row else []
        inner += [(key, one.name) for key, one in part.objects.items()]
        inner += [(key, one.whole) for key, one in part.lists.items()]
        for key, name in inner:
            if name in seen:
                raise SameName(".".join((*part.where, key)), name)
            seen.add(name)


@dataclass(frozen=True)
class _Place:
    """The names of the lists that lead to a table, and how many there are."""

    names: tuple[str, ...] = ()
    level: int = 0


@dataclass(frozen=True)
class _Apart:
    separator: str
    depth: int
    lists: bool
    keys: frozenset[str]

    def part(
        self,
        schema: Mapping[str, Any],
        path: tuple[str, ...],
        where: tuple[str, ...],
        name: str,
        place: _Place,
    ) -> Part:
        leaves: dict[str, str] = {}
        objects: dict[str, Part] = {}
        lists: dict[str, Table] = {}
        for key, one in (schema.get("properties") or {}).items():
            called = self.separator.join((*path, key))
            stays = len(where) >= self.depth or (not where and key in self.keys)
            if not stays and (inner := _object_in(one)) is not None:
                objects[key] = self.part(inner, (*path, key), (*where, key), called, place)
            elif not stays and self.lists and (items := _items_of(one)) is not None:
                inside = _Place((*place.names, *path, key), place.level + 1)
                lists[key] = self._table(items, (*where, key), called, inside)
            else:
                leaves[key] = called
        required = frozenset(schema.get("required") or ())
        is_open = schema.get("additionalProperties") is not False
        return Part(name, path, where, schema, leaves, objects, lists, required, is_open)

    def _table(self, items: Any, where: tuple[str, ...], whole: str, place: _Place) -> Table:
        inner = _object_in(items)
        if inner is None:
            return Table(place.names, whole, Part(VALUE, (), where, items), place.level, is_scalar=True)
        return Table(place.names, whole, self.part(inner, (), where, ELEMENT, place), place.level)


def _object_in(schema: Any) -> Mapping[str, Any] | None:
    """Return the schema of the object that a property may be, where its single fields are all that it asks of one."""
    if not isinstance(schema, Mapping):
        return None
    asked = _asked(schema)
    if (only := _only_branch(schema, asked)) is not None:
        return _object_in(only)
    properties = schema.get("properties")
    if not _admits("object", schema) or not asked <= _STRUCTURE:
        return None
    if not isinstance(properties, Mapping) or not properties:
        return None
    is_plain = schema.get("additionalProperties", True) in (True, False, {})
    return schema if is_plain and set(schema.get("required") or ()) <= set(properties) else None


def _items_of(schema: Any) -> Any:
    """Return the schema of the elements of the list that a property may be, where they are all that it asks of one; None: it is none such."""
    if not isinstance(schema, Mapping):
        return None
    asked = _asked(schema)
    if (only := _only_branch(schema, asked)) is not None:
        return _items_of(only)
    if "type" not in schema or not _admits("array", schema) or not asked <= _OF_LISTS:
        return None
    items = schema.get("items", {})
    return {} if items is True else items if isinstance(items, Mapping) else None


def _asked(schema: Mapping[str, Any]) -> set[str]:
    return {key for key in schema if not is_annotation(key) or key == "x-sql-datatype"}


def _only_branch(schema: Mapping[str, Any], asked: Collection[str]) -> Any:
    """Return the one branch of an anyOf or oneOf that is not null, where it is all that is asked."""
    for keyword in ("anyOf", "oneOf"):
        if set(asked) == {keyword}:
            found = [one for one in schema[keyword] if one != _NULL]
            return found[0] if len(found) == 1 else False
    return None


def _admits(type_: str, schema: Mapping[str, Any]) -> bool:
    types = schema.get("type", type_)
    return type_ in ([types] if isinstance(types, str) else types)


def taken_apart(table: Table, whole: Collection[str] = ()) -> dict[str, Any]:
    """Return the schema of a stream's records that were taken apart; ``whole``: what may stand there whole besides, by its column."""
    record = table.row
    properties: dict[str, Any] = {}
    required: list[str] = []
    for key, one in record.schema["properties"].items():
        is_required = key in record.required
        if key in record.objects:
            inner = _inside(record.objects[key], is_required and not is_nullable(one))
        elif key in record.lists:
            inner = {}
        else:
            inner = {key: one}
        properties |= inner
        required += inner if is_required else []
        if is_required and key in record.lists and record.lists[key].whole in whole:
            required.append(record.lists[key].whole)
    properties |= {name: _maybe(one) for name, one in table.wholes().items() if name in whole}
    flat = {key: value for key, value in record.schema.items() if key not in ("properties", "required")}
    return {**flat, "properties": properties} | ({"required": required} if required else {})


def child_schema(
    table: Table, record: Part, keys: Collection[str], whole: Collection[str] = ()
) -> dict[str, Any]:
    """Return the schema of the elements of lists; ``record`` is that which the lists are in."""
    above = {root_key(key): record.schema["properties"][key] for key in keys}
    # What is said of all elements of a record has none.
    above |= {PARENT_POSITION: or_null(_INTEGER)} if table.level > 1 else {}
    above[POSITION] = _INTEGER
    own = {VALUE: _maybe(table.row.schema)} if table.is_scalar else _inside(table.row, False)
    wholes = {name: _maybe(one) for name, one in table.wholes().items() if name in whole}
    gone = {"_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}}
    return {"type": "object", "properties": {**above, **own, **wholes, **gone}, "required": list(above)}


def _inside(part: Part, is_there: bool) -> dict[str, Any]:
    """Return the properties that come of an object; ``is_there``: none of those around it may be null, or left out."""
    found: dict[str, Any] = {}
    for key, one in part.schema["properties"].items():
        always = is_there and key in part.required
        if key in part.objects:
            found |= _inside(part.objects[key], always and not is_nullable(one))
        elif key in part.leaves:
            found[part.leaves[key]] = one if always else _maybe(one)
    return found


def _maybe(schema: Any) -> Any:
    return or_null(schema) if isinstance(schema, Mapping) else schema
