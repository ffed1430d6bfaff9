"""Units of commit in files: append, fsync, then rename the manifest that says what counts (DESIGN 5)."""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec

from singerkit_shell.errors import CannotWriteError
from singerkit_state.statefile import StateFileLock
from singerkit_target.contract import Batch, Reject, Stream
from singerkit_target.kinds import Kind
from singerkit_target.metadata import MetadataColumns
from target_jsonl import manifest
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
        self._safe: dict[str, int] | None = None

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
        self._manifest = manifest.read(self._folder, pipeline)
        self._files.cut({name: size for name, size in self._manifest.files.items() if self._exists(name)})
        return self._manifest.state

    def _exists(self, name: str) -> bool:
        if (self._folder / name).exists():
            return True
        self._log.warning("The file %s is gone since the last run; it begins anew.", self._folder / name)
        return False

    def declare(self, stream: Stream) -> None:
        """A file is opened as if it were new until the manifest knows it: an uncommitted beginning is cut off."""
        name = file_name(stream.name)
        if name not in self._files.sizes:
            self._files.cut({**self._files.sizes, name: 0})

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
        self._files.append(REJECTS, msgspec.json.Encoder().encode_lines(letters))

    def activate_version(self, stream: Stream, version: int) -> None:
        """Files are only appended to: rows of other versions stay, and carry their version."""
        self._log.warning(
            "ACTIVATE_VERSION %d of stream `%s`: a file is only appended to, rows of other versions stay.",
            version,
            stream.name,
        )

    def mark_safe(self) -> None:
        self._safe = dict(self._files.sizes)

    def back_to_safe(self) -> bool:
        if self._safe is None:
            return False
        self._files.cut(self._safe)
        return True

    def rollback(self) -> None:
        self._files.cut(self._manifest.files)
        self._safe = None

    def recover(self) -> None:
        """A unit in files is never lost: what fails here fails for good."""
        self.rollback()

    def commit(self, state: str | None) -> None:
        """Make the data durable first, then the manifest that makes it count."""
        self._files.sync()
        committed = dataclasses.replace(
            self._manifest,
            sequence=self._manifest.sequence + 1,
            state=self._manifest.state if state is None else state,
            run_id=self._run_id,
            files=dict(self._files.sizes),
        )
        manifest.write(self._folder, committed)
        self._manifest = committed
        self._safe = None

    def close(self) -> None:
        self._files.close()
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None
