"""A target in memory that commits at STATEs, to be held against the log itself. Shares no code with targets or engine."""

from __future__ import annotations

import copy
import importlib.util
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from taps.shared.log_file import LogFile

KEYS: dict[str, list[str]] = {"a": ["id"], "b": ["id"], "k": []}


def tap_class() -> Any:
    if "tap_log" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tap_log", Path(__file__).with_name("tap_log.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["tap_log"] = module
        spec.loader.exec_module(module)
    return sys.modules["tap_log"].TapLog


class Run:
    """One run of the tap in this process: its messages, and what ended it."""

    def __init__(
        self,
        config: dict[str, Any],
        state: dict[str, Any],
        catalog: Any = None,
        location: str | None = None,
    ) -> None:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        self.error: Exception | None = None
        with redirect_stdout(out):
            try:
                tap = tap_class()(config=copy.deepcopy(config), state=copy.deepcopy(state), catalog=catalog)
                if location is not None:
                    tap.continue_from(location)
                tap.sync()
            except Exception as error:
                self.error = error
        out.flush()
        self.raw: bytes = out.buffer.getvalue()  # type: ignore[attr-defined]
        self.messages = [json.loads(line) for line in self.raw.splitlines()]

    def done(self) -> Run:
        if self.error is not None:
            raise self.error
        return self

    @property
    def states(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def records(self) -> list[tuple[str, dict[str, Any]]]:
        return [
            (message["stream"], message["record"]) for message in self.messages if message["type"] == "RECORD"
        ]


class Tables:
    """What a target has committed: rows by key, or every row; and the state."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, dict[str, Any]]] = {name: {} for name in KEYS}
        self.state: dict[str, Any] = {}
        self._count = 0

    def load(self, messages: list[dict[str, Any]], upto: int | None = None) -> None:
        """Take the messages up to the STATE with this number, the first being 0; those after it never come."""
        number, kept = -1, copy.deepcopy((self.rows, self.state))
        for message in messages:
            match message["type"]:
                case "RECORD" if message["stream"] in KEYS:
                    self._put(message["stream"], message["record"], message["version"])
                case "ACTIVATE_VERSION":
                    rows = self.rows[message["stream"]]
                    self.rows[message["stream"]] = {
                        k: row for k, row in rows.items() if row["version"] == message["version"]
                    }
                case "STATE":
                    number += 1
                    self.state = message["value"]
                    kept = copy.deepcopy((self.rows, self.state))
                    if number == upto:
                        return
        self.rows, self.state = kept

    def _put(self, stream: str, record: dict[str, Any], version: int) -> None:
        self._count += 1
        key = record["id"] if KEYS[stream] else self._count
        rows = self.rows[stream]
        rows[key] = {**rows.get(key, {}), **record, "version": version}
        if KEYS[stream] and record["_sdc_deleted_at"]:
            del rows[key]

    def check(self, log: LogFile, streams: str = "abk") -> None:
        """Hold the tables against the log, up to where the state says it was read."""
        at = self.state["_singerkit_log"]["position"]
        for stream in streams:
            if not KEYS[stream]:
                self._check_rows_of_no_key(log, stream, at)
                continue
            found = {key: [row.get("v"), row.get("w")] for key, row in self.rows[stream].items()}
            assert found == {
                row["id"]: [row.get("v"), row.get("w")] for row in log.rows(stream, ["id"], at)
            }, stream

    def _check_rows_of_no_key(self, log: LogFile, stream: str, at: int) -> None:
        """Each row that is there has come once; one that is gone has come and gone once, or never."""
        alive = {row["id"] for row in log.rows(stream, [], at)}
        found: dict[int, list[bool]] = {}
        for row in self.rows[stream].values():
            found.setdefault(row["id"], []).append(bool(row["_sdc_deleted_at"]))
        for id_, ways in found.items():
            assert sorted(ways) == ([False] if id_ in alive else [False, True]), (stream, id_, ways)
        assert alive <= found.keys()


tap_class()  # tests patch its module before they make one
