"""The config of tap-sqlite."""

from __future__ import annotations

from typing import Any

from singerkit_sql_tap.config import SQL_SETTINGS
from singerkit_sql_tap.texts import INVALID_TEXT

__all__ = ["CONFIG_SCHEMA"]

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["path"],
    "properties": {
        "path": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "title": "Path",
            "description": "The database file. It is opened read-only, and never made.",
        },
        **SQL_SETTINGS,
        **INVALID_TEXT,
        "snapshot": {
            "type": "string",
            "enum": ["auto", "run", "chunk"],
            "default": "auto",
            "title": "Snapshot",
            "description": "What one read transaction covers: the `run`, so that all tables are read as of one moment, or each "
            "`chunk`, so that no writer waits longer. `auto`: the run where the file is in WAL mode, in which readers and "
            "writers do not wait for each other, else a chunk.",
        },
        "busy_timeout": {
            "type": "number",
            "minimum": 0,
            "maximum": 86400,
            "default": 60,
            "title": "Busy timeout",
            "description": "Seconds to wait for a writer that has locked the file; then the run ends (69).",
        },
        "immutable": {
            "type": "boolean",
            "default": False,
            "title": "Immutable",
            "description": "Nothing writes to the file: no lock is taken and no file beside it is made. For a WAL file on read-only "
            "storage. Refused while a `-wal` file holds rows, which would not be read.",
        },
    },
}
