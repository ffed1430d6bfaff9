"""A table or view as a stream: what is selected stands in the query, and rows come in chunks by key."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.words import counted
from singerkit_sql_tap.advice import ADVICE
from singerkit_sql_tap.catalogs import declared, tell_of_redeclared
from singerkit_sql_tap.chunks import Walk
from singerkit_sql_tap.config import StreamSettings
from singerkit_sql_tap.contract import Database, Row
from singerkit_sql_tap.incremental import (
    NullKeys,
    below_ceiling,
    below_value,
    from_value,
    has_rows,
    is_below,
    without_value,
)
from singerkit_sql_tap.looks import Spelling
from singerkit_sql_tap.queries import Condition, up_to
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.trail import Trail
from singerkit_sql_tap.types import RowCheck, widened
from singerkit_state.readas import ReadAs
from singerkit_tap.advice import Advice
from singerkit_tap.changes import reset_of
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.starts import former_read
from singerkit_tap.stream import BlockStream, Owner
from singerkit_wire.typedrows import RowMaker

__all__ = ["ReadingOptions", "TableStream"]


@dataclass(frozen=True)
class ReadingOptions:
    """What is the same for all streams of a run.

    ``place`` tells the database from others, without a secret. ``infinite``: what becomes of infinite numbers.
    ``local_is_utc``: times without an offset are declared as points in time, of UTC.
    """

    place: str
    infinite: str = "fail"
    local_is_utc: bool = False
    sends_versions: bool = True


class TableStream(BlockStream):
    """One table or view."""

    advice: ClassVar[Advice] = ADVICE

    def __init__(
        self,
        tap: Owner,
        database: Database,
        table: Table,
        settings: StreamSettings,
        options: ReadingOptions,
    ) -> None:
        self._database, self.table, self._settings, self._options = database, table, settings, options
        self._row_count: int | None = None
        self._has_learned = False
        self._redeclared: list[str] = []
        self._trail: Trail | None = None
        self._passed: list[Condition] | None = None
        self._spelled: dict[str, Collection[Spelling]] = {}
        keys = table.primary_key if settings.primary_keys is None else settings.primary_keys
        super().__init__(
            tap,
            table.name,
            {
                "type": "object",
                "properties": {column.name: column.schema for column in table.columns},
                **({"description": table.comment} if table.comment else {}),
            },
            key_properties=keys,
            replication_key=settings.replication_key,
            lookback=_whole(settings.lookback),
            follows_key=True,  # with a ceiling: no row can be passed
            replication_key_format=settings.replication_key_format,
            valid_replication_keys=table.replication_keys,
            time_zone="UTC" if options.local_is_utc else None,
            is_key_unique=bool(keys) and set(keys) == set(table.primary_key),
            sends_versions=options.sends_versions,
            replication_methods=self.methods_of(table, settings),
        )

    @classmethod
    def methods_of(cls, table: Table, settings: StreamSettings) -> Sequence[str]:  # noqa: ARG003  for overriding
        """Return how a table can be read, the one that the config says first; (): as a whole, or by any column."""
        return ()

    # What the engine asks

    @property
    def names_at_source(self) -> Collection[str]:
        """All tables and views of the database."""
        return {table.name for table in self._database.tables()}

    @property
    def is_sorted(self) -> bool:
        """Whether an index gives the rows by replication key, so that a read that is cut off goes on where it was."""
        return (
            self.bookmark_key is not None
            and self.bookmark_key in self.table.indexed
            and bool(self.table.chunk_key)
        )

    @property
    def is_method_forced(self) -> bool:
        """Never: any column can be chosen."""
        return False

    def can_go_on_by(self, key: str) -> bool:
        """Any column can be chosen: its values are looked at before the first row."""
        return key in self.table.column_names

    @property
    def table_metadata(self) -> Mapping[str, Any]:
        table = self.table
        known = {
            "database-name": table.database_name,
            "schema-name": table.schema_name,
            "is-view": table.is_view,
            "row-count": self._row_count,
        }
        return {key: value for key, value in known.items() if value not in (None, "")}

    @property
    def property_metadata(self) -> Mapping[str, Mapping[str, Any]]:
        return {column.name: {"sql-datatype": column.sql_type} for column in self.table.columns}

    def asks_of(self) -> Mapping[str, Any]:
        """Return which database the rows came from, as a digest."""
        return {"where": _digest(self._options.place)}

    @property
    def divider(self) -> TableStream | None:
        """The table itself where keys tell rows apart: a number that the database gives a row may be another one tomorrow."""
        return self if self.primary_keys and not self.is_log_based else None

    @property
    def parts(self) -> str | None:
        return self._database.parts(self.table, sorted(self.primary_keys)) if self.primary_keys else None

    @property
    def _mine(self) -> list[Condition]:
        """The condition for rows of the shard that is read."""
        return (
            []
            if self.shard is None
            else [self._database.in_shard(self.table, sorted(self.primary_keys), self.shard)]
        )

    def can_resume(self, position: Any) -> bool:
        """Tell whether chunks behind ``position`` are what is left of the load that has come to it."""
        if not isinstance(position, Mapping) or position.get("of") != self._load_of(self._selected):
            return False
        after = position.get("after")
        if not isinstance(after, list) or len(after) != len(self.table.chunk_key):
            return False
        return not self.table.is_followed or self._stands_as_it_was_read(after, position.get("rows"))

    def _stands_as_it_was_read(self, after: Sequence[Any], rows: Any) -> bool:
        """Tell whether the rows up to ``after`` are those that were sent, by what the state holds of them."""
        self.logger.info("Looking whether the rows of `%s` that were sent are there still.", self.name)
        walk = self._full_walk(up_to(self.table.chunk_key, after, self._database.placeholder))
        for read, _ in walk.chunks():
            walk.size.follow(len(read), 0)
        self._trail = walk.trail
        if self._trail is not None and self._trail.told() == rows:
            return True
        self.logger.info(
            "Stream `%s`: rows that the full load has sent before it was cut off are gone, are others now, or have other "
            "numbers, or others came between them: it begins anew.",
            self.name,
        )
        return False

    def _full_walk(self, *where: Condition) -> Walk:
        names = self.primary_keys if self.table.is_followed else ()
        return self._walk(self.table, self._selected, self.table.chunk_key, [*self._mine, *where], names)

    def _walk(
        self,
        table: Table,
        columns: Sequence[str],
        key: Sequence[str],
        where: Sequence[Condition] = (),
        names: Sequence[str] = (),
    ) -> Walk:
        exact = {*self.primary_keys, self.bookmark_key or ""}
        return Walk(self._database, table, columns, key, where, names, exact)

    # The schema

    def _is_time(self, name: str) -> bool:
        return _is_time((self.effective_schema.get("properties") or {}).get(name) or {})

    @property
    def _selected(self) -> list[str]:
        properties = self.effective_schema.get("properties") or {}
        return [name for name in properties if self.mask["properties", name]]

    def learn(self, *, every_column: bool = False) -> None:
        """Find out what the values of the columns are that are read, or of ``every_column``, unless a catalog says so."""
        if self._has_learned or (self._input_schema is not None and not every_column):
            tell_of_redeclared(self._redeclared, self.name, self.logger)
            return
        self._has_learned = True
        names = self.table.column_names if every_column else self._selected
        if every_column:
            self._row_count = self._database.row_count(self.table)
        if self._database.promises_types:
            properties = self.schema["properties"]
            keys = {name: _not_null(properties[name]) for name in self.primary_keys}
            self.take_schema({**self.schema, "properties": {**properties, **keys}})
            return
        former = former_read(self.tap.start_state, self.name)
        found = self._database.found_types(self.table, names, self._range_to_learn(former))
        properties = dict(self.schema["properties"])
        ever_sent = former.ever_sent
        for name in names:
            before = ever_sent.get(name)
            if name in found or before:  # without a value it is what it was before, else as declared
                properties[name] = widened(found.get(name, {"type": ["null"]}), before)
        for name in self.primary_keys:
            properties[name] = _not_null(properties[name])
            if _is_time(properties[name]) and len(self._spellings(name)) > 1:
                del properties[name]["format"]  # as text they are as many keys as they are at the source
        self.take_schema({**self.schema, "properties": properties})

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a catalog, with the types of the database where the catalog has others."""
        if not self._database.promises_types or self._schema is None:
            return schema
        made, self._redeclared = declared(schema, self._schema, self.primary_keys)
        return made

    def _spellings(self, name: str) -> Collection[Spelling]:
        """Return how the times of a column of the key are written, in all rows: also those that this run does not read."""
        if name not in self._spelled:
            self._spelled[name] = self._database.spellings(self.table, name)
        return self._spelled[name]

    def _range_to_learn(self, former: ReadAs) -> list[Condition]:
        """Return the condition for what will be read; what was read before the state knows."""
        part = (self.tap.start_state.get("bookmarks") or {}).get(self.name) or {}
        key, value = self.bookmark_key, part.get("replication_key_value")
        if key is None or value is None or self.lookback or not former.knows_all_fields:
            return []
        order = self._database.key_order(self.table, key, self._settings.replication_key_format)
        return from_value(self._database, self.table, key, order, value)

    # singer-sdk's way in: its standard tests and --test

    def _write_schema_message(self) -> None:
        self.check_columns()
        self.learn()
        super()._write_schema_message()

    def _sync_records(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super()._sync_records(*arguments, **options)
        finally:
            self._database.close()

    # Pages

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  tables have no contexts
        """Yield the rows in chunks; see `singerkit_tap.contract`."""
        columns = self._selected
        check = RowCheck(
            self.name,
            columns,
            self.effective_schema,
            self._options.infinite,
            local_is_utc=self._options.local_is_utc,
            keys=self.primary_keys,
            goes_on_by=self.bookmark_key,
            spellings={name: self._spellings(name) for name in self.primary_keys if self._is_time(name)},
        )
        maker = RowMaker(columns)
        load = self._load_of(columns)
        nulls = NullKeys()
        try:
            for walk, after, is_safe in self._walks(columns, start):
                for rows, behind in walk.chunks(after):
                    nulls.count(0 if is_safe else len(rows))
                    checked = check.checked(rows)
                    position = self._position(behind, load, walk.trail)
                    yield Page(maker.rows(checked), is_safe=is_safe, position=position)
                    walk.size.follow(len(rows), check.bytes)
        finally:
            nulls.tell(self.logger, self.name, self.bookmark_key)
            if check.nulled:
                self.logger.warning(
                    "%d infinite numbers of stream `%s` were sent as null (`infinity`).",
                    check.nulled,
                    self.name,
                )

    def _walks(
        self, columns: Sequence[str], start: Start
    ) -> Iterator[tuple[Walk, Sequence[Any] | None, bool]]:
        """Yield what is walked through one after the other, from where on, and whether its rows are covered by a bookmark."""
        key, database, table = self.bookmark_key, self._database, self.table
        if key is None:
            position = start.position or {}
            if table.chunk_key:
                walk = self._full_walk()
                walk.trail = self._trail if position and self._trail is not None else walk.trail
            else:
                spool, where = self._walkable(columns, self._mine)
                walk = self._walk(spool, columns, spool.chunk_key, where)
            yield walk, position.get("after"), True
            return
        order = database.key_order(table, key, self._settings.replication_key_format)
        ceiling = below_ceiling(database, table, key)
        if is_below(ceiling, start.bookmark, self.bookmark_kind):
            self._tell_of_other_rows(key)
        elif start.bookmark is not None:
            self._passed = [*self._mine, *below_value(database, table, key, order, start.bookmark)]
        if start.bookmark is None:
            table, where = self._walkable(columns, [*self._mine, *without_value(database, key)])
            # No bookmark says that these have come; one of the rows behind them does.
            yield self._walk(table, columns, table.chunk_key, where), None, False
        if ceiling is not None:
            above = [*self._mine, *from_value(database, self.table, key, order, start.value), *ceiling]
            late = database.below_open(self.table, key, above)
            table, where = self._walkable(columns, [*above, *late])
            yield self._walk(table, columns, self._walked_by(table, key), where), None, True

    def _tell_of_other_rows(self, key: str) -> None:
        self.logger.warning(
            "No row of stream `%s` has a `%s` as great as the bookmark, up to which former runs have read. If its newest rows were only "
            "deleted, nothing is missing. If the table was emptied and filled again, or its database made anew or restored from a copy, "
            "rows below the bookmark are others than those that were read, and come with no run: to have them, run %s. This is said until a row is as "
            "great as the bookmark.",
            self.name,
            key,
            reset_of(self),
        )

    def doubt_of_rows(self, remembered: int) -> str | None:
        """Say so where others that no run has read may stand below the bookmark.

        Rows at the bookmark that are only deleted leave nothing unread; where nothing stands below it, nothing was passed by either.
        """
        passed, self._passed = self._passed, None
        if passed is None or not has_rows(self._database, self.table, passed):
            return None
        return (
            f"Stream `{self.name}`: the state remembers {counted(remembered, 'row')} at the bookmark, and the table has none of them any more. "
            "If they were only deleted or changed, nothing is missing. If the table was emptied and filled again, or its database made "
            "anew or restored from a copy, rows below the bookmark are others than those that were read, and come with no run: to have "
            f"them, run {reset_of(self)}. This is said once."
        )

    def _walked_by(self, table: Table, key: str) -> Sequence[str]:
        """Return the key of the chunks: with the replication key in front where an index gives its order."""
        compared = self._database.compared(table, key)
        by_key = (self._database.column(key),), (compared,)
        if not self.is_sorted or table.chunk_key in by_key:
            return table.chunk_key
        return [compared, *table.chunk_key]

    def _walkable(
        self, columns: Sequence[str], where: Sequence[Condition]
    ) -> tuple[Table, Sequence[Condition]]:
        """Return the table, or a copy of the rows in question where it has no key to go by."""
        if self.table.chunk_key:
            return self.table, where
        return self._database.spooled(self.table, columns, where), ()

    def check_columns(self) -> None:
        """See that the table has the columns that are to be read; called before the first message.

        Raises:
            ConfigurationError: a column is gone.
        """
        selected, known = self._selected, self.table.column_names
        gone = [name for name in selected if name not in known]
        if gone:
            raise ConfigurationError(
                f"The catalog has the column `{gone[0]}` of `{self.name}`, which is gone from the table; nothing of it was read: "
                "make the catalog again with --discover."
            )
        declared = self.effective_schema.get("properties") or {}
        news = [name for name in known if name not in declared]
        if news:
            self.logger.warning(
                "Table `%s` has columns that the catalog does not have: %s. They are not read; make the catalog again with "
                "--discover to have them.",
                self.name,
                ", ".join(f"`{name}`" for name in news),
            )

    # Where a full load goes on

    def _position(self, after: Row, load: str, trail: Trail | None) -> Any:
        if self.bookmark_key is not None or not self.table.chunk_key:
            return None
        if not all(isinstance(value, int | str) for value in after):
            return None  # as JSON it would not be the same value
        return {"after": list(after), "of": load, **({} if trail is None else {"rows": trail.told()})}

    def _load_of(self, columns: Sequence[str]) -> str:
        """Return what has to be the same for a load to go on: the rows' names and their columns."""
        return _digest(
            "\0".join(
                [
                    *columns,
                    "",
                    *self.table.chunk_key,
                    self._database.fingerprint(self.table),
                    *([] if self.shard is None else [str(self.shard)]),
                ]
            )
        )


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def _whole(number: float) -> int | Decimal:
    return int(number) if number == int(number) else Decimal(repr(number))


def _is_time(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") == "date-time"


def _not_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    types = schema.get("type")
    if isinstance(types, list) and len(types) > 1:
        return {**schema, "type": [kind for kind in types if kind != "null"]}
    return dict(schema)
