"""Run tap-rest inside the test's own process: quicker than a process of its own, for what does not need one.

run = run_here(api, stream, tmp_path, state=run.state)
run.rows, run.state
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api

from singerkit_state.shards import Shard
from tap_rest.tap import TapRest

__all__ = ["Messages", "discover_here", "run_here"]


@dataclass(frozen=True)
class Messages:
    """What a run has written."""

    all: list[dict[str, Any]]
    text: str = ""

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [message["record"] for message in self.all if message["type"] == "RECORD"]

    @property
    def schema(self) -> dict[str, Any]:
        """The last one."""
        return [message["schema"] for message in self.all if message["type"] == "SCHEMA"][-1]

    @property
    def state(self) -> dict[str, Any]:
        return [message["value"] for message in self.all if message["type"] == "STATE"][-1]


Run = Callable[..., Messages]
"""What the fixture `run` of this folder is: `run_here` with a cache of its own, after which `caplog` holds what that run has said."""


def warned(caplog: pytest.LogCaptureFixture) -> str:
    """Return all warnings of the last run."""
    return " ".join(one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING)


def run_here(
    api: Api,
    *streams: Mapping[str, Any],
    cache: Path,
    state: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
    shard: Shard | None = None,
    **config: Any,
) -> Messages:
    """Run once; an error of the run is raised. ``cache`` is the folder of inferred schemas."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    copied = _config(api, streams, cache, config)
    with redirect_stdout(written):
        tap = TapRest(
            config=copied,
            state=json.loads(json.dumps(state or {})),
            catalog=json.loads(json.dumps(catalog)),
            setup_mapper=False,
        )
        tap.take_shard(shard or Shard(0, 1))
        tap.sync()
    text = written.buffer.getvalue().decode()  # type: ignore[attr-defined]
    return Messages([json.loads(line) for line in text.splitlines()], text)


def discover_here(api: Api, *streams: Mapping[str, Any], cache: Path, **config: Any) -> dict[str, Any]:
    """Return the catalog that --discover prints."""
    return TapRest(config=_config(api, streams, cache, config), setup_mapper=False).catalog_dict


def _config(api: Api, streams: Sequence[Mapping[str, Any]], cache: Path, more: Mapping[str, Any]) -> Any:
    retries = {"tries": 3, "first_wait": 0.01, "longest_wait": 0.05}
    inferred = any("schema" not in stream or "openapi" in stream["schema"] for stream in streams)
    given = {"base_url": api.url, "streams": list(streams), "retries": retries}
    given |= {"schema_cache": str(cache)} if inferred else {}
    return json.loads(json.dumps(given | more))
