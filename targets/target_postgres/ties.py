"""Which tables a foreign key ties together, and in which order their rows go in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from target_postgres.tables import Table

__all__ = ["is_cyclic", "parents_first"]

Refers = Callable[[Table], Collection[int]]
"""The OIDs of what a table refers to."""


def parents_first(tables: Sequence[Table], refers: Refers) -> list[list[Table]]:
    """Return tables in groups: each after those that it refers to; tables that refer to each other are one group."""
    found: list[list[Table]] = []
    path: list[Table] = []  # those whose group is not complete
    depths: dict[str, int] = {}

    def visit(table: Table) -> int:
        """Return the least depth on the path that the table leads back to."""
        depth = least = depths[table.stream] = len(depths)
        path.append(table)
        for parent in _among(tables, refers(table)):
            if parent.stream not in depths:
                least = min(least, visit(parent))
            elif parent in path:
                least = min(least, depths[parent.stream])
        if least == depth:
            at = path.index(table)
            found.append(path[at:])
            del path[at:]
        return least

    for table in tables:
        if table.stream not in depths:
            visit(table)
    return found


def is_cyclic(group: Sequence[Table], refers: Refers) -> bool:
    """Tell whether rows of a group may refer to each other."""
    return len(group) > 1 or group[0].shape.oid in refers(group[0])


def _among(tables: Sequence[Table], oids: Collection[int]) -> Iterator[Table]:
    return (table for table in tables if table.shape.oid in oids)
