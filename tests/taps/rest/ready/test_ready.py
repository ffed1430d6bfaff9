"""Each ready config loads all rows of its API, then what has changed and no more, then nothing."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from taps.rest.api_server import Api, serving
from taps.rest.conftest import TAP, Run
from taps.rest.ready import analytics, commerce, crm, hosted_git, support, telephony, work
from taps.rest.ready.remote import REMOTES, Remote

READY = files("tap_rest") / "ready"
assert commerce
assert hosted_git
assert support
assert telephony
assert analytics
assert crm
assert work


def texts() -> dict[str, str]:
    return {one.name.removesuffix(".yaml"): one.read_text(encoding="utf-8") for one in READY.iterdir()}


def on_host(config: str, url: str) -> str:
    """Return a config whose hosts are all this one."""
    return re.sub(r"https://(?:\$\{\w+\}|[\w.-])+(?=[/\"\s])", lambda _: url, config)


@pytest.fixture(params=sorted(texts()))
def remote(request: pytest.FixtureRequest) -> Remote:
    return REMOTES[request.param]()


@pytest.fixture
def api(remote: Remote) -> Iterator[Api]:
    with serving({}) as served:
        remote.url = served.url
        served.routes.update(remote.routes())
        yield served


@pytest.fixture
def load(remote: Remote, api: Api, tmp_path: Path) -> Any:
    """Return what runs the ready config as it is printed, but for its hosts, against the small server."""
    config = tmp_path / "config.yaml"
    config.write_text(on_host(texts()[remote.name], api.url))
    environment = os.environ | dict(remote.env) | {"XDG_CACHE_HOME": str(tmp_path), "NO_PROXY": "*"}

    def run(state: Mapping[str, Any] | None = None) -> Run:
        command = [str(TAP), "--config", str(config)]
        if state is not None:
            (tmp_path / "state.json").write_text(json.dumps(state))
            command += ["--state", str(tmp_path / "state.json")]
        ended = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
        return Run(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    return run


def test_all_rows_then_what_has_changed_then_nothing(remote: Remote, api: Api, load: Any) -> None:
    first = load().ended(0)
    for stream in remote.streams:
        assert keyed(remote, first.records(stream), stream) == rows(remote, stream)
    came = remote.change()
    before = len(api.asked)
    second = load(first.state).ended(0)
    for stream in remote.streams:
        new, found = rows(remote, stream, came[stream]), keyed(remote, second.records(stream), stream)
        assert found == {key: row for key, row in rows(remote, stream).items() if key in found}
        assert found.keys() >= new.keys()
        assert len(found) <= len(new) + remote.asked_again
    third = load(second.state).ended(0)
    assert max(len(third.records(stream)) for stream in remote.streams) <= remote.asked_again
    assert len(api.asked) - before <= remote.most_requests, "the API has to filter"


def keyed(remote: Remote, records: list[dict[str, Any]], stream: str) -> dict[Any, Any]:
    keys = [key.replace(".", "_") for key in settings(remote, stream)["primary_keys"]]
    found = {tuple(record[key] for key in keys): record for record in records}
    assert len(found) == len(records)
    return found


def rows(remote: Remote, stream: str, numbers: set[int] | None = None) -> dict[Any, Any]:
    """Return the rows as they are loaded: keys that stand inside another field come to the top, too."""
    wanted = remote.tables[stream].changed if numbers is None else numbers
    shown = [remote.record(stream, number) for number in wanted]
    said = settings(remote, stream)
    for key in [*said["primary_keys"], said["replication_key"]]:
        outer, _, inner = key.partition(".")
        if inner:
            shown = [row | {f"{outer}_{inner}": row[outer][inner]} for row in shown]
    return keyed(remote, shown, stream)


def settings(remote: Remote, stream: str) -> dict[str, Any]:
    streams = yaml.safe_load(texts()[remote.name])["streams"]
    return next(one for one in streams if one["name"] == stream)


@pytest.mark.parametrize("name", sorted(texts()))
def test_two_incremental_streams_in_less_than_40_lines(name: str) -> None:
    text = texts()[name]
    config = yaml.safe_load(text)
    assert len(text.splitlines()) < 40
    assert len([stream for stream in config["streams"] if "incremental" in stream]) >= 2
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(REMOTES[name].env)
    assert "https://" in text.splitlines()[0], "the documentation that it follows"
