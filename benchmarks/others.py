"""Programs in environments of their own under .envs/: others from PyPI, pinned, and ours from this checkout."""

from __future__ import annotations

import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

__all__ = ["ROOT", "environment", "install", "our_environment", "our_executable", "version_of"]

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
        _say_installing(", ".join(requirements), folder)
        venv.create(folder, with_pip=True, clear=True)
        install(folder / "bin", *requirements)
        ready.touch()
    return folder / "bin"


@cache
def our_environment(extra: str = "duckdb") -> Path:
    """Return the ``bin`` folder of an environment with singerkit[duckdb] as it is now, or another ``extra``, as users install it.

    Not the development environment: others have none of its packages to import either (joblib takes numpy when
    it is there, a quarter of a second), and nobody edits the code in the middle of a run.

    Raises:
        SystemExit: it cannot be installed; the message is pip's own.
    """
    folder = ENVS / ("singerkit" if extra == "duckdb" else f"singerkit-{extra}")
    _say_installing("this checkout", folder)
    if not (folder / "bin" / "pip").exists():
        venv.create(folder, with_pip=True, clear=True)
    install(folder / "bin", f"{ROOT}[{extra}]")
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
    """Return the path of one of our executables in `our_environment`."""
    return our_environment() / name


def version_of(bin_folder: Path, package: str) -> str:
    """Return the version of a package installed in an environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    done = subprocess.run([bin_folder / "python", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _say_installing(what: str, folder: Path) -> None:
    print(f"installing {what} into .envs/{folder.name}", file=sys.stderr, flush=True)


def _folder_part(requirement: str) -> str:
    return requirement.replace("==", "-").replace("[", "-").replace("]", "").replace(",", "-")
