"""A real dbt (`make test-dbt`) builds what `singerkit dbt generate` has made, behind the commit of a load by target-duckdb."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg2.extensions
import pytest
from conftest import run_sql

from singerkit_dbt.words import quoted

from .projects import BAD, GONE, STREAMS, Project

DBT = Path(__file__).parents[3] / ".envs" / "dbt" / "bin"
CONFIG: dict[str, Any] = {
    "load_method": {"log": "history", "*": "upsert"},
    "add_record_metadata": True,
    "hard_delete": False,
}
BUILD = "dbt --no-use-colors build --select source:raw+"


@dataclass(frozen=True)
class Warehouse:
    """What a project loads into; ``ask`` runs a statement there."""

    project: Project
    ask: Callable[[str], list[tuple[Any, ...]]]

    def run(self, code: int, *words: str) -> str:
        path = f"{DBT}{os.pathsep}{os.environ['PATH']}"
        ended, said = self.project.singerkit(
            "run", "-v", PATH=path, DBT_PROFILES_DIR=str(self.project.folder)
        )
        assert ended == code, said
        assert [word for word in words if word not in said] == [], said
        assert "deprecat" not in said.lower()
        return said


def in_duckdb(project: Project) -> Warehouse:
    def ask(statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(project.folder / "warehouse.duckdb")) as connection:
            return connection.execute(statement).fetchall()

    return Warehouse(project, ask)


def in_postgres(project: Project, dsn: str) -> Warehouse:
    def ask(statement: str) -> list[tuple[Any, ...]]:
        return run_sql(dsn, statement)

    settings = psycopg2.extensions.parse_dsn(dsn)
    profile = {"type": "postgres", "schema": "public", "threads": 1, "password": "", "port": 5432, **settings}
    profile["port"] = int(profile["port"])
    (project.folder / "profiles.yml").write_text(
        json.dumps({"shop": {"target": "dev", "outputs": {"dev": profile}}})
    )
    project.configure(dsn=dsn, default_target_schema="raw", **CONFIG)
    project.pipelines["shop"]["target"]["exec"] = "target-postgres"
    return Warehouse(project, ask)


def built(warehouse: Warehouse) -> Warehouse:
    """Generate, load, build, and ask for freshness and docs."""
    warehouse.project.pipelines["shop"]["after_commit"] = [
        {"run": f"{BUILD} && dbt source freshness && dbt docs generate"}
    ]
    code, said = warehouse.project.singerkit("dbt", "generate")
    assert code == 0, said
    warehouse.run(0, "WARN=0 ERROR=0 SKIP=0", "freshness of raw.orders")
    return warehouse


@pytest.fixture(scope="module")
def duck(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return built(in_duckdb(Project(tmp_path_factory.mktemp("dbt"), **CONFIG)))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory, postgres_dsn: str) -> Warehouse:
    return built(in_postgres(Project(tmp_path_factory.mktemp("dbt")), postgres_dsn))


@pytest.fixture(params=["duck", "postgres"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    found: Warehouse = request.getfixturevalue(request.param)
    return found


def test_the_models_have_what_is_stored_but_for_what_is_gone(warehouse: Warehouse) -> None:
    assert warehouse.ask('select "id", "select" from stg_raw__orders') == [(1, "it's {{ 1/0 }}")]
    assert warehouse.ask("select count(*) from stg_raw__lines_say_hi_1_0_raw") == [(2,)]
    assert warehouse.ask('select "_sdc_valid_to" from stg_raw__log') == [(None,)]


def test_what_dbt_knows_is_what_the_tap_has_said(warehouse: Warehouse) -> None:
    manifest = json.loads((warehouse.project.folder / "target" / "manifest.json").read_text())
    source = manifest["sources"]["source.shop.raw.orders"]
    said = STREAMS["Orders"]["properties"]
    assert source["columns"]["id"]["description"] == said["id"]["description"]
    assert source["columns"][BAD.replace('"', '""')]["description"] == "😀"
    model = manifest["nodes"]["model.shop.stg_raw__orders"]
    assert model["columns"]["id"]["description"] == said["id"]["description"]


def test_the_tests_find_what_is_wrong_and_end_the_pipeline(duck: Warehouse) -> None:
    """Each kind of test fails on rows that somebody else has put there; the load is committed before."""
    lines = quoted(f"lines {BAD}")
    duck.ask("""insert into raw."Orders" ("id", "select") values (9, 'other'), (9, 'new'), (null, 'new')""")
    for _ in range(2):
        duck.ask(f"insert into raw.{lines} ({quoted(BAD)}, no) values ('b', 1)")
    log = STREAMS["log"]
    more = {**log, "records": [{"id": 1, "at": "y"}]}
    duck.project.declare({**STREAMS, "log": more})
    said = duck.run(1, "The rows are committed")
    failed = set(re.findall(r" FAIL \d+ (source_\w+)", said))
    assert {name.split("_raw_")[0] for name in failed} == {
        "source_unique",
        "source_not_null",
        "source_accepted_values",
    }
    assert any("lines" in name for name in failed)
    assert not any("raw_log" in name for name in failed)  # of a history only what holds now is one a key
    assert len(duck.ask("select * from raw.log")) == 2


# --- rules of quality -----------------------------------------------------------------------------------------

_RECORDS: dict[str, list[Any]] = {
    "t_same": ["a", "it's {{ 1/0 }}", None, "\u00e4", "a", "a"],
    "t_blank": ["a", "a ", None, "a", "a", "a"],
    "t_case": ["a", "A", None, "a", "a", "a"],
    "t_marks": ["\u00e4", "a\u0308", None, "\u00e4", "\u00e4", "\u00e4"],
    "n_same": [1.0, 1, 2.5, 0.1, None, 1],
    "n_other": [1.0, 1.0000001, 2.5, 0.1, None, 1],
    "b_same": [True, True, None, True, True, True],
    "b_other": [True, False, None, True, True, True],
    "i_nothing": [None, None, None, None, None, None],
    "u_null": [1, 2, None, None, 3, 4],
    "u_gone": [1, 2, 3, 4, 5, 1],
    "u_twice": [1, 1, 3, 4, 5, 6],
    "r_there": [1, 2, None, 1, 1, 1],
    "r_gone": [1, 3, None, 1, 1, 1],
    "r_nowhere": [1, 4, None, 1, 1, 1],
}
"""The values of six rows, of which the last is marked as gone."""
_KINDS = {"t": "string", "n": "number", "b": "boolean", "i": "integer", "u": "integer", "r": "integer"}
_SAID: dict[str, dict[str, Any]] = {
    "t": {"rule": "accepted", "values": ["a", "it's {{ 1/0 }}", "\u00e4"]},
    "n": {"rule": "accepted", "values": [1, 2.5, 0.1]},
    "b": {"rule": "accepted", "values": [True]},
    "i": {"rule": "accepted", "values": [1]},
    "u": {"rule": "unique"},
    "r": {"rule": "references", "to": {"stream": "people", "field": "id"}},
}
_BROKEN_RULES = {
    "t_blank", "t_case", "t_marks", "n_other", "b_other", "u_twice", "r_gone", "r_nowhere", "not_null",
}  # fmt: skip
_TIME_OF = {"type": ["string", "null"], "format": "date-time"}


def _rules() -> list[dict[str, Any]]:
    """A rule on each field, and `not_null` on one that has nulls and on one that has none."""
    rules = [
        {
            **_SAID[name[0]],
            **({"fields": [name]} if name[0] == "u" else {"field": name}),
            "on": "warn" if place % 2 else "fail",
        }
        for place, name in enumerate(_RECORDS)
    ]
    return [*rules, {"rule": "not_null", "field": "t_same"}, {"rule": "not_null", "field": "id"}]


def _declared() -> dict[str, Any]:
    values = zip(*_RECORDS.values(), strict=True)
    records = [
        {"id": id_, **dict(zip(_RECORDS, row, strict=True)), "_sdc_deleted_at": GONE if id_ == 5 else None}
        for id_, row in enumerate(values)
    ]
    fields = {name: {"type": [_KINDS[name[0]], "null"]} for name in _RECORDS}
    return {
        "people": {
            "key": ["id"],
            "properties": {"id": {"type": "integer"}, "_sdc_deleted_at": _TIME_OF},
            "records": [{"id": id_, "_sdc_deleted_at": GONE if id_ == 3 else None} for id_ in (1, 2, 3)],
        },
        "s": {
            "key": ["id"],
            "properties": {"id": {"type": "integer"}, **fields, "_sdc_deleted_at": _TIME_OF},
            "records": records,
        },
    }


@pytest.mark.parametrize("place", ["duckdb", "postgres"])
def test_rules_of_quality_have_the_same_verdict_by_singerkit_and_by_dbt(
    tmp_path: Path, database: str, place: str
) -> None:
    """Of rows that are stored, among them what the rules of a record would have kept out of the table."""
    project = Project(tmp_path, _declared())
    warehouse = in_duckdb(project) if place == "duckdb" else in_postgres(project, database)
    settings = json.loads((tmp_path / "target.json").read_text()) | {"hard_delete": False}
    settings.pop("load_method", None)
    project.configure(**settings)
    warehouse.run(0)
    project.configure(**settings, checks={"s": _rules()})
    code, said = project.singerkit("quality", "run", "--json")
    assert code == 65, said
    ours = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    code, said = project.singerkit("dbt", "generate")
    assert code == 0, said
    subprocess.run(
        [DBT / "dbt", "--no-use-colors", "test", "--select", "source:raw.s"],
        cwd=tmp_path,
        env={**os.environ, "DBT_PROFILES_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
    )
    results = json.loads((tmp_path / "target" / "run_results.json").read_text())["results"]
    theirs = {one["unique_id"].split(".")[2]: one for one in results}
    names = [*_RECORDS, "not_null", "id"]
    assert {
        name for name, one in zip(names, ours, strict=True) if one["verdict"] == "broken"
    } == _BROKEN_RULES
    verdicts = {}
    for number, (name, one) in enumerate(zip(names, ours, strict=True)):
        found = theirs[f"checks_raw__s_{number}"]
        assert found["status"] in ("pass", "warn", "fail"), found
        assert found["status"] != ("fail" if one["on"] == "warn" else "warn"), found
        verdicts[name] = found["status"] != "pass"
    assert {name for name, is_broken in verdicts.items() if is_broken} == _BROKEN_RULES
