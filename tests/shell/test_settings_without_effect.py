"""A setting that would be accepted and have no effect is refused by name, in every executable."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from taps.rest.api_server import json_reply, serving

from tap_rest.config import config_conflicts
from tap_rest.settings.effects import idle_settings

SDK_SETTINGS = {
    "stream_maps": {"rows": {"email": "__NULL__"}},
    "stream_map_config": {"a": 1},
    "faker_config": {"seed": 1},
    "flattening_enabled": True,
    "flattening_max_depth": 1,
    "flattening_max_key_length": 10,
    "flattening_separator": "_",
    "transformations": [{"tap_stream_name": "rows", "field_id": "email", "type": "HASH"}],
    "batch_config": {"encoding": {"format": "jsonl"}},
    "batch_size_rows": 10,
}
UNKNOWN = {
    "tap-rest": ("pagnation", {"type": "page"}, "pagination"),
    "target-postgres": ("hots", "db.example", "host"),
    "target-jsonl": ("destinationpath", "/nowhere", "destination_path"),
    "target-duckdb": ("databse", "/nowhere", "database"),
}


def refused(executable: str, config: dict[str, object], folder: Path) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    command = [str(Path(sys.executable).with_name(executable)), "--config", str(file)]
    outcome = run(command, stdin=b"").expect(78)
    assert outcome.stdout == b""
    assert str(file) in outcome.last_words
    return outcome.last_words


def base_config(executable: str, url: str) -> dict[str, object]:
    return (
        {"base_url": url, "streams": [{"name": "rows", "path": "/rows"}]} if executable == "tap-rest" else {}
    )


@pytest.mark.parametrize("executable", sorted(UNKNOWN))
def test_settings_of_the_sdk_that_do_nothing_here(executable: str, tmp_path: Path) -> None:
    with serving({"/rows": lambda _: json_reply([{"id": 1, "email": "someone@example.org"}])}) as api:
        words = refused(executable, base_config(executable, api.url) | SDK_SETTINGS, tmp_path)
        assert api.asked == []
    assert all(f"`{name}`" in words for name in SDK_SETTINGS)
    assert (
        "`flattening_separator` and `transformations` have no effect here and are refused: no stream" in words
    )
    assert words.count("`singerkit-map convert ") == 1
    assert f"`singerkit-map convert {tmp_path / 'config.json'}` makes a map" in words
    for name in ("batch_config", "batch_size_rows"):
        assert f"`{name}` has no effect here and is refused" in words
    about = run([str(Path(sys.executable).with_name(executable)), "--about", "--format=json"]).expect(0)
    settings = json.loads(about.stdout)["settings"]["properties"]
    assert not set(SDK_SETTINGS) & set(settings)


@pytest.mark.parametrize("executable", ["target-postgres", "target-jsonl", "target-duckdb"])
def test_when_to_commit_beside_atomic_run(executable: str, tmp_path: Path) -> None:
    words = refused(executable, {"atomic": "run", "commit_rows": 7, "commit_seconds": 1}, tmp_path)
    for name in ("commit_rows", "commit_seconds"):
        assert f"`{name}` has no effect beside `atomic: run`" in words
    assert "commit_bytes" not in words


@pytest.mark.parametrize("executable", sorted(UNKNOWN))
def test_a_mistyped_key_is_refused_before_anything_is_asked_or_made(executable: str, tmp_path: Path) -> None:
    """`pagnation` loaded the first page of many; `hots` started a PostgreSQL of its own and loaded there."""
    key, value, near = UNKNOWN[executable]
    with serving({"/rows": lambda _: json_reply([{"id": 1}])}) as api:
        words = refused(executable, base_config(executable, api.url) | {key: value}, tmp_path)
        assert api.asked == []
    assert f"There is no setting `{key}`; did you mean `{near}`?" in words
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_key_of_a_stream_at_the_top_and_the_other_way_round(tmp_path: Path) -> None:
    config = base_config("tap-rest", "http://localhost") | {"primary_keys": ["id"]}
    assert "`primary_keys` stands in `streams[]`" in refused("tap-rest", config, tmp_path)
    stream = {"name": "rows", "path": "/rows", "primary_key": ["id"], "user_agent": "x"}
    words = refused("tap-rest", {"base_url": "http://localhost", "streams": [stream]}, tmp_path)
    assert "no setting `streams[0].primary_key`; did you mean `primary_keys`?" in words
    assert "`user_agent` stands in the top level" in words


ROWS = {"name": "rows", "path": "/rows"}
KEYED = ROWS | {"replication_key": "u"}
PAGED = {"type": "page"}
SORTED = KEYED | {"is_sorted": True, "incremental": {"param": "since"}}
CHILD = {"name": "below", "path": "/{parent.id}", "parent": {"stream": "rows"}}
FORGETFUL = CHILD | {"replication_key": "u", "bookmark": {"partitions": 5}}
BEARER = {"type": "bearer", "token": "token-of-a-test"}
API_KEY = {"type": "api_key", "api_key": "key-of-a-test"}
EACH = {"stream": "rows", "bookmarks": "each"}
NO_EFFECT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # a sentence of the refusal, the config that is refused, and the nearest one that is not
    (
        "`streams[0].is_sorted`",
        {"streams": [ROWS | {"is_sorted": True}]},
        {"streams": [KEYED | {"is_sorted": True}]},
    ),
    (
        "`streams[0].is_sorted`",
        {"streams": [ROWS | {"is_sorted": True}]},
        {"streams": [ROWS | {"is_sorted": False}]},
    ),
    (
        "`streams[0].time_zone`",
        {"streams": [ROWS | {"time_zone": "UTC"}]},
        {"streams": [KEYED | {"time_zone": "UTC"}]},
    ),
    (
        "`streams[1].parent.bookmarks`",
        {"streams": [ROWS, CHILD | {"parent": EACH}]},
        {"streams": [ROWS, CHILD | {"parent": EACH, "replication_key": "u"}]},
    ),
    (
        "`streams[0].bookmark.margin` has no effect with `streams[0].bookmark.signpost` `none`",
        {"streams": [KEYED | {"bookmark": {"signpost": "none", "margin": 5}}]},
        {"streams": [KEYED | {"bookmark": {"signpost": "auto", "margin": 5}}]},
    ),
    (
        "`pagination.size_param`",
        {"pagination": PAGED | {"size_param": "n"}},
        {"pagination": PAGED | {"size_param": "n", "size": 5}},
    ),
    (
        "`streams[0].pagination.param`",
        {
            "streams": [
                ROWS | {"pagination": {"type": "cursor", "cursor": "c", "param": "p", "request_header": "X"}}
            ]
        },
        {"streams": [ROWS | {"pagination": {"type": "cursor", "cursor": "c", "request_header": "X"}}]},
    ),
    (
        "`{value}` inside `pagination.template`",
        {"pagination": {"type": "keyset", "param": "id", "field": "id", "template": "gt.value"}},
        {"pagination": {"type": "keyset", "param": "id", "field": "id", "template": "gt.{value}"}},
    ),
    ("`params.page`", {"pagination": PAGED, "params": {"page": 3}}, {"pagination": PAGED | {"start": 3}}),
    (
        "`streams[0].params.limit`",
        {"pagination": {"type": "offset", "size": 9}, "streams": [ROWS | {"params": {"limit": 50}}]},
        {"pagination": {"type": "offset", "size": 50}},
    ),
    (
        "`streams[0].incremental.param`",
        {"pagination": PAGED, "streams": [KEYED | {"incremental": {"param": "page"}}]},
        {"pagination": PAGED, "streams": [KEYED | {"incremental": {"param": "since"}}]},
    ),
    (
        "`auth.prefix`",
        {"auth": API_KEY | {"in": "query", "prefix": "x"}},
        {"auth": API_KEY | {"prefix": "x"}},
    ),
    ("`headers.authorization`", {"auth": BEARER, "headers": {"authorization": "x"}}, {"auth": BEARER}),
    (
        "`streams[0].headers.X-API-Key`",
        {"auth": API_KEY, "streams": [ROWS | {"headers": {"X-API-Key": "x"}}]},
        {},
    ),
    (
        "`streams[0].bookmark.partitions` has no effect without `streams[0].parent`",
        {"streams": [KEYED | {"bookmark": {"partitions": 5}}]},
        {"streams": [KEYED, FORGETFUL]},
    ),
    (
        "`retries.first_wait` (50) has no effect above `retries.longest_wait` (1)",
        {"retries": {"first_wait": 50, "longest_wait": 1}},
        {"retries": {"first_wait": 1, "longest_wait": 1}},
    ),
    (
        "`retries.first_wait` (1) has no effect above `retries.longest_wait` (0.5)",
        {"retries": {"longest_wait": 0.5}},
        {"retries": {"longest_wait": 0.5, "first_wait": 0.5}},
    ),
    (
        "`streams[0].headers.x-a` has no effect beside `streams[0].headers.X-A`",
        {"streams": [ROWS | {"headers": {"x-a": "1", "X-A": "2"}}]},
        {"headers": {"x-a": "1"}, "streams": [ROWS | {"headers": {"X-A": "2"}}]},
    ),
    (
        "`streams[1].bookmark.partitions` has no effect without `streams[1].parent.bookmarks` `each`",
        {"streams": [KEYED, FORGETFUL | {"parent": {"stream": "rows", "copy": {}}}]},
        {"streams": [KEYED, FORGETFUL | {"parent": EACH | {"copy": {}}}]},
    ),
    (
        "`streams[1].bookmark.partitions` has no effect without `streams[1].parent.bookmarks` `each`",
        {"streams": [KEYED, FORGETFUL | {"parent": {"stream": "rows", "copy": {}}}]},
        {"streams": [KEYED, FORGETFUL]},  # what is copied of a parent is remembered of so many
    ),
    (
        "`streams[0].time_zone` has no effect with `streams[0].replication_key_format` `version`",
        {"streams": [KEYED | {"time_zone": "UTC", "replication_key_format": "version"}]},
        {"streams": [KEYED | {"time_zone": "UTC", "replication_key_format": "date-time"}]},
    ),
    (
        "`streams[0].headers` has no effect, since `streams[0].path` leads to another origin",
        {"streams": [ROWS | {"path": "https://y.example/rows", "headers": {"X-A": "1"}}]},
        {"streams": [ROWS | {"path": "https://X.example:443/rows", "headers": {"X-A": "1"}}]},
    ),
    (
        "`pagination.continue_by` `bookmark` has no effect",
        {
            "pagination": PAGED | {"continue_by": "bookmark"},
            "streams": [SORTED | {"pagination": PAGED}, ROWS | {"name": "b"}],
        },
        {"pagination": PAGED | {"continue_by": "bookmark"}, "streams": [SORTED, ROWS | {"name": "b"}]},
    ),
    (
        "`schema_cache` has no effect with `infer.keep_in` `state`",
        {"schema_cache": "/schemas", "infer": {"keep_in": "state"}},
        {"schema_cache": "/schemas", "infer": {"keep_in": "folder"}},
    ),
    ("`user_agent`", {"user_agent": "a", "headers": {"User-Agent": "b"}}, {"user_agent": "a"}),
]


@pytest.mark.parametrize(("sentence", "refused_config", "near"), NO_EFFECT)
def test_a_setting_that_would_do_nothing_where_it_stands(
    sentence: str, refused_config: dict[str, Any], near: dict[str, Any]
) -> None:
    base = {"base_url": "https://x.example", "streams": [ROWS]}
    problems = config_conflicts(base | refused_config)
    assert len(problems) == 1, problems
    assert sentence in problems[0]
    assert config_conflicts(base | near) == []


ELSEWHERE = ROWS | {"path": "https://y.example/rows"}
DECLARED = ROWS | {"schema": {"properties": {"id": {}}}}
IDLE: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # the setting, a config where it does nothing, and the nearest one where it does something
    ("pagination", {"streams": [ROWS | {"pagination": PAGED}]}, {}),
    ("infer", {"streams": [DECLARED]}, {"streams": [DECLARED, ROWS | {"name": "b"}]}),
    ("schema_cache", {"streams": [DECLARED]}, {"streams": [DECLARED, ROWS | {"name": "b"}]}),
    ("ca_file", {"base_url": "http://x.example"}, {"base_url": "https://x.example"}),
    (
        "ca_file",
        {"base_url": "http://x.example"},
        {"base_url": "http://x.example", "allowed_hosts": ["y.example"]},
    ),
    ("time_zone", {"streams": [KEYED | {"time_zone": "Asia/Tokyo"}]}, {"streams": [KEYED]}),
    ("auth", {"streams": [ELSEWHERE]}, {"streams": [ELSEWHERE, ROWS | {"name": "b"}]}),
    ("headers", {"streams": [ELSEWHERE]}, {"streams": [ELSEWHERE, ROWS | {"name": "b"}]}),
    (
        "params.a",
        {"streams": [ROWS | {"params": {"a": 2}}]},
        {"streams": [ROWS | {"params": {"a": 2}}, ROWS | {"name": "b"}]},
    ),
    ("headers.X-A", {"streams": [ROWS | {"headers": {"x-a": "2"}}]}, {"streams": [ROWS]}),
    (
        "streams[0].selected",
        {"streams": [ROWS | {"selected": False}]},
        {"streams": [ROWS | {"selected": True}]},
    ),
]
ENTRIES = [
    # what is named, what is said of it, a config where it does nothing, and the nearest one where it does something
    (
        "https://X.example:443",
        "it is the origin of `base_url`",
        {"allowed_hosts": ["https://X.example:443"]},
        {"allowed_hosts": ["x.example:444"]},
    ),
    (
        "http://y.example",
        "to a URL without TLS",
        {"allowed_hosts": ["http://y.example"]},
        {"base_url": "http://x.example", "allowed_hosts": ["http://y.example"]},
    ),
    (
        "10.0.0.0/8",
        "only link-local and metadata addresses",
        {"allowed_addresses": ["10.0.0.0/8"]},
        {"allowed_addresses": ["169.254.169.254", "0.0.0.0/0", "fe80::1"]},
    ),
    (
        "retries.first_wait",
        "`retries.tries` 1",
        {"retries": {"tries": 1, "first_wait": 2}},
        {"retries": {"tries": 2, "first_wait": 2}},
    ),
]


@pytest.mark.parametrize(("named", "said", "idle", "near"), ENTRIES)
def test_what_is_allowed_in_any_case_or_never_is_named(
    named: str, said: str, idle: dict[str, Any], near: dict[str, Any]
) -> None:
    base = {"base_url": "https://x.example", "streams": [ROWS]}
    [sentence] = idle_settings(base | idle)
    assert sentence.startswith(f"`{named}`")
    assert said in sentence
    assert idle_settings(base | near) == []


@pytest.mark.parametrize(("setting", "idle", "near"), IDLE)
def test_a_setting_that_stands_everywhere_by_habit_is_named(
    setting: str, idle: dict[str, Any], near: dict[str, Any]
) -> None:
    values: dict[str, dict[str, Any]] = {
        "pagination": {"pagination": PAGED},
        "infer": {"infer": {"pages": 3}},
        "schema_cache": {"schema_cache": "/schemas"},
        "ca_file": {"ca_file": "/ca.pem"},
        "time_zone": {"time_zone": "UTC"},
        "auth": {"auth": BEARER},
        "headers": {"headers": {"X-A": "1"}},
        "params.a": {"params": {"a": 1}},
        "headers.X-A": {"headers": {"X-A": "1"}},
        "streams[0].selected": {"select": ["*"]},
    }
    base = {"base_url": "https://x.example", "streams": [ROWS], **values[setting]}
    [sentence] = idle_settings(base | idle)
    assert sentence.startswith(f"`{setting}`")
    assert "has no effect" in sentence
    assert idle_settings(base | near) == []


def test_a_setting_that_would_do_nothing_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with serving({"/rows": lambda _: json_reply([{"id": 1}])}) as api:
        config = base_config("tap-rest", api.url)
        words = refused("tap-rest", config | {"streams": [ROWS | {"is_sorted": True}]}, tmp_path)
        assert api.asked == []
    assert "`streams[0].is_sorted` has no effect" in words


@pytest.mark.parametrize("setting", [{"start_date": "2026-01-01T00:00:00Z"}, {"time_zone": "UTC"}])
def test_a_setting_that_stands_everywhere_by_habit_is_warned_of_where_it_does_nothing(
    tmp_path: Path, setting: dict[str, str]
) -> None:
    with serving({"/rows": lambda _: json_reply([{"at": "2026-02-01T00:00:00Z"}])}) as api:
        file = tmp_path / "config.json"
        for stream, times in ((ROWS, 1), (ROWS | {"replication_key": "at"}, 0)):
            file.write_text(json.dumps(base_config("tap-rest", api.url) | setting | {"streams": [stream]}))
            done = run([str(Path(sys.executable).with_name("tap-rest")), "--config", str(file)]).expect(0)
            assert done.stderr.count("has no effect, since no stream has a `replication_key`") == times
