"""The tap of a database: discovery, selection before the schema is learned, and one connection that is closed in the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.pace import RowPace
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import config_place
from singerkit_shell.words import ended
from singerkit_sql_tap.config import (
    StreamSettings,
    check_key_settings,
    check_stream_settings,
    idle_key_settings,
    local_is_utc,
    several_keys,
    stream_settings,
)
from singerkit_sql_tap.contract import Database
from singerkit_sql_tap.otherconfigs import Other, taken_over
from singerkit_sql_tap.promises import DELIVERIES
from singerkit_sql_tap.streams import ReadingOptions, TableStream
from singerkit_sql_tap.tables import Table, check_names, chosen_tables
from singerkit_state.delivery import Delivery
from singerkit_tap.shell import SingerkitTap

__all__ = ["SqlTap"]


class SqlTap(SingerkitTap):
    """What a database tap adds: `connected`, `place`, and its config with `SQL_SETTINGS` in it."""

    skips_unknown_entries: ClassVar[bool] = False
    others: ClassVar[Sequence[Other]] = ()
    """Other taps whose configs are taken, or refused by name."""

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        redactor.add_from_config(self._config)
        several = [*several_keys(self._config)]
        if several and raise_errors:
            raise ConfigurationError(ended(f"The config{config_place()} is not valid: {'; '.join(several)}"))
        made = taken_over(self._config, self.others, self.config_jsonschema)
        if made is None:
            return several or super()._validate_config(raise_errors=raise_errors)
        self._config = made.config
        problems = made.problems or super()._validate_config(raise_errors=raise_errors)
        if made.problems and raise_errors:
            raise ConfigurationError(
                ended(
                    f"The config{config_place()} is one of {made.whose}, of which not all is taken: {'; '.join(problems)}"
                )
            )
        for note in made.told():
            self.logger.warning("%s", note)
        return problems

    @classmethod
    def deliveries(cls, config: Mapping[str, Any]) -> list[Delivery]:  # noqa: ARG003  the same for all configs
        """Return what is promised about each kind of stream."""
        return DELIVERIES

    def connected(self) -> Database:
        """Return the database that the config names; nothing is opened yet."""
        raise NotImplementedError(f"{type(self).__name__} has to implement connected")

    def place(self) -> str:
        """Return what tells this database from others, without a secret."""
        raise NotImplementedError(f"{type(self).__name__} has to implement place")

    @cached_property
    def database(self) -> Database:
        """The one connection of all streams."""
        return self.connected()

    def discover_streams(self) -> list[Any]:
        """Return a stream for each table that `tables` chooses; nothing stays open."""
        try:
            tables = chosen_tables(self.config.get("tables", ["*"]), self.database.tables())
        finally:
            self.database.close()
        check_stream_settings(self.config, tables)
        check_names(tables)
        options = ReadingOptions(
            self.place(),
            str(self.config.get("infinity", "fail")),
            local_is_utc(self.config),
            bool(self.config.get("activate_version", True)),
        )
        return [self.make_stream(table, stream_settings(table, self.config), options) for table in tables]

    def make_stream(self, table: Table, settings: StreamSettings, options: ReadingOptions) -> TableStream:
        """Return the stream of a table."""
        return TableStream(self, self.database, table, settings, options)

    @property
    def table_streams(self) -> list[TableStream]:
        """The streams, typed."""
        return [stream for stream in self.streams.values() if isinstance(stream, TableStream)]

    def sync(self) -> None:
        """Learn the types of what is selected, then sync."""
        if (most := self.config.get("max_rows_per_second")) is not None:
            self.output.pace = RowPace(most)
        try:
            self.divide()
            selected = [stream for stream in self.table_streams if stream.selected]
            check_key_settings(self.config, [(stream.table, stream.bookmark_key) for stream in selected])
            for stream in selected:
                stream.check_columns()  # before a SCHEMA has a target make the column
            for stream in selected:
                stream.learn()
            super().sync()
        finally:
            self.database.close()

    @property
    def catalog_dict(self) -> dict[str, Any]:
        """What --discover prints: types as the values are."""
        try:
            for stream in self.table_streams:
                stream.learn(every_column=True)
            return super().catalog_dict
        finally:
            self.database.close()

    def warn_without_catalog(self) -> None:
        """Tell of settings of a replication key beside none."""
        keys = [(stream.table, stream.bookmark_key) for stream in self.table_streams]
        for sentence in idle_key_settings(self.config, keys):
            self.logger.warning("%s", sentence)
