"""Configs of other taps for PostgreSQL, those of MeltanoLabs (0.10) and of pipelinewise (2.1): taken as they are, or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_postgres.meltano import ADDRESS, take_address
from singerkit_shell.takenover import TakenOver
from singerkit_shell.validate import MAP_CONVERTED
from singerkit_sql_tap.otherconfigs import Other

__all__ = ["OTHERS"]

_FLAG: Mapping[str, Any] = {"type": ["boolean", "null"]}
_COUNT: Mapping[str, Any] = {"type": ["integer", "null"]}
_NUMBER: Mapping[str, Any] = {
    "type": ["integer", "number", "string", "null"],
    "pattern": "^[0-9]+([.][0-9]+)?$",
    "secret": False,
}
_TEXT: Mapping[str, Any] = {"type": ["string", "null"], "secret": False}
_SWITCH: Mapping[str, Any] = {"enum": ["true", "false", True, False, None], "secret": False}
_OBJECT: Mapping[str, Any] = {"type": ["object", "null"]}
_METHOD: Mapping[str, Any] = {"enum": ["FULL_TABLE", "INCREMENTAL", "LOG_BASED", None], "secret": False}

_OF_SDK: Mapping[str, Any] = {
    "stream_maps": _OBJECT,
    "stream_map_config": _OBJECT,
    "faker_config": _OBJECT,
    "flattening_enabled": _FLAG,
    "flattening_max_depth": _COUNT,
    "flattening_max_key_length": _COUNT,
    "flattening_separator": _TEXT,
    "batch_config": _OBJECT,
    "default_replication_method": _METHOD,
    "use_singer_decimal": _FLAG,
}
"""What other taps have, too: taken where the config is theirs, and else refused."""


# MeltanoLabs

_SLOT, _RUN_SECONDS, _IDLE_SECONDS = "tappostgres", 600, 60
"""Their defaults, which Meltano writes into a config that does not say them."""


def _take_meltano(made: TakenOver, said: Mapping[str, Any]) -> None:
    take_address(made, said)
    _take_schemas(made, said.get("filter_schemas") or [])
    _take_method(made, said)
    _take_seconds(made, "replication_max_run_seconds", said, _RUN_SECONDS)
    if said.get("replication_idle_exit_seconds", _IDLE_SECONDS) != _IDLE_SECONDS:
        made.notes.append(
            "`replication_idle_exit_seconds` has no effect: a run ends where the log ended when it began"
        )
    if said.get("replication_slot_name", _SLOT) != _SLOT:
        made.notes.append(_their_slot(f"`replication_slot_name` (`{said['replication_slot_name']}`)"))
    _refuse(made, said, _REFUSED_OF_MELTANO)


def _their_slot(named: str) -> str:
    return (
        f"{named} has no effect: a slot of theirs writes `wal2json`, and this tap reads `pgoutput` by one of its own (`log.slot`); drop "
        "theirs when it is not needed any more (`SELECT pg_drop_replication_slot(...)`), else it keeps the log for ever"
    )


_REFUSED_OF_MELTANO: Mapping[str, str] = {
    "dates_as_string": "dates of any year come as text that is a date here, and infinite ones as `unusual_times` says; remove it",
    "json_as_object": "JSON of any kind comes as it stands, and a SCHEMA that says `object` alone would be wrong for lists; remove it",
    "stream_options": "rows are not left out here; make a view with that WHERE, grant it, and name it in `tables`",
    "max_record_count": "rows would be left out for good; remove it",
    "stream_maps": f"no stream or field is renamed or changed by a tap; {MAP_CONVERTED}; then remove it here",
    "stream_map_config": f"there are no stream maps here; {MAP_CONVERTED}; then remove it here",
    "faker_config": f"there are no stream maps here; {MAP_CONVERTED}; then remove it here",
    "flattening_enabled": f"objects stay objects here; the target flattens (target-postgres: `nested`), or {MAP_CONVERTED}; then remove it here",
    "batch_config": "records go through the pipe, not through files; remove it",
    "use_singer_decimal": "numbers come as numbers, with every digit; remove it",
}

MELTANO = Other(
    "MeltanoLabs' tap-postgres",
    {
        **ADDRESS,
        "filter_schemas": {"type": ["array", "null"], "items": {"type": "string"}, "secret": False},
        "dates_as_string": _FLAG,
        "json_as_object": _FLAG,
        "stream_options": _OBJECT,
        "max_record_count": _COUNT,
        "replication_slot_name": _TEXT,
        "replication_max_run_seconds": _COUNT,
        "replication_idle_exit_seconds": _COUNT,
        "log_based_single_connection": _FLAG,
        "auto_bootstrap_log_based": _FLAG,
    },
    _OF_SDK,
    _take_meltano,
)

# pipelinewise

_LONGEST_RUN = 43200
_TRUE = ("true", True)


def _take_pipelinewise(made: TakenOver, said: Mapping[str, Any]) -> None:
    made.rename("dbname", "database", said.get("dbname"))
    if "port" in said:
        made.config["port"] = int(said["port"])
    if said.get("ssl") in _TRUE:
        made.rename("ssl", "sslmode", "require")
    schemas = said.get("filter_schemas") or ""
    _take_schemas(made, [name.strip() for name in schemas.split(",") if name.strip()])
    _take_method(made, said)
    _take_seconds(made, "max_run_seconds", said, _LONGEST_RUN)
    if said.get("break_at_end_lsn") is False:
        made.rename("break_at_end_lsn", "log.end", "follow")
    if said.get("tap_id"):
        made.notes.append(_their_slot("`tap_id`, by which a slot is called there,"))
    given = {**said, "debug_lsn": said.get("debug_lsn") in _TRUE}
    _refuse(made, given, _REFUSED_OF_PIPELINEWISE)


_REFUSED_OF_PIPELINEWISE: Mapping[str, str] = {
    "debug_lsn": "records have no `_sdc_lsn` here; remove it",
    "limit": "a run reads all that there is; remove it",
    "use_secondary": "a config names one server here; write the replica's `host` and `port`, and another config for the streams that are "
    "read from the log, which is the primary's",
    "secondary_host": "see `use_secondary`; remove it",
    "secondary_port": "see `use_secondary`; remove it",
}

PIPELINEWISE = Other(
    "pipelinewise's tap-postgres",
    {
        "dbname": {"type": "string", "minLength": 1, "secret": False},
        "tap_id": _TEXT,
        "ssl": _SWITCH,
        "debug_lsn": _SWITCH,
        "max_run_seconds": _NUMBER,
        "logical_poll_total_seconds": _NUMBER,
        "break_at_end_lsn": _FLAG,
        "use_secondary": _FLAG,
        "secondary_host": _TEXT,
        "secondary_port": _NUMBER,
        "itersize": _NUMBER,
        "limit": _NUMBER,
    },
    {
        "filter_schemas": _TEXT,
        "port": {"type": ["integer", "string"], "pattern": "^[0-9]+$", "secret": False},
        "default_replication_method": _METHOD,
    },
    _take_pipelinewise,
)

OTHERS = (PIPELINEWISE, MELTANO)

# Both


def _take_schemas(made: TakenOver, schemas: list[str]) -> None:
    """Their names are no globs, and ours are."""
    if schemas:
        made.rename("filter_schemas", "tables", [f"{_literally(name)}.*" for name in schemas])


def _literally(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _take_method(made: TakenOver, said: Mapping[str, Any]) -> None:
    match said.get("default_replication_method"):
        case "LOG_BASED":
            made.problems.append(
                '`default_replication_method` is said of streams here: write `"streams": [{"name": "*", "replication_method": "LOG_BASED"}]` '
                "(views by their names with another one), and remove it"
            )
        case "INCREMENTAL":
            made.problems.append(
                "`default_replication_method` names no columns; write `replication_key` for each stream at `streams`, and remove it"
            )


def _take_seconds(made: TakenOver, name: str, said: Mapping[str, Any], usual: int) -> None:
    seconds = float(said.get(name, usual))
    if seconds != usual:
        made.rename(name, "log.max_seconds", max(1, int(seconds)))


def _refuse(made: TakenOver, said: Mapping[str, Any], refused: Mapping[str, str]) -> None:
    made.problems += [f"`{name}`: {advice}" for name, advice in refused.items() if said.get(name)]
