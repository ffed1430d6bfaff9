"""Programs by others, pinned, each in an environment of its own under .envs/ (from PyPI, by pip)."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["ROOT", "environment", "install", "our_executable", "version_of"]

ROOT = Path(__file__).resolve().parent.parent
ENVS = ROOT / ".envs"


def environment(*requirements: str) -> Path:
    """Return the ``bin`` folder of an environment that holds exactly these requirements; make it if needed.

    Raises:
        SystemExit: the packages cannot be installed; the message is pip's own.
    """
    folder = ENVS / "-".join(_folder_part(requirement) for requirement in requirements)
    ready = folder / ".ready"
    if not ready.exists():
        print(f"installing {', '.join(requirements)} into .envs/{folder.name}", file=sys.stderr, flush=True)
        venv.create(folder, with_pip=True, clear=True)
        install(folder / "bin", *requirements)
        ready.touch()
    return folder / "bin"


def install(bin_folder: Path, *requirements: str) -> None:
    """Install into an environment.

    Raises:
        SystemExit: pip refuses; the message is pip's own.
    """
    command = [bin_folder / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"pip cannot install {', '.join(requirements)}:\n{done.stderr.strip()}")


def our_executable(name: str) -> Path:
    """Return the path of one of our executables, beside the Python that runs this script.

    Raises:
        SystemExit: it is not installed.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        sys.exit(f"{name} is not beside {sys.executable}; run `make env` first.")
    return path


def version_of(bin_folder: Path, package: str) -> str:
    """Return the version of a package installed in an environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([bin_folder / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _folder_part(requirement: str) -> str:
    return requirement.replace("==", "-").replace("[", "-").replace("]", "")
