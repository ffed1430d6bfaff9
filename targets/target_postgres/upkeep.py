"""What the config wants of tables besides their rows: SQL of the user's before and after, indexes, grants, comments, how they are made.

All but how they are made comes after the last commit of a complete run (`finishing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from singerkit_catalog.patterns import EVERY, NAME, most_exact
from singerkit_shell.errors import ConfigurationError
from singerkit_wire.stream import Stream
from target_postgres import dividing
from target_postgres.dividing import Division

__all__ = ["NO_UPKEEP", "SETTINGS", "Index", "Making", "Upkeep", "upkeep_of"]

_STATEMENTS: Mapping[str, Any] = {
    "type": ["string", "array"],
    "minLength": 1,
    "secret": False,
    "items": NAME,
}

SETTINGS: Mapping[str, Any] = {
    "pre_sql": {
        **_STATEMENTS,
        "description": "SQL, or a list of it, that a run executes in one transaction once it holds its pipeline, before anything is loaded.",
    },
    "post_sql": {
        **_STATEMENTS,
        "description": "SQL, or a list of it, that a run executes after its last commit, where it is complete; each text for itself, so that "
        "`VACUUM` and the like can stand there.",
    },
    "indexes": {
        "type": "object",
        "additionalProperties": {"type": "array"},
        "description": 'Indexes by stream or glob, each a field, a list of fields, or those with a method: `{"orders": ["customer_id", '
        '["status", "at"], {"fields": ["tags"], "using": "gin"}]}`. Made at the end of a complete run, without keeping others from writing.',
    },
    "grant_select": {
        "type": "array",
        "items": NAME,
        "description": "Roles that get USAGE of the schemas and SELECT of the tables that a run loads, where they lack it.",
    },
    "comments": {
        "type": "boolean",
        "default": False,
        "description": "Write the `description` of a SCHEMA and of its fields as comments of the table and its columns.",
    },
    "analyze_rows": {
        "type": "integer",
        "minimum": 1,
        "description": "ANALYZE a table at the end of a run where at least so many of its rows have changed since it was last done.",
    },
    "unlogged": {
        "type": ["boolean", "object"],
        "additionalProperties": {"type": "boolean"},
        "description": "Make tables UNLOGGED, all or by stream or glob: a crash of the server empties them, and the run after it is refused "
        "(`rows_gone`).",
    },
    "partition_by": dividing.SETTING,
    "tablespace": {
        "type": ["string", "object"],
        "minLength": 1,
        "secret": False,
        "additionalProperties": NAME,
        "description": "Tablespace in which tables and their keys are made, of all or by stream or glob.",
    },
}


@dataclass(frozen=True)
class Making:
    """How a table is made: without a write-ahead log, where its file is, and in which partitions."""

    unlogged: bool = False
    tablespace: str | None = None
    division: Division | None = None


@dataclass(frozen=True)
class Index:
    fields: tuple[str, ...]
    using: str


@dataclass(frozen=True)
class Upkeep:
    """What the config wants; the first two are SQL."""

    before: Sequence[str] = ()
    after: Sequence[str] = ()
    indexes: Mapping[str, Sequence[Index]] = field(default_factory=dict)
    readers: Sequence[str] = ()
    comments: bool = False
    analyze_rows: int | None = None
    unlogged: Mapping[str, bool] = field(default_factory=dict)
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    divisions: Mapping[str, Division] = field(default_factory=dict)

    @property
    def has_end(self) -> bool:
        """Whether anything may be to do after a run."""
        return bool(
            self.after
            or self.indexes
            or self.readers
            or self.comments
            or self.analyze_rows
            or self.unlogged
            or self.tablespaces
            or self.divisions
        )

    def making(self, stream: str) -> Making:
        """How the table of a stream is made."""
        return Making(
            unlogged=bool(most_exact(self.unlogged, stream, "unlogged")),
            tablespace=most_exact(self.tablespaces, stream, "tablespace"),
            division=most_exact(self.divisions, stream, "partition_by"),
        )

    def check(self, stream: Stream) -> None:
        """See that a stream has the fields of its indexes.

        Raises:
            ConfigurationError: it has not.
        """
        for index in most_exact(self.indexes, stream.name, "indexes") or ():
            _check_fields(stream, "indexes", index.fields)

    def check_division(self, stream: Stream) -> None:
        """See that a stream has the field by which its table is partitioned, which no record brings later.

        Raises:
            ConfigurationError: it has not.
        """
        division = most_exact(self.divisions, stream.name, "partition_by")
        if division is not None:
            _check_fields(stream, "partition_by", [division.field])


def _check_fields(stream: Stream, setting: str, fields: Sequence[str]) -> None:
    missing = [name for name in fields if name not in stream.column_names]
    if missing:
        raise ConfigurationError(
            f"Expected fields of stream `{stream.name}` at `{setting}`, got `{missing[0]}`, which its SCHEMA does not have; nothing of "
            "this stream was written: correct the config, then run again."
        )


NO_UPKEEP = Upkeep()


def upkeep_of(config: Mapping[str, Any]) -> Upkeep:
    """Return what a config wants.

    Raises:
        ValueError: an index is none, or a division; says what was expected, in the words of a sentence.
    """
    return Upkeep(
        _listed(config.get("pre_sql")),
        _listed(config.get("post_sql")),
        {
            pattern: [_index(pattern, one) for one in given]
            for pattern, given in config.get("indexes", {}).items()
        },
        config.get("grant_select", ()),
        config["comments"],
        config.get("analyze_rows"),
        _by_stream(config.get("unlogged")),
        _by_stream(config.get("tablespace")),
        dividing.divisions_of(config.get("partition_by", {})),
    )


def _listed(given: str | Sequence[str] | None) -> Sequence[str]:
    return [given] if isinstance(given, str) else given or ()


def _by_stream(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {} if given is None else {EVERY: given}


def _index(pattern: str, given: Any) -> Index:
    using = "btree"
    if isinstance(given, Mapping) and given.keys() <= {"fields", "using"}:
        using, given = given.get("using", using), given.get("fields")
    fields = [given] if isinstance(given, str) else given
    if not (
        isinstance(fields, list)
        and fields
        and all(isinstance(one, str) for one in fields)
        and isinstance(using, str)
    ):
        raise ValueError(
            f"Expected a field, a list of fields, or `fields` and `using` at `indexes.{pattern}`, got something else"
        )
    return Index(tuple(fields), using)
