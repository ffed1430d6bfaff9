"""What the suite must know of an executable: how to make a config for it, and how to read back what it did.

One small class per executable, in `DRIVERS` under the executable's name. A rule that cannot apply to an
executable stands in its ``waivers`` with the reason; its tests are then skipped with that reason.

A tap's driver makes a `Source`: a real thing to read from, with known rows. A target's driver makes
`Destination`s: each a fresh place, so that tests do not see each other's rows.
"""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import psycopg2
import pytest
from conformance.singer import parse
from conformance.source_server import TOKEN, Server, serve
from psycopg2 import sql

__all__ = [
    "DRIVERS",
    "ORDER_SCHEMA",
    "Destination",
    "Executable",
    "Facts",
    "PlainTap",
    "PlainTarget",
    "Source",
    "TapDriver",
    "TargetDriver",
    "distribution_executables",
]

Row = dict[str, Any]
Services = Mapping[str, Any]
"""The fixtures of the test session that a driver names in ``needs``."""


@dataclass(frozen=True)
class Executable:
    """A tap or target to test: ``name`` stands in the test ids, ``command`` starts it."""

    name: str
    command: tuple[str, ...]
    driver: Any

    @property
    def kind(self) -> str:
        return "tap" if isinstance(self.driver, TapDriver) else "target"


# Taps


@dataclass(frozen=True)
class Facts:
    """What is true of a stream of the source. ``path`` finds its rows in `Server`."""

    path: str
    key: tuple[str, ...]
    replication_key: str | None = None
    ascends: bool = False
    parent: str | None = None


@dataclass
class Source:
    """Where a tap reads, and the config that makes it read there."""

    config: dict[str, Any]
    streams: dict[str, Facts] = field(default_factory=dict)
    secret: str | None = None
    _server: Server | None = None

    @property
    def server(self) -> Server:
        if self._server is None:
            pytest.skip("waived: needs a driver with a source whose rows and requests the test knows")
        return self._server

    @property
    def knows_rows(self) -> bool:
        return self._server is not None

    @property
    def known_streams(self) -> dict[str, Facts]:
        """Return what is known of the streams, where anything is."""
        return self.streams if self.server else {}

    def facts(self, **wanted: Any) -> tuple[str, Facts]:
        """Return the first stream whose facts are as wanted, for instance ``ascends=True``."""
        for name, facts in self.streams.items():
            if all(getattr(facts, key) == value for key, value in wanted.items()):
                return name, facts
        pytest.skip(f"waived: needs a driver with a stream that has {wanted}")

    def rows(self, stream: str) -> list[Row]:
        """Return the rows of a top-level stream as the source has them."""
        return self.server.rows(self.streams[stream].path)


class TapDriver:
    """Base of the drivers of taps. Settings that not every tap has raise the waiver of `cannot`."""

    waivers: ClassVar[Mapping[str, str]] = {}
    is_ours = True
    """Exit codes and the last line on stderr are those of DESIGN 7; for others non-zero is enough."""

    @contextmanager
    def source(self) -> Iterator[Source]:
        """Give a source with known rows, and the config for it."""
        raise AssertionError(f"{type(self).__name__} must say how its tap is configured: write source()")

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config changed so that the source does not answer."""
        return self.cannot("a source that does not answer")

    def with_start_date(self, config: dict[str, Any], start: str) -> dict[str, Any]:
        return self.cannot("start_date")

    def with_user_agent(self, config: dict[str, Any], user_agent: str) -> dict[str, Any]:
        return self.cannot("user_agent")

    def with_select(self, config: dict[str, Any], rules: Sequence[str]) -> dict[str, Any]:
        return self.cannot("select rules")

    def not_selected_by_default(self, config: dict[str, Any], stream: str) -> dict[str, Any]:
        return self.cannot("a stream that is not selected by default")

    def with_states_often(self, config: dict[str, Any], records: int) -> dict[str, Any]:
        """Return the config changed so that a STATE comes after so many records."""
        return self.cannot("how often a STATE comes")

    def cannot(self, what: str) -> Any:
        pytest.skip(f"waived: {type(self).__name__} does not say how to configure {what}")


ORDER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "definitions": {
        "address": {
            "type": ["object", "null"],
            "properties": {"city": {"type": "string"}, "zip": {"type": "integer"}},
        }
    },
    "properties": {
        "id": {"type": "integer"},
        "updated_at": {"type": "string", "format": "date-time"},
        "amount": {"type": "number"},
        "big": {"type": "integer"},
        "note": {"type": ["string", "null"]},
        "paid": {"type": ["boolean", "null"]},
        "tags": {"type": ["array", "null"], "items": {"type": "string"}},
        "address": {"$ref": "#/definitions/address"},
        "discount": {"type": ["number", "null"]},
    },
}


class TapRest(TapDriver):
    """tap-rest against `source_server`: a declared schema with a $ref, inferred ones, a parent and its child."""

    waivers: ClassVar[Mapping[str, str]] = {
        "C11": "the streams of a REST API are no database tables: there is no SQL type, view or row count",
        "ST13": "bookmarks come from record values, never from the local clock (DESIGN 5), and a REST API has no "
        "clock of its own to take a signpost from",
    }

    @contextmanager
    def source(self) -> Iterator[Source]:
        with serve() as server, tempfile.TemporaryDirectory(prefix="conformance-") as cache:
            yield Source(
                config={
                    "base_url": server.url,
                    "auth": {"type": "bearer", "token": TOKEN},
                    "pagination": {"type": "cursor", "param": "page", "cursor": "$.next_page"},
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
                streams={
                    "orders": Facts("orders", ("id",), "updated_at", ascends=True),
                    "events": Facts("events", ("id",), "updated_at"),
                    "countries": Facts("countries", ("code",)),
                    "shops": Facts("shops", ("id",)),
                    "items": Facts("shops/{}/items", ("shop_id", "sku"), parent="shops"),
                },
                secret=TOKEN,
                _server=server,
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


class PlainTap(TapDriver):
    """Anybody's tap, known by its command line only: rules that need to know the source are waived."""

    is_ours = False

    def __init__(self, configs: Sequence[Path]) -> None:
        self._configs = configs

    @contextmanager
    def source(self) -> Iterator[Source]:
        config: dict[str, Any] = {}
        for path in self._configs:
            config |= json.loads(path.read_text(encoding="utf-8"))
        yield Source(config)


# Targets


@dataclass
class Destination:
    """A fresh place to load into. ``read`` gives the rows of a stream as a user of the target sees them."""

    config: dict[str, Any]
    read: Callable[[str], list[Row]]
    state_file_option: str | None = None
    folder: Path | None = None
    """Where to start the target, if that matters."""
    environment: dict[str, str] = field(default_factory=dict)


class TargetDriver:
    """Base of the drivers of targets."""

    waivers: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[Sequence[str]] = ()
    """Names of the session's fixtures that `destination` wants among its services."""
    is_ours = True
    """Exit codes and the last line on stderr are those of DESIGN 7; for others non-zero is enough."""
    commits_often: ClassVar[Mapping[str, Any]] = {}
    """Settings with which each STATE is committed soon after it came."""
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({}, "\0")
    """Settings with which a text with NUL can be loaded, and what then stands in its place."""
    deletes = False
    """True for a target that follows ACTIVATE_VERSION, with the settings add_record_metadata and hard_delete."""
    keeps_last_of_key = True
    """False for a target that appends: it keeps every version of a key, the last one last."""

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        """Give a fresh place; ``settings`` are config keys of ours that a rule asks for."""
        raise AssertionError(
            f"{type(self).__name__} must say how its target is configured: write destination()"
        )

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """Give the place that is used when there is no --config, with the environment to start it in."""
        yield self.cannot("a run without --config")

    def cannot(self, what: str) -> Any:
        pytest.skip(f"waived: {type(self).__name__} does not say how to make {what}")


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


class PlainTarget(TargetDriver):
    """Anybody's target, known by its command line, and by the command that prints a stream's rows as JSON lines.

    In that command ``{stream}`` stands for the stream's name; it is run by a shell.
    """

    is_ours = False

    def __init__(self, configs: Sequence[Path], read_rows: str | None, *, appends: bool = False) -> None:
        self._configs, self._read_rows = configs, read_rows
        self.keeps_last_of_key = not appends

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        if settings:
            self.cannot(f"settings of ours ({', '.join(settings)})")
        config: dict[str, Any] = {}
        for path in self._configs:
            config |= json.loads(path.read_text(encoding="utf-8"))
        return Destination(config, self._read)

    def _read(self, stream: str) -> list[Row]:
        if self._read_rows is None:
            pytest.skip("waived: needs --read-rows, a command that prints the rows of {stream} as JSON lines")
        command = self._read_rows.replace("{stream}", shlex.quote(stream))
        done = subprocess.run(command, shell=True, capture_output=True, timeout=30, check=False)
        return [parse(line) for line in done.stdout.splitlines() if line.strip()]


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
