"""target-postgres: settings, and how a run is put together from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, ClassVar

from singerkit_catalog.patterns import NAME
from singerkit_postgres import ssh
from singerkit_postgres.settings import CONNECTION
from singerkit_shell.command import start
from singerkit_shell.errors import SingerkitError
from singerkit_sql_target import settings
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.target import SqlTarget
from singerkit_state.postgres.url import name_problem
from singerkit_target.abilities import Abilities
from singerkit_target.contract import Loader
from singerkit_target.load import Limits
from target_postgres import upkeep
from target_postgres.domain import ABILITIES
from target_postgres.other_configs import PIPELINEWISE, THEIRS, has_theirs, taken_over

__all__ = ["TargetPostgres", "main"]


class TargetPostgres(SqlTarget):
    """Load Singer streams into PostgreSQL, as fast as COPY and exactly once."""

    name = "target-postgres"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "dsn": {
                **NAME,
                "secret": True,
                "description": "libpq connection string or URL; the single settings below complete it. With an "
                "empty config an embedded PostgreSQL is used.",
            },
            **CONNECTION,
            "application_name": {**CONNECTION["application_name"], "default": "target-postgres"},
            "lock_timeout_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 60,
                "description": "Longest wait for a lock that another session holds on a table; to alter one, the lock is "
                "asked for half a second at a time.",
            },
            "reconnect_seconds": {
                "type": "number",
                "minimum": 0,
                "default": 60,
                "description": "How long to try to reach the server again after a lost connection; then the unit in "
                "hand is written again (`replay_bytes`).",
            },
            "answer_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 3600,
                "description": "Longest wait for the answer to one statement; then the connection counts as lost.",
            },
            "replay_bytes": {
                "type": "integer",
                "minimum": 0,
                "default": 16 << 20,
                "description": "A unit of commit of up to this many bytes is held in memory, to be written again after a lost "
                "connection or a deadlock; a bigger one ends the run, and the next run resumes.",
            },
            **settings.SETTINGS,
            "default_target_schema": {**settings.SETTINGS["default_target_schema"], "default": "public"},
            "embedded": {
                "type": "boolean",
                "description": "Load into a PostgreSQL that the target starts by itself. Default: only with an empty "
                "config.",
            },
            "embedded_folder": {
                **NAME,
                "description": "Folder of the embedded PostgreSQL; asks for it. Default: `SINGERKIT_EMBEDDED_FOLDER`, else `~/.local/share/singerkit/postgres`, for root `/var/lib/singerkit/postgres`.",
            },
            **upkeep.SETTINGS,
            "number_type": {
                "type": "string",
                "enum": ["numeric", "double precision"],
                "default": "numeric",
                "description": "Column type for `number`: every digit kept, or faster to compute with.",
            },
            "column_types": {
                **settings.SETTINGS["column_types"],
                "description": "PostgreSQL types for columns by stream and field, or globs over those, of which the most exact one counts, as in "
                '`{"orders.total": "numeric(12,2)", "*.created_at": "timestamp", "legacy_*": "existing"}`; wins over `x-sql-datatype`. `existing` is the '
                "type that a column has in its table, where the values can go there as the user answers for.",
            },
        },
    }

    _close_server: Callable[[], None] | None = None
    _is_loading = False  # its server is needed until what comes after the load is done

    store_abilities = ABILITIES
    settings_of_others = THEIRS
    refused_settings = PIPELINEWISE

    @classmethod
    def is_of_others(cls, config: Mapping[str, Any]) -> bool:
        return has_theirs(config)

    @classmethod
    def abilities(cls, config: Mapping[str, Any]) -> Abilities:
        return super().abilities(taken_over(config).config if has_theirs(config) else config)

    def take_over(self) -> list[str]:
        if not has_theirs(self._config):
            return []
        made = taken_over({name: self._config[name] for name in self.given_keys})
        defaults = {name: value for name, value in self._config.items() if name not in self.given_keys}
        self._config = defaults | made.config
        self.given_keys = frozenset(made.config.keys() - made.added.keys())
        if made.problems:
            return made.problems
        for note in made.told():
            self.logger.warning("%s", note)
        return []

    def limits(self) -> Limits:
        """As of every target, and a unit is held in memory in case that the server loses it."""
        return replace(super().limits(), replay_bytes=self.config["replay_bytes"])

    def further_problems(self) -> list[str]:
        from psycopg2.extensions import parse_dsn

        from singerkit_postgres.address import address_problems, certificate_problems, dsn_of
        from target_postgres.server import names_a_server, server_problem

        problem = server_problem(self.config, is_empty=not self.given_keys)
        if problem is not None:
            return [problem]
        if problems := settings.problems(self.config, self.given_keys):
            return problems
        try:
            upkeep.upkeep_of(self.config)
        except ValueError as error:
            return [str(error)]
        if problem := name_problem(self.config["default_target_schema"]):
            return [_expected_name("default_target_schema", problem)]
        if problems := address_problems(self.config):
            return problems
        dsn = dsn_of(self.config)
        if problem := name_problem(parse_dsn(dsn).get("dbname", "")):
            return [_expected_name("database" if self.config.get("database") else "dsn", problem)]
        return certificate_problems(dsn) if names_a_server(self.config) else []

    def _sets_aside(self) -> Sequence[str]:
        """The classes of PostgreSQL's refusals after which a row is set aside."""
        from target_postgres.faults import REFUSING, UNSTORABLE

        if self.config["on_invalid"] == "quarantine":
            return REFUSING
        return UNSTORABLE if self.config["on_unstorable"] == "quarantine" else ()

    def words(self) -> Words:
        from target_postgres.words import WORDS

        return WORDS

    def database(self) -> str | None:
        from singerkit_postgres.address import dsn_of, where
        from target_postgres.server import names_a_server

        return where(dsn_of(self.config)) if names_a_server(self.config) else None

    def make_loader(self) -> Loader:
        from singerkit_postgres.address import dsn_of, where
        from singerkit_postgres.connect import Wishes
        from target_postgres.loader import PostgresLoader
        from target_postgres.server import names_a_server

        config = self.config
        server: list[Any] = []
        if ssh.is_asked_for(config):
            server.append(ssh.Tunnel(config["ssh_tunnel"], dsn_of(config), self.logger))
        elif not self.given_keys and names_a_server(config):
            self.logger.info("Loading into PostgreSQL at %s, as the environment says.", where(dsn_of(config)))

        def dsn() -> str:
            if ssh.is_asked_for(config):
                return str(server[0].dsn())
            if names_a_server(config):
                return dsn_of(config)
            if not server:
                from singerkit_embedded import server as embedded

                folder = config.get("embedded_folder")
                server.append(embedded.start(Path(folder) if folder else None, self.logger))
                self.logger.info("%s", server[0].describe())
            return str(server[0].uri)

        def close_server() -> None:
            while server and not self._is_loading:
                server.pop().close()

        self._close_server = close_server
        self._loader = loader = PostgresLoader(
            dsn,
            settings.settings_of(config, self.given_keys, self.owners),
            self.logger,
            lock_timeout_seconds=config["lock_timeout_seconds"],
            reconnect_seconds=config["reconnect_seconds"],
            answer_seconds=config["answer_seconds"],
            wishes=Wishes(config.get("role"), config.get("statement_timeout_seconds")),
            sets_aside=self._sets_aside(),
            quarantine_limit=config["quarantine_limit"],
            upkeep=upkeep.upkeep_of(config),
            close_server=close_server,
            ways=self.ways_out,
        )
        self._keep_up = loader.keep_up
        return loader

    def _load(self, source: IO[Any]) -> Counter[str]:
        from target_postgres.session import process_of_a_load

        self._is_loading = True
        try:
            with process_of_a_load():
                counts = super()._load(source)
            try:
                self._keep_up()
            except SingerkitError as error:
                self._notes.amend(error)
                raise
            return counts
        finally:
            self._is_loading = False
            if self._close_server is not None:
                self._close_server()


def _expected_name(key: str, problem: str) -> str:
    return f"Expected a name that PostgreSQL takes whole at `{key}`, got one that {problem}; choose a shorter one"


def main() -> None:
    """Entry point of the executable."""
    start(TargetPostgres)


if __name__ == "__main__":
    main()
