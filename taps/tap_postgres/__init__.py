"""The executable `tap-postgres`: tables, partitioned and foreign ones, and views of one PostgreSQL database."""

from singerkit_shell.imports import begin_importing

begin_importing("tap-postgres")
