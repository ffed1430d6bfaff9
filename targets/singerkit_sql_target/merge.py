"""From a stage into a table by key: insert what is new, update what differs, delete what is gone, leave the rest untouched.

Statements of standard SQL, for the `merge` of a dialect; names come in quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_sql_target.dialect import ORDER
from singerkit_sql_target.newest import Newest
from singerkit_wire.elementmarks import ASIDE, BACK

__all__ = [
    "are_older",
    "delete_onward",
    "going",
    "insert",
    "mark_elements",
    "merge",
    "newest_of_each_key",
    "note_loads",
    "overlap",
    "partial",
    "repeats",
]

_RANK = "_singerkit_newest"


def repeats(stage: str, keys: Sequence[str]) -> str:
    """Ask whether a key stands in the stage twice."""
    return f"SELECT EXISTS (SELECT 1 FROM {stage} GROUP BY {', '.join(keys)} HAVING count(*) > 1)"


def newest_of_each_key(
    stage: str, columns: Sequence[str], keys: Sequence[str], newest: Newest | None = None
) -> str:
    """Select the last row of each key (SINGER-RULES G11), or the newest."""
    names, order = ", ".join(columns), f"{ORDER} DESC"
    if newest is not None:
        listed = ", ".join(newest.value(column, keys, ORDER) for column in columns)
        stage = f"(SELECT {listed}, {ORDER}, {newest.rank(keys, ORDER)} AS {_RANK} FROM {stage} AS staged)"
        order = f"{_RANK} DESC NULLS LAST, {order}"
    rank = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {order})"
    return f"(SELECT {names} FROM (SELECT {names}, {rank} AS {ORDER} FROM {stage} AS each) AS ranked WHERE {ORDER} = 1)"


def are_older(table: str, source: str, keys: Sequence[str], newest: Newest) -> str:
    """Count the rows of a source that are older than those that are stored."""
    return f"SELECT count(*) FROM {table} AS stored JOIN {source} AS given ON {_older(keys, newest)}"


def note_loads(table: str, source: str, keys: Sequence[str], newest: Newest) -> str:
    """Note of rows that are older than those that are stored with which load they came: they are not gone at the source."""
    return (
        f"UPDATE {table} AS stored SET {newest.load} = given.{newest.load} FROM {source} AS given WHERE {_older(keys, newest)} "
        f"AND stored.{newest.load} IS DISTINCT FROM given.{newest.load}"
    )


def _older(keys: Sequence[str], newest: Newest) -> str:
    return f"{_same(keys, None)} AND {newest.is_older('given', 'stored')}"


def insert(table: str, source: str, columns: Sequence[str], gone: str | None = None) -> str:
    """Append all rows of a source, but those with a value in ``gone``."""
    names, where = ", ".join(columns), f" AS given WHERE {gone} IS NULL" if gone else ""
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {source}{where}"


def delete_onward(table: str, stage: str, keys: Sequence[str], gone: str) -> str:
    """Delete what stands under a key from one on that goes: one whose last row has a value in ``gone``."""
    given, same = _of_elements(stage, keys, gone)
    last = keys[-1]
    return (
        f"DELETE FROM {table} AS stored USING {given} AS given "
        f"WHERE given.{gone} IS NOT NULL AND {same} AND given.{last} >= 0 AND stored.{last} >= given.{last}"
    )


def mark_elements(table: str, stage: str, keys: Sequence[str], gone: str) -> str:
    """Mark what stands under a key as deleted, or take the mark off, where a row aside says it (`singerkit_wire.elementmarks`)."""
    given, same = _of_elements(stage, keys, gone)
    said = f"NULLIF(given.{gone}, '{BACK}')"
    return (
        f"UPDATE {table} AS stored SET {gone} = {said} FROM {given} AS given "
        f"WHERE given.{keys[-1]} = {ASIDE} AND {same} AND stored.{gone} IS DISTINCT FROM {said}"
    )


def _of_elements(stage: str, keys: Sequence[str], gone: str) -> tuple[str, str]:
    """Return what a stage says last of each element, and how those of one record are found."""
    given = newest_of_each_key(stage, [*keys, gone], keys)
    return given, " AND ".join(f"stored.{key} = given.{key}" for key in keys[:-1])


def overlap(table: str, stage: str, keys: Sequence[str]) -> str:
    """Ask whether a key of the stage may stand in the table; where a column folds, more do than are merged."""
    same = " AND ".join(f"stored.{key} = given.{key}" for key in keys)
    return f"SELECT EXISTS (SELECT 1 FROM {table} AS stored JOIN {stage} AS given ON {same})"


def partial(
    table: str,
    source: str,
    keys: Sequence[str],
    mark: str,
    compared: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Count the keys of a source that are not stored, whose rows leave a field out (``left_out``; None: each does) and are not gone, as ``mark`` says."""
    leaves_out = "true" if left_out is None else " OR ".join(f"({one}) IS TRUE" for one in left_out.values())
    return (
        f"SELECT count(*) FROM {source} AS given WHERE given.{mark} IS NULL AND ({leaves_out}) "
        f"AND NOT EXISTS (SELECT 1 FROM {table} AS stored WHERE {_same(keys, compared)})"
    )


def going(
    table: str,
    source: str,
    keys: Sequence[str],
    gone: str,
    compared: Mapping[str, str] | None = None,
    newest: Newest | None = None,
) -> str:
    """Count the stored rows that `merge` deletes."""
    is_new_enough = "" if newest is None else f" AND NOT {newest.is_older('given', 'stored')}"
    return (
        f"SELECT count(*) FROM {table} AS stored JOIN {source} AS given ON {_same(keys, compared)} "
        f"WHERE given.{gone} IS NOT NULL{is_new_enough}"
    )


def _stored(columns: Sequence[str], compared: Mapping[str, str] | None) -> dict[str, str]:
    return {column: (compared or {}).get(column, "{}").format(f"stored.{column}") for column in columns}


def _same(keys: Sequence[str], compared: Mapping[str, str] | None) -> str:
    return " AND ".join(f"{stored} = given.{key}" for key, stored in _stored(keys, compared).items())


def merge(
    table: str,
    source: str,
    columns: Sequence[str],
    keys: Sequence[str],
    compared: Mapping[str, str] | None = None,
    gone: str | None = None,
    newest: Newest | None = None,
    left_out: Mapping[str, str] | None = None,
) -> str:
    """Upsert a source in which each key stands once; a row is rewritten only where it differs, and is not ``newest`` as it is.

    ``compared`` says how a stored column is compared in full, as ``{} COLLATE ...``, where it folds by itself. A row with a
    value in ``gone`` deletes the stored one. ``left_out`` is the condition, by column, that a row says nothing of it, so that the
    stored value stays.
    """
    changing = [column for column in columns if column not in keys]
    stored = _stored(columns, compared)
    same = _same(keys, compared)
    is_new_enough = "" if newest is None else f" AND NOT {newest.is_older('given', 'stored')}"
    matched = ""
    if changing:
        new = {
            column: f"CASE WHEN {left_out[column]} THEN stored.{column} ELSE given.{column} END"
            if left_out
            else f"given.{column}"
            for column in changing
        }
        differ = " OR ".join(f"{stored[column]} IS DISTINCT FROM {new[column]}" for column in changing)
        sets = ", ".join(f"{column} = {new[column]}" for column in changing)
        matched = f" WHEN MATCHED AND ({differ}){is_new_enough} THEN UPDATE SET {sets}"
    deleted = f" WHEN MATCHED AND given.{gone} IS NOT NULL{is_new_enough} THEN DELETE" if gone else ""
    is_new = f" AND given.{gone} IS NULL" if gone else ""
    names, given = ", ".join(columns), ", ".join(f"given.{column}" for column in columns)
    return (
        f"MERGE INTO {table} AS stored USING {source} AS given ON {same}{deleted}{matched}"
        f" WHEN NOT MATCHED{is_new} THEN INSERT ({names}) VALUES ({given})"
    )
