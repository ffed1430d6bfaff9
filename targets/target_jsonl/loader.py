"""Units of commit in files: append, fsync, then rename the manifest that says what counts (DESIGN 5)."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    SingerkitError,
)
from singerkit_state import manifest
from singerkit_state.reached import NOTHING, reached
from singerkit_state.runfile import NAME as RUNS
from singerkit_state.runfile import RunFile
from singerkit_state.runids import new_run_id
from singerkit_state.runs import Run, with_killed
from singerkit_state.statefile import StateFileLock, holder_of
from singerkit_state.value import digest
from singerkit_target.contract import Edit, RowsChanged, RowsCut, RowsGone, RowsUnclear, SafePoint
from singerkit_target.metadata import MetadataColumns
from singerkit_target.outcomes import Outcomes
from singerkit_target.pastruns import AskedRuns
from singerkit_target.siblings import Siblings
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.kinds import Kind
from singerkit_wire.stream import Stream
from target_jsonl.domain import ABILITIES, DOMAIN
from target_jsonl.files import Files
from target_jsonl.names import file_name
from target_jsonl.rows import as_lines, whole_records

__all__ = ["REJECTS", "JsonlLoader"]

REJECTS = "_singerkit_rejects.jsonl"


@dataclass(frozen=True, slots=True)
class _Amiss:
    """A file that is not what was committed, in bytes; ``has_uncommitted`` says that it may hold what a run that died left."""

    found: int
    committed: int
    has_uncommitted: bool

    @property
    def is_shorter(self) -> bool:
        return self.found < self.committed

    @property
    def seen(self) -> str:
        if self.found == self.committed:
            return f"has the {self.found} bytes that were committed, and its last ones are others"
        return f"has {self.found} bytes, and {self.committed} were committed"


class JsonlLoader:
    """The `Loader` of target-jsonl."""

    domain, abilities = DOMAIN, ABILITIES

    def __init__(self, folder: Path, log: logging.Logger, *, add_metadata: bool) -> None:
        self._folder = folder
        self._log = log
        self._metadata = MetadataColumns() if add_metadata else None
        self._files = Files(folder)
        self._held = contextlib.ExitStack()
        self._manifest = manifest.Manifest("")
        self.run_id = new_run_id()
        self._runs = RunFile(folder / RUNS)
        self._safe: tuple[SafePoint, dict[str, int]] | None = None
        self._amiss: dict[str, _Amiss] = {}
        self._reached = NOTHING
        self.doubts: list[str] = []
        self.outcomes = Outcomes()  # every row is a new one

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
        """Lock the folder, cut off what a run that died did not commit, and see which files are not as they were left."""
        self._held.enter_context(StateFileLock(self._folder / manifest.NAME, pipeline))
        taken = manifest.begin(self._folder, pipeline, self.run_id)
        self._manifest = taken
        self._reached = reached(taken.state)
        self._cut_leftovers()
        self._amiss = dict(self._look())
        unclear = {
            name: (length, end)
            for name, (length, end) in taken.at_work.items()
            if end is not None and not self._is_ours(name)
        }
        good = {name: size for name, size in taken.files.items() if name not in self._amiss}
        self._cut(good)  # makes those that are gone
        found = {name: (size, self._files.mark(name, size)) for name, size in good.items()}
        self._note(at_work={**unclear, **found})
        return taken.state

    def _is_ours(self, name: str) -> bool:
        """Whether nothing but rows of a run can stand behind the length from which that run wrote."""
        length, end = self._manifest.at_work[name]
        return self._files.size(name) >= length and end in (None, self._files.mark(name, length))

    def _ours(self) -> dict[str, int]:
        return {name: length for name, (length, _) in self._manifest.at_work.items() if self._is_ours(name)}

    def _cut_leftovers(self) -> None:
        """Cut off what a run that died has left; which of the files this run goes on with is seen later."""
        with (
            contextlib.closing(Files(self._folder)) as files,
            manifest.mine(self._folder, self._manifest),
        ):
            left = {name: length for name, length in self._ours().items() if files.size(name) > length}
            files.cut(left)
        for name, length in left.items():
            self._log.warning(
                "What a run that died has left in %s is cut off, to %d bytes.", self._folder / name, length
            )

    def _look(self) -> Iterator[tuple[str, _Amiss]]:
        """Find the files that are not what was committed, of which only the end is compared."""
        for name, committed in self._manifest.files.items():
            found = self._files.size(name)
            if found == committed and self._manifest.ends.get(name) in (None, self._files.end(name, found)):
                continue
            _, end = self._manifest.at_work.get(name, (committed, None))
            yield name, _Amiss(found, committed, found > 0 and end is not None and not self._is_ours(name))

    def _note(self, **change: Any) -> None:
        """Change what the manifest says of files, and nothing of what is committed."""
        with manifest.mine(self._folder, self._manifest):
            noted = dataclasses.replace(self._manifest, **change)
            manifest.write(self._folder, noted)
        self._manifest = noted

    @property
    def set_aside_in(self) -> str:
        return f"the file {self._folder / REJECTS}"

    def expect_rows_of(self, pipelines: Collection[str]) -> None:
        """A folder is of one shard."""

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:  # noqa: ARG002  a folder is of one
        found = manifest.read(self._folder)
        return () if found is None else (found.pipeline,)

    def was_former(self, value: Any) -> bool:
        return digest(value) in self._manifest.former

    def expect_gone_rows(self, *, always: bool = False) -> None:  # noqa: ARG002  nobody empties a file that is held
        self._reached = NOTHING

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:
        """Replace the state in the manifest; ``as_it_is`` takes what files have lost as lost."""
        new = edit(self._manifest.state)
        files, ends = dict(self._manifest.files), dict(self._manifest.ends)
        at_work = dict(self._manifest.at_work)
        for name in tuple(self._amiss) if as_it_is else self._amiss_of_reset_streams(new):
            self._check_is_whole(name)
            at_work.pop(name, None)
            if as_it_is:
                files[name] = self._files.size(name)
                ends[name] = self._files.end(name, files[name])
        with manifest.mine(self._folder, self._manifest):
            self._manifest, _ = manifest.changed(
                self._folder, self._manifest, lambda _: new, why, files=files, ends=ends, at_work=at_work
            )
        return self._manifest.state

    def _amiss_of_reset_streams(self, new: str | None) -> Sequence[str]:
        """Return the files to which the streams that a ``new`` state forgets are appended, as far as they are amiss."""
        if new is None:
            return [name for name in self._amiss if name != REJECTS]
        before, after = reached(self._manifest.state), reached(new)
        reset = (before.named | before.others) - (after.named | after.others)
        return [name for name in map(file_name, sorted(reset)) if name in self._amiss]

    def _cut(self, sizes: Mapping[str, int]) -> None:
        """Bring the files back to ``sizes``, unless they belong to a newer run by now."""
        with manifest.mine(self._folder, self._manifest):
            self._files.cut(sizes)

    def declare(self, stream: Stream) -> Stream:
        """A file that the manifest does not list yet is begun; one of somebody else is left alone."""
        name = file_name(stream.name)
        if name in self._amiss:
            self._check_amiss(name, stream)
        self._begin_file(name)
        return stream

    def _check_amiss(self, name: str, stream: Stream) -> None:
        """A file that is not what was committed is never cut, and taken as it is only where the state says nothing of it.

        Raises:
            RowsGone: its bookmark says that rows were loaded; or nobody can tell which rows were.
            ConfigurationError: its last row is no whole one.
        """
        self._check_is_whole(name)
        amiss = self._amiss[name]
        said = self._reached.names(stream.name)
        seen = f"The file {self._folder / name} {amiss.seen}"
        if amiss.has_uncommitted:
            raise RowsUnclear(
                f"{seen}: somebody has changed it under or after a run that did not get to its end, and rows may be in it that "
                "were not committed and come again."
            )
        if amiss.is_shorter:
            if said:
                raise (RowsCut if amiss.found else RowsGone)(
                    f"{seen}: rows are gone that the saved state says were loaded."
                )
            if said is None:
                self.doubts.append(f"{seen}: rows of stream `{stream.name}` are gone.")
        elif said:
            raise RowsChanged(f"{seen}: somebody has changed it since.")
        self._log.warning("%s; rows are appended to what is there.", seen)

    def _check_is_whole(self, name: str) -> None:
        """A row that is appended to a part of a row would be lost with it.

        Raises:
            ConfigurationError: the last row of a file was cut.
        """
        if not self._files.is_whole(name):
            raise ConfigurationError(
                f"The file {self._folder / name} {self._amiss[name].seen}, and it ends in the middle of a row; nothing was "
                "changed: put it back as it was; or add the newline behind its last row, if that is all that is missing, or "
                "take away what there is of that row."
            )

    def _begin_file(self, name: str) -> None:
        if name in self._files.sizes:
            return
        if name in self._amiss:
            self._check_is_whole(name)
            length = self._files.size(name)
            self._cut({name: length})  # makes it, if it is gone
            self._note(at_work={**self._manifest.at_work, name: (length, self._files.mark(name, length))})
            del self._amiss[name]
            return
        if name not in self._manifest.files:
            self._list(name)
        self._cut({name: 0})

    def _list(self, name: str) -> None:
        """Make a file and put it into the manifest before it has rows: what a kill leaves of it is then known to be ours.

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
            self._files.cut({name: 0})
            listed = dataclasses.replace(
                self._manifest,
                files={**self._manifest.files, name: 0},
                at_work={**self._manifest.at_work, name: (0, self._files.mark(name, 0))},
            )
            manifest.write(self._folder, listed)
        self._manifest = listed

    def write(self, stream: Stream, batch: Batch) -> None:
        """Append a batch to the stream's file."""
        if stream.is_whole_record:
            self._files.append(file_name(stream.name), whole_records([(row[0],) for row in batch.wire_rows]))
            return
        if self._metadata:
            batch = self._metadata.added_to(batch, stream)
        json_at = [index for index, column in enumerate(batch.columns) if column.kind is Kind.JSON]
        self._files.append(file_name(stream.name), as_lines(batch.names, batch.wire_rows, json_at))

    def reject(self, rejects: Sequence[Reject]) -> None:
        """Append refused records to the file of dead letters."""
        letters = [
            {
                "run_id": self.run_id,
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

    def overwrite(self, stream: Stream, *, removes: bool) -> None:
        """Files are only appended to: it is never called."""

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:  # noqa: ARG002  nothing is removed
        """Files are only appended to: rows of other versions stay, and carry their version."""
        newest = "take those with the newest `_sdc_table_version` where you read them"
        self._log.warning(
            "ACTIVATE_VERSION %d of stream `%s`: a file is only appended to, so that rows of other versions stay, and each complete load "
            "adds all its rows to those that are there; %s.",
            version,
            stream.name,
            newest if self._metadata else f"set `add_record_metadata` to true, and {newest}",
        )

    def replace(self, stream: Stream, where: Batch | None) -> None:  # noqa: ARG002  nothing is taken away
        """Refuse it: the rows that were to go would stand beside those that take their place, in a file that looks well."""
        raise ConfigurationError(
            f"The tap asks for rows of stream `{stream.name}` to be replaced (REPLACE), and target-jsonl only appends to files; nothing of that was "
            "written, and what was committed is safe: have the tap send such rows beside the former ones (tap-files: `on_changed` `append`, and no `on_removed` `delete`), or load into a database."
        )

    def mark_safe(self, point: SafePoint) -> None:
        self._safe = point, dict(self._files.sizes)

    def back_to_safe(self) -> SafePoint | None:
        if self._safe is None:
            return None
        point, sizes = self._safe
        self._check_sizes()  # cut to a length, a file that others have changed would look as it should
        self._cut({name: sizes.get(name, self._manifest.at_work[name][0]) for name in self._files.sizes})
        return point

    def rollback(self) -> None:
        self._safe = None
        if not self._files.sizes:
            return
        try:
            ours = self._ours()
            self._tell_of_others(ours)
            self._cut(ours)
        except FencedError as error:
            self._log.warning("%s", error)
            self._cut_behind_newer()

    def _cut_behind_newer(self) -> None:
        """Take back what this run wrote behind a newer one that is through; one at work finds it, and cuts it off."""
        with manifest.held(self._folder):
            newer = manifest.read(self._folder)
            if newer is None:
                return
            for name, size in self._files.sizes.items():
                written = size - self._manifest.at_work[name][0]
                committed = newer.files.get(name)
                if (
                    committed is None
                    or name in newer.at_work
                    or self._files.size(name) != committed + written
                ):
                    continue
                self._files.cut({name: committed})

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
        sizes = self._files.sizes
        changed = [
            name
            for name in sizes
            if self._manifest.at_work[name][0] != sizes[name] or name not in self._manifest.ends
        ]
        ends = {name: self._files.end(name, sizes[name]) for name in changed}
        self._manifest = manifest.commit(
            self._folder, self._manifest, state, {**self._manifest.files, **sizes}, ends
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

    def _tell_of_others(self, ours: Collection[str]) -> None:
        for name, size in self._files.sizes.items():
            found = self._files.size(name)
            if found == size:
                continue
            self._log.warning(
                "Somebody else has changed %s while this run wrote to it (expected %d bytes, found %d); %s.",
                self._folder / name,
                size,
                found,
                "what was not committed was cut off, whoever has written it"
                if name in ours
                else "it is left as it is, and the next run says what to do",
            )

    def _leave(self) -> None:
        """Say that no run is at work on the files any more that hold no more than this one has found or committed."""
        left = {
            name: (length, end)
            for name, (length, end) in self._manifest.at_work.items()
            if self._files.size(name) != length
        }
        if left == self._manifest.at_work:
            return
        # It is a newer run's by now, or the disk is full: what is there is seen to at the next run.
        with contextlib.suppress(SingerkitError, OSError):
            self._note(at_work=left)

    @property
    def sequence(self) -> int | None:
        return self._manifest.sequence if self._manifest.epoch else None

    def begin_run(self, run: Run, keep_days: float) -> None:
        """Note a run in the file of runs."""
        self._runs.begin(run, keep_days)

    def end_run(self, run: Run) -> None:
        """Note what it has come to."""
        self._runs.end(run)

    def past_runs(self, asked: AskedRuns) -> Sequence[Run]:
        try:
            at_work = holder_of(self._folder / manifest.NAME) is not None
            return asked.among(with_killed(self._runs.read(), lambda _run: at_work))
        except OSError as error:
            raise ConfigurationError(
                f"The history of runs {self._runs.path} cannot be read ({error.strerror}); nothing was changed."
            ) from None

    def close(self) -> None:
        with self._held:
            self._leave()
            self._files.close()
