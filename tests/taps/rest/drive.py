"""Runs of one API in the test's own process: what was written, how each ended, what was said, what was asked for.

run = drive(api_of_rows, k=api_of_children).run(STREAM, CHILD)
run.code, run.sentence, run.ids("k"), run.warnings, run.state
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api, Route, serving

from singerkit_shell.errors import SingerkitError
from tap_rest.tap import TapRest

__all__ = ["FAST", "Drive", "drive"]

FAST = {"tries": 3, "first_wait": 0.01, "longest_wait": 0.05}


class Drive:
    """One API, and the last run of it."""

    def __init__(self, api: Api, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.api, self._folder, self._caplog = api, folder, caplog
        self.code, self.sentence = 0, ""
        self.messages: list[dict[str, Any]] = []

    def run(self, *streams: dict[str, Any], state: Any = None, **config: Any) -> Drive:
        """Run once; an error of the run becomes ``code`` and ``sentence``."""
        given = {"base_url": self.api.url, "retries": FAST, "streams": streams, **config}
        is_in_state = config.get("infer", {}).get("keep_in") == "state"
        if not is_in_state and not all("schema" in stream for stream in streams):
            given.setdefault("schema_cache", str(self._folder / "schemas"))
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        self.code, self.sentence = 0, ""
        self._caplog.clear()
        self.api.asked.clear()
        with redirect_stdout(written), self._caplog.at_level(logging.INFO):
            try:
                TapRest(config=json.loads(json.dumps(given)), state=state, setup_mapper=False).sync()
            except SingerkitError as error:
                self.code, self.sentence = error.exit_code, str(error)
        lines = written.buffer.getvalue().splitlines()  # type: ignore[attr-defined]
        self.messages = [json.loads(line) for line in lines]
        return self

    def ids(self, stream: str = "rows") -> list[Any]:
        return [m["record"]["id"] for m in self.messages if m["type"] == "RECORD" and m["stream"] == stream]

    @property
    def state(self) -> dict[str, Any]:
        """The last one."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"][-1]

    @property
    def is_complete(self) -> bool:
        return bool(self.state["_singerkit"]["complete"])

    def bookmark(self, stream: str = "rows") -> Any:
        return self.state["bookmarks"].get(stream, {}).get("replication_key_value")

    @property
    def activated(self) -> list[str]:
        return [m["stream"] for m in self.messages if m["type"] == "ACTIVATE_VERSION"]

    @property
    def log(self) -> str:
        return "\n".join(one.getMessage() for one in self._caplog.records)

    @property
    def warnings(self) -> str:
        return "\n".join(one.getMessage() for one in self._caplog.records if one.levelno >= logging.WARNING)

    def asked(self, path: str = "/rows") -> int:
        return sum(one.path == path for one in self.api.asked)


@pytest.fixture
def drive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Drive]]:
    """``drive(route)`` serves `/rows`, and more routes by name."""
    monkeypatch.setenv("NO_PROXY", "*")
    with contextlib.ExitStack() as stack:

        def begin(rows: Route | None = None, **more: Route) -> Drive:
            routes = {} if rows is None else {"/rows": rows}
            api = stack.enter_context(serving(routes | {f"/{name}": route for name, route in more.items()}))
            return Drive(api, tmp_path, caplog)

        yield begin
