"""``--state`` names a file or a row; whatever is wrong with it is one sentence without a secret."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest
from conftest import PASSWORD_GROUP, run_sql, uri_of
from psycopg2 import sql
from state.state_tool import refusal

from singerkit_postgres.connect import connect
from singerkit_shell.errors import ConfigurationError, NotAuthorisedError, RetryableError, SingerkitError
from singerkit_shell.secrets import redactor
from singerkit_state import statefile
from singerkit_state.location import is_state_url, read_start_state
from singerkit_state.postgres import fencing
from singerkit_state.postgres import table as state_table
from singerkit_state.postgres import url as url_module
from singerkit_state.postgres.url import parse_state_url
from singerkit_state.value import Mark, encode, with_mark
from target_postgres.target import TargetPostgres

PIPELINE, SCHEMA = "orders & co/ü+1", 'my "schema"'
STATE = {"bookmarks": {"orders": {"at": Decimal("1.10"), "big": 10**30}}}


def with_query(uri: str, **parameters: str) -> str:
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in parameters.items())
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def store(database: str, text: str | None, schema: str = SCHEMA, table: str = "_singerkit_state") -> None:
    with contextlib.closing(psycopg2.connect(database)) as connection:
        state_table.ensure_table(connection, schema, table)
        row = fencing.acquire(connection, schema, table, PIPELINE, "run-1")
        with connection, connection.cursor() as cursor:
            fencing.advance(cursor, row, text)


# files


def test_a_path_is_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "state.json")
    assert read_start_state(path) is None
    statefile.write(path, encode(with_mark(STATE, Mark("r", "orders", True))))
    assert read_start_state(path, "orders") == statefile.read(path)
    with pytest.raises(ConfigurationError, match="`customers`"):
        read_start_state(path, "customers")


def test_a_file_needs_no_database_driver(tmp_path: Path) -> None:
    code = """
import sys
import threading
from singerkit_state.location import read_start_state
from singerkit_state.postgres.url import parse_state_url
read_start_state(sys.argv[1])
parse_state_url("postgresql://h/d?pipeline=p")
print([name for name in sys.modules if "psycopg" in name])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "state.json")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


# rows


def test_the_row_of_a_url(database: str) -> None:
    store(database, encode(STATE))
    found = read_start_state(with_query(database, pipeline=PIPELINE, schema=SCHEMA))
    assert found == STATE
    assert type(found["bookmarks"]["orders"]["at"]) is Decimal


def test_schema_and_table_have_defaults(database: str) -> None:
    store(database, encode(STATE), schema="public")
    store(database, encode({"a": 1}), table="other")
    assert read_start_state(with_query(database, pipeline=PIPELINE), PIPELINE) == STATE
    assert read_start_state(with_query(database, pipeline=PIPELINE, schema=SCHEMA, table="other")) == {"a": 1}
    short = with_query(database, pipeline=PIPELINE).replace("postgresql://", "postgres://", 1)
    assert read_start_state(short) == STATE


def test_no_table_no_row_and_no_commit_are_a_first_run(database: str) -> None:
    url = with_query(database, pipeline=PIPELINE, schema=SCHEMA)
    assert read_start_state(url) is None
    store(database, None)
    assert read_start_state(url) is None
    assert read_start_state(with_query(database, pipeline="another", schema=SCHEMA)) is None


@pytest.mark.parametrize(("given", "is_told"), [({}, True), ({"schema": "public"}, False)])
def test_where_no_state_was_found_is_told(
    database: str, given: dict[str, str], is_told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert read_start_state(with_query(database, pipeline="p", **given)) is None
    assert "table public._singerkit_state" in caplog.text
    assert ("names no schema, `&schema=`" in caplog.text) is is_told


def test_reading_changes_nothing(database: str) -> None:
    read_start_state(with_query(database, pipeline=PIPELINE, schema=SCHEMA))
    query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    assert run_sql(database, query) == [(0,)]


def test_a_row_is_read_while_a_run_holds_the_lock(database: str) -> None:
    store(database, encode(STATE))
    with contextlib.closing(psycopg2.connect(database)) as connection:
        fencing.acquire(connection, SCHEMA, "_singerkit_state", PIPELINE, "run-2")
        assert read_start_state(with_query(database, pipeline=PIPELINE, schema=SCHEMA)) == STATE


def test_the_row_of_another_pipeline_is_refused_showing_both(database: str) -> None:
    store(database, encode(with_mark(STATE, Mark("r", "customers", True))))
    url = with_query(database, pipeline=PIPELINE, schema=SCHEMA)
    with pytest.raises(ConfigurationError, match=r"names the pipeline `orders & co/ü\+1`.*`customers`"):
        read_start_state(url, "customers")
    with pytest.raises(ConfigurationError, match=r"belongs to the pipeline `customers`.*`orders & co/ü\+1`"):
        read_start_state(url, PIPELINE)


def test_a_row_that_holds_no_object_is_refused(database: str) -> None:
    store(database, "[1]")
    with pytest.raises(ConfigurationError, match="not an object; restore the row from a copy, or delete it"):
        read_start_state(with_query(database, pipeline=PIPELINE, schema=SCHEMA))


def test_a_session_with_odd_settings_reads_the_same(database: str) -> None:
    text = encode({"é": "日本"})
    store(database, text)
    options = "-c timezone=Asia/Kathmandu -c datestyle=SQL,DMY -c search_path= -c client_encoding=LATIN1"
    url = with_query(database, pipeline=PIPELINE, schema=SCHEMA, options=options, client_encoding="LATIN1")
    assert read_start_state(url) == {"é": "日本"}


# what goes wrong


def no_secret_in(error: SingerkitError, *secrets: str) -> None:
    for secret in secrets:
        assert secret not in str(error)
    assert len(str(error).splitlines()) == 1


def test_a_database_that_is_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql://me:hunter2hunter2@127.0.0.1:{port}/orders?pipeline=p"
    with pytest.raises(RetryableError, match=f"the database orders at 127.0.0.1:{port} .*refused") as caught:
        read_start_state(url)
    assert caught.value.exit_code == 69
    no_secret_in(caught.value, "hunter2")
    assert redactor.mask("it was hunter2hunter2!") == "it was ***!"


def test_a_server_that_never_answers_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    monkeypatch.setattr(url_module, "CONNECT_TIMEOUT", 2)  # libpq's shortest
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/orders?pipeline=p"
        with pytest.raises(RetryableError, match="timeout expired"):
            read_start_state(url)


def test_tls_that_the_server_cannot_speak_is_not_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse_tls() -> None:
            client, _ = server.accept()
            with client:
                client.recv(8)
                client.sendall(b"N")
                client.recv(1)

        answering = threading.Thread(target=refuse_tls)
        answering.start()
        url = f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/orders?pipeline=p&sslmode=require"
        with pytest.raises(ConfigurationError, match="does not support SSL"):
            read_start_state(with_query(url, gssencmode="disable"))
        answering.join(timeout=10)


def test_a_socket_folder_without_a_server(tmp_path: Path) -> None:
    url = f"postgresql:///orders?host={tmp_path}&pipeline=p"
    with pytest.raises(RetryableError, match=f"the database orders at {tmp_path} ") as caught:
        read_start_state(url)
    assert "embedded" not in str(caught.value)


@pytest.mark.parametrize("below", ["", "data"])
def test_the_folder_of_an_embedded_server_that_does_not_run_is_named(tmp_path: Path, below: str) -> None:
    folder = tmp_path / "a folder"
    (folder / "data").mkdir(parents=True)
    for part in ("data/PG_VERSION", "starting", "users"):
        (folder / part).touch()
    with pytest.raises(RetryableError) as caught:
        read_start_state(f"postgresql:///orders?host={quote(str(folder / below))}&pipeline=p")
    assert f"`python -m singerkit_embedded --folder '{folder}' start` starts it" in str(caught.value)


def test_the_socket_of_an_embedded_server_with_a_long_path(tmp_path: Path) -> None:
    with pytest.raises(RetryableError, match="If it is an embedded server of target-postgres"):
        read_start_state(f"postgresql:///orders?host={tmp_path}/singerkit-abc&pipeline=p")


def test_a_wrong_password(password_role: tuple[str, str], database: str) -> None:
    if not run_sql(database, "SELECT 1 FROM pg_roles WHERE rolname = %s", (PASSWORD_GROUP,)):
        pytest.skip("whether the server of SINGERKIT_TEST_DSN asks for passwords is not known")
    name, password = password_role
    right = with_query(uri_of(database, user=name, password=password), pipeline=PIPELINE, schema=SCHEMA)
    assert read_start_state(right) is None
    wrong = uri_of(database, user=name, password="wr@ng/secret")
    with pytest.raises(NotAuthorisedError, match="password authentication failed") as caught:
        read_start_state(with_query(wrong, pipeline=PIPELINE))
    assert caught.value.exit_code == 77
    no_secret_in(caught.value, "wr@ng/secret", quote("wr@ng/secret", safe=""))
    assert redactor.mask(f"{wrong} wr@ng/secret").count("secret") == 0


def test_a_role_that_may_not_read(password_role: tuple[str, str], database: str) -> None:
    store(database, encode(STATE), schema="public")
    name, password = password_role
    url = with_query(uri_of(database, user=name, password=password), pipeline=PIPELINE)
    with pytest.raises(NotAuthorisedError, match="permission denied"):
        read_start_state(url)
    grant = sql.SQL("GRANT SELECT ON public._singerkit_state TO {}").format(sql.Identifier(name))
    run_sql(database, grant)
    assert read_start_state(url) == STATE
    run_sql(database, sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))


@pytest.mark.parametrize("wrong", [{"user": "no body", "password": "xyzxyz"}, {"dbname": "no such one"}])
def test_target_and_state_url_say_the_same_of_a_connection(database: str, wrong: dict[str, str]) -> None:
    uri = uri_of(database, **wrong)
    said = []
    for connecting in (
        lambda: read_start_state(with_query(uri, pipeline="p")),
        lambda: connect(uri, lock_timeout_seconds=5),
    ):
        with pytest.raises(ConfigurationError) as caught:
            connecting()
        said.append((caught.value.exit_code, str(caught.value).partition("PostgreSQL")[0]))
        assert "nothing is lost: check" in str(caught.value)
    assert said[0] == said[1]
    assert said[0][0] == (77 if "user" in wrong else 78)


def test_a_role_or_a_database_that_is_not_there(database: str) -> None:
    with pytest.raises(NotAuthorisedError, match="no body"):
        read_start_state(with_query(uri_of(database, user="no body", password="xyzxyz"), pipeline="p"))
    with pytest.raises(ConfigurationError, match="does not exist") as caught:
        read_start_state(with_query(uri_of(database, dbname="no such database"), pipeline="p"))
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("url", "finding"),
    [
        ("postgresql://u:hunter2@h/d", "it names no pipeline"),
        ("postgresql://u:hunter2@h/d?pipeline=", "it names no pipeline"),
        ("postgresql://u:hun@ter2@h/d?pipeline=p", "percent-encode"),
        ("postgresql://u:hun/ter2@h/d?pipeline=p", "percent-encode"),
        ("postgresql://u:hun?ter2@h/d?pipeline=p", "percent-encode"),
        ("postgresql://u:hun#ter2@h/d?pipeline=p", "percent-encode"),
        ("postgresql://u:[hunter2@h/d?pipeline=p", "cannot be taken apart"),
        ("postgresql://u:hunter2%zz@h/d?pipeline=p", "libpq does not understand it"),
        ("postgresql://u:hunter2@h/d?pipeline=p&hunter2=1", "libpq does not understand it"),
        (f"postgresql://u:hunter2@h/d?pipeline=p&schema={'s' * 64}", "its `schema` has 64 bytes"),
        (f"postgresql://u:hunter2@h/d?pipeline=p&table={'%C3%BC' * 32}", "its `table` has 64 bytes"),
        ("postgresql://u:hunter2@h/d?pipeline=p&schema=%00", "its `schema` holds a character that"),
        (f"postgresql://u:hunter2@h/{'d' * 64}?pipeline=p", "the name of its database has 64 bytes"),
        (f"postgresql://u:hunter2@h/?dbname={'d' * 64}&pipeline=p", "the name of its database has 64 bytes"),
        ("postgresql://u:hunter2@h/d?pipline=p", "names no pipeline .`pipline`: did you mean `pipeline`"),
        ("postgresql://u:hunter2@h/d?pipeline=p&shema=s", "understand it .`shema`: did you mean `schema`"),
        ("postgresql://u:hunter2@h/d?pipeline=p&sslmode=odd", 'invalid sslmode value: "odd"'),
    ],
)
def test_a_url_that_is_not_one_is_refused_without_quoting_it(url: str, finding: str) -> None:
    with pytest.raises(ConfigurationError, match=finding) as caught:
        read_start_state(url)
    assert caught.value.exit_code == 78
    assert "ter2" not in str(caught.value), "not even without the redactor"
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("postgresql://h/d", True),
        ("postgres://h/d", True),
        ("postgresql.json", False),
        ("./postgres:/x", False),
    ],
)
def test_what_is_a_url(text: str, answer: bool) -> None:
    assert is_state_url(text) is answer


def test_our_parameters_never_reach_libpq() -> None:
    url = parse_state_url(
        "postgres://u:p%40ss@h:5/d?sslmode=require&pipeline=a+b%20c&schema=s&table=t&port=6"
    )
    assert url.dsn == "postgres://u:p%40ss@h:5/d?sslmode=require&port=6"
    assert (url.pipeline, url.schema, url.table) == ("a+b c", "s", "t")
    assert url.server == "the database d at h:5"


def test_passwords_in_any_place_are_masked() -> None:
    parse_state_url("postgresql://u:first%2Fone@h/d?pipeline=p&password=second%2Fone&sslpassword=third-one")
    assert redactor.mask("first/one first%2Fone second/one second%2Fone third-one") == "*** *** *** *** ***"


MISTYPED = [
    "postgresql//ada:se%40cret-word@db/warehouse?pipeline=orders",
    "postgres:/ada:se%40cret-word@db/warehouse?pipeline=orders",
    "postgresql:ada:se%40cret-word@db/warehouse",
    "PostgreSQL://ada:se%40cret-word@db/warehouse?pipeline=orders",
    " postgresql://ada:se%40cret-word@db/warehouse?pipeline=orders",
    "postgress://ada:se%40cret-word@db/warehouse?pipeline=orders",
    "mysql://ada:se%40cret-word@db/warehouse",
    "ada:se%40cret-word@db/warehouse",
    "db/warehouse?password=se%40cret-word&pipeline=orders",
    "host=db dbname=warehouse password=se%40cret-word",
    "//ada:se%40cret-word@db/warehouse",
]


@pytest.mark.parametrize("location_", MISTYPED)
@pytest.mark.parametrize("kind", ["start", "tool", "target"])
def test_a_mistyped_url_is_no_first_run_and_its_password_is_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location_: str, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "start":
        with pytest.raises(ConfigurationError, match="looks like a URL and is none") as caught:
            read_start_state(location_, "orders")
        said = str(caught.value)
    elif kind == "tool":
        said = refusal(78, "show", location_) + refusal(64, "get", location_, "stream", location_)
    else:
        with pytest.raises(ConfigurationError, match="looks like a URL and is none") as caught:
            TargetPostgres.invoke(state_file=location_)
        said = str(caught.value)
    assert "cret-word" not in redactor.mask(said)
    assert os.listdir(tmp_path) == []


def test_a_command_that_is_a_url_is_not_printed_with_its_password() -> None:
    for mistyped in (MISTYPED[0], "postgresql://ada:se%40cret-word@db/warehouse?pipeline=orders"):
        assert "cret-word" not in refusal(64, mistyped, "show")


@pytest.mark.parametrize(
    "name", ["a.json", "./a@b.json", "state//a.json", "postgres/a.json", "C:/a.json", "a:b"]
)
def test_what_may_be_a_path_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert read_start_state(name) is None


def test_a_file_whose_name_looks_like_a_url_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("host=db").write_text('{"bookmarks":{"a":1}}')
    assert read_start_state("host=db") == {"bookmarks": {"a": 1}}


def test_a_target_writes_its_state_to_no_url() -> None:
    with pytest.raises(ConfigurationError, match="`--state-file` takes the path of a file"):
        TargetPostgres.invoke(state_file="postgresql://db/warehouse?pipeline=orders")
