"""M20: every secret that an executable of ours can be given is given to a run that fails, and is never seen again.

What the runs print and leave is searched by `canaries.check`, which looks at every outcome of every test.
"""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import canaries
import pytest
from canaries import canary
from conformance.processes import Outcome, run
from conftest import _LOOK, Databases, run_sql
from faults.loads import RECORD, SCHEMA, lines
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving

from singerkit_shell.secrets import names_secret

BIN = Path(sys.executable).parent
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
NOWHERE = "127.0.0.1:9"
"""Nobody listens there."""


@dataclass(frozen=True)
class Place:
    """Where a run takes place: a folder, an API that answers with all it was asked, a database."""

    folder: Path
    api: Api
    database: str

    def tap(self, *arguments: str, environment: Mapping[str, str] | None = None, **config: Any) -> Outcome:
        given = {"base_url": self.api.url, "streams": [STREAM], "schema_cache": str(self.folder), **config}
        given |= {"retries": {"tries": 2, "first_wait": 0.01}}
        return self.run("tap-rest", given, *arguments, environment=environment)

    def target(self, *messages: Any, environment: Mapping[str, str] | None = None, **config: Any) -> Outcome:
        state_file = ["--state-file", str(self.folder / "state.json")]
        return self.run(
            "target-postgres", config, *state_file, stdin=lines(*messages), environment=environment
        )

    def run(self, name: str, config: Any, *arguments: str, stdin: bytes = b"", **options: Any) -> Outcome:
        path = self.folder / "config.json"
        path.write_text(json.dumps(config))
        words = [str(BIN / name), "--config", str(path), "--debug", *arguments]
        return run(words, stdin=stdin, cwd=self.folder, **options)


def echo(asked: Asked) -> Reply:
    """Refuse, and say what was sent, the secrets first: only the beginning of an answer is shown."""
    dull = {"host", "user-agent", "accept", "accept-encoding", "connection"}
    told = {"url": asked.raw_path} | {
        key: text for key, text in asked.headers.items() if key.lower() not in dull
    }
    return json_reply({"message": told}, 400)


ORDERS = SCHEMA("orders", {"id": {"type": "integer"}})
REFUSED = [ORDERS, RECORD("orders", {"id": "x"})]


def with_file(place: Place, secret: str) -> dict[str, str]:
    path = canaries.holds_secrets(place.folder / "token")
    path.write_text(secret + "\n")
    return {"file": str(path)}


def api_key(planted: str, **more: Any) -> Callable[[Place], Outcome]:
    return lambda place: place.tap(auth={"type": "api_key", "api_key": canary(planted), **more})


def oauth2(**more: Any) -> Callable[[Place], Outcome]:
    """The answer of `token_url` says what it was sent."""
    about = {"type": "oauth2", "client_id": "tap"}
    return lambda place: place.tap(auth=about | {"token_url": f"{place.api.url}/rows"} | more)


def aws(**more: Any) -> Callable[[Place], Outcome]:
    about = {
        "type": "aws_sigv4",
        "access_key_id": "AKIDEXAMPLE",
        "region": "eu-west-1",
        "service": "execute-api",
    }
    return lambda place: place.tap(auth=about | more)


def oauth1(**more: Any) -> Callable[[Place], Outcome]:
    about = {"type": "oauth1", "consumer_key": "k", "token": canary("oauth1 token")}
    return lambda place: place.tap(
        auth=about
        | {"consumer_secret": canary("oauth1 consumer"), "token_secret": canary("oauth1 secret")}
        | more
    )


Case = tuple[Callable[[Place], Outcome], tuple[int, ...]]
TAP: dict[str, Case] = {
    "auth.api_key": (api_key("auth.api_key"), (65,)),
    "auth.api_key in a query": (api_key("api_key in a query", **{"in": "query", "name": "key"}), (65,)),
    "auth.api_key in a cookie": (api_key("api_key in a cookie", **{"in": "cookie", "name": "sid"}), (65,)),
    "auth.api_key after a prefix": (api_key("api_key, prefix", name="Authorization", prefix="Token "), (65,)),
    "auth.token": (lambda place: place.tap(auth={"type": "bearer", "token": canary("auth.token")}), (65,)),
    "auth.password": (
        lambda place: place.tap(
            auth={"type": "basic", "username": "ann", "password": canary("auth.password", awkward=True)}
        ),
        (65,),
    ),
    "auth.token of another type": (
        lambda place: place.tap(auth={"type": "none", "token": canary("auth.token, unused")}),
        (78,),
    ),
    "auth.token that is no text": (
        lambda place: place.tap(auth={"type": "bearer", "token": [canary("auth.token, listed")]}),
        (78,),
    ),
    "auth.token from the environment": (
        lambda place: place.tap(
            auth={"type": "bearer", "token": {"env": "TOKEN"}}, environment={"TOKEN": canary("env TOKEN")}
        ),
        (65,),
    ),
    "auth.token from a file": (
        lambda place: place.tap(auth={"type": "bearer", "token": with_file(place, canary("file token"))}),
        (65,),
    ),
    "auth.client_secret": (oauth2(client_secret=canary("client_secret")), (77, 78)),
    "auth.client_secret in a body": (
        oauth2(client_secret=canary("client_secret, body", awkward=True), client_auth="body"),
        (77, 78),
    ),
    "auth.refresh_token": (
        oauth2(
            grant="refresh_token",
            client_secret=canary("secret beside"),
            refresh_token=canary("refresh_token"),
        ),
        (77, 78),
    ),
    "auth.private_key": (
        lambda place: place.tap(
            auth={
                "type": "jwt",
                "algorithm": "RS256",
                "private_key": canary("private_key"),
                "claims": {"iss": "a"},
            }
        ),
        (78,),
    ),
    "auth.secret": (
        lambda place: place.tap(
            auth={
                "type": "jwt",
                "algorithm": "HS256",
                "secret": canary("auth.secret"),
                "claims": {"iss": "a"},
            }
        ),
        (65,),
    ),
    "auth.secret of hmac": (
        lambda place: place.tap(
            auth={
                "type": "hmac",
                "secret": canary("auth.secret of hmac"),
                "message": "{url}",
                "sign_headers": {"X-Signature": "{signature}"},
            }
        ),
        (65,),
    ),
    "auth.account_key": (
        lambda place: place.tap(
            auth={
                "type": "service_account",
                "account_key": json.dumps({"client_email": "a@b", "private_key": canary("account_key")}),
                "scopes": ["a"],
                "token_url": f"{place.api.url}/rows",
            }
        ),
        (78,),
    ),
    "auth.password of a login": (
        lambda place: place.tap(
            auth={
                "type": "login",
                "token_url": f"{place.api.url}/rows",
                "body": {"user": "ann", "password": canary("login", awkward=True)},
                "token_path": "$.token",
            }
        ),
        (77, 78),
    ),
    "auth.password of digest": (
        lambda place: place.tap(auth={"type": "digest", "username": "ann", "password": canary("digest")}),
        (65,),
    ),
    "auth.secret_access_key": (aws(secret_access_key=canary("secret_access_key")), (65,)),
    "auth.session_token": (
        aws(secret_access_key=canary("key beside"), session_token=canary("session_token")),
        (65,),
    ),
    "auth.consumer_secret": (oauth1(consumer_secret=canary("consumer_secret")), (65,)),
    "auth.token_secret": (oauth1(token_secret=canary("token_secret")), (65,)),
    "client_key_password": (
        lambda place: place.tap(
            client_cert=str(place.folder / "none.pem"), client_key_password=canary("client_key_password")
        ),
        (78,),
    ),
    "headers": (lambda place: place.tap(headers={"X-Api-Key": canary("headers")}), (65,)),
    "headers of a stream": (
        lambda place: place.tap(
            streams=[STREAM | {"headers": {"Authorization": f"Bearer {canary('stream headers')}"}}]
        ),
        (65,),
    ),
    "params": (lambda place: place.tap(params={"access_token": canary("params", awkward=True)}), (65,)),
    "params of a stream": (
        lambda place: place.tap(streams=[STREAM | {"params": {"api_key": canary("stream params")}}]),
        (65,),
    ),
    "user and password in base_url": (
        lambda place: place.tap(base_url=f"https://ann:{canary('base_url')}@api.example.com"),
        (78,),
    ),
    "a password in the environment's proxy": (
        lambda place: place.tap(
            base_url="http://api.invalid",
            environment={"HTTP_PROXY": f"http://ann:{canary('HTTP_PROXY')}@{NOWHERE}", "NO_PROXY": ""},
        ),
        (69,),
    ),
    "the password of a proxy that refuses it": (
        lambda place: place.tap(
            base_url="http://api.invalid",
            environment={
                "HTTP_PROXY": place.api.url.replace("://", f"://ann:{canary('refused proxy')}@"),
                "NO_PROXY": "",
            },
        ),
        (65,),
    ),
    "the password of a state URL": (
        lambda place: place.tap(
            "--state",
            f"postgresql://ann:{quote(canary('state URL', awkward=True), safe='')}@{NOWHERE}/db?pipeline=p",
        ),
        (69,),
    ),
    "everything, to --about": (
        lambda place: place.tap(
            "--about", "--format=json", auth={"type": "bearer", "token": canary("token, --about")}
        ),
        (0,),
    ),
}
AWAY = {"host": "127.0.0.1", "port": 9}
TUNNEL = {"host": "127.0.0.1", "port": 9, "username": "us"}
TARGET: dict[str, Case] = {
    "dsn": (lambda place: place.target(*REFUSED, dsn=place.database, on_type_conflict="fail"), (65,)),
    "dsn of a server that is away": (
        lambda place: place.target(ORDERS, dsn=f"host=127.0.0.1 port=9 password={canary('dsn, away')}"),
        (69,),
    ),
    "dsn that is none": (
        lambda place: place.target(ORDERS, dsn=f"postgresql://ann:{canary('dsn, none')}@host:port/db"),
        (78,),
    ),
    "password": (
        lambda place: place.target(
            ORDERS, host="127.0.0.1", port=9, password=canary("password of target", awkward=True)
        ),
        (69,),
    ),
    "password that is no text": (
        lambda place: place.target(ORDERS, host="127.0.0.1", password=[canary("password, listed")]),
        (78,),
    ),
    "password from the environment": (
        lambda place: place.target(
            ORDERS, host="127.0.0.1", port=9, password={"env": "PW"}, environment={"PW": canary("env PW")}
        ),
        (69,),
    ),
    "password from a file": (
        lambda place: place.target(
            ORDERS, host="127.0.0.1", port=9, password=with_file(place, canary("file password"))
        ),
        (69,),
    ),
    "sslpassword": (
        lambda place: place.target(ORDERS, host="127.0.0.1", port=9, sslpassword=canary("password of a key")),
        (69, 78),
    ),
    "ssh_tunnel.password": (
        lambda place: place.target(
            ORDERS, host="db", ssh_tunnel=TUNNEL | {"password": canary("ssh password")}
        ),
        (69,),
    ),
    "ssh_tunnel.private_key": (
        lambda place: place.target(ORDERS, host="db", ssh_tunnel=TUNNEL | {"private_key": canary("ssh key")}),
        (78,),
    ),
    "ssh_tunnel.private_key_password": (
        lambda place: place.target(
            ORDERS,
            host="db",
            ssh_tunnel=TUNNEL | {"private_key": "no key", "private_key_password": canary("ssh key password")},
        ),
        (78,),
    ),
    "PGPASSWORD": (
        lambda place: place.target(
            ORDERS, host="127.0.0.1", port=9, environment={"PGPASSWORD": canary("PGPASSWORD of one")}
        ),
        (69,),
    ),
    "TARGET_POSTGRES_PASSWORD": (
        lambda place: run(
            [str(BIN / "target-postgres"), "--config", "ENV"],
            stdin=lines(ORDERS),
            environment={
                "TARGET_POSTGRES_HOST": "127.0.0.1",
                "TARGET_POSTGRES_PORT": "9",
                "TARGET_POSTGRES_PASSWORD": canary("TARGET_POSTGRES_PASSWORD"),
            },
        ),
        (69,),
    ),
    "dsn, to --about": (
        lambda place: place.run("target-postgres", {"dsn": place.database}, "--about", "--format=json"),
        (0,),
    ),
}
TABLES: dict[str, Case] = {
    "dsn": (lambda place: place.run("tap-postgres", {"dsn": place.database}), (78,)),
    "dsn, to --discover": (
        lambda place: place.run("tap-postgres", {"dsn": place.database}, "--discover"),
        (78,),
    ),
    "password": (
        lambda place: place.run("tap-postgres", AWAY | {"password": canary("password of tables")}),
        (69,),
    ),
    "sslpassword": (
        lambda place: place.run("tap-postgres", AWAY | {"sslpassword": canary("password of its key")}),
        (69, 78),
    ),
    "ssh_tunnel.password": (
        lambda place: place.run(
            "tap-postgres",
            {"host": "db", "ssh_tunnel": TUNNEL | {"password": canary("ssh password of tables")}},
        ),
        (69,),
    ),
    "ssh_tunnel.private_key": (
        lambda place: place.run(
            "tap-postgres",
            {"host": "db", "ssh_tunnel": TUNNEL | {"private_key": canary("ssh key of tables")}},
        ),
        (78,),
    ),
    "ssh_tunnel.private_key_password": (
        lambda place: place.run(
            "tap-postgres",
            {
                "host": "db",
                "ssh_tunnel": TUNNEL
                | {"private_key": "no key", "private_key_password": canary("password of that key")},
            },
        ),
        (78,),
    ),
}


def stored(path: str, kind: str, **said: Any) -> Case:
    """A run of tap-files that finds no file of ``path``, as the place does not know the secret or is not there."""
    storage = {kind: said, "retries": {"tries": 1, "total": 1}}
    stream = {"name": "rows", "path": path, "format": "csv"}
    return lambda place: place.run("tap-files", {"streams": [stream], "storage": storage}), (69, 77, 78)


_S3 = {"endpoint": f"http://{NOWHERE}", "region": "here"}
_GCS = {"endpoint": f"http://{NOWHERE}"}
_AZURE = {"endpoint": f"http://{NOWHERE}/one", "account": "one"}
_HTTP = {"base_url": f"http://{NOWHERE}"}
_OVER_SSH = f"sftp://ann@{NOWHERE}/in/*.csv"
_WEB = f"http://{NOWHERE}/rows.csv"
FILES: dict[str, Case] = {
    f"storage.{kind}.{key}": stored(path, kind, **{**more, key: canary(f"{kind} {key}")})
    for path, kind, key, more in (
        ("s3://shop/*.csv", "s3", "access_key_id", {**_S3, "secret_access_key": "no secret"}),
        ("s3://shop/*.csv", "s3", "secret_access_key", {**_S3, "access_key_id": "no key"}),
        (
            "s3://shop/*.csv",
            "s3",
            "session_token",
            {**_S3, "access_key_id": "no key", "secret_access_key": "no secret"},
        ),
        ("gs://shop/*.csv", "gcs", "service_account_key", _GCS),
        ("gs://shop/*.csv", "gcs", "access_token", _GCS),
        ("az://shop/*.csv", "azure", "account_key", _AZURE),
        ("az://shop/*.csv", "azure", "sas_token", _AZURE),
        ("az://shop/*.csv", "azure", "client_secret", {**_AZURE, "tenant_id": "t", "client_id": "c"}),
        (_OVER_SSH, "sftp", "password", {}),
        (_OVER_SSH, "sftp", "private_key", {}),
        (_OVER_SSH, "sftp", "private_key_password", {"private_key": "no key"}),
        (_WEB, "http", "password", {**_HTTP, "username": "ann"}),
        (_WEB, "http", "token", _HTTP),
    )
} | {"storage.http.headers": stored(_WEB, "http", **_HTTP, headers={"X-Key": canary("http headers")})}
STATE: dict[str, Case] = {
    "the password of a location": (
        lambda place: run(
            [
                str(BIN / "singerkit-state"),
                "show",
                f"postgresql://ann:{canary('location')}@{NOWHERE}/db?pipeline=p",
            ]
        ),
        (69,),
    ),
}


def mapped(
    given: Any, environment: Mapping[str, str] | None = None, **more: Any
) -> Callable[[Place], Outcome]:
    """A map with a key, and a record behind it that another operation refuses."""

    def start(place: Place) -> Outcome:
        key = given(place) if callable(given) else given
        operations = [
            {"op": "date", "field": "at", "formats": ["epoch"]},
            {"op": "hmac", "field": "id", "key": key, **more},
        ]
        messages = lines(SCHEMA("orders", {"id": {}, "at": {}}), RECORD("orders", {"id": "x", "at": "y"}))
        return place.run(
            "singerkit-map", {"streams": {"orders": operations}}, stdin=messages, environment=environment
        )

    return start


MAP: dict[str, Case] = {
    "a key": (mapped(canary("map key")), (65,)),
    "a key from a file": (mapped(lambda place: with_file(place, canary("map key, file"))), (65,)),
    "a key that is no text": (mapped([canary("map key, listed")]), (78,)),
}
CASES = {
    f"{name}: {case}": run_of
    for name, cases in {
        "tap-rest": TAP,
        "tap-files": FILES,
        "tap-postgres": TABLES,
        "target-postgres": TARGET,
        "singerkit-map": MAP,
        "singerkit-state": STATE,
    }.items()
    for case, run_of in cases.items()
}


@pytest.mark.fault("M20", exit=[0, 65, 69, 77, 78])
@pytest.mark.parametrize("name", CASES)
def test_m20_a_secret_given_to_a_run_is_seen_nowhere(
    name: str, database: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("secret", name)
    start, codes = CASES[name]
    with serving({"/rows": echo}) as api:
        api.routes = dict.fromkeys(["/rows", "http://api.invalid/rows"], echo)
        outcome = start(Place(tmp_path, api, database)).expect(*codes)
    if outcome.code == 65 and name.startswith("tap-rest"):
        assert "message" in outcome.last_words, "the server's words are shown, without the secret in them"
    assert api.asked or outcome.code != 65 or not name.startswith("tap-rest"), "the secret was not even sent"


# --- no secret is left out ------------------------------------------------------------------------------------


def secret_keys(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The keys of a config schema that hold a secret: marked so, or named so."""
    for key, below in schema.get("properties", {}).items():
        path = f"{above}{key}"
        if below.get("secret") or (names_secret(key) and "properties" not in below):
            yield path
        yield from secret_keys(below, f"{path}.")
        if isinstance(below.get("items"), Mapping):
            yield from secret_keys(below["items"], f"{path}[].")


def about(name: str) -> Any:
    """What an executable says of its config; nothing where it has none."""
    done = subprocess.run(
        [BIN / name, "--about", "--format=json"], capture_output=True, timeout=60, check=False
    )
    return json.loads(done.stdout)["settings"] if done.returncode == 0 else {}


SCRIPTS = [
    script.name
    for script in importlib.metadata.distribution("singerkit").entry_points
    if script.group == "console_scripts"
]


@pytest.mark.parametrize("name", SCRIPTS)
def test_m20_every_secret_of_a_config_is_planted(name: str) -> None:
    names = {
        f"tap-files: storage.{kind}.credentials" for kind in ("s3", "gcs", "azure")
    }  # words of which one is said
    places = {"tap-rest: streams[].incremental.token", *names}  # where an answer has one
    missing = {f"{name}: {key}" for key in secret_keys(about(name))} - set(CASES) - places
    assert not missing, "plant them in CASES"


def test_m20_every_kind_of_credentials_is_planted() -> None:
    kinds = set(about("tap-rest")["properties"]["auth"]["properties"]["type"]["enum"]) - {"none"}
    planted = {"api_key", "bearer", "basic", "oauth2", "jwt", "service_account", "login", "digest"}
    assert kinds == planted | {"aws_sigv4", "hmac", "oauth1"}, "plant the new kind in TAP"


# --- the search itself ------------------------------------------------------------------------------------------

BROKEN = """
import sys
from singerkit_shell.secrets import Redactor
Redactor.mask = Redactor.mask_foreign = lambda self, text: text
from tap_rest.tap import main
main()
"""


def test_m20_a_redactor_that_masks_nothing_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with serving({"/rows": echo}) as api:
        auth = {"type": "bearer", "token": canary("broken redactor")}
        path.write_text(json.dumps({"base_url": api.url, "streams": [STREAM], "auth": auth}))
        with pytest.raises(canaries.Leak, match="`broken redactor` stands in stderr"):
            run([sys.executable, "-c", BROKEN, "--config", str(path)])


FORMS: dict[str, Callable[[str], bytes]] = {
    "as it is": lambda secret: f"password {secret}!".encode(),
    "percent-encoded": lambda secret: quote(secret, safe="").encode(),
    "JSON": lambda secret: json.dumps({"a": secret}).encode(),
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "base64 after a user": lambda secret: base64.b64encode(f"ann:{secret}".encode()),
    "base64 after two letters": lambda secret: base64.urlsafe_b64encode(f"xy{secret}".encode()),
    "hex": lambda secret: secret.encode().hex().encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_m20_a_secret_is_found_in_any_form(form: str, tmp_path: Path) -> None:
    text = FORMS[form](canary("forms", awkward=True))
    assert canaries.found_in(b"before " + text + b" after") == "forms"
    assert canaries.found_in(b"a canary in a mine") is None
    (tmp_path / "left").write_bytes(text)
    with pytest.raises(canaries.Leak, match=r"`forms` stands in .*left"):
        canaries.check(Outcome(("program", str(tmp_path / "other")), 0, b"", ""))
    canaries.holds_secrets(tmp_path / "left")


def test_a_secret_in_a_table_of_ours_is_found(databases: Databases) -> None:
    """The search that every test of a database ends with; it once asked with options that no server takes."""
    holding = contextlib.ExitStack()
    uri = holding.enter_context(databases.one())
    run_sql(uri, "CREATE TABLE _singerkit_rejects (line text)")
    run_sql(uri, "INSERT INTO _singerkit_rejects VALUES (%s)", [canaries.canary("dsn password")])
    with pytest.raises(canaries.Leak, match="_singerkit_rejects"):
        holding.close()


LEFT = {
    "another schema": ("CREATE SCHEMA more; CREATE TABLE more.t (id integer)", True),
    "an extension and a publication": (
        "CREATE EXTENSION btree_gist; CREATE PUBLICATION all_of_it FOR ALL TABLES",
        False,
    ),
    "a setting": (
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$",
        False,
    ),
    "a right that is gone": ("REVOKE EXECUTE ON FUNCTION pg_sleep(float8) FROM PUBLIC", False),
    "a cast": ("CREATE CAST (text AS date) WITH INOUT", False),
}


@pytest.mark.parametrize(("statement", "is_taken_again"), LEFT.values(), ids=LEFT)
def test_a_database_that_another_test_had_is_as_new(
    databases: Databases, statement: str, is_taken_again: bool
) -> None:
    """What cannot be dropped with its schemas is dropped with the database."""
    with databases.one() as had:
        look = run_sql(had, _LOOK)
        run_sql(had, statement)
    with databases.one() as uri:
        assert run_sql(uri, _LOOK) == look
        assert (uri == had) is is_taken_again or not databases.empties
