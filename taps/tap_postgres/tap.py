"""The executable `tap-postgres`: tables, partitioned and foreign ones, and views of one PostgreSQL database."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from singerkit_shell.arguments import command_first
from singerkit_shell.command import ShellCommand
from singerkit_sql_tap.config import StreamSettings
from singerkit_sql_tap.contract import Database
from singerkit_sql_tap.streams import ReadingOptions, TableStream
from singerkit_sql_tap.tables import Table
from singerkit_sql_tap.tap import SqlTap
from singerkit_state.delivery import Delivery
from singerkit_tap.delivery import log_delivery
from singerkit_tap.log_contract import LogReader
from singerkit_tap.stream import BlockStream
from tap_postgres.config import CONFIG_SCHEMA
from tap_postgres.other_configs import OTHERS

__all__ = ["TapPostgres", "main"]


class TapPostgres(SqlTap):
    """Reads the tables and views of a PostgreSQL database."""

    name = "tap-postgres"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    others = OTHERS
    first_config = '{"dsn": "postgresql://reader@localhost/shop"}'

    def config_sentences(self, config: Mapping[str, Any]) -> list[str]:
        """Return what is wrong with how the server is named."""
        from singerkit_postgres.address import (  # --help needs no driver
            address_problems,
            certificate_problems,
            dsn_of,
            names_a_server,
        )

        if not names_a_server(config):
            return [
                "Expected `dsn`, `host` or `service`, which say where PostgreSQL is (or PGHOST or PGSERVICE in the environment)"
            ]
        return address_problems(config) or certificate_problems(dsn_of(config))

    def connected(self) -> Database:
        """Return the database of the config, not opened yet."""
        from tap_postgres.database import PostgresDatabase

        return PostgresDatabase(self.place(), self.config, self.logger)

    def place(self) -> str:
        """Return host, port and database."""
        from singerkit_postgres.address import dsn_of, where

        return where(dsn_of(self.config))

    def make_stream(self, table: Table, settings: StreamSettings, options: ReadingOptions) -> TableStream:
        from tap_postgres.streams import PostgresStream

        return PostgresStream(self, self.database, table, settings, options)

    def discover_streams(self) -> list[Any]:
        from tap_postgres.jsoncolumns import check_json_settings

        streams = super().discover_streams()
        check_json_settings(self.config, [stream.table for stream in streams])
        return streams

    def log_reader(self, streams: Sequence[BlockStream]) -> LogReader:
        from tap_postgres.log.serving import log_reader

        return log_reader(self, streams)

    def sync(self) -> None:
        """See that nothing is missing for a run, then sync."""
        from tap_postgres.readiness.judging import check

        check(self)
        super().sync()

    def show_streams(self) -> None:
        """Print what is missing, with the statements that mend it."""
        from tap_postgres.readiness.judging import show

        show(self)

    @classmethod
    def get_singer_command(cls) -> ShellCommand:
        command = super().get_singer_command()
        command.epilog = "tap-postgres slot [list|create|drop]: replication slot and publication of a pipeline; see each with --help."
        return command

    @classmethod
    def deliveries(cls, config: Mapping[str, Any]) -> list[Delivery]:
        return [*super().deliveries(config), log_delivery()]


_COMMANDS = {"slot": ("list", "create", "drop")}
_VALUED = ("-c", "--config", "-p", "--catalog", "--properties", "-s", "--state")


def main() -> NoReturn:
    """Run tap-postgres: `slot`, where the command line names it, else the tap, as Singer has it."""
    arguments = command_first(sys.argv[1:], _COMMANDS, _VALUED)
    if arguments is not None:
        # Imported here: a run does not need it.
        from tap_postgres.slot import command

        command.main(arguments, TapPostgres)
    TapPostgres.cli_main()
