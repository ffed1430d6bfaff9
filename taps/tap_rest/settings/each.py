"""`for_each` of a stream: the values that it is read once for each of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.validate import nearest
from tap_rest.asking.placeholders import asked_of, names_in
from tap_rest.settings import setting
from tap_rest.settings.parent import names_above

__all__ = ["EACH", "FOR_EACH", "FromStream", "each_problems", "is_sendable", "values_used_by"]

EACH = "each."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SENDABLE = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")

_FROM_STREAM = setting.group(
    "The values that a field has in the records of another stream.",
    {
        "stream": setting.name("Name of the stream, all of whose records are read for it."),
        "field": setting.name(
            "The field of its records, `a.b` inside another; where it is null there is no value."
        ),
    },
    ["stream", "field"],
)
FOR_EACH: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {
        "says": 'a list of values, or `{"stream": "services", "field": "id"}`',
        "anyOf": [
            {
                "type": "array",
                "minItems": 1,
                "items": {"anyOf": [{"type": ["string", "integer"]}, _FROM_STREAM]},
            },
            _FROM_STREAM,
        ],
    },
    "secret": False,
    "description": 'Lists of values, each under a name: `{"account": ["1", "2"]}` reads the stream once for each, `{each.account}` standing '
    "for it in `path`, `params`, `headers` or `body`; of several lists, once for each combination. Each record has the value as a "
    'field of that name, and each value a bookmark of its own. `{"service": {"stream": "services", "field": "id"}}` lists the values '
    "that another stream holds; a list of such, and of values beside them, has those of all, each once.",
}


def is_sendable(text: str) -> bool:
    """Tell whether a text may be a value: on one line, and without a blank at its ends."""
    return _SENDABLE.fullmatch(text) is not None


def values_used_by(*asked: Any) -> set[str]:
    """Return the names of the lists whose values stand in what is ``asked``."""
    return {name.removeprefix(EACH) for value in asked for name in names_in(value) if name.startswith(EACH)}


class FromStream(msgspec.Struct, frozen=True):
    """A list in `for_each`: what a ``field`` holds in the records of another stream."""

    stream: str
    field: str


def each_problems(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield what is wrong with `for_each` of a stream that has taken over what holds for all, one of ``streams`` by name."""
    lists = stream.get("for_each", {})
    used = values_used_by(*(value for _, value in asked_of(stream)))
    for name, values in lists.items():
        yield from _problems_of_list(name, values, f"{place}.for_each")
        if name not in used:
            yield (
                f"`{place}.for_each.{name}` has no effect, since no `{{each.{name}}}` stands in what is asked: each value would give the "
                "same rows"
            )
    yield from _problems_of_sources(stream, place, streams)
    copies = stream.get("parent", {}).get("copy", {})
    for name in sorted(lists.keys() & copies.keys()):
        yield f"`{place}.for_each` and `{place}.parent.copy` both add the field `{name}`; give one of them another name"
    for name in sorted(used - lists.keys() if lists else ()):
        near = nearest(name, sorted(lists))
        meant = f"; did you mean `{{each.{near}}}`?" if near else ""
        yield f"`{{each.{name}}}` in `{place}` is none of the lists of `{place}.for_each`{meant}"


def _problems_of_sources(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield what is wrong with lists that other streams give, to this one or to those above it."""
    for name, source in _sources_of(stream):
        if source not in streams:
            yield f"`{place}.for_each.{name}.stream` names `{source}`, which is not among the streams"
        elif stream["name"] in _needed_by(streams[source], streams, set()):
            yield f"`{place}.for_each.{name}.stream` names `{source}`, which needs stream `{stream['name']}` itself: a circle"
    lineage = [stream, *(streams[name] for name in names_above(stream, streams))]
    given = [one["name"] for one in lineage if _sources_of(one)]
    if stream.get("activate_version") and given:
        yield (
            f"`{place}.activate_version` does not go with a list of `for_each` that another stream gives (to `{given[0]}`): a value that it "
            "does not show for once would take all its rows along; list the values in the config"
        )


def _sources_of(stream: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return which streams give to which list."""
    return [
        (name, one["stream"])
        for name, given in stream.get("for_each", {}).items()
        for one in ([given] if isinstance(given, Mapping) else given)
        if isinstance(one, Mapping)
    ]


def _needed_by(
    stream: Mapping[str, Any], streams: Mapping[str, Mapping[str, Any]], seen: set[str]
) -> set[str]:
    """Return the names of a stream and of all that it takes fields or values from."""
    if stream["name"] not in seen:
        seen.add(stream["name"])
        for name in (*names_above(stream, streams), *(source for _, source in _sources_of(stream))):
            if name in streams:
                _needed_by(streams[name], streams, seen)
    return seen


def _problems_of_list(name: str, given: Any, place: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield f"Expected letters, digits and `_` as the name of a list in `{place}`, got `{name}`"
    values: Sequence[Any] = () if isinstance(given, Mapping) else given
    shown = [f"{one['field']} of {one['stream']}" if isinstance(one, Mapping) else str(one) for one in values]
    if len(set(shown)) < len(shown):
        twice = next(text for text in shown if shown.count(text) > 1)
        yield f"`{place}.{name}` has `{twice}` twice; take one of them out"
    if not all(is_sendable(str(value)) for value in values if not isinstance(value, Mapping)):
        yield f"Expected text on one line without a blank at its ends as each value of `{place}.{name}`, got another, or none"
