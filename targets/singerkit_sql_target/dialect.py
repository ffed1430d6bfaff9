"""What a database supplies: a `Dialect`, and a `Session` of it for each connection.

    connect() -> Session             once in open(), once in begin(), and after a lost connection
    quote(name, ...) -> str          an identifier, or several with dots between them; whatever the name holds
    new_type(column, chosen) -> str  the type of a column that is to be made
    fitting(column, found, wanted)   the type that keeps what is stored and what comes: ``found`` itself, another, None
    change(found, wanted)            the way to text or documents, where that keeps what is stored
    choice(column, found, wanted)    the way to a type that somebody has chosen, and which values are the same then
    as_stored(column, type)          the column with the kind in which its values are given; None: none goes there
    error(error, doing)              what an exception of the driver means to the user
    session.inspect, create, alter   tables as they are, and additive changes; each in a transaction of its own
    session.tells_apart, note_key    whether rows have a key, and by which one they were loaded
    session.encoded, append, offer   rows as the store takes them; into a stage, in order; read without one
    session.merge                    a stage into a table by key: the last row of a key wins, or deletes
    session.transaction              all or nothing; COMMIT at its end

Everything else is composed in this package, from standard SQL with ``?`` for parameters. A database with a loader of its own
(target-postgres) supplies less, for the rooms that both kinds use: its `Words`, and `Runs` for each open transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from singerkit_quality.matching import Pattern
from singerkit_shell.errors import BadDataError, SingerkitError
from singerkit_sql_target.field import ORDER, Field
from singerkit_sql_target.newest import Newest
from singerkit_target.abilities import Abilities, Domain
from singerkit_target.outcomes import Outcome
from singerkit_wire.kinds import Column, Kind

__all__ = [
    "ORDER",
    "Abilities",
    "Change",
    "Choice",
    "Dialect",
    "EncodesAhead",
    "Existing",
    "ExistingColumn",
    "Field",
    "InTheWay",
    "OutcomeUnknown",
    "Pattern",
    "Runs",
    "Session",
    "Words",
]


@dataclass(frozen=True)
class ExistingColumn:
    """A column as the store has it; ``type`` as its catalog writes it. ``is_inherited``: it is another table's, too."""

    type: str
    is_generated: bool = False
    is_inherited: bool = field(default=False, compare=False, kw_only=True)
    comment: str | None = field(default=None, compare=False, kw_only=True)
    has_default: bool = field(default=False, compare=False, kw_only=True)
    """Whether the store fills it, as far as it is known here."""


@dataclass(frozen=True)
class Existing:
    """A table as the store has it; ``key`` is what `Session.note_key` has kept, None: nothing, or it is not known."""

    columns: Mapping[str, ExistingColumn]
    is_empty: bool
    key: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Change:
    """A way from one type to another that keeps all values: ``using`` is the expression of the column ``{}``.

    ``note`` says what becomes of values; ``keeps_keys``: one that comes again is equal to what is stored then.
    """

    using: str
    note: str = ""
    keeps_keys: bool = True


@dataclass(frozen=True)
class Choice:
    """A way to the type that somebody has chosen: ``using`` is the expression of the column ``{}``, null where there is none.

    ``survives`` is the condition under which a value is the same then; None: each is. ``keeps_keys`` as of `Change`.
    """

    using: str
    survives: str | None = None
    keeps_keys: bool = True


class OutcomeUnknown(Exception):
    """A COMMIT got no answer, or one that does not say whether it happened; ``error`` is the driver's."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class InTheWay(Exception):
    """Something that is no table has the table's name; ``kind`` says what."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind

    def of_a_stream(self, stream: str, schema: str, table: str) -> BadDataError:
        """Return the error that refuses a stream for it."""
        return BadDataError(
            f"Expected a table {schema}.{table} for stream `{stream}`, or nothing of that name, got {self.kind}; what is "
            "stored is untouched: rename it, or load into another schema (`default_target_schema`), then run again."
        )


EncodesAhead = Callable[[Sequence[Field], Sequence[Sequence[Any]]], tuple[Sequence[Any], Any]]
"""Makes of columns, for fields, arrays (`arrays.Array`) and what `Session.made_ahead` has to know of them; called in another process."""


class Runs(Protocol):
    """What runs statements: a session, or a cursor of one."""

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement, in the transaction that is open, if one is; return its rows."""
        ...

    def written(self, statement: str) -> int:
        """Run a statement that inserts, changes or deletes rows; return how many those are."""
        ...

    def inspect(self, schema: str, table: str) -> Existing | None:
        """Return what is there under a name, None for nothing.

        Raises:
            InTheWay: something else than a table.
        """
        ...


class Session(Runs, Protocol):
    """An open connection."""

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

    def transaction(self) -> AbstractContextManager[None]:
        """COMMIT at the end, ROLLBACK after an exception; a COMMIT that fails raises `OutcomeUnknown`."""
        ...

    def create_schema(self, schema: str) -> None: ...

    def create(self, table: str, columns: Sequence[tuple[str, str]]) -> None:
        """Create a table of (name, type); ``table`` is quoted."""
        ...

    def alter(self, table: str, column: str, type_: str, *, is_new: bool, using: str | None = None) -> None:
        """Add a nullable column, or give one another type; ``using`` is the expression of its values then."""
        ...

    def comment(self, table: str, column: str, text: str) -> None:
        """Say of a column what it is; both are quoted. `inspect` returns it."""
        ...

    def indexes(self, schema: str, table: str) -> Sequence[str]:
        """Return the names, quoted, of the indexes for which no column of a table may get another type."""
        ...

    def tells_apart(self, table: str, keys: Sequence[str]) -> bool:
        """Tell whether each row of a table has a key without null, and no two have the same. Reads all of it."""
        ...

    def in_full(self, table: str, column: str, of: str = "stored") -> str:
        """Return how ``of.column`` is compared with what comes, where a column folds by itself; all are quoted."""
        ...

    def note_key(self, table: str, keys: Sequence[str] | None) -> None:
        """Keep with a table by which columns its rows replace each other, `()` for none, None: not known any more."""
        ...

    def create_stage(self, name: str, fields: Sequence[Field]) -> str:
        """Create a stage with ``fields`` and `ORDER`, outside any unit; return its quoted name. It goes with the session."""
        ...

    def encoded(self, fields: Sequence[Field], columns: Sequence[Sequence[Any]], first: int) -> Any:
        """Return rows as `append` takes them, numbered from ``first``; there is at least one. ``columns`` are those of ``fields``.

        Called as soon as the rows have come, so while their values are in the processor's cache, and while another thread may be
        at a commit in the same session: it asks nothing of the store. Values are those of
        `singerkit_wire.values.plain_values`. Each is kept as it is, or the call raises.
        """
        ...

    def made_ahead(
        self,
        ready: tuple[Any, bytes],
        fields: Sequence[Field],
        columns: Sequence[Sequence[Any]],
        count: int,
        first: int,
    ) -> Any:
        """As `encoded`, of what `Dialect.encode_ahead` has said and its arrays, as bytes, with ``columns`` for ``fields`` behind them."""
        ...

    def append(self, stage: str, encoded: Sequence[Any]) -> None:
        """Put rows into a stage, those of one or more calls of `encoded`, in order: every value as it is, or the call raises."""
        ...

    def offer(self, name: str, fields: Sequence[Field], encoded: Sequence[Any]) -> str | None:
        """Have statements read rows as they are, until `withdraw`, as if they stood in a stage; return what stands in its place.

        None: they have to be put into a stage. ``name`` is that of no other one.
        """
        ...

    def withdraw(self, name: str) -> None:
        """Rows that were offered under a name, if any were, are read no more."""
        ...

    def merge(
        self,
        table: str,
        stage: str,
        columns: Sequence[str],
        keys: Sequence[str],
        gone: str | None = None,
        newest: Newest | None = None,
        mark: str | None = None,
    ) -> Outcome:
        """Upsert the rows of a stage; ``columns`` are those it holds, all others keep what is stored. Return what that did; ``mark``: see `partial`.

        A key whose last row has a value in the column ``gone`` is deleted. ``newest``: of rows with one key the newest counts in the place of
        the last, and those that are older than the stored one change nothing.
        """
        ...

    def close(self) -> None: ...


class Words(Protocol):
    """How a database names and says things.

    ``types`` is its value table: the type of a new column of each kind. ``errors`` are the driver's exceptions. ``now`` is
    the expression of the moment, in a session that of its transaction, ``emptying`` what stands before the name of a table to empty it. ``leaves_rows``: a trigger or the like may keep a row as it was and raise nothing.
    """

    name: str
    abilities: Abilities
    types: Mapping[Kind, str]
    errors: tuple[type[Exception], ...]
    now: str
    emptying: str
    leaves_rows: bool
    comments: str
    """Asks for the comments of all columns, each with schema and table; a condition on ``comment`` follows."""

    def quote(self, *names: str) -> str: ...

    def table_name(self, stream: str) -> str:
        """Return the name of a stream's table: the stream's own, or a shorter one that the store takes whole."""
        ...

    def column_name(self, field: str) -> str: ...

    def matches(self, text: str, pattern: Pattern, *, whole: bool = True) -> str:
        """Return the condition that a text, an expression, is one of a pattern, or holds one.

        Raises:
            PatternError: the database does not take such a pattern.
        """
        ...

    def plain_text(self, text: str) -> str:
        """Return a text, an expression, that is compared character by character."""
        ...

    def kept_rows(self, error: Exception) -> tuple[str, str] | None:
        """Say why rows cannot be deleted or marked, and what makes it possible; None: the error is about something else."""
        ...


class Dialect(Words, Protocol):
    """A database, not connected.

    ``inexact_types`` round, so that two keys could become one. ``one_writer``: whoever has the store open keeps all others
    out, so a run opens it no earlier than at its first message. ``works_beside``: it works in this process, so that a commit takes
    none of the time in which rows are decoded if it is made in another thread. ``encode_ahead`` None: no rows are
    decoded in another process.
    """

    domain: Domain
    one_writer: bool
    works_beside: bool
    encode_ahead: EncodesAhead | None
    inexact_types: frozenset[str]

    def connect(self) -> Session:
        """Open a session.

        Raises:
            LockHeldError: another run has it; names which.
            ConfigurationError, NotAuthorisedError, RetryableError, CannotWriteError: as it is.
        """
        ...

    def read_only(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds in a store that is left as it is; nothing where store or table is not there. Raises as `connect`."""
        ...

    def new_type(self, column: Column, chosen: str | None) -> str:
        """Return the type for a new column; ``chosen`` is the config's.

        Raises:
            ValueError: the chosen type is none that rows can be loaded into.
        """
        ...

    def fitting(self, column: Column, found: str, wanted: str) -> str | None: ...

    def change(self, found: str, wanted: str) -> Change | None:
        """Return the way from one type to another of quite another kind, where that keeps all values; None: there is none."""
        ...

    def choice(self, column: Column, found: str, wanted: str) -> Choice | None:
        """Return the way to a type that is chosen for a column with values; None: none keeps any."""
        ...

    def as_stored(self, column: Column, type_: str) -> Column | None: ...

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether the store refuses a statement as it stands, and is well otherwise."""
        ...

    def error(self, error: Exception, doing: str) -> SingerkitError: ...
