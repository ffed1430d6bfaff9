"""Fields of a record: at its top, or inside others (`fields.updated`), from where they are copied to the top."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = [
    "COPY",
    "copied_fields",
    "field_problem",
    "field_problems",
    "names_of",
    "text_of",
    "with_fields_at_top",
]

COPY = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "secret": False,
    "description": 'Fields to add to each record, of what stands inside others: `{"updated": "fields.updated"}` adds what `fields` holds '
    "as `updated`. What `primary_keys` and `replication_key` name so is added by itself, `fields.updated` as `fields_updated`.",
}

_STEP = r"@[^\[\]]+|[^.\[\]@][^.\[\]]*|\['[^']+'\]|\[\"[^\"]+\"\]"
_PATH = re.compile(rf"(?:\$\.?)?(?:{_STEP})(?:\.?(?:{_STEP}))*")


def names_of(text: str) -> tuple[str, ...]:
    """Return the names down to a field: `fields.updated`, `$.fields.updated`, and `['fields']['up.dated']` for names with dots.

    A name that begins with `@` holds the dots that follow, as in paths of an answer.

    Raises:
        ValueError: it is no such thing.
    """
    if "." not in text and not text.startswith(("[", "$[")):
        return (text,)
    if not _PATH.fullmatch(text):
        raise ValueError(text)
    steps = re.findall(_STEP, re.sub(r"^\$(?=[.\[])\.?", "", text))
    return tuple(step[2:-2] if step.startswith("[") else step for step in steps)


def text_of(names: Sequence[str]) -> str:
    """Return how a config names a field by the ``names`` down to it."""
    if len(names) == 1 and "." not in names[0]:
        return names[0]
    return "".join(f"['{name}']" if set(name) & set(".[]") else f".{name}" for name in names).removeprefix(
        "."
    )


def copied_fields(stream: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return what is copied to the top of each record of a stream that has no `field_problems`: its name there, and where it is from."""
    copied = {name: names_of(text) for name, text in stream.get("copy", {}).items()}
    for text in _keys(stream):
        names = names_of(text)
        if len(names) > 1 and names not in copied.values():
            copied["_".join(names)] = names
    return copied


def with_fields_at_top(stream: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stream whose keys are all fields at the top of a record, some of which `copied` puts there."""
    copied = copied_fields(stream)
    at_top = {names: name for name, names in copied.items()}

    def named(text: str) -> str:
        names = names_of(text)
        return names[0] if len(names) == 1 else at_top[names]

    found = {name: value for name, value in stream.items() if name != "copy"} | {"copied": copied}
    if "primary_keys" in stream:
        found["primary_keys"] = [named(text) for text in stream["primary_keys"]]
    if "replication_key" in stream:
        found["replication_key"] = named(stream["replication_key"])
    return found


def field_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with the fields that a stream names."""
    settings = {f"copy.{name}": text for name, text in stream.get("copy", {}).items()}
    settings |= {f"primary_keys[{index}]": text for index, text in enumerate(stream.get("primary_keys", ()))}
    settings |= {"replication_key": stream["replication_key"]} if "replication_key" in stream else {}
    problems = [
        problem for setting, text in settings.items() for problem in field_problem(text, f"{place}.{setting}")
    ]
    yield from problems
    if not problems:
        yield from _clashes(stream, place)


def field_problem(text: str, place: str) -> list[str]:
    """Return, in a list, what is wrong with the way in which a field is named."""
    try:
        names_of(text)
    except ValueError:
        return [
            f"Expected the name of a field at `{place}`, or the names down to it as in `fields.updated`, got `{text}`; a name with "
            "dots stands in brackets, `['a.b']`"
        ]
    return []


def _clashes(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    taken = {name: names_of(text) for name, text in stream.get("copy", {}).items()}
    for name, names in taken.items():
        if names == (name,):
            yield f"`{place}.copy.{name}` has no effect: that field is there under this name; take it out"
    for text in _keys(stream):
        names = names_of(text)
        if len(names) > 1 and names not in taken.values():
            name = "_".join(names)
            if taken.setdefault(name, names) != names:
                yield (
                    f"`{place}` has two fields that would both be `{name}`; give one of them another name, "
                    f'`"copy": {{"another_name": "{text}"}}`'
                )
    of_parent = stream.get("parent", {}).get("copy") or {}
    for name in taken:
        if name in of_parent:
            yield f"`{place}.parent.copy` and `{place}` both add a field `{name}` to the records; give one of them another name"


def _keys(stream: Mapping[str, Any]) -> list[str]:
    return [
        *stream.get("primary_keys", ()),
        *([stream["replication_key"]] if "replication_key" in stream else []),
    ]
