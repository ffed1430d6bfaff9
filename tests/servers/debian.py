"""Programs of Debian's packages, unpacked into a folder of their own under .envs/: nothing is installed, and no service begins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["program"]

ENVS = Path(__file__).resolve().parents[2] / ".envs"


def program(name: str, package: str) -> Path:
    """Return a program that the machine has, or that of the package."""
    if found := shutil.which(name):
        return Path(found)
    folder = ENVS / f"debian-{package}"
    if not (folder / ".ready").exists():
        print(f"unpacking {package} into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if not _downloaded(package, folder):
            subprocess.run(["apt-get", "update", "-qq"], check=True, timeout=300)
            assert _downloaded(package, folder), f"apt-get cannot download {package}"
        (archive,) = folder.glob("*.deb")
        subprocess.run(["dpkg", "-x", archive, folder], check=True, timeout=60)
        (folder / ".ready").touch()
    return next(path for path in folder.glob(f"usr/*bin/{name}"))


def _downloaded(package: str, folder: Path) -> bool:
    command = ["apt-get", "download", "-qq", package]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False).returncode == 0
