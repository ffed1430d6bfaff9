"""`time_zone`, `replication_key_format` and `incremental.format`: how times are read and written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from singerkit_shell.validate import nearest
from singerkit_state.instants import writing_problem, zone_named
from singerkit_state.order import ValueKind
from tap_rest.settings import setting

__all__ = ["TIME_ZONE", "clock_problems", "time_zone_problems"]

_WRITTEN_NAMES = ("as_is", "iso", "epoch", "epoch_ms", "epoch_us", "epoch_ns")
_OFFSET_AFTER = re.compile(r"(?:T?00:00(?::00)?)?(?:\.0+)?(?:Z|[+-]\d\d:?\d\d)(?![0-9A-Za-z])")

TIME_ZONE = setting.name(
    "Time zone of replication key values, and of `start_date`, without an offset: an IANA name such as `Europe/Berlin`. "
    "That of a stream comes before that of the top level. Default: UTC, with a warning."
)


def time_zone_problems(group: Mapping[str, Any], place: str) -> list[str]:
    if "time_zone" not in group:
        return []
    try:
        zone_named(group["time_zone"])
    except ValueError:
        return [
            f"Expected an IANA name such as `Europe/Berlin`, got `{group['time_zone']}` at `{place}time_zone`"
        ]
    return []


def clock_problems(stream: Mapping[str, Any], place: str, zone_name: str | None) -> list[str]:
    """Return what is wrong with how times are read and written."""
    try:
        zone = None if zone_name is None else zone_named(zone_name)
    except ValueError:
        return []  # said where it stands
    return _order_problems(stream, place, zone) + _format_problems(stream.get("incremental", {}), place, zone)


def _order_problems(stream: Mapping[str, Any], place: str, zone: tzinfo | None) -> list[str]:
    name = stream.get("replication_key_format")
    if name is None:
        return []
    if "replication_key" not in stream:
        return [f"`{place}.replication_key_format` needs `{place}.replication_key`"]
    try:
        kind = ValueKind.named(name, zone)
    except ValueError as error:
        return [f"`{place}.replication_key_format` is `{name}`: {error}"]
    incremental = stream.get("incremental", {})
    problems = []
    if incremental.get("lookback") and not kind.can_look_back:
        problems.append(f"`{place}.incremental.lookback` means nothing to a replication key that is `{name}`")
    if incremental.get("format", "as_is") != "as_is" and not kind.is_time:
        problems.append(
            f"`{place}.incremental.format` writes points in time, and the replication key is `{name}`; use `as_is`"
        )
    return problems


def _format_problems(incremental: Mapping[str, Any], place: str, zone: tzinfo | None) -> list[str]:
    """Return whether times are written so that whoever reads them takes them for others."""
    name = incremental.get("format", "as_is")
    near = None if "%" in name or name in _WRITTEN_NAMES else nearest(name, _WRITTEN_NAMES)
    if near is not None:
        return [
            f"`{place}.incremental.format` is `{name}`, which is no name of a format; did you mean `{near}`?"
        ]
    after = _OFFSET_AFTER.match(incremental.get("template", "{value}").partition("{value}")[2])
    behind = after[0] if after else ""
    if name in _WRITTEN_NAMES:
        # The look of what is `as_is` is not known; local times with an offset behind are.
        name_or_look = "%Y-%m-%dT%H:%M:%S" if name == "as_is" and behind and zone is not None else ""
    else:
        name_or_look = name
    problem = writing_problem(name_or_look + behind, zone) if name_or_look else None
    if problem is None:
        return []
    template = f" with the template `{incremental['template']}`" if behind else ""
    names = "" if "%" in name else f" (names: {', '.join(_WRITTEN_NAMES)})"
    return [f"`{place}.incremental.format` is `{name}`{template}: {problem}{names}"]
