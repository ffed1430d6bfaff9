"""The config of tap-sqlite."""

from __future__ import annotations

from typing import Any

from singerkit_sql_tap.config import SQL_SETTINGS

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
        "invalid_text": {
            "type": "string",
            "enum": ["fail", "replace"],
            "default": "fail",
            "title": "Invalid text",
            "description": "What becomes of text that is not UTF-8: the run ends (65), or U+FFFD stands in the place of what cannot "
            "be read, with a warning that counts the values. In a key the run ends in either case: two keys could become one.",
        },
        "local_times": {
            "type": "string",
            "enum": ["text", "utc"],
            "default": "text",
            "title": "Local times",
            "description": "Columns that are declared as a date or time and hold text without an offset, as `CURRENT_TIMESTAMP` "
            "writes it: sent as `text`, or as points in time of `utc`. The text is sent as it is in either case.",
        },
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
        "query_timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 31536000,
            "title": "Query timeout",
            "description": "Seconds that one query may take, of a chunk or of a look at the types; then the run ends (69). Default: none.",
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
