"""A table or view of PostgreSQL as a stream: the server makes JSON of its rows."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any, cast

from singerkit_catalog.compiled import is_annotation
from singerkit_catalog.discovery import FULL_TABLE, INCREMENTAL, LOG_BASED
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_tap.config import StreamSettings
from singerkit_sql_tap.incremental import NullKeys
from singerkit_sql_tap.queries import Condition
from singerkit_sql_tap.rawchunks import RawWalk
from singerkit_sql_tap.streams import TableStream
from singerkit_sql_tap.tables import Table
from singerkit_tap.changes import reset_of
from singerkit_tap.contract import Context, Page, Start
from singerkit_wire.readyrows import ReadyRows
from tap_postgres.catalog import PARTITIONED, TABLE, PgColumn, Relation
from tap_postgres.config import samples_json
from tap_postgres.database import PostgresDatabase
from tap_postgres.heap import HeapWalk, Place
from tap_postgres.jsoncolumns import JsonColumns, json_columns, sampled
from tap_postgres.other_states import problem_of, written_otherwise
from tap_postgres.unusual import UnusualValues, settings_of

__all__ = ["PostgresStream"]

_LOGGED = (TABLE, PARTITIONED)


class PostgresStream(TableStream):
    """One table or view."""

    _json: JsonColumns | None = None

    @cached_property
    def _unusual(self) -> UnusualValues:
        columns = [cast(PgColumn, self.table.column(name)) for name in self._selected]
        return UnusualValues(
            self.name,
            settings_of(columns),
            self.config,
            keys=self.primary_keys,
            goes_on_by=self.bookmark_key,
        )

    def order_problem(self) -> str | None:
        """Say why the bookmark of another tap cannot be gone on from."""
        part = (self.tap.start_state.get("bookmarks") or {}).get(self.name)
        if not isinstance(part, Mapping):
            return None
        key = cast(PgColumn, self.table.column(str(self.bookmark_key)))
        problem, way = problem_of(part, key, has_key=bool(self.primary_keys)), ""
        if problem is None:
            columns = [cast(PgColumn, self.table.column(name)) for name in self.selected_columns]
            found = written_otherwise(part, columns)
            if found is None:
                return None
            name, problem = found
            way = f", or leave the column out with `!{self.name}.{name}` in `select`"
        return (
            f"The state of stream `{self.name}` is one of another tap, and cannot be continued: {problem}; nothing was read. "
            f"Start the stream over: run {reset_of(self)}{way}"
        )

    @classmethod
    def methods_of(cls, table: Table, settings: StreamSettings) -> Sequence[str]:
        """Return how it can be read: from the log, too, where it is a table.

        Raises:
            ConfigurationError: the config says two things, or what cannot be.
        """
        said, key = settings.given.get("replication_method"), settings.replication_key
        if said is not None and (said == INCREMENTAL) != (key is not None):
            raise ConfigurationError(
                f"Expected a `replication_key` at `streams` for `{table.names[0]}` beside `replication_method` `INCREMENTAL`, and none beside "
                "another one; make both say the same."
            )
        is_logged = cast(Relation, table).kind in _LOGGED
        if said == LOG_BASED and not is_logged:
            raise ConfigurationError(
                f"`{table.names[0]}` is no table of its own, so that the log does not tell of it; give it another `replication_method` in `streams`."
            )
        can = [FULL_TABLE, INCREMENTAL, *([LOG_BASED] if is_logged else [])]
        first = said or (INCREMENTAL if key else FULL_TABLE)
        return sorted(can, key=lambda method: method != first)

    @property
    def selected_columns(self) -> Sequence[str]:
        """The columns that are sent."""
        return self._selected

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog says which columns there are."""
        return self._input_schema is not None

    # JSON whose SCHEMA is found from a sample

    @property
    def samples_json(self) -> bool:
        return samples_json(self._settings.given)

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a catalog; what it says of JSON that is sampled is what a sample had said, and this one says now."""
        if not self.samples_json or self._schema is None:
            return super().with_catalog(schema)
        properties = dict(schema.get("properties") or {})
        for name in json_columns(self.table, properties):
            of_targets = {key: value for key, value in properties[name].items() if key.startswith("x-")}
            properties[name] = {**self._schema["properties"][name], **of_targets}
        return super().with_catalog({**schema, "properties": properties})

    def learn(self, *, every_column: bool = False) -> None:
        super().learn(every_column=every_column)
        if self._json is not None or not self.samples_json:
            return
        names = json_columns(self.table, self.table.column_names if every_column else self._selected)
        database, relation = cast(PostgresDatabase, self._database), cast(Relation, self.table)
        found = sampled(database, relation, names) if names else {}
        self._declare(found)
        self._json = JsonColumns(self.name, found, self._declare_anew, self.logger)

    def _declare(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        properties = dict(self.effective_schema.get("properties") or {})
        for name, schema in schemas.items():
            kept = {key: value for key, value in properties[name].items() if is_annotation(key)}
            properties[name] = {**kept, **schema}
        self.grow_schema({**self.effective_schema, "properties": properties})

    def _declare_anew(self, schemas: Mapping[str, Mapping[str, Any]]) -> None:
        self._declare(schemas)
        self.tap.sync_run.renew_schema(self)

    def fit_json(self, rows: Iterable[bytes], columns: Collection[str]) -> None:
        """See to it that the SCHEMA describes the JSON of rows that are sent next; ``columns``: those that hold any now."""
        if self._json is not None:
            self._json.fit([*rows], columns)

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  tables have no contexts
        """Yield the rows as the server gives them; see `singerkit_tap.contract`."""
        nulls = NullKeys()
        of_json = json_columns(self.table, self._selected)
        try:
            with closing(self._rows(start)) as found:
                for rows, position, is_safe in found:
                    nulls.count(0 if is_safe else len(rows))
                    self.fit_json(rows, of_json)
                    yield Page(self._settled(rows), is_safe=is_safe, position=position)
        finally:
            self._unusual.tell(self.logger)
            nulls.tell(self.logger, self.name, self.bookmark_key)

    def _rows(self, start: Start) -> Generator[tuple[ReadyRows, Any, bool]]:
        """Yield rows, the position behind them where a load can go on there, and whether a bookmark covers them."""
        columns = self._selected
        load = self._load_of(columns)
        if self._goes_by_blocks:
            place = None if start.position is None else Place.of(start.position)
            with closing(self._heap_walk.chunks(place)) as found:
                for rows, at in found:
                    # Without a version rows of a load that begins anew would stay beside those of the one that was cut off.
                    position = {"of": load, **at.written()} if at and self.sends_versions else None
                    yield rows, position, True
            return
        for walk, after, is_safe in self._walks(columns, start):
            with closing(cast(RawWalk, walk).chunks(after)) as chunks:
                for rows, behind in chunks:
                    yield rows, None if behind is None else self._position(behind, load, None), is_safe

    @property
    def _most_rows(self) -> int | None:
        """How many rows a query may give, so that none takes longer than a second because of `max_rows_per_second`."""
        most = self.config.get("max_rows_per_second")
        return None if most is None else max(1, int(most))

    # A table without a key

    @property
    def _goes_by_blocks(self) -> bool:
        """Whether it is read by the places of its rows, as it has no key."""
        table = cast(Relation, self.table)
        return self.bookmark_key is None and not table.chunk_key and table.kind == TABLE

    @cached_property
    def _heap_walk(self) -> HeapWalk:
        database = cast(PostgresDatabase, self._database)
        return HeapWalk(
            database, self._unusual.marking(self.table), self._selected, self._mine, most_rows=self._most_rows
        )

    def can_resume(self, position: Any) -> bool:
        if not self._goes_by_blocks:
            return super().can_resume(position)
        place = Place.of(position) if isinstance(position, Mapping) else None
        if place is None or position.get("of") != self._load_of(self._selected):
            return False
        why = self._heap_walk.why_not_behind(place)
        if why is None:
            return True
        self._heap_walk.end()
        self.logger.warning(
            "The full load of stream `%s`, which has no key, was cut off and begins anew: %s. What it had sent goes from a target that follows "
            "ACTIVATE_VERSION when this load is complete.",
            self.name,
            why,
        )
        return False

    def _settled(self, rows: ReadyRows) -> Sequence[bytes]:
        """Return rows as they are to be sent; they are looked into where one may hold an unusual value."""
        if self._unusual.may_be_in(rows.block):
            return self._unusual.settled([*rows])
        return rows

    def _walk(  # type: ignore[override]  # the rows of this one are JSON already
        self,
        table: Table,
        columns: Sequence[str],
        key: Sequence[str],
        where: Sequence[Condition] = (),
        names: Collection[str] = (),  # noqa: ARG002  rows have no numbers here
    ) -> RawWalk:
        database = cast(PostgresDatabase, self._database)
        return RawWalk(
            database,
            self._unusual.marking(table),
            columns,
            key,
            where,
            is_sorted=self.bookmark_key is not None,
            most_rows=self._most_rows,
        )

    def _walkable(
        self,
        columns: Sequence[str],  # noqa: ARG002  nothing is copied
        where: Sequence[Condition],
    ) -> tuple[Table, Sequence[Condition]]:
        """Return the table: a view is read at once."""
        return self.table, where
