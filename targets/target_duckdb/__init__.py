"""target-duckdb: loads Singer streams into a DuckDB file, exactly once.

What databases share is `singerkit_sql_target`; here is its dialect: `target.py` (settings) -> `connect.py` (the file, its
one connection, what its errors mean) -> `types.py` (the value table) -> `arrow.py` (a batch as Arrow columns).
"""

from singerkit_shell.imports import begin_importing

begin_importing("target-duckdb")
