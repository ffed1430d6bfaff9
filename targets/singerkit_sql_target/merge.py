"""From a stage into a table by key: insert what is new, update what differs, delete what is gone, leave the rest untouched.

Statements of standard SQL, for the `merge` of a dialect; names come in quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_sql_target.dialect import ORDER

__all__ = ["going", "insert", "merge", "newest_of_each_key", "overlap", "repeats"]


def repeats(stage: str, keys: Sequence[str]) -> str:
    """Ask whether a key stands in the stage twice."""
    return f"SELECT EXISTS (SELECT 1 FROM {stage} GROUP BY {', '.join(keys)} HAVING count(*) > 1)"


def newest_of_each_key(stage: str, columns: Sequence[str], keys: Sequence[str]) -> str:
    """Select the last row of each key (SINGER-RULES G11)."""
    names = ", ".join(columns)
    rank = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {ORDER} DESC)"
    return (
        f"(SELECT {names} FROM (SELECT {names}, {rank} AS {ORDER} FROM {stage}) AS ranked WHERE {ORDER} = 1)"
    )


def insert(table: str, source: str, columns: Sequence[str], gone: str | None = None) -> str:
    """Append all rows of a source, but those with a value in ``gone``."""
    names, where = ", ".join(columns), f" AS given WHERE {gone} IS NULL" if gone else ""
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {source}{where}"


def overlap(table: str, stage: str, keys: Sequence[str]) -> str:
    """Ask whether a key of the stage may stand in the table; where a column folds, more do than are merged."""
    same = " AND ".join(f"stored.{key} = given.{key}" for key in keys)
    return f"SELECT EXISTS (SELECT 1 FROM {table} AS stored JOIN {stage} AS given ON {same})"


def going(
    table: str, source: str, keys: Sequence[str], gone: str, compared: Mapping[str, str] | None = None
) -> str:
    """Count the stored rows that `merge` deletes."""
    return (
        f"SELECT count(*) FROM {table} AS stored JOIN {source} AS given ON {_same(keys, compared)} "
        f"WHERE given.{gone} IS NOT NULL"
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
) -> str:
    """Upsert a source in which each key stands once; a row is rewritten only where it differs.

    ``compared`` says how a stored column is compared in full, as ``{} COLLATE ...``, where it folds by itself. A row with a
    value in ``gone`` deletes the stored one.
    """
    changing = [column for column in columns if column not in keys]
    stored = _stored(columns, compared)
    same = _same(keys, compared)
    matched = ""
    if changing:
        differ = " OR ".join(f"{stored[column]} IS DISTINCT FROM given.{column}" for column in changing)
        sets = ", ".join(f"{column} = given.{column}" for column in changing)
        matched = f" WHEN MATCHED AND ({differ}) THEN UPDATE SET {sets}"
    deleted = f" WHEN MATCHED AND given.{gone} IS NOT NULL THEN DELETE" if gone else ""
    is_new = f" AND given.{gone} IS NULL" if gone else ""
    names, given = ", ".join(columns), ", ".join(f"given.{column}" for column in columns)
    return (
        f"MERGE INTO {table} AS stored USING {source} AS given ON {same}{deleted}{matched}"
        f" WHEN NOT MATCHED{is_new} THEN INSERT ({names}) VALUES ({given})"
    )
