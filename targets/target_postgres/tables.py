"""The table of a stream: made or fitted to what the SCHEMA declares, before any row is written."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

import psycopg2
from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_sql_target.deletions import new_marks
from singerkit_sql_target.fieldcomments import new_fields
from singerkit_sql_target.fitting import MOST_NAMED, Fitting, quoted
from singerkit_sql_target.keying import ROW_HASH, check_hashed
from singerkit_sql_target.listmarks import check_appended, new_lists
from singerkit_sql_target.names import identifiers
from singerkit_sql_target.newest import check_ordered, newest_of
from singerkit_sql_target.ranges import key_with_range
from singerkit_sql_target.scopes import Scope
from singerkit_sql_target.settings import Settings
from singerkit_sql_target.tables import StreamTable
from singerkit_sql_target.variants import called, comment_of, new_variants, with_variants_of
from singerkit_sql_target.wholes import with_wholes_of
from singerkit_target.chosen import check_chosen
from singerkit_target.contract import TableRemade
from singerkit_target.held import SCHEMA_CHANGE
from singerkit_wire.kinds import Kind
from singerkit_wire.masks import PRESENT
from singerkit_wire.stream import Stream
from target_postgres import ddl
from target_postgres.arrays import arrays_of
from target_postgres.before import NOTHING_NEW, Before, New
from target_postgres.faults import TableChanged
from target_postgres.guards import check_rules
from target_postgres.keys import hang_again, keys_of, references
from target_postgres.metadata import fit_metadata, may_hold_marks
from target_postgres.partitions import Parted, advice, clause, make_first, parted
from target_postgres.parts import Overwrite, Part
from target_postgres.plain import plain_columns
from target_postgres.ranges import check_no_ranges, check_ranges
from target_postgres.retyping import fit_types, type_of
from target_postgres.stored import as_stored, check_keys
from target_postgres.types import ORDERED, ColumnType
from target_postgres.upkeep import Making
from target_postgres.words import WORDS

__all__ = ["Table", "build_key", "fit_table", "give_key", "hold"]

_MOST_MASKED = 700
"""Columns: a statement over two rows side by side has twice as many, and PostgreSQL takes 1,664."""
_TAKES_TIMES = frozenset({"timestamptz", "timestamp", "text"})


@dataclass
class Table(StreamTable):
    """A table that rows are copied into, straight or by way of a stage.

    ``binary`` and ``local`` are the fields that go to `bytea` and to `timestamp without time zone`. ``takes_copies``: the
    table was empty when the run met it, so rows are copied straight in until a key repeats; ``new`` was made for the unit in hand, and holds nothing but its rows. ``staged`` names the columns
    of the rows that wait in the stage, which ``is_spent`` where it may hold rows that are written, or is not fresh in this unit; ``has_marks``: some of them are to be deleted. ``held`` are its columns as they were when the stream was declared, and ``shape`` is
    what it was then, or when it was last seen that nothing of that matters; ``is_locked``: it stays so until the unit ends.
    ``lacks_key``: it holds rows that are committed, and gets the stream's key in the unit that brings more of them. ``parts``:
    what waits of it for other tables, to which foreign keys tie it, or, where its stream ``overwrites``, for the end of the load, which ``overwrite`` is.
    ``scope``: the columns by which that takes the place of a part. ``history``: the stream's own key, where each version of a row is kept.
    ``parted``: its partitions are made as rows need them.
    """

    binary: frozenset[str]
    local: frozenset[str]
    arrays: Mapping[str, str]
    held: Mapping[str, ddl.ExistingColumn]
    shape: ddl.Shape
    takes_copies: bool
    stage: str
    new: New = NOTHING_NEW
    has_stage: bool = False
    is_spent: bool = False
    staged: tuple[str, ...] | None = None
    staged_lines: tuple[int, int] | None = None
    has_repeats: bool = False
    has_marks: bool = False
    is_locked: bool = False
    lacks_key: bool = False
    parts: tuple[Part, ...] = ()
    overwrites: bool = False
    overwrite: Overwrite | None = None
    history: tuple[str, ...] = ()
    scope: Scope | None = None
    parted: Parted | None = None

    @property
    def detours(self) -> ddl.Detours:
        """What its triggers may do to rows."""
        return self.shape.detours

    @property
    def keepers(self) -> str:
        return self.shape.keepers

    @property
    def plain(self) -> frozenset[str]:
        """Its columns in which only what is equal in each byte is equal."""
        return plain_columns(self.held)

    @property
    def identifier(self) -> Identifier:
        return ddl.table_name(self.schema, self.name)

    @property
    def is_alone(self) -> bool:
        """Whether rows of tables that inherit from it are none of its stream: no trigger can have put them there."""
        return self.shape.is_inherited and not self.shape.is_routed

    @property
    def rows(self) -> Composable:
        """Where the rows of its stream are."""
        return ddl.rows_of(self.identifier, is_alone=self.is_alone)

    @property
    def takes_masks(self) -> bool:
        """Whether its rows may wait in one stage whatever fields they leave out (`masks.py`): nothing of the table tells what becomes of them."""
        shape = self.shape
        is_tied = shape.ties.now or shape.ties.late or shape.ties.is_referred_to
        is_guarded = shape.detours or shape.row_security.keeping or shape.row_security.hides
        waits = is_tied or self.overwrites or self.newest is not None  # or is compared row by row
        if (
            not self.given.key_properties
            or not self.keys
            or self.history
            or waits
            or is_guarded
            or shape.is_inherited
        ):
            return False
        fills = any(column.has_default for column in self.held.values())
        return not fills and PRESENT not in self.columns.values() and len(self.columns) <= _MOST_MASKED

    def alone(self) -> Table:
        """The same for statements that name its rows by ``quoted``."""
        return replace(self, quoted=f"ONLY {self.quoted}") if self.is_alone else self


def fit_table(
    cursor: Cursor,
    stream: Stream,
    settings: Settings,
    number: int,
    log: logging.Logger,
    start_over: str,
    *,
    former: Table | None = None,
    new: New = NOTHING_NEW,
    kept: Collection[str] = (),
    waiting: frozenset[str] = frozenset(),
    must_hold: bool | None = False,
    loaded_into: int | None = None,
    doubts: list[str] | None = None,
    making: Making = ddl.AS_EVER,
) -> Table:
    """Create the table of a stream, or add to the existing one what it lacks.

    ``number`` tells the stages of a session apart; ``start_over`` is the command that reads the stream anew; ``former`` is
    the table as this run has loaded into it, which must be there (FAULTS D8); ``new`` is what was made of
    it for the unit in hand, ``kept`` the columns that stay where the stream is refused; ``waiting`` those of which values wait beside it; ``must_hold`` when the state says that rows were loaded before, None when nobody has noted it;
    ``loaded_into`` is the OID of the table that they were loaded into, where that was noted;
    ``making`` is how a table is made; ``doubts`` takes a sentence where rows were loaded and are gone, and the state does not tell of which streams it is.

    Raises:
        RowsGone: rows were loaded, and the table is gone, empty or another one.
        BadDataError: names collide, a key or type does not fit the existing table.
        ConfigurationError: the table has a rule.
    """
    stream = settings.as_told(stream)
    fitting = Fitting(WORDS, settings, log, stream, start_over)
    name = fitting.name
    existing = fitting.look(partial(ddl.inspect, cursor))
    check_appended(fitting, existing)
    metadata = fitting.metadata(has_marks=existing is not None and may_hold_marks(existing, stream))

    def named_types(stream: Stream) -> tuple[dict[str, str], dict[str, ColumnType]]:
        where = f"the schema of stream `{stream.name}`"
        columns = identifiers(
            [*stream.column_names, *metadata], where, WORDS, called=called(replace(fitting, stream=stream))
        )
        there = {} if existing is None else existing.columns
        own = {
            columns[column.name]: type_of(stream, column, settings, there.get(columns[column.name]))
            for column in stream.columns
        }
        return columns, own | {
            columns[name]: ColumnType(WORDS.types[one.kind]) for name, one in metadata.items()
        }

    fitting = replace(fitting, stream=with_wholes_of(fitting, {} if existing is None else existing.columns))
    stream = with_variants_of(fitting, {} if existing is None else existing.columns)
    columns, types = named_types(stream)
    fitting.check_renamed(existing, {field: columns[field] for field in stream.fields})
    fitting.tell_left_columns(existing, columns.values())
    if existing is not None:
        stream = replace(fitting, stream=stream).held_to_contract(columns, existing.columns)
        columns, types = named_types(stream)
    keys = tuple(columns[key] for key in settings.key(stream))
    scope = settings.scope(stream.name)
    history: tuple[str, ...] = ()
    if settings.keeps_history(stream.name):
        history, keys = keys, key_with_range(fitting, columns)
    if not settings.loads_extra:
        check_chosen(stream, settings.column_types)
    table = ddl.table_name(fitting.schema, name)
    if existing is None or existing.oid != new.oid:
        new = NOTHING_NEW
    given_before = None if former is None else {former.columns[one.name]: one for one in former.given.columns}
    before = Before.of(given_before, new, kept, waiting)
    of_roots: list[Composed] = []
    if existing is not None:
        fitting = replace(fitting, stream=stream)
        if not history:
            check_no_ranges(cursor, fitting, existing)
        stream = fit_types(fitting, cursor, table, existing, columns, keys, before, of_roots)
        columns, types = named_types(stream)
    if existing is not None:
        check_hashed(existing.primary_key, keys, stream.name, fitting.where, fitting.quoted)
    if existing is not None and history:
        check_ranges(cursor, fitting, existing, columns, keys)
    is_empty = existing is None or existing.is_empty
    is_of_this_run = is_empty if former is None else former.is_of_this_run
    is_remade = existing is not None and loaded_into not in (None, existing.oid)
    if (is_remade and not settings.naming.is_plain) or (existing is None and loaded_into is not None):
        _check_moved(cursor, fitting, loaded_into, must_hold)
    fitting.check_rows(existing, must_hold, None if is_remade else doubts)
    remade = (
        f"The table {fitting.where} is not the one that rows of stream `{stream.name}` were loaded into: others have "
        "dropped that and made this one, as a restore from a dump does, and it may lack rows."
        f"{'' if keys else _empty_first(fitting)}"
    )
    if is_remade and must_hold:
        raise TableRemade(remade)
    if doubts is not None and is_remade:
        doubts.append(remade)
    added = [short for short in types if existing is None or short not in existing.columns]
    lacks_key = False
    read_anew = fitting.read_anew(keys)
    if existing is None:
        if former is not None:
            raise fitting.dropped()
        if fitting.schema != settings.schema:
            ddl.create_schema(cursor, fitting.schema)
        ddl.create_table(
            cursor,
            table,
            [(column, type_.sql) for column, type_ in types.items()],
            keys,
            making,
            clause(
                making.division, stream, columns, {short: type_.sql for short, type_ in types.items()}, keys
            ),
        )
        make_first(cursor, fitting.schema, name, making)
        fitting.tell_made()
    else:
        lacks_key = _fit(
            replace(fitting, stream=stream), cursor, table, existing, columns, types, keys, before, of_roots
        )
        fitting.tell_added(added, read_anew, is_of_this_run=is_of_this_run)
        _tell_beside(fitting, added, types, existing, read_anew)
    if existing is None and name != stream.name:
        ddl.comment_table(cursor, table, f"stream {stream.name}")
    ddl.comment_columns(cursor, table, new_fields(columns, added))
    variants = new_variants(stream, columns, added)
    marks = new_marks(stream, columns, added) | new_lists(stream, columns, added)
    ddl.comment_columns(
        cursor, table, {short: comment_of(field) for short, field in variants.items()} | marks
    )
    actual, actual_shape = ddl.found_now(cursor, fitting.schema, name, existing)
    if former is not None:
        _tell_remade(former, actual, log, added)
    held = {field: actual[short] for field, short in columns.items()}
    fitting = replace(fitting, stream=stream)
    if not settings.appends(stream.name):
        check_keys(fitting, held)
    given = as_stored(fitting, held)
    bases = {field: column.base for field, column in held.items()}
    check_ordered(given, bases, ORDERED)
    check_rules(cursor, stream.name, table, actual_shape.rules, has_key=bool(keys))
    table_of_stream = Table(
        stream=stream.name,
        given=given,
        schema=fitting.schema,
        name=name,
        quoted=fitting.quoted,
        columns=columns,
        keys=keys,
        types={short: actual[short].type for short in columns.values()},
        moments=frozenset(field for field, column in held.items() if column.base in _TAKES_TIMES),
        binary=frozenset(column.name for column in given.columns if column.kind is Kind.BINARY),
        local=frozenset(field for field, column in held.items() if column.base == "timestamp"),
        arrays=arrays_of(given.columns, held),
        held={short: actual[short] for short in columns.values()},
        shape=actual_shape,
        takes_copies=is_empty and not lacks_key and not history,
        is_of_this_run=is_of_this_run,
        stage=f"singerkit_stage_{number}",
        read_anew=read_anew,
        new=New(
            {**new.columns, **{short: actual[short].number for short in added}},
            actual_shape.oid,
            is_table=existing is None or new.is_table,
        ),
        lacks_key=lacks_key,
        overwrites=settings.overwrites(stream.name) or scope is not None,
        scope=None if scope is None else replace(scope, fields=tuple(columns[name] for name in scope.fields)),
        history=history,
        parted=parted(
            cursor,
            fitting,
            making,
            actual_shape.oid,
            columns,
            {short: actual[short].type for short in columns.values()},
            tells=former is None,
        ),
        newest=newest_of(given, columns, WORDS.quote),
    )
    table_of_stream.given = replace(given, takes_masks=table_of_stream.takes_masks)
    return table_of_stream


def hold(cursor: Cursor, table: Table, log: logging.Logger, *, must_hold: bool = False) -> None:
    """Lock the table until the unit ends, and see that rows meet in it what they did when the stream was declared.

    ``must_hold``: it held rows at the last commit.

    Raises:
        TableChanged: they do not (FAULTS D8): in a column of another type values would be rounded without a word; or the
            table was emptied.
        BadDataError: the table, or a column of it, is gone.
        ConfigurationError: it has a rule.
    """
    ddl.lock_for_writing(cursor, table.identifier)
    shape = ddl.shape(cursor, table.schema, table.name)
    check_rules(cursor, table.stream, table.identifier, shape.rules, has_key=bool(table.keys))
    if shape[:3] != table.shape[:3]:
        _check_unchanged(cursor, table, shape, log)
    if must_hold and shape.files != table.shape.files and ddl.is_empty(cursor, table.identifier):
        raise TableChanged(
            f"The table {table.schema}.{table.name} was emptied by others while stream `{table.stream}` was loaded. The rows that "
            f"were committed before are gone: put them back, or read the stream anew: run {table.read_anew}."
        )
    table.shape = shape
    table.is_locked = True


def _check_unchanged(cursor: Cursor, table: Table, shape: ddl.Shape, log: logging.Logger) -> None:
    where = f"{table.schema}.{table.name}"
    now = ddl.inspect(cursor, table.schema, table.name) if shape.oid == table.shape.oid else None
    gone = [] if now is None else [short for short in table.held if short not in now.columns]
    if now is None or gone:
        what = f"the column `{gone[0]}` is gone" if gone else "another one has its name"
        raise BadDataError(
            f"The table {where} was dropped or altered by others while stream `{table.stream}` was loaded: {what}; what was "
            "committed is safe: put it back, or reset the state to load it anew."
        )
    _tell_remade(table, now.columns, log)
    changes = [
        f"`{short}` was `{was.type}` and is `{now.columns[short].type}`"
        if was.type != now.columns[short].type
        else f"`{short}` has another collation or way to be written"
        for short, was in table.held.items()
        if now.columns[short] != was and not now.columns[short].is_wider_than(was)
    ]
    if table.keys and not table.lacks_key and frozenset(table.keys) not in now.unique_keys:
        changes.append(f"{quoted(table.keys)} is no key of it any more")
    if changes:
        raise TableChanged(
            f"The table {where} was altered by others while stream `{table.stream}` was loaded: {'; '.join(changes[:MOST_NAMED])}",
            ". What was committed is safe: run again.",
        )
    table.held = {short: now.columns[short] for short in table.held}


def _tell_remade(
    former: Table,
    now: Mapping[str, ddl.ExistingColumn],
    log: logging.Logger,
    added: Collection[str] = (),
) -> None:
    """Name the columns that others have made anew, besides those that were just ``added`` and told of."""
    remade = [
        short
        for short, was in former.held.items()
        if short in now and short not in added and now[short].number != was.number
    ]
    if remade:
        log.warning(
            "Others have dropped columns of the table of stream `%s` and made them again while it was loaded: %s. Rows that were "
            "loaded before have lost their values there: read the stream anew: run %s.",
            former.stream,
            quoted(remade[:MOST_NAMED]),
            former.read_anew,
        )
        former.held = {short: now[short] for short in former.held if short in now}


def _check_moved(cursor: Cursor, fitting: Fitting, loaded_into: int | None, must_hold: bool | None) -> None:
    before = None if loaded_into is None else ddl.name_of(cursor, loaded_into)
    if before is not None:
        fitting.tell_moved(before, must_hold=must_hold)


def _empty_first(fitting: Fitting) -> str:
    statement = f"{WORDS.emptying} {fitting.quoted}"
    return f" Its rows have no key, and would be there twice: whoever reads it from the beginning runs `{statement}` first."


def _tell_beside(
    fitting: Fitting, added: Sequence[str], known: Collection[str], existing: ddl.Existing, read_anew: str
) -> None:
    """Name a new column that stands beside one of nearly its name."""
    beside = [
        (there, name)
        for name in added
        for there in existing.columns
        if there.lower() == name.lower() and there not in known
    ]
    if beside:
        fitting.log.warning(
            "The table of stream `%s` has `%s`, which no field of the stream is called, and now `%s` beside it: names count "
            "as they are written. If they are one, drop the new column, rename the other to its name (`ALTER TABLE ... RENAME COLUMN`) "
            "and read the stream anew: run %s.",
            fitting.stream.name,
            *beside[0],
            read_anew,
        )


def _fit(
    fitting: Fitting,
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    columns: Mapping[str, str],
    types: Mapping[str, ColumnType],
    keys: tuple[str, ...],
    before: Before,
    of_roots: Sequence[Composed],
) -> bool:
    """Fit columns and key; return whether the key is left to `give_key`, since rows are there that are committed."""
    stream = fitting.stream
    missing = [(short, type_.sql) for short, type_ in types.items() if short not in existing.columns]
    if missing and ddl.is_partition(cursor, existing.oid):
        of_roots = [*of_roots, *(ddl.adding(short, type_) for short, type_ in missing)]
    elif missing:
        ddl.add_columns(cursor, table, missing)
    if of_roots:
        _refuse_inherited(fitting, cursor, table, existing, of_roots)
    fit_metadata(cursor, table, existing, stream, columns)
    if not keys:
        _check_takes_every_row(cursor, table, existing, stream, columns)
    elif not _has_key(existing, keys):
        _check_key(cursor, table, existing, stream, columns, keys)
        if not (before.new.is_table and existing.oid == before.new.oid):
            return True
        _change_key(cursor, table, existing, stream, columns, keys, fitting.log)
    return False


def _refuse_inherited(
    fitting: Fitting, cursor: Cursor, table: Identifier, existing: ddl.Existing, changes: Sequence[Composed]
) -> NoReturn:
    """What a table has from others can be changed there only, and what these are for is not ours to know.

    Raises:
        ConfigurationError: in any case.
        psycopg2.Error: it inherits from several, and PostgreSQL says what it thinks of that.
    """
    roots = ddl.roots(cursor, existing.oid)
    if len(roots) > 1:
        cursor.execute(ddl.altering(table, changes))
    (root,) = roots
    raise ConfigurationError(
        f"The table {fitting.where} of stream `{fitting.stream.name}` has its columns from {root.as_string(cursor)}, and PostgreSQL "
        f"changes them there only; what is stored is untouched: run `{ddl.altering(root, changes).as_string(cursor)}`, which changes all "
        "tables that have them from there, then run again."
    )


def _check_takes_every_row(
    cursor: Cursor, table: Identifier, existing: ddl.Existing, stream: Stream, columns: Mapping[str, str]
) -> None:
    """See that rows which are only appended are not refused by a primary key, as each one would be that comes again.

    One that PostgreSQL or this target fills, a number of the row, is another one each time. A unique index is a wish about
    rows, and refuses them one by one.

    Raises:
        BadDataError: the table has a primary key of the stream's fields.
    """
    field_of = {columns[name]: name for name in stream.column_names}
    if not existing.primary_key or not set(existing.primary_key) <= field_of.keys():
        return
    fields = [field_of[short] for short in existing.primary_key]
    left = ddl.releasable(cursor, existing.oid, _may_be_null(stream, columns) & set(existing.primary_key))
    drop = ddl.dropping_key(table, existing.primary_key_name or "", left)
    appends, give = "has no key", f"give it its key (tap-rest: `{_as_setting('primary_keys', fields)}`)"
    if list(stream.key_properties):
        appends, give = "is appended (`load_method: append`)", "set `load_method` to `upsert`"
    raise BadDataError(
        f"Stream `{stream.name}` {appends}, and its table has the primary key {quoted(fields)}, which would refuse each row that "
        f"comes again; what is stored is untouched: to have rows replace each other {give}, or, to have each one appended, drop "
        f"the primary key with `{drop.as_string(cursor)}`, then run again."
    )


def _as_setting(name: str, value: Sequence[str]) -> str:
    return f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"


def _has_key(existing: ddl.Existing, keys: tuple[str, ...]) -> bool:
    return frozenset(keys) in existing.unique_keys and not existing.is_narrower(keys)


def _check_key(
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    stream: Stream,
    columns: Mapping[str, str],
    keys: tuple[str, ...],
) -> None:
    """See that the stream's key can be the key of the table, before any row comes: the change itself may be made much later.

    Raises:
        BadDataError, ConfigurationError: it cannot.
        psycopg2.Error: the former one cannot be dropped.
    """
    _check_partitions(cursor, table, existing, stream, columns, keys)
    _check_deferrable(cursor, table, existing, stream, keys)
    if not ddl.can_be_key(cursor, table, keys, is_inherited=existing.is_inherited):
        raise _no_key(cursor, table, stream, keys, is_alone=existing.is_inherited)
    if existing.primary_key_name and not _is_users(existing, stream, columns):
        _check_references(cursor, table, existing, stream, keys)
        ddl.try_dropping(cursor, table, existing.primary_key_name)


def _check_references(
    cursor: Cursor, table: Identifier, existing: ddl.Existing, stream: Stream, keys: tuple[str, ...]
) -> None:
    """See that no foreign key refers to the primary key, which is to be one of other columns.

    Raises:
        ConfigurationError: one does.
    """
    found = references(cursor, existing.oid)
    if not found:
        return
    drops = ", ".join(
        f"`{SQL('ALTER TABLE {} DROP CONSTRAINT {}').format(other, Identifier(name)).as_string(cursor)}`"
        for other, name in found[:MOST_NAMED]
    )
    unique = SQL("ALTER TABLE {} ADD UNIQUE ({})").format(
        table, SQL(", ").join(map(Identifier, existing.primary_key))
    )
    raise ConfigurationError(
        f"The key of the table of stream `{stream.name}` is to be {quoted(keys)} and is {quoted(existing.primary_key)}, to which foreign "
        f"keys refer; what is stored is untouched: give the stream that key again (tap-rest: `primary_keys`), or drop what refers to it "
        f"with {drops}, and run again; they can be made anew when the columns are unique by themselves (`{unique.as_string(cursor)}`)."
    )


def _no_key(
    cursor: Cursor, table: Identifier, stream: Stream, keys: Sequence[str], *, is_alone: bool
) -> BadDataError:
    if keys == (ROW_HASH,):
        return BadDataError(
            f"Expected `{ROW_HASH}` in each row of the table of stream `{stream.name}`, by which rows are told apart (`key_properties`), got rows that were "
            f"loaded without; what is stored is untouched: run `TRUNCATE {table.as_string(cursor)}` and read the stream from the beginning."
        )
    last = ddl.keeping_last(table, keys, is_alone=is_alone).as_string(cursor)
    return BadDataError(
        f"Expected the key ({', '.join(stream.key_properties)}) of stream `{stream.name}` to be unique and not null "
        "in the existing table, got rows that are not; what is stored is untouched: clean the table "
        f"(`{last}` leaves of rows with one key the one that stands last) or choose other key properties, then run again."
    )


def _is_users(existing: ddl.Existing, stream: Stream, columns: Mapping[str, str]) -> bool:
    """Whether the primary key is the user's: the stream does not send all of it."""
    return not set(existing.primary_key) <= {columns[name] for name in stream.column_names}


def _may_be_null(stream: Stream, columns: Mapping[str, str]) -> set[str]:
    return {columns[column.name] for column in stream.columns if column.nullable or not column.required}


def build_key(cursor: Cursor, table: Table) -> str | None:
    """Build the index of the key of a table that `lacks_key`, in place of a primary key; None: `give_key` is to build it."""
    existing = ddl.inspect(cursor, table.schema, table.name)
    if (
        existing is None
        or existing.primary_key_name is None
        or _has_key(existing, table.keys)
        or _is_users(existing, table.given, table.columns)
        or ddl.partition_columns(cursor, table.identifier)
    ):
        return None
    index = f"singerkit_key_{existing.oid}"
    former = keys_of(cursor, existing.oid).get(existing.oid)
    ddl.build_key(cursor, table.identifier, index, table.keys, former)
    return index


def give_key(cursor: Cursor, table: Table, log: logging.Logger, index: str | None = None) -> None:
    """Make the key of a table that `lacks_key`, which is rolled back with the rows that want it; ``index``: of `build_key`."""
    existing = ddl.inspect(cursor, table.schema, table.name)
    if existing is not None and (index is not None or not _has_key(existing, table.keys)):
        _change_key(cursor, table.identifier, existing, table.given, table.columns, table.keys, log, index)
        table.shape = ddl.shape(cursor, table.schema, table.name)


def _change_key(
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    stream: Stream,
    columns: Mapping[str, str],
    keys: tuple[str, ...],
    log: logging.Logger,
    index: str | None = None,
) -> None:
    """Make the stream's key the key of the table; where that has a primary key of the user's, beside it.

    A column that was part of the former key takes NULL again where the stream may send one.
    """
    is_users = _is_users(existing, stream, columns)
    left = (set(existing.primary_key) - set(keys)) & _may_be_null(stream, columns)
    try:
        if is_users:
            ddl.add_unique_key(cursor, table, keys)
        else:
            nullable = ddl.releasable(cursor, existing.oid, left)
            former = keys_of(cursor, existing.oid)
            ddl.change_primary_key(
                cursor, table, former.get(existing.oid), keys, nullable=nullable, index=index
            )
            hang_again(cursor, existing.oid, former)
    except psycopg2.IntegrityError:
        raise _no_key(cursor, table, stream, keys, is_alone=existing.is_inherited) from None
    if is_users:
        log.info(
            "The table of stream `%s` keeps its primary key %s, which the stream does not send, and gets a unique constraint on %s, "
            "by which rows replace each other.",
            stream.name,
            quoted(existing.primary_key),
            quoted(keys),
        )
    elif existing.primary_key and not existing.is_empty:
        log.warning(
            "The key of the table of stream `%s` is %s now, and was %s: rows that took each other's place under the former "
            "one are in the table only if the tap sends all rows again.",
            stream.name,
            quoted(keys),
            quoted(existing.primary_key),
            extra=SCHEMA_CHANGE,
        )


def _check_deferrable(
    cursor: Cursor, table: Identifier, existing: ddl.Existing, stream: Stream, keys: tuple[str, ...]
) -> None:
    """See that rows can replace each other by the key; PostgreSQL goes by none that may be judged at the COMMIT.

    Raises:
        ConfigurationError: the primary key is such a one, of the stream's key.
    """
    if not existing.primary_key_is_deferrable or set(existing.primary_key) != set(keys):
        return
    name = Identifier(existing.primary_key_name or "")
    again = SQL("ALTER TABLE {} DROP CONSTRAINT {}, ADD CONSTRAINT {} PRIMARY KEY ({})").format(
        table, name, name, SQL(", ").join(map(Identifier, existing.primary_key))
    )
    raise ConfigurationError(
        f"The primary key of the table of stream `{stream.name}` is DEFERRABLE, and by such a key no row replaces another "
        f"(`ON CONFLICT`); what is stored is untouched: make it one that is not with `{again.as_string(cursor)}`, then run again."
    )


def _check_partitions(
    cursor: Cursor,
    table: Identifier,
    existing: ddl.Existing,
    stream: Stream,
    columns: Mapping[str, str],
    keys: tuple[str, ...],
) -> None:
    """See that the table can have the key: that of a partitioned one has all columns by which it is partitioned.

    Raises:
        ConfigurationError: it cannot.
    """
    by = ddl.partition_columns(cursor, table)
    lacking = [short for short in by if short is not None and short not in keys]
    if None not in by and not lacking:
        return
    field_of = {columns[name]: name for name in stream.column_names}
    fields = [field_of.get(short, short) for short in lacking]
    other = "rename this table, so that the stream gets one of its own"
    if not existing.primary_key:
        other += ", or have each row appended (`load_method: append`)"
    if None in by:
        why, way = "by an expression, and PostgreSQL makes no key over such a table", other
    elif field_of.keys() >= {*lacking}:
        why, way = advice(stream, fields, other)
    else:
        why = f"by {quoted(fields)}, which PostgreSQL wants in each key, and the stream does not send all of that"
        way = other
    raise ConfigurationError(
        f"The table of stream `{stream.name}` is partitioned {why}; what is stored is untouched: {way}; then run again."
    )
