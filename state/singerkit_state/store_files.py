"""The state in a file, and in the manifest of a folder: named by a path, or by a URL ``file:///PATH``."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from singerkit_shell.errors import ConfigurationError
from singerkit_state import history, manifest, statefile
from singerkit_state.history import Entry
from singerkit_state.statefile import StateFileLock, state_object
from singerkit_state.store import Change, Edit, Holder, Snapshot, Store

__all__ = ["FileStore", "ManifestStore", "path_of", "store_of", "table_of"]

logger = logging.getLogger(__name__)


def store_of(location: str) -> Store:
    """Return the state file, or the manifest of the folder, that a path or a ``file:`` URL names.

    Raises:
        ConfigurationError: the folder is that of something else; the URL is wrong.
    """
    path = path_of(location)
    if not os.path.isdir(path):
        return ManifestStore(path.parent) if path.name == manifest.NAME else FileStore(path)
    if not (path / manifest.NAME).exists() and _holds_more(path):
        raise _no_manifest(path)
    return ManifestStore(path)


def _no_manifest(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"The folder {folder} holds no manifest {manifest.NAME}; name the folder of a target that keeps its "
        "state in one, or a state file."
    )


def _holds_more(folder: Path) -> bool:
    """Whether there is more in a folder than a target leaves there before its first manifest."""
    return any(not name.startswith(manifest.NAME) for name in os.listdir(folder))


def table_of(_location: str) -> None:
    """A file is of one pipeline."""


def path_of(location: str) -> Path:
    """Return the path that is given, as it is or in a ``file:`` URL.

    Raises:
        ConfigurationError: the URL names another host, or has parts that no path has.
    """
    if not location.startswith("file://"):
        return Path(location)
    parts = urlsplit(location)
    path = unquote_to_bytes(parts.path)
    problem = None
    if parts.netloc not in ("", "localhost"):
        problem = "a file has no host: a path begins with three slashes"
    elif parts.query or parts.fragment:
        problem = "percent-encode ? and # in the path"
    elif not path.strip(b"/") or b"\0" in path:
        problem = "it names no file"
    if problem:
        raise ConfigurationError(
            f"The state URL is not valid, {problem}; nothing was read or written: expected is file:///PATH."
        )
    return Path(os.fsdecode(path))


class FileStore:
    """A state file: what a run holds, `<path>.lock`, keeps changes out while it is at work."""

    is_file = True

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def pipeline(self) -> None:
        return None

    @property
    def location(self) -> str:
        return str(self._path)

    def read(self, pipeline: str | None = None) -> dict[str, Any] | None:
        """See `statefile.read`."""
        return statefile.read(self._path, pipeline)

    def snapshot(self) -> Snapshot:
        return self._snapshot_of(statefile.text_in(self._path))

    def _snapshot_of(self, text: str | None) -> Snapshot:
        found = Snapshot(
            where=f"the file {self._path}",
            kind="file",
            text=text,
            committed_at=_modified(self._path),
            holder=_holder(self._path),
        )
        mark = found.mark
        return found if mark is None else dataclasses.replace(found, pipeline=mark.pipeline, run_id=mark.run)

    def change(self, edit: Edit, why: str) -> Change:
        """Keep the former value, then replace the file. Refused while a run is at work."""
        statefile.check_replaceable(self._path)
        with StateFileLock(self._path):
            text = statefile.text_in(self._path)
            before = dataclasses.replace(self._snapshot_of(text), holder=None)
            new = edit(text)
            number = history.append(self._path, history.kept_now(text, why, before.run_id))
            if new is None:
                statefile.remove(self._path)
            else:
                statefile.write(self._path, new)
            after = dataclasses.replace(self._snapshot_of(new), holder=None)
        return Change(before, after, number)

    def entries(self) -> list[Entry]:
        return history.read(self._path)

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None:
        """Remove what a dead run has left. The kernel has freed its lock already; a living run keeps it."""
        del confirm  # there is nothing that could be taken from anybody
        with StateFileLock(self._path):
            return None


class ManifestStore:
    """The manifest in the folder of a target that commits by renaming it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / manifest.NAME

    is_file = False

    @property
    def pipeline(self) -> str | None:
        found = manifest.read(self._folder)
        return None if found is None else found.pipeline

    @property
    def location(self) -> str:
        return str(self._path)

    def read(self, pipeline: str | None = None) -> dict[str, Any] | None:
        """Return the committed STATE value; None where no run has committed one yet.

        Raises:
            ConfigurationError: it is another pipeline's, or none.
        """
        found = manifest.read(self._folder)
        if found is None or found.state is None:
            logger.info("No state yet in the manifest %s: this is a first run.", self._path)
            return None
        if pipeline and pipeline != found.pipeline:
            raise ConfigurationError(
                f"The manifest {self._path} is of the pipeline `{found.pipeline}`, this run is of the pipeline `{pipeline}`; "
                "name the same pipeline in both."
            )
        way_out = f"set another one with `singerkit-state set`, or forget it with `singerkit-state reset {self._path}`"
        return state_object(found.state, f"state in {self._path}", pipeline, way_out)

    def snapshot(self) -> Snapshot:
        return self._snapshot_of(self._manifest())

    def _manifest(self) -> manifest.Manifest:
        found = manifest.read(self._folder)
        if found is None:
            raise _no_manifest(self._folder)
        return found

    def _snapshot_of(self, found: manifest.Manifest) -> Snapshot:
        at = found.committed_at
        return Snapshot(
            where=f"the folder {self._folder}",
            kind="manifest",
            text=found.state,
            pipeline=found.pipeline,
            epoch=found.epoch,
            sequence=found.sequence,
            run_id=found.run_id,
            # Manifests of older versions do not say when.
            committed_at=datetime.fromisoformat(at)
            if at
            else _modified(self._path)
            if found.sequence
            else None,
            holder=_holder(self._path),
        )

    def change(self, edit: Edit, why: str) -> Change:
        """Keep the former value, then replace the manifest under a new epoch. Refused while a run is at work."""
        with StateFileLock(self._path), manifest.held(self._folder):
            found = self._manifest()
            before = dataclasses.replace(self._snapshot_of(found), holder=None)
            changed, number = manifest.changed(self._folder, found, edit, why)
            after = dataclasses.replace(self._snapshot_of(changed), holder=None)
        return Change(before, after, number)

    def entries(self) -> list[Entry]:
        return history.read(self._path)

    def unlock(self, confirm: Callable[[Holder], bool]) -> Holder | None:
        """As for a state file."""
        return FileStore(self._path).unlock(confirm)


def _modified(path: Path) -> datetime | None:
    with contextlib.suppress(OSError):
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return None


def _holder(path: Path) -> Holder | None:
    about = statefile.holder_of(path)
    if about is None:
        return None
    return Holder(pid=about.get("pid"), host=about.get("host"), since=about.get("since"))
