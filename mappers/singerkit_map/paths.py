"""Where in a record an operation works: a field at the top (`email`), inside objects (`address.city`), in each element of a list (`items[].sku`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_catalog.admitted import types_of
from singerkit_shell.validate import nearest

__all__ = [
    "ELEMENTS",
    "BadValue",
    "Impossible",
    "Path",
    "change_at",
    "path_of",
    "schema_at",
    "value_at",
    "with_schema_at",
]

ELEMENTS = None
"""The step from a list to each of its elements; any other step is the name of a field."""

_BRANCHES = ("anyOf", "oneOf", "allOf")


class Impossible(Exception):
    """An operation that the SCHEMA of a stream does not allow: a sentence without its full stop, and the setting that says so."""

    def __init__(self, sentence: str, setting: str = "field") -> None:
        super().__init__(sentence)
        self.setting = setting


class BadValue(Exception):
    """A value that an operation cannot work on; the reason never holds the value."""


@dataclass(frozen=True)
class Path:
    """A field at the top, and the steps from it inwards; none: the field itself."""

    top: str
    steps: tuple[str | None, ...] = ()

    def __str__(self) -> str:
        return self.top + "".join("[]" if step is ELEMENTS else f".{step}" for step in self.steps)

    @property
    def is_nested(self) -> bool:
        return bool(self.steps)

    @property
    def in_lists(self) -> bool:
        return ELEMENTS in self.steps

    def to_parents(self) -> list[Path]:
        """Return the paths of what it is in, from the outermost inwards; of a field at the top none."""
        return [Path(self.top, self.steps[:depth]) for depth in range(len(self.steps))]

    def beside(self, name: str) -> Path:
        """Return the path of a field called ``name`` in the object that this one is in."""
        return Path(self.top, (*self.steps[:-1], name)) if self.steps else Path(name)


def path_of(text: str, fields: Mapping[str, Any] | None = None) -> Path:
    """Return the path that a text names; one of ``fields`` is meant where it is called so, whatever dots are in its name.

    Raises:
        Impossible: a name in it is empty.
    """
    if fields is not None and text in fields:
        return Path(text)
    steps: list[str | None] = []
    for part in text.split("."):
        name = part
        depth = 0
        while name.endswith("[]"):
            name, depth = name[:-2], depth + 1
        if not name:
            raise Impossible(f"Expected a path like `address.city` or `items[].sku`, got `{text}`")
        steps += [name, *[ELEMENTS] * depth]
    return Path(str(steps[0]), tuple(steps[1:]))


def schema_at(fields: Mapping[str, Any], path: Path, setting: str = "field") -> Mapping[str, Any]:
    """Return the schema of what a path, which a ``setting`` names, leads to; that of a value of which the SCHEMA says nothing is empty.

    Raises:
        Impossible: there is no such field.
    """
    found: list[Mapping[str, Any]] = []

    def see(schema: Mapping[str, Any]) -> Mapping[str, Any]:
        found.append(schema)
        return schema

    try:
        with_schema_at(fields, path, see)
    except Impossible as impossible:
        raise Impossible(str(impossible), setting) from None
    return found[0]


def with_schema_at(
    fields: Mapping[str, Any],
    path: Path,
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    beside: str | None = None,
) -> dict[str, Any]:
    """Return ``fields`` with the schema at a path changed; with ``beside``, that is the schema of a field of this name in the same object.

    Raises:
        Impossible: there is no such field.
    """
    if path.top not in fields:
        raise Impossible(_no_field(path.top, fields))
    if not path.steps:
        return {**fields, beside or path.top: change(fields[path.top])}
    return {**fields, path.top: _changed(fields[path.top], path.steps, str(path), change, beside)}


def without_schema_at(fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return ``fields`` without what a nested path leads to.

    Raises:
        Impossible: there is no such field.
    """
    *steps, last = path.steps
    if last is ELEMENTS:
        raise Impossible(f"`{path}` leads to the elements of a list, which have no name", "")
    if not steps:
        return {**fields, path.top: _without(fields[path.top], last)}
    return with_schema_at(fields, Path(path.top, tuple(steps)), lambda schema: _without(schema, last))


def _without(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    made = dict(schema)
    if isinstance(inner := schema.get("properties"), Mapping):
        made["properties"] = {one: said for one, said in inner.items() if one != name}
    if isinstance(required := schema.get("required"), list):
        made["required"] = [one for one in required if one != name]
    for keyword in _BRANCHES:
        if isinstance(branches := schema.get(keyword), list):
            made[keyword] = [_without(one, name) if isinstance(one, Mapping) else one for one in branches]
    return made


def _changed(
    schema: Any,
    steps: tuple[str | None, ...],
    whole: str,
    change: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    beside: str | None,
) -> Any:
    if not steps:
        return change(schema)
    step, rest = steps[0], steps[1:]
    made = dict(schema)
    was_found = False
    if step is ELEMENTS:
        items = schema.get("items")
        if isinstance(items, Mapping):
            made["items"] = _changed(items, rest, whole, change, beside)
            was_found = True
    elif isinstance(inner := schema.get("properties"), Mapping) and step in inner:
        if rest or beside is None:
            made["properties"] = {**inner, step: _changed(inner[step], rest, whole, change, beside)}
        else:
            made["properties"] = {**inner, beside: change(inner[step])}
        was_found = True
    problem: Impossible | None = None
    for keyword in _BRANCHES:
        branches = []
        for branch in schema.get(keyword) or ():
            try:
                branches.append(
                    _changed(branch, steps, whole, change, beside) if isinstance(branch, Mapping) else branch
                )
                was_found = was_found or branches[-1] is not branch
            except Impossible as impossible:
                problem = impossible
                branches.append(branch)
        if branches:
            made[keyword] = branches
    if not was_found:
        raise problem or Impossible(_not_inside(step, schema, whole))
    return made


def _no_field(name: str, fields: Mapping[str, Any]) -> str:
    near = nearest(name, list(fields))
    hint = f"; did you mean `{near}`?" if near else ""
    return f"the SCHEMA has no field `{name}`{hint}"


def _not_inside(step: str | None, schema: Mapping[str, Any], whole: str) -> str:
    kinds = types_of(schema) - {"null"}
    if step is ELEMENTS:
        return f"the SCHEMA says nothing of elements where `{whole}` has `[]`"
    inner = schema.get("properties")
    if isinstance(inner, Mapping) and inner:
        return f"{_no_field(step, inner)} on the way of `{whole}`"
    if "array" in kinds:
        return f"`{whole}` leads into a list: write `[]` behind its name"
    return f"the SCHEMA names no field `{step}` inside an object on the way of `{whole}`"


def value_at(value: Any, steps: tuple[str | None, ...], missing: Any) -> Any:
    """Return what steps without lists lead to; ``missing`` where there is nothing, None where null is on the way.

    Raises:
        BadValue: something on the way is no object.
    """
    for step in steps:
        if value is None:
            return None
        if not isinstance(value, dict):
            raise BadValue(f"expected an object that has `{step}`, got {_kind(value)}")
        if step not in value:
            return missing
        value = value[step]
    return value


def change_at(
    value: Any,
    steps: tuple[str | None, ...],
    change: Callable[[dict[str, Any], str], None],
    wrong: Callable[[Any, tuple[str | None, ...]], Any] | None = None,
) -> Any:
    """Return a value in which ``change`` was called with each object that the steps lead to, and the last of their names.

    Objects and lists on the way are copied, never changed. Missing and null on the way stay as they are. With ``wrong``, what is no object or
    list on the way becomes what that returns of it and the steps from there.

    Raises:
        BadValue: something on the way is no object, or no list where the steps have elements.
    """
    if value is None:
        return None
    step, rest = steps[0], steps[1:]
    if not isinstance(value, list if step is ELEMENTS else dict):
        if wrong is None:
            expected = "a list" if step is ELEMENTS else f"an object that has `{step}`"
            raise BadValue(f"expected {expected}, got {_kind(value)}")
        return wrong(value, steps)
    if step is ELEMENTS:
        if not rest:  # the elements themselves: each for this moment in an object of its own
            return [_element(one, change) for one in value]
        return [change_at(one, rest, change, wrong) for one in value]
    made = dict(value)
    if not rest:
        change(made, step)
    elif step in made:
        made[step] = change_at(made[step], rest, change, wrong)
    return made


def _element(value: Any, change: Callable[[dict[str, Any], str], None]) -> Any:
    held = {"": value}
    change(held, "")
    return held[""]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    words: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}
    return words.get(type(value), "a number")
