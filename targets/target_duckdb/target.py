"""target-duckdb: settings, and how a run is put together from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from singerkit_catalog.patterns import NAME
from singerkit_shell.command import start
from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target import settings
from singerkit_sql_target.dialect import Words
from singerkit_sql_target.target import SqlTarget
from singerkit_target.byhand import Wish
from singerkit_target.contract import Loader
from singerkit_target.pastruns import AskedRuns
from singerkit_target.shell import COMMON_SETTINGS
from target_duckdb.domain import ABILITIES

if TYPE_CHECKING:
    from target_duckdb.connect import DuckDialect

__all__ = ["TargetDuckDB", "main"]


class TargetDuckDB(SqlTarget):
    """Load Singer streams into a DuckDB file, exactly once."""

    name = "target-duckdb"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "database": {
                **NAME,
                "default": "singerkit.duckdb",
                "description": "Path of the database file; made if missing, its folder is not.",
            },
            **settings.SETTINGS,
            "default_target_schema": {**settings.SETTINGS["default_target_schema"], "default": "main"},
            "commit_rows": {
                **COMMON_SETTINGS["commit_rows"],
                "description": "Commit at the next STATE once this many rows were received. Unless it is given, also after 100,000 rows, or an eighth of "
                "those stored in tables with a key, as long as the commit before has ended.",
            },
            "number_type": {
                "type": "string",
                "enum": ["decimal", "double"],
                "default": "decimal",
                "description": "Column type for `number`: `DECIMAL(38,9)`, or with the scale that the schema tells, "
                "where a number with more digits is refused; or `DOUBLE`, which rounds.",
            },
        },
    }

    store_abilities = ABILITIES

    def further_problems(self) -> list[str]:
        path = self.config["database"]
        if path.startswith((":memory:", "md:", "motherduck:")) or "://" in path:
            # What stands behind the scheme may be a token, as in `md:` of MotherDuck: only the scheme is shown.
            scheme = path.partition(":")[0]
            return [
                f"Expected the path of a file at `database`, got `{scheme}:...`; rows are loaded into a file only"
            ]
        return settings.problems(self.config, self.given_keys)

    def judge_tables(self) -> None:
        if not self._path.exists():
            raise ConfigurationError(
                f"There is no file {self._path}, and so nothing to judge; nothing was made."
            )
        super().judge_tables()

    def see_to_letters(self, wish: Wish) -> None:
        path = self._path
        if not path.exists():
            raise ConfigurationError(f"There is no file {path}, and so no dead letters; nothing was made.")
        super().see_to_letters(wish)

    @property
    def _path(self) -> Path:
        return Path(self.config["database"]).absolute()

    def words(self) -> Words:
        return self._dialect()

    def database(self) -> str:
        return str(self._path)

    def tell_of_runs(self, asked: AskedRuns) -> None:
        if self._path.exists():
            super().tell_of_runs(asked)

    def make_loader(self) -> Loader:
        from singerkit_sql_target.loader import SqlLoader

        dialect = self._dialect()
        path = self._path
        self.logger.info("%s %s.", "Loading into" if path.exists() else "Making", path)
        self._loader = SqlLoader(
            dialect,
            settings.settings_of(self.config, self.given_keys, self.owners),
            self.logger,
            ways=self.ways_out,
        )
        return self._loader

    def _dialect(self) -> DuckDialect:
        try:
            from target_duckdb.connect import DuckDialect
        except ImportError as error:
            raise ConfigurationError(
                f"target-duckdb needs the packages duckdb and nanoarrow, which are not installed here ({error}); nothing was "
                "read: run `pip install 'singerkit[duckdb]'`, then run again."
            ) from None
        return DuckDialect(self._path, number_type=self.config["number_type"])


def main() -> None:
    """Entry point of the executable."""
    start(TargetDuckDB)


if __name__ == "__main__":
    main()
