"""Units of commit in files: append, fsync, then rename the manifest that says what counts (DESIGN 5)."""

from __future__ import annotations

import dataclasses
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError, FencedError
from singerkit_state import manifest
from singerkit_state.reached import NOTHING, reached
from singerkit_state.statefile import StateFileLock
from singerkit_state.value import digest
from singerkit_target.contract import Batch, Edit, Reject, RowsGone, SafePoint, Stream
from singerkit_target.kinds import Kind
from singerkit_target.metadata import MetadataColumns
from target_jsonl.files import Files
from target_jsonl.names import file_name
from target_jsonl.rows import as_lines, whole_records

__all__ = ["REJECTS", "JsonlLoader"]

REJECTS = "_singerkit_rejects.jsonl"


class JsonlLoader:
    """The `Loader` of target-jsonl."""

    is_log = True
    appends = True

    def __init__(self, folder: Path, log: logging.Logger, *, add_metadata: bool) -> None:
        self._folder = folder
        self._log = log
        self._metadata = MetadataColumns() if add_metadata else None
        self._files = Files(folder)
        self._lock: StateFileLock | None = None
        self._manifest = manifest.Manifest("")
        self._run_id = uuid.uuid4().hex
        self._safe: tuple[SafePoint, dict[str, int]] | None = None
        self._lost: dict[str, int] = {}
        self._reached = NOTHING
        self.doubts: list[str] = []

    def open(self) -> None:
        """Make the folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except (OSError, RecursionError) as error:
            reason = getattr(error, "strerror", "too many levels")
            raise CannotWriteError(
                f"The folder {self._folder} cannot be made ({reason}); nothing was read: check `destination_path`."
            ) from None

    def begin(self, pipeline: str) -> str | None:
        """Lock the folder and cut off what an earlier run did not commit."""
        lock = StateFileLock(self._folder / manifest.NAME, pipeline)
        lock.__enter__()
        self._lock = lock
        taken = manifest.begin(self._folder, pipeline, self._run_id)
        self._manifest = taken
        found = {name: self._size(name) for name in taken.files}
        self._lost = {name: found[name] for name, committed in taken.files.items() if found[name] < committed}
        self._reached = reached(taken.state)
        self._cut(self._there)
        return taken.state

    @property
    def _there(self) -> dict[str, int]:
        """The committed lengths of the files that have them."""
        return {name: size for name, size in self._manifest.files.items() if name not in self._lost}

    @property
    def set_aside_in(self) -> str:
        return f"the file {self._folder / REJECTS}"

    def pipelines(self) -> Sequence[str]:
        return ()  # the manifest is of one, and `begin` refuses others

    def was_former(self, value: Any) -> bool:
        return digest(value) in self._manifest.former

    def expect_gone_rows(self, *, always: bool = False) -> None:  # noqa: ARG002  nobody empties a file that is held
        self._reached = NOTHING

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the state in the manifest; ``as_it_is`` takes what files have lost as lost."""
        files = self._manifest.files
        if as_it_is:
            for name in self._lost:
                self._check_is_whole(name)
            files = {name: min(size, self._size(name)) for name, size in files.items()}
        with manifest.mine(self._folder, self._manifest):
            self._manifest, _ = manifest.changed(self._folder, self._manifest, edit, why, files)
        return self._manifest.state

    def _cut(self, sizes: Mapping[str, int]) -> None:
        """Bring the files back to ``sizes``, unless they belong to a newer run by now."""
        with manifest.mine(self._folder, self._manifest):
            self._files.cut(sizes)

    def _size(self, name: str) -> int:
        path = self._folder / name
        return path.stat().st_size if path.exists() else 0

    def declare(self, stream: Stream) -> Stream:
        """A file that the manifest does not list yet is begun; one of somebody else is left alone."""
        name = file_name(stream.name)
        if name in self._lost:
            self._check_lost(name, stream)
        self._begin_file(name)
        return stream

    def _check_lost(self, name: str, stream: Stream) -> None:
        """A file that is shorter than what was committed: cut to that length it would get a hole where rows were.

        Raises:
            RowsGone: rows of the stream are gone that its bookmark says were loaded.
        """
        found, committed = self._lost[name], self._manifest.files[name]
        said = self._reached.names(stream.name)
        size = f"The file {self._folder / name} has {found} bytes, and {committed} were committed"
        if said:
            raise RowsGone(f"{size}: rows are gone that the saved state says were loaded.")
        if said is None:
            self.doubts.append(f"{size}: rows of stream `{stream.name}` are gone.")
        self._log.warning(
            "The file %s has %d bytes, and %d were committed; rows are appended to what is there.",
            self._folder / name,
            found,
            committed,
        )

    def _check_is_whole(self, name: str) -> None:
        """A row that is appended to a part of a row would be lost with it.

        Raises:
            ConfigurationError: the last row of a file was cut.
        """
        path = self._folder / name
        if not self._lost[name]:
            return
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                raise ConfigurationError(
                    f"The file {path} ends in the middle of a row; nothing was changed: put it back, or take away what "
                    "there is of that row, or the file."
                )

    def _begin_file(self, name: str) -> None:
        if name in self._files.sizes:
            return
        if name in self._lost:
            self._check_is_whole(name)
            self._cut({**self._files.sizes, name: self._lost.pop(name)})
            self._manifest = dataclasses.replace(
                self._manifest, files={**self._manifest.files, name: self._files.sizes[name]}
            )
            return
        if name not in self._manifest.files:
            self._list(name)
        self._cut({**self._files.sizes, name: 0})

    def _list(self, name: str) -> None:
        """Put a new file into the manifest before it is made: what a kill leaves of it is then known to be ours.

        Raises:
            ConfigurationError: there is such a file, and no run of ours has begun it.
        """
        path = self._folder / name
        with manifest.mine(self._folder, self._manifest):
            if path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_size)):
                raise ConfigurationError(
                    f"The file {path} is there already, and the manifest of this folder does not list it: it is of "
                    "somebody else, or the manifest is not the one it belongs to. It was left as it is: move it away, or "
                    "load into another folder."
                )
            listed = dataclasses.replace(self._manifest, files={**self._manifest.files, name: 0})
            manifest.write(self._folder, listed)
        self._manifest = listed

    def write(self, stream: Stream, batch: Batch) -> None:
        """Append a batch to the stream's file."""
        if stream.is_whole_record:
            self._files.append(file_name(stream.name), whole_records([(row[0],) for row in batch.rows]))
            return
        columns, rows = batch.columns, batch.rows
        if self._metadata:
            columns, rows = self._metadata.added_to(batch, stream)
        json_columns = {column.name for column in stream.columns if column.kind is Kind.JSON}
        json_at = [index for index, name in enumerate(columns) if name in json_columns]
        self._files.append(file_name(stream.name), as_lines(columns, rows, json_at))

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Append refused records to the file of dead letters."""
        letters = [
            {
                "run_id": self._run_id,
                "stream": letter.stream.encode("utf-8", "replace").decode(),
                "line": letter.line,
                "path": letter.path.encode("utf-8", "replace").decode(),
                "reason": letter.reason.encode("utf-8", "replace").decode(),
                "record": letter.record.decode("utf-8", "replace"),
            }
            for letter in rejects
        ]
        self._begin_file(REJECTS)
        self._files.append(REJECTS, msgspec.json.Encoder().encode_lines(letters))

    def activate_version(self, stream: Stream, version: int) -> None:
        """Files are only appended to: rows of other versions stay, and carry their version."""
        self._log.warning(
            "ACTIVATE_VERSION %d of stream `%s`: a file is only appended to, rows of other versions stay.",
            version,
            stream.name,
        )

    def mark_safe(self, point: SafePoint) -> None:
        self._safe = point, dict(self._files.sizes)

    def back_to_safe(self) -> SafePoint | None:
        if self._safe is None:
            return None
        point, sizes = self._safe
        self._cut(sizes)
        return point

    def rollback(self) -> None:
        self._safe = None
        if not self._files.sizes:
            return
        try:
            self._cut(self._there)
        except (
            FencedError
        ) as error:  # what we wrote behind the committed length is the newer run's to cut off
            self._log.warning("%s", error)

    def recover(self) -> None:
        """A unit in files is never lost: what fails here fails for good."""
        self.rollback()

    def settle(self) -> Mapping[str, int]:
        """A file takes every row."""
        return {}

    def commit(self, state: str | None) -> None:
        """Make the data durable first, then the manifest that makes it count."""
        self._files.sync()
        self._check_sizes()
        self._manifest = manifest.commit(
            self._folder, self._manifest, state, {**self._manifest.files, **self._files.sizes}
        )
        self._safe = None

    def _check_sizes(self) -> None:
        """See that the files are what this run has made of them: a zombie may have written, a person removed."""
        for name, size in self._files.sizes.items():
            path = self._folder / name
            try:
                found = path.stat().st_size
            except OSError as error:
                raise BadDataError(
                    f"The file {path} is gone or out of reach ({error.strerror}) since this run opened it; nothing was "
                    "committed since then: put it back, or reset the state of its stream, and run again."
                ) from None
            if found != size:
                with manifest.mine(self._folder, self._manifest):  # a newer run is named
                    raise FencedError(
                        f"Somebody else has written to {path} while this run did (expected {size} bytes, found "
                        f"{found}); what was committed is safe: see that no other run uses this folder, then run again."
                    )

    def close(self) -> None:
        self._files.close()
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None
