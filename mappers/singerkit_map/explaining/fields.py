"""Each field of a stream before and after a map: what it is called, what it may hold, and which operations have changed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.admitted import string_formats, types_of
from singerkit_map.contract import Operation
from singerkit_map.paths import path_of
from singerkit_map.shape import Shape

__all__ = ["FieldLook", "Step", "field_looks", "hidden_fields", "type_word"]


@dataclass(frozen=True)
class Step:
    """An operation by its name, and the shapes of records on both sides of it."""

    op: str
    operation: Operation
    before: Shape
    after: Shape


@dataclass
class FieldLook:
    """A field by its names and types; None where it is not there."""

    before: str | None
    after: str | None
    type_before: str = ""
    type_after: str = ""
    by: list[str] = field(default_factory=list)
    is_protected: bool = False


def field_looks(first: Shape, steps: Sequence[Step]) -> list[FieldLook]:
    """Return each field that there was, then those that operations have made."""
    looks = [FieldLook(name, name, type_word(first, name)) for name in first.fields]
    for step in steps:
        _follow(step, looks)
    last = steps[-1].after if steps else first
    for one in looks:
        one.type_after = type_word(last, one.after) if one.after is not None else ""
    return [one for one in looks if one.before is not None or one.after is not None]


def _follow(step: Step, looks: list[FieldLook]) -> None:
    """Bring the looks from the shape before an operation to the one behind it."""
    images = {origin: name for name, origin in step.after.came_as.items()}
    origins = step.before.came_as
    named = _field_named(step)
    known = set()
    for one in looks:
        if one.after is None:
            continue
        before, after = one.after, _after(one.after, step, images, origins)
        is_changed = after != before or (
            after is not None and step.before.fields[before] != step.after.fields[after]
        )
        if is_changed or before == named:
            one.by.append(step.op)
        one.is_protected |= before == named and getattr(step.operation, "protects", False)
        one.after = after
        known.add(after)
    looks += [FieldLook(None, name, by=[step.op]) for name in step.after.fields if name not in known]


def _after(name: str, step: Step, images: Mapping[str, str], origins: Mapping[str, str]) -> str | None:
    """Return the name that a field has behind an operation; None: it is gone."""
    moved = images.get(origins[name]) if name in origins else None
    if moved is not None:
        return moved
    return name if name in step.after.fields else None


def _field_named(step: Step) -> str | None:
    """Return the field at the top that an operation works on where it stands; None: it makes another one of it, or is about rows."""
    text = getattr(step.operation, "field", None)
    if not isinstance(text, str) or getattr(step.operation, "into", None) is not None:
        return None
    if getattr(step.operation, "is_of_rows", False):
        return None
    return path_of(text, step.before.fields).top


def hidden_fields(first: Shape, steps: Sequence[Step]) -> frozenset[str]:
    """Return the fields as they came that must not be shown: what a protecting operation works on, and what does not go on."""
    looks = field_looks(first, steps)
    hidden = {
        one.before for one in looks if one.before is not None and (one.is_protected or one.after is None)
    }
    for step in steps:
        text = getattr(step.operation, "field", None)
        if getattr(step.operation, "protects", False) and isinstance(text, str):
            top = path_of(text, step.before.fields).top
            hidden.add(step.before.came_as.get(top, top))
    return frozenset(hidden)


def type_word(shape: Shape, name: str) -> str:
    """Say in a few words what a field may hold, and whether it is a key."""
    schema = shape.fields[name]
    types = sorted(types_of(schema) - {"null"}) or ["anything"]
    word = " or ".join(_with_format(one, schema) for one in types)
    if "null" in types_of(schema):
        word += " or null"
    return f"{word}, key" if name in shape.keys else word


def _with_format(kind: str, schema: Mapping[str, Any]) -> str:
    formats: Iterator[str] = string_formats(schema) if kind == "string" else iter(())
    return next(formats, kind)
