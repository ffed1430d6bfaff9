"""Images that are built and run for real, on a machine that can pull none: there the base is made of Debian's packages."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["COMPOSE_CONF", "ROOT", "RUN", "base", "build", "podman", "postgres"]

ROOT = Path(__file__).parents[2]
PUBLIC = "docker.io/library/python:3.13-slim"
PUBLIC_POSTGRES = "docker.io/library/postgres:18"
OWN_POSTGRES = "localhost/singerkit-test-postgres"
OWN = "localhost/singerkit-test-base-13"
_LIMITS = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
_LIMIT_OF = {name: min(resource.getrlimit(which)[1], 20_000) for name, which in _LIMITS.items()}
RUN = (
    *("--runtime", "runc", "run", "--network", "none"),
    # A sandbox may not raise limits, and podman's own are higher than they are there.
    *(f"--ulimit={name}={limit}" for name, limit in _LIMIT_OF.items()),
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--http-proxy=false", "--log-driver", "k8s-file"),
)
_NOT_NEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/lib/apt/lists", "var/cache/apt")
"""What images of Debian that are called slim leave out, too."""


COMPOSE_CONF = f"""\
[engine]
runtime = "runc"
[containers]
default_ulimits = {[f"{name}={limit}:{limit}" for name, limit in _LIMIT_OF.items()]}
log_driver = "k8s-file"
http_proxy = false
"""
"""The same for podman-compose, which has no options for it."""


def podman(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], capture_output=True, text=True, timeout=timeout, check=False)


def base(folder: Path) -> str:
    """Return the image that the Containerfile names, or, where that cannot be had, what it is made of but for its Python: Debian 13, whose own is 3.13, too."""
    if found := _there(PUBLIC, OWN):
        return found
    root = folder / "root"
    needed = "--include=python3,python3-venv,ca-certificates"
    _run(["debootstrap", "--variant=minbase", needed, "trixie", str(root), _mirror()])
    _run(["rm", "-rf", *(str(root / one) for one in _NOT_NEEDED)])
    _run(["sh", "-c", f"tar -C {root} -c . | podman import -q - {OWN}"])
    return OWN


def build(folder: Path, base: str, name: str, extra: str = "") -> str:
    """Build the Containerfile from wheels that are fetched here, since a build need not reach a registry."""
    wheels = folder / f"wheels-{name}"
    python = podman(*RUN, "--rm", base, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    assert python.returncode == 0, python.stderr
    pip = [sys.executable, "-m", "pip", "-q"]
    _run([*pip, "wheel", "--no-deps", "-w", str(wheels), str(ROOT)])
    [own] = wheels.glob("singerkit-*.whl")
    fetch = [
        *pip,
        "download",
        "-d",
        str(wheels),
        "--only-binary=:all:",
        "--python-version",
        python.stdout.strip(),
    ]
    # The wheel itself is made again inside, by hatchling and what that needs.
    _run([*fetch, f"{own}[{extra}]" if extra else str(own), "hatchling>=1.25"])
    own.unlink()
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


def postgres(base: str) -> str:
    """Return the image that compose.yaml names, or, where that cannot be had, one with Debian's PostgreSQL."""
    if found := _there(PUBLIC_POSTGRES, OWN_POSTGRES):
        return found
    place = str(Path(__file__).parent / "postgres")
    options = (
        "--isolation",
        "chroot",
        "--network",
        "host",
        "--build-arg",
        f"BASE={base}",
        "-t",
        OWN_POSTGRES,
    )
    _run(["buildah", "bud", *options, place])
    return OWN_POSTGRES


def _there(public: str, own: str) -> str | None:
    """Return the image that is here, or can be pulled; None: ours has to be made."""
    for name in (public, own):
        if podman("image", "exists", name).returncode == 0:
            return name
    return public if podman("pull", "-q", public).returncode == 0 else None


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def _mirror() -> str:
    """Return where this machine has its packages from."""
    for path in sorted(Path("/etc/apt").rglob("*.sources")):
        for line in path.read_text().splitlines():
            if line.startswith("URIs:"):
                return line.split()[1]
    return "http://deb.debian.org/debian"
