"""Units of commit in files: append, fsync, then rename the manifest that says what counts (DESIGN 5)."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError, FencedError
from singerkit_state import manifest
from singerkit_state.statefile import StateFileLock
from singerkit_target.contract import Batch, Reject, SafePoint, Stream
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

    def open(self) -> None:
        """Make the folder."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWriteError(
                f"The folder {self._folder} cannot be made ({error.strerror}); nothing was read: check `destination_path`."
            ) from None

    def begin(self, pipeline: str) -> str | None:
        """Lock the folder and cut off what an earlier run did not commit."""
        lock = StateFileLock(self._folder / manifest.NAME, pipeline)
        lock.__enter__()
        self._lock = lock
        taken = manifest.begin(self._folder, pipeline, self._run_id)
        there = {name: size for name, size in taken.files.items() if self._exists(name, size)}
        self._manifest = dataclasses.replace(taken, files=there)
        self._cut(there)
        return taken.state

    def _cut(self, sizes: Mapping[str, int]) -> None:
        """Bring the files back to ``sizes``, unless they belong to a newer run by now."""
        with manifest.mine(self._folder, self._manifest):
            self._files.cut(sizes)

    def _exists(self, name: str, committed: int) -> bool:
        path = self._folder / name
        found = path.stat().st_size if path.exists() else 0
        if found >= committed:
            return True
        if found:  # cutting it to its committed length would put a hole where the rows were
            raise BadDataError(
                f"The file {path} has {found} bytes, and {committed} were committed: rows of it are gone. Nothing was "
                "written: restore the file, or remove it so that it begins anew."
            )
        self._log.warning("The file %s is gone since the last run; it begins anew.", path)
        return False

    def declare(self, stream: Stream) -> Stream:
        """A file that the manifest does not list yet is begun; one of somebody else is left alone."""
        self._begin_file(file_name(stream.name))
        return stream

    def _begin_file(self, name: str) -> None:
        if name in self._files.sizes:
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
        columns, rows = self._metadata.added_to(batch) if self._metadata else (batch.columns, batch.rows)
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
            self._cut(self._manifest.files)
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
        self._manifest = manifest.commit(self._folder, self._manifest, state, self._files.sizes)
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
