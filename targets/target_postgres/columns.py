"""The columns of a table, as the server has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg2.extensions import cursor as Cursor

from singerkit_sql_target import dialect

__all__ = ["ExistingColumn", "columns_of"]


@dataclass(frozen=True)
class ExistingColumn(dialect.ExistingColumn):
    """A column as the server has it.

    ``type`` is what format_type() writes, ``base`` the type's own name below any domain (`varchar`, `timestamptz`)
    and ``typmod`` its numbers. ``is_exact``: its collation, if it has one, holds only equal text to be equal.
    """

    base: str = ""
    typmod: int = -1
    is_identity: bool = False
    is_exact: bool = True
    is_enum: bool = False
    number: int = field(default=0, compare=False)
    """Another one in a column that was made anew."""
    is_citext: bool = field(default=False, compare=False)
    """Of the extension's type, in whatever schema that is: where none on the path is, ``type`` begins with its name."""

    def is_wider_than(self, former: ExistingColumn) -> bool:
        """Whether it is a column of integers that has become one of longer ones, and takes what that took."""
        wider = _WIDER.get(former.base, ())
        return (
            self.base in wider and self.typmod < 0 and self == replace(former, type=self.type, base=self.base)
        )


_WIDER: Mapping[str, Sequence[str]] = {
    "int2": ("int4", "int8", "numeric"),
    "int4": ("int8", "numeric"),
    "int8": ("numeric",),
}


_WRITTEN = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
       COALESCE(pg_catalog.to_jsonb(a) ->> 'attgenerated', '') <> '',
"""
_COMPARED = """
       a.attidentity = 'a', COALESCE((pg_catalog.to_jsonb(c) ->> 'collisdeterministic')::boolean, true),
"""
_TOLD = """
       a.attinhcount > 0, pg_catalog.col_description(a.attrelid, a.attnum),
"""
_COLUMNS = """
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation
"""
_IN_ORDER = """
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""

_PLAIN = (
    _WRITTEN
    + "t.typname, a.atttypmod,"
    + _COMPARED
    + "false, a.attnum, false,"
    + _TOLD
    + "a.atthasdef OR a.attidentity <> '', t.typnamespace <> 11"
    + _COLUMNS
    + "JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    + _IN_ORDER
)
"""Enough where each type is one of `pg_catalog` (11), as nearly all are: to plan the whole question takes the server three times as long."""

_IS_CITEXT = """
       EXISTS (SELECT 1 FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
           WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = a.atttypid AND d.deptype = 'e'
           AND d.refclassid = 'pg_catalog.pg_extension'::regclass AND e.extname = 'citext'),
"""
_HAS_DEFAULT = """
       a.atthasdef OR a.attidentity <> '' OR EXISTS (SELECT 1 FROM pg_catalog.pg_type d
           WHERE d.oid = a.atttypid AND d.typtype = 'd' AND d.typdefault IS NOT NULL), false
"""
_BASE = """
CROSS JOIN LATERAL (
    WITH RECURSIVE chain(oid, typmod, depth) AS (
        SELECT a.atttypid, a.atttypmod, 0
        UNION ALL
        SELECT t.typbasetype, t.typtypmod, chain.depth + 1
        FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid AND t.typtype = 'd'
    )
    SELECT t.typname AS name, chain.typmod, t.typtype = 'e' AS is_enum FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid
    ORDER BY chain.depth DESC LIMIT 1
) base
"""

_WHOLE = (
    _WRITTEN
    + "base.name, base.typmod,"
    + _COMPARED
    + "base.is_enum, a.attnum,"
    + _IS_CITEXT
    + _TOLD
    + _HAS_DEFAULT
    + _COLUMNS
    + _BASE
    + _IN_ORDER
)
"""The same where one is a domain, an enum, or of an extension."""


def columns_of(cursor: Cursor, oid: int) -> dict[str, ExistingColumn]:
    """Return the columns of a table, in their order."""
    cursor.execute(_PLAIN, [oid])
    found = cursor.fetchall()
    if any(may_be_more for *_, may_be_more in found):
        cursor.execute(_WHOLE, [oid])
        found = cursor.fetchall()
    return {
        name: ExistingColumn(*facts, is_inherited=is_inherited, comment=comment, has_default=has_default)
        for name, *facts, is_inherited, comment, has_default, _ in found
    }
