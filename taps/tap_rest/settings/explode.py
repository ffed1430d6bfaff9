"""`explode` of a stream: a list inside each record becomes the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting
from tap_rest.settings.fields import field_problem, names_of

__all__ = ["EXPLODE", "Explode", "explode_problems", "lists_of"]

Group = Mapping[str, Any]

EXPLODE = setting.group(
    "The items of a list inside each record are the rows, in the place of the record.",
    {
        "path": setting.name(
            "The list inside a record: `$.items[*]`, or, through lists of lists, `$.orders[*].items[*]`.",
            minLength=1,
        ),
        "copy": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "secret": False,
            "description": 'Fields around to add to each row: `{"order_id": "id"}` adds the `id` of the record as `order_id`. Below a list on the '
            "way its name leads to the item in hand (`orders.id`). Default: none.",
        },
        "as": setting.name(
            'The field that holds the item, where items are no objects (`["a", "b"]`) or are to stand in one.',
            minLength=1,
        ),
        "missing": setting.text(
            "What it means when no record of an answer has the list, nor null in its place, and none before had: `fail`, or `empty`, no rows. "
            "Default `fail`.",
            enum=["fail", "empty"],
        ),
    },
    ["path"],
)


class Explode(msgspec.Struct, frozen=True):
    """`explode` of a stream; ``copy`` maps a field of the row to one around it."""

    path: str
    copy: dict[str, str] = {}
    item: str | None = msgspec.field(default=None, name="as")
    missing: str = "fail"


def lists_of(path: str) -> list[tuple[str, ...]]:
    """Return the names down to each list on the way, from the record or from the item of the list before.

    Raises:
        ValueError: it is no path to a list.
    """
    if not path.endswith("[*]"):
        raise ValueError(path)
    found = [names_of(part.removeprefix(".")) for part in path.removesuffix("[*]").split("[*]")]
    return [names[1:] if index == 0 and names[0] == "$" else names for index, names in enumerate(found)]


def explode_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what is wrong with `explode` of a stream."""
    said = stream.get("explode")
    if said is None:
        return
    try:
        lists_of(said["path"])
    except ValueError:
        yield f"Expected the path of a list inside a record at `{place}.explode.path`, as `$.items[*]`, got `{said['path']}`"
    copy, parent = said.get("copy", {}), stream.get("parent", {}).get("copy") or {}
    for name, text in copy.items():
        yield from field_problem(text, f"{place}.explode.copy.{name}")
        for others, where in (
            (parent, "parent.copy"),
            (stream.get("copy", {}), "copy"),
            (stream.get("for_each", {}), "for_each"),
        ):
            if name in others:
                yield f"`{place}.explode.copy` and `{place}.{where}` both add a field `{name}` to the rows; give one of them another name"
    if said.get("as") in copy:
        yield f"`{place}.explode.as` and `{place}.explode.copy` both make a field `{said['as']}`; give one of them another name"
    if stream.get("pagination", {}).get("continue_by") == "bookmark":
        yield f"`{place}.pagination.continue_by` `bookmark` does not go with `{place}.explode`, whose rows are not those of a page"
