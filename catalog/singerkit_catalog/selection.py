"""What is sent: selection by catalog metadata, and by ``select`` rules in the config.

Metadata is resolved by singer-sdk (`MetadataMapping.resolve_selection`); this module brings catalogs of all
ages into the form it reads, and applies the rules::

    "select": ["orders", "customers.*", "!*.password"]

A rule is a glob over ``stream`` or ``stream.field`` (``stream.field.inner`` for nested properties); ``!``
excludes; later rules win. A list that begins with an exclusion begins with everything, any other with nothing.
Keys and the replication key are always sent.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from singer_sdk.singerlib import MetadataMapping

from singerkit_shell.errors import ConfigurationError

__all__ = [
    "apply_rules",
    "known_rules",
    "may_be_selected",
    "normalised_catalog",
    "unknown_field",
    "unmatched_rules",
]

_BOOLEANS = {"true": True, "false": False}
_BOOLEAN_KEYS = ("selected", "selected-by-default")


def normalised_catalog(catalog: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a catalog as singer-sdk reads it.

    "true" and "false" become booleans, ``selected`` inside a schema becomes metadata, a missing
    ``tap_stream_id`` is the stream's name. ``where`` names the catalog in errors.

    Raises:
        ConfigurationError: not a catalog: no ``streams``, or an entry without ``tap_stream_id`` or ``stream``.
    """
    streams = catalog.get("streams")
    if not isinstance(streams, list):
        raise ConfigurationError(
            f"Expected a list of `streams` in {where}, which has none; make one with --discover."
        )
    try:
        return {
            **catalog,
            "streams": [_normalised_entry(entry, index, where) for index, entry in enumerate(streams)],
        }
    except RecursionError:
        raise ConfigurationError(
            f"Expected less nesting in the schemas of {where}; describe inner objects without further detail."
        ) from None


def _normalised_entry(entry: Any, index: int, where: str) -> dict[str, Any]:
    stream_id = (entry.get("tap_stream_id") or entry.get("stream")) if isinstance(entry, Mapping) else None
    if not isinstance(stream_id, str):
        raise ConfigurationError(
            f"Expected a `tap_stream_id` at streams[{index}] of {where}, which is missing; make the catalog "
            "again with --discover."
        )
    entry = copy.deepcopy(dict(entry))
    schema = entry.get("schema")
    if not isinstance(schema, dict):
        schema = {}
    _check_shapes(entry, schema, f"`{stream_id}` in {where}")
    metadata: dict[tuple[str, ...], dict[str, Any]] = {}
    for item in entry.get("metadata") or ():
        if (
            not isinstance(item, Mapping)
            or not isinstance(item.get("breadcrumb"), list)
            or not isinstance(item.get("metadata") or {}, Mapping)
        ):
            raise ConfigurationError(
                f"Expected a list as `breadcrumb` in the metadata of `{stream_id}` in {where}; make the catalog "
                "again with --discover."
            )
        metadata[tuple(map(str, item["breadcrumb"]))] = _with_booleans(item.get("metadata") or {})
    for breadcrumb, selected in _legacy_selection(schema, ()):
        metadata.setdefault(breadcrumb, {}).setdefault("selected", selected)
    legacy = _boolean(entry.pop("selected", None))
    if legacy is not None:
        metadata.setdefault((), {}).setdefault("selected", legacy)
    return {
        **entry,
        "tap_stream_id": stream_id,
        "schema": schema,
        "metadata": [
            {"breadcrumb": list(breadcrumb), "metadata": values} for breadcrumb, values in metadata.items()
        ],
    }


def _check_shapes(entry: Mapping[str, Any], schema: Mapping[str, Any], place: str) -> None:
    """See that lists are lists and objects objects, where singer-sdk takes it for granted."""
    keys = entry.get("key_properties") or []
    shapes = {
        "a list as `metadata`": isinstance(entry.get("metadata") or [], list),
        "a list of names as `key_properties`": isinstance(keys, list)
        and all(isinstance(key, str) for key in keys),
        "a text as `replication_key`": isinstance(entry.get("replication_key") or "", str),
        "an object as `properties`": isinstance(schema.get("properties") or {}, Mapping),
    }
    for expected, is_right in shapes.items():
        if not is_right:
            raise ConfigurationError(
                f"Expected {expected} of {place}; make the catalog again with --discover."
            )


def _with_booleans(metadata: Mapping[str, Any]) -> dict[str, Any]:
    values = dict(metadata)
    for key in _BOOLEAN_KEYS:
        if key in values:
            values[key] = _boolean(values[key])
    if isinstance(values.get("inclusion"), str):
        values["inclusion"] = values["inclusion"].lower()
    return values


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _legacy_selection(
    schema: dict[str, Any], breadcrumb: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the ``selected`` keys that stand inside a schema, taking them out of it."""
    if isinstance(schema.get("selected"), bool | str):
        selected = _boolean(schema.pop("selected"))
        if selected is not None:
            yield breadcrumb, selected
    properties = schema.get("properties")
    for name, prop in properties.items() if isinstance(properties, dict) else ():
        if isinstance(prop, dict):
            yield from _legacy_selection(prop, (*breadcrumb, "properties", name))


def unknown_field(entry: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Return a sentence about a field that a normalised entry selects or not, though ``schema`` has no such field.

    Objects whose properties are not named may have any field.
    """
    for item in entry["metadata"]:
        path = tuple(item["breadcrumb"])
        if item["metadata"].get("selected") is None or any(part != "properties" for part in path[::2]):
            continue
        node: Any = schema
        for end, name in enumerate(path[1::2], 1):
            known = node.get("properties") if isinstance(node, Mapping) else None
            if not isinstance(known, Mapping) or not known:
                break
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = _dotted(entry["tap_stream_id"], (*path[: 2 * end - 1], *near))
                hint = f"did you mean `{meant}`?" if near else "make the catalog again with --discover."
                return (
                    f"The catalog selects or deselects `{_dotted(entry['tap_stream_id'], path)}`, and there is no such "
                    f"field; {hint}"
                )
            node = known[name]
    return None


# Rules


_WILD = re.compile(r"[*?\[]")


def apply_rules(rules: Sequence[str], streams: Mapping[str, MetadataMapping]) -> None:
    """Set ``selected`` in the metadata of each stream as the rules of the config say.

    Raises:
        ConfigurationError: a rule matches nothing, or excludes nothing but what is always sent.
    """
    paths = {stream: _paths_of(metadata) for stream, metadata in streams.items()}
    everything = bool(rules) and rules[0].startswith("!")
    chosen = {(stream, path): everything for stream in paths for path in paths[stream]}
    for rule in rules:
        matched = [*_matches(rule.removeprefix("!"), paths), *_without_fields(rule, paths)]
        if not matched:
            raise ConfigurationError(_matches_nothing(rule, paths))
        named = [path for _, path in matched if path]
        if len(named) > 1 and not _WILD.search(rule) and len({stream for stream, _ in matched}) == 1:
            raise ConfigurationError(
                f"The rule `{rule}` in `select` names two fields, one with a point in its name and one inside an object; select "
                "the one that is meant in a catalog (`--discover`, then `--catalog`)."
            )
        if rule.startswith("!") and all(_is_automatic(streams[stream], path) for stream, path in matched):
            raise ConfigurationError(
                f"The rule `{rule}` in `select` has no effect: `{_dotted(*matched[0])}` is always sent, as a key, the replication key, or what "
                "says that a row is gone; take the rule out, or the field out of the keys."
            )
        for stream, path in matched:
            _choose(chosen, paths, stream, path, not rule.startswith("!"))
    for (stream, path), selected in chosen.items():
        streams[stream][path].selected = selected


def may_be_selected(rules: Sequence[str], stream: str) -> bool:
    """Tell whether rules, of which there are some, may select a stream or a field of it, before anybody knows its fields."""
    chosen = rules[0].startswith("!")
    for rule in rules:
        parts = rule.removeprefix("!").split(".")
        starts = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if not rule.startswith("!"):
            chosen = chosen or any(fnmatchcase(stream, start) for start in starts)
        elif fnmatchcase(stream, starts[-1]):
            chosen = False
    return chosen


def unmatched_rules(
    rules: Sequence[str], streams: Mapping[str, MetadataMapping]
) -> Iterator[tuple[str, str]]:
    """Yield the rules about fields that match none, each with a stream that could have such a field."""
    paths = {stream: _paths_of(metadata) for stream, metadata in streams.items()}
    for rule in rules:
        pattern = rule.removeprefix("!")
        if not _matches(pattern, paths):
            parts = pattern.split(".")
            starts = [".".join(parts[:end]) for end in range(1, len(parts))]
            yield from (
                (rule, stream) for stream in paths if any(fnmatchcase(stream, start) for start in starts)
            )


def known_rules(
    rules: Sequence[str], streams: Mapping[str, MetadataMapping], unreadable: Collection[str]
) -> list[str]:
    """Return the rules without the fields that nobody knows, since their stream is one of ``unreadable``: there only it is named."""
    unknown = {rule: name for rule, name in unmatched_rules(rules, streams) if name in unreadable}
    return [unknown.get(rule, rule) for rule in rules if rule not in unknown or not rule.startswith("!")]


def _is_automatic(metadata: MetadataMapping, path: tuple[str, ...]) -> bool:
    return bool(path) and str(metadata[path].inclusion or "").lower().endswith("automatic")


def _paths_of(metadata: MetadataMapping) -> list[tuple[str, ...]]:
    return [(), *(path for path in metadata if path)]


def _dotted(stream: str, path: tuple[str, ...]) -> str:
    return ".".join((stream, *path[1::2]))


def _matches(pattern: str, paths: Mapping[str, list[tuple[str, ...]]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the streams whose name matches, or else the properties that do."""
    streams = [(stream, ()) for stream in paths if fnmatchcase(stream, pattern)]
    fields = [
        (stream, path)
        for stream in paths
        for path in paths[stream]
        if path and "." in pattern and fnmatchcase(_dotted(stream, path), pattern)
    ]
    return [*streams, *fields]


def _without_fields(
    rule: str, paths: Mapping[str, list[tuple[str, ...]]]
) -> list[tuple[str, tuple[str, ...]]]:
    """Return the streams that have no field at all, and of which a rule selects each, as `orders.*` does."""
    pattern, _, field = rule.rpartition(".")
    selects_each = field == "*" and not rule.startswith("!")
    return [
        (stream, ())
        for stream, known in paths.items()
        if selects_each and not any(known) and fnmatchcase(stream, pattern)
    ]


def _choose(
    chosen: dict[tuple[str, tuple[str, ...]], bool],
    paths: Mapping[str, list[tuple[str, ...]]],
    stream: str,
    path: tuple[str, ...],
    selected: bool,
) -> None:
    for other in paths[stream]:
        is_below = other[: len(path)] == path
        is_above = path[: len(other)] == other
        if is_below or (selected and is_above):
            chosen[stream, other] = selected


def _matches_nothing(rule: str, paths: Mapping[str, list[tuple[str, ...]]]) -> str:
    names = [_dotted(stream, path) for stream in paths for path in paths[stream]]
    near = difflib.get_close_matches(rule.removeprefix("!"), names, n=3)
    known = ", ".join(f"`{name}`" for name in near or list(paths)[:5])
    hint = (
        f"did you mean {known}?" if near else f"the streams are {known}{', ...' if len(paths) > 5 else ''}."
    )
    return f"The rule `{rule}` in `select` matches no stream and no field; {hint}"
