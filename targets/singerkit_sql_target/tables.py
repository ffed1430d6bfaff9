"""The table of a stream: made or fitted to what the SCHEMA declares, before any row is written, outside the unit.

Changes only add: a column, or a type that keeps all that the old one held.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.choosing import chosen_change, refused_choice, tell_chosen
from singerkit_sql_target.deletions import may_hold_marks, new_marks
from singerkit_sql_target.dialect import (
    ORDER,
    Change,
    Dialect,
    Existing,
    ExistingColumn,
    Field,
    OutcomeUnknown,
    Runs,
    Session,
)
from singerkit_sql_target.fieldcomments import new_fields
from singerkit_sql_target.fitting import (
    FORGET_TYPES,
    MOST_NAMED,
    VALID_FROM,
    VALID_TO,
    Fitting,
    is_mixed,
    quoted,
)
from singerkit_sql_target.keying import check_hashed
from singerkit_sql_target.listmarks import check_appended, new_lists
from singerkit_sql_target.names import fold, identifiers
from singerkit_sql_target.newest import Newest, check_ordered, newest_of
from singerkit_sql_target.ranges import (
    key_with_range,
    lacks_ranges,
    own_ranges,
    refuse_ranges,
    refuse_without_ranges,
)
from singerkit_sql_target.settings import EXISTING, Settings
from singerkit_sql_target.variants import (
    called,
    comment_of,
    divided,
    new_variants,
    policy,
    stands_beside,
    with_variants_of,
)
from singerkit_sql_target.wholes import with_wholes_of
from singerkit_target.chosen import check_chosen, refused_type
from singerkit_wire.conflicts import OnConflict
from singerkit_wire.kinds import Column, Kind
from singerkit_wire.masks import PRESENT
from singerkit_wire.stream import DELETED_AT, Stream

__all__ = [
    "StreamTable",
    "Table",
    "check_key",
    "columns_of",
    "fit_table",
    "holds_rows",
    "holds_values",
]

_MOMENTS = (Kind.DATE_TIME, Kind.STRING, Kind.ANY_TEXT)
"""Kinds in which values go to columns that take a date-time, of text as well."""


@dataclass
class StreamTable:
    """Where the rows of a stream go, as every database has it.

    ``given`` is the stream with the kinds in which its columns take values. ``columns`` maps the names of fields to those of
    columns, ``types`` these to their types, as the catalog writes them. ``moments`` are the fields whose columns take a
    date-time. ``read_anew`` says what is to be run to have all rows come again; ``is_of_this_run``: the table was empty when the
    run met it, so all its rows are of this run.
    """

    stream: str
    given: Stream
    schema: str
    name: str
    quoted: str
    columns: Mapping[str, str]
    keys: tuple[str, ...]
    types: Mapping[str, str]
    moments: frozenset[str]
    read_anew: str
    is_of_this_run: bool
    newest: Newest | None = field(default=None, kw_only=True)
    """How the newer of two versions of a row is told."""

    @property
    def where(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def keepers(self) -> str:
        """What of the table may keep a row from being changed or deleted, and raise nothing (`Words.leaves_rows`)."""
        return "trigger or rule"

    @property
    def takes_marks_off(self) -> bool:
        """Whether rows may be marked as deleted, in a column of ours: one that is written is not."""
        return DELETED_AT in self.columns and DELETED_AT not in self.given.column_names


@dataclass
class Table(StreamTable):
    """A table that rows are merged into from a stage; ``mask_type`` is that of the column there for what a row leaves out, ``added`` are the
    columns that it got when it was fitted, if it was there.
    ``history``: the stream's own key, where each version of a row is kept.
    """

    mask_type: str = ""
    added: tuple[str, ...] = ()
    history: tuple[str, ...] = ()

    def fields(self, columns: Sequence[Column]) -> tuple[Field, ...]:
        """The columns of a stage for values of these."""
        return tuple(self._field(one) for one in columns)

    def _field(self, column: Column) -> Field:
        if column.name == PRESENT:
            return Field(PRESENT, self.mask_type, column)
        name = self.columns[column.name]
        return Field(name, self.types[name], column)


def columns_of(fields: Iterable[Field], dialect: Dialect) -> list[str]:
    return [dialect.quote(field.name) for field in fields]


def holds_rows(session: Runs, table: StreamTable) -> bool:
    [(found,)] = session.execute(f"SELECT EXISTS (SELECT 1 FROM {table.quoted})")
    return bool(found)


def holds_values(session: Runs, table: str, column: str) -> bool:
    """Tell whether any row has a value in a column; both are quoted."""
    [(found,)] = session.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {column} IS NOT NULL)")
    return bool(found)


ChangeWaiting = Callable[[str, str, str, str], None]
"""Changes a column in the rows that wait: its name, that name quoted, the type, and the expression of its values."""


@dataclass(frozen=True)
class _Fitting(Fitting):
    """``waiting`` are the rows that wait in the stage, by the types of their values; ``change_waiting`` changes those."""

    session: Session
    dialect: Dialect
    waiting: Mapping[str, str]
    change_waiting: ChangeWaiting

    def statement(self, change: str) -> str:
        return f"`ALTER TABLE {self.quoted} {change}`"


def fit_table(
    session: Session,
    dialect: Dialect,
    stream: Stream,
    settings: Settings,
    log: logging.Logger,
    start_over: str,
    *,
    former: Table | None,
    waiting: Mapping[str, str],
    change_waiting: ChangeWaiting,
    must_hold: bool | None,
    doubts: list[str] | None,
) -> Table:
    """Create the table of a stream, or add to the existing one what it lacks.

    ``start_over`` is the command that reads the stream anew; ``former`` is the table as this run has loaded into it, which
    must be there (FAULTS D8); ``must_hold`` when the state says that rows were loaded before, None when nobody has noted
    it; ``doubts`` takes a sentence where rows were loaded and are gone, and the state does not say of which streams it is.

    Raises:
        RowsGone: rows were loaded, and the table is gone or empty.
        BadDataError: names collide, a key or type does not fit the existing table.
    """
    stream = settings.as_told(stream)
    fitting = _Fitting(dialect, settings, log, stream, start_over, session, dialect, waiting, change_waiting)
    existing = fitting.look(session.inspect)
    check_appended(fitting, existing)
    has_marks = existing is not None and may_hold_marks(existing.columns, stream)
    metadata = fitting.metadata(has_marks=has_marks)
    there = {} if existing is None else existing.columns
    fitting = replace(fitting, stream=with_wholes_of(fitting, there))
    fitting = replace(fitting, stream=with_variants_of(fitting, there))
    if not settings.loads_extra:
        check_chosen(stream, settings.column_types)
    is_empty = existing is None or existing.is_empty
    fitting.check_rows(existing, must_hold, doubts)
    if existing is None and former is not None:
        raise fitting.dropped()
    is_of_this_run = is_empty if former is None else former.is_of_this_run
    columns, every = _columns_of(fitting, there, metadata)
    if existing is not None:
        fitting = replace(fitting, stream=fitting.held_to_contract(columns, there))
        columns, every = _columns_of(fitting, there, metadata)
    stream = fitting.stream
    fitting.check_renamed(existing, {field: columns[field] for field in stream.fields})
    fitting.tell_left_columns(existing, columns.values())
    keys = tuple(columns[key] for key in settings.key(stream))
    history: tuple[str, ...] = ()
    if settings.keeps_history(stream.name):
        history, keys = keys, key_with_range(fitting, columns)
    if existing is not None:
        _check_ranges(fitting, existing, columns, has_history=bool(history))
    read_anew = fitting.read_anew(keys)
    _check_key(fitting, existing, columns, keys)
    if existing is None:
        if fitting.schema != settings.schema:
            session.create_schema(fitting.schema)
        types = {name: _new_type(fitting, column) for name, column in every.items()}
        added = list(types)
        with _together(session):
            session.create(fitting.quoted, list(types.items()))
            _comment(fitting, _comments(fitting, columns, added))
        fitting.tell_made()
    else:
        fitting, plan = _planned(fitting, existing, metadata)
        columns, every = _columns_of(fitting, there, metadata)
        types = plan.types
        added = [name for name in types if name not in there]
        _alter_all(fitting, existing, plan, every, _comments(fitting, columns, added))
        fitting.tell_added(added, read_anew, is_of_this_run=is_of_this_run)
    if existing is None or existing.key is None or set(existing.key) != set(keys):
        # Rows that wait under the former key are put into the table later.
        session.note_key(fitting.quoted, None if former is not None and waiting else keys)
    given = _as_stored(fitting, existing, columns, types, metadata)
    check_ordered(given, {name: types[short] for name, short in columns.items()})
    # A default is the value of what is left out of a new row, and no statement for rows of all shapes can ask for it.
    fills = any(name in there and there[name].has_default for name in columns.values())
    takes_masks = (
        bool(keys) and not history and given.order is None and not fills and PRESENT not in columns.values()
    )
    given = replace(given, takes_masks=takes_masks)
    return Table(
        stream=stream.name,
        given=given,
        schema=fitting.schema,
        name=fitting.name,
        quoted=fitting.quoted,
        columns=columns,
        keys=keys,
        types=types,
        moments=frozenset(column.name for column in given.columns if column.kind in _MOMENTS),
        read_anew=read_anew,
        is_of_this_run=is_of_this_run,
        newest=newest_of(given, columns, dialect.quote),
        mask_type=dialect.types[Kind.STRING],
        added=() if existing is None else tuple(added),
        history=history,
    )


def _check_ranges(
    fitting: _Fitting, existing: Existing, columns: Mapping[str, str], *, has_history: bool
) -> None:
    """See that the rows of a history have a range, and those of another table none.

    Raises:
        ConfigurationError: they were loaded in another way.
    """
    quote, type_ = fitting.dialect.quote, fitting.dialect.types[Kind.DATE_TIME]
    alter = f"ALTER TABLE {fitting.quoted}"
    if has_history and lacks_ranges(existing, columns):
        begin, end = quote(columns[VALID_FROM]), quote(columns[VALID_TO])
        added = f"{alter} ADD COLUMN {begin} {type_}; {alter} ADD COLUMN {end} {type_}"
        first = "leave one row of each key, where there are several, then "
        raise refuse_without_ranges(
            fitting, first, f"{added}; UPDATE {fitting.quoted} SET {begin} = {fitting.dialect.now}"
        )
    if not has_history and (ranges := own_ranges(fitting, existing)):
        drops = "; ".join(f"{alter} DROP COLUMN {quote(one)}" for one in ranges)
        raise refuse_ranges(
            fitting, f"DELETE FROM {fitting.quoted} WHERE {quote(ranges[1])} IS NOT NULL; {drops}"
        )


def _columns_of(
    fitting: _Fitting, there: Collection[str], metadata: Mapping[str, Column]
) -> tuple[dict[str, str], dict[str, Column]]:
    """Return the names of columns by field, and the columns by these; what the store calls a column that is there it stays."""
    stream, dialect = fitting.stream, fitting.dialect
    names = identifiers(
        [*stream.column_names, *metadata],
        f"the schema of stream `{stream.name}`",
        dialect,
        (ORDER,),
        called(fitting),
    )
    folded = {fold(name, dialect): name for name in there}
    columns = {name: folded.get(fold(column, dialect), column) for name, column in names.items()}
    every = {**{column.name: column for column in stream.columns}, **metadata}
    return columns, {columns[name]: column for name, column in every.items()}


def _check_key(
    fitting: _Fitting,
    existing: Existing | None,
    columns: Mapping[str, str],
    keys: tuple[str, ...],
) -> None:
    """See that rows which are stored have the key by which those that come replace them.

    Raises:
        BadDataError: the key has changed, and stored rows do not have the new one.
    """
    stream, session, where = fitting.stream, fitting.session, fitting.where
    if existing is not None and not existing.is_empty and set(existing.key or ()) != set(keys):
        noted = existing.key
        check_hashed(noted or (), keys, stream.name, where, fitting.quoted)
        of_column = {column: field for field, column in columns.items()}
        before = [of_column.get(column, column) for column in noted or ()]
        if keys and not (
            existing.columns.keys() >= set(keys)
            and session.tells_apart(fitting.quoted, [fitting.dialect.quote(key) for key in keys])
        ):
            since = f", since they were loaded by the key {quoted(before)}" if before else ""
            raise BadDataError(
                f"Expected the key {quoted(keys)} of stream `{stream.name}` to be unique and not null in the table "
                f"{where}, got rows that are not{since}; what is stored is untouched: read the stream anew: run "
                f"{fitting.start_over}, `DROP TABLE {fitting.quoted}`, then the pipeline again; or give the stream a key that they have."
            )
        if not keys and before and not fitting.settings.appends(fitting.stream.name):
            raise BadDataError(
                f"Stream `{stream.name}` has no key, and rows of its table {where} replace each other by {quoted(before)}: each one "
                "that comes again would be there twice; what is stored is untouched: give the stream its key (tap-rest, tap-sqlite: "
                f'`"primary_keys": {json.dumps(before, ensure_ascii=False)}`), or, to have each row appended, set `load_method` '
                "to `append`, then run again."
            )
        if keys and before:
            fitting.tell_key_changed(fitting.settings.key(stream), before)


def check_key(session: Session, dialect: Dialect, table: Table, keys: Sequence[str]) -> None:
    """See that the rows of a unit so far, and those that are stored, have the key of those behind them.

    Raises:
        BadDataError: they do not.
    """
    if keys and not session.tells_apart(table.quoted, [dialect.quote(key) for key in keys]):
        raise BadDataError(
            f"Expected the key {quoted(keys)} of stream `{table.stream}` to be unique and not null in the rows that came before under "
            "another one, got rows that are not; what was committed is safe: have the tap send each stream with one key, then run again."
        )


def _chosen(fitting: _Fitting, column: Column, found: ExistingColumn | None = None) -> str | None:
    chosen = fitting.settings.type_of(fitting.stream.name, column.name)
    if chosen == EXISTING:
        chosen = None if found is None else found.type
    wanted = chosen or column.schema.get("x-sql-datatype")
    return wanted if wanted is None or isinstance(wanted, str) else json.dumps(wanted)


def _new_type(fitting: _Fitting, column: Column, found: ExistingColumn | None = None) -> str:
    if column.variant_of is not None:
        return fitting.dialect.types[column.kind]
    try:
        return fitting.dialect.new_type(column, _chosen(fitting, column, found))
    except ValueError as error:
        raise refused_type(fitting.stream.name, column.name, error) from None


def _planned(fitting: _Fitting, existing: Existing, metadata: Mapping[str, Column]) -> tuple[_Fitting, _Plan]:
    """Return what is to be changed, and the stream with what its columns do not hold beside them.

    Raises:
        BadDataError: a column does not take the values of its field, and they are not to stand beside it.
    """
    _, every = _columns_of(fitting, existing.columns, metadata)
    plan = _plan(fitting, existing, every)
    refused = []
    _refuse_metadata(fitting, [misfit for misfit in plan.misfits if misfit[0] in metadata])
    for name, found, wanted in plan.misfits:
        column, home = every[name], (_kind_of(fitting, found), None)
        made = None
        if not _chosen(fitting, column):
            made = divided(fitting, column, existing.columns, (found, wanted), home)
        if made is None:
            refused.append((name, found, wanted))
        else:
            fitting = replace(fitting, stream=made)
    if refused:
        _refuse_types(fitting, refused, every)
    if not plan.misfits:
        return fitting, plan
    return fitting, _plan(fitting, existing, _columns_of(fitting, existing.columns, metadata)[1])


def _refuse_metadata(fitting: _Fitting, misfits: Sequence[tuple[str, str, str]]) -> None:
    """See that the metadata columns of another program take what is written.

    Raises:
        BadDataError: some do not.
    """
    if not misfits:
        return
    told = ", ".join(f"`{name}` (type `{wanted}`, in the table `{found}`)" for name, found, wanted in misfits)
    quote = fitting.dialect.quote
    names = [fitting.column(name) for name, *_ in misfits]
    changes = [f"RENAME COLUMN {quote(name)} TO {quote(name + '_before')}" for name in names]
    ways = ", ".join(map(fitting.statement, changes))
    raise BadDataError(
        f"Expected columns of their types for what `add_record_metadata` adds to stream `{fitting.stream.name}`, got others for {told}; what "
        f"is stored is untouched: rename what is there, as with {ways}, or take `add_record_metadata` out of the config, then run again."
    )


def _kind_of(fitting: _Fitting, type_: str) -> Kind:
    """Return the kind of values that a column of a type takes."""
    kinds = {made: kind for kind, made in fitting.dialect.types.items() if kind is not Kind.ANY_TEXT}
    if type_ in kinds:
        return kinds[type_]
    column = Column("", Kind.NUMBER, nullable=True, required=False)
    return Kind.STRING if fitting.dialect.as_stored(column, type_) is None else Kind.NUMBER


@dataclass(frozen=True)
class _Plan:
    """The types that columns have and get, the changes for that, and the columns that take not all values: (name, type, wanted)."""

    types: dict[str, str]
    changes: list[_Alteration]
    misfits: list[tuple[str, str, str]]


def _plan(fitting: _Fitting, existing: Existing, every: Mapping[str, Column]) -> _Plan:
    wanted = {name: _new_type(fitting, column, existing.columns.get(name)) for name, column in every.items()}
    changes: list[_Alteration] = []
    misfits: list[tuple[str, str, str]] = []
    types = dict(wanted)
    for name, column in every.items():
        found = existing.columns.get(name)
        if found is None:
            changes.append(_Alteration(name, wanted[name], is_new=True))
            continue
        if found.is_generated:
            plain = fitting.statement(f"DROP {fitting.dialect.quote(name)}")
            way_out = f"leave the field out with `select`, or let the run make a plain column with {plain}"
            raise fitting.unwritable(column, "a generated one", way_out)
        types[name] = found.type
        is_home_of_none = column.is_filler and column.variant_of is None
        if column.is_always_null or is_home_of_none or found.type == wanted[name]:
            continue
        fits = None if _chosen(fitting, column) else fitting.dialect.fitting(column, found.type, wanted[name])
        if not fitting.settings.contracts.evolves(fitting.stream.name):
            if fits != found.type:
                misfits.append((name, found.type, wanted[name]))
            continue
        # One that a run without any row has made; a type that somebody has chosen for a table stays.
        is_as_made = found.type == fitting.dialect.types[column.kind]
        prefers = fits == found.type and is_as_made and wanted[name] in fitting.dialect.inexact_types
        is_blank = (fits is None or prefers) and _is_blank(fitting, name)
        if is_blank:
            fits = wanted[name]
        change = None
        wider = (
            None if fits is not None or _chosen(fitting, column) else _wider(fitting, column, wanted[name])
        )
        if wider is not None:
            fits, change = _widened(fitting, column, found.type, wider)
        is_chosen = fits is None and _chosen(fitting, column) is not None and name not in fitting.waiting
        if is_chosen:
            change = chosen_change(
                fitting, fitting.session, fitting.dialect, column, name, found.type, wanted[name]
            )
            fits = wanted[name] if change is not None else None
        if fits is None:
            misfits.append((name, found.type, wanted[name]))
        elif fits != found.type:
            changes.append(_Alteration(name, fits, change=change, was_blank=is_blank, is_chosen=is_chosen))
            types[name] = fits
    return _Plan(types, changes, misfits)


@contextmanager
def _together(session: Session) -> Iterator[None]:
    """Change a table in one transaction; the driver's error where its COMMIT got no answer, as of any other change."""
    try:
        with session.transaction():
            yield
    except OutcomeUnknown as unknown:
        raise unknown.error from None


def _comments(fitting: _Fitting, columns: Mapping[str, str], added: Collection[str]) -> Mapping[str, str]:
    """Return the comments by which later runs know what new columns are."""
    variants = new_variants(fitting.stream, columns, added)
    marks = new_marks(fitting.stream, columns, added)
    fields = new_fields({field: columns[field] for field in fitting.stream.fields}, added)
    variants_ = {name: comment_of(field) for name, field in variants.items()}
    return fields | variants_ | marks | new_lists(fitting.stream, columns, added)


def _comment(fitting: _Fitting, comments: Mapping[str, str]) -> None:
    for name, comment in comments.items():
        fitting.session.comment(fitting.quoted, fitting.dialect.quote(name), comment)


def _alter_all(
    fitting: _Fitting,
    existing: Existing,
    plan: _Plan,
    every: Mapping[str, Column],
    comments: Mapping[str, str],
) -> None:
    """Add the columns that are missing, each with its comment or not at all, widen those that are too narrow."""
    for one in plan.changes:
        if one.name in comments:
            with _together(fitting.session):
                _alter(fitting, existing, one)
                _comment(fitting, {one.name: comments[one.name]})
        else:
            _alter(fitting, existing, one)
        if one.was_blank:
            fitting.tell_blank(one.name, one.type)
        if one.is_chosen:
            tell_chosen(fitting, every[one.name], one.name, existing.columns, one.type)
        elif one.change is not None:
            fitting.tell_wider(
                every[one.name].name, existing.columns[one.name].type, one.type, one.change.note
            )


@dataclass(frozen=True)
class _Alteration:
    """A column that is added, or becomes of another type; ``change`` where that takes an expression, ``was_blank``: no row has a value there."""

    name: str
    type: str
    is_new: bool = False
    change: Change | None = None
    was_blank: bool = False
    is_chosen: bool = False


def _wider(fitting: _Fitting, column: Column, wanted: str) -> str | None:
    """Return the type that a column may get without anybody being asked; None: it is not ours to change."""
    types = fitting.dialect.types
    if policy(fitting, column) is OnConflict.WIDEN:
        return wanted if wanted in (types[Kind.STRING], types[Kind.JSON]) else types[Kind.STRING]
    return wanted if column.name in fitting.stream.inferred else None


def _widened(fitting: _Fitting, column: Column, found: str, wanted: str) -> tuple[str | None, Change | None]:
    """Return the type in which a column takes all that an inferred field may be, and the way there; None: there is none."""
    if found == fitting.dialect.types[Kind.JSON]:
        return found, None
    change = fitting.dialect.change(found, wanted)
    if change is None or (column.is_key and not change.keeps_keys):
        return None, None
    return wanted, change


def _alter(fitting: _Fitting, existing: Existing, change: _Alteration) -> None:
    name, type_ = change.name, change.type
    column = fitting.dialect.quote(name)
    using = change.change.using.format(column) if change.change is not None else None
    try:
        fitting.session.alter(fitting.quoted, column, type_, is_new=change.is_new, using=using)
        if using is not None:
            fitting.change_waiting(name, column, type_, using)
    except fitting.dialect.errors as error:
        if change.is_new or not fitting.dialect.is_refusal(error):
            raise
        indexes = fitting.session.indexes(fitting.schema, fitting.name)
        raise BadDataError(
            f"Expected a column of type `{type_}` for `{name}` of stream `{fitting.stream.name}`, got "
            f"`{existing.columns[name].type}` in the table, which {fitting.dialect.name} refuses to change, "
            f"{_what_keeps_it(indexes, type_)}"
        ) from None


def _what_keeps_it(indexes: Sequence[str], type_: str) -> str:
    """Say why a column keeps its type, and the way out."""
    if not indexes:
        return (
            "as where a key or a CHECK is on the column; what is stored is untouched: make the table anew without that, or with "
            f"`{type_}` for the column, then run again."
        )
    on_it = "the index" if len(indexes) == 1 else "the indexes"
    drops = ", ".join(f"`DROP INDEX {name}`" for name in indexes)
    return (
        f"whichever column it is, while the table has {on_it} {quoted(indexes)}; what is stored is untouched: run {drops}, then the "
        "pipeline again, and make them anew after it."
    )


def _is_blank(fitting: _Fitting, column: str) -> bool:
    """Tell whether no row has a value in a column, and none waits for it."""
    if column in fitting.waiting:
        return False
    return not holds_values(fitting.session, fitting.quoted, fitting.dialect.quote(column))


def _refuse_types(
    fitting: _Fitting, misfits: Sequence[tuple[str, str, str]], every: Mapping[str, Column]
) -> None:
    named = [(every[name].name, found, wanted) for name, found, wanted in misfits]
    chosen = [
        (every[name].name, name, found, wanted)
        for name, found, wanted in misfits
        if _chosen(fitting, every[name]) and not every[name].is_key
    ]
    if chosen:
        raise refused_choice(fitting, chosen)
    raise BadDataError(
        f"{fitting.expected(named)}; what is stored is untouched: {_as_text(fitting, [name for name, _, _ in misfits[:MOST_NAMED]], every)}"
        f"read the stream anew: run {fitting.start_over}, `DROP TABLE {fitting.quoted}`, then the pipeline again; or, {FORGET_TYPES}"
    )


def _as_text(fitting: _Fitting, names: Sequence[str], every: Mapping[str, Column]) -> str:
    """Return the advice that makes columns text; none of a key, whose text as the store writes it is not what comes again."""
    key = next((every[name].name for name in names if every[name].is_key), None)
    if key is not None:
        return f"`{key}` is a part of the key, and as text the rows that are stored would not be found by it when they come again: "
    text = fitting.dialect.types[Kind.STRING]
    statements = ", ".join(
        fitting.statement(f"ALTER {fitting.dialect.quote(name)} TYPE {text}") for name in names
    )
    choice = fitting.choice({every[name].name: text for name in names})
    return f"let the column be text, which holds both, with {statements} and `{choice}` in the config; or "


def _as_stored(
    fitting: _Fitting,
    existing: Existing | None,
    columns: Mapping[str, str],
    types: Mapping[str, str],
    metadata: Mapping[str, Column],
) -> Stream:
    """Return the stream with the kinds that its columns take.

    Raises:
        BadDataError: a column takes none of its values, or makes one key of two; or one of the metadata columns takes none.
    """
    stream = fitting.stream

    def stored(column: Column) -> Column:
        type_ = types[columns[column.name]]
        if column.is_always_null and stands_beside(fitting, column):
            column = replace(column, kind=_kind_of(fitting, type_))
        found = fitting.dialect.as_stored(column, type_)
        if found is None and column.is_always_null:
            return column
        if found is None:
            raise BadDataError(
                f"Expected a column that takes values of the kind {column.kind.value} for `{column.name}` of stream "
                f"`{stream.name}`, got one of type `{type_}`; what is stored is untouched: choose another type "
                f"(`{fitting.dialect.types[column.kind]}` is the default), then run again."
            )
        if fitting.settings.appends(stream.name):  # every row is kept, whatever becomes of its key
            return replace(found, is_key=False)
        name = columns[column.name]
        _judge_key(fitting, column, found, type_, is_there=existing is not None and name in existing.columns)
        return found

    given = tuple(map(stored, stream.columns))
    fitting.tell_of_mixed(given)
    for column in metadata.values():
        stored(column)
    return replace(stream, columns=given)


def _judge_key(fitting: _Fitting, declared: Column, given: Column, type_: str, *, is_there: bool) -> None:
    """Tell of keys that are compared as text; what makes one key of two is none.

    Raises:
        BadDataError: the column does.
    """
    if not declared.is_key or declared.is_always_null:
        return
    is_text = given.kind in (Kind.STRING, Kind.ANY_TEXT)
    # Of a document there is no better type: what was said when the column was made is not said in each run.
    is_told = given.kind is Kind.JSON and is_there
    rounds = type_ in fitting.dialect.inexact_types and not (given.numbers and given.numbers.as_double)
    if rounds or (given.kind is Kind.ANY_TEXT and is_mixed(declared)):
        raise fitting.merges_keys(declared, f"`{type_}`")
    if (is_text or given.kind is Kind.JSON) and not is_told:
        fitting.tell_of_key_in_text(declared, type_)
