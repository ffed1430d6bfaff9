"""The operations, a module each; `table.py` has their names."""
