"""Certificates and keys that a config holds as texts: libpq reads files only."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from singerkit_shell.secrets import redactor

__all__ = ["file_of", "is_pem"]


def is_pem(value: Any) -> bool:
    """Tell whether a value is what a file would hold, and not its path."""
    return isinstance(value, str) and value.lstrip().startswith("-----BEGIN ")


@cache
def file_of(text: str) -> str:
    """Return the path of a file with the text, which only this account can read; it goes when the process ends."""
    if "PRIVATE KEY-----" in text:
        redactor.add(text)
    path = _folder() / f"{len(os.listdir(_folder()))}.pem"
    path.touch(mode=0o600)
    path.write_text(text.strip().replace("\\n", "\n") + "\n", "utf-8")
    return str(path)


@cache
def _folder() -> Path:
    folder = tempfile.mkdtemp(prefix="singerkit-postgres-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
