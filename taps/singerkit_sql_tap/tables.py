"""What a database holds, as discovery finds it, and which of it a config asks for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest

__all__ = ["Column", "Table", "by_table", "check_names", "chosen_tables", "is_declared_time"]

_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Column:
    """A column. ``schema``: what its declaration promises, as JSON Schema; ``sql_type``: how it is declared."""

    name: str
    sql_type: str
    schema: dict[str, Any]

    @property
    def is_time(self) -> bool:
        return is_declared_time(self.sql_type)


@dataclass(frozen=True)
class Table:
    """A table or view.

    ``primary_key``: in the order of the key; () where there is none. ``chunk_key``: expressions, over the alias ``t``, of
    a unique key whose index gives rows in its order; (): the table is read as a whole. ``indexed``: columns by which an
    index gives rows in ascending order. ``only_by_name``: left out unless a rule names it. ``name``: that of its stream.
    ``relation``: its own within ``schema_name``; "": that of its stream.
    """

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    chunk_key: tuple[str, ...] = ()
    indexed: frozenset[str] = frozenset()
    is_view: bool = False
    only_by_name: bool = False
    rows_move: bool = False
    """Whether ``chunk_key`` holds numbers that are no column: a row may get another one, and its own go to another row."""
    looks_back: bool = False
    """Whether a load that was cut off goes on only behind rows that are those it has read; see `is_followed`."""
    schema_name: str = ""
    database_name: str = ""
    relation: str = ""
    comment: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What rules may call it: its stream, or, where that is another name, the schema and the relation."""
        return (f"{self.schema_name}.{self.relation}", self.name) if self.relation else (self.name,)

    def is_meant_by(self, pattern: str) -> bool:
        """Tell whether a glob, or a name, is about it."""
        return any(name == pattern or fnmatchcase(name, pattern) for name in self.names)

    @property
    def is_followed(self) -> bool:
        """Whether what a load has read is noted: where rows move it could not go on by their numbers else."""
        return self.rows_move or self.looks_back

    @property
    def replication_keys(self) -> tuple[str, ...]:
        """The columns that are offered as replication keys; any other can be chosen."""
        return tuple(column.name for column in self.columns if column.is_time or column.name in self.indexed)

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


def is_declared_time(declared: str) -> bool:
    """Tell whether a declared type says that the column holds dates or times."""
    return any(word in declared.upper() for word in ("DATE", "TIME"))


def by_table(rows: Iterable[tuple[Any, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """Return what a query about all tables gave, by the table, which stands first in each row; none: []."""
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for table, *row in rows:
        found[table].append(tuple(row))
    return found


def chosen_tables(rules: Sequence[str], tables: Sequence[Table]) -> list[Table]:
    """Return the tables that ``rules`` choose: globs, ``!`` excludes, later rules win.

    Raises:
        ConfigurationError: a rule matches no table, but for an exclusion by a glob, or nothing is chosen.
    """
    names = [table.names[0] for table in tables]
    chosen = dict.fromkeys(names, bool(rules) and rules[0].startswith("!"))
    for rule in rules:
        pattern = rule.removeprefix("!")
        matched = [
            table.names[0]
            for table in tables
            if pattern in table.names or (table.is_meant_by(pattern) and not table.only_by_name)
        ]
        is_missed = rule == pattern or not _GLOB.search(
            pattern
        )  # what a glob keeps out may come later, or be gone
        if not matched and pattern != "*" and is_missed:
            whole = [f"{name.rpartition('.')[0]}.*" for name in names if "." in name]
            near = nearest(pattern, [*dict.fromkeys(whole), *names] if _GLOB.search(pattern) else names)
            known = f"did you mean `{near}`?" if near else f"the tables are {_few(names)}."
            raise ConfigurationError(f"The rule `{rule}` in `tables` matches no table or view; {known}")
        chosen.update(dict.fromkeys(matched, not rule.startswith("!")))
    found = [
        table
        for table in tables
        if chosen[table.names[0]] and not (table.only_by_name and {*rules}.isdisjoint(table.names))
    ]
    if not found:
        raise ConfigurationError(
            f"No table is chosen by `tables`, so there is nothing to read; the tables are {_few(names)}."
        )
    return found


def check_names(tables: Iterable[Table]) -> None:
    """See that no two tables would be one stream.

    Raises:
        ConfigurationError: two would.
    """
    by_name: dict[str, Table] = {}
    for table in tables:
        other = by_name.setdefault(table.name, table)
        if other is not table:
            raise ConfigurationError(
                f"The tables `{other.names[0]}` and `{table.names[0]}` would both be the stream `{table.name}`; leave one of them out in "
                f'`tables` (`"!{table.names[0]}"`), and read it with another pipeline.'
            )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(f"`{name}`" for name in names[:5]) + more if names else "none: the database is empty"
