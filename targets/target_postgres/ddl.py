"""Tables and columns: what is there, what has to change, and the composed SQL that changes it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from psycopg2.extensions import cursor as Cursor
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from singerkit_sql_target import dialect
from singerkit_sql_target.dialect import InTheWay
from target_postgres import shapes
from target_postgres.columns import ExistingColumn, columns_of
from target_postgres.keys import Key
from target_postgres.upkeep import Making

__all__ = [
    "AS_EVER",
    "TREE_OF_TABLE",
    "Detours",
    "Existing",
    "ExistingColumn",
    "ForeignKey",
    "Rules",
    "Shape",
    "Ties",
    "add_columns",
    "add_unique_key",
    "adding",
    "altering",
    "build_key",
    "can_be_key",
    "change_primary_key",
    "create_schema",
    "create_table",
    "dropping_key",
    "foreign_key",
    "found_now",
    "inspect",
    "is_empty",
    "is_partition",
    "late_foreign_keys",
    "lock_at_once",
    "lock_for_altering",
    "lock_for_writing",
    "name_of",
    "own_rows",
    "partition_columns",
    "releasable",
    "roots",
    "rows_of",
    "shape",
    "table_name",
    "take_back",
    "try_dropping",
    "widen_column",
    "widening",
]


@dataclass(frozen=True, kw_only=True)
class Existing(dialect.Existing):
    """A table as the server has it, with its keys. One that was dropped and made anew has another ``oid``."""

    oid: int
    columns: Mapping[str, ExistingColumn]
    primary_key: tuple[str, ...]
    primary_key_name: str | None
    primary_key_is_deferrable: bool
    unique_keys: tuple[frozenset[str], ...]
    shape: Shape

    @property
    def is_inherited(self) -> bool:
        return self.shape.is_inherited

    def is_narrower(self, keys: Iterable[str]) -> bool:
        """Whether the primary key is a part of ``keys``, so that it refuses rows which differ in the rest of them."""
        return bool(self.primary_key) and set(self.primary_key) < set(keys)


def table_name(schema: str, table: str) -> Identifier:
    """Return the quoted, schema-qualified name."""
    return Identifier(schema, table)


def name_of(cursor: Cursor, oid: int) -> tuple[str, str] | None:
    """Return schema and name of a table, None where there is none of that number."""
    cursor.execute(
        "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.oid = %s AND c.relkind IN ('r', 'p')",
        [oid],
    )
    found = cursor.fetchone()
    return None if found is None else (str(found[0]), str(found[1]))


def create_schema(cursor: Cursor, schema: str) -> None:
    """Create the schema unless it exists; without the privilege to create any, an existing one will do."""
    cursor.execute("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s", [schema])
    if cursor.fetchone() is None:
        cursor.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(Identifier(schema)))


_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "S": "a sequence",
    "f": "a foreign table",
    "c": "a type",
    "i": "an index",
    "I": "an index",
}


def _table_oid(cursor: Cursor, schema: str, table: str) -> int | None:
    cursor.execute(
        "SELECT c.oid, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = %s AND c.relname = %s",
        [schema, table],
    )
    found = cursor.fetchone()
    if found is None:
        # A table is a type, too; only the array types that PostgreSQL makes by itself give way.
        cursor.execute(
            "SELECT 1 FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
            "WHERE n.nspname = %s AND t.typname = %s AND t.typcategory <> 'A'",
            [schema, table],
        )
        if cursor.fetchone() is not None:
            raise InTheWay("a type")
        return None
    oid, kind = found
    if kind not in ("r", "p"):
        raise InTheWay(_KINDS.get(kind, "something else"))
    return int(oid)


_VIEWS = """
WITH RECURSIVE reading(oid) AS (
    SELECT r.ev_class
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_depend d ON d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.classid = 'pg_catalog.pg_rewrite'::regclass
    AND a.attrelid = %s::regclass AND a.attname = ANY (%s)
    UNION
    SELECT r.ev_class
    FROM reading
    JOIN pg_catalog.pg_depend d ON d.refobjid = reading.oid
    JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.classid = 'pg_catalog.pg_rewrite'::regclass
)
SELECT n.nspname || '.' || c.relname
FROM reading
JOIN pg_catalog.pg_class c ON c.oid = reading.oid AND c.relkind IN ('v', 'm')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY 1
"""


def views_on(cursor: Cursor, table: Identifier, columns: Sequence[str]) -> list[str]:
    """Return the views that read columns of a table, and those that read these; none lets a column change its type."""
    cursor.execute(_VIEWS, [table.as_string(cursor), list(columns)])
    return [str(name) for (name,) in cursor.fetchall()]


@dataclass(frozen=True)
class Detours:
    """What triggers of a table, or of a part of it, may do to rows that are written.

    ``leave_out``: keep one from being stored, or change it. ``take_away``: delete it once it is stored, at the end of the
    statement, or with ``defer`` at that of the transaction. ``keep_old``: give back the old row in the place of a changed
    one, as only a function can whose text speaks of it.
    """

    leave_out: bool = False
    take_away: bool = False
    defer: bool = False
    keep_old: bool = False

    def __bool__(self) -> bool:
        return self.leave_out or self.take_away


class Ties(NamedTuple):
    """What foreign keys tie a table to, or a part of it: the OIDs of the tables that it refers to, and of what these are parts of.

    ``late`` are those whose constraint is judged at the COMMIT; ``is_referred_to``: a foreign key leads to the table itself.
    """

    now: frozenset[int] = frozenset()
    late: frozenset[int] = frozenset()
    is_referred_to: bool = False


class Rules(NamedTuple):
    """The names of a table's own rules for rows that come."""

    on_insert: tuple[str, ...] = ()
    on_update: tuple[str, ...] = ()


class RowSecurity(NamedTuple):
    """What row level security does to what this role changes and reads, where it applies to it.

    ``keeping``: the policies that may keep a row from UPDATE or DELETE; ``hides``: there may be rows that the role does not see.
    """

    keeping: tuple[str, ...] = ()
    hides: bool = False


class Shape(NamedTuple):
    """What rows meet in a table: equal shapes are the same table, with the same columns, keys, triggers and rules.

    ``files`` are those that hold its rows: TRUNCATE gives it others, as do VACUUM FULL and some of ALTER TABLE.
    ``is_inherited``: other tables inherit from it, and whoever reads it has their rows as well; ``is_routed``: a trigger may put its rows there.
    """

    oid: int | None
    columns: str | None
    unique_keys: str | None
    files: str | None
    is_inherited: bool
    ties: Ties
    rules: Rules
    row_security: RowSecurity
    is_routed: bool
    detours: Detours

    @property
    def keepers(self) -> str:
        """What may keep a row from being changed or deleted, and raise nothing."""
        policies = ", ".join(f"`{name}`" for name in self.row_security.keeping)
        return f"trigger, rule or policy ({policies})" if policies else "trigger or rule"


_NOTHING_MORE = (False, Ties(), Rules(), RowSecurity(), False, Detours())
_NO_PLAIN_SHAPE = (None, None, None, None, False)
_NO_SHAPE = (None, None, None, None, False, (), (), False, (), (), (), False, False)


def shape(cursor: Cursor, schema: str, table: str) -> Shape:
    """Return the shape that the table has now."""
    cursor.execute(shapes.PLAIN, [schema, table])
    oid, columns, unique_keys, files, may_be_more = cursor.fetchone() or _NO_PLAIN_SHAPE
    if not may_be_more:
        return Shape(oid, columns, unique_keys, files, *_NOTHING_MORE)
    cursor.execute(shapes.WHOLE, [schema, table])
    found = cursor.fetchone() or _NO_SHAPE
    oid, columns, unique_keys, files, is_inherited, *rest = found
    now, late, is_referred_to, on_insert, on_update, keeping, hides, is_routed, *detours = rest
    ties = Ties(frozenset(now), frozenset(late), is_referred_to)
    rules = Rules(tuple(on_insert), tuple(on_update))
    security = RowSecurity(tuple(keeping), hides)
    return Shape(
        oid, columns, unique_keys, files, is_inherited, ties, rules, security, is_routed, Detours(*detours)
    )


TREE_OF_TABLE = """
WITH RECURSIVE tree(oid) AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s
    UNION
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
)
"""
"""The beginning of a query: the OIDs of a table, given by schema and name, and of its parts."""
_LATE = """
SELECT DISTINCT n.nspname, k.conname
FROM tree JOIN pg_catalog.pg_constraint k ON k.conrelid = tree.oid JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE k.contype = 'f' AND k.condeferred
"""


def late_foreign_keys(cursor: Cursor, schema: str, table: str) -> list[tuple[str, str]]:
    """Return schema and name of the foreign keys of a table that are judged at the COMMIT."""
    cursor.execute(TREE_OF_TABLE + _LATE, [schema, table])
    return cursor.fetchall()


@dataclass(frozen=True)
class ForeignKey:
    """``tables`` are the OIDs of the table and of what it is a part of, ``parents`` of the one that it refers to, ``parent``."""

    columns: Sequence[str]
    parent: Identifier
    parent_columns: Sequence[str]
    tables: Collection[int]
    parents: Collection[int]


_FOREIGN_KEY = """
WITH RECURSIVE key AS (
    SELECT k.* FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relname = %s AND k.conname = %s AND k.contype = 'f'
), above(start, oid) AS (
    SELECT unnest(ARRAY[conrelid, confrelid]), unnest(ARRAY[conrelid, confrelid]) FROM key
    UNION
    SELECT above.start, i.inhparent FROM above JOIN pg_catalog.pg_inherits i ON i.inhrelid = above.oid
)
SELECT
    ARRAY(SELECT a.attname::text FROM unnest(key.conkey) WITH ORDINALITY AS u(number, at)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = key.conrelid AND a.attnum = u.number ORDER BY u.at),
    n.nspname, c.relname,
    ARRAY(SELECT a.attname::text FROM unnest(key.confkey) WITH ORDINALITY AS u(number, at)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = key.confrelid AND a.attnum = u.number ORDER BY u.at),
    ARRAY(SELECT oid::bigint FROM above WHERE start = key.conrelid),
    ARRAY(SELECT oid::bigint FROM above WHERE start = key.confrelid)
FROM key JOIN pg_catalog.pg_class c ON c.oid = key.confrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""


def foreign_key(cursor: Cursor, schema: str | None, table: str | None, name: str | None) -> ForeignKey | None:
    """Return the foreign key of that name."""
    cursor.execute(_FOREIGN_KEY, [schema, table, name])
    found = cursor.fetchone()
    if found is None:
        return None
    columns, parent_schema, parent, parent_columns, tables, parents = found
    return ForeignKey(columns, Identifier(parent_schema, parent), parent_columns, tables, parents)


def rows_of(table: Identifier, *, is_alone: bool) -> Composable:
    """Return where the rows of a table are read; ``is_alone``: without those of tables that inherit from it."""
    return SQL("ONLY {}").format(table) if is_alone else table


def lock_for_writing(cursor: Cursor, table: Identifier) -> None:
    """Keep others from altering the table until this transaction ends; they may read it and write to it."""
    cursor.execute(SQL("LOCK TABLE ONLY {} IN ROW EXCLUSIVE MODE").format(table))


def lock_for_altering(cursor: Cursor, table: Identifier) -> None:
    """Keep everybody from the table until this transaction ends, readers as well."""
    cursor.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table))


def lock_at_once(cursor: Cursor, table: Identifier) -> None:
    """Do the same without waiting.

    Raises:
        psycopg2.Error: somebody uses it.
    """
    cursor.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT").format(table))


def own_rows(cursor: Cursor, table: Identifier) -> int:
    """Count the rows that this transaction has written; others that began later may count as well."""
    cursor.execute(SQL("SELECT count(*) FROM {} WHERE pg_catalog.age(xmin) <= 0").format(table))
    return int((cursor.fetchone() or (0,))[0])


def is_empty(cursor: Cursor, table: Identifier) -> bool:
    """Tell whether a table has no row."""
    cursor.execute(SQL("SELECT NOT EXISTS (SELECT 1 FROM {})").format(table))
    row = cursor.fetchone()
    return bool(row and row[0])


_BUILT_ON = """
SELECT EXISTS (
    SELECT 1 FROM pg_catalog.pg_depend d
    LEFT JOIN pg_catalog.pg_constraint c ON d.classid = 'pg_catalog.pg_constraint'::regclass AND c.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = %s AND d.refobjsubid = %s
    AND COALESCE(c.contype NOT IN ('p', 'n'), true)
)
"""
"""Whether an index, a view or the like needs a column: more than a primary key or NOT NULL, as a run itself makes them."""


def take_back(
    cursor: Cursor, schema: str, table: str, oid: int | None, columns: Mapping[str, int], *, is_table: bool
) -> list[str]:
    """Undo what was made of the table ``oid``: ``columns``, by name with their numbers, and with ``is_table`` itself. Return those that went.

    A table of ours goes if it has no row and no column of others; one that was there before loses those of our columns in
    which no row has a value and on which nothing was built. What else has its name by now stays.
    """
    if _table_oid(cursor, schema, table) is None:
        return []
    name = table_name(schema, table)
    lock_for_altering(cursor, name)
    if oid is None or _table_oid(cursor, schema, table) != oid:
        return []
    there = {column: found.number for column, found in columns_of(cursor, oid).items()}
    if is_table:
        goes = there == columns and is_empty(cursor, name)
        if goes:
            cursor.execute(SQL("DROP TABLE {}").format(name))
        return list(there) if goes else []
    gone = []
    for column, number in sorted(there.items() & columns.items()):
        cursor.execute(_BUILT_ON, [oid, number])
        if cursor.fetchone() == (False,) and not holds_values(cursor, name, column):
            cursor.execute(SQL("ALTER TABLE {} DROP COLUMN {}").format(name, Identifier(column)))
            gone.append(column)
    return gone


def columns_now(cursor: Cursor, schema: str, table: str) -> dict[str, ExistingColumn]:
    """Return the columns of a table that is there, in their order."""
    oid = _table_oid(cursor, schema, table)
    return {} if oid is None else columns_of(cursor, oid)


def found_now(
    cursor: Cursor, schema: str, table: str, existing: Existing | None
) -> tuple[Mapping[str, ExistingColumn], Shape]:
    """Return the columns and the shape of a table that is there; ``existing`` is what this transaction, or the unit, has found before it altered it."""
    if existing is not None and _has_written_nothing(cursor):
        return existing.columns, existing.shape
    return columns_now(cursor, schema, table), shape(cursor, schema, table)


def _has_written_nothing(cursor: Cursor) -> bool:
    """Whether the transaction has changed no table and no catalogue so far."""
    cursor.execute("SELECT pg_catalog.txid_current_if_assigned() IS NULL")
    return cursor.fetchone() == (True,)


def column_of_type(cursor: Cursor, type_: str) -> ExistingColumn:
    """Return what a column of that type is: one of `varchar(5)` is written `character varying(5)`."""
    cursor.execute("SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')")
    if cursor.fetchone() != (True,):
        return _type_as_explained(cursor, type_)
    cursor.execute(SQL("CREATE TEMPORARY TABLE singerkit_type (t {})").format(SQL(type_)))
    cursor.execute("SELECT 'pg_temp.singerkit_type'::regclass::oid")
    (oid,) = cursor.fetchone() or (0,)
    column = columns_of(cursor, oid)["t"]
    cursor.execute("DROP TABLE pg_temp.singerkit_type")
    return column


_BASE = """
WITH RECURSIVE chain(oid, typmod, depth) AS (
    SELECT pg_catalog.to_regtype(%s)::oid, %s, 0
    UNION ALL
    SELECT t.typbasetype, t.typtypmod, chain.depth + 1
    FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid AND t.typtype = 'd'
)
SELECT t.typname, chain.typmod, t.typtype = 'e' FROM chain JOIN pg_catalog.pg_type t ON t.oid = chain.oid
ORDER BY chain.depth DESC LIMIT 1
"""


def _type_as_explained(cursor: Cursor, type_: str) -> ExistingColumn:
    """Return the same for a role that may make no table of its own; of a ``typmod`` only whether there is one.

    No function tells how a type with numbers is written: EXPLAIN does.
    """
    cursor.execute(SQL("EXPLAIN (VERBOSE, COSTS OFF) SELECT NULL::{}").format(SQL(type_)))
    plan = "\n".join(line for (line,) in cursor.fetchall())
    written = plan.rpartition("::")[2].strip()
    cursor.execute(_BASE, [written, 0 if "(" in written else -1])
    base, typmod, is_enum = cursor.fetchone() or ("", -1, False)
    return ExistingColumn(written, base=base, typmod=typmod, is_enum=is_enum)


def inspect(cursor: Cursor, schema: str, table: str) -> Existing | None:
    """Return what the server knows of a table, None when there is none.

    Raises:
        InTheWay: something else has the name.
    """
    oid = _table_oid(cursor, schema, table)
    if oid is None:
        return None
    has_no_row = is_empty(cursor, table_name(schema, table))  # from here on it is locked against ALTER
    columns = columns_of(cursor, oid)
    cursor.execute(
        "SELECT i.indisprimary, c.conname, i.indimmediate, ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY k(n, o) "
        "JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n WHERE k.o <= i.indnkeyatts ORDER BY k.o) "
        "FROM pg_catalog.pg_index i LEFT JOIN pg_catalog.pg_constraint c ON c.conindid = i.indexrelid "
        "AND c.contype IN ('p', 'u') WHERE i.indrelid = %s AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL "
        "AND i.indisvalid",
        [oid],
    )
    indexes = cursor.fetchall()
    name, is_immediate, keys = next((index for is_primary, *index in indexes if is_primary), (None, True, ()))
    return Existing(
        oid=oid,
        columns=columns,
        key=tuple(keys) or None,
        primary_key=tuple(keys),
        primary_key_name=name,
        primary_key_is_deferrable=not is_immediate,
        # ON CONFLICT takes no key that is only checked at COMMIT.
        unique_keys=tuple(frozenset(keys) for _, _, is_immediate, keys in indexes if is_immediate),
        is_empty=has_no_row,
        shape=shape(cursor, schema, table),
    )


AS_EVER = Making()
UNDIVIDED = SQL("")


def create_table(
    cursor: Cursor,
    name: Identifier,
    columns: Sequence[tuple[str, str]],
    primary_key: Sequence[str],
    making: Making = AS_EVER,
    partitioned: Composable = UNDIVIDED,
) -> None:
    """Create a table; ``columns`` are (identifier, SQL type) with types checked by `types.column_type`."""
    space = (
        SQL("") if making.tablespace is None else SQL(" TABLESPACE {}").format(Identifier(making.tablespace))
    )
    parts: list[Composable] = [_column(column, type_) for column, type_ in columns]
    if primary_key:
        of_key = SQL("") if making.tablespace is None else SQL(" USING INDEX") + space
        parts.append(SQL("PRIMARY KEY ({}){}").format(_list(primary_key), of_key))
    kind = SQL("UNLOGGED " if making.unlogged and making.division is None else "")
    cursor.execute(
        SQL("CREATE {}TABLE {} ({}){}{}").format(kind, name, SQL(", ").join(parts), partitioned, space)
    )


def add_columns(cursor: Cursor, name: Identifier, columns: Sequence[tuple[str, str]]) -> None:
    """Add nullable columns in one statement."""
    cursor.execute(altering(name, [adding(column, type_) for column, type_ in columns]))


def widen_column(cursor: Cursor, name: Identifier, column: str, type_: str) -> None:
    """Change a column to a type that keeps every value it has."""
    cursor.execute(altering(name, [widening(column, type_)]))


def altering(name: Identifier, changes: Sequence[Composed]) -> Composed:
    """Return the statement that makes changes to a table."""
    return SQL("ALTER TABLE {} {}").format(name, SQL(", ").join(changes))


def adding(column: str, type_: str) -> Composed:
    return SQL("ADD COLUMN ") + _column(column, type_)


def widening(column: str, type_: str) -> Composed:
    return SQL("ALTER COLUMN {} TYPE {}").format(Identifier(column), SQL(type_))


def holds_values(cursor: Cursor, name: Identifier, column: str) -> bool:
    """Tell whether any row has a value in a column."""
    cursor.execute(
        SQL("SELECT EXISTS (SELECT 1 FROM {} WHERE {} IS NOT NULL)").format(name, Identifier(column))
    )
    row = cursor.fetchone()
    return bool(row and row[0])


def change_empty_column(cursor: Cursor, name: Identifier, column: str, type_: str) -> None:
    """Change a column in which no row has a value to any type."""
    cursor.execute(
        SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING NULL").format(name, Identifier(column), SQL(type_))
    )


def change_column(cursor: Cursor, name: Identifier, column: str, type_: str, using: Composable) -> None:
    """Change a column to a type, with the values that an expression makes of those it has."""
    cursor.execute(
        SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {} USING {}").format(
            name, Identifier(column), SQL(type_), using
        )
    )


def turn_into_json(cursor: Cursor, name: Identifier, column: str) -> None:
    """Change a column of numbers or truth values to documents that hold the same."""
    cursor.execute(
        SQL("ALTER TABLE {name} ALTER COLUMN {column} TYPE jsonb USING pg_catalog.to_jsonb({column})").format(
            name=name, column=Identifier(column)
        )
    )


_PARTITION_COLUMNS = """
WITH RECURSIVE tree(oid) AS (
    SELECT %s::regclass::oid
    UNION ALL
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid
)
SELECT DISTINCT a.attname
FROM tree
JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = tree.oid
CROSS JOIN LATERAL unnest(p.partattrs) AS k(n)
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = k.n
ORDER BY 1
"""


_ROOTS = """
WITH RECURSIVE up(oid) AS (
    SELECT %s::oid
    UNION
    SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid
)
SELECT n.nspname, c.relname
FROM up JOIN pg_catalog.pg_class c ON c.oid = up.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> %s AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
ORDER BY 1, 2
"""


def roots(cursor: Cursor, oid: int) -> list[Identifier]:
    """Return the tables from which a table inherits, or of which it is a part, and that inherit from none themselves."""
    cursor.execute(_ROOTS, [oid, oid])
    return [Identifier(schema, name) for schema, name in cursor.fetchall()]


def is_partition(cursor: Cursor, oid: int) -> bool:
    """Tell whether a table is a part of a partitioned one, which has its columns from there and no others."""
    cursor.execute("SELECT relispartition FROM pg_catalog.pg_class WHERE oid = %s", [oid])
    return cursor.fetchone() == (True,)


def partition_columns(cursor: Cursor, table: Identifier) -> list[str | None]:
    """Return the columns by which a table and its parts are partitioned, all of which a key must have; None: an expression."""
    cursor.execute(_PARTITION_COLUMNS, [table.as_string(cursor)])
    return [name for (name,) in cursor.fetchall()]


def build_key(
    cursor: Cursor, name: Identifier, index: str, keys: Sequence[str], former: Key | None = None
) -> None:
    """Build the index of a key to come, while others read the table; they do not write to it until this transaction ends."""
    cursor.execute(
        SQL("CREATE UNIQUE INDEX {} ON {} ({}){}").format(
            Identifier(index), name, _list(keys), _like(former, keys, " TABLESPACE {}")
        )
    )


def _like(former: Key | None, keys: Sequence[str], tablespace: str) -> Composable:
    return SQL("") if former is None else former.built(keys, tablespace)


def change_primary_key(
    cursor: Cursor,
    name: Identifier,
    former: Key | None,
    keys: Sequence[str],
    *,
    nullable: Iterable[str] = (),
    index: str | None = None,
) -> None:
    """Replace the primary key by one like it, by way of an ``index`` that was built; columns of the old one that are ``nullable`` take
    NULL then.
    """
    if former is None:
        cursor.execute(altering(name, [SQL("ADD PRIMARY KEY ({})").format(_list(keys))]))
        return
    constraint = Identifier(former.constraint)
    add = SQL("ADD CONSTRAINT {} PRIMARY KEY ({}){}").format(
        constraint, _list(keys), _like(former, keys, " USING INDEX TABLESPACE {}")
    )
    if index is not None:
        add = SQL("ADD CONSTRAINT {} PRIMARY KEY USING INDEX {}").format(constraint, Identifier(index))
    cursor.execute(altering(name, [*_dropping(former.constraint, nullable), add]))


def _dropping(constraint: str, nullable: Iterable[str]) -> list[Composed]:
    free = [SQL("ALTER COLUMN {} DROP NOT NULL").format(Identifier(column)) for column in nullable]
    return [SQL("DROP CONSTRAINT {}").format(Identifier(constraint)), *free]


def dropping_key(name: Identifier, constraint: str, nullable: Iterable[str]) -> Composed:
    """Return the statement after which a table has no primary key, and these of its columns take NULL."""
    return SQL("ALTER TABLE {} {}").format(name, SQL(", ").join(_dropping(constraint, nullable)))


def try_dropping(cursor: Cursor, name: Identifier, constraint: str) -> None:
    """See that a constraint can be dropped, and leave it.

    Raises:
        psycopg2.Error: it cannot: something depends on it, or the table is another role's.
    """
    cursor.execute("SAVEPOINT singerkit_trial")
    cursor.execute(SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(name, Identifier(constraint)))
    cursor.execute("ROLLBACK TO SAVEPOINT singerkit_trial")
    cursor.execute("RELEASE SAVEPOINT singerkit_trial")


def can_be_key(cursor: Cursor, name: Identifier, keys: Sequence[str], *, is_inherited: bool) -> bool:
    """Tell whether columns are unique in the rows that are there, and never null; nobody waits for that.

    Of tables that inherit from it a key wants the latter only.
    """
    is_null = SQL(" OR ").join([SQL("{} IS NULL").format(Identifier(key)) for key in keys])
    cursor.execute(
        SQL(
            "SELECT NOT EXISTS (SELECT 1 FROM {name} WHERE {is_null}) "
            "AND NOT EXISTS (SELECT 1 FROM {rows} GROUP BY {keys} HAVING pg_catalog.count(*) > 1)"
        ).format(name=name, rows=rows_of(name, is_alone=is_inherited), is_null=is_null, keys=_list(keys))
    )
    return cursor.fetchone() == (True,)


def keeping_last(name: Identifier, keys: Sequence[str], *, is_alone: bool) -> Composed:
    """Return the statement that deletes of rows with one key all but the one that stands last."""
    same = SQL(" AND ").join([SQL("one.{0} = other.{0}").format(Identifier(key)) for key in keys])
    return SQL(
        "DELETE FROM {0} AS one USING {0} AS other WHERE {1} AND (one.tableoid, one.ctid) < (other.tableoid, other.ctid)"
    ).format(rows_of(name, is_alone=is_alone), same)


_RELEASABLE = """
SELECT a.attname FROM pg_catalog.pg_attribute a
WHERE a.attrelid = %s AND a.attname = ANY (%s) AND a.attnotnull AND a.attidentity = '' AND a.attinhcount = 0
AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND a.attnum = ANY (i.indkey)
    AND i.indisreplident AND NOT i.indisprimary)
ORDER BY a.attname
"""


def releasable(cursor: Cursor, oid: int, columns: Iterable[str]) -> list[str]:
    """Return those of the columns that take no NULL and may, once no primary key has them."""
    cursor.execute(_RELEASABLE, [oid, list(columns)])
    return [str(name) for (name,) in cursor.fetchall()]


def add_unique_key(cursor: Cursor, name: Identifier, keys: Sequence[str]) -> None:
    """Add a key beside the primary key."""
    not_null = [SQL("ALTER COLUMN {} SET NOT NULL").format(Identifier(key)) for key in keys]
    unique = SQL("ADD UNIQUE ({})").format(_list(keys))
    cursor.execute(SQL("ALTER TABLE {} {}").format(name, SQL(", ").join([*not_null, unique])))


def comment_table(cursor: Cursor, name: Identifier, comment: str) -> None:
    cursor.execute(SQL("COMMENT ON TABLE {} IS {}").format(name, Literal(comment)))


def comment_columns(cursor: Cursor, name: Identifier, comments: Mapping[str, str]) -> None:
    """Say of columns what they are."""
    for column, comment in comments.items():
        cursor.execute(
            SQL("COMMENT ON COLUMN {}.{} IS {}").format(name, Identifier(column), Literal(comment))
        )


def _column(column: str, type_: str) -> Composed:
    return SQL("{} {}").format(Identifier(column), SQL(type_))


def _list(names: Iterable[str]) -> Composed:
    return SQL(", ").join([Identifier(name) for name in names])
