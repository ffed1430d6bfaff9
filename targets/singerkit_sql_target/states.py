"""The STATE value in a row of the target's own store, one row per pipeline, committed with the data (DESIGN 5).

The columns are those that target-postgres has. Whoever holds the session holds the pipeline; an epoch fences every run
before, and the sequence says after a lost answer whether a unit was committed.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from singerkit_shell.errors import BadDataError, ConfigurationError, FencedError
from singerkit_sql_target.dialect import Dialect, Session
from singerkit_state.history import BY_HAND, LIMIT, by_hand, same_text, user
from singerkit_state.shards import are_of_one
from singerkit_state.store import Edit
from singerkit_state.value import after, encode
from singerkit_wire.kinds import Kind

__all__ = ["HISTORY", "TABLE", "StateRow", "StateTable"]

Place = tuple[str, str]
"""Schema and name of a table."""

TABLE = "_singerkit_state"
HISTORY = f"{TABLE}_history"

_COLUMNS = {
    "pipeline": Kind.STRING,
    "epoch": Kind.INTEGER,
    "sequence": Kind.INTEGER,
    "state": Kind.STRING,  # the text as it came, numbers and order of keys included
    "run_id": Kind.STRING,
    "host": Kind.STRING,
    "pid": Kind.INTEGER,
    "started_at": Kind.DATE_TIME,
    "committed_at": Kind.DATE_TIME,
    "former": Kind.STRING,  # digests of the states from before, newest first: what a state file that is behind may say
    "loaded": Kind.STRING,  # names of the streams whose tables held rows at the last commit
}
_HISTORY_COLUMNS = {
    "pipeline": Kind.STRING,
    "number": Kind.INTEGER,
    "at": Kind.DATE_TIME,
    "why": Kind.STRING,
    "by": Kind.STRING,
    "pid": Kind.INTEGER,
    "run_id": Kind.STRING,
    "epoch": Kind.INTEGER,
    "sequence": Kind.INTEGER,
    "state": Kind.STRING,
}


@dataclass(frozen=True)
class StateRow:
    """What the row of a pipeline says. ``state_text`` is the last STATE value as it was received, None before the first.

    ``places`` are the schemas and tables of ``loaded`` streams that are not in the table of their own name.
    """

    pipeline: str
    epoch: int
    sequence: int
    state_text: str | None
    run_id: str | None
    former: tuple[str, ...] = ()
    loaded: frozenset[str] | None = None
    places: Mapping[str, Place] = field(default_factory=dict)


class StateTable:
    """The table of a schema. Its methods but `advance` are transactions of their own."""

    def __init__(self, dialect: Dialect, schema: str) -> None:
        self._dialect, self._schema = dialect, schema
        self._table = dialect.quote(schema, TABLE)
        self._history = dialect.quote(schema, HISTORY)

    def ensure(self, session: Session) -> None:
        """Make schema and tables when they are missing.

        Raises:
            ConfigurationError: a table has the name, and is no state table.
        """
        session.create_schema(self._schema)
        for name, columns in ((TABLE, _COLUMNS), (HISTORY, _HISTORY_COLUMNS)):
            found = session.inspect(self._schema, name)
            quoted = self._dialect.quote(self._schema, name)
            if found is None:
                session.create(
                    quoted, [(column, self._dialect.types[kind]) for column, kind in columns.items()]
                )
            elif missing := [column for column in columns if column not in found.columns]:
                raise ConfigurationError(
                    f"The table {self._schema}.{name} exists but is not the one this target keeps its state in, it has no "
                    f"column `{missing[0]}`; rename it, or load into another schema (`default_target_schema`)."
                )

    def acquire(self, session: Session, pipeline: str, run_id: str) -> StateRow:
        """Begin a new epoch for the run ``run_id``, making the row on first use; keep the state that it begins with."""
        with session.transaction():
            if self._find(session, pipeline) is None:
                session.execute(
                    f"INSERT INTO {self._table} (pipeline, epoch, sequence) VALUES (?, 0, 0)", [pipeline]
                )
            self._begin_epoch(session, pipeline, run_id)
            row = self._get(session, pipeline)
            if row.state_text is not None:
                before = replace(row, epoch=row.epoch - 1)
                if not same_text(self._newest(session, pipeline), row.state_text):
                    self._keep(session, before, "run")
            return row

    def _begin_epoch(self, session: Session, pipeline: str, run_id: str) -> None:
        session.execute(
            f"UPDATE {self._table} SET epoch = epoch + 1, run_id = ?, host = ?, pid = ?, started_at = {self._moment} "
            "WHERE pipeline = ?",
            [run_id, platform.node(), os.getpid(), _now(), pipeline],
        )

    def advance(self, session: Session, row: StateRow, state: str | None) -> StateRow:
        """Move the row on by one commit, inside the caller's transaction; return it as COMMIT will leave it.

        Raises:
            FencedError: the row is not as this run left it (FAULTS P8).
        """
        former = row.former if state is None else after(row.former, row.state_text)
        session.execute(
            f"UPDATE {self._table} SET sequence = sequence + 1, state = coalesce(?, state), former = ?, "
            f"committed_at = {self._moment} WHERE pipeline = ? AND epoch = ? AND sequence = ?",
            [state, json.dumps(former), _now(), row.pipeline, row.epoch, row.sequence],
        )
        found = self._find(session, row.pipeline)
        if found is None or (found.epoch, found.sequence) != (row.epoch, row.sequence + 1):
            raise _fenced(row, found)
        return replace(
            row,
            sequence=row.sequence + 1,
            state_text=row.state_text if state is None else state,
            former=former,
        )

    def note_loaded(
        self, session: Session, row: StateRow, loaded: frozenset[str], places: Mapping[str, Place]
    ) -> StateRow:
        """Note the streams whose tables hold rows, and which tables these are, inside the caller's transaction."""
        kept = {
            stream: place
            for stream, place in {**row.places, **places}.items()
            if stream in loaded and place != self.place_of_name(stream)
        }
        if (loaded, kept) != (row.loaded, row.places):
            session.execute(
                f"UPDATE {self._table} SET loaded = ? WHERE pipeline = ?",
                [_as_text(loaded, kept), row.pipeline],
            )
        return replace(row, loaded=loaded, places=kept)

    def place_of_name(self, stream: str) -> Place:
        """The place of a stream's table where the config says nothing about names."""
        return self._schema, self._dialect.table_name(stream)

    def place_of(self, row: StateRow, stream: str) -> Place | None:
        """Return where the rows of a stream were loaded; None: nobody has noted that any were."""
        return row.places.get(stream, self.place_of_name(stream)) if stream in (row.loaded or ()) else None

    def streams_in(self, row: StateRow, place: Place) -> list[str]:
        """Return the streams of a pipeline that were loaded into a table."""
        return [stream for stream in row.loaded or () if self.place_of(row, stream) == place]

    def was_committed(self, session: Session, row_after: StateRow) -> bool:
        """Tell whether the transaction that returned ``row_after`` was committed, when COMMIT got no answer (FAULTS D2).

        Raises:
            FencedError: the row is neither as before nor as after it.
        """
        found = self._find(session, row_after.pipeline)
        if found is not None and found.epoch == row_after.epoch:
            if found.sequence == row_after.sequence:
                return True
            if found.sequence == row_after.sequence - 1:
                return False
        raise _fenced(row_after, found)

    def texts(self, session: Session) -> dict[str, str | None]:
        """Return the states of all pipelines."""
        return dict(session.execute(f"SELECT pipeline, CAST(state AS text) FROM {self._table}"))

    def pipelines(self, session: Session, *, with_state: bool = False) -> list[str]:
        which = "WHERE state IS NOT NULL " if with_state else ""
        found = session.execute(f"SELECT pipeline FROM {self._table} {which}ORDER BY pipeline")
        return [name for (name,) in found]

    def others_with(self, session: Session, pipeline: str, place: Place) -> list[str]:
        """Return the other pipelines that have loaded a stream into that table."""
        rows = session.execute(
            f"SELECT pipeline, loaded FROM {self._table} WHERE pipeline <> ? AND state IS NOT NULL AND loaded IS NOT NULL "
            "ORDER BY pipeline",
            [pipeline],
        )
        return [
            name for name, loaded in rows if not are_of_one(name, pipeline) and place in self._places(loaded)
        ]

    def _places(self, loaded: str | None) -> list[Place]:
        places = _noted_places(loaded)
        return [places.get(stream, self.place_of_name(stream)) for stream in _names(loaded)]

    def change(self, session: Session, pipeline: str, edit: Edit, why: str, *, as_it_is: bool) -> StateRow:
        """Replace the state by hand: begin an epoch, keep the former value; ``as_it_is`` forgets which tables held rows."""
        with session.transaction():
            former = self._get(session, pipeline)
            text = edit(former.state_text)
            self._keep(session, former, why)
            self._begin_epoch(session, pipeline, by_hand(why))
            kept = former.former if text == former.state_text else after(former.former, former.state_text)
            loaded = frozenset() if as_it_is else former.loaded
            session.execute(
                f"UPDATE {self._table} SET sequence = sequence + 1, state = ?, former = ?, loaded = ?, "
                f"committed_at = {self._moment} WHERE pipeline = ?",
                [
                    text,
                    json.dumps(kept),
                    None if loaded is None else _as_text(loaded, former.places),
                    _now(),
                    pipeline,
                ],
            )
            return self._get(session, pipeline)

    def _find(self, session: Session, pipeline: str) -> StateRow | None:
        found = session.execute(
            f"SELECT epoch, sequence, state, run_id, former, loaded FROM {self._table} WHERE pipeline = ?",
            [pipeline],
        )
        if not found:
            return None
        epoch, sequence, state, run_id, former, loaded = found[0]
        noted = None if loaded is None else frozenset(_names(loaded))
        places = _noted_places(loaded)
        return StateRow(pipeline, epoch, sequence, state, run_id, tuple(_names(former)), noted, places)

    def _get(self, session: Session, pipeline: str) -> StateRow:
        row = self._find(session, pipeline)
        if row is None:
            raise BadDataError(
                f"The row of the pipeline `{pipeline}` in {self._schema}.{TABLE} was removed by others meanwhile; what was "
                "committed is safe: put it back, or let a run make it anew, and run again."
            )
        return row

    def _newest(self, session: Session, pipeline: str) -> str | None:
        found = session.execute(
            f"SELECT state FROM {self._history} WHERE pipeline = ? ORDER BY number DESC LIMIT 1", [pipeline]
        )
        return found[0][0] if found else None

    def _keep(self, session: Session, row: StateRow, why: str) -> None:
        """Add an entry to the history, and let the oldest go."""
        found = session.execute(f"SELECT max(number) FROM {self._history} WHERE pipeline = ?", [row.pipeline])
        number = (found[0][0] or 0) + 1
        session.execute(
            f"INSERT INTO {self._history} ({', '.join(map(self._dialect.quote, _HISTORY_COLUMNS))}) "
            f"VALUES (?, ?, {self._moment}, ?, ?, ?, ?, ?, ?, ?)",
            [
                row.pipeline,
                number,
                _now(),
                why,
                user(),
                os.getpid(),
                row.run_id,
                row.epoch,
                row.sequence,
                row.state_text,
            ],
        )
        session.execute(
            f"DELETE FROM {self._history} WHERE pipeline = ? AND number <= ?", [row.pipeline, number - LIMIT]
        )

    @property
    def _moment(self) -> str:
        return f"CAST(? AS {self._dialect.types[Kind.DATE_TIME]})"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _names(text: str | None) -> Sequence[Any]:
    """A JSON array of text; nothing where somebody has edited it."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return ()
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else ()


def _as_text(loaded: frozenset[str], places: Mapping[str, Place]) -> str:
    """What a version that knows of no places reads as the names alone."""
    kept = {stream: list(places[stream]) for stream in sorted(places.keys() & loaded)}
    return encode([*sorted(loaded), *([{"places": kept}] if kept else [])])


def _noted_places(text: str | None) -> dict[str, Place]:
    try:
        found = json.loads(text or "[]")
        return {stream: (str(schema), str(table)) for stream, (schema, table) in found[-1]["places"].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}  # there are none, or somebody has edited them


def _fenced(row: StateRow, found: StateRow | None) -> FencedError:
    if found is None:
        reason = f"its row in {TABLE} is gone"
    elif found.epoch == row.epoch:
        reason = f"its row in {TABLE} was changed by somebody else"
    elif (found.run_id or "").startswith(BY_HAND):
        reason = f"by `{found.run_id}`"
    else:
        reason = f"the run {found.run_id} has taken over"
    return FencedError(
        f"This run of the pipeline `{row.pipeline}` is fenced, {reason}; what it committed before is safe, the rest was rolled "
        "back, let the other run finish and then run again."
    )
