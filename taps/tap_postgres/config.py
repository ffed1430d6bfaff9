"""The config of tap-postgres."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from singerkit_postgres.settings import CONNECTION
from singerkit_sql_tap.config import SQL_SETTINGS
from tap_postgres.log.settings import POSTGRES_LOG_SETTINGS

__all__ = ["CONFIG_SCHEMA", "admits_text", "local_is_utc", "samples_json"]

_CONNECTION: dict[str, Any] = {
    key: setting for key, setting in CONNECTION.items() if key != "statement_timeout_seconds"
}
"""`query_timeout` of every database tap says the same."""

_STREAMS: dict[str, Any] = copy.deepcopy(SQL_SETTINGS["streams"])
_STREAMS["items"]["properties"]["replication_method"] = {
    "type": "string",
    "enum": ["FULL_TABLE", "INCREMENTAL", "LOG_BASED"],
    "description": "How the table is read: as a whole, by `replication_key`, or its changes from the write-ahead log (`log`). Default: by "
    "`replication_key` where there is one, else as a whole.",
}
_STREAMS["items"]["properties"]["json_schema"] = {
    "type": "string",
    "enum": ["any", "sample"],
    "default": "any",
    "description": "How columns of json and jsonb are declared: as any JSON, or by the objects and lists in a sample of 1,000 rows, so that a "
    "target can take them apart (`nested`); what the sample had not is declared before the first row that has it.",
}

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "dsn": {
            "type": "string",
            "minLength": 1,
            "secret": True,
            "description": "libpq connection string or URL; the single settings below complete it.",
        },
        **_CONNECTION,
        "user": {
            **CONNECTION["user"],
            "description": "Role to connect as; it needs CONNECT, USAGE and SELECT, and no more.",
        },
        "role": {
            **CONNECTION["role"],
            "description": "Role to be after connecting (`SET ROLE`); not behind a connection pooler.",
        },
        "application_name": {**CONNECTION["application_name"], "default": "tap-postgres"},
        "lock_timeout_seconds": {
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 60,
            "description": "Longest wait for a table that another session has locked for itself alone (`ALTER TABLE`, `TRUNCATE`); then the "
            "run ends (69).",
        },
        **SQL_SETTINGS,
        "parallel": {
            "type": "integer",
            "minimum": 1,
            "maximum": 16,
            "default": 1,
            "title": "Parallel",
            "description": "How many ranges of one table are read at the same time, each by a connection of its own, beside the first one: of tables "
            "that are read as a whole or by a key, and not from the log. What is written is the same, in the same order.",
        },
        "streams": _STREAMS,
        "tables": {
            **SQL_SETTINGS["tables"],
            "description": "Which tables and views are streams: globs over `schema.table` (`public.*`), `!` excludes (`!public.tmp_*`, "
            "whether there are any or not; a name without `*` has to be there), "
            "later rules win. Parts of partitioned tables come only by their full name.",
        },
        "infinity": {
            "type": "string",
            "enum": ["fail", "null", "text"],
            "default": "fail",
            "title": "Infinity",
            "description": "What becomes of NaN and infinite numbers, which JSON does not have: the run ends (65); null is sent, with a "
            "warning that counts them; or text, which the SCHEMA of all numbers but integers then admits. In a key the run ends in any case.",
        },
        "unusual_times": {
            "type": "string",
            "enum": ["text", "null", "fail"],
            "default": "text",
            "title": "Unusual times",
            "description": "What becomes of dates and timestamps that are infinite, BC or beyond the year 9999, which `date` and `date-time` do "
            "not have: the text of PostgreSQL (`infinity`, `0044-03-15 BC`) is sent, which a target sets aside or keeps beside the column; "
            "null, with a warning that counts them; or the run ends (65). In a replication key it ends in any case, in a primary key where it "
            "would be null.",
        },
        "local_times": {
            "type": "string",
            "enum": ["text", "utc"],
            "default": "utc",
            "title": "Local times",
            "description": "Columns of `timestamp without time zone`: declared as points in time of `utc`, or as `text`. The text is sent "
            "as it is, without an offset, in either case.",
        },
        **POSTGRES_LOG_SETTINGS,
    },
}


def admits_text(config: Mapping[str, Any]) -> bool:
    """Tell whether numbers that JSON does not have are sent as text."""
    return bool(config.get("infinity") == "text")


def local_is_utc(config: Mapping[str, Any]) -> bool:
    """Tell whether times without an offset are declared as points in time, of UTC."""
    return bool(config.get("local_times", "utc") == "utc")


def samples_json(said: Mapping[str, Any]) -> bool:
    """Tell whether the JSON of a stream, of which the config says ``said``, is declared by a sample of it."""
    return bool(said.get("json_schema") == "sample")
