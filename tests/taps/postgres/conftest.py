"""Databases to read from, and tap-postgres on them: in this process, or as a process of its own."""

from __future__ import annotations

import io
import json
import sys
import uuid
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import Outcome, run
from conftest import run_sql
from taps.postgres.driver import fresh_database
from taps.written import Result
from waiting import wait_until

from singerkit_state.shards import Shard
from singerkit_state.value import decode, encode
from tap_postgres.tap import TapPostgres

TAP = str(Path(sys.executable).with_name("tap-postgres"))


@dataclass
class Shop:
    """A database, and a config for it."""

    dsn: str
    folder: Path
    config: dict[str, Any] = field(default_factory=dict)

    def execute(self, *statements: str) -> None:
        for statement in statements:
            run_sql(self.dsn, statement)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return run_sql(self.dsn, statement)

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {"dsn": self.dsn, **self.config, **changes}

    def by(self, key: str | None, **more: Any) -> None:
        """Read streams incrementally by ``key`` from now on."""
        self.config["streams"] = [{"name": "*", "replication_key": key, **more}]

    def tap(
        self, state: Any = None, catalog: Any = None, shard: Shard | None = None, **changes: Any
    ) -> TapPostgres:
        tap = TapPostgres(config=self.settings(**changes), state=state or {}, catalog=catalog)
        if shard is not None:
            tap.take_shard(shard)
        return tap

    def sync(self, state: Any = None, catalog: Any = None, **changes: Any) -> Result:
        """Sync in this process; what was written stays in ``written``, also of a run that fails."""
        return self.written_by(self.tap(state, catalog, **changes))

    def written_by(self, tap: TapPostgres) -> Result:
        self.written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with redirect_stdout(self.written):
            tap.sync()
        return self.result()

    def result(self) -> Result:
        lines = self.written.buffer.getvalue().splitlines()  # type: ignore[attr-defined]  it is a BytesIO
        return Result([decode(line.decode()) for line in lines], "public-t")

    def discover(self, **changes: Any) -> dict[str, Any]:
        return self.tap(**changes).catalog_dict

    def names(self, **changes: Any) -> list[str]:
        return [one["stream"] for one in self.discover(**changes)["streams"]]

    def entry(self, stream: str = "public-t", **changes: Any) -> dict[str, Any]:
        return next(one for one in self.discover(**changes)["streams"] if one["stream"] == stream)

    def command(self, *options: str, **changes: Any) -> list[str]:
        (self.folder / "config.json").write_text(json.dumps(self.settings(**changes)))
        return [TAP, "--config", str(self.folder / "config.json"), *options]

    def run(self, *options: str, **changes: Any) -> Outcome:
        return run(self.command(*options, **changes))

    def file(self, name: str, content: Any) -> str:
        (self.folder / name).write_text(encode(content))
        return str(self.folder / name)


@pytest.fixture(scope="session")
def source(postgres_server: str) -> Iterator[str]:
    """A database to read from, for all tests of a worker."""
    with fresh_database(postgres_server) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def logical_source(logical_server: str) -> Iterator[str]:
    """A database whose log is read, for all tests of a worker."""
    with fresh_database(logical_server) as dsn:
        yield dsn


@pytest.fixture
def shop(source: str, tmp_path: Path) -> Shop:
    """The same, with an empty schema `public` and no other."""
    return emptied(source, tmp_path)


@pytest.fixture
def logged(logical_source: str, tmp_path: Path) -> Iterator[Shop]:
    """A database with an empty schema `public`, which is read from the log by a slot `test_...`; nobody else has one in it."""
    shop = emptied(logical_source, tmp_path)
    name = f"test_{uuid.uuid4().hex[:12]}"
    shop.config |= {
        "streams": [{"name": "*", "replication_method": "LOG_BASED"}],
        "log": {"slot": name},
        "pipeline": name,
    }
    yield shop
    shop.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()"
    )
    active = "SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()"
    wait_until(lambda: not shop.query(active), "the end of whoever reads the log")
    shop.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
    )
    for (publication,) in shop.query("SELECT pubname FROM pg_publication"):
        shop.execute('DROP PUBLICATION "{}"'.format(publication.replace('"', '""')))


def emptied(dsn: str, folder: Path) -> Shop:
    run_sql(
        dsn,
        """
        SET client_min_messages = error;
        DO $$ DECLARE name text; BEGIN
            FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' LOOP
                EXECUTE format('DROP SCHEMA %I CASCADE', name);
            END LOOP;
        END $$;
        CREATE SCHEMA public;
        """,
    )
    return Shop(dsn, folder)
