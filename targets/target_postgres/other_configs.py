"""Configs of other loaders for PostgreSQL: those of MeltanoLabs' target-postgres (0.8) work as they are, pipelinewise's are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_postgres.meltano import ADDRESS, take_address
from singerkit_shell.takenover import TakenOver
from singerkit_shell.validate import MAP_CONVERTED
from singerkit_state.postgres.url import LONGEST_NAME

__all__ = ["PIPELINEWISE", "THEIRS", "has_theirs", "taken_over"]

_FLAG: Mapping[str, Any] = {"type": "boolean"}
_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
_PATH: Mapping[str, Any] = {**_TEXT, "secret": False}

_ONLY_THEIRS: Mapping[str, Any] = {
    "dialect+driver": _PATH,
    **ADDRESS,
    "use_copy": _FLAG,
    "interpret_content_encoding": _FLAG,
    "sanitize_null_text_characters": _FLAG,
}
"""What no other loader calls so: a config with one of these is theirs."""

_SHARED: Mapping[str, Any] = {
    "batch_size_rows": {"type": "integer", "minimum": 1},
    "process_activate_version_messages": _FLAG,
    "stream_maps": {"type": ["object", "null"]},
    "stream_map_config": {"type": ["object", "null"]},
    "faker_config": {"type": ["object", "null"]},
    "flattening_enabled": _FLAG,
    "flattening_max_depth": {"type": ["integer", "null"]},
    "flattening_max_key_length": {"type": ["integer", "null"]},
    "flattening_separator": {"type": "string"},
}
"""What other targets of singer-sdk have, too: taken where the config is theirs, and else refused."""

THEIRS: Mapping[str, Any] = {**_ONLY_THEIRS, **_SHARED}

_DEFAULTS: Mapping[str, Any] = {
    "default_target_schema": "melty",
    "add_record_metadata": True,
    "hard_delete": False,
    "table_name": "{table}",
}
"""Where theirs differ from ours: a stream `public-users` goes into the table `users`, too."""

_WITHOUT_EFFECT = ("dialect+driver", "use_copy", "ssl_storage_directory")

PIPELINEWISE: Mapping[str, str] = {
    "dbname": "write `database`",
    "ssl": "write `sslmode`",
    "flush_all_streams": "a STATE commits what came of all streams; remove it",
    "parallelism": "streams are loaded over one connection, in one transaction; remove it",
    "max_parallelism": "streams are loaded over one connection, in one transaction; remove it",
    "default_target_schema_select_permission": "write `grant_select`, a list of roles",
    "schema_mapping": "write `schema_name`, `grant_select` and `indexes`, by stream or glob",
    "add_metadata_columns": "write `add_record_metadata`",
    "data_flattening_max_level": 'write `nested`, as in `{"as": "flatten", "depth": 2}`; 0 is `jsonb`',
    "primary_key_required": "a stream without a key appends; remove it",
    "disable_table_cache": "tables are looked at in each run; remove it",
    "temp_dir": "rows go to COPY without a file; remove it",
}
"""The settings of pipelinewise-target-postgres (2.1) that are called otherwise here, or not needed, with what to do."""


def has_theirs(config: Mapping[str, Any]) -> bool:
    """Tell whether a config is one of MeltanoLabs' target-postgres."""
    return not config.keys().isdisjoint(_ONLY_THEIRS)


def taken_over(given: Mapping[str, Any]) -> TakenOver:
    """Return a config of theirs, whose types are checked already, with our names and their defaults."""
    theirs = {name: given[name] for name in given.keys() & THEIRS.keys() if given[name] is not None}
    made = TakenOver(
        "MeltanoLabs' target-postgres",
        {name: value for name, value in given.items() if name not in THEIRS},
    )
    for name in _WITHOUT_EFFECT:
        theirs.pop(name, None)
    _take_driver(made, theirs, str(given.get("dialect+driver", "postgresql")))
    take_address(made, theirs)
    _take_values(made, theirs)
    _take_methods(made, theirs)
    _refuse_maps(made, theirs)
    _take_flattening(made, theirs)
    for name, value in _DEFAULTS.items():
        if name not in made.config:
            made.config[name] = made.added[name] = value
    return made


def _take_driver(made: TakenOver, theirs: Mapping[str, Any], driver: str) -> None:
    if theirs.get("sqlalchemy_url") is None and not driver.startswith("postgresql"):
        made.problems.append(
            "Expected `postgresql` and a driver at `dialect+driver`, got something else; remove it"
        )


def _take_values(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    if theirs.get("sanitize_null_text_characters"):
        made.rename("sanitize_null_text_characters", "on_unstorable", "replace")
    if theirs.get("interpret_content_encoding"):
        made.problems.append(
            "`interpret_content_encoding` is not done for `base16`, which stays text as it came; `base64` goes to `bytea` without "
            "it: remove it"
        )
    if "batch_size_rows" in theirs:
        made.rename("batch_size_rows", "commit_rows", theirs["batch_size_rows"])


def _take_methods(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    if "process_activate_version_messages" in theirs:  # beside their own, and either turns it off
        follows = made.config.get("activate_version", True) and theirs["process_activate_version_messages"]
        made.config["activate_version"] = bool(follows)
    if made.config.get("activate_version", True) and made.config.get("add_record_metadata") is False:
        # They refuse it, too.
        made.problems.append(
            "`activate_version` needs `add_record_metadata`: without it rows have no version; set one of them to the other's value"
        )
    if made.config.get("load_method") == "append-only":
        made.config["load_method"] = "upsert"
        made.notes.append(
            "MeltanoLabs' target-postgres upserts streams with a key under `load_method: append-only`, its default, and so does "
            "this run of its config; to append, write the config in the names of this target"
        )


def _refuse_maps(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    for name in ("stream_maps", "stream_map_config", "faker_config"):
        if theirs.get(name):
            made.problems.append(
                f"`{name}` is not done here: no stream or field would be left out, renamed or changed; {MAP_CONVERTED}; then remove it here"
            )


def _take_flattening(made: TakenOver, theirs: Mapping[str, Any]) -> None:
    if not theirs.get("flattening_enabled"):
        return
    depth, longest = theirs.get("flattening_max_depth"), theirs.get("flattening_max_key_length")
    if depth is None:
        made.problems.append("`flattening_enabled` needs `flattening_max_depth`, as there; add it")
    elif longest is not None and longest < LONGEST_NAME:
        made.problems.append(
            f"`flattening_max_key_length` below {LONGEST_NAME} is not done here, where longer names alone are shortened, each to one of its own; remove it"
        )
    elif depth > 0:
        how = {"as": "flatten", "depth": depth, "separator": theirs.get("flattening_separator", "__")}
        made.rename("flattening_enabled", "nested", how)
        made.notes.append(
            "Lists, and objects below `flattening_max_depth`, get columns of `jsonb` here, and of text with MeltanoLabs' target-postgres; a table that "
            "has these keeps them"
        )
