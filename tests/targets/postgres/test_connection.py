"""How target-postgres comes to its server: libpq's environment and files, TLS, a role, an SSH tunnel."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from conformance.processes import Outcome, run
from conformance.singer import RECORD, SCHEMA, STATE, lines
from faults.loads import command, load, query
from faults.proxy import proxied
from faults.servers import Account, pooled
from psycopg2.extensions import parse_dsn

from singerkit_postgres.address import dsn_of
from singerkit_postgres.connect import connect

ROWS = [SCHEMA("s", {"id": {"type": "integer"}}, ["id"]), RECORD("s", {"id": 1}), STATE({"a": 1})]


def loaded(folder: Path, config: dict[str, Any], environment: dict[str, str | None] | None = None) -> Outcome:
    return run(command(folder, None, config), stdin=lines(*ROWS), environment=environment or {})


def test_the_environment_of_libpq_names_the_server(database: str, tmp_path: Path) -> None:
    parts = parse_dsn(database)
    named = {"PGHOST": parts["host"], "PGUSER": parts["user"], "PGDATABASE": parts["dbname"]}
    named |= {"PGPORT": parts["port"]} if "port" in parts else {}
    done = loaded(tmp_path, {}, named | {"PGPASSWORD": "none"}).expect(0)
    assert f"Loading into PostgreSQL at {parts['host']}:" in done.stderr
    loaded(tmp_path, {"default_target_schema": "other"}, named).expect(0)
    assert query(database, "SELECT count(*) FROM s, other.s") == [(1,)]


def test_a_service_file_and_a_file_of_passwords(
    password_role: tuple[str, str], database: str, tmp_path: Path
) -> None:
    role, password = password_role
    parts = parse_dsn(database)
    query(database, f'GRANT CREATE ON SCHEMA public TO "{role}"')
    query(database, f'GRANT CREATE ON DATABASE "{parts["dbname"]}" TO "{role}"')
    service, passwords = tmp_path / "services", tmp_path / "passwords"
    where = "".join(f"{key}={parts[key]}\n" for key in ("host", "port", "dbname") if key in parts)
    service.write_text(f"[warehouse]\n{where}user={role}\n")
    passwords.write_text(f"*:*:*:{role}:" + password.replace("\\", "\\\\").replace(":", "\\:") + "\n")
    passwords.chmod(0o600)
    config = {"service": "warehouse", "passfile": str(passwords)}
    loaded(tmp_path, config, {"PGSERVICEFILE": str(service), "PGPASSWORD": None}).expect(0)
    assert query(database, "SELECT id FROM s") == [(1,)]
    unknown = loaded(tmp_path, {"service": "nope"}, {"PGSERVICEFILE": str(service)}).expect(78)
    assert "PostgreSQL at the service `nope`" in unknown.last_words


@pytest.mark.parametrize("variable", ["PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGPASSFILE"])
def test_a_file_that_the_environment_names_has_to_be_there(
    database: str, tmp_path: Path, variable: str
) -> None:
    """libpq goes on without it, and without the check that it was for."""
    refused = loaded(tmp_path, {"dsn": database}, {variable: str(tmp_path / "none")}).expect(78)
    assert f"a file that can be used at `{variable}`" in refused.last_words


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, and of the first a certificate of the server and one of a client called `postgres`."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder, timeout=60)

    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("authority", "stranger"):
        openssl(
            "req", "-x509", *made, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"
        )
    for name, subject, extension in (
        ("server", "127.0.0.1", "subjectAltName=IP:127.0.0.1"),
        ("client", "postgres", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(extension)
        openssl("req", *made, "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = (
            "-CA",
            "authority.crt",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
            "-extfile",
            f"{name}.ext",
        )
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    openssl("ec", "-in", "client.key", "-aes256", "-passout", "pass:opens it", "-out", "locked.key")
    (folder / "locked.key").chmod(0o600)
    return folder


@contextlib.contextmanager
def over_tls(database: str, certificates: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """A server that takes TLS alone, and a client with a certificate alone: pgbouncer, since the one of the tests has no TLS."""
    ((data,),) = query(database, "SELECT current_setting('data_directory')")
    account = Account.of(Path(data) if Path(data).exists() else Path("/tmp"))
    own = folder / "of the server"
    own.mkdir()
    for name in ("authority.crt", "server.crt", "server.key"):
        shutil.copy(certificates / name, own / name)
    for path in (own, *own.iterdir()):
        shutil.chown(path, account.uid, account.gid)
    for path in (folder, *folder.parents):
        if path.owner() == own.parent.owner() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o011)
    tls = {
        "client_tls_sslmode": "verify-full",
        "client_tls_key_file": own / "server.key",
        "client_tls_cert_file": own / "server.crt",
        "client_tls_ca_file": own / "authority.crt",
        "auth_type": "cert",
    }
    with pooled(database, "session", **tls) as uri:
        yield {"dsn": uri, "sslmode": "verify-full"}


def test_tls_with_an_authority_and_a_certificate_of_the_client(
    database: str, certificates: Path, tmp_path: Path
) -> None:
    def file(name: str) -> str:
        return str(certificates / name)

    mine = {"sslcert": file("client.crt"), "sslkey": file("client.key")}
    texts = {name: Path(path).read_text() for name, path in mine.items()}
    with over_tls(database, certificates, tmp_path) as config:
        loaded(tmp_path, config | mine | {"sslrootcert": file("authority.crt")}).expect(0)
        done = loaded(
            tmp_path, config | texts | {"sslrootcert": Path(file("authority.crt")).read_text()}
        ).expect(0)
        assert "PRIVATE KEY" not in done.stderr
        stranger = loaded(tmp_path, config | mine | {"sslrootcert": file("stranger.crt")}).expect(78)
        assert "certificate verify failed" in stranger.last_words
        loaded(tmp_path, config | {"sslrootcert": file("authority.crt")}).expect(78)
        locked = config | mine | {"sslrootcert": file("authority.crt"), "sslkey": file("locked.key")}
        loaded(tmp_path, locked | {"sslpassword": "opens it"}).expect(0)
        assert "private key" in loaded(tmp_path, locked | {"sslpassword": "no"}).expect(78).last_words
        other = config | mine | {"sslrootcert": file("authority.crt")}
        other["dsn"] = other["dsn"].replace("127.0.0.1", "localhost")
        assert "localhost" in loaded(tmp_path, other).expect(78).last_words
    assert query(database, "SELECT id FROM s") == [(1,)]


# --- the session --------------------------------------------------------------------------------------------


def test_a_connection_finds_out_that_the_other_end_is_gone(database: str) -> None:
    options = {
        "SO_KEEPALIVE": 1,
        "TCP_KEEPIDLE": 30,
        "TCP_KEEPINTVL": 10,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 60_000,
    }

    def found(dsn: str) -> dict[str, int]:
        connection = connect(dsn_of({"dsn": dsn}), lock_timeout_seconds=1)
        levels = {"SO_": socket.SOL_SOCKET, "TCP": socket.IPPROTO_TCP}
        with contextlib.closing(connection), socket.socket(fileno=os.dup(connection.fileno())) as line:
            return {name: line.getsockopt(levels[name[:3]], getattr(socket, name)) for name in options}

    with proxied(database, "after") as proxy:
        assert found(proxy.uri) == options
        assert found(f"{proxy.uri}&keepalives_idle=7")["TCP_KEEPIDLE"] == 7


def test_a_role_owns_what_is_made(password_role: tuple[str, str], database: str) -> None:
    role = password_role[0]
    query(database, f'CREATE SCHEMA mine AUTHORIZATION "{role}"')
    load(database, *ROWS, role=role, default_target_schema="mine").expect(0)
    assert query(database, "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'mine'") == [(role,)]
    assert "the role `nobody`" in load(database, *ROWS, role="nobody").expect(78).last_words
    with pooled(database, "session") as uri:
        assert "a connection pooler may give" in load(uri, *ROWS, role=role).expect(78).last_words
        limited = load(uri, *ROWS, statement_timeout_seconds=1.5).expect(78).last_words
        assert "SET statement_timeout TO '1500ms'" in limited
    query(database, "DROP SCHEMA mine CASCADE")


def test_a_statement_that_takes_longer_than_it_may_is_cancelled(database: str) -> None:
    load(database, *ROWS).expect(0)
    query(
        database,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END';"
        "CREATE TRIGGER slow BEFORE INSERT ON s FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    more = [ROWS[0], RECORD("s", {"id": 2}), STATE({"a": 2})]
    assert "statement timeout" in load(database, *more, statement_timeout_seconds=0.2).expect(69).last_words


# --- SSH ----------------------------------------------------------------------------------------------------


class Bastion(paramiko.ServerInterface):
    """An SSH server that knows one user, and forwards what is for `db.internal` to a socket of PostgreSQL."""

    def __init__(self, user_key: paramiko.PKey, place: str) -> None:
        self.user_key, self.place = user_key, place

    def check_auth_publickey(self, username: str, key: Any) -> int:
        knows = (username, key) == ("jump", self.user_key)
        return paramiko.AUTH_SUCCESSFUL if knows else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_direct_tcpip_request(self, chanid: int, origin: Any, destination: Any) -> int:
        if destination != ("db.internal", 6543):
            return paramiko.OPEN_FAILED_CONNECT_FAILED
        return paramiko.OPEN_SUCCEEDED


def serve(transport: Any, place: str) -> None:
    with contextlib.suppress(Exception):
        while transport.is_active():
            channel = transport.accept(1)
            if channel is None:
                continue
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(place)
            for source, sink in ((channel, upstream), (upstream, channel)):
                threading.Thread(target=copy, args=(source, sink), daemon=True).start()


def copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while piece := source.recv(65536):
            sink.sendall(piece)
    for end in (source, sink):
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            end.shutdown(2)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            end.close()


@contextlib.contextmanager
def bastion(database: str, host_key: Any, user_key: Any) -> Iterator[tuple[int, list[Any]]]:
    """Gives its port, and the connections that it has taken."""
    parts = parse_dsn(database)
    if not parts["host"].startswith("/"):
        pytest.skip("this test forwards to a unix socket")
    place = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
    transports: list[Any] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return  # it is closed
            with contextlib.suppress(
                OSError, EOFError, paramiko.SSHException
            ):  # who dislikes our key hangs up
                transport = paramiko.Transport(connection)
                transport.add_server_key(host_key)
                transport.start_server(server=Bastion(user_key, place))
                transports.append(transport)
                threading.Thread(target=serve, args=(transport, place), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], transports
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()


def test_a_tunnel_through_a_server_whose_key_is_known(database: str, tmp_path: Path) -> None:
    host_key, user_key = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    key = tmp_path / "key"
    user_key.write_private_key_file(str(key))
    public = f"{host_key.get_name()} {host_key.get_base64()}"
    parts = parse_dsn(database)
    aim = {"host": "db.internal", "port": 6543, "user": parts["user"], "database": parts["dbname"]}
    with bastion(database, host_key, user_key) as (port, transports):
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {public}\n")
        tunnel = {"host": "127.0.0.1", "port": port, "username": "jump", "private_key": str(key)}

        def through(**changes: Any) -> Outcome:
            server = {name: changes.pop(name) for name in ("host", "port") if name in changes}
            return loaded(tmp_path, aim | server | {"ssh_tunnel": tunnel | changes})

        through(known_hosts=str(known)).expect(0)
        through(host_key=public, private_key=key.read_text()).expect(0)
        assert query(database, "SELECT count(*) FROM s") == [(1,)]
        unknown = through(known_hosts=str(tmp_path / "none")).expect(78).last_words
        assert f"`{public}` at `ssh_tunnel.host_key`" in unknown
        other = paramiko.ECDSAKey.generate()
        wrong = through(host_key=f"{other.get_name()} {other.get_base64()}").expect(78).last_words
        assert "is another one than is known for it" in wrong
        assert "as `nobody` was refused" in through(host_key=public, username="nobody").expect(77).last_words
        assert (
            "does not reach PostgreSQL at db.internal:1"
            in through(host_key=public, port=1).expect(69).last_words
        )
        assert "Expected one host name" in through(host_key=public, host="/tmp").expect(78).last_words
        assert transports
