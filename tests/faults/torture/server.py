"""A PostgreSQL of the harness's own, in memory where there is a tmpfs, that can be restarted at once."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import psycopg2
from memory import folder_in_memory
from psycopg2.extensions import parse_dsn
from psycopg2.sql import SQL, Composable, Identifier

__all__ = ["PASSWORD", "Server", "scratch_folder"]

PASSWORD = "canary-database-5c1f8e"
"""A canary (I7): the server trusts everybody, so it only must never be seen."""

_KEEP = """
cat > /dev/null
kill -QUIT "$(head -n 1 "$0/server/data/postmaster.pid" 2> /dev/null)" 2> /dev/null
for _ in $(seq 100); do [ -e "$0/server/data/postmaster.pid" ] || break; sleep 0.05; done
rm -rf "$0"
"""
_SETTINGS = {
    "shared_buffers": "32MB",
    "autovacuum": "off",
    "checkpoint_timeout": "30s",  # so that an immediate restart has little to replay
    "max_wal_size": "64MB",
    "max_connections": "60",
    "jit": "off",
}


def scratch_folder() -> Path:
    """Make a folder in memory, else in the temporary directory, that goes with this process however it ends."""
    folder = folder_in_memory("singerkit-torture-")
    folder.chmod(0o711)  # the server's account must get through
    return folder


class Server:
    """The server in ``folder/server``. Use as a context manager; a keeper stops it if this process is killed."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        from singerkit_embedded import server as embedded

        self.folder = folder
        self._keeper = subprocess.Popen(
            ["sh", "-c", _KEEP, str(folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        running = embedded.start(folder / "server", database="postgres")
        atexit.unregister(running.close)  # from here on it is ours to stop
        self._parts = parse_dsn(running.uri)
        self._data = folder / "server" / "data"
        pid = self._pid()
        assert pid is not None
        self._account = Path(f"/proc/{pid}").stat().st_uid
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
        self._command = [word.decode() for word in words]
        for name, value in {**_SETTINGS, **settings}.items():
            self.sql(SQL("ALTER SYSTEM SET {} = %s").format(Identifier(name)), [value])
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self.restarts = 0
        self.restart_immediately()

    def _pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self._data / "postmaster.pid").read_text().splitlines()[0])
        return None

    # --- restarts ------------------------------------------------------------------------------------------

    def restart_immediately(self) -> None:
        """Stop the server as a crash does (SIGQUIT: no checkpoint), start it again, return when it answers."""
        with self._lock:
            self._stop(signal.SIGQUIT)
            self._start()
            self.restarts += 1

    def _stop(self, how: signal.Signals) -> None:
        pid = self._pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)
        end = time.monotonic() + 20
        while self._lives(pid):
            if time.monotonic() > end:
                raise RuntimeError("PostgreSQL does not stop")
            time.sleep(0.002)

    def _lives(self, pid: int) -> bool:
        if self._server is not None and self._server.pid == pid:
            return self._server.poll() is None
        return Path(f"/proc/{pid}/cmdline").exists()

    def _start(self) -> None:
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        account: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = {"user": self._account, "group": self._data.stat().st_gid, "extra_groups": []}
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder / "server" if not account else "/",
                env={"LC_ALL": "C"},
                start_new_session=True,
                **account,
            )
        end = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                if (self._data / "postmaster.pid").read_text().splitlines()[7:8] == ["ready   "]:
                    return
            if self._server.poll() is not None or time.monotonic() > end:
                said = (self.folder / "server.log").read_text(errors="replace").splitlines()[-12:]
                raise RuntimeError(
                    f"PostgreSQL does not start (exit code {self._server.poll()}):\n" + "\n".join(said)
                )
            time.sleep(0.003)

    # --- connections ---------------------------------------------------------------------------------------

    @property
    def socket_path(self) -> str:
        return f"{self._parts['host']}/.s.PGSQL.{self._parts.get('port', '5432')}"

    def uri(self, database: str, **parameters: str) -> str:
        """Return a URI with the canary password; ``parameters`` are added, such as ``pipeline``."""
        query = {"host": self._parts["host"], "port": self._parts.get("port", "5432"), **parameters}
        text = "&".join(f"{name}={quote(value, safe='/')}" for name, value in query.items())
        return f"postgresql://postgres:{PASSWORD}@/{quote(database)}?{text}"

    def connect(self, database: str = "postgres") -> Any:
        """Open a session in autocommit mode and UTC."""
        connection = psycopg2.connect(self.uri(database), application_name="torture")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SET timezone TO 'UTC'; SET datestyle TO 'ISO, MDY'; SET lock_timeout TO '10s'")
        return connection

    def sql(
        self, statement: str | Composable, parameters: Any = None, database: str = "postgres"
    ) -> list[Any]:
        """Run one statement in a session of its own."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A fresh database, dropped in the end whoever is still connected to it; a copy of ``template``, where nobody is."""
        name = f"case_{uuid.uuid4().hex[:10]}"
        self.sql(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
        try:
            yield name
        finally:
            self.sql(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def sessions(self, database: str) -> list[str]:
        """What the sessions of clients other than the harness are doing; the server's own workers are none."""
        found = self.sql(
            "SELECT concat_ws(' ', nullif(application_name, ''), state, wait_event, 'since', backend_start,"
            " 'now', clock_timestamp(), left(query, 80)) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name <> 'torture' AND backend_type = 'client backend'",
            [database],
        )
        return [str(doing) for (doing,) in found]

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._stop(signal.SIGINT)
        if self._server is not None:
            self._server.wait()
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
