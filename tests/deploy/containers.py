"""Images that are built and run for real, on a machine that can pull none: there the base is made of Debian's packages."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["ROOT", "RUN", "base", "build", "podman"]

ROOT = Path(__file__).parents[2]
PUBLIC = "docker.io/library/python:3.13-slim"
OWN = "localhost/singerkit-test-base"
_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
RUN = (
    *("--runtime", "runc", "run", "--network", "none"),
    # A sandbox may not raise limits, and podman's own are higher than they are there.
    *(f"--ulimit={name}={min(resource.getrlimit(which)[1], 20_000)}" for name, which in _LIMITS.items()),
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--http-proxy=false", "--log-driver", "k8s-file"),
)
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
"""What images of Debian that are called slim leave out, too."""


def podman(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], capture_output=True, text=True, timeout=timeout, check=False)


def base(folder: Path) -> str:
    """Return the image that the Containerfile names, or one with Debian's Python where that cannot be had."""
    for name in (PUBLIC, OWN):
        if podman("image", "exists", name).returncode == 0:
            return name
    if podman("pull", "-q", PUBLIC).returncode == 0:
        return PUBLIC
    root = folder / "root"
    needed = "--include=python3,python3-venv,ca-certificates"
    _run(["debootstrap", "--variant=minbase", needed, _release(), str(root), _mirror()])
    _run(["rm", "-rf", *(str(root / one) for one in _NOT_NEEDED)])
    _run(["sh", "-c", f"tar -C {root} -c . | podman import -q - {OWN}"])
    return OWN


def build(folder: Path, base: str, name: str, extra: str = "") -> str:
    """Build the Containerfile from wheels that are fetched here, since a build need not reach a registry."""
    wheels = folder / f"wheels-{name}"
    # The wheel itself is made again inside, by hatchling and what that needs.
    _run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "-w",
            str(wheels),
            f"{ROOT}[{extra}]" if extra else str(ROOT),
        ]
    )
    _run([sys.executable, "-m", "pip", "wheel", "-q", "-w", str(wheels), "hatchling>=1.25"])
    arguments = {"BASE": base, "EXTRA": extra, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    _run(
        [
            *(
                "buildah",
                "bud",
                "--isolation",
                "chroot",
                "--network",
                "host",
                "-f",
                str(ROOT / "deploy/Containerfile"),
            ),
            *(word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")),
            *("-v", f"{wheels}:/wheels:ro", "-t", f"localhost/{name}", str(ROOT)),
        ]
    )
    return f"localhost/{name}"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def _release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME="))


def _mirror() -> str:
    """Return where this machine has its packages from."""
    for path in sorted(Path("/etc/apt").rglob("*.sources")):
        for line in path.read_text().splitlines():
            if line.startswith("URIs:"):
                return line.split()[1]
    return "http://deb.debian.org/debian"
