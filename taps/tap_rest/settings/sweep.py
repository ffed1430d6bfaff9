"""`sweep` of an incremental stream: how often all its rows are read, so that those which are gone leave the target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rest.asking.placeholders import asked_of
from tap_rest.settings import setting
from tap_rest.settings.windows import end_is_asked
from tap_rest.windows.durations import duration_of

__all__ = ["SWEEP", "sweep_problems"]

Group = Mapping[str, Any]

SWEEP = setting.name(
    "Read all rows of a stream with `replication_key` so often (an ISO 8601 duration, `P1D`, `P1W`), and only what is new in the runs between. Rows that "
    "do not come then, though all have surely come, leave the target by ACTIVATE_VERSION. What the API lists has to be all there is.",
    minLength=1,
)


def sweep_problems(stream: Group, place: str, streams: Mapping[str, Group]) -> Iterator[str]:
    """Yield what is wrong with `sweep` of a stream, with what it takes from the top level, or has no effect."""
    said, where = stream.get("sweep"), f"{place}.sweep"
    if said is None:
        return
    try:
        duration_of(said)
    except ValueError as error:
        yield f"{error} at `{where}`, got `{said}`"
    if "replication_key" not in stream:
        yield f"`{where}` has no effect without `{place}.replication_key`: each run reads all rows; `activate_version` has those that are gone leave the target"
        return
    if not stream.get("primary_keys"):
        yield f"`{where}` needs `{place}.primary_keys`: rows come again with each sweep, and would be there twice"
    if stream.get("partial_records"):
        yield f"`{where}` does not go with `{place}.partial_records`, whose records are changes"
    if "parent" in stream or stream.get("for_each"):
        yield f"`{where}` does not go with `{'parent' if 'parent' in stream else 'for_each'}`: rows below many parents are no list"
    if "end_date" in stream:
        yield f"`{where}` does not go with `end_date`: rows that change after it would be taken for gone"
    incremental = stream.get("incremental", {})
    if end_is_asked(incremental.get("until_param"), [value for _, value in asked_of(stream)]):
        yield f"`{where}` does not go with windows: a row that changes while they are read is in none of them, and would be taken for gone"
    for other in streams.values():
        parent = other.get("parent", {})
        if parent.get("stream") == stream["name"] and parent.get("read") == "changed":
            yield f"`{where}` does not go with `read` `changed` of stream `{other['name']}` below it: each sweep would read all of that again"
