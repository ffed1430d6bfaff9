"""What the console script itself does: help, test, discovery, catalogs, wrong configs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.validate import config_problems
from tap_rest.config import CONFIG_SCHEMA

TAP = str(Path(sys.executable).with_name("tap-rest"))
SCHEMA = {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}, "secret": {}}}
ROWS = [{"id": n, "name": f"n{n}", "secret": "s"} for n in range(4)]
STREAM = {"name": "rows", "path": "/rows", "schema": SCHEMA, "primary_keys": ["id"]}
OTHER = STREAM | {"name": "other", "path": "/other"}


def by_page(asked: Asked) -> Reply:
    start = int(asked.param("offset") or 0)
    return json_reply(ROWS[start : start + 2])


@pytest.mark.usefixtures("really_started")
def test_the_console_script(tmp_path: Path) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"base_url": api.url, "streams": [STREAM]}))
        done = subprocess.run([TAP, "-c", config], capture_output=True, timeout=60, check=True)
        closed = subprocess.run(
            ["bash", "-c", f"{TAP} -c {config} | head -1"], capture_output=True, timeout=60, check=True
        )
    types = [json.loads(line)["type"] for line in done.stdout.splitlines()]
    assert types == ["STATE", "SCHEMA", *["RECORD"] * 4, "STATE", "STATE"][: len(types)]
    assert b"Traceback" not in closed.stderr
    for option in ("--help", "--version", "--about"):
        subprocess.run([TAP, option], capture_output=True, timeout=60, check=True)


def test_test_reads_the_first_page_of_each_stream(run_tap: Any) -> None:
    stream = STREAM | {"pagination": {"type": "offset"}}
    with serving({"/rows": by_page, "/other": by_page}) as api:
        run_tap(api.url, stream, OTHER | {"pagination": {"type": "offset"}}, args=("--test",)).ended(0)
        assert sorted(asked.raw_path for asked in api.asked) == ["/other?offset=0", "/rows?offset=0"]
        api.routes["/other"] = lambda _: json_reply({}, 401)
        run_tap(api.url, stream, OTHER, args=("--test",)).ended(77)


def test_test_says_each_thing_once_and_reports_no_failure(run_tap: Any) -> None:
    with serving({"/rows": by_page, "/other": by_page}) as api:
        run = run_tap(api.url, STREAM, OTHER, args=("--test",)).ended(0)
        assert [message["type"] for message in run.messages] == ["SCHEMA", "RECORD", "STATE"] * 2
        assert "METRIC" not in run.stderr, "of which each said that its stream had failed"
        asked = len(api.asked)
        refused = run_tap(api.url, STREAM, args=("--test=foo",)).ended(64)
    assert "'foo' is not one of 'all', 'schema', 'disabled'" in refused.sentence
    assert len(api.asked) == asked


@pytest.mark.parametrize("args", [("--test", "--discover"), ("-d", "--test=schema")], ids=" ".join)
def test_test_and_discover_are_two_runs(args: tuple[str, ...], run_tap: Any) -> None:
    with serving({"/rows": by_page}) as api:
        run = run_tap(api.url, STREAM, args=args).ended(64)
        run_tap(api.url, STREAM, args=("--test=disabled", "--discover")).ended(0)
    assert run.stdout == ""
    assert "Expected either --discover or --test, got both" in run.sentence
    assert api.asked == []


@pytest.mark.parametrize("args", [("--discover",), ("--test=schema",)], ids=" ".join)
def test_state_and_catalog_count_for_nothing_beside_options_that_run_alone(
    args: tuple[str, ...], run_tap: Any
) -> None:
    with serving({"/rows": by_page}) as api:
        alone = run_tap(api.url, STREAM, args=args).ended(0)
        told = run_tap(api.url, STREAM, args=args, state={"bookmarks": {}}, catalog={"streams": []}).ended(0)
    assert told.stdout == alone.stdout
    assert f"--catalog and --state have no effect beside {args[0].partition('=')[0]}" in told.stderr
    assert "no effect" not in alone.stderr


def test_without_a_config_one_is_shown_that_can_be_copied() -> None:
    done = subprocess.run([TAP], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 78
    shown = re.search(r"for a first try (\{.*\}), or set `TAP_REST_BASE_URL`", done.stderr.strip())
    assert shown
    assert config_problems(json.loads(shown[1]), CONFIG_SCHEMA) == []


def test_select_has_the_last_word_beside_a_catalog(run_tap: Any) -> None:
    with serving({"/rows": by_page, "/other": by_page}) as api:
        catalog = json.loads(run_tap(api.url, STREAM, OTHER, args=("--discover",)).stdout)
        run = run_tap(api.url, STREAM, OTHER, catalog=catalog, select=["other", "!other.secret"])
    assert (len(run.records("rows")), len(run.records("other"))) == (0, 2)
    assert all("secret" not in record for record in run.records("other"))


def test_test_with_inferred_schemas_and_children(run_tap: Any) -> None:
    parent = {"name": "rows", "path": "/rows"}
    child = {"name": "sub", "path": "/rows/{parent.id}", "parent": {"stream": "rows"}}
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        api.routes |= {f"/rows/{n}": lambda _: json_reply([{"x": 1}]) for n in range(4)}
        run_tap(api.url, parent, child, args=("--test",)).ended(0)


def test_discovery_of_declared_schemas_asks_for_nothing(run_tap: Any) -> None:
    with serving({}) as api:
        run = run_tap(api.url, STREAM, OTHER, args=("--discover",)).ended(0)
        assert api.asked == []
    streams = json.loads(run.stdout)["streams"]
    assert [stream["tap_stream_id"] for stream in streams] == ["other", "rows"]
    assert streams[0]["key_properties"] == ["id"]


def test_select_rules(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS), "/other": lambda _: json_reply(ROWS)}) as api:
        run = run_tap(api.url, STREAM, OTHER, select=["rows", "!rows.secret"]).ended(0)
        assert {asked.path for asked in api.asked} == {"/rows"}
    assert run.records("rows") == [{"id": n, "name": f"n{n}"} for n in range(4)]


def test_a_catalog_that_selects_one_stream(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS), "/other": lambda _: json_reply(ROWS)}) as api:
        catalog = json.loads(run_tap(api.url, STREAM, OTHER, args=("--discover",)).ended(0).stdout)
        for stream in catalog["streams"]:
            for item in stream["metadata"]:
                if not item["breadcrumb"]:
                    item["metadata"]["selected"] = stream["stream"] == "rows"
        run = run_tap(api.url, STREAM, OTHER, catalog=catalog).ended(0)
        assert {asked.path for asked in api.asked} == {"/rows"}
    assert run.records("rows") == ROWS


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no scheme": ({"base_url": "api.example.com"}, "base_url"),
    "unknown kind": ({"pagination": {"type": "pages"}}, "pagination.type"),
    "key of another kind": ({"pagination": {"type": "page", "cursor": "$.x"}}, "pagination.cursor"),
    "needed key": ({"pagination": {"type": "cursor"}}, "pagination.cursor"),
    "short page without size": ({"pagination": {"type": "page", "stop_on_short_page": True}}, "size"),
    "no end": ({"pagination": {"type": "page", "empty_page": "continue"}}, "empty_page"),
    "misspelled": ({"pagination": {"type": "page", "sizee": 5}}, "did you mean `size`"),
    "bearer without token": ({"auth": {"type": "bearer"}}, "auth.token"),
    "token elsewhere": ({"auth": {"type": "none", "token": "x"}}, "auth.token"),
    "two of a name": ({"streams": [STREAM, STREAM]}, "two streams named `rows`"),
    "no streams": ({"streams": []}, "streams"),
    "no parent": ({"streams": [STREAM | {"path": "/{parent.id}"}]}, "parent"),
    "unknown parent": ({"streams": [STREAM | {"parent": {"stream": "x"}}]}, "`x`"),
    "incremental without key": ({"streams": [STREAM | {"incremental": {"param": "s"}}]}, "replication_key"),
    "addresses": ({"allowed_addresses": ["localhost"]}, "allowed_addresses"),
    "tries": ({"retries": {"tries": 0}}, "retries.tries"),
    "ca file": ({"ca_file": "/nowhere/ca.pem"}, "ca_file"),
    "ca file without certificates": ({"ca_file": __file__}, "it holds no certificate in PEM"),
    "ca file that is a folder": ({"ca_file": "/"}, "it is no file"),
    "a query in the URL": (
        {"base_url": "https://api.example.com/v1?company=7&key=s3cr"},
        '`"params": {"company": "7", "key": "..."}`',
    ),
    "a fragment in the URL": ({"base_url": "https://api.example.com/v1#a"}, "`%23`"),
    "a fragment in a path": ({"streams": [STREAM | {"path": "/files/a#b/rows"}]}, "`streams[0].path`"),
    "user in the URL": ({"base_url": "https://ann:secret9@api.example.com"}, "`auth`"),
    "host": ({"allowed_hosts": ["ftp://x"]}, "allowed_hosts"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_configs_are_told_before_any_request(case: str, run_tap: Any) -> None:
    changes, finding = WRONG[case]
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        config = {"base_url": api.url, "streams": [STREAM]} | changes
        run = run_tap(config.pop("base_url"), *config.pop("streams"), **config).ended(78)
        assert api.asked == []
    assert finding in run.sentence
