"""From a stage in which each row leaves other fields out into the table: what a row leaves out keeps what is stored.

No `ON CONFLICT DO UPDATE` can tell of a row what it leaves out, so rows that are stored are updated by a join, which looks at them
again where others have changed them meanwhile, and the others are inserted. A stage is merged once, whatever its rows leave out.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_target.outcomes import Outcome
from singerkit_wire.masks import PRESENT
from target_postgres.faults import NotDone, TableChanged
from target_postgres.merge import Gone, Note, take_together
from target_postgres.tables import Table

__all__ = ["merge", "new_and_partial", "refused"]

_TRIES = 10
_MASK = Identifier(PRESENT)


def refused(table: Table) -> TableChanged:
    """The error for rows that came for a table which does not take them any more: declared anew, its stream sends them otherwise."""
    return TableChanged(
        f"The table {table.where} was altered by others while stream `{table.stream}` was loaded: a trigger, a foreign key, a default or a "
        "policy is new",
        ". What was committed is safe: run again.",
    )


def merge(cursor: Cursor, table: Table, gone: str | None, note: Note, mark: str | None = None) -> None:
    """Upsert the staged rows; of several rows with one key the last that has a field says what it is.

    ``gone``: the column that is not null in the last row of a key that is to be deleted; ``note`` is told what was done; ``mark``: see
    `singerkit_sql_target.partial`.

    Raises:
        NotDone: rows are not there that should be, or are still there.
    """
    assert table.staged is not None  # noqa: S101  the caller has looked
    columns = [column for column in table.staged if column != PRESENT]
    _fold(cursor, table, columns, gone)
    if mark is not None:
        note(new_and_partial(cursor, table, mark, SQL("position(B'0' IN staged.{}) > 0").format(_MASK)))
    note(_put(cursor, table, columns, gone))
    if gone is not None:
        select = SQL("SELECT {} FROM {} WHERE {} IS NOT NULL").format(
            _list([*table.keys, gone]), _stage(table), Identifier(gone)
        )
        take_together(
            cursor,
            [
                Gone(
                    select,
                    table.rows,
                    table.keys,
                    table.keepers,
                    note,
                    onward=gone if table.given.lists_of is not None else None,
                )
            ],
        )


def new_and_partial(cursor: Cursor, table: Table, mark: str, is_partial: Composable | None = None) -> Outcome:
    """Count the keys of staged rows that leave a field out (None: each does), are not there yet, and are not gone, as ``mark`` says."""
    cursor.execute(
        SQL(
            "SELECT count(*) FROM (SELECT DISTINCT {} FROM {} AS staged WHERE {} IS NULL AND {} "
            "AND NOT EXISTS (SELECT 1 FROM {} AS stored WHERE {})) AS partial"
        ).format(
            _list(table.keys),
            _stage(table),
            Identifier(mark),
            is_partial or SQL("true"),
            table.identifier,
            _same(table),
        )
    )
    return Outcome(partial=int((cursor.fetchone() or (0,))[0]))


def _put(cursor: Cursor, table: Table, columns: Sequence[str], gone: str | None) -> Outcome:
    """Update what is stored, and insert the rest; again where others have inserted the same keys meanwhile."""
    comes = SQL("true") if gone is None else SQL("staged.{} IS NULL").format(Identifier(gone))
    done = Outcome()
    for _ in range(_TRIES):
        changed = _update(cursor, table, columns, comes)
        new = SQL("FROM {} AS staged WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS stored WHERE {})").format(
            _stage(table), comes, table.identifier, _same(table)
        )
        cursor.execute(SQL("SELECT count(*) {}").format(new))
        (count,) = cursor.fetchone() or (0,)
        if not count:
            return done.plus(Outcome(changed=changed))
        cursor.execute(
            SQL("INSERT INTO {} ({}) SELECT {} {} ORDER BY {} ON CONFLICT ({}) DO NOTHING").format(
                table.identifier,
                _list(columns),
                _list(columns),
                new,
                _list(table.keys),
                _list(table.keys),
            )
        )
        done = done.plus(Outcome(cursor.rowcount, changed))
        if cursor.rowcount >= count:
            return done
    raise NotDone("something of the table keeps rows from being stored; change it")


def _update(cursor: Cursor, table: Table, columns: Sequence[str], comes: Composable) -> int:
    """Update the stored rows that differ; return how many there are."""
    changing = {
        column: _value(place, column) for place, column in enumerate(columns) if column not in table.keys
    }
    if not changing:
        return 0
    where = SQL("{} AND {} AND ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record").format(
        _same(table),
        comes,
        SQL(", ").join(SQL("stored.{}").format(Identifier(column)) for column in changing),
        SQL(", ").join(changing.values()),
    )
    # By key, in which most writers go, too: two that lock rows in one order do not end in a deadlock.
    cursor.execute(
        SQL(
            "SELECT count(*) FROM (SELECT 1 FROM {} AS stored JOIN {} AS staged ON {} ORDER BY {} FOR NO KEY UPDATE OF stored) AS locked"
        ).format(
            table.identifier,
            _stage(table),
            where,
            SQL(", ").join(SQL("stored.{}").format(Identifier(key)) for key in table.keys),
        )
    )
    if cursor.fetchone() == (0,):
        return 0
    sets = SQL(", ").join(
        SQL("{} = {}").format(Identifier(column), value) for column, value in changing.items()
    )
    cursor.execute(
        SQL("UPDATE {} AS stored SET {} FROM {} AS staged WHERE {}").format(
            table.identifier, sets, _stage(table), where
        )
    )
    return cursor.rowcount


def _value(place: int, column: str) -> Composed:
    """What a stored row is to have in a column; a mask that is null says that the row which came has all."""
    return SQL("CASE WHEN get_bit(staged.{}, {}) = 0 THEN stored.{} ELSE staged.{} END").format(
        _MASK, Literal(place), Identifier(column), Identifier(column)
    )


def _fold(cursor: Cursor, table: Table, columns: Sequence[str], gone: str | None) -> None:
    """Have one row of each key in the stage: neighbours of one key become one, so half of them are left each time."""
    keys = _list(table.keys)
    cursor.execute(
        SQL("SELECT max(times) FROM (SELECT count(*) AS times FROM {} GROUP BY {}) AS counted").format(
            _stage(table), keys
        )
    )
    (most,) = cursor.fetchone() or (None,)
    if most is None or most < 2:
        return
    again, number = Identifier("pg_temp", f"{table.stage}_again"), Identifier(f"{PRESENT}_number")
    cursor.execute(
        SQL(
            "CREATE TEMPORARY TABLE {} ON COMMIT DROP AS SELECT {}, {}, row_number() OVER (PARTITION BY {} ORDER BY ctid) AS {} FROM {} "
            "WHERE ({}) IN (SELECT {} FROM {} GROUP BY {} HAVING count(*) > 1)"
        ).format(
            Identifier(f"{table.stage}_again"),
            _MASK,
            _list(columns),
            keys,
            number,
            _stage(table),
            keys,
            keys,
            _stage(table),
            keys,
        )
    )
    cursor.execute(
        SQL("DELETE FROM {} AS staged USING {} AS stored WHERE {}").format(_stage(table), again, _same(table))
    )
    folded = SQL("SELECT {}, {}, {} FROM {}").format(_MASK, _list(columns), number, again)
    for _ in range((most - 1).bit_length()):
        folded = _halved(folded, table, columns, gone, number)
    names = SQL("{}, {}").format(_MASK, _list(columns))
    cursor.execute(
        SQL("INSERT INTO {} ({}) SELECT {} FROM ({}) AS folded").format(_stage(table), names, names, folded)
    )
    cursor.execute(SQL("DROP TABLE {}").format(again))


def _halved(
    rows: Composed, table: Table, columns: Sequence[str], gone: str | None, number: Identifier
) -> Composed:
    """Each odd row of a key with what the even one behind it has; what comes behind a deletion is a new row."""
    every = [PRESENT, *columns]
    behind = {column: Identifier(f"{PRESENT}_{place}") for place, column in enumerate(every)}
    next_number = Identifier(f"{PRESENT}_next")
    selected = [
        SQL("lead({}) OVER by_key AS {}").format(Identifier(column), name) for column, name in behind.items()
    ]
    pairs = SQL(
        "SELECT rows.*, lead({}) OVER by_key AS {}, {} FROM ({}) AS rows WINDOW by_key AS (PARTITION BY {} ORDER BY {})"
    ).format(number, next_number, SQL(", ").join(selected), rows, _list(table.keys), number)
    is_new: Composable = SQL("false")
    if gone is not None:
        is_new = SQL("{} IS NOT NULL OR {} IS NOT NULL").format(Identifier(gone), behind[gone])
    mask = behind[PRESENT]
    values: list[Composable] = [
        SQL(
            "CASE WHEN {next} IS NULL THEN {mask} WHEN {is_new} OR {mask} IS NULL OR {later} IS NULL THEN NULL ELSE {mask} | {later} END AS {mask}"
        ).format(next=next_number, mask=_MASK, later=mask, is_new=is_new)
    ]
    values += [
        SQL(
            "CASE WHEN {next} IS NULL THEN {column} WHEN {is_new} THEN {later} WHEN get_bit({mask}, {place}) = 0 THEN {column} ELSE {later} END AS {column}"
        ).format(
            next=next_number,
            column=Identifier(column),
            later=behind[column],
            is_new=is_new,
            mask=mask,
            place=Literal(place),
        )
        for place, column in enumerate(columns)
    ]
    return SQL("SELECT {}, ({} + 1) / 2 AS {} FROM ({}) AS pairs WHERE {} % 2 = 1").format(
        SQL(", ").join(values), number, number, pairs, number
    )


def _stage(table: Table) -> Identifier:
    return Identifier("pg_temp", table.stage)


def _same(table: Table) -> Composed:
    return SQL(" AND ").join(SQL("stored.{0} = staged.{0}").format(Identifier(key)) for key in table.keys)


def _list(columns: Sequence[str]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))
