"""The settings that all database taps have, as JSON Schema and typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest
from singerkit_sql_tap.tables import Table

__all__ = [
    "KEY_FORMATS",
    "SQL_SETTINGS",
    "StreamSettings",
    "check_key_settings",
    "check_stream_settings",
    "idle_key_settings",
    "local_is_utc",
    "several_keys",
    "stream_settings",
]

KEY_FORMATS = ("text", "number", "epoch", "epoch_ms", "epoch_us", "epoch_ns")

SQL_SETTINGS: dict[str, Any] = {
    "tables": {
        "type": "array",
        "items": {"type": "string", "pattern": "^!?[^!]"},
        "secret": False,
        "default": ["*"],
        "title": "Tables",
        "description": "Which tables and views are streams: globs (`orders*`), `!` excludes (`!tmp_*`, whether there are any or not; a name without `*` has to be there), later rules win. Virtual "
        "tables and what they store come only by their full name.",
    },
    "streams": {
        "type": "array",
        "default": [],
        "title": "Streams",
        "description": "How streams are read, where that is not as a whole and by the primary key of the table. A catalog has the "
        "last word.",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["name"],
            "properties": {
                "name": {
                    "type": "string",
                    "minLength": 1,
                    "secret": False,
                    "description": "The table, or a glob; of several that match the last one says each setting.",
                },
                "replication_key": {
                    "type": "string",
                    "minLength": 1,
                    "secret": False,
                    "description": "Read rows from the greatest value of the run before on: a column that grows with each change. "
                    "Deleted rows are only seen by streams without one.",
                },
                "primary_keys": {
                    "type": "array",
                    "items": {"type": "string"},
                    "secret": False,
                    "description": "Columns that tell rows apart, where the table or view declares none, or others.",
                },
                "replication_key_format": {
                    "type": "string",
                    "enum": list(KEY_FORMATS),
                    "description": "How the replication key compares: `text` by code point, for text that is no time; `epoch` and "
                    "its like for numbers that are points in time, so that `start_date` and `lookback` mean something; `number` for "
                    "numbers that are none, to which `start_date` does not apply.",
                },
                "lookback": {
                    "type": "number",
                    "minimum": 0,
                    "description": "Read again what lies so far below the bookmark: rows that are committed late. Seconds for "
                    "points in time, days for dates, units for numbers.",
                },
            },
        },
    },
    "infinity": {
        "type": "string",
        "enum": ["fail", "null"],
        "default": "fail",
        "title": "Infinity",
        "description": "What becomes of an infinite number, which JSON does not have: the run ends (65), or null is sent, with a "
        "warning that counts them. In a key the run ends in either case.",
    },
    "local_times": {
        "type": "string",
        "enum": ["text", "utc"],
        "default": "text",
        "title": "Local times",
        "description": "Columns that are declared as a date or time and hold text without an offset: sent as `text`, or as "
        "points in time of `utc`. The text is sent as it is in either case.",
    },
    "query_timeout": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 31536000,
        "title": "Query timeout",
        "description": "Seconds that one query may take, of a chunk or of a look at the types, less those in which nobody takes what it gives; then the "
        "run ends (69). Default: none.",
    },
    "max_rows_per_second": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1000000000,
        "title": "Rows a second",
        "description": "At most so many rows a second, of all streams together, are read and written, on average: the database is asked no "
        "faster. Default: as fast as it goes.",
    },
    "activate_version": {
        "type": "boolean",
        "default": True,
        "title": "Activate version",
        "description": "Each complete full load sends ACTIVATE_VERSION, by which a target removes rows that are gone at the "
        "source (target-postgres with `add_record_metadata`).",
    },
}


@dataclass(frozen=True)
class StreamSettings:
    """How one stream is read."""

    replication_key: str | None = None
    primary_keys: tuple[str, ...] | None = None
    replication_key_format: str | None = None
    lookback: float = 0
    given: Mapping[str, Any] = field(default_factory=dict)


def local_is_utc(config: Mapping[str, Any]) -> bool:
    """Tell whether times without an offset are declared as points in time, of UTC."""
    return bool(config.get("local_times") == "utc")


def several_keys(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong where the config names several columns as one replication key (docs/decisions/0077-one-replication-key.md)."""
    streams = config.get("streams")
    for number, entry in enumerate(streams if isinstance(streams, list) else ()):
        if not isinstance(entry, Mapping):
            continue
        for setting in ("replication_key", "replication_keys"):
            if isinstance(entry.get(setting), list):
                yield (
                    f"Expected one column at `streams[{number}].replication_key`, got a list at `streams[{number}].{setting}`: rows with one value "
                    "of it are told apart without a second column; where no single column grows with each change, name one that the database "
                    "generates of several, or one of a view"
                )


def stream_settings(table: Table, config: Mapping[str, Any]) -> StreamSettings:
    """Return what the config says of a table.

    Raises:
        ConfigurationError: it names a column that the table does not have, or a setting that does nothing.
    """
    said: dict[str, Any] = {}
    for entry in config.get("streams", ()):
        if table.is_meant_by(entry["name"]):
            said |= entry
    keys = said.get("primary_keys")
    key = said.get("replication_key")
    for setting, names in (("primary_keys", keys or ()), ("replication_key", [key] if key else ())):
        for name in names:
            if name not in table.column_names:
                near = nearest(name, table.column_names)
                hint = f"did you mean `{near}`?" if near else "name one of its columns."
                raise ConfigurationError(
                    f"Expected a column of `{table.name}` at `{setting}`, got `{name}`, which it does not have; {hint}"
                )
    return StreamSettings(
        key,
        None if keys is None else tuple(keys),
        said.get("replication_key_format"),
        said.get("lookback", 0),
        said,
    )


def check_stream_settings(config: Mapping[str, Any], tables: Sequence[Table]) -> None:
    """See that each entry of `streams` is about a table that is read.

    Raises:
        ConfigurationError: one is not.
    """
    names = [table.names[0] for table in tables]
    for number, entry in enumerate(config.get("streams", ())):
        if not any(table.is_meant_by(entry["name"]) for table in tables):
            near = nearest(entry["name"], names)
            hint = f"did you mean `{near}`?" if near else "see `tables`."
            raise ConfigurationError(
                f"Expected a table that is read at `streams[{number}].name`, got `{entry['name']}`; {hint}"
            )


def check_key_settings(config: Mapping[str, Any], keys: Sequence[tuple[Table, str | None]]) -> None:
    """See that what `streams` says of replication keys is about a stream with one; ``keys``: of each table that is read.

    Raises:
        ConfigurationError: no stream of an entry has one.
    """
    for place, setting, streams in _idle_key_settings(config, keys):
        raise ConfigurationError(
            f"Expected a `replication_key` beside {place}, got none in the config or the catalog: {streams} read as a whole, so it has no "
            f"effect; nothing was read. Give `replication_key`, or take `{setting}` away."
        )


def idle_key_settings(config: Mapping[str, Any], keys: Sequence[tuple[Table, str | None]]) -> list[str]:
    """Return what a run would be refused for (`check_key_settings`) unless its catalog has a replication key, a sentence each."""
    return [
        f"{place} has no effect so far, since {streams} read as a whole: a run is refused (78) unless its catalog gives a replication "
        f"key. Give `replication_key` there or in the config, or take `{setting}` away."
        for place, setting, streams in _idle_key_settings(config, keys)
    ]


def _idle_key_settings(
    config: Mapping[str, Any], keys: Sequence[tuple[Table, str | None]]
) -> Iterator[tuple[str, str, str]]:
    """Yield where the setting stands, its name, and how the streams are read that it is about."""
    for number, entry in enumerate(config.get("streams", ())):
        settings = [name for name in ("lookback", "replication_key_format") if entry.get(name)]
        met = [(table.name, key) for table, key in keys if table.is_meant_by(entry["name"])]
        if settings and met and not any(key for _, key in met):
            streams = (
                f"stream `{met[0][0]}` is" if len(met) == 1 else f"the {len(met)} streams it matches are"
            )
            yield f"`streams[{number}].{settings[0]}` (`{entry['name']}`)", settings[0], streams
