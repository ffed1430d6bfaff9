"""A setting that would be accepted and have no effect is refused by name, in every executable."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conformance.processes import run
from taps.rest.api_server import json_reply, serving

SDK_SETTINGS = {
    "stream_maps": {"rows": {"email": "__NULL__"}},
    "stream_map_config": {"a": 1},
    "faker_config": {"seed": 1},
    "flattening_enabled": True,
    "flattening_max_depth": 1,
    "flattening_max_key_length": 10,
    "flattening_separator": "_",
    "batch_config": {"encoding": {"format": "jsonl"}},
    "batch_size_rows": 10,
}
UNKNOWN = {
    "tap-rest": ("pagnation", {"type": "page"}, "pagination"),
    "target-postgres": ("hots", "db.example", "host"),
    "target-jsonl": ("destinationpath", "/nowhere", "destination_path"),
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
    for name in SDK_SETTINGS:
        assert f"`{name}` has no effect here and is refused" in words
    about = run([str(Path(sys.executable).with_name(executable)), "--about", "--format=json"]).expect(0)
    settings = json.loads(about.stdout)["settings"]["properties"]
    assert not set(SDK_SETTINGS) & set(settings)


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
    stream = {"name": "rows", "path": "/rows", "primary_key": ["id"], "start_date": "2026-01-01T00:00:00Z"}
    words = refused("tap-rest", {"base_url": "http://localhost", "streams": [stream]}, tmp_path)
    assert "no setting `streams[0].primary_key`; did you mean `primary_keys`?" in words
    assert "`start_date` stands in the top level" in words
