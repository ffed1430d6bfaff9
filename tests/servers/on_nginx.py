"""``make test-servers``: against nginx, which answers with 429 or 503 and a page of HTML above its limit of requests, and packs what it sends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from debian import program
from processes import free_ports, running

PAGES, SIZE = 16, 50
CONFIG = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    types {{ application/json json; }}
    gzip on; gzip_types application/json; gzip_min_length 1;
    limit_req_zone $binary_remote_addr zone=rows:1m rate={rate};
    server {{
        listen 127.0.0.1:{port}; root {folder};
        location /rows/ {{ limit_req zone=rows {burst}; limit_req_status {status}; }}
    }}
}}
"""
Limited = Callable[..., str]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Limited]:
    """``limited(rate, burst, status)`` runs an nginx with that limit, and returns its URL."""
    (tmp_path / "rows").mkdir()
    for page in range(1, PAGES + 1):
        rows = [{"id": page * SIZE + n, "text": f"ü{n}", "number": n / 8} for n in range(SIZE)]
        (tmp_path / f"rows/{page}.json").write_text(json.dumps(rows))
    with contextlib.ExitStack() as stack:

        def begin(rate: str, burst: str = "", status: int = 429) -> str:
            (port,) = free_ports(1)
            user = "" if os.getuid() else "user root; "  # another one may not look into the folder
            text = CONFIG.format(user=user, folder=tmp_path, port=port, rate=rate, burst=burst, status=status)
            (tmp_path / "nginx.conf").write_text(text)
            url = f"http://127.0.0.1:{port}"
            command = [program("nginx", "nginx"), "-c", tmp_path / "nginx.conf", "-p", tmp_path]
            stack.enter_context(running(command, f"{url}/nothing", tmp_path / "log"))
            return url

        yield begin


def read(url: str, folder: Path, **config: Any) -> subprocess.CompletedProcess[str]:
    stream = {
        "name": "rows",
        "path": "/rows/{page}.json",
        "primary_keys": ["id"],
        "pagination": {"type": "page", "end_status": [404]},
    }
    given = {"base_url": url, "streams": [stream], "infer": {"keep_in": "state"}, **config}
    (folder / "tap.json").write_text(json.dumps(given))
    command = [Path(sys.executable).with_name("tap-rest"), "--config", folder / "tap.json"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def rows_of(run: subprocess.CompletedProcess[str]) -> list[Any]:
    messages = map(json.loads, run.stdout.splitlines())
    return [message["record"] for message in messages if message["type"] == "RECORD"]


def served(folder: Path) -> list[Any]:
    return [
        row for page in range(1, PAGES + 1) for row in json.loads((folder / f"rows/{page}.json").read_text())
    ]


def refused(folder: Path) -> int:
    return len(re.findall(r'HTTP/1.1" (?:429|503) ', (folder / "access.log").read_text()))


PATIENT = {"tries": 30, "first_wait": 0.02, "longest_wait": 1}


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("status", [429, 503])
def test_each_row_comes_once_above_the_limit(
    status: int, concurrency: int, limited: Limited, tmp_path: Path
) -> None:
    run = read(limited("4r/s", "burst=1 nodelay", status), tmp_path, retries=PATIENT, concurrency=concurrency)
    assert (run.returncode, rows_of(run)) == (0, served(tmp_path)), run.stderr
    assert refused(tmp_path)


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_budget_stays_below_the_limit(concurrency: int, limited: Limited, tmp_path: Path) -> None:
    budget = {"rate_limit": {"requests_per_second": 10}, "concurrency": concurrency}
    run = read(limited("10r/s", "burst=11 nodelay"), tmp_path, **budget)
    assert (run.returncode, rows_of(run)) == (0, served(tmp_path)), run.stderr
    assert not refused(tmp_path)


def test_a_limit_that_does_not_end(limited: Limited, tmp_path: Path) -> None:
    run = read(limited("1r/m"), tmp_path, retries=PATIENT | {"tries": 3}, infer={"pages": 1})
    assert run.returncode == 69
    assert "429" in run.stderr.splitlines()[-1]
    assert rows_of(run) == served(tmp_path)[:SIZE]
