"""What users have hung on a primary key: it is there again when the key is made anew over other columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

__all__ = ["Key", "hang_again", "keys_of", "references"]

_KEYS = """
WITH RECURSIVE tree(oid) AS (
    SELECT indexrelid FROM pg_catalog.pg_index WHERE indrelid = %s AND indisprimary
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
)
SELECT i.indrelid, n.nspname, t.relname, c.relname, k.conname,
    i.indisreplident, i.indisclustered, pg_catalog.obj_description(c.oid, 'pg_class'),
    pg_catalog.obj_description(k.oid, 'pg_constraint'),
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey) WITH ORDINALITY u(number, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.number
        WHERE u.place > i.indnkeyatts ORDER BY u.place),
    COALESCE(c.reloptions, '{}'), s.spcname
FROM tree
JOIN pg_catalog.pg_index i ON i.indexrelid = tree.oid
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = c.oid AND k.contype = 'p'
LEFT JOIN pg_catalog.pg_tablespace s ON s.oid = c.reltablespace
"""


@dataclass(frozen=True)
class Key:
    """The primary key of a table or of a part of it, with what PostgreSQL drops together with its index."""

    schema: str
    table: str
    index: str
    constraint: str
    is_identity: bool
    is_clustered: bool
    comment_on_index: str | None
    comment_on_constraint: str | None
    included: Sequence[str]
    options: Sequence[str]
    tablespace: str | None

    def built(self, keys: Iterable[str], tablespace: str) -> Composed:
        """Return what stands behind the columns of an index that is to be like this one; ``tablespace``: how that is called there."""
        parts: list[Composable] = []
        included = [column for column in self.included if column not in set(keys)]
        if included:
            parts.append(SQL(" INCLUDE ({})").format(SQL(", ").join(map(Identifier, included))))
        if self.options:
            parts.append(SQL(" WITH ({})").format(SQL(", ").join(map(_option, self.options))))
        if self.tablespace is not None:
            parts.append(SQL(tablespace).format(Identifier(self.tablespace)))
        return Composed(parts)

    def marks(self, new: Key) -> Iterator[Composed]:
        """Return the statements that put on a ``new`` key of the table what was on this one."""
        table = Identifier(self.schema, self.table)
        if self.is_identity:
            yield SQL("ALTER TABLE {} REPLICA IDENTITY USING INDEX {}").format(table, Identifier(new.index))
        if self.is_clustered:
            yield SQL("ALTER TABLE {} CLUSTER ON {}").format(table, Identifier(new.index))
        if self.comment_on_index is not None:
            index = Identifier(self.schema, new.index)
            yield SQL("COMMENT ON INDEX {} IS {}").format(index, Literal(self.comment_on_index))
        if self.comment_on_constraint is not None:
            yield SQL("COMMENT ON CONSTRAINT {} ON {} IS {}").format(
                Identifier(new.constraint), table, Literal(self.comment_on_constraint)
            )


def _option(text: str) -> Composed:
    name, _, value = text.partition("=")
    return SQL("{} = {}").format(Identifier(name), Literal(value))


def keys_of(cursor: Cursor, oid: int) -> dict[int, Key]:
    """Return the primary key of a table, first, and those of its parts, by the OID of the table."""
    cursor.execute(_KEYS, [oid])
    return {table: Key(*facts) for table, *facts in cursor.fetchall()}


def hang_again(cursor: Cursor, oid: int, former: Mapping[int, Key]) -> None:
    """Put on the primary key of a table, and on those of its parts, what was on the former ones."""
    for table, new in keys_of(cursor, oid).items():
        for statement in former[table].marks(new) if table in former else ():
            cursor.execute(statement)


_REFERENCES = """
SELECT n.nspname, c.relname, k.conname
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'f' AND k.conparentid = 0
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = %s AND i.indisprimary
ORDER BY 1, 2, 3
"""


def references(cursor: Cursor, oid: int) -> list[tuple[Identifier, str]]:
    """Return the foreign keys that refer to the primary key of a table, each with its own table."""
    cursor.execute(_REFERENCES, [oid])
    return [(Identifier(schema, table), name) for schema, table, name in cursor.fetchall()]
