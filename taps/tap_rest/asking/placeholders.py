"""Placeholders in what is asked for: `{parent.id}`, `{now-1d:%Y-%m-%d}` in path, parameters, headers and body.

`KNOWN` names each, and what a stream has to have for it: whoever has another one adds a line there, and gives its value by that
name in `Values`. A text that is one placeholder alone becomes its value, a number stays one; in a longer text it is written out.
`{{name}}` is sent as `{name}`; braces around anything that is no name (JSON, GraphQL) stand for themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Any
from urllib.parse import quote

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.reach import is_url
from singerkit_shell.secrets import MASK, redactor
from singerkit_shell.validate import nearest
from tap_rest.asking.moments import Moments, is_moment, moment_problem
from tap_rest.pages.links import without_values

__all__ = [
    "ABSENT",
    "BOOKMARKS",
    "KNOWN",
    "Absent",
    "Placeholder",
    "Several",
    "Values",
    "as_text",
    "asked_of",
    "filled",
    "filled_path",
    "holds_any",
    "names_in",
    "needed_in",
    "placeholder_problems",
    "texts_around",
]

Group = Mapping[str, Any]
BOOKMARKS = ("bookmark", "value", "from")
"""Names for where the rows begin that are asked for."""
_NAME = r"(?:[A-Za-z_]\w*(?:[.:+-][^{}]*)?|(?:now|today)\s[^{}]*)"
_PLACEHOLDER = re.compile(
    rf"\{{\{{\{{(?P<wrapped>{_NAME})\}}\}}\}}|\{{\{{(?P<literal>{_NAME})\}}\}}|\{{(?P<name>{_NAME})\}}"
)


class Absent(Enum):
    """What stands for the value of a placeholder that has none, as `{cursor}` on the first page."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class Several(tuple[Any, ...]):
    """The values of a placeholder that stands for several: written with commas, in a list one after the other."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """``lack`` returns what a stream, with its `pagination`, lacks for it, or None.

    A ``name`` that ends with a dot has a field behind it.
    """

    name: str
    lack: Callable[[Group, Group], str | None]


def _without_parent(stream: Group, _pagination: Group) -> str | None:
    return None if "parent" in stream else "has no `parent`"


def _without_lists(stream: Group, _pagination: Group) -> str | None:
    return None if "for_each" in stream else "has no `for_each`"


def _without_bookmark(stream: Group, _pagination: Group) -> str | None:
    return None if "incremental" in stream else "has no `incremental` (`{}` will do)"


def _without_pages_by(*kinds: str) -> Callable[[Group, Group], str | None]:
    told = " or ".join(f"`{kind}`" for kind in kinds)

    def lack(_stream: Group, pagination: Group) -> str | None:
        return None if pagination.get("type") in kinds else f"has no `pagination` of type {told}"

    return lack


KNOWN: dict[str, Placeholder] = {
    known.name: known
    for known in (
        Placeholder("parent.", _without_parent),
        Placeholder("each.", _without_lists),
        Placeholder("job.", lambda stream, _: None if "job" in stream else "has no `job`"),
        Placeholder("bookmark", _without_bookmark),
        Placeholder("value", _without_bookmark),
        Placeholder("from", _without_bookmark),
        Placeholder("to", _without_bookmark),
        Placeholder("page", _without_pages_by("page")),
        Placeholder("offset", _without_pages_by("offset")),
        Placeholder("cursor", _without_pages_by("cursor", "header_cursor", "keyset", "relay")),
        Placeholder(
            "size", lambda _, pagination: None if "size" in pagination else "has no `pagination.size`"
        ),
        Placeholder("now", lambda *_: None),
        Placeholder("today", lambda *_: None),
    )
}


@dataclass(frozen=True, slots=True)
class Values:
    """The values of one request, by the names that stand in braces: `parent.id`; ``moments`` has those of `now` and `today`."""

    moments: Moments
    by_name: Mapping[str, Any] = field(default_factory=dict)

    def of(self, name: str) -> Any:
        """Return the value of a placeholder, `ABSENT` where it has none."""
        return self.moments.written(name) if is_moment(name) else self.by_name.get(name, ABSENT)


# What stands in a config


def asked_of(stream: Group) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a stream that may hold placeholders, by their names."""
    for name in ("path", "params", "headers", "body"):
        if name in stream:
            yield name, stream[name]
    if "graphql" in stream:
        yield "graphql.variables", stream["graphql"].get("variables", {})
    if "next_request" in stream.get("pagination", {}):
        yield "pagination.next_request", stream["pagination"]["next_request"]
    for step, request in stream.get("job", {}).items():
        for name in ("path", "params", "headers", "body"):
            if name in request:
                yield f"job.{step}.{name}", request[name]


def names_in(value: Any) -> Iterator[str]:
    """Yield what stands in braces, in a text or in those inside lists and objects, in their order."""
    for text in _texts_in(value):
        for match in _PLACEHOLDER.finditer(text):
            name = match["name"] or match["wrapped"]
            if name is not None:
                yield name


def needed_in(value: Any, *, is_item: bool = False) -> Iterator[str]:
    """Yield the placeholders that cannot be left out where they have no value: inside a longer text, or inside a list."""
    if isinstance(value, Mapping):
        for part in value.values():
            yield from needed_in(part, is_item=is_item)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from needed_in(part, is_item=True)
    elif isinstance(value, str) and (is_item or _PLACEHOLDER.fullmatch(value) is None):
        yield from names_in(value)


def texts_around(value: Any, names: Collection[str], above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what stands around placeholders of ``names``: the names down to one, the text it is in, and all of an item of a list."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from texts_around(part, names, (*above, key))
    elif isinstance(value, list | tuple):
        for part in value:
            found = [*texts_around(part, names, above)]
            yield from (*found, *(_texts_in(part) if found else ()))
    elif isinstance(value, str) and any(name in names for name in names_in(value)):
        yield from (*above, value)


def holds_any(text: str) -> bool:
    """Tell whether a text is sent otherwise than it stands."""
    return _PLACEHOLDER.search(text) is not None


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts_in(part)


def placeholder_problems(stream: Group, place: str, pagination: Group) -> list[str]:
    """Return a sentence for each placeholder that is not known, or that the stream lacks something for."""
    found: dict[str, None] = {}
    for setting, value in asked_of(stream):
        named = value.items() if isinstance(value, Mapping) else [("", value)]
        for key, part in named:
            where = f"{place}.{setting}.{key}" if key else f"{place}.{setting}"
            for text in _texts_in(part):
                for name in names_in(text):
                    problem = _problem(name, text, stream, pagination)
                    if problem is not None:
                        found[f"`{{{name}}}` in `{where}` {problem}"] = None
    return list(found)


def _problem(name: str, text: str, stream: Group, pagination: Group) -> str | None:
    known = _known(name)
    if known is not None:
        lack = known.lack(stream, pagination)
        if lack is not None:
            return f"means nothing in a stream that {lack}"
        return moment_problem(name, stream.get("time_zone")) if is_moment(name) else None
    if redactor.mask(text) == MASK:
        return None  # a key that comes from elsewhere may hold anything
    near = nearest(re.split("[.:+-]", name)[0], [known.rstrip(".") for known in KNOWN])
    meant = f"did you mean `{{{_shown(near)}}}`? T" if near else "t"
    return f"is no placeholder; {meant}o send it as it stands, write `{{{{{name}}}}}`"


def _known(name: str) -> Placeholder | None:
    if is_moment(name):
        return KNOWN[name[: len("today" if name.startswith("today") else "now")]]
    head, dot, field_name = name.partition(".")
    return KNOWN.get(head + dot) if field_name or not dot else None


def _shown(name: str) -> str:
    return f"{name}.field" if f"{name}." in KNOWN else name


# What is sent


def filled(value: Any, values: Values, place: str, *, as_texts: bool = False) -> Any:
    """Return a value of the config with its placeholders filled in; `ABSENT` where it is one without a value.

    What is absent is left out of lists and objects. ``place`` names the setting, for errors. ``as_texts``: a placeholder that
    stands alone is written out, too.

    Raises:
        BadDataError: an array or an object is to stand inside a text.
        ConfigurationError: a placeholder inside a text has no value.
    """
    if isinstance(value, str):
        return _filled_text(value, values, place, as_texts=as_texts)
    if isinstance(value, Mapping):
        parts = {
            name: filled(part, values, f"{place}.{name}", as_texts=as_texts) for name, part in value.items()
        }
        return {name: part for name, part in parts.items() if part is not ABSENT}
    if isinstance(value, list | tuple):
        filled_items = (
            found for item in value for found in _filled_item(item, values, place, as_texts=as_texts)
        )
        return [item for item in filled_items if item is not ABSENT]
    return value


def _filled_item(item: Any, values: Values, place: str, *, as_texts: bool) -> Iterator[Any]:
    alone = _PLACEHOLDER.fullmatch(item) if isinstance(item, str) else None
    name = alone["name"] if alone is not None else None
    several = values.of(name) if name is not None and _known(name) is not None else None
    if isinstance(several, Several):
        yield from (as_text(value, name or "", item) if as_texts else value for value in several)
    else:
        yield filled(item, values, place, as_texts=as_texts)


def _filled_text(text: str, values: Values, place: str, *, as_texts: bool) -> Any:
    if "{" not in text:
        return text
    alone = _PLACEHOLDER.fullmatch(text)
    if alone is not None and alone["name"] is not None and _known(alone["name"]) is not None:
        value = values.of(alone["name"])
        return as_text(value, alone["name"], text) if as_texts and value is not ABSENT else value
    return _PLACEHOLDER.sub(lambda match: _written(match, values, text, place), text)


def _written(match: re.Match[str], values: Values, text: str, place: str) -> str:
    if match["literal"] is not None:
        return f"{{{match['literal']}}}"
    name = match["name"] or match["wrapped"]
    if _known(name) is None:
        return match[0]
    written = as_text(_present(name, values, place), name, text)
    return written if match["name"] else f"{{{written}}}"


def _present(name: str, values: Values, place: str) -> Any:
    value = values.of(name)
    if value is ABSENT:
        way = (
            "Set `start_date`, which stands for it until there is one; where the replication key is no date and no time, "
            if name in BOOKMARKS
            else ""
        )
        alone = "let it stand alone as the value of a parameter, a header or a member of the body, which is left out then."
        raise ConfigurationError(
            f"`{{{name}}}` in `{place}` has no value here, and there is more around it, so nothing was asked for. "
            f"{way or alone[:1].upper()}{alone if way else alone[1:]}"
        )
    return value


def filled_path(path: str, values: Values) -> str:
    """Fill in a path so that no value can climb out of its place in it.

    Only a path that begins with a field of a parent takes it as it is, since that is then a URL that the API itself gave;
    where such a URL may lead is the client's concern. A part of the path that is a placeholder without a value is left out.
    """

    def part(match: re.Match[str]) -> str:
        if match["literal"] is not None:
            return quote(f"{{{match['literal']}}}", safe="")
        name = match["name"] or match["wrapped"]
        if _known(name) is None:
            return match[0]
        value = _present(name, values, "path")
        text = as_text(value, name, path)
        if match["wrapped"] is not None:
            text = f"{{{text}}}"
        elif match.start() == 0 and (text.startswith("/") or is_url(text)):
            return without_values(text)
        if text in ("", ".", ".."):
            raise BadDataError(
                f"Expected something to put into the path `{path}`, got `{text}` as {_told(name)}."
            )
        try:
            return quote(text, safe="," if isinstance(value, Several) else "")
        except UnicodeEncodeError:
            raise BadDataError(
                f"Expected whole characters to put into the path `{path}`, got others as {_told(name)}."
            ) from None

    return _PLACEHOLDER.sub(part, _without_absent_parts(path, values))


def _without_absent_parts(path: str, values: Values) -> str:
    if not any(values.of(name) is ABSENT for name in names_in(path)):
        return path
    head, query, behind = path.partition("?")
    kept = [part for part in head.split("/") if not _is_absent(part, values)]
    return "/".join(kept) + query + behind


def _is_absent(text: str, values: Values) -> bool:
    alone = _PLACEHOLDER.fullmatch(text)
    name = alone["name"] if alone is not None else None
    return name is not None and _known(name) is not None and values.of(name) is ABSENT


def as_text(value: Any, name: str, text: str) -> str:
    """Return the value of a placeholder as it is written inside a text.

    Raises:
        BadDataError: it is an array or an object.
    """
    if isinstance(value, Several):
        return _with_commas([as_text(one, name, text) for one in value], name, text)
    if isinstance(value, list | dict):
        raise BadDataError(
            f"Expected text or a number to put into `{text}`, got `{'array' if isinstance(value, list) else 'object'}` "
            f"as {_told(name)}; name a field of it (`{name}.b`), or another one."
        )
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _with_commas(texts: Sequence[str], name: str, text: str) -> str:
    if any("," in one for one in texts):
        raise BadDataError(
            f"Expected texts without commas to put several into `{text}`, got one with a comma as {_told(name)}; where the API takes a "
            f'list, say `["{{{name}}}"]`.'
        )
    return ",".join(texts)


def _told(name: str) -> str:
    head, dot, field_name = name.partition(".")
    return f"`{field_name}` of the {head}" if dot else f"`{{{name}}}`"
