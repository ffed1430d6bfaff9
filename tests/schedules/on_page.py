"""docs/scheduling.md typed word by word, over an empty /srv and /opt/singerkit in a namespace of mounts of its own; and the section of README."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = "/usr/bin/python3"
"""One that other accounts than root may start, too."""
NAMESPACE = """
set -e
mount --make-rprivate /
mkdir -p /opt/singerkit
for place in /srv /opt/singerkit /etc/cron.d /var/spool/cron/crontabs /run; do mount -t tmpfs none $place; done
"""


def commands(title: str) -> list[str]:
    page = (ROOT / "docs/scheduling.md").read_text()
    section = page.split("\n## ")[0] if not title else page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(r"^    (\S.*)$", section, re.MULTILINE)


def test_a_new_user_types_what_the_page_says(tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", ROOT, clone], check=True)
    first = commands("")
    assert [line.split()[0] for line in first] == [
        "python3",
        "/opt/singerkit/bin/pip",
        *["/opt/singerkit/bin/singerkit"] * 2,
    ]
    first[0] = first[0].replace("python3", PYTHON)
    first[1] = first[1].replace("singerkit[embedded]", ".[embedded]")  # as the page says of a clone
    account, owner, *_ = commands("systemd")
    lines = [
        *first,
        commands("cron")[1],
        "crontab -l",
        account,
        owner,
        # What the unit of systemd starts, as whom it does.
        "su -s /bin/sh singerkit -c 'cd /srv/shop && /opt/singerkit/bin/singerkit run singerkit.yaml'",
    ]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", NAMESPACE + "\n".join(lines)],
        cwd=clone,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    with contextlib.suppress(OSError):  # there is something in it that is not ours
        Path("/opt/singerkit").rmdir()
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count("3 pipelines done.") == 2
    assert "`orders`: 4 rows loaded" in said
    assert commands("cron")[0] in said


def test_a_new_user_types_what_readme_says(tmp_path):
    """Its line of cron is the one of the page, which is typed above, and given to a real cron in on_cron.py."""
    section = (ROOT / "README.md").read_text().split("\n## On a schedule\n")[1].split("\n## ")[0]
    *typed, line = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    assert line == commands("cron")[0]
    bin_ = Path(sys.executable).parent
    verbs = set(re.findall(r"`singerkit (\w+)", section))
    assert verbs == {"init", "run", "history", "report", "dbt"}
    done = subprocess.run(
        [
            "bash",
            "-c",
            "\n".join(["set -e", *typed, *(f"singerkit {verb} --help" for verb in sorted(verbs)), "ls"]),
        ],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 pipelines done." in done.stderr
    assert len(re.findall(r"(?:customers|orders|visits) +complete", done.stdout)) == 3
    assert "singerkit-report.html: 3 pipelines, none in need of somebody." in done.stdout
    assert "singerkit-report.html\n" in done.stdout
    missing = [link for link in re.findall(r"\]\(([^)#]+)", section) if not (ROOT / link).exists()]
    assert missing == []
