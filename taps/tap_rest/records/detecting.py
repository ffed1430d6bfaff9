"""Where the records are in an answer, if nobody has said it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Raw

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import RefusingAnswer, Response
from tap_rest.paths import Path
from tap_rest.records.bodies import description, first_inside, members_in, members_of, refuse_message

__all__ = ["ASK_FOR_OBJECTS", "DULL", "HEADS", "array_at", "arrays_of_objects", "detected", "is_head"]

HEADS = ("columns", "cols", "fields", "headers", "header", "schema")
"""Names of what stands above a table, whose rows are arrays."""
_GOOGLES = "Headers"
"""How Google names it: `dimensionHeaders`, `metricHeaders`, also where there are no rows."""
ASK_FOR_OBJECTS = (
    'rows that are arrays have no names: set `"layout": "arrays"`, which takes those of their header, or ask the API for objects (Datasette: '
    '`"params": {"_shape": "objects"}`)'
)
DULL = ("error", "errors", "warnings", "messages", "notices", "links", "_links")
"""Names of lists that stand beside records."""


def detected(response: Response, where: str, stream: str, look_at_none: Callable[[], None]) -> Path:
    """Find the records: the array that the body is, or the only array of objects in it.

    ``look_at_none`` refuses a body without rows that tells of a failure.
    """
    body = response.body
    if body.lstrip()[:1] == b"[":
        return array_at([])
    members = members_in(response, where)
    candidates = arrays_of_objects(members)
    empty = [
        name for name, value in members.items() if first_inside(value) == b"]" and name.lower() not in DULL
    ]
    if candidates:
        # Which may hold the records of other answers, as where others come along with them.
        candidates += empty
    else:
        look_at_none()
        candidates = empty
    table = next((name for name, value in members.items() if first_inside(value) == b"["), None)
    if table is not None and all(name.lower() in HEADS for name in candidates):
        raise BadDataError(
            f"Expected an array of objects in {where}, got arrays in `$.{redactor.mask_foreign(table)}`; {ASK_FOR_OBJECTS}."
        )
    if len(candidates) == 1:
        return array_at(candidates)
    if candidates:
        names = redactor.mask_foreign(", ".join(f"`$.{name}[*]`" for name in candidates))
        raise ConfigurationError(
            f"More than one array in {where} may be the records: {names}; name one at `records` of {stream}."
        )
    refuse_message(response, where)
    inner = next((f"$.{name}.{below}[*]" for name, below in _arrays_below(members)), None)
    fits = (
        "`$` if the object itself is the record"
        if inner is None
        else f"`{redactor.mask_foreign(inner)}`, perhaps"
    )
    got = description(body)
    raise RefusingAnswer(
        f"Expected an array of objects in {where}, got {got}; set `records` of {stream} ({fits}).", got
    )


def array_at(names: Sequence[str]) -> Path:
    return Path("".join(["$", *(f".{name}" for name in names), "[*]"]), tuple(names), True)


def arrays_of_objects(members: Mapping[str, Raw]) -> list[str]:
    return [
        name
        for name, value in members.items()
        if first_inside(value) == b"{" and name.lower() not in ("error", "errors")
    ]


def is_head(name: str) -> bool:
    """Tell whether what is named so stands above a table."""
    return name.lower() in HEADS or name.endswith(_GOOGLES)


def _arrays_below(members: Mapping[str, Raw]) -> Iterator[tuple[str, str]]:
    for name, value in members.items():
        if bytes(memoryview(value)[:1]) == b"{":
            yield from ((name, below) for below in arrays_of_objects(members_of(bytes(value), name)))
