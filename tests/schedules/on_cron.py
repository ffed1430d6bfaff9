"""deploy/crontab, given to a cron daemon of Debian's that sees no other crontab, in a namespace of mounts of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
NAMESPACE = """
set -e
mount --make-rprivate /
for place in /etc/cron.d /var/spool/cron/crontabs /run; do mount -t tmpfs none $place; done
: > "$1/none"
mount --bind "$1/none" /etc/crontab
crontab "$1/crontab"
crontab -l
exec cron -f
"""


def test_the_line_runs_the_pipelines(tmp_path):
    if os.geteuid() != 0:
        pytest.fail("mounts need root; run this as root, or in a container")
    subprocess.run([BIN / "singerkit", "init", tmp_path / "shop", "--target", "jsonl"], check=True)
    given = (ROOT / "deploy/crontab").read_text()
    # Each minute, in place of each night.
    line = given.replace("0 2 * * *", "* * * * *").replace("/srv/shop", f"{tmp_path}/shop")
    (tmp_path / "crontab").write_text(line.replace("/opt/singerkit/bin", str(BIN)))
    daemon = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", NAMESPACE, "sh", str(tmp_path)], start_new_session=True, text=True
    )
    log = tmp_path / "shop/state/run.log"
    until = time.monotonic() + 240
    try:
        while time.monotonic() < until and not (log.exists() and log.read_text().count("pipelines done") > 1):
            assert daemon.poll() is None
            time.sleep(1)
    finally:
        os.killpg(daemon.pid, signal.SIGTERM)
        daemon.wait(30)
    said = log.read_text()
    assert said.count("3 pipelines done.") > 1, said
    rows = (tmp_path / "shop/rows/orders/orders.jsonl").read_text().splitlines()
    assert [json.loads(row)["id"] for row in rows] == [1, 2, 3, 4]
