"""What databases as targets share: tables, stage, merge, state row, dead letters, versions.

The path of a row: `tables.py` (the table of a stream) -> `stage.py` (rows wait, in arrival order) -> `merge.py` (into the
table) -> `loader.py` (units of commit), with the row of `states.py` in the same transaction. No database is known here:
what one has to supply is in `dialect.py`.
"""
