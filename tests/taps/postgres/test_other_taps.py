"""Configs, catalogs and states of MeltanoLabs' and pipelinewise's taps, as they printed them (`recorded/other_taps.json`)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from taps.postgres.conftest import Shop
from taps.written import root

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.catalogs import admits
from tap_postgres.tap import TapPostgres

RECORDED = json.loads((Path(__file__).parent / "recorded" / "other_taps.json").read_text())
MELTANO, PIPELINEWISE = RECORDED["meltanolabs"], RECORDED["pipelinewise"]
STREAM = "public-moments"
MOMENTS = """
CREATE TABLE moments (id integer primary key, at timestamptz, local timestamp, day date, total numeric(12,2), note text COLLATE "C");
INSERT INTO moments SELECT g, '2026-01-01 10:00:00.25+00'::timestamptz + g * interval '1 hour',
    '2026-01-01 10:00:00.5'::timestamp + g * interval '1 day', '2026-01-01'::date + g, g * 1.5, 'n' || g FROM generate_series(1, 4) AS g
"""
"""As it was when they read it, and a row more."""


def config_of(**given: Any) -> dict[str, Any]:
    return dict(TapPostgres(config={"host": "h", "user": "u", **given}, setup_mapper=False).config)


def problem_of(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as found:
        config_of(**given)
    return str(found.value)


def test_a_config_that_meltano_writes_out_whole_is_one_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    ours = config_of(database="shop")
    made = config_of(database="shop", **MELTANO["defaults"])
    assert made == {**ours, "port": 5432, "ssh_tunnel": made["ssh_tunnel"]}
    assert not caplog.text


@pytest.mark.parametrize("recorded", [MELTANO, PIPELINEWISE], ids=["meltanolabs", "pipelinewise"])
def test_each_setting_of_theirs_is_known(recorded: dict[str, Any]) -> None:
    """None is told to be no setting at all, or guessed to be another one."""
    mark = {"dbname": "d"} if "dbname" in recorded["settings"] else {"filter_schemas": []}
    values = (
        True,
        "true",
        "7",
        7,
        ["a"],
        {"a": {"b": ["c"]}},
        {"enable": False},
        "FULL_TABLE",
        "require",
        600,
        43200,
        "postgresql://u@h/d",
    )
    for name in recorded["settings"]:
        said = [outcome_of(**{**mark, name: value}) for value in values]
        assert None in said or any(f"`{name}`: " in one for one in said if one), said


def outcome_of(**given: Any) -> str | None:
    try:
        config_of(**given)
    except ConfigurationError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"filter_schemas": ["public", "a[b"]}, {"tables": ["public.*", "a[[]b.*"]}),
        ({"ssl_enable": True, "ssl_mode": "require"}, {"sslmode": "require"}),
        ({"filter_schemas": [], "replication_max_run_seconds": 90}, {"log": {"max_seconds": 90}}),
        (
            {"dbname": "d", "max_run_seconds": "60", "break_at_end_lsn": False},
            {"database": "d", "log": {"max_seconds": 60, "end": "follow"}},
        ),
        (
            {"sqlalchemy_url": "postgresql+psycopg2://u:p%40@there:6/db"},
            {"dsn": "postgresql://u:p%40@there:6/db"},
        ),
        (
            {"dbname": "d", "port": "6543", "ssl": "true"},
            {"database": "d", "port": 6543, "sslmode": "require"},
        ),
        (
            {"dbname": "d", "filter_schemas": "public, app"},
            {"database": "d", "tables": ["public.*", "app.*"]},
        ),
        (
            {"dbname": "d", "itersize": 100, "logical_poll_total_seconds": 9, "ssl": "false"},
            {"database": "d"},
        ),
    ],
)
def test_what_means_the_same_is_taken(given: dict[str, Any], ours: dict[str, Any]) -> None:
    made, before = config_of(**given), config_of()
    if "dsn" in ours:
        del before["user"], before["host"]
    if "log" in ours:
        made["log"] = {name: made["log"].get(name) for name in ours["log"]}
    assert made == before | ours


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"filter_schemas": ["a"], "tables": ["b.*"]}, "`filter_schemas` and `tables` are one setting"),
        ({"filter_schemas": "a"}, 'Expected `array` or `null`, got `"a"` at `filter_schemas`'),
        ({"stream_options": {"a": {"custom_where_clauses": ["x"]}}}, "make a view with that WHERE"),
        ({"max_record_count": 5}, "rows would be left out for good"),
        ({"filter_schemas": [], "stream_maps": {"a": {}}}, "`stream_maps`: no stream or field is renamed"),
        ({"filter_schemas": [], "stream_maps": {"a": {}}}, "`singerkit-map convert FILE` makes"),
        (
            {"filter_schemas": [], "default_replication_method": "INCREMENTAL"},
            "write `replication_key` for each stream",
        ),
        ({"sqlalchemy_url": "mysql://h/d"}, "begins with `postgresql`"),
        ({"dbname": "d", "limit": 5}, "a run reads all that there is"),
        ({"dbname": "d", "use_secondary": True, "secondary_host": "r"}, "a config names one server here"),
        ({"dbname": "d", "database": "e"}, "`dbname` and `database` are one setting"),
        ({"dbname": "d", "port": "x"}, "at `port`"),
    ],
)
def test_what_means_something_else_is_refused_by_name(given: dict[str, Any], words: str) -> None:
    problem = problem_of(**given)
    assert words in problem
    assert "is one of " in problem


def test_a_slot_of_theirs_is_told_to_hold_the_log(caplog: pytest.LogCaptureFixture) -> None:
    assert "log" not in config_of(filter_schemas=[], replication_slot_name="mine")
    assert "`replication_slot_name` (`mine`) has no effect" in caplog.text
    assert "drop theirs when it is not needed any more" in caplog.text


def test_no_secret_of_a_config_that_is_refused_is_shown() -> None:
    assert "hunter2" not in problem_of(sqlalchemy_url="oracle://u:hunter2@h/d", filter_schemas=["a"])


# Catalogs and states


def catalog_of(
    recorded: dict[str, Any], method: str, key: str | None = None, stream: str = STREAM
) -> dict[str, Any]:
    """Their catalog as somebody has edited it who reads one stream."""
    catalog: dict[str, Any] = json.loads(json.dumps(recorded["catalog"]))
    for entry in catalog["streams"]:
        said = root(entry)
        said["selected"] = entry["tap_stream_id"] == stream
        if said["selected"]:
            said |= {"replication-method": method} | ({"replication-key": key} if key else {})
    return catalog


@pytest.fixture
def moments(shop: Shop) -> Shop:
    shop.execute(MOMENTS)
    shop.execute(
        "CREATE SCHEMA app; CREATE TABLE app.items (sku text, line integer, price numeric, primary key (sku, line))"
    )
    shop.execute("CREATE TABLE loose (a integer, b text)")
    return shop


@pytest.mark.parametrize("recorded", [MELTANO, PIPELINEWISE], ids=["meltanolabs", "pipelinewise"])
@pytest.mark.parametrize("key", ["id", "at", "local", "day", "total", "note"])
def test_a_bookmark_of_theirs_is_gone_on_from(
    moments: Shop, recorded: dict[str, Any], key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The row of the bookmark comes once more, by its key; then none does."""
    catalog = catalog_of(recorded, "INCREMENTAL", key)
    said = {"name": "public.moments", "replication_key": key}
    if key == "note":
        moments.config["streams"] = [{**said, "replication_key_format": "text"}]
    state = {"bookmarks": {STREAM: recorded["states"][key]}, "currently_syncing": None}
    first = moments.sync(state, catalog)
    assert first.column("id", STREAM) == [3, 4]
    assert moments.sync(first.state, catalog).rows(STREAM) == []
    day = first.properties(STREAM)["day"]
    assert day["format"] == "date", "what another tap declares of a column is not what its values are"
    assert ("otherwise than the values are" in caplog.text) == (recorded is PIPELINEWISE)


@pytest.mark.parametrize("recorded", [MELTANO, PIPELINEWISE], ids=["meltanolabs", "pipelinewise"])
def test_a_full_load_of_theirs_is_followed_by_one_of_ours(moments: Shop, recorded: dict[str, Any]) -> None:
    state = {"bookmarks": {STREAM: recorded["states"]["whole"]}}
    done = moments.sync(state, catalog_of(recorded, "FULL_TABLE"))
    assert done.column("id", STREAM) == [1, 2, 3, 4]
    assert len(done.of_type("ACTIVATE_VERSION")) == 1


@pytest.mark.parametrize("recorded", [MELTANO, PIPELINEWISE], ids=["meltanolabs", "pipelinewise"])
def test_their_place_in_the_log_is_refused(moments: Shop, recorded: dict[str, Any]) -> None:
    state = {"bookmarks": {STREAM: recorded["states"]["log"]}}
    with pytest.raises(
        ConfigurationError,
        match=r"a place in the log up to which another tap has read it.*singerkit-state reset",
    ):
        moments.sync(state, catalog_of(recorded, "INCREMENTAL", "id"))
    done = moments.sync(state, catalog_of(recorded, "FULL_TABLE"))  # all that there is, by its key
    assert done.column("id", STREAM) == [1, 2, 3, 4]


def test_texts_in_another_order_than_that_of_code_points_are_not_gone_on_from(moments: Shop) -> None:
    moments.execute("ALTER TABLE moments ADD host inet")
    moments.config["streams"] = [
        {"name": "public.moments", "replication_key": "host", "replication_key_format": "text"}
    ]
    state = {"bookmarks": {STREAM: {"replication_key": "host", "replication_key_value": "10.0.0.9"}}}
    with pytest.raises(
        ConfigurationError, match=r"the order that the database has for `host`.*nothing was read"
    ):
        moments.sync(state)


@pytest.mark.parametrize(
    ("recorded", "column", "words"),
    [
        (MELTANO, "bytea", "hexadecimal digits, and this one writes base64"),
        (MELTANO, "interval", "a time behind 1970-01-01"),
        (MELTANO, "pair", "text like `(a,1)`, and this one writes objects"),
        (MELTANO, "money", "text like `$1,234.50`"),
        (PIPELINEWISE, "money", "text like `$1,234.50`"),
    ],
)
def test_values_that_are_written_otherwise_stand_in_no_column_beside_theirs(
    moments: Shop, recorded: dict[str, Any], column: str, words: str
) -> None:
    """As meltanolabs-tap-postgres 0.10.0 has written them: one column held both, and nobody could tell which was which."""
    moments.execute("CREATE TYPE pair AS (a text, b int)", f"ALTER TABLE moments ADD x {column}")
    state = {"bookmarks": {STREAM: recorded["states"]["id"]}}
    moments.by("id")
    moments.config["tables"] = ["public.moments"]
    with pytest.raises(ConfigurationError, match=re.escape(words)) as found:
        moments.sync(state)
    assert "singerkit-state reset" in str(found.value)
    assert f"leave the column out with `!{STREAM}.x` in `select`" in str(found.value)
    first = moments.sync(state, select=["*.*", f"!{STREAM}.x"])
    assert first.column("id", STREAM) == [3, 4]
    moments.sync(first.state, select=["*.*", f"!{STREAM}.x"])
    moments.sync({"bookmarks": {}})


def test_rows_without_a_key_are_not_gone_on_from(moments: Shop) -> None:
    state = {"bookmarks": {"public-loose": {"replication_key": "a", "replication_key_value": 1}}}
    moments.config["streams"] = [{"name": "public.loose", "replication_key": "a"}]
    with pytest.raises(ConfigurationError, match="without a key nothing would tell them from new ones"):
        moments.sync(state, catalog_of(MELTANO, "INCREMENTAL", "a", "public-loose"))


def test_moments_beyond_the_year_9999_are_not_gone_on_from(moments: Shop) -> None:
    state = {
        "bookmarks": {
            STREAM: PIPELINEWISE["states"]["at"]
            | {"replication_key_value": "9999-12-31T23:59:59.999000+00:00"}
        }
    }
    with pytest.raises(ConfigurationError, match="beyond the year 9999"):
        moments.sync(state, catalog_of(PIPELINEWISE, "INCREMENTAL", "at"))


@pytest.mark.parametrize(
    ("wide", "narrow", "is_so"),
    [
        ({}, {"type": ["string"], "format": "date"}, True),
        ({"type": ["null", "string"]}, {"type": ["string"], "format": "date"}, True),
        ({"type": "string", "format": "date-time"}, {"type": ["string"], "format": "date"}, False),
        ({"type": "string", "format": "date-time"}, {"type": ["string"]}, False),
        ({"type": "number"}, {"type": ["integer"]}, True),
        ({"type": "integer"}, {"type": ["number"]}, False),
        ({"type": "number", "multipleOf": 0.01}, {"type": ["number"]}, False),
        ({"type": "array", "items": {"type": "string"}}, {"type": "array", "items": {"type": ["null", "string"]}}, False),
        ({"type": "array", "items": {}}, {"type": "array", "items": {"type": ["null", "string"]}}, True),
        ({"type": "array"}, {"type": "array", "items": {"type": ["null", "string"]}}, True),
        ({"type": ["array", "object"]}, {}, False),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object"}, False),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "object", "properties": {"a": {"type": "string"}}}, True),
        ({"type": "object", "additionalProperties": False}, {"type": "object"}, False),
        ({"type": "string", "x-sql-datatype": "date"}, {"type": ["string"], "format": "date"}, True),
        (False, {"type": "string"}, False),
    ],
)  # fmt: skip
def test_a_catalog_may_say_less_of_a_column_and_nothing_else(
    wide: Any, narrow: dict[str, Any], is_so: bool
) -> None:
    assert admits(wide, narrow) is is_so


def test_what_a_catalog_adds_for_the_target_stays(moments: Shop) -> None:
    catalog = catalog_of(PIPELINEWISE, "FULL_TABLE")
    [entry] = [one for one in catalog["streams"] if one["tap_stream_id"] == STREAM]
    entry["schema"]["properties"]["day"]["x-sql-datatype"] = "timestamp"
    assert moments.sync(None, catalog).properties(STREAM)["day"] == {
        "type": ["null", "string"],
        "format": "date",
        "x-sql-datatype": "timestamp",
    }
