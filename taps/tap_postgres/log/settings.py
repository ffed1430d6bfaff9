"""The settings of the log of PostgreSQL, beside those of every log (`singerkit_tap.log_settings`)."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from singerkit_tap.log_settings import LOG_SETTINGS

__all__ = ["POSTGRES_LOG_SETTINGS", "PostgresLogSettings"]

_PREFIX, _LONGEST = "singerkit_", 63
_NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 63}

_OWN: dict[str, Any] = {
    "slot": {
        **_NAME,
        "pattern": "^[a-z0-9_]+$",
        "title": "Slot",
        "description": "Name of the replication slot, one for each pipeline: it keeps the log for this one until a run has confirmed it. "
        "Default: `singerkit_` and the pipeline's name, with a sum of it where that does not fit into the name of a slot.",
    },
    "publication": {
        **_NAME,
        "title": "Publication",
        "description": "Name of the publication, which says what tables the log tells of. Default: as that of the slot.",
    },
    "create": {
        "type": "boolean",
        "default": True,
        "title": "Create",
        "description": "Make slot and publication where they lack, and add tables to the publication, which their owner can; or refuse the run.",
    },
    "truncate": {
        "type": "string",
        "enum": ["new_version", "fail"],
        "default": "new_version",
        "title": "Truncate",
        "description": "What TRUNCATE of a table becomes: a new version of its stream, without the rows, or an error (65). A table that was "
        "dropped and made again, or taken out of the publication for a while, or a column of which was altered so that old rows hold other values, starts "
        "anew with a new version, or ends the run (78).",
    },
    "partitions": {
        "type": "string",
        "enum": ["start_anew", "keep_rows"],
        "default": "start_anew",
        "title": "Partitions that go",
        "description": "What becomes of a partitioned table of which a partition was detached, dropped, emptied or rewritten, of which the log "
        "says nothing: it starts anew, so that the rows go, or they stay at the target, with a warning.",
    },
    "chunk_rows": {
        "type": "integer",
        "minimum": 1,
        "default": 50_000,
        "title": "Rows of a chunk",
        "description": "How many rows of a table are read at once when its stream starts, in one short transaction.",
    },
    "held_warning_bytes": {
        "type": "integer",
        "minimum": 1,
        "default": 10_000_000_000,
        "title": "Warning of held log",
        "description": "Warn where the slot holds more of the log on the server's disk than so many bytes: at the beginning of a run what it has to "
        "read, and each minute.",
    },
    "held_limit_bytes": {
        "type": "integer",
        "minimum": 1,
        "title": "Most held log",
        "description": "End the run (78) where it is more than so many bytes. Default: any; the server has a bound of its own "
        "(`max_slot_wal_keep_size`), which holds while nobody runs, too.",
    },
    "held_limit": {
        "type": "string",
        "enum": ["end_run", "drop_slot"],
        "default": "end_run",
        "title": "At the most",
        "description": "What becomes of a slot that holds more than `held_limit_bytes`: it stays, so that the next run can go on with another limit, "
        "or it is dropped, so that the server has its disk back, and the streams are to be started over.",
    },
    "spool_folder": {
        "type": "string",
        "minLength": 1,
        "title": "Spool folder",
        "description": "Folder for transactions that do not fit into memory before they are committed. Default: that of the system.",
    },
    "spool_bytes": {
        "type": "integer",
        "minimum": 1,
        "title": "Largest spool",
        "description": "How many bytes of that folder may be used; a larger transaction ends the run (74). Default: any.",
    },
}

POSTGRES_LOG_SETTINGS: dict[str, Any] = copy.deepcopy(LOG_SETTINGS)
POSTGRES_LOG_SETTINGS["log"]["properties"].update(_OWN)


@dataclass(frozen=True, slots=True)
class PostgresLogSettings:
    """`POSTGRES_LOG_SETTINGS` of a config, beyond those of `LogSettings`."""

    slot: str
    publication: str
    former: str | None = None
    """The slot of this pipeline as its default name was before, where that is another one."""
    makes: bool = True
    passes_truncate: bool = True
    keeps_parts: bool = False
    chunk_rows: int = 50_000
    spool_folder: str | None = None
    spool_bytes: int | None = None
    held_warning_bytes: int = 10_000_000_000
    held_limit_bytes: int | None = None
    drops_slot: bool = False
    memory_bytes: int = 32 << 20
    query_timeout: float | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], pipeline: str) -> PostgresLogSettings:
        said = config.get("log") or {}
        default, former = _names(pipeline)
        slot = said.get("slot") or default
        return cls(
            slot,
            said.get("publication") or slot,
            None if said.get("slot") or former == default else former,
            bool(said.get("create", True)),
            said.get("truncate", "new_version") == "new_version",
            said.get("partitions") == "keep_rows",
            int(said.get("chunk_rows", 50_000)),
            said.get("spool_folder"),
            said.get("spool_bytes"),
            int(said.get("held_warning_bytes", 10_000_000_000)),
            said.get("held_limit_bytes"),
            said.get("held_limit") == "drop_slot",
            query_timeout=config.get("query_timeout"),
        )

    def with_former(self) -> PostgresLogSettings:
        """Return the same with the slot of the former name, and the publication that was called after it."""
        slot = self.former or self.slot
        publication = slot if self.publication == self.slot else self.publication
        return replace(self, slot=slot, publication=publication)


def _names(pipeline: str) -> tuple[str, str]:
    """Return the name of the slot of a pipeline, which no other one has, and as it was before, when `a-b` and `a_b` had one."""
    own = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in pipeline.lower())
    former = f"{_PREFIX}{own}"[:_LONGEST]
    if former == f"{_PREFIX}{pipeline}":
        return former, former
    return f"{former[: _LONGEST - 9]}_{hashlib.sha256(pipeline.encode()).hexdigest()[:8]}", former
