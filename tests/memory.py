"""Folders in memory, for servers of tests: making and dropping a database on a disk costs eight times the work."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["folder_in_memory"]

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
"""Bytes that must be free there: a container often has only 64 MB, which one server fills."""


def folder_in_memory(prefix: str) -> Path:
    """Make a folder in memory where there is a roomy tmpfs, else in the temporary directory."""
    is_roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    return Path(tempfile.mkdtemp(prefix=prefix, dir=MEMORY if is_roomy else None))
