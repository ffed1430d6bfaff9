"""Where the demo loads: a PostgreSQL that comes along from PyPI, or a DuckDB file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from piping import DemoError

from singerkit_embedded import server as embedded

__all__ = ["WAREHOUSES", "StillOpen", "Warehouse", "make_anew"]


class StillOpen(Exception):
    """The data of the last demo is in use; the message is a sentence that says what to do."""


class Warehouse(Protocol):
    """One of the two: its target, that target's config beside this file, and what is stored."""

    program: str
    config: str

    def release(self) -> Sequence[Path]:
        """End what the last demo has left running; return the folders outside `.demo/` that it has left."""

    def running(self) -> contextlib.AbstractContextManager[None]:
        """Keep up what must not stop between two runs."""

    def environment(self) -> Mapping[str, str]:
        """What the target must find in its environment."""

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]: ...

    def look(self) -> Sequence[str | Path]:
        """The command with which one looks at the data."""


def make_anew(folder: Path, warehouse: Warehouse) -> None:
    """Empty ``folder``, and whatever the last demo has left beside it."""
    folders = [folder, *warehouse.release()]
    try:
        for old in folders:
            shutil.rmtree(old, ignore_errors=not old.exists())
        folder.mkdir(mode=0o755)
    except OSError as error:
        raise DemoError(f"{folder} cannot be made anew ({error.strerror}); remove it yourself.") from None


class Postgres:
    """A server of the demo's own, in `.demo/postgres` where it may."""

    program, config = "target-postgres", "target.json"

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder = folder / "postgres"
        if not embedded.is_open_to_server(self.folder):
            # We are root below a private folder, where PostgreSQL may not go (it is not root).
            named = hashlib.sha256(os.fsencode(project)).hexdigest()[:10]
            self.folder = embedded.MACHINE_FOLDER / f"{folder.name.strip('.')}-{named}"
        self._uri = ""

    def release(self) -> Sequence[Path]:
        if (self.folder / "data").exists():
            command = [sys.executable, "-m", "singerkit_embedded", "--folder", self.folder, "stop"]
            if subprocess.run(command).returncode != 0:
                raise StillOpen(
                    "the data of the last demo is still open, for instance in psql; close that first."
                )
        return [self.folder]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with embedded.start(self.folder) as server:
            self._uri = server.uri
            yield

    def environment(self) -> Mapping[str, str]:
        return {embedded.FOLDER_VARIABLE: str(self.folder)}

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]:
        import psycopg2
        from psycopg2 import sql

        schema = _settings(self.config)["default_target_schema"]
        counts = {}
        with contextlib.closing(psycopg2.connect(self._uri)) as connection, connection.cursor() as cursor:
            for table in tables:
                cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
                counts[table] = cursor.fetchone()[0]
        return counts

    def look(self) -> Sequence[str | Path]:
        python = _near(Path(sys.executable))
        return [python, "-m", "singerkit_embedded", "--folder", _near(self.folder), "psql"]


class DuckDB:
    """A file in `.demo/`."""

    program, config = "target-duckdb", "target-duckdb.json"

    def __init__(self, _folder: Path, project: Path) -> None:
        settings = _settings(self.config)
        self._file = project / settings["database"]
        self._schema = settings["default_target_schema"]

    def release(self) -> Sequence[Path]:
        return []

    def running(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def environment(self) -> Mapping[str, str]:
        return {}

    def count_rows(self, tables: Iterable[str]) -> dict[str, int]:
        import duckdb

        counts = {}
        with duckdb.connect(str(self._file), read_only=True) as connection:
            for table in tables:
                (count,) = connection.table(f"{self._schema}.{table}").count("*").fetchone() or (0,)
                counts[table] = count
        return counts

    def look(self) -> Sequence[str | Path]:
        columns = "carrier, flight, tailnum, origin, dest, time_hour, modified"
        query = f"SELECT {columns} FROM {self._schema}.flights ORDER BY modified DESC LIMIT 5"
        code = f"import duckdb; duckdb.connect({_near(self._file)!r}, read_only=True).sql({query!r}).show()"
        return [_near(Path(sys.executable)), "-c", code]


def _settings(config: str) -> dict[str, str]:
    settings: dict[str, str] = json.loads(Path(__file__).with_name(config).read_text(encoding="utf-8"))
    return settings


def _near(path: Path) -> str:
    """Name a path as one would type it here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


WAREHOUSES: Mapping[str, Callable[[Path, Path], Warehouse]] = {"postgres": Postgres, "duckdb": DuckDB}
