"""`tap-rest lint`: what is found in a config without a request, a line each, and the code that says so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.rest.test_preview import tap

from singerkit_shell.exits import exit_code_of
from singerkit_shell.variables import stand_ins
from tap_rest.command import command
from tap_rest.linting.finding import RULES
from tap_rest.tap import TapRest

PAGE = Path(__file__).parents[3] / "docs" / "tap-rest" / "lint.md"
CLEAN: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "pagination": {"type": "cursor", "cursor": "$.next", "size": 100},
}
SINCE = {"param": "since"}
Lint = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lint:
    """Lint in this process: code, stdout, stderr."""
    monkeypatch.setattr(stand_ins, "text", None)
    monkeypatch.setattr(stand_ins, "used_for", [])

    def run(*args: str) -> tuple[int, str, str]:
        code = exit_code_of(
            lambda: command.main(
                args=["lint", *args], prog_name="tap-rest", standalone_mode=False, obj=TapRest
            ),
            "tap-rest",
            False,
        )
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def written(folder: Path, stream: dict[str, Any], **config: Any) -> str:
    file = folder / "tap.json"
    whole = {
        "base_url": "https://x.example",
        "streams": [CLEAN | stream],
        "schema_cache": str(folder),
        **config,
    }
    file.write_text(json.dumps({key: value for key, value in whole.items() if value is not None}, indent=1))
    return str(file)


NUMBERED = {"type": "page", "size": 100}
KEYED = {"replication_key": "updated_at", "incremental": SINCE}
SECRET = canary("lint")
OAUTH = {"type": "oauth2", "client_id": "us", "client_secret": {"env": "LINT_SECRET"}}
CASES: list[tuple[str, dict[str, Any], dict[str, Any], str, int]] = [
    ("plain-secret", {"path": f"/rows?access_token={SECRET}"}, {}, "`streams[0].path` holds a secret", 0),
    ("plain-secret", {"params": {"sig": SECRET}}, {}, "`streams[0].params.sig` holds a secret", 0),
    (
        "http-credentials",
        {},
        {"auth": OAUTH | {"token_url": "http://login.example/token"}},
        "`auth.token_url` begins with `http://`",
        0,
    ),
    ("unknown-key", {"primary_key": ["id"]}, {}, "did you mean `primary_keys`?", 78),
    ("invalid", {"path": 1}, {}, "Expected `string`", 78),
    (
        "invalid",
        {"incremental": {"param": "since", "format": "%Q"}, "replication_key": "u"},
        {},
        "streams[0].incremental",
        78,
    ),
    (
        "invalid",
        {"schema": {"openapi": "/nowhere.yaml"}},
        {},
        "The OpenAPI document /nowhere.yaml cannot be read",
        78,
    ),
    ("no-effect", {"is_sorted": True}, {}, "`streams[0].is_sorted` has no effect without", 78),
    ("no-effect", {}, {"start_date": "2026-01-01T00:00:00Z"}, "`start_date` has no effect", 0),
    (
        "plain-secret",
        {},
        {"auth": {"type": "bearer", "token": SECRET}},
        "`auth.token` holds a secret in plain text; write `${TOKEN}`",
        0,
    ),
    ("plain-secret", {"headers": {"X-Api-Key": SECRET}}, {}, "`streams[0].headers.X-Api-Key` holds", 0),
    ("plain-secret", {"params": {"access_token": SECRET}}, {}, "`streams[0].params.access_token` holds", 0),
    (
        "http-credentials",
        {},
        {"base_url": "http://x.example", "auth": {"type": "bearer", "token": {"env": "NONE"}}},
        "write `https://`",
        0,
    ),
    ("no-primary-keys", KEYED | {"primary_keys": []}, {}, "Stream rows has no `primary_keys`", 0),
    ("no-filter", {"replication_key": "updated_at"}, {}, "each run asks for all rows", 0),
    (
        "key-of-creation",
        KEYED | {"replication_key": "created_at"},
        {},
        "`created_at` of stream rows is the time of creation",
        0,
    ),
    (
        "may-miss",
        KEYED | {"pagination": NUMBERED},
        {},
        "ask it to, and set `is_sorted`",
        0,
    ),
    (
        "may-repeat",
        KEYED | {"primary_keys": [], "incremental": SINCE | {"lookback": 60}},
        {},
        "the lookback window is sent again",
        0,
    ),
    ("no-pagination", {"pagination": None}, {}, 'say `{"type": "single"}`', 0),
    ("no-page-size", {"pagination": {"type": "page"}}, {}, "Stream rows asks for pages of no `size`", 0),
    (
        "guard-off",
        {"pagination": CLEAN["pagination"] | {"unread": "warn"}},
        {},
        "With `pagination.unread` `warn`",
        0,
    ),
]


@pytest.mark.parametrize(
    ("rule", "stream", "config", "sentence", "code"),
    CASES,
    ids=[f"{one[0]}-{n}" for n, one in enumerate(CASES)],
)
def test_each_rule_finds_its_own(
    rule: str, stream: Any, config: Any, sentence: str, code: int, tmp_path: Path, lint: Lint
) -> None:
    changed = {key: value for key, value in (CLEAN | stream).items() if value is not None}
    file = written(tmp_path, {}, **{"streams": [changed], **config})
    ended, out, err = lint(file)
    [found] = [line for line in out.splitlines() if f"[{rule}]" in line]
    assert sentence in found
    assert re.match(rf"{re.escape(file)}(:\d+)?: {'error' if code else 'advice'} \[", found)
    assert ended == code
    assert ("see the lines above" in err) == bool(code)
    assert SECRET not in out + err
    if not code:
        assert lint(file, "--strict")[0] == 78
        assert f"[{rule}]" not in lint(file, "--ignore", rule)[1]


def test_every_rule_has_a_case_and_a_line_in_the_docs() -> None:
    assert {one[0] for one in CASES} == set(RULES)
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert dict(rows) == RULES


def test_a_clean_config_has_nothing_to_say(tmp_path: Path, lint: Lint) -> None:
    for more in ({}, {"retries": {"tries": 1}}):
        file = written(tmp_path, KEYED | {"params": {"sort_key": "updated_at"}}, **more)
        assert lint(file, "--strict") == (0, f"{file}: nothing to say.\n", "")


def test_the_line_is_that_of_the_setting(tmp_path: Path, lint: Lint) -> None:
    file = tmp_path / "tap.yaml"
    file.write_text(
        "base_url: https://x.example\nstreams:\n  - name: a\n    path: /a\n    primary_key: [id]\n    is_sorted: 1\n"
    )
    code, out, _ = lint(str(file))
    assert code == 78
    assert (
        f"{file}:5: error [unknown-key] There is no setting `streams[0].primary_key`; did you mean `primary_keys`?"
        in out
    )
    assert f"{file}:6: error [invalid] Expected `boolean`" in out


def test_no_variable_has_to_be_set(tmp_path: Path, lint: Lint) -> None:
    more = {
        "start_date": "${NONE_START}",
        "concurrency": "${NONE_COUNT}",
        "auth": {"type": "basic", "username": "${NONE_USER}", "password": {"file": "/nowhere"}},
    }
    file = written(tmp_path, KEYED, base_url="${NONE_URL}", **more)
    code, out, err = lint(file)
    assert (code, err) == (0, "")
    assert "nothing to say. Not set, so that something was taken for it: " in out
    assert {"NONE_URL", "NONE_START", "NONE_COUNT", "NONE_USER", "/nowhere"} <= set(
        re.findall(r"[\w/]+", out)
    )


def test_ready_configs_have_no_errors(lint: Lint) -> None:
    for file in sorted((files("tap_rest") / "ready").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            code, out, _ = lint(str(file))
            assert code == 0, out
            assert "plain-secret" not in out
            assert "no-pagination" not in out


def test_a_wrong_command_line_is_one_sentence(lint: Lint, tmp_path: Path) -> None:
    assert lint()[0] == 64
    code, _, err = lint(written(tmp_path, {}), "--ignore", "no-filtre")
    assert code == 64
    assert "did you mean `no-filter`?" in err
    code, out, _ = lint(str(tmp_path / "none.json"))
    assert code == 78
    assert "does not exist" in out


def test_from_the_command_line(tmp_path: Path) -> None:
    code, out, err = tap("lint", "--config", written(tmp_path, {"primary_key": ["id"]}))
    assert code == 78
    assert "[unknown-key]" in out
    assert len(err.splitlines()) == 1
