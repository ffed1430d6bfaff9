"""pipelinewise-transform-field's `transformations` as operations; both go through a list in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.conversion.converted import CannotSay, Converted, Operation
from singerkit_map.conversion.hashes import Hashing

__all__ = ["take_transformations"]

_KNOWN = ("tap_stream_name", "field_id", "type", "when", "field_paths")
_TYPES = "SET-NULL, HASH, HASH-SKIP-FIRST-n, MASK-DATE, MASK-NUMBER, MASK-HIDDEN and MASK-STRING-SKIP-ENDS-n"
_UNCHANGED = (
    "`transformations`: what could not be transformed (a date that is none, null under HASH) was sent as it was there; `on_error` says "
    "what becomes of it"
)


def take_transformations(config: Mapping[str, Any], hashing: Hashing, made: Converted) -> None:
    """Add what `transformations` says."""
    said = config.get("transformations")
    if said in (None, []):
        return
    if not isinstance(said, list):
        made.refuse("transformations", "is no list; pipelinewise-transform-field takes nothing else")
        return
    for at, one in enumerate(said):
        _take(one, f"transformations[{at}]", hashing, made)
    made.note(_UNCHANGED)


def _take(one: Any, place: str, hashing: Hashing, made: Converted) -> None:
    names = ("tap_stream_name", "field_id", "type")
    if not isinstance(one, Mapping) or not all(isinstance(one.get(name), str) for name in names):
        made.refuse(
            place,
            "lacks one of `tap_stream_name`, `field_id` and `type`, and pipelinewise-transform-field refuses it",
        )
        return
    strange = [name for name in one if name not in _KNOWN]
    if strange:
        made.note(
            f"`{place}.{strange[0]}` is no setting of pipelinewise-transform-field, and has no effect there"
        )
    if one.get("when"):
        made.refuse(
            f"{place}.when",
            "makes it depend on another field, and operations hold for every record of a stream: leave it out, or write a `python` operation",
        )
        return
    operations = made.streams.setdefault(one["tap_stream_name"], [])
    try:
        for field in _fields(one):
            operations += _operations(one["type"], field, place, hashing, made)
    except CannotSay as error:
        made.refuse(place, error)


def _fields(one: Mapping[str, Any]) -> list[str]:
    paths = one.get("field_paths")
    if not paths:
        return [one["field_id"]]
    for path in paths:
        strange = [
            part for part in path.split("/") if part.isdigit() or any(letter in part for letter in "*?[.")
        ]
        if strange:
            raise CannotSay(
                f"names `{strange[0]}` in `field_paths`, which is one element of a list or a pattern: write `items[].field`"
            )
    return [f"{one['field_id']}.{path.strip('/').replace('/', '.')}" for path in paths]


def _operations(kind: str, field: str, place: str, hashing: Hashing, made: Converted) -> list[Operation]:
    ends = int(kind[-1]) if kind[-1:].isdigit() else None
    if ends is not None and kind[-2:-1].isdigit():
        made.note(f"`{place}.type`: of `{kind}` the last digit alone counts there, and so it does here")
    match kind:
        case "SET-NULL":
            return [{"op": "constant", "field": field, "value": None, "over": True}]
        case "MASK-NUMBER":
            return [{"op": "constant", "field": field, "value": 0, "over": True}]
        case "MASK-HIDDEN":
            return [{"op": "constant", "field": field, "value": "hidden", "over": True}]
        case "MASK-DATE":
            made.note(
                "`MASK-DATE` leaves the time of day there; behind `truncate` it is the beginning of the year"
            )
            return [{"op": "truncate", "field": field, "to": "year"}]
        case "HASH":
            hashed = hashing.operation(field, "sha256")
            made.note(hashing.note(place, "sha256"))
            return [hashed]
    if kind.startswith("MASK-STRING-SKIP-ENDS") and ends is not None:
        if ends == 0:
            made.note(
                f"`{place}.type`: `{kind}` put the whole value behind its stars there; here nothing of it is shown"
            )
            return [{"op": "mask", "field": field}]
        made.note(
            "`MASK-STRING-SKIP-ENDS`: a value too short for its ends is `***`, and not a star for each character, which tells its length"
        )
        return [
            {"op": "mask", "field": field, "keep_first": ends, "keep_last": ends, "shortest": 2 * ends + 1}
        ]
    if kind.startswith("HASH-SKIP-FIRST") and ends is not None:
        raise CannotSay(
            f"shows the first {ends} characters beside a hash without a key of the others, which makes it the easier to turn back: `copy` "
            "the field and `truncate` the copy, and put the field under `hmac`"
        )
    raise CannotSay(
        f"has the type `{kind}`, and there are {_TYPES}; pipelinewise-transform-field refuses it, too"
    )
