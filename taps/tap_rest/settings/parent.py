"""`parent` of a stream: the records that it is read once for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.asking.placeholders import asked_of, names_in
from tap_rest.settings import setting

__all__ = ["PARENT", "Parent", "fields_of_parent", "names_above", "parent_problems"]

_OF_PARENT = "parent."

PARENT = setting.group(
    "This stream is read once per record of another one, whose fields stand in `path`, `params`, `headers` and `body` as "
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
            "`user_id`. Default: each field used in the request, as `<parent>_<field>`.",
        },
        "on_404": setting.text(
            "What a child means that is not found, by its first page: `fail` the run, or `skip` this one with a warning. A later page "
            "that is not found fails the run. Default `fail`.",
            enum=["fail", "skip"],
        ),
        "on_missing": setting.text(
            "What it means that a record of the parent lacks a field that `path` or `params` use: `skip`, it has none of this stream, as "
            "where that field is null, or `fail`. Default: `skip` with a warning, and `fail` where no record has it.",
            enum=["skip", "fail"],
        ),
        "group": setting.count(
            "So many parents are asked for at once, `{parent.id}` standing for all of them: `1,2,3`, or one after the other in a list. Needs "
            "`group_field`. Default: each by itself.",
            minimum=2,
        ),
        "group_field": setting.name(
            "The field of each record that holds what its parent was asked by, with `group`: by it the record finds what is copied."
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
    on_missing: str | None = None
    group: int | None = None
    group_field: str | None = None
    bookmarks: str = "shared"
    read: str = "all"


def fields_of_parent(*asked: Any) -> tuple[str, ...]:
    """Return the fields of the parent that what is ``asked`` uses, each once."""
    names = [name for value in asked for name in names_in(value)]
    return tuple(
        dict.fromkeys(name.removeprefix(_OF_PARENT) for name in names if name.startswith(_OF_PARENT))
    )


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
    if "parent" not in stream:
        return []  # that a placeholder needs one is said where it stands
    parent = stream["parent"]["stream"]
    if parent not in streams:
        return [f"`{place}.parent.stream` names `{parent}`, which is not among the streams"]
    above = list(names_above(stream, streams))
    if above[-1] == stream["name"]:
        circle = " below ".join(f"`{name}`" for name in [stream["name"], *above])
        return [f"`{place}.parent.stream` leads back to the stream itself: {circle}"]
    if stream["parent"].get("read") == "changed" and "replication_key" not in streams[parent]:
        return [f"`{place}.parent.read: changed` needs a `replication_key` of stream `{parent}`"]
    if "token" in streams[parent].get("incremental", {}):
        return [
            f"`{place}.parent.stream` names `{parent}`, which goes on by a token, so that a run would see only those that have changed: read "
            "it as a whole, in a stream of its own without `incremental`"
        ]
    if not fields_of_parent(*(value for _, value in asked_of(stream))):
        return [
            f"`{place}` has a parent; `path`, `params`, `headers` or `body` must hold a `{{parent.field}}`"
        ]
    return list(_group_problems(stream, f"{place}.parent"))


def _group_problems(stream: Mapping[str, Any], place: str) -> Iterator[str]:
    parent = stream["parent"]
    for key, other in (("group", "group_field"), ("group_field", "group")):
        if key in parent and other not in parent:
            yield f"Expected the key `{place}.{other}`, which `{place}.{key}` needs"
    if "group" not in parent:
        return
    for key, value in (("on_404", "skip"), ("bookmarks", "each")):
        if parent.get(key) == value:
            yield f"`{place}.{key}` `{value}` does not go with `{place}.group`, since one answer is about many parents"
    fields = fields_of_parent(*(value for _, value in asked_of(stream)))
    if len(fields) > 1:
        shown = " and ".join(f"`{{parent.{field}}}`" for field in fields)
        yield f"`{place}.group` needs one field of the parent in what is asked, got {shown}"
    if stream["path"].startswith("{parent."):
        yield f"`{place}.group` does not go with a path that begins with a field of the parent, which is a URL"
