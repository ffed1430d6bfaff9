"""The settings that every database target has, with what they mean to its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from singerkit_catalog.patterns import NAME, known_words, most_exact, unmatched, word_problems
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target import contracts, keying, naming, nestings, newest
from singerkit_sql_target.contracts import Contracts, contracts_of
from singerkit_sql_target.keying import ROW_HASH, Keying, keying_of
from singerkit_sql_target.methods import Method, Methods, method_problems, methods_of
from singerkit_sql_target.naming import Naming, naming_of, naming_problems
from singerkit_sql_target.nestings import Nestings, nesting_problems, nestings_of
from singerkit_sql_target.newest import NewestBy
from singerkit_sql_target.scopes import SCOPES, Scope, Scopes, scope_problems, scopes_of
from singerkit_wire.conflicts import Conflicts, OnConflict
from singerkit_wire.declarations import read_declaration
from singerkit_wire.messages import Message
from singerkit_wire.stream import Stream

__all__ = ["SETTINGS", "Settings", "conflicts_of", "problems", "settings_of", "with_former"]

EXISTING = "existing"
"""What `column_types` says for the type that a column has in its table."""

"""A name or a path, which sentences and statements have to show, wherever it comes from."""

_CONFLICTS: Mapping[str, OnConflict] = {policy.value: policy for policy in OnConflict}

SETTINGS: Mapping[str, Any] = {
    "default_target_schema": {
        **NAME,
        "description": "Schema for the tables (see `schema_name`), the state row and the dead letters; created if missing.",
    },
    "load_method": {
        "type": ["string", "object"],
        "additionalProperties": {"type": "string"},
        "minProperties": 1,
        "default": "upsert",
        "description": "How rows go into the tables, for all streams or by globs over their names, of which the most exact one counts: "
        '`{"orders": "append", "log_*": "append", "*": "upsert"}`. `upsert` replaces rows by key, and appends where a stream has none; '
        "`append` (also `append-only`) keeps every row, and deletes nothing: at ACTIVATE_VERSION rows of other versions stay; `overwrite` "
        "lets the complete load of a run take the place of all that was there, and wants one from each run; "
        "`delete+insert` replaces the sets of rows that come as a whole (`replace_by`); "
        "`history` keeps each version of a row with a key, from `_sdc_valid_from` to `_sdc_valid_to`.",
    },
    "replace_by": SCOPES,
    "newest_by": newest.SETTING,
    "key_properties": keying.SETTING,
    "column_types": {
        "type": "object",
        "additionalProperties": NAME,
        "description": "Types for columns by stream and field, or globs over those, of which the most exact one counts, as in "
        '`{"orders.total": "DECIMAL(12,2)", "*.note": "VARCHAR"}`; wins over `x-sql-datatype`. `existing` is the type that a column has in its table.',
    },
    "on_type_conflict": {
        "type": ["string", "object"],
        "additionalProperties": {"type": "string"},
        "minProperties": 1,
        "description": "What becomes of a value that is not of the type of its column, where no wider one of its kind (`bigint` to `numeric`) holds "
        "both: `variant` puts it, as it came, into a column of text beside that (`qty__text`), and null into its own; `widen` makes the column text or "
        "documents; `quarantine` sets the record aside; `fail` ends the run. For all, or by globs of `stream.column` or `stream`, of which the most "
        'exact one counts: `{"*": "variant", "orders": "quarantine", "orders.qty": "fail"}`. Keys are never changed: `on_invalid` says what becomes of those.',
        "default": "variant",
    },
    "hard_delete": {
        "type": "boolean",
        "default": True,
        "description": "At ACTIVATE_VERSION delete rows of other versions (not of streams that `load_method` appends; "
        "where that are all, `true` is refused); else set `_sdc_deleted_at`. Without "
        "`add_record_metadata` neither: rows then have no version, and rows without one always stay. Where it is given, "
        "`true` also deletes each row of a stream with a key whose record has a value in `_sdc_deleted_at`, as "
        "log-based streams say that a row is gone; else the row stays, with that value.",
    },
    "schema_contract": contracts.SETTING,
    "nested": nestings.SETTING,
    **naming.SETTINGS,
    "activate_version": {
        "type": "boolean",
        "default": True,
        "description": "`false` passes ACTIVATE_VERSION over: rows of other versions stay as they are.",
    },
}


@dataclass(frozen=True)
class Settings:
    """What the config says about tables; ``number_type`` where it leaves a choice for columns of `number`.

    ``deletes_marked``: rows go whose record says that they are gone, which somebody has asked for in so many words.
    """

    schema: str
    column_types: Mapping[str, str] = field(default_factory=dict)
    with_metadata: bool = False
    methods: Methods = field(default_factory=Methods)
    loads_extra: bool = False
    hard_delete: bool = True
    deletes_marked: bool = False
    number_type: str | None = None
    follows_versions: bool = True
    naming: Naming = field(default_factory=Naming)
    conflicts: Conflicts = field(default_factory=Conflicts)
    conflict_patterns: tuple[str, ...] = ()
    contracts: Contracts = field(default_factory=Contracts)
    scopes: Scopes = field(default_factory=Scopes)
    nestings: Nestings = field(default_factory=Nestings)
    newest_by: NewestBy = field(default_factory=NewestBy)
    keying: Keying = field(default_factory=Keying)

    def type_of(self, stream: str, field: str) -> str | None:
        """Return the type that `column_types` chooses for a column; `EXISTING`: that which it has in the table."""
        return most_exact(self.column_types, f"{stream}.{field}", "column_types", "column")

    def appends(self, stream: str) -> bool:
        """Whether every row of a stream is kept."""
        return self.methods.of(stream) is Method.APPEND

    def overwrites(self, stream: str) -> bool:
        """Whether the complete load of a stream takes the place of all that was there."""
        return self.methods.of(stream) is Method.OVERWRITE

    def lacks_versions(self, stream: str) -> bool:
        """Whether rows of a stream stay at an ACTIVATE_VERSION, though nobody has said so: they carry no version."""
        return self.follows_versions and not self.with_metadata and not self.appends(stream)

    def keeps_history(self, stream: str) -> bool:
        """Whether each version of a row is kept, with the range in which it held."""
        return self.methods.of(stream) is Method.HISTORY

    def key(self, stream: Stream) -> tuple[str, ...]:
        """The names of what rows of a stream replace each other by: fields, or the hash of all of them; none: all are kept."""
        if self.appends(stream.name):
            return ()
        is_hashed = stream.lists_of is None and self.keying.hashes(stream.name)
        return (ROW_HASH,) if is_hashed else stream.key_properties

    def as_told(self, stream: Stream) -> Stream:
        """Return a stream with the fields that each record has to have: one that tells which row is newer, those by which sets of rows are replaced.

        Raises:
            ConfigurationError: a field is none, or cannot tell; or the config gives the stream a key without an effect, or would lose tokens of former runs.
        """
        _check_tokens(stream, self.methods.of(stream.name))
        if stream.lists_of is not None:  # what holds of these is said of the stream that has them
            return replace(stream, order=None)
        self.keying.check(stream, self.methods.of(stream.name))
        name = self.newest_by.of(stream.name)
        is_chosen = name is not None and self.type_of(stream.name, name) is not None
        stream = newest.ordered_by(stream, name, self.methods.of(stream.name), is_chosen=is_chosen)
        scope = self.scope(stream.name)
        return stream if scope is None else scope.needed_in(stream)

    def scope(self, stream: str) -> Scope | None:
        """Which rows of a stream a run replaces, where it brings sets of them whole."""
        return self.scopes.of(stream) if self.replaces(stream) else None

    def replaces(self, stream: str) -> bool:
        """Whether each run brings some sets of rows whole."""
        return self.methods.of(stream) is Method.REPLACE


def _check_tokens(stream: Stream, method: Method) -> None:
    """See that the table of the tokens of a map keeps those of former runs, each once."""
    if method in (Method.UPSERT, Method.HISTORY) or b'"tokens"' not in stream.said:
        return
    if read_declaration(Message("SCHEMA", stream.name, stream.said, 0)).tokens is True:
        becomes = (
            "each would be there once for each run"
            if method is Method.APPEND
            else "those of former runs would go"
        )
        raise ConfigurationError(
            f"Stream `{stream.name}` has the values of tokens that a map makes (`tokenise`), by which rows of all runs are looked up, and with `load_method` `{method.value}` {becomes}; "
            f'nothing of it was written: add `"{stream.name}": "upsert"` to `load_method`, then run again.'
        )


def settings_of(
    config: Mapping[str, Any], given: frozenset[str], owners: Mapping[str, str] | None = None
) -> Settings:
    """Return what a config with its defaults says about tables; ``given`` are the keys that the user wrote, ``owners`` as in `Methods`."""
    return Settings(
        schema=config["default_target_schema"],
        column_types=config.get("column_types", {}),
        with_metadata=config["add_record_metadata"],
        methods=methods_of(config["load_method"], owners),
        loads_extra=config["extra"] == "load",
        hard_delete=config["hard_delete"],
        deletes_marked=config["hard_delete"] and "hard_delete" in given,
        number_type=config.get("number_type"),
        follows_versions=config["activate_version"],
        naming=naming_of(config),
        conflicts=conflicts_of(config, given, owners),
        conflict_patterns=tuple(known_words(config["on_type_conflict"], _CONFLICTS)),
        contracts=contracts_of(config["schema_contract"]),
        scopes=scopes_of(config.get("replace_by", {})),
        nestings=nestings_of(config["nested"]),
        newest_by=NewestBy(config.get("newest_by", {})),
        keying=keying_of(config.get("key_properties", {})),
    )


def conflicts_of(
    config: Mapping[str, Any], given: frozenset[str], owners: Mapping[str, str] | None = None
) -> Conflicts:
    """Return what a config with its defaults says of values that are not of the type of their column; ``owners`` as in `Methods`."""
    by_pattern = known_words(config["on_type_conflict"], _CONFLICTS)
    held = contracts_of(config["schema_contract"])
    newest_by = NewestBy(config.get("newest_by", {}))
    methods, scopes = methods_of(config["load_method"], owners), scopes_of(config.get("replace_by", {}))

    def is_needed(stream: str, field: str) -> bool:
        """Whether it has to be known of each row, and not beside its column."""
        if methods.of(stream) is Method.REPLACE and field in scopes.of(stream).fields:
            return True
        return field == newest_by.of(stream) and stream not in (owners or {})

    def of(stream: str, field: str) -> OnConflict | None:
        said = asked(stream, field)
        is_change = said in (OnConflict.VARIANT, OnConflict.WIDEN)
        is_fixed = not held.evolves(stream) or is_needed(stream, field)
        return None if is_change and is_fixed else said

    def asked(stream: str, field: str) -> OnConflict:
        setting = "on_type_conflict"
        by_column = {pattern: by_pattern[pattern] for pattern in unmatched(by_pattern, [stream])}
        found = most_exact(by_column, f"{stream}.{field}", setting, "column")
        return found or most_exact(by_pattern, stream, setting) or OnConflict.VARIANT

    return Conflicts(
        of, takes_unstorable="on_unstorable" not in given, takes_no_json="on_type_conflict" in given
    )


def with_former(former: Stream | None, stream: Stream) -> Stream:
    """Return a stream with the columns, too, that an earlier SCHEMA of the run has named, and this one does not."""
    if former is None:
        return stream
    more = [column for column in former.columns if column.name not in stream.column_names]
    return replace(stream, columns=(*stream.columns, *more)) if more else stream


def unmet(settings: Settings, streams: Mapping[str, Stream]) -> list[str]:
    """Return a sentence for each name in the config that no stream, or no column, of the run has met."""
    met = [f"{name}.{column}" for name, stream in streams.items() for column in stream.column_names]
    fields = [f"{name}.{field}" for name, stream in streams.items() for field in stream.fields]
    lacking: Sequence[tuple[str, Sequence[str], str]] = [
        ("column_types", unmatched(settings.column_types, met), "such stream with such a column"),
        ("schema_contract", settings.contracts.unmatched(streams), "stream that it matches"),
        ("load_method", settings.methods.unmatched(streams), "stream that it matches"),
        (
            "on_type_conflict",
            unmatched(settings.conflict_patterns, [*streams, *fields]),
            "stream and no column that it matches",
        ),
        ("replace_by", settings.scopes.unmatched(streams), "stream that it matches"),
        ("nested", settings.nestings.unmatched(streams), "stream that it matches"),
        ("newest_by", settings.newest_by.unmatched(streams), "stream that it matches"),
        ("key_properties", settings.keying.unmatched(streams), "stream that it matches"),
    ]
    return [
        *(
            f"`{setting}` names `{pattern}`, and this run had no {what}: correct the name, unless that is left out on purpose."
            for setting, patterns, what in lacking
            for pattern in patterns
        ),
        *settings.naming.unmet({name: stream.column_names for name, stream in streams.items()}),
    ]


def problems(config: Mapping[str, Any], given: frozenset[str]) -> list[str]:
    """Problems that a JSON Schema cannot tell; ``given`` are the keys that the user wrote."""
    if found := naming_problems(config):
        return found
    for found in (
        method_problems(config["load_method"]),
        word_problems("on_type_conflict", config["on_type_conflict"], _CONFLICTS),
        word_problems("schema_contract", config["schema_contract"], contracts.CONTRACTS),
        nesting_problems(config["nested"]),
    ):
        if found:
            return found
    methods = methods_of(config["load_method"])
    if found := scope_problems(config.get("replace_by", {})):
        return found
    if config.get("replace_by") and not methods.may_be(Method.REPLACE):
        return [
            "Expected `delete+insert` for a stream at `load_method`, since `replace_by` says which rows that replaces, got it for none"
        ]
    appends_all = methods.is_one and methods.may_be(Method.APPEND)
    if appends_all and "hard_delete" in given and config["hard_delete"]:
        return [
            "Expected `false` at `hard_delete`, or nothing, since `load_method: append` deletes no row, got `true`"
        ]
    return []
