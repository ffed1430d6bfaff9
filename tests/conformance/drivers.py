"""What the suite must know of our own executables: one small class each, in `DRIVERS` under its name.

See `singerkit_check.suite.drivers` for what a driver says.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from singerkit_check.suite.drivers import (
    Destination,
    Executable,
    Services,
    TapDriver,
    TargetDriver,
)
from singerkit_check.suite.http_source import HttpSource
from singerkit_check.suite.known import KNOWN, Row
from singerkit_check.suite.singer import parse
from singerkit_check.suite.source_server import TOKEN, serve
from singerkit_check.suite.sources import Source

__all__ = [
    "DRIVERS",
    "ORDER_SCHEMA",
    "TapRest",
    "TargetJsonl",
    "TargetPostgres",
    "distribution_executables",
    "read_table",
]

ORDER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "definitions": {"address": KNOWN["orders"].properties["address"]},
    "properties": {**KNOWN["orders"].properties, "address": {"$ref": "#/definitions/address"}},
}


class TapRest(TapDriver):
    """tap-rest against `source_server`: a declared schema with a $ref, inferred ones, a parent and its child."""

    waivers: ClassVar[Mapping[str, str]] = {
        "C11": "the streams of a REST API are no database tables: there is no SQL type, view or row count",
    }

    @contextmanager
    def source(self) -> Iterator[Source]:
        with serve() as server, tempfile.TemporaryDirectory(prefix="conformance-") as cache:
            yield HttpSource(
                server,
                {
                    "base_url": server.url,
                    "auth": {"type": "bearer", "token": TOKEN},
                    # By number, also where it could go on by the key: tests hold a page by its number.
                    "pagination": {
                        "type": "cursor",
                        "param": "page",
                        "cursor": "$.next_page",
                        "continue_by": "number",
                    },
                    "retries": {"tries": 4, "first_wait": 0.2, "longest_wait": 5, "total": 20},
                    "schema_cache": cache,
                    "streams": [
                        {
                            "name": "orders",
                            "path": "/orders",
                            "primary_keys": ["id"],
                            "replication_key": "updated_at",
                            "is_sorted": True,
                            "incremental": {"param": "since"},
                            "schema": ORDER_SCHEMA,
                        },
                        {
                            "name": "events",
                            "path": "/events",
                            "primary_keys": ["id"],
                            "replication_key": "updated_at",
                            "incremental": {"param": "since"},
                        },
                        {"name": "countries", "path": "/countries", "primary_keys": ["code"]},
                        {"name": "shops", "path": "/shops", "primary_keys": ["id"]},
                        {
                            "name": "items",
                            "path": "/shops/{parent.id}/items",
                            "primary_keys": ["shop_id", "sku"],
                            "parent": {"stream": "shops", "copy": {"shop_id": "id"}},
                        },
                    ],
                },
            )

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        retries = {"tries": 2, "first_wait": 0.1, "longest_wait": 1, "total": 5}
        return config | {"base_url": "http://127.0.0.1:9", "retries": retries}

    def with_start_date(self, config: dict[str, Any], start: str) -> dict[str, Any]:
        return config | {"start_date": start}

    def with_user_agent(self, config: dict[str, Any], user_agent: str) -> dict[str, Any]:
        return config | {"user_agent": user_agent}

    def with_select(self, config: dict[str, Any], rules: Sequence[str]) -> dict[str, Any]:
        return config | {"select": list(rules)}

    def with_states_often(self, config: dict[str, Any], records: int) -> dict[str, Any]:
        return config | {"state_every": records}

    def not_selected_by_default(self, config: dict[str, Any], stream: str) -> dict[str, Any]:
        streams = [one | {"selected": False} if one["name"] == stream else one for one in config["streams"]]
        return config | {"streams": streams}


class TargetPostgres(TargetDriver):
    """target-postgres into a schema of its own in the session's database, read back as JSON by the server."""

    needs: ClassVar[Sequence[str]] = ("postgres_dsn",)
    deletes = True
    commits_often: ClassVar[Mapping[str, Any]] = {"commit_rows": 1}
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({"on_unstorable": "replace"}, "\ufffd")

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        dsn = services["postgres_dsn"]
        schema = f"c_{uuid.uuid4().hex[:12]}"
        config = {"dsn": dsn, "default_target_schema": schema, "pipeline": schema} | settings
        return Destination(config, lambda stream: read_table(dsn, schema, stream), "--state-file")

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """The embedded server, in a folder that its account may enter."""
        place = Path(tempfile.mkdtemp(prefix="conformance-"))
        place.chmod(0o755)
        command = [sys.executable, "-m", "target_postgres.embedded", "--folder", str(place), "sql"]

        def read(stream: str) -> list[Row]:
            query = f"""SELECT row_to_json(t)::text FROM "{stream}" AS t"""
            done = subprocess.run([*command, query], capture_output=True, timeout=60, check=True)
            return [parse(line) for line in done.stdout.splitlines() if line.startswith(b"{")]

        try:
            yield Destination({}, read, environment={"SINGERKIT_EMBEDDED_FOLDER": str(place)})
        finally:
            shutil.rmtree(place, ignore_errors=True)


def read_table(dsn: str, schema: str, table: str) -> list[Row]:
    """Return the rows of a table as JSON values with exact numbers; [] where there is no such table."""
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET timezone = 'UTC'")
            cursor.execute(
                "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", (schema, table)
            )
            if cursor.fetchone() is None:
                return []
            cursor.execute(
                sql.SQL("SELECT row_to_json(t)::text FROM {} AS t").format(sql.Identifier(schema, table))
            )
            return [parse(text) for (text,) in cursor.fetchall()]
    finally:
        connection.close()


class TargetJsonl(TargetDriver):
    """target-jsonl into a folder of its own; one file per stream."""

    commits_often: ClassVar[Mapping[str, Any]] = {"commit_rows": 1}
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({"on_unstorable": "replace"}, "\ufffd")
    keeps_last_of_key = False

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """The folder it is started in."""
        place = folder / "without-config"
        place.mkdir()
        yield Destination({}, lambda stream: read_lines(place, stream), folder=place)

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        place = folder / f"jsonl-{uuid.uuid4().hex[:12]}"
        config = {"destination_path": str(place)} | settings
        return Destination(config, lambda stream: read_lines(place, stream), "--state-file")


def read_lines(folder: Path, stream: str) -> list[Row]:
    """Return the rows of the file of one stream, in file order; what is unsafe in its name stands as %XX."""
    path = folder / f"{quote(stream, safe=' ')}.jsonl"
    return [parse(line) for line in path.read_text("utf-8").split("\n") if line] if path.exists() else []


DRIVERS: dict[str, Callable[[], TapDriver | TargetDriver]] = {
    "tap-rest": TapRest,
    "target-postgres": TargetPostgres,
    "target-jsonl": TargetJsonl,
}


def distribution_executables(distribution: str = "singerkit") -> tuple[list[Executable], list[str]]:
    """Return the taps and targets among the console scripts, and the names of those without a driver."""
    points = importlib.metadata.distribution(distribution).entry_points.select(group="console_scripts")
    names = sorted(point.name for point in points if point.name.startswith(("tap-", "target-")))
    known = [Executable(name, (_script(name),), DRIVERS[name]()) for name in names if name in DRIVERS]
    return known, [name for name in names if name not in DRIVERS]


def _script(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or name
