"""What is told to a collector of OpenTelemetry, and what a real Prometheus makes of our metrics and of the alerts of docs/signals.md (`make test-signals`)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tools.run.projects import Project, record, schema, state
from waiting import wait_until

PAGE = Path(__file__).parents[3] / "docs" / "signals.md"


@dataclass
class Collector:
    url: str
    status: int = 200
    heard: list[tuple[str, str | None, bytes]] = field(default_factory=list)


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/x-protobuf"
            found.heard.append((self.path, self.headers["Authorization"], data))
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        found.url = f"http://127.0.0.1:{server.server_port}/otlp/"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield found
        server.shutdown()


def test_a_collector_is_told_of_each_run(tmp_path: Path, collector: Collector) -> None:
    project = Project(tmp_path)
    project.add(
        "orders", schema(), record(1), record(2), state(1), "test ! -e broken || { echo torn >&2; exit 65; }"
    )
    project.more["signals"] = {"opentelemetry": "${COLLECTOR}"}
    (tmp_path / ".env").write_text(
        f"COLLECTOR={collector.url}\nOTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20tok-4711\n"
    )
    assert project.run()[0] == 0
    (tmp_path / "broken").touch()
    assert project.run()[0] == 65
    assert [path for path, _, _ in collector.heard] == [
        "/otlp/v1/metrics",
        "/otlp/v1/metrics",
        "/otlp/v1/traces",
    ] * 2
    assert {token for _, token, _ in collector.heard} == {"Bearer tok-4711"}

    well, failed = (span_of(data) for path, _, data in collector.heard if path.endswith("traces"))
    runs = map(json.loads, (tmp_path / "state" / "orders.runs.jsonl").read_text().splitlines())
    ids = list(dict.fromkeys(run["id"] for run in runs))
    assert [one.trace_id.hex() for one in (well, failed)] == ids
    assert (well.name, well.status.code, failed.status.code, failed.status.message) == (
        "run orders",
        0,
        2,
        "torn",
    )
    assert 0 < well.end_time_unix_nano - well.start_time_unix_nano < 60e9
    said = {one.key: one.value for one in well.attributes}
    assert (said["singerkit.result"].string_value, said["singerkit.rows"].int_value) == ("complete", 2)

    begun, ended, *_, broken = (
        metrics_of(data) for path, _, data in collector.heard if path.endswith("metrics")
    )
    assert set(begun) == {
        "singerkit_last_start_timestamp_seconds",
        "singerkit_last_success_timestamp_seconds",
    }
    assert begun["singerkit_last_success_timestamp_seconds"] == 0
    assert ended["singerkit_last_run_success"] == 1
    assert (broken["singerkit_last_run_success"], broken["singerkit_last_run_exit_code"]) == (0, 65)
    assert (
        broken["singerkit_last_success_timestamp_seconds"]
        == ended["singerkit_last_success_timestamp_seconds"]
    )


def test_a_collector_that_refuses_or_points_elsewhere_is_a_line_of_the_log(
    tmp_path: Path, collector: Collector
) -> None:
    collector.status = 307
    project = Project(tmp_path)
    project.add("orders", state(1))
    project.more["signals"] = {"opentelemetry": collector.url}
    code, said = project.run()
    assert code == 0
    assert said.count("was not told to `signals.opentelemetry` (the answer was 307)") == 2
    assert collector.url not in said
    assert {path for path, _, _ in collector.heard} == {"/otlp/v1/metrics"}


def span_of(data: bytes) -> Any:
    [resource] = ExportTraceServiceRequest.FromString(data).resource_spans
    assert ("service.name", "singerkit") in [
        (one.key, one.value.string_value) for one in resource.resource.attributes
    ]
    [scope] = resource.scope_spans
    [span] = scope.spans
    return span


def metrics_of(data: bytes) -> dict[str, float]:
    [resource] = ExportMetricsServiceRequest.FromString(data).resource_metrics
    [scope] = resource.scope_metrics
    return {
        one.name: point.as_double or point.as_int for one in scope.metrics for point in one.gauge.data_points
    }


def test_node_exporter_reads_the_file_of_metrics(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.add("orders", schema(), record(1), state(1))
    project.more |= {"signals": {"metrics_folder": "metrics"}, "late_after": "26h"}
    assert project.run()[0] == 0
    words = (tmp_path / "metrics" / "singerkit-orders.prom").read_text()
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=words, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    log = tmp_path / "exporter.log"
    exporter = [
        tool("prometheus-node-exporter"),
        "--web.listen-address=127.0.0.1:0",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={tmp_path / 'metrics'}",
    ]
    with log.open("w") as file, subprocess.Popen(exporter, stderr=file) as process:
        try:
            found = wait_until(lambda: re.search(r"[Ll]istening on.*address=(\S+:\d+)", log.read_text()))
            with urllib.request.urlopen(f"http://{found[1]}/metrics", timeout=30) as answer:
                told = answer.read().decode()
        finally:
            process.terminate()
    assert "node_textfile_scrape_error 0" in told
    samples = [line for line in words.splitlines() if not line.startswith("#")]
    assert len(samples) > 10
    assert sorted(name for name in names(samples)) == sorted(
        name for name in names(told.splitlines()) if name.startswith("singerkit_")
    )


def names(lines: Sequence[str]) -> list[str]:
    return [line.rpartition(" ")[0] for line in lines if not line.startswith("#")]


def test_the_alerts_of_the_page_start_for_those_that_they_are_meant_for(tmp_path: Path) -> None:
    """At hour 30; `never` began in hour 1, and has never ended, `hangs` began behind the end of its last good run in hour 2."""
    expressions = re.findall(r"^time\(\) - singerkit.*$", PAGE.read_text(), re.MULTILINE)
    assert len(expressions) == 3
    rules = [{"alert": f"a{at}", "expr": one} for at, one in enumerate(expressions)]
    hours = {
        "never": {"last_start": 1, "last_success": 0},
        "hangs": {"last_start": 2, "last_run": 1, "last_success": 1},
        "works": {"last_start": 29, "last_run": 28, "last_success": 28},
        "well": {"last_start": 20, "last_run": 21, "last_success": 21},
    }
    series = [
        {
            "series": f'singerkit_{name}_timestamp_seconds{{pipeline="{pipeline}"}}',
            "values": f"{hour * 3600}x40",
        }
        for pipeline, told in hours.items()
        for name, hour in told.items()
    ]
    series += [
        {"series": f'singerkit_late_after_seconds{{pipeline="{pipeline}"}}', "values": "93600x40"}
        for pipeline in hours
    ]
    series += [
        {
            "series": f'singerkit_bookmark_timestamp_seconds{{pipeline="well",stream="s{hour}"}}',
            "values": f"{hour * 3600}x40",
        }
        for hour in (23, 25)
    ]
    meant = [
        [{"pipeline": "never"}, {"pipeline": "hangs"}],
        [{"pipeline": "never"}, {"pipeline": "hangs"}],
        [{"pipeline": "well", "stream": "s23"}],
    ]
    asked = [
        {"eval_time": "30h", "alertname": f"a{at}", "exp_alerts": [{"exp_labels": one} for one in labels]}
        for at, labels in enumerate(meant)
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "page", "rules": rules}]}))
    tests = [{"interval": "1h", "input_series": series, "alert_rule_test": asked}]
    (tmp_path / "tests.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": tests}))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", "tests.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def tool(name: str) -> str:
    found = shutil.which(name)
    assert found, f"there is no {name} here: `make test-signals` gets it"
    return found
