"""The state in a file, and in the manifest of a folder, as `singerkit-state` changes it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from singerkit_shell.errors import ConfigurationError
from singerkit_state import history, manifest, statefile
from singerkit_state.history import Entry
from singerkit_state.statefile import StateFileLock
from singerkit_state.store import Change, Edit, Holder, Snapshot

__all__ = ["FileStore", "ManifestStore"]


class FileStore:
    """A state file: what a run holds, `<path>.lock`, keeps changes out while it is at work."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def pipeline(self) -> None:
        return None

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

    @property
    def pipeline(self) -> str:
        return self._manifest().pipeline

    def snapshot(self) -> Snapshot:
        return self._snapshot_of(self._manifest())

    def _manifest(self) -> manifest.Manifest:
        found = manifest.read(self._folder)
        if found is None:
            raise ConfigurationError(f"There is no manifest {self._path}; check the path.")
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
