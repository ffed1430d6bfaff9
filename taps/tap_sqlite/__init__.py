"""The executable `tap-sqlite`: the tables and views of one SQLite file."""
