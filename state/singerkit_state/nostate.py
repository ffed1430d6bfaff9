"""What is certainly no state: what a mistyped path names must not be replaced by one, nor read as one.

The states of other taps may be JSON objects of any shape, so an object is a state unless its keys say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from singerkit_state.value import MARK_KEY, decode

__all__ = ["CONFIG_KEYS", "looks_like", "no_state"]

_STATE_KEYS = frozenset({"bookmarks", "currently_syncing", "singer_state", MARK_KEY})

_CONFIG_KEYS_OF_OURS = """
    base_url allowed_addresses allowed_hosts ca_file client_cert client_key client_key_password rate_limit schema_cache user_agent state_every
    dsn sslmode sslrootcert sslcert sslkey connect_timeout application_name lock_timeout_seconds reconnect_seconds
    answer_seconds replay_bytes default_target_schema embedded_folder load_method number_type column_types hard_delete
    destination_path end_of_input on_invalid on_unstorable quarantine_limit missing_fields rows_gone validate_records
    add_record_metadata commit_rows commit_bytes commit_seconds max_line_bytes activate_version analyze_rows column_names grant_select
    key_properties newest_by on_type_conflict passfile post_sql pre_sql replace_by schema_contract schema_name ssh_tunnel sslpassword statement_timeout_seconds table_name
    tablespace unlogged nested partition_by run_history_days checks
"""
_CONFIG_KEYS_OF_OTHERS = "password api_key api_url access_token refresh_token client_secret private_key"
CONFIG_KEYS = frozenset([*_CONFIG_KEYS_OF_OURS.split(), *_CONFIG_KEYS_OF_OTHERS.split()])
"""Settings whose names are those of no stream: some taps keep a state of ``{stream: value}``.

Listed by hand, because this package does not import the executables; a test compares ours with what they declare.
"""

_SERVER_KEYS = frozenset({"host", "port", "user", "database", "dbname", "service"})
_MANIFEST_KEYS = frozenset({"pipeline", "sequence", "state", "files", "epoch"})
_HISTORY_KEYS = frozenset({"number", "at", "why", "by"})
_LOCK_KEYS = frozenset({"pid", "host", "since", "pipeline"})

_MESSAGES = ("SCHEMA", "RECORD", "BATCH", "ACTIVATE_VERSION", "REPLACE")
_MESSAGE = re.compile(rf'^\s*\{{\s*"type"\s*:\s*"(?:{"|".join(_MESSAGES)})"', re.MULTILINE)
_BEFORE_TEXT = " \t\r\n\0\ufeff\udcff\udcfe"
"""Blanks, the NULs of a torn file, and the marks of UTF-8 and UTF-16, as ``surrogateescape`` decodes them."""


def no_state(text: str) -> str | None:
    """Say what the text of a file is that is certainly no state, as ``looks like a config``; None if it may be one.

    Nothing, NULs, and what begins as an object does may be what is left of a state.
    """
    begun = text.lstrip(_BEFORE_TEXT)
    if not begun:
        return None
    if not begun.startswith("{"):
        return "holds something else than a JSON object"
    if _MESSAGE.search(begun, 0, 1 << 20):
        return "holds Singer messages"
    value = _object_in(begun)
    return None if value is None else looks_like(value)


def looks_like(value: Mapping[str, Any]) -> str | None:
    """Say the same of the object in a file."""
    if value.get("type") in _MESSAGES and next(iter(value)) == "type":
        return "holds Singer messages"
    return None if value.keys() & _STATE_KEYS else _kind_of(value)


def _object_in(text: str) -> Mapping[str, Any] | None:
    """The object, or the one in the first line; None when it is torn."""
    for part in (text, text.partition("\n")[0]):
        try:
            value = decode(part)
        except ValueError:
            continue
        return value if isinstance(value, dict) else None
    return None


def _kind_of(value: Mapping[str, Any]) -> str | None:
    keys = value.keys()
    if keys >= _MANIFEST_KEYS:
        return "looks like a manifest of target-jsonl"
    if keys >= _HISTORY_KEYS:
        return "looks like the history of a state"
    if keys == _LOCK_KEYS:
        return "looks like the lock of a run"
    streams = value.get("streams")
    if (
        isinstance(streams, list)
        and any(
            isinstance(entry, dict) and entry.keys() & {"tap_stream_id", "metadata", "schema"}
            for entry in streams
        )
        and not keys & CONFIG_KEYS
    ):
        return "looks like a catalog"
    if keys & CONFIG_KEYS or isinstance(streams, list) or len(keys & _SERVER_KEYS) > 1:
        return "looks like a config"
    return None
