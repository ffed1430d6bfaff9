"""Elements of lists that wait: which of them stand behind the end of their list, and would refer to a row that is not there."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg2.sql import SQL, Composed, Identifier

from target_postgres.merge import latest
from target_postgres.parts import Rows
from target_postgres.tables import Table

__all__ = ["not_ended"]


def not_ended(table: Table, parts: Sequence[Rows], mark: str, of: str) -> list[Composed]:
    """Return the conditions that a row is none behind the end that its record, or a later one, has said; ``parts`` are its own and those behind it.

    Such rows go behind those that come, but no foreign key may see them before.
    """
    if table.given.lists_of is None:
        return []
    *roots, place = table.keys
    same = SQL(" AND ").join(
        SQL("ended.{0} = {1}.{0}").format(Identifier(root), Identifier(of)) for root in roots
    )
    return [
        SQL(
            "NOT EXISTS (SELECT 1 FROM ({}) AS ended WHERE {} AND ended.{} IS NOT NULL AND ended.{} BETWEEN 0 AND {}.{})"
        ).format(
            latest(part.stage, [*table.keys, mark], table.keys, Composed([SQL("true")])),
            same,
            Identifier(mark),
            Identifier(place),
            Identifier(of),
            Identifier(place),
        )
        for part in parts
        if part.has_marks
    ]
