"""`conditional` of a stream: what has not changed since the last run is not sent again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_rest.settings import setting

__all__ = ["CONDITIONAL", "conditional_problems"]

Group = Mapping[str, Any]

CONDITIONAL = setting.flag(
    "Ask with the `ETag` or `Last-Modified` of the last run's answer (`If-None-Match`, `If-Modified-Since`): status 304 says that nothing "
    "is new. Only for streams that come in one page (`pagination` `single`, or none). Default false."
)


def conditional_problems(stream: Group, place: str, streams: Mapping[str, Group]) -> Iterator[str]:
    """Yield why a stream, with the `pagination` of the top level, is not to be asked for under a condition."""
    if not stream.get("conditional"):
        return
    setting_, parent = f"`{place}.conditional`", stream.get("parent", {})
    is_partitioned = bool(parent or stream.get("for_each"))
    if stream.get("method", "GET") != "GET" or "graphql" in stream:
        yield f"{setting_} has no effect with a `{place}.method` other than GET: no API answers it with 304"
    if "token" in stream.get("incremental", {}):
        yield f"{setting_} does not go with `{place}.incremental.token`, which asks for what is new; take one of them out"
    below = [name for name, one in streams.items() if one.get("parent", {}).get("stream") == stream["name"]]
    if below:
        yield f"{setting_} does not go with stream `{below[0]}`, which is read below its records: where nothing has changed there are none"
    if "group" in parent:
        yield f"{setting_} does not go with `{place}.parent.group`: the answer for a group is one of this run's groups; take one of them out"
    if is_partitioned and stream.get("activate_version"):
        yield f"{setting_} does not go with `{place}.activate_version` of a stream that is read in parts: rows that do not come would go; take one of them out"
    if parent and "replication_key" in stream and parent.get("bookmarks") != "each":
        yield f"{setting_} does not go with a bookmark that all parents share; set `{place}.parent.bookmarks` to `each`, or take it out"
    if "window" in stream.get("incremental", {}):
        yield f"{setting_} does not go with `{place}.incremental.window`, which asks for more than one page; take one of them out"
    if stream.get("pagination", {"type": "single"})["type"] != "single":
        yield (
            f"{setting_} does not go with a `pagination` of more than one page: the first may be what it was while another has changed or is "
            f'new. Set `{place}.pagination` to `{{"type": "single"}}` if all comes in one answer, or take it out'
        )
