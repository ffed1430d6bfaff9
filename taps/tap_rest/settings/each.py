"""`for_each` of a stream: the values that it is read once for each of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.validate import nearest
from tap_rest.placeholders import asked_of, names_in

__all__ = ["EACH", "FOR_EACH", "each_problems", "values_used_by"]

EACH = "each."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SENDABLE = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")

FOR_EACH: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
    "secret": False,
    "description": 'Lists of values, each under a name: `{"account": ["1", "2"]}` reads the stream once for each, `{each.account}` standing '
    "for it in `path`, `params`, `headers` or `body`; of several lists, once for each combination. Each record has the value as a "
    "field of that name, and each value a bookmark of its own.",
}


def values_used_by(*asked: Any) -> set[str]:
    """Return the names of the lists whose values stand in what is ``asked``."""
    return {name.removeprefix(EACH) for value in asked for name in names_in(value) if name.startswith(EACH)}


def each_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield what is wrong with `for_each` of a stream that has taken over what holds for all."""
    lists = stream.get("for_each", {})
    used = values_used_by(*(value for _, value in asked_of(stream)))
    for name, values in lists.items():
        yield from _problems_of_list(name, values, f"{place}.for_each")
        if name not in used:
            yield (
                f"`{place}.for_each.{name}` has no effect, since no `{{each.{name}}}` stands in what is asked: each value would give the "
                "same rows"
            )
    copies = stream.get("parent", {}).get("copy", {})
    for name in sorted(lists.keys() & copies.keys()):
        yield f"`{place}.for_each` and `{place}.parent.copy` both add the field `{name}`; give one of them another name"
    for name in sorted(used - lists.keys() if lists else ()):
        near = nearest(name, sorted(lists))
        meant = f"; did you mean `{{each.{near}}}`?" if near else ""
        yield f"`{{each.{name}}}` in `{place}` is none of the lists of `{place}.for_each`{meant}"


def _problems_of_list(name: str, values: list[str | int], place: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"Expected letters, digits and `_` as the name of a list in `{place}`, got `{name}`"
    texts = [str(value) for value in values]
    if len(set(texts)) < len(texts):
        twice = next(text for text in texts if texts.count(text) > 1)
        yield f"`{place}.{name}` has `{twice}` twice; take one of them out"
    if not all(map(_SENDABLE.fullmatch, texts)):
        yield f"Expected text on one line without a blank at its ends as each value of `{place}.{name}`, got another, or none"
