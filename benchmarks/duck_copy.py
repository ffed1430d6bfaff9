"""What DuckDB does by itself: ``duck_copy.py copy DATABASE CSV COLUMNS``, ``duck_copy.py compare DATABASE TRUTH COLUMNS exact|values``.

Runs in any environment that has the package duckdb; COLUMNS are names and types, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import duckdb


def copy(database: str, csv: str, columns: Mapping[str, str]) -> None:
    """Make the table and copy the CSV into it: types are declared, nothing is looked at first."""
    definitions = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    with duckdb.connect(database) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE SCHEMA IF NOT EXISTS bench")
        connection.execute(f"CREATE TABLE bench.orders ({definitions})")
        connection.execute(f"COPY bench.orders FROM '{csv}' (FORMAT csv, HEADER false, AUTO_DETECT false)")


def compare(database: str, truth: str, columns: Mapping[str, str], how: str) -> None:
    """Print ``same rows``, or what is different; ``exact`` compares the text of each value."""
    with duckdb.connect(database, read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{truth}' AS truth (READ_ONLY)")
        [(rows,)] = connection.execute("SELECT count(*) FROM bench.orders").fetchall()
        [(expected,)] = connection.execute("SELECT count(*) FROM truth.bench.orders").fetchall()
        if rows != expected:
            print(f"{rows:,} rows instead of {expected:,}")
            return
        same = " AND ".join(_same(name, kind, how == "exact") for name, kind in columns.items())
        joined = f"bench.orders AS here JOIN truth.bench.orders AS there ON here.id = there.id AND {same}"
        [(equal,)] = connection.execute(f"SELECT count(*) FROM {joined}").fetchall()
        print("same rows" if equal == expected else f"{expected - equal:,} rows differ")


def _same(name: str, kind: str, is_exact: bool) -> str:
    here = f"here.{name}" if is_exact else f"CAST(here.{name} AS {kind})"
    if is_exact:
        return f"CAST({here} AS VARCHAR) IS NOT DISTINCT FROM CAST(there.{name} AS VARCHAR)"
    return f"{here} IS NOT DISTINCT FROM there.{name}"


def main(verb: str, database: str, path: str, columns: str, how: str = "exact") -> None:
    if verb == "copy":
        copy(database, path, json.loads(columns))
    else:
        compare(database, path, json.loads(columns), how)


if __name__ == "__main__":
    main(*sys.argv[1:])
