"""What is told of a run to whom."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tools.run.projects import Project, record, schema, state

from singerkit_run.command import run
from singerkit_run.planfile import read_plan
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.signals import StopFlag
from singerkit_signals import opentelemetry, sending
from singerkit_signals.openlineage import events_of
from singerkit_signals.sending import Beside, send
from singerkit_signals.settings import Signals
from singerkit_signals.statsd import lines_of
from singerkit_state.runids import new_run_id
from singerkit_state.runs import Run, StreamRun

AT = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)
ORDERS = StreamRun(5, 3, 2, set_aside=1, bytes=500, bookmark_after="2026-11-28T02:00:00Z", lag_seconds=3600.0)
RUN = Run(
    new_run_id(),
    'or"ders',
    AT,
    AT,
    2.0,
    "complete",
    0,
    tap="tap-x",
    target="target-y",
    streams={"o.s": ORDERS},
    warned=1,
)
FAILED = Run(new_run_id(), 'or"ders', AT, AT, 1.0, "failed", 69, "It is away.")
BEGUN = Run(new_run_id(), 'or"ders', AT)


@dataclass
class Listener:
    url: str
    status: int = 200
    heard: list[Any] = field(default_factory=list)


@pytest.fixture
def listener() -> Iterator[Listener]:
    found = Listener("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/secret-token"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def test_metrics_are_those_of_the_last_run_and_when_it_was_last_well_is_kept(tmp_path: Path) -> None:
    signals = Signals(metrics_folder=str(tmp_path / "metrics"))
    assert send(signals, RUN, StopFlag()) == []
    [file] = (tmp_path / "metrics").iterdir()
    assert file.name == "singerkit-or_ders.prom"
    text = file.read_text()
    assert 'singerkit_last_run_rows{pipeline="or\\"ders",stream="o.s",what="new"} 3\n' in text
    assert 'what="deleted"' not in text
    assert all(
        re.fullmatch(r'#.*|[a-z_]+\{pipeline="(\\.|[^"\\])*"(,[a-z]+="[^"]*")*\} [0-9.e+]+', line)
        for line in text.splitlines()
    )
    well = f'singerkit_last_success_timestamp_seconds{{pipeline="or\\"ders"}} {AT.timestamp():.0f}\n'
    assert well in text

    send(signals, FAILED, StopFlag())

    assert well in file.read_text()
    assert 'singerkit_last_run_success{pipeline="or\\"ders"} 0\n' in file.read_text()
    assert 'last_start_timestamp_seconds{pipeline="or\\"ders"} ' in file.read_text()


def test_metrics_of_who_never_was_well_say_so_where_an_alert_finds_it(tmp_path: Path) -> None:
    """A metric that is not there starts no alert. What is known of former runs counts where the file is new."""
    for success, told in ((0.0, "0"), (AT.timestamp(), f"{AT.timestamp():.0f}")):
        signals = Signals(metrics_folder=str(tmp_path / told))
        beside = Beside(success, late_after=93_600.0)
        assert send(signals, BEGUN, StopFlag(), beside) == []
        [file] = (tmp_path / told).iterdir()
        assert f'last_success_timestamp_seconds{{pipeline="or\\"ders"}} {told}\n' in file.read_text()
        send(signals, FAILED, StopFlag(), Beside(late_after=93_600.0))
        assert f'last_success_timestamp_seconds{{pipeline="or\\"ders"}} {told}\n' in file.read_text()
        assert 'late_after_seconds{pipeline="or\\"ders"} 93600\n' in file.read_text()


def test_a_run_that_begins_leaves_what_is_told_of_the_last_one(tmp_path: Path) -> None:
    signals = Signals(metrics_folder=str(tmp_path))
    send(signals, RUN, StopFlag())
    before = metrics_in(tmp_path)
    later = replace(BEGUN, started=AT + timedelta(days=1))
    send(signals, later, StopFlag())
    start = 'singerkit_last_start_timestamp_seconds{pipeline="or\\"ders"}'
    assert metrics_in(tmp_path) == {**before, start: later.started.timestamp()}
    send(
        signals, replace(FAILED, started=AT), StopFlag()
    )  # of the one before, which ended while the next began
    assert metrics_in(tmp_path)[start] == later.started.timestamp()
    busy = replace(FAILED, result="skipped", exit_code=75)
    before = metrics_in(tmp_path)
    send(signals, busy, StopFlag())
    assert metrics_in(tmp_path) == before


def metrics_in(folder: Path) -> dict[str, float]:
    [file] = folder.iterdir()
    lines = [line.rpartition(" ") for line in file.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len({name for name, _, _ in lines})
    return {name: float(value) for name, _, value in lines}


def test_statsd_and_openlineage_have_their_own_words() -> None:
    assert list(lines_of(RUN))[:3] == [
        "singerkit.or_ders.runs.complete:1|c",
        "singerkit.or_ders.seconds:2000|ms",
        "singerkit.or_ders.o_s.rows:5|c",
    ]
    [begun], [ended] = events_of(replace(RUN, result="running")), events_of(RUN)
    assert (begun["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert str(uuid.UUID(RUN.id)) == begun["run"]["runId"] == ended["run"]["runId"]
    [output] = ended["outputs"]
    assert (output["namespace"], output["name"]) == ("singerkit:target-y", "o.s")
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 5
    [failed] = events_of(FAILED)
    assert (failed["eventType"], failed["run"]["facets"]["errorMessage"]["message"]) == (
        "FAIL",
        "It is away.",
    )


def test_all_are_told_of_a_run_with_what_its_target_says(tmp_path: Path, listener: Listener) -> None:
    project = Project(tmp_path)
    project.add("orders", schema(), record(1), record(2), state(1))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(30)
        project.more["signals"] = {
            "metrics_folder": "metrics",
            "statsd": f"127.0.0.1:{statsd.getsockname()[1]}",
            "webhook": "${HOOK}",
            "openlineage": "lineage.jsonl",
        }
        assert project.run(HOOK=listener.url)[0] == 0
        assert b"singerkit.orders.a.rows:2|c" in statsd.recv(2000)
    [run] = listener.heard
    assert (run["pipeline"], run["result"], run["streams"]["a"]["rows"], run["tap"]) == (
        "orders",
        "complete",
        2,
        "orders.sh",
    )
    assert 'stream="a",what="loaded"} 2' in (tmp_path / "metrics" / "singerkit-orders.prom").read_text()
    events = [json.loads(line) for line in (tmp_path / "lineage.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]


def test_who_cannot_be_told_is_named_without_what_is_secret_and_the_others_are_told(
    tmp_path: Path, listener: Listener
) -> None:
    listener.status = 500
    (tmp_path / "file").write_text("")
    signals = Signals(str(tmp_path / "file"), None, listener.url, "http://127.0.0.1:9/secret-token")
    problems = send(signals, RUN, StopFlag())
    assert [problem.partition(" (")[0] for problem in problems] == [
        "was not told to `signals.metrics_folder`",
        "was not told to `signals.webhook`",
        "was not told to `signals.openlineage`",
    ]
    assert "secret-token" not in "".join(problems)
    assert len(listener.heard) == 1


class Slow(BaseHTTPRequestHandler):
    """Answers with a header now and then, and no end of them; or at once, with a body that never comes."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if self.path == "/body":
            self.wfile.write(b"Content-Length: 1000000000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while not self.server.is_over:  # type: ignore[attr-defined]
                time.sleep(0.05)
                self.wfile.write(b"A: b\r\n" if self.path != "/body" else b"x")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("stops", [False, True])
def test_nobody_who_is_slow_holds_a_run(monkeypatch: pytest.MonkeyPatch, stops: bool) -> None:
    """A body is not waited for, nor a head that does not end, nor by far as long where a signal has come."""
    monkeypatch.setattr(sending, "_STOPPED_SECONDS" if stops else "_SECONDS", 0.3)
    stop = StopFlag()
    stop.signum = signal.SIGTERM if stops else None
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.is_over = False  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert send(Signals(webhook=f"{url}/body"), RUN, stop) == []
        [problem] = send(Signals(webhook=f"{url}/head"), RUN, stop)
        server.is_over = True  # type: ignore[attr-defined]
        server.shutdown()
    assert problem == "was not told to `signals.webhook` (it took too long); nothing else is touched by that."


def test_who_is_away_is_a_line_of_the_log_and_the_next_pipeline_runs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.add("orders", state(1))
    project.add("items", state(1), after=["orders"])
    project.more["signals"] = {"webhook": "${HOOK}"}
    code, said = project.run(HOOK="http://127.0.0.1:1/secret-token")
    assert code == 0, said
    assert said.count("was not told to `signals.webhook` (ConnectionError)") == 2
    assert "secret-token" not in said


def test_a_collector_without_the_packages_for_it_is_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opentelemetry, "is_installed", lambda: False)
    project = Project(tmp_path)
    project.add("orders", "touch begun", state(1))
    project.more["signals"] = {"opentelemetry": "http://SECRET@x:4318"}
    project.write()
    found = CliRunner().invoke(run, [str(tmp_path / "singerkit.json")], standalone_mode=False)
    assert isinstance(found.exception, ConfigurationError)
    assert "`signals.opentelemetry` (line" in str(found.exception)
    assert "pip install 'singerkit[opentelemetry]'" in str(found.exception)
    assert "SECRET" not in str(found.exception)
    assert not (tmp_path / "begun").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"statsd": "host"},
        {"statsd": "host:99999"},
        {"webhook": "ftp://x"},
        {"openlineage": "kafka://x/y"},
        {"opentelemetry": "x:4317"},
        {"opentelemetry": ["http://SECRET@x/y"]},
        {},
        {"prometheus": "x"},
        {"webhook": ["http://SECRET@x/y"]},
        {"openlineage": {"url": "http://SECRET@x/y"}},
        "http://SECRET@x/y",
    ],
)
def test_what_is_wrong_is_told_before_anything_runs(tmp_path: Path, wrong: Any) -> None:
    project = Project(tmp_path)
    project.add("orders", state(1))
    project.more["signals"] = wrong
    project.write()
    with pytest.raises(ConfigurationError, match="signals") as caught:
        read_plan(str(tmp_path / "singerkit.json"))
    assert "SECRET" not in str(caught.value)
