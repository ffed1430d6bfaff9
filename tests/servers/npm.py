"""Programs from npm, pinned, each set of them in a folder of its own under .envs/."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["packages"]

ENVS = Path(__file__).resolve().parents[2] / ".envs"


def packages(*requirements: str) -> Path:
    """Return the folder in which exactly these requirements are installed; make it if needed."""
    folder = ENVS / "npm-{}".format("-".join(re.sub(r"[^\w.]+", "-", one).strip("-") for one in requirements))
    ready = folder / ".ready"
    if not ready.exists():
        print(f"installing {', '.join(requirements)} into {folder}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund", "--silent", *requirements]
        # The proxy that the tests plant leads nowhere, and npm knows no `NO_PROXY=*`.
        own = {name: text for name, text in os.environ.items() if "@127.0.0.1:9" not in text}
        subprocess.run(command, check=True, timeout=1200, env=own)
        ready.touch()
    return folder
