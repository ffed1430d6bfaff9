"""Folders in memory, for servers of tests: making and dropping a database on a disk costs eight times the work; and how much memory a program takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

__all__ = ["folder_in_memory", "peak_kilobytes"]

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free there: a container often has only 64 MB, which one server fills."""


def folder_in_memory(prefix: str) -> Path:
    """Make a folder in memory where there is a roomy tmpfs, else in the temporary directory."""
    is_roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if is_roomy else None))


_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


def peak_kilobytes(command: Sequence[str], stdout: IO[bytes]) -> int:
    """Run a program to its end, which must be a good one, and return its peak.

    By way of a small process: the peak of what is started here begins at that of this process.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *command], stdout=stdout, stderr=subprocess.PIPE, check=True
    )
    code, kilobytes = map(int, done.stderr.splitlines()[-1].split())
    assert code == 0, done.stderr.decode()
    return kilobytes
