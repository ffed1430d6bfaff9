"""What the commit loop calls (`singerkit_target.contract`), in the order in which it does.

Rows and the state are committed in one transaction, so that whatever ends a run, both are there or neither is.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state import history
from singerkit_state.reached import NOTHING, reached
from singerkit_state.statefile import StateFileLock
from singerkit_state.value import after, digest
from singerkit_target.contract import Edit, RowsGone, SafePoint
from singerkit_target.metadata import MetadataColumns
from singerkit_target.outcomes import Outcomes
from singerkit_target.siblings import Siblings
from singerkit_wire.batch import Batch, Reject
from singerkit_wire.stream import Stream
from target_acme.domain import ABILITIES, DOMAIN
from target_acme.rows import documents
from target_acme.store import Saved, Store

__all__ = ["AcmeLoader"]


class AcmeLoader:
    """The `Loader` of target-acme."""

    domain, abilities = DOMAIN, ABILITIES
    set_aside_in = "the table set_aside"

    def __init__(self, path: Path, log: logging.Logger, *, add_metadata: bool) -> None:
        self._path, self._log = path, log
        self._metadata = MetadataColumns() if add_metadata else None
        self._run_id = uuid.uuid4().hex
        self._saved = Saved("")
        self._reached = NOTHING
        self._safe: SafePoint | None = None
        self._held = contextlib.ExitStack()
        self._opened: Store | None = None
        self.doubts: list[str] = []
        # TODO(acme): a store that tells which rows are new, changed or gone notes that here, once they are committed.
        self.outcomes = Outcomes()

    @property
    def _store(self) -> Store:
        assert self._opened is not None  # noqa: S101  the loop has called open()
        return self._opened

    def open(self) -> None:
        self._opened = Store(self._path)

    def begin(self, pipeline: str) -> str | None:
        """Refuse a second run at once, and fence one that does not know that it is not alone."""
        self._held.enter_context(StateFileLock(self._path, pipeline))
        self._saved = self._store.take(pipeline, self._run_id)
        self._reached = reached(self._saved.state)
        return self._saved.state

    def expect_rows_of(self, pipelines: Collection[str]) -> None:
        """What is gone is found in declare()."""

    def pipelines(self, *, with_state: bool = False) -> Sequence[str]:  # noqa: ARG002  none without
        return self._store.pipelines()

    def was_former(self, value: Any) -> bool:
        return digest(value) in self._saved.former

    def expect_gone_rows(self, *, always: bool = False) -> None:  # noqa: ARG002  what is gone is found in declare()
        self._reached = NOTHING

    def change_state(self, edit: Edit, why: str, *, as_it_is: bool = False) -> str | None:  # noqa: ARG002  as above
        """Replace the state by hand; the one before goes into the history beside the store."""
        entry = history.kept_now(
            self._saved.state, why, self._run_id, self._saved.epoch, self._saved.sequence
        )
        history.append(self._path, entry)
        self._save(edit(self._saved.state))
        return self._saved.state

    def declare(self, stream: Stream) -> Stream:
        """TODO(acme): make or alter the table here, and return the stream in the kinds that its columns want.

        Raises:
            RowsGone: the state says that rows were loaded, and there are none.
        """
        if self._reached.names(stream.name) and not self._store.has_rows(stream.name):
            raise RowsGone(
                f"There are no rows of stream `{stream.name}` in {self._path}, and the saved state says that some were loaded."
            )
        self._store.declare(stream.name, stream.key_properties)
        return stream

    def write(self, stream: Stream, batch: Batch) -> None:
        if self._metadata and not stream.is_whole_record:
            batch = self._metadata.added_to(batch, stream)
        self._store.put(stream.name, documents(stream, batch))

    def reject(self, rejects: Sequence[Reject]) -> None:
        self._store.set_aside(
            [(self._run_id, one.stream, one.line, one.path, one.reason, one.record) for one in rejects]
        )

    def overwrite(self, stream: Stream, *, removes: bool) -> None:
        """It is never called: no stream of this target is overwritten."""

    def activate_version(self, stream: Stream, version: int, siblings: Siblings | None = None) -> None:  # noqa: ARG002  TODO(acme)
        """TODO(acme): remove the rows of other versions, once they are told apart (`_sdc_table_version`)."""
        self._log.warning(
            "ACTIVATE_VERSION %d of stream `%s`: rows of other versions stay.", version, stream.name
        )

    def replace(self, stream: Stream, where: Batch | None) -> None:  # noqa: ARG002  TODO(acme)
        """TODO(acme): remove the rows that have the values of ``where``, in the transaction of the rows behind it."""
        raise ConfigurationError(
            f"The tap asks for rows of stream `{stream.name}` to be replaced (REPLACE), and target-acme takes none away; what was committed is safe: "
            "have the tap send such rows beside the former ones."
        )

    def mark_safe(self, point: SafePoint) -> None:
        self._store.mark()
        self._safe = point

    def settle(self) -> Mapping[str, int]:
        """The store refuses no row by itself, and what was written is where it belongs."""
        return {}

    def commit(self, state: str | None) -> None:
        self._save(self._saved.state if state is None else state)
        self._safe = None

    def _save(self, state: str | None) -> None:
        former = self._saved.former
        if state != self._saved.state:
            former = after(former, self._saved.state)
        saved = replace(self._saved, sequence=self._saved.sequence + 1, state=state, former=former)
        self._store.commit(saved, epoch=self._saved.epoch)
        self._saved = saved

    def back_to_safe(self) -> SafePoint | None:
        if self._safe is not None:
            self._store.back()
        return self._safe

    def rollback(self) -> None:
        """Called when open() has failed, too."""
        self._safe = None
        if self._opened is not None:
            self._opened.rollback()

    def recover(self) -> None:
        """TODO(acme): connect again, where your client raises `UnitLost` for a lost connection."""
        self.rollback()

    def close(self) -> None:
        with self._held:
            if self._opened is not None:
                self._opened.close()
