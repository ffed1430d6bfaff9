"""Rows of a stage of which each leaves other fields out, as its first column says (`singerkit_wire.masks`), in standard SQL; names come in quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_sql_target.dialect import ORDER

__all__ = ["folded", "left_out"]

_LAST_GONE = f"{ORDER}_gone"


def left_out(columns: Sequence[str], keys: Sequence[str], mask: str, of: str = "given") -> Mapping[str, str]:
    """Return the condition of each column that a row leaves it out; a mask that is null leaves out nothing."""
    return {
        column: f"substr({of}.{mask}, {place}, 1) = '0'"
        for place, column in enumerate(columns, 1)
        if column not in keys
    }


def folded(stage: str, columns: Sequence[str], keys: Sequence[str], mask: str, gone: str | None) -> str:
    """Select one row of each key: of each column what the last row says that has it.

    What comes behind a row with a value in ``gone`` is a new row, and says all.
    """
    by_key = f"PARTITION BY {', '.join(keys)}"
    last_gone = "CAST(NULL AS BIGINT)"
    if gone is not None:
        # With a frame, since without one DuckDB reads the rows twice, and some stages can be read once.
        frame = f"ORDER BY {ORDER} ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"
        last_gone = f"max(CASE WHEN {gone} IS NOT NULL THEN {ORDER} END) OVER ({by_key} {frame})"
    rows = f"(SELECT *, {last_gone} AS {_LAST_GONE} FROM {stage} AS stage) AS rows"
    values, says = [], []
    absent = left_out(columns, keys, mask, of="rows")
    for column in columns:
        if column in keys:
            values.append(column)
            says.append("'1'")
            continue
        has = f"({absent[column]}) IS NOT TRUE"
        if column != gone:  # which each row says, and the last one says whether it is gone
            has += f" AND {ORDER} > coalesce({_LAST_GONE}, -1)"
        window = f"OVER ({by_key} ORDER BY CASE WHEN {has} THEN 0 ELSE 1 END, {ORDER} DESC)"
        values.append(f"first_value(CASE WHEN {has} THEN {column} END) {window} AS {column}")
        says.append(
            f"CASE WHEN first_value({has}) {window} OR {_LAST_GONE} IS NOT NULL THEN '1' ELSE '0' END"
        )
    rank = f"row_number() OVER ({by_key} ORDER BY {ORDER} DESC) AS {ORDER}"
    names = ", ".join([mask, *columns])
    return (
        f"(SELECT {names} FROM (SELECT {' || '.join(says)} AS {mask}, {', '.join(values)}, {rank} FROM {rows}) AS ranked "
        f"WHERE {ORDER} = 1)"
    )
