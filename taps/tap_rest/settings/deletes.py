"""`deletes` of a stream: which records say that their row is gone at the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.settings import setting
from tap_rest.settings.fields import field_problem, names_of

__all__ = ["DELETES", "Deletes", "deletes_problems"]

Group = Mapping[str, Any]
_SCALAR = ["string", "number", "boolean"]

DELETES = setting.group(
    "Records that say that their row was deleted: they are sent with `_sdc_deleted_at`, by which a target deletes or marks it.",
    {
        "field": setting.name(
            "The field that says so: a time, true, or an object (`@removed`); null, false or nothing says that the row is there. Also inside others (`meta.deleted`).",
            minLength=1,
        ),
        "equals": {
            "type": [*_SCALAR, "array"],
            "items": {"type": _SCALAR},
            "minItems": 1,
            "secret": False,
            "description": 'The value of `field`, or the values, that say so (`"archived"`); all others say that the row is there.',
        },
        "at": setting.name(
            "The field with the time of the deletion. Default: `field` itself where it holds a time, else the replication key where that is one, "
            "else the time of reading.",
            minLength=1,
        ),
    },
    ["field"],
)


class Deletes(msgspec.Struct, frozen=True):
    """`deletes` of a stream; ``equals`` is UNSET where it is not said."""

    field: str
    equals: Any = msgspec.UNSET
    at: str | None = None


def deletes_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what is wrong with `deletes` of a stream."""
    said = stream.get("deletes")
    if said is None:
        return
    for name in ("field", "at"):
        if name in said:
            yield from field_problem(said[name], f"{place}.deletes.{name}")
    if not stream.get("primary_keys"):
        yield f"`{place}.deletes` needs `{place}.primary_keys`: nothing else says which row is gone"
    if (
        "equals" not in said
        and said.get("at") is not None
        and not list(field_problem(said["at"], ""))
        and (names_of(said["at"]) == names_of(said["field"]))
    ):
        yield f"`{place}.deletes.at` has no effect, since it is `{place}.deletes.field`; take it out"
