"""A real dbt (`make test-dbt`) builds what `singerkit dbt generate` has made, behind the commit of a load by target-duckdb."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg2.extensions
import pytest
from conftest import run_sql

from singerkit_dbt.words import quoted

from .projects import BAD, STREAMS, Project

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
