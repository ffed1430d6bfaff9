"""The manifest: which bytes of which files are committed, and the state that goes with them.

Its atomic rename is the commit. What stands behind a file's committed length was never committed and is cut off
by the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state import statefile
from singerkit_state.value import decode, encode

__all__ = ["NAME", "Manifest", "read", "write"]

NAME = "_singerkit_manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What is committed. ``files`` maps file names to committed bytes; ``state`` is the text of the STATE value."""

    pipeline: str
    sequence: int = 0
    state: str | None = None
    run_id: str | None = None
    files: Mapping[str, int] = field(default_factory=dict)


def read(folder: Path, pipeline: str) -> Manifest:
    """Return the manifest in ``folder``, an empty one when there is none.

    Raises:
        ConfigurationError: it is torn, not ours, or of another pipeline.
    """
    path = folder / NAME
    try:
        value: Any = decode(path.read_text(encoding="utf-8"))
        manifest = Manifest(**value)
    except FileNotFoundError:
        return Manifest(pipeline)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"The manifest {path} cannot be read ({error}); nothing was written: restore it, or load into another folder."
        ) from None
    if manifest.pipeline != pipeline:
        raise ConfigurationError(
            f"The folder {folder} belongs to the pipeline `{manifest.pipeline}`, and this run is of `{pipeline}`; "
            "nothing was written: name another `destination_path`, or set `pipeline`."
        )
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest, durably and all at once.

    Raises:
        CannotWriteError: it cannot be written; the former one is intact.
    """
    statefile.write(folder / NAME, encode(asdict(manifest)))
