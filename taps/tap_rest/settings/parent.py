"""`parent` of a stream: the records that it is read once for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting

__all__ = ["PARENT", "PARENT_FIELD", "Parent", "fields_of_parent", "names_above", "parent_problems"]

PARENT_FIELD = re.compile(r"\{parent\.([^{}]+)\}")

PARENT = setting.group(
    "This stream is read once per record of another one, whose fields stand in `path` and `params` as "
    "`{parent.field}`.",
    {
        "stream": setting.name(
            "Name of the parent stream; it may have a parent, too, whose copied fields are fields of its records."
        ),
        "copy": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "secret": False,
            "description": 'Fields to add to each record: `{"user_id": "id"}` adds the parent\'s `id` as '
            "`user_id`. Default: each field used in `path` and `params`, as `<parent>_<field>`.",
        },
        "on_404": setting.text(
            "What a child means that is not found, by its first page: `fail` the run, or `skip` this one with a warning. A later page "
            "that is not found fails the run. Default `fail`.",
            enum=["fail", "skip"],
        ),
        "read": setting.text(
            "Which records of an incremental parent this stream is read for: `all`, in each run, or only the `changed` "
            "ones; then a change below a parent that does not change itself is never seen. Default `all`.",
            enum=["all", "changed"],
        ),
        "bookmarks": setting.text(
            "`shared`: one bookmark for all parents; what changes below a parent that is not in their list, or not found, "
            "for a run is missed. `each`: one per parent. Default `shared`.",
            enum=["shared", "each"],
        ),
    },
    ["stream"],
)


class Parent(msgspec.Struct, frozen=True):
    """`parent` of a stream; ``copy`` maps a field of the child to a field of the parent."""

    stream: str
    copy: dict[str, str] | None = None
    on_404: str = "fail"
    bookmarks: str = "shared"
    read: str = "all"


def fields_of_parent(path: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the fields of the parent that ``path`` and ``params`` use, each once."""
    texts = [path, *map(str, _flat(params.values()))]
    return tuple(dict.fromkeys(field for text in texts for field in PARENT_FIELD.findall(text)))


def _flat(values: Any) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]


def names_above(stream: Mapping[str, Any], streams: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of the streams above one, up to the first that is the stream itself, or comes a second time."""
    seen: set[str] = set()
    while "parent" in stream and (name := stream["parent"]["stream"]) in streams and name not in seen:
        seen.add(name)
        yield name
        stream = streams[name]


def parent_problems(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what is wrong with the parent of a stream, one of ``streams`` by name."""
    uses_parent = bool(fields_of_parent(stream["path"], stream.get("params", {})))
    if "parent" not in stream:
        return [f"`{place}` uses `{{parent...}}` and has no `parent`"] if uses_parent else []
    parent = stream["parent"]["stream"]
    if parent not in streams:
        return [f"`{place}.parent.stream` names `{parent}`, which is not among the streams"]
    above = list(names_above(stream, streams))
    if above[-1] == stream["name"]:
        circle = " below ".join(f"`{name}`" for name in [stream["name"], *above])
        return [f"`{place}.parent.stream` leads back to the stream itself: {circle}"]
    if stream["parent"].get("read") == "changed" and "replication_key" not in streams[parent]:
        return [f"`{place}.parent.read: changed` needs a `replication_key` of stream `{parent}`"]
    if not uses_parent:
        return [f"`{place}` has a parent; `path` or `params` must hold a `{{parent.field}}`"]
    return []
