"""A real dbt (`make test-dbt`) builds what `singerkit dbt generate` has made, behind the commit of a load by target-duckdb."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import duckdb
import pytest

from singerkit_dbt.words import quoted

from .projects import BAD, STREAMS, Project

DBT = Path(__file__).parents[3] / ".envs" / "dbt" / "bin"
BUILD = "dbt --no-use-colors build --select source:raw+"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that was generated, loaded, built and asked for its freshness and docs."""
    made = Project(
        tmp_path_factory.mktemp("dbt"),
        load_method={"log": "history", "*": "upsert"},
        add_record_metadata=True,
        hard_delete=False,
    )
    made.pipelines["shop"]["after_commit"] = [
        {"run": f"{BUILD} && dbt source freshness && dbt docs generate"}
    ]
    code, said = made.singerkit("dbt", "generate")
    assert code == 0, said
    run(made, 0, "WARN=0 ERROR=0 SKIP=0", "freshness of raw.orders")
    return made


def run(project: Project, code: int, *words: str) -> str:
    path = f"{DBT}{os.pathsep}{os.environ['PATH']}"
    ended, said = project.singerkit("run", PATH=path, DBT_PROFILES_DIR=str(project.folder))
    assert ended == code, said
    assert [word for word in words if word not in said] == [], said
    assert "deprecat" not in said.lower()
    return said


def rows(project: Project, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(project.folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_models_have_what_is_stored_but_for_what_is_gone(project: Project) -> None:
    assert rows(project, 'select "id", "select" from stg_raw__orders') == [(1, "it's {{ 1/0 }}")]
    assert rows(project, "select count(*) from stg_raw__lines_say_hi_1_0_raw") == [(2,)]
    assert rows(project, 'select "_sdc_valid_to" from stg_raw__log') == [(None,)]


def test_what_dbt_knows_is_what_the_tap_has_said(project: Project) -> None:
    manifest = json.loads((project.folder / "target" / "manifest.json").read_text())
    source = manifest["sources"]["source.shop.raw.orders"]
    said = STREAMS["Orders"]["properties"]
    assert source["columns"]["id"]["description"] == said["id"]["description"]
    assert source["columns"][BAD.replace('"', '""')]["description"] == "😀"
    model = manifest["nodes"]["model.shop.stg_raw__orders"]
    assert model["columns"]["id"]["description"] == said["id"]["description"]


def test_the_tests_find_what_is_wrong_and_end_the_pipeline(project: Project) -> None:
    """Each kind of test fails on rows that somebody else has put there; the load is committed before."""
    lines = quoted(f"lines {BAD}")
    with duckdb.connect(str(project.folder / "warehouse.duckdb")) as connection:
        connection.execute(
            """insert into raw."Orders" ("id", "select") values (9, 'other'), (9, 'new'), (null, 'new')"""
        )
        connection.execute(
            f"insert into raw.{lines} select * replace ('b' as {quoted(BAD)}) from raw.{lines}"
        )
        connection.execute(f"insert into raw.{lines} select * from raw.{lines} where {quoted(BAD)} = 'b'")
    log = STREAMS["log"]
    more = {**log, "records": [{"id": 1, "at": "y"}]}
    project.declare({**STREAMS, "log": more})
    said = run(project, 1, "The rows are committed")
    failed = set(re.findall(r" FAIL \d+ (source_\w+)", said))
    assert {name.split("_raw_")[0] for name in failed} == {
        "source_unique",
        "source_not_null",
        "source_accepted_values",
    }
    assert any("lines" in name for name in failed)
    assert not any("raw_log" in name for name in failed)  # of a history only what holds now is one a key
    assert len(rows(project, "select * from raw.log")) == 2
