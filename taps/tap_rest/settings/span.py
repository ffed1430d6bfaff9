"""`start_date` and `end_date`: the span of time that is read, of all streams and of single ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_state.instants import NoInstantError, check_calendar, iso_instant, zone_named
from tap_rest.settings import setting

__all__ = ["END_DATE", "START_DATE", "span_problems", "with_span"]

Group = Mapping[str, Any]
START_DATE = setting.name(
    "Where the stream begins on its first run, in the place of that of the top level (RFC 3339; without an offset: in `time_zone`, else UTC)."
)
END_DATE = setting.name(
    "Rows whose replication key is at or after this point in time are not read (RFC 3339; without an offset: in `time_zone`, else "
    "UTC). The `start_date` of one run and the `end_date` of another meet without a gap. That of a stream comes before that of the top "
    "level. Default: none."
)


def with_span(stream: Group, config: Group) -> dict[str, Any]:
    """Return a stream with what holds for all."""
    of_all = {name: config[name] for name in ("start_date", "end_date") if name in config}
    return {**(of_all if "replication_key" in stream else {}), **stream}


def span_problems(stream: Group, place: str, config: Group) -> Iterator[str]:
    """Yield what is wrong with the span of a stream, or has no effect."""
    own = [name for name in ("start_date", "end_date") if name in stream]
    for name in own:
        if "replication_key" not in stream:
            yield f"`{place}.{name}` has no effect without `{place}.replication_key`: all rows are read"
    places = {name: f"{place}.{name}" if name in own else name for name in ("start_date", "end_date")}
    whole = with_span(stream, config)
    dates = {name: whole[name] for name in places if name in whole}
    wrong = [name for name, text in dates.items() if not _is_date(text)]
    for name in wrong:
        if name in own or name == "end_date":  # of the other one every tap says it
            yield f"Expected a date-time like `2026-01-01T00:00:00Z`, got `{dates[name]}` at `{places[name]}`"
    if (
        len(dates) == 2
        and not wrong
        and _instant(dates["start_date"], whole) >= _instant(dates["end_date"], whole)
    ):
        yield f"Expected `{places['start_date']}` before `{places['end_date']}`, got `{dates['start_date']}` and `{dates['end_date']}`"


def _is_date(text: str) -> bool:
    try:
        check_calendar(text)
    except NoInstantError:
        return False
    return True


def _instant(text: str, stream: Group) -> Any:
    try:
        zone = zone_named(stream["time_zone"]) if "time_zone" in stream else None
    except ValueError:
        zone = None  # said where it stands
    return iso_instant(text, zone)
