"""The folder of a dbt project whose files are ours, each with a mark that tells whether somebody has changed it since."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from singerkit_shell.errors import CannotWriteError, ConfigurationError

__all__ = ["FOLDER", "Difference", "difference", "marked", "write"]

FOLDER = os.path.join("models", "staging", "singerkit")
_MARK = re.compile(rb"\A(?:--|#) Made by `singerkit dbt generate` .* ([0-9a-f]{16})\r?\n")
_SAID = "Made by `singerkit dbt generate` from what the taps declare; once you change it, it is yours."


@dataclass(frozen=True)
class Difference:
    """``write`` are the files that are to be written, by name, ``remove`` those of ours whose table is gone, ``changed`` those that somebody has changed."""

    write: Mapping[str, bytes]
    remove: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        return sorted({*self.write, *self.remove})


def marked(name: str, body: str) -> bytes:
    """Return a file with its mark before it."""
    comment = "--" if name.endswith(".sql") else "#"
    return f"{comment} {_SAID} {_digest(body.encode())}\n{body}".encode()


def _digest(body: bytes) -> str:
    return hashlib.sha256(body.replace(b"\r\n", b"\n")).hexdigest()[:16]


def _is_ours(data: bytes) -> bool:
    mark = _MARK.match(data)
    return mark is not None and mark[1].decode() == _digest(data[mark.end() :])


def difference(folder: Path, texts: Mapping[str, str]) -> Difference:
    """Hold the files of a folder against those that are to be there; a file of another name without our mark is none of ours.

    Raises:
        ConfigurationError: it cannot be read.
    """
    there = _files(folder)
    wanted = {name: marked(name, body) for name, body in texts.items()}
    differing = {
        name: data for name, data in wanted.items() if there.get(name, b"").replace(b"\r\n", b"\n") != data
    }
    gone = [name for name, data in there.items() if name not in wanted and _MARK.match(data)]
    changed = [name for name in [*differing, *gone] if name in there and not _is_ours(there[name])]
    return Difference(differing, tuple(gone), tuple(sorted(changed)))


def _files(folder: Path) -> dict[str, bytes]:
    try:
        return {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.suffix in (".sql", ".yml")
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError(
            f"The folder {folder} cannot be read ({error.strerror}: {error.filename}); nothing was written."
        ) from None


def write(folder: Path, found: Difference) -> None:
    """Write and remove what differs, each file whole.

    Raises:
        CannotWriteError: one cannot be; those before it are as they are to be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in found.write.items():
            beside = folder / f".{name}.tmp"
            beside.write_bytes(data)
            beside.replace(folder / name)
        for name in found.remove:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise CannotWriteError(
            f"The folder {folder} cannot be written ({error.strerror}: {error.filename}); make room or check its permissions, then run again."
        ) from None
