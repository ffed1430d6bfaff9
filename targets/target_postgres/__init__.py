"""target-postgres: loads Singer streams into PostgreSQL as fast as COPY, exactly once.

The path of a row: `target.py` (settings) -> `connect.py` -> `names.py`, `types.py`, `ddl.py` (the table) ->
`rows.py` (a batch as COPY input) -> `session.py` (the connection and its thread) -> `copy.py`, `merge.py`
(into the table) -> `loader.py` (units of commit).
"""

from singerkit_shell.imports import begin_importing

begin_importing("target-postgres")
