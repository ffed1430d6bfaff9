"""`singerkit dbt generate`: sources and models of what pipelines load, in files that are made anew and never lose what somebody wrote."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sampling import tries

from singerkit_cli.command import cli
from singerkit_dbt import command
from singerkit_dbt.asking import Asking, Loaded
from singerkit_dbt.declared import unmarked_logs
from singerkit_dbt.folder import difference, write
from singerkit_dbt.tables import same_places, table_of
from singerkit_dbt.texts import Freshness, texts_of
from singerkit_dbt.words import column as in_sql
from singerkit_dbt.words import plain_name, quoted, shortened, text, value
from singerkit_run.planfile import read_plan
from singerkit_run.programs import Found
from singerkit_shell.errors import ConfigurationError, SingerkitError
from singerkit_shell.exits import exit_code_of
from singerkit_shell.signals import StopFlag
from singerkit_wire.catalogued import schemas_of

from .projects import BAD, STREAMS, Project

JINJA = jinja2.Environment(keep_trailing_newline=True, autoescape=False)


def rendered(template: str) -> str:
    return JINJA.from_string(template).render()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(
        tmp_path_factory.mktemp("dbt"),
        load_method={"log": "history", "*": "upsert"},
        add_record_metadata=True,
        hard_delete=False,
    )
    code, said = made.singerkit("dbt", "generate")
    assert code == 0, said
    return made


def test_a_model_has_the_columns_of_its_table_and_no_rows_that_are_gone(project: Project) -> None:
    files = project.files()
    model = files["stg_raw__orders.sql"].decode().split("\n", 1)[1]
    assert model == (
        'select\n    "id",\n    "select",\n    "priority",\n    "orderId",\n'
        f"    {in_sql(BAD)}\nfrom {{{{ source('raw', 'orders') }}}}\nwhere \"_sdc_deleted_at\" is null\n"
    )
    assert sorted(files) == [
        "_models.yml",
        "_sources.yml",
        "stg_raw__lines_say_hi_1_0_raw.sql",
        "stg_raw__log.sql",
        "stg_raw__name_cf2abf0c.sql",
        "stg_raw__orders.sql",
    ]


def test_sources_have_keys_and_enums_as_tests_and_descriptions(project: Project) -> None:
    (source,) = yaml.safe_load(project.files()["_sources.yml"])["sources"]
    assert (source["name"], source["schema"]) == ("raw", "raw")
    tables = {table["name"]: table for table in source["tables"]}
    orders = {one["name"]: one for one in tables["orders"]["columns"]}
    assert tables["orders"]["identifier"] == "Orders"
    assert tables["orders"]["config"] == {
        "loaded_at_field": '"_sdc_batched_at"',
        "freshness": {"warn_after": {"count": 1440, "period": "minute"}},
    }
    assert orders["id"]["data_tests"] == ["not_null", "unique"]
    assert rendered(orders["id"]["description"]) == STREAMS["Orders"]["properties"]["id"]["description"]
    (values,) = orders["select"]["data_tests"]
    assert [rendered(one) for one in values["accepted_values"]["arguments"]["values"]] == [
        "new",
        "it''s {{ 1/0 }}",
        "ref(''x'')",
    ]
    assert not values["accepted_values"]["arguments"]["values"][2].startswith("ref")
    (numbers,) = orders["priority"]["data_tests"]
    assert numbers["accepted_values"]["arguments"] == {"values": [1, 2], "quote": False}
    lines = tables["lines_say_hi_1_0_raw"]
    assert lines["data_tests"] == [{"unique": {"arguments": {"column_name": f'({quoted(BAD)}, "no")'}}}]
    assert [one["data_tests"] for one in lines["columns"]] == [["not_null"], ["not_null"]]
    (log,) = tables["log"]["columns"]
    assert log["data_tests"][1] == {"unique": {"config": {"where": '"_sdc_valid_to" is null'}}}


def test_rules_of_quality_are_tests_of_which_dbt_has_its_own(generate: Generate) -> None:
    """Of what is there, and no more than a warning where the rule is none; one that dbt does not know is told of."""
    checks = [
        {"rule": "not_null", "place": "p0", "on": "fail", "columns": ["v"]},
        {"rule": "accepted", "place": "p1", "on": "quarantine", "columns": ["v"], "values": ["it's", "b"]},
        {
            "rule": "references",
            "place": "p2",
            "on": "warn",
            "columns": ["n"],
            "to": {"schema": "raw", "table": "t", "column": "id"},
        },
        {"rule": "accepted", "place": "p3", "on": "warn", "columns": ["n"], "values": [1, 2.5]},
        {"rule": "length", "place": "checks.s[4]", "on": "fail", "columns": ["v"]},
        {
            "rule": "references",
            "place": "checks.s[5]",
            "on": "fail",
            "columns": ["n"],
            "to": {"schema": "elsewhere", "table": "t", "column": "id"},
        },
        {"rule": "accepted", "place": "checks.s[6]", "on": "fail", "columns": ["c"], "values": [1]},
    ]
    columns = [{"column": name, "kind": "string", "schema": {}} for name in ("id", "v", "n")]
    columns += [{"column": "c", "kind": "integer", "schema": {}, "type": "text"}]
    said = {
        "stream": "s",
        "schema": "raw",
        "load_method": "upsert",
        "loaded_at": None,
        "valid": None,
        "columns": columns,
    }
    tables = [
        {**said, "table": "s", "key": ["id"], "deleted_at": "_sdc_deleted_at", "checks": checks},
        {**said, "table": "t", "key": ["id"], "deleted_at": "gone"},
    ]
    code, out = generate.run(tables=tables)
    assert code == 0, out
    for rule, place in (("length", 4), ("references", 5), ("accepted", 6)):
        assert f"`{rule}` of stream `s` (checks.s[{place}])" in out
    (source,) = yaml.safe_load(generate.project.files()["_sources.yml"])["sources"]
    by_name = {one["name"]: one for one in source["tables"][0]["columns"]}
    there = {"where": '"_sdc_deleted_at" is null'}
    first, second = by_name["v"]["data_tests"]
    assert first["not_null"] == {"name": "checks_raw__s_0", "config": {"severity": "error", **there}}
    assert [rendered(one) for one in second["accepted_values"]["arguments"]["values"]] == ["it''s", "b"]
    referring, numbers = by_name["n"]["data_tests"]
    assert referring["relationships"]["arguments"] == {
        "to": "source('raw', 't')",
        "field": 'case when "gone" is null then "id" end',
    }
    assert referring["relationships"]["config"] == {"severity": "warn", **there}
    assert numbers["accepted_values"]["arguments"] == {"values": [1, 2.5], "quote": False}


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generate:
    """The command in this process, for tables that nobody is asked for."""
    project = Project(tmp_path)
    (tmp_path / "singerkit.json").write_text(json.dumps({"pipelines": project.pipelines}))
    monkeypatch.setattr(command, "find_programs", lambda *_: ({}, []))
    monkeypatch.setattr(command.stop_flag, "install", lambda: None)

    def run(*arguments: str, tables: Sequence[dict[str, Any]], other: str = "db") -> tuple[int, str]:
        told = {
            "shop": Loaded("shop", "db", tuple(map(table_of, tables))),
            "other": Loaded("other", other, ()),
        }
        monkeypatch.setattr(command.Asking, "loaded", lambda _self, pipeline: told[pipeline.name])
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            given = ["dbt", "generate", str(tmp_path / "singerkit.json"), *arguments]
            code = exit_code_of(
                lambda: cli.main(given, "singerkit", standalone_mode=False), "singerkit", False
            )
        return code, out.getvalue()

    return Generate(project, run)


@dataclass(frozen=True)
class Generate:
    project: Project
    run: Callable[..., tuple[int, str]]


def test_the_same_tables_give_the_same_bytes(generate: Generate) -> None:
    tables = [line("b"), line("a", field("x"))]
    assert generate.run(tables=tables)[0] == 0
    before = generate.project.files()
    assert generate.run("--check", tables=tables[::-1]) == (0, "")
    assert generate.run(tables=tables[::-1]) == (0, "2 tables; nothing has changed.\n")
    assert generate.project.files() == before


def test_what_somebody_has_changed_stays(generate: Generate) -> None:
    generate.run(tables=[line("a", field("x")), line("b")])
    mine = generate.project.models / "stg_raw__a.sql"
    mine.write_bytes(mine.read_bytes().replace(b'"x"', b'"x" as y'))
    before = generate.project.files()
    fewer = [line("a", field("z"))]
    code, said = generate.run("--check", tables=fewer)
    assert code == 1
    assert "stg_raw__a.sql is not what it would be (somebody has changed it)\n" in said
    assert "stg_raw__b.sql is not what it would be\n" in said
    code, said = generate.run(tables=fewer)
    assert code == 78
    assert "Somebody has changed `stg_raw__a.sql`" in said
    assert generate.project.files() == before
    code, said = generate.run("--overwrite", tables=fewer)
    assert code == 0, said
    assert sorted(generate.project.files()) == ["_models.yml", "_sources.yml", "stg_raw__a.sql"]


def test_models_of_pipelines_that_are_not_named_stay(generate: Generate) -> None:
    generate.run(tables=[line("a"), line("b")])
    before = generate.project.files()
    code, said = generate.run("shop", tables=[line("a")])
    assert (code, "`stg_raw__b.sql` in models/staging/singerkit would go" in said) == (78, True)
    assert generate.project.files() == before
    assert generate.run("shop", tables=[line("a"), line("b")])[0] == 0


def test_what_cannot_be_is_refused(generate: Generate, tmp_path: Path) -> None:
    refused = functools.partial(generate.run, tables=[])
    assert refused("--warn-after", "soon")[0] == refused("--error-after", "1s")[0] == 64
    (tmp_path / "dbt_project.yml").unlink()
    code, said = refused()
    assert (code, "which has no dbt_project.yml" in said) == (78, True)
    (tmp_path / "dbt_project.yml").touch()
    generate.project.pipelines["other"] = generate.project.pipelines["shop"]
    (tmp_path / "singerkit.json").write_text(json.dumps({"pipelines": generate.project.pipelines}))
    assert refused()[0] == 0
    code, said = refused(other="another")
    assert (code, "got `shop` with db and `other` with another" in said) == (78, True)


def test_files_of_others_stay_and_line_ends_do_not_count(tmp_path: Path) -> None:
    texts = {"_sources.yml": "a\nb\n", "stg_a__b.sql": "select 1\n"}
    write(tmp_path, difference(tmp_path, texts))
    (tmp_path / "mine.sql").write_text("select 2\n")
    there = tmp_path / "stg_a__b.sql"
    there.write_bytes(there.read_bytes().replace(b"\n", b"\r\n"))
    assert difference(tmp_path, texts).names == []
    found = difference(tmp_path, {"mine.sql": "select 3\n"})
    assert (found.changed, found.remove) == (("mine.sql",), ("_sources.yml", "stg_a__b.sql"))
    write(tmp_path, difference(tmp_path, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.sql"]


def line(stream: str, *columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {"stream": stream, "schema": "raw", "table": stream, "load_method": "upsert", "key": []}
    return {**said, "deleted_at": None, "loaded_at": None, "valid": None, "columns": columns, **more}


def field(name: str, kind: str = "string", **schema: Any) -> dict[str, Any]:
    return {"field": name, "column": name, "kind": kind, "schema": schema}


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        (line("orderId"), line("order_id"), "model `stg_raw__order_id`"),
        (line("a", schema="Raw"), line("b", schema="raw"), "source `raw`"),
    ],
)
def test_names_that_dbt_would_have_twice_are_refused(
    first: dict[str, Any], second: dict[str, Any], name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"which are both the {name}; nothing was written"):
        same_places([table_of(first), table_of(second)])


def test_two_pipelines_with_one_table_are_one_source_of_which_holds_what_both_say() -> None:
    first = line("a", field("id", "integer"), field("s", enum=["x"], type="string"), key=["id"])
    second = line("a", field("id", "integer"), field("s", enum=["y"], type="string"), field("t"), key=[])
    (table,) = same_places([table_of(first), table_of(second)])
    assert table.key == ()
    assert [(one.name, one.values) for one in table.columns] == [("id", ()), ("s", ("x", "y")), ("t", ())]


@pytest.mark.parametrize(
    ("kind", "schema", "values"),
    [
        ("string", {"enum": ["a", "b", None]}, ("a", "b")),
        ("string", {"const": "a"}, ("a",)),
        ("integer", {"enum": [1, 2]}, (1, 2)),
        ("integer", {"enum": [1, True]}, ()),
        ("string", {"enum": ["a", 1]}, ()),
        ("string", {"enum": ["a\x00"]}, ()),
        ("date", {"enum": ["2026-01-01"]}, ()),
        ("boolean", {"enum": [True]}, ()),
        ("json", {"enum": [{"a": 1}]}, ()),
        ("string", {"enum": []}, ()),
    ],
)
def test_which_enums_are_tests(kind: str, schema: dict[str, Any], values: tuple[Any, ...]) -> None:
    assert table_of(line("a", field("x", kind, **schema))).columns[0].values == values
    chosen = {**field("x", kind, **schema), "type": "numeric"}
    assert table_of(line("a", chosen)).columns[0].values == ()


def test_rows_that_are_all_kept_have_no_key_and_lengths_are_asked_for() -> None:
    table = table_of(line("a", field("id"), key=["id"], load_method="append", loaded_at="_sdc_batched_at"))
    assert "data_tests" not in texts_of([table], Freshness(None, None))["_sources.yml"]
    assert "freshness" not in texts_of([table], Freshness(None, None))["_sources.yml"]
    assert "error_after: {count: 5, period: minute}" in texts_of([table], Freshness(None, 5))["_sources.yml"]


@settings(max_examples=tries(25))
@given(st.text(max_size=20))
@example("{{{% raw %}{#\r\n")
@example("{" * 5)
def test_any_name_is_itself_behind_jinja(name: str) -> None:
    assert rendered(in_sql(name)) == '"' + name.replace('"', '""') + '"'
    if not any(0xD800 <= ord(letter) <= 0xDFFF for letter in name):
        assert rendered(yaml.safe_load(text(name))) == name
        assert rendered(yaml.safe_load(value(name))) == name.replace("'", "''")
    assert plain_name(name).replace("_", "").isalnum()
    assert len(shortened(f"stg_raw__{plain_name(name)}")) <= 63


def test_a_catalog_says_what_is_selected() -> None:
    def stream(name: str, **more: Any) -> dict[str, Any]:
        properties = {"id": {"type": "integer"}, "note": {"type": "string"}}
        return {"tap_stream_id": name, "schema": {"properties": properties}, **more}

    catalog = {
        "streams": [
            stream("a", metadata=[{"breadcrumb": [], "metadata": {"selected": False}}]),
            stream(
                "b",
                metadata=[
                    {
                        "breadcrumb": [],
                        "metadata": {
                            "selected": True,
                            "table-key-properties": ["id"],
                            "replication-method": "LOG_BASED",
                        },
                    },
                    {"breadcrumb": ["properties", "note"], "metadata": {"selected": False}},
                ],
            ),
        ]
    }
    assert list(schemas_of(catalog, "c")) == [
        '{"type":"SCHEMA","stream":"b","schema":{"properties":{"id":{"type":"integer"}}},"key_properties":["id"]}'
    ]
    assert unmarked_logs(catalog, "c") == ["b"]
    assert ['"stream":"a"' in one for one in schemas_of(catalog, "c", ["*", "!b.note"])] == [True, False]


def test_a_catalog_of_the_file_counts_and_no_tap_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path)
    project.pipelines["shop"]["tap"] |= {"catalog": "catalog.json", "config": "tap.json"}
    (tmp_path / "tap.json").write_text('{"select": ["a.id"]}')
    properties = {"id": {"type": "integer"}, "note": {"type": "string"}}
    (tmp_path / "catalog.json").write_text(
        json.dumps({"streams": [{"tap_stream_id": "a", "schema": {"properties": properties}}]})
    )
    (tmp_path / "singerkit.json").write_text(json.dumps({"pipelines": project.pipelines}))
    plan = read_plan(str(tmp_path / "singerkit.json"))
    found = {"./tap.py": Found("/nowhere", True), "target-duckdb": Found("target-duckdb", True)}
    asked: list[Any] = []

    def said(_self: Asking, *given: Any) -> str:
        asked.append(given)
        return json.dumps({**line("a", field("id")), "database": "db"})

    monkeypatch.setattr(Asking, "_said", said)
    loaded = Asking(plan, found, {}, StopFlag(), print).loaded(plan.pipelines["shop"])
    ((_, side, options, words),) = asked
    assert (side, options, loaded.database) == ("target", ["--tables"], "db")
    assert json.loads(words)["schema"] == {"properties": {"id": {"type": "integer"}}}
    asked.clear()
    shop = replace(plan.pipelines["shop"], mapper=plan.pipelines["shop"].tap)
    monkeypatch.setattr(
        Asking, "_said", lambda self, _, side, *given: "mapped" if side == "mapper" else said(self, *given)
    )
    Asking(plan, found, {}, StopFlag(), print).loaded(shop)
    assert asked == [(["--tables"], b"mapped")]


def test_a_tap_that_fails_and_a_target_of_others_are_named(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.pipelines["shop"]["tap"]["args"] = ["--fail"]
    tap = tmp_path / "tap.py"
    tap.write_text("#!/bin/sh\necho 'CRITICAL no such thing' >&2; exit 3\n")
    (tmp_path / "singerkit.json").write_text(json.dumps({"pipelines": project.pipelines}))
    plan = read_plan(str(tmp_path / "singerkit.json"))
    for is_ours, code, sentence in (
        (True, 3, "The tap of pipeline `shop` ended with 3; nothing was written: no such thing"),
        (False, 78, "is none of singerkit's, and does not say which tables"),
    ):
        found = {"./tap.py": Found(str(tap), False), "target-duckdb": Found("target-duckdb", is_ours)}
        with pytest.raises(SingerkitError, match=sentence) as error:
            Asking(plan, found, {}, StopFlag(), print).loaded(plan.pipelines["shop"])
        assert error.value.exit_code == code
