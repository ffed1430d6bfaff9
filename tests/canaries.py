"""Canaries: secrets of the tests that nobody may ever read anywhere.

`canary("dsn.password")` is a password like any other, and unlike any other text in the world. Fixtures plant them in
DSNs, in the environment, in configs; then whatever a process of ours printed, and every file it left, is searched for
all of them: as they are, percent-encoded, in JSON, in base64 at any offset, in hex. A find fails the test.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from conformance.processes import Outcome

__all__ = [
    "Leak",
    "adopt",
    "canary",
    "check",
    "found_in",
    "holds_secrets",
    "must_not_hold",
    "plant_in_environment",
    "search",
    "watch_subprocesses",
]

_AWKWARD = "/+ %é\"'"
"""What follows the recognisable part: characters that are written differently in URLs, JSON and shells."""
_BIGGEST = 64 << 20  # bytes of a file that is searched; nothing of ours is larger

_PREFIX = "canary"

_seed = os.environ.setdefault("SINGERKIT_CANARIES", secrets.token_hex(8))
"""The workers of pytest-xdist have the canaries of the process that started them."""
_planted: dict[str, str] = {}
_holders: set[str] = set()
_probes: set[bytes] = set()
_names: dict[bytes, str] = {}


class Leak(AssertionError):
    """A secret was found where it must not be."""


def canary(name: str, *, awkward: bool = False) -> str:
    """The canary of this name, the same for the whole test run; ``awkward`` ones need quoting everywhere."""
    if name not in _planted:
        _planted[name] = _PREFIX + hashlib.sha256(f"{_seed} {name}".encode()).hexdigest()[:20]
        _probes.update(_forms(_PREFIX.encode()))
        _names.update(dict.fromkeys(_forms(_planted[name].encode()), name))
    return _planted[name] + (_AWKWARD if awkward else "")


def adopt(name: str, secret: str) -> None:
    """Search for a secret that is not ours, as the password of a server that was given to us."""
    _planted[name] = secret
    _probes.update(_forms(secret.encode()))
    _names.update(dict.fromkeys(_forms(secret.encode()), name))


def _forms(secret: bytes) -> Iterable[bytes]:
    """The ways in which bytes are written. Letters and digits are the same in URLs, JSON and quoted text."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for offset in range(
        3
    ):  # base64 of a text that the secret stands in: only whole groups of six bits are sure
        first, last = -(-offset * 8 // 6), (offset + len(secret)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * offset + secret + b"\0\0")[first:last]


def found_in(data: bytes) -> str | None:
    """The name of a canary that stands in ``data`` in any form."""
    if not any(probe in data for probe in _probes):
        return None
    return next((name for form, name in _names.items() if form in data), None)


def holds_secrets(path: Path) -> Path:
    """Say that a file is where a test keeps secrets for a process to read; it is not searched."""
    _holders.add(os.path.realpath(path))
    return path


def check(outcome: Outcome) -> None:
    """Search what a process printed and the files beside its own.

    Raises:
        Leak: a canary was found.
    """
    must_not_hold(outcome.stdout, "stdout", outcome)
    must_not_hold(outcome.stderr.encode(), "stderr", outcome)
    words = list(outcome.command)
    for option, value in pairwise(words):
        if option in ("--config", "-c"):
            holds_secrets(Path(value))
    for folder in _folders(words):
        search(folder, outcome)


def _folders(words: Iterable[str]) -> set[Path]:
    """The temporary folders that the files of a command line lie in."""
    temporary = os.path.realpath(tempfile.gettempdir()) + os.sep
    files = [os.path.realpath(word) for word in words if word.startswith("/")]
    parents = {file if os.path.isdir(file) else os.path.dirname(file) for file in files}
    parents.discard(os.path.dirname(sys.executable))  # of a checkout that lies in /tmp itself
    return {Path(folder) for folder in parents if folder.startswith(temporary) and os.path.isdir(folder)}


def search(folder: Path, after: object) -> None:
    """Search every file below ``folder``, also its name.

    Raises:
        Leak: a canary was found.
    """
    with contextlib.suppress(FileNotFoundError, PermissionError):  # gone meanwhile, or nobody's to read
        entries = list(os.scandir(os.path.realpath(folder)))
        if any(entry.name == "PG_VERSION" for entry in entries):  # the data of a server
            return
        for entry in entries:
            must_not_hold(os.fsencode(entry.path), "the name of a file", after)
            if entry.is_dir(follow_symlinks=False):
                search(Path(entry.path), after)
            else:
                _search_file(entry, after)


def _search_file(file: os.DirEntry[str], after: object) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        own = os.path.realpath(file.path) if file.is_symlink() else file.path
        if file.is_file() and own not in _holders and file.stat().st_size <= _BIGGEST:
            must_not_hold(Path(own).read_bytes(), file.path, after)


def must_not_hold(data: bytes, place: str, after: object) -> None:
    name = found_in(data)
    if name is not None:
        raise Leak(f"the secret `{name}` stands in {place} after\n{_masked(str(after))}")


def _masked(text: str) -> str:
    for secret in _planted.values():
        text = text.replace(secret, "<canary>")
    return text


def watch_subprocesses() -> None:
    """Search also what a process prints that a test has started by itself, without `conformance.processes`."""
    communicate = subprocess.Popen.communicate

    def searched(process: Any, *arguments: Any, **options: Any) -> Any:
        printed = communicate(process, *arguments, **options)
        for place, data in zip(("stdout", "stderr"), printed, strict=True):
            must_not_hold(data.encode() if isinstance(data, str) else data or b"", place, process.args)
        return printed

    subprocess.Popen.communicate = searched  # type: ignore[method-assign]


def plant_in_environment() -> None:
    """Give every process of the tests secrets in its environment that it does not need, beside the user's own."""
    unneeded = {
        "PGPASSWORD": canary("environment PGPASSWORD", awkward=True),
        "AWS_SECRET_ACCESS_KEY": canary("environment AWS_SECRET_ACCESS_KEY"),
        "TAP_REST_AUTH": canary("environment TAP_REST_AUTH"),
        "HTTPS_PROXY": f"http://ann:{canary('environment HTTPS_PROXY')}@127.0.0.1:9",
        "NO_PROXY": "*",
    }
    for name, value in unneeded.items():
        if os.environ.setdefault(name, value) != value and name == "PGPASSWORD":
            adopt("environment PGPASSWORD", os.environ[name])
