"""The executable `tap-sqlite`: the tables and views of one SQLite file."""

from singerkit_shell.imports import begin_importing

begin_importing("tap-sqlite")
