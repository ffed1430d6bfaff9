"""What the conformance suite must know of target-postgres."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg2
from psycopg2 import sql

from singerkit_check.suite.drivers import Destination, Services, TargetDriver
from singerkit_check.suite.known import Row
from singerkit_check.suite.singer import parse

__all__ = ["DRIVER", "TargetPostgres", "read_table"]


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
        command = [sys.executable, "-m", "singerkit_embedded", "--folder", str(place), "sql"]

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


DRIVER = TargetPostgres
