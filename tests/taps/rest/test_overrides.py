"""What a user says of single fields, in `schema_overrides` or in a catalog, is what is sent, whatever the records look like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import json_reply, serving
from taps.rest.in_process import discover_here, run_here

from tap_rest.schema.overrides import overlaid
from tap_rest.settings.schema import overridden, override_problems

STREAM: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
}
TEXT, WHEN = {"type": ["null", "string"]}, {"type": ["null", "string"], "format": "date-time"}
NUMBER = {"type": ["null", "integer"]}
NAIVE = "2026-05-06 10:00:00"


def properties(run: Any) -> Any:
    return run.schema["properties"]


def test_one_field_is_said_and_all_others_are_inferred(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "zip": "01234", "u": NAIVE, "in": {"no": 1, "at": NAIVE, "more": True}, "list": [{"n": 1}]}
    ]
    said = {
        "u": {"format": "date-time"},
        "zip": {"type": "string", "maxLength": 5},
        "in.at": {"format": "date-time"},
        "list": {"items": {"properties": {"n": {"type": "number"}}}},
        "later": {"type": "number"},
    }
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        for _ in range(2):  # inferred, and from the cache
            run = run_here(api, STREAM | {"schema_overrides": said}, cache=tmp_path)
            assert run.rows == [{**rows[0], "later": None}]
            assert properties(run) == {
                "id": {"type": "integer"},
                "zip": {"type": ["string", "null"], "maxLength": 5},
                "u": WHEN,
                "in": {
                    "type": ["null", "object"],
                    "properties": {"no": NUMBER, "at": WHEN, "more": {"type": ["null", "boolean"]}},
                },
                "list": {
                    "type": ["null", "array"],
                    "items": {
                        "type": ["null", "object"],
                        "properties": {"n": {"type": ["number", "null"]}},
                    },
                },
                "later": {"type": ["number", "null"]},
            }
        plain = properties(run_here(api, STREAM, cache=tmp_path))
    assert plain["zip"] == plain["u"] == TEXT, "the cache holds what is inferred"


def test_of_a_declared_schema_too(tmp_path: Path) -> None:
    declared = {
        "properties": {"id": {"type": "integer"}, "n": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
    }
    stream = STREAM | {
        "schema": declared,
        "schema_overrides": {"n": {"type": "integer"}, "u": {"type": "string"}},
    }
    with serving({"/rows": lambda _: json_reply([{"id": 1, "n": 2, "u": "x"}])}) as api:
        run = run_here(api, stream, cache=tmp_path)
    assert run.rows == [{"id": 1, "n": 2, "u": "x"}]
    assert properties(run)["n"] == {"type": ["integer", "null"]}


def test_a_catalog_that_was_edited_is_obeyed_with_a_cache_and_without(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"id": 1, "zip": "01234", "u": NAIVE, "n": 1, "in": {"a": 1, "b": 1}, "odd": "2026-01-01T00:00:00Z"}
    ]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        catalog = discover_here(api, STREAM, cache=tmp_path / "first")
        edited = catalog["streams"][0]["schema"]["properties"]
        edited["u"] = WHEN
        edited["n"] = {"type": "string"}
        edited["in"]["properties"]["a"] = {"type": ["null", "number"]}
        edited["by_hand"] = {"type": "boolean"}
        rows.append(
            {"id": 2, "zip": 5, "u": "n/a", "n": 2, "in": {"a": 1.5, "b": "x", "c": 1}, "odd": "none"}
        )
        for cache in ("first", "other", "other"):
            found = properties(run_here(api, STREAM, cache=tmp_path / cache, catalog=catalog))
            assert found["u"] == WHEN
            assert found["n"] == {"type": ["string", "null"]}
            assert found["by_hand"] == {"type": ["boolean", "null"]}
            # What nobody has touched grows as the records do.
            assert found["odd"] == TEXT
            assert found["zip"] == {"type": ["null", "integer", "string"]}
            assert found["in"]["properties"] == {
                "a": {"type": ["null", "number"]},
                "b": {"type": ["null", "integer", "string"]},
                "c": NUMBER,
            }


def test_a_field_that_is_edited_into_anything(tmp_path: Path) -> None:
    with serving({"/rows": lambda _: json_reply([{"id": 1, "any": 1, "gone": {"x": 1}}])}) as api:
        catalog = discover_here(api, STREAM, cache=tmp_path)
        catalog["streams"][0]["schema"]["properties"] |= {"any": {}, "gone": {"type": ["null", "string"]}}
        run = run_here(api, STREAM, cache=tmp_path, catalog=catalog)
    assert properties(run)["any"] == {}
    assert properties(run)["gone"] == TEXT


def test_what_tools_write_into_a_catalog_is_no_edit(tmp_path: Path) -> None:
    rows = [{"id": 1, "n": 1}]
    with serving({"/rows": lambda _: json_reply(rows)}) as api:
        catalog = discover_here(api, STREAM, cache=tmp_path)
        catalog["streams"][0]["schema"]["properties"]["n"] |= {"selected": True, "inclusion": "available"}
        rows.append({"id": 2, "n": "x"})  # type: ignore[dict-item]
        run = run_here(api, STREAM, cache=tmp_path, catalog=catalog)
    assert properties(run)["n"]["type"] == ["null", "integer", "string"]


@pytest.mark.parametrize("by", ["schema_overrides", "the catalog"])
def test_a_value_that_is_not_what_was_said_is_named_here_and_by_the_target(
    by: str, run_tap: Any, tmp_path: Path
) -> None:
    rows = [
        {"id": 1, "in": {"a": "x"}, "f": 1},
        {"id": 2, "in": {"a": None}, "f": 1.5},
        {"id": 3, "in": {"a": 7}, "f": "1"},
    ]
    with serving({"/rows": lambda _: json_reply(rows[:1])}) as api:
        catalog = json.loads(run_tap(api.url, STREAM, args=("--discover",)).ended(0).stdout)
        catalog["streams"][0]["schema"]["properties"]["in"]["properties"]["a"] = {"type": ["null", "string"]}
        catalog["streams"][0]["schema"]["properties"]["f"] = {"type": ["null", "number"]}
        catalog["streams"][0]["schema"]["properties"]["in"]["properties"]["a"]["maxLength"] = 5
        said = STREAM | {"schema_overrides": {"in.a": {"type": "string"}, "f": {"type": "number"}}}
        api.routes["/rows"] = lambda _: json_reply(rows)
        run = run_tap(
            api.url,
            said if by == "schema_overrides" else STREAM,
            catalog=None if by == "schema_overrides" else catalog,
        )
    where = "`schema_overrides`" if by == "schema_overrides" else "the catalog"
    assert f"Stream rows holds `integer` at `in.a`, which {where} declares as `string`" in run.ended(0).stderr
    assert f"Stream rows holds `string` at `f`, which {where} declares as `number`" in run.stderr
    assert run.stderr.count("(`on_invalid`)") == 2
    assert run.records("rows") == rows
    config = tmp_path / "target.json"
    config.write_text(json.dumps({"destination_path": str(tmp_path / "out")}))
    command = [str(Path(sys.executable).with_name("target-jsonl")), "--config", str(config)]
    target = subprocess.run(command, input=run.stdout.encode(), capture_output=True, check=False)
    assert target.returncode == 65
    assert 'got `"1"` at rows.$.f (line 5)' in target.stderr.decode()


def test_local_times_in_a_field_that_is_said_to_be_a_time(run_tap: Any) -> None:
    stream = STREAM | {
        "replication_key": "u",
        "time_zone": "Europe/Berlin",
        "schema_overrides": {"v": {"format": "date-time"}},
    }
    with serving({"/rows": lambda _: json_reply([{"id": 1, "u": NAIVE, "v": NAIVE}])}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert "The field `v` of stream rows holds times without an offset" in run.stderr


def test_overrides_that_mean_nothing_are_refused(run_tap: Any) -> None:
    bad: dict[str, dict[str, Any]] = {
        "Expected a JSON Schema at `streams[0].schema_overrides.a`, got one with 'strin' is not valid": {
            "a": {"type": "strin"}
        },
        "There is no keyword `typ` of JSON Schema at `streams[0].schema_overrides.a`; did you mean `type`?": {
            "a": {"typ": "string"}
        },
        "There is no keyword `fromat` of JSON Schema at `streams[0].schema_overrides.a.properties.b`": {
            "a": {"properties": {"b": {"fromat": "date"}}}
        },
        "refers to another schema": {"a": {"$ref": "#/x"}},
        "`streams[0].schema_overrides.a.b` stands in `streams[0].schema_overrides.a`, too": {
            "a": {"properties": {"b": {"type": "string"}}},
            "a.b": {"type": "integer"},
        },
        "are one field": {"a.b": {"type": "string"}, "['a']['b']": {"type": "string"}},
        "Expected the name of a field at `streams[0].schema_overrides.a..b`": {"a..b": {"type": "string"}},
    }
    for sentence, overrides in bad.items():
        found = list(override_problems({"schema_overrides": overrides}, "streams[0]"))
        assert len(found) == 1
        assert sentence in found[0]
    assert not list(
        override_problems(
            {"schema_overrides": {"a": {"type": "object"}, "a.b": {"x-sql-datatype": "uuid"}}}, ""
        )
    )
    run = run_tap("http://127.0.0.1:1", STREAM | {"schema_overrides": {"a": {}}}).ended(78)
    assert "schema_overrides" in run.sentence


def test_how_what_is_said_lies_over_what_is_known() -> None:
    known = {
        "day": {"type": ["null", "string"], "format": "date"},
        "in": {"type": ["null", "object"], "properties": {"x": {"type": ["null", "integer"]}}},
        "none": {"type": ["null"]},
    }

    def over(**said: Any) -> Any:
        return overlaid({"properties": known}, overridden(said))["properties"]

    assert over(day={"type": "string"})["day"] == {"type": "string"}, "no format is left of what was inferred"
    assert over(day={"maxLength": 10})["day"] == known["day"] | {"maxLength": 10}
    assert over(**{"in": {"type": ["null", "string"]}})["in"] == {"type": ["null", "string"]}
    assert over(none={"format": "date"})["none"] == {"type": ["null", "string"], "format": "date"}
    assert over(**{"in.y": {"enum": [1]}})["in"]["properties"] == {
        "x": {"type": ["null", "integer"]},
        "y": {"anyOf": [{"enum": [1]}, {"type": "null"}]},
    }
    assert over(**{"new.x": {"type": "integer"}})["new"] == {
        "type": ["null", "object"],
        "properties": {"x": {"type": ["integer", "null"]}},
    }
