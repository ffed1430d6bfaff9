"""`tap-rest preview`, `init` and --test: what is asked for, what comes, and what looks wrong."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.rest.api_server import Api, Asked, Reply, json_reply, page_of, serving
from taps.rest.conftest import TAP

from singerkit_shell.tables import table

ROWS = [
    {"id": number, "name": f"row {number}", "updated_at": f"2026-01-{number:02}T00:00:00Z", "price": 1.5}
    for number in range(1, 31)
]
KEYS = {"primary_keys": ["id"], "replication_key": "updated_at", "incremental": {"param": "since"}}


def orders(asked: Asked) -> Reply:
    found = [row for row in ROWS if str(row["updated_at"]) >= (asked.param("since") or "")]
    page = int(asked.param("page") or 1)
    following = page + 1 if page * 10 < len(found) else None
    return json_reply({"data": page_of(found, asked, 10), "next_page": following})


ROUTES = {
    "/orders": orders,
    "/deaf": lambda _: json_reply(ROWS),
    "/after": lambda asked: json_reply([] if asked.param("since") else ROWS),
    "/later": lambda asked: json_reply(
        page_of([row for row in ROWS if str(row["updated_at"]) > (asked.param("since") or "")], asked, 10)
    ),
    "/closed": lambda _: json_reply({"message": "no access"}, 403),
    "/none": lambda _: json_reply([]),
}
PAGES = {"type": "cursor", "cursor": "$.next_page", "param": "page"}
STREAMS: dict[str, dict[str, Any]] = {
    "orders": {"path": "/orders", "records": "$.data[*]", "pagination": PAGES, **KEYS},
    "deaf": {"path": "/deaf", "pagination": {"type": "single"}, **KEYS},
    "after": {"path": "/after", "pagination": {"type": "single"}, **KEYS},
    "later": {"path": "/later", "pagination": {"type": "page", "size": 10}, **KEYS},
    "first_page": {"path": "/orders", "records": "$.data[*]"},
    "closed": {"path": "/closed"},
    "below": {"path": "/deaf", "params": {"of": "{parent.id}"}, "parent": {"stream": "none"}},
    "none": {"path": "/none", "pagination": {"type": "single"}},
}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving(ROUTES) as served:
        yield served


def tap(*args: str, **env: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [str(TAP), *args], capture_output=True, text=True, env=os.environ | env, timeout=60, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def config_of(api: Api, folder: Path, *names: str) -> str:
    file = folder / "config.json"
    streams = [{"name": name, **STREAMS[name]} for name in names]
    secret = {"type": "bearer", "token": canary("preview")}
    file.write_text(
        json.dumps(
            {"base_url": api.url, "auth": secret, "streams": streams, "schema_cache": str(folder / "schemas")}
        )
    )
    return str(file)


def test_each_stream_is_shown_by_its_request_its_count_and_its_first_rows(api: Api, tmp_path: Path) -> None:
    code, out, err = tap("preview", "--config", config_of(api, tmp_path, "orders"), "--rows", "2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "orders"
    assert lines[1] == f"  GET {api.url}/orders"
    assert "200, 10 records, " in lines[2]
    assert lines[3].split() == ["id", "name", "updated_at", "price"]
    assert lines[4].split() == ["integer", "string?", "date-time?", "number?"]
    assert [line.split()[0] for line in lines[6:8]] == ["1", "2"]
    assert "row 3" not in out
    assert "Another page follows." in out
    assert "`since` works: asked from the newest row of the page on, 10 rows came." in out


@pytest.mark.parametrize(
    ("name", "sentence", "code"),
    [
        (
            "deaf",
            "`since` seems to change nothing: asked from the newest row of the page on, 29 of 30 rows",
            0,
        ),
        ("after", "no row came, not even that one", 0),
        (
            "later",
            'and not that one: the server answers with rows after the value only; say `"from": "exclusive"`',
            0,
        ),
        (
            "first_page",
            'say `"pagination": {"type": "cursor", "cursor": "$.next_page", "param": "page"}`',
            65,
        ),
        ("closed", "answered 403", 77),
    ],
)
def test_what_looks_wrong_is_said_below_its_stream(
    name: str, sentence: str, code: int, api: Api, tmp_path: Path
) -> None:
    ended, out, err = tap("preview", "--config", config_of(api, tmp_path, name, "orders"))
    assert ended == code
    shown, _, rest = out.partition("\norders\n")
    assert sentence in shown
    assert sentence not in rest
    assert "`since` works" in rest, "the others are shown, too"
    assert (err == "") == (code == 0)


def test_a_stream_below_one_without_rows_says_so(api: Api, tmp_path: Path) -> None:
    config = config_of(api, tmp_path, "none", "below")
    code, out, _ = tap("preview", "--config", config, "--stream", "below")
    assert code == 0
    assert "No record of the stream above has come" in out
    assert "none\n" not in out
    assert tap("preview", "--config", config, "--stream", "belo")[2].endswith("did you mean `below`?\n")


def test_test_shows_the_same_and_no_rows_where_logs_are_kept(api: Api, tmp_path: Path) -> None:
    code, out, err = tap("--config", config_of(api, tmp_path, "orders", "deaf"), "--test")
    assert code == 0
    assert "200, 10 records" in err
    assert "`since` seems to change nothing" in err
    assert "row 1" not in err
    assert "row 1" in out
    assert [asked.raw_path for asked in api.asked].count("/orders") == 1


def test_a_config_is_drafted_from_a_url(api: Api, tmp_path: Path) -> None:
    code, out, err = tap(
        "preview",
        f"{api.url}/orders?kind=a&sort_key=updated_at&api_key=other-secret-key",
        "-H",
        "X-Key: very-secret-key",
    )
    assert code == 0
    assert "secret-key" not in out + err
    assert "GET " + f"{api.url}/orders?kind=a&sort_key=updated_at&api_key=***" in err
    assert "200, 10 records" in err
    drafted = json.loads(out)
    assert drafted["headers"] == {"X-Key": {"env": "X_KEY"}}
    assert drafted["streams"] == [
        {
            "name": "orders",
            "path": "/orders",
            "params": {"kind": "a", "sort_key": "updated_at", "api_key": {"env": "API_KEY"}},
            "records": "$.data[*]",
            "primary_keys": ["id"],
            "replication_key": "updated_at",
            "pagination": PAGES,
        }
    ]
    assert {asked.headers["X-Key"] for asked in api.asked} == {"very-secret-key"}
    file = tmp_path / "drafted.json"
    file.write_text(out)
    code, out, _ = tap("--config", str(file), X_KEY="very-secret-key", API_KEY="other-secret-key")
    assert code == 0
    assert out.count('"type":"RECORD"') == len(ROWS)


JSON_API = {
    "data": [
        {"id": n, "type": "x", "attributes": {"updated_at": f"2026-01-{n:02}T00:00:00Z"}}
        for n in range(1, 11)
    ],
    "links": {"self": "/things", "next": None},
}


@pytest.mark.parametrize(
    ("answer", "pagination"),
    [
        (JSON_API, {"type": "next_url", "next": "$.links.next"}),
        (
            JSON_API | {"links": {}, "meta": {"next_cursor": ""}},
            {"type": "cursor", "cursor": "$.meta.next_cursor", "param": "cursor"},
        ),
    ],
)
def test_the_last_page_says_how_there_would_be_a_next(
    answer: dict[str, Any], pagination: dict[str, str]
) -> None:
    with serving({"/things": lambda _: json_reply(answer)}) as api:
        code, out, _ = tap("preview", f"{api.url}/things")
    assert code == 0
    [stream] = json.loads(out)["streams"]
    assert stream["pagination"] == pagination
    assert (stream["primary_keys"], stream["replication_key"]) == (["id"], "attributes.updated_at")


def test_ready_configs_are_listed_and_printed() -> None:
    code, out, _ = tap("init", "--list")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert "github" in names
    assert all("https://" in line for line in out.splitlines())
    assert "base_url: https://api.github.com" in tap("init", "github")[1]
    code, _, err = tap("init", "githb")
    assert code == 64
    assert "did you mean `github`?" in err


@pytest.mark.parametrize(
    "args",
    [
        ("preview",),
        ("preview", "https://x.example", "--config", "c.json"),
        ("preview", "ftp://x.example"),
        ("preview", "https://x.example", "-H", "nothing"),
        ("preview", "https://x.example", "--stream", "a"),
        ("preview", "--config", "c.json", "--records", "$"),
        ("init",),
        ("init", "github", "--list"),
        ("preveiw",),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_sentence(args: tuple[str, ...]) -> None:
    code, out, err = tap(*args)
    assert (code, out) == (64, "")
    assert len(err.splitlines()) == 1


def test_columns_that_have_no_room_are_named() -> None:
    types = {"id": "integer", "text": "string", "other": "string?"}
    shown = table(types, [{"id": "1", "text": "a" * 60 + "\n", "other": "x"}], 40)
    assert shown.splitlines()[-1] == "and 1 more field: other (string?)"
    assert "a" * 27 + "…" in shown
    assert max(map(len, shown.splitlines())) <= 40


def test_an_unknown_key_is_named_with_its_line(tmp_path: Path) -> None:
    config = tmp_path / "tap.yaml"
    config.write_text(
        "base_url: https://x.example\nstreams:\n  - name: a\n    path: /a\n    primary_key: [id]\n"
    )
    code, _, err = tap("--config", str(config))
    assert code == 78
    assert (
        f"There is no setting `streams[0].primary_key` (line 5 of {config}); did you mean `primary_keys`?"
        in err
    )
    assert f"(line 5 of {config})" in tap("preview", "--config", str(config))[2]
