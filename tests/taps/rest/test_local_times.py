"""Which texts are local times that a target would take for UTC, and where that counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from singerkit_shell.errors import ConfigurationError
from tap_rest.config import api_settings
from tap_rest.schema.localtimes import LocalTimes

TIME = {"type": ["null", "string"], "format": "date-time"}


def looking(
    zone: str | None = "Europe/Berlin", key: str | None = "u", made: Any = TIME
) -> tuple[LocalTimes, list[str]]:
    """Return what looks at a stream with the fields ``u`` and ``made``, and what it has warned of."""
    stream = {"name": "m", "path": "/m"} | ({} if key is None else {"replication_key": key})
    other = {"name": "other", "path": "/other", "replication_key": "u"}
    config = {"base_url": "http://h", "streams": [stream, other]} | (
        {} if zone is None else {"time_zone": zone}
    )
    settings = api_settings(config).streams[0]
    warned: list[str] = []
    return LocalTimes(settings, {"properties": {"u": TIME, "made": made}}, warned.append), warned


def page(*values: str | None, field: str = "u") -> Any:
    return [msgspec.Raw(msgspec.json.encode({field: value})) for value in values]


LOCAL = [
    "2026-07-01",
    "2026-07-01t10:00",
    "2026-07-01 10:00:00",
    "2026-07-01T10:00:00.5",
    "2026-07-01T10:00:00,123456",
]
OTHERS = [
    None,
    "",
    "2026-07-01T10:00:00Z",
    "2026-07-01T10:00:00.5+02:00",
    "2026-07-01 10:00:00-05",
    "20260701",
    "July",
]


@pytest.mark.parametrize("value", LOCAL)
def test_a_local_time_as_replication_key_is_refused_wherever_it_stands_on_a_page(value: str) -> None:
    looks, _ = looking()
    looks.look(page(*OTHERS))
    with pytest.raises(ConfigurationError, match="`time_zone` says that they are of Europe/Berlin"):
        looks.look(page("2026-07-01T10:00:00Z", value, None))


@pytest.mark.parametrize("zone", ["Europe/London", "Atlantic/Azores", "Asia/Kolkata"])
def test_a_zone_that_is_utc_for_a_part_of_the_year_is_none(zone: str) -> None:
    with pytest.raises(ConfigurationError):
        looking(zone)[0].look(page("2026-07-01T10:00:00"))


@pytest.mark.parametrize(
    ("zone", "key"), [("UTC", "u"), ("Etc/GMT", "u"), (None, "u"), ("Europe/Berlin", None)]
)
def test_where_nothing_says_that_times_are_of_another_zone_they_are_utc(
    zone: str | None, key: str | None
) -> None:
    looks, warned = looking(zone, key)
    looks.look(page(*LOCAL))
    assert warned == []


def test_another_field_is_warned_of_once() -> None:
    looks, warned = looking()
    looks.look([])
    looks.look(page(*OTHERS, field="made"))
    for _ in range(2):
        looks.look(page(*LOCAL, field="made"))
    (sentence,) = warned
    assert sentence.startswith("The field `made` of stream m holds times without an offset")


@pytest.mark.parametrize(
    "made",
    [{"type": "string"}, TIME | {"x-sql-datatype": "timestamp"}, TIME | {"type": ["string", "integer"]}, {}],
)
def test_a_column_of_no_points_in_time_keeps_what_is_written(made: Any) -> None:
    looks, warned = looking(made=made)
    looks.look(page(*LOCAL, field="made"))
    assert warned == []
