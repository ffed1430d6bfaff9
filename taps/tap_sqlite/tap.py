"""The executable `tap-sqlite`: the tables and views of one SQLite file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from singerkit_sql_tap.contract import Database
from singerkit_sql_tap.tap import SqlTap
from tap_sqlite.config import CONFIG_SCHEMA

__all__ = ["TapSqlite", "main"]


class TapSqlite(SqlTap):
    """Reads the tables and views of a SQLite file."""

    name = "tap-sqlite"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    first_config = '{"path": "shop.db"}'

    def connected(self) -> Database:
        """Return the file of the config, not opened yet."""
        from tap_sqlite.database import SqliteDatabase  # --help needs no database

        return SqliteDatabase(self.config, self.logger)

    def place(self) -> str:
        """Return the whole path of the file."""
        return str(Path(self.config["path"]).absolute())


main = TapSqlite.cli_main
