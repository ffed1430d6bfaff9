"""A state URL in process: what the connection is opened with, what is left of it, what is said about the row."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from conftest import run_sql

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import MASK, redactor
from singerkit_state.location import read_start_state
from singerkit_state.postgres import store
from singerkit_state.postgres import table as state_table
from singerkit_state.postgres.url import StateUrl, connect, parse_state_url


@pytest.fixture
def schema(postgres_dsn: str) -> Iterator[str]:
    name = f"s{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(postgres_dsn)
    state_table.ensure_table(connection, name)
    yield name
    connection.close()


def url_of(dsn: str, schema: str, **more: str) -> str:
    ours = "&".join(
        f"{key}={value}" for key, value in {"pipeline": "orders", "schema": schema, **more}.items()
    )
    return f"{dsn}{'&' if '?' in dsn else '?'}{ours}"


def settings_of(url: str, **more: Any) -> dict[str, str]:
    connection = connect(parse_state_url(url), **more)
    try:
        return dict(connection.info.dsn_parameters)
    finally:
        connection.close()


def test_a_state_url_without_schema_and_table_names_the_usual_ones() -> None:
    assert StateUrl("dsn", "server", "orders") == StateUrl(
        "dsn", "server", "orders", "public", "_singerkit_state"
    )
    parsed = parse_state_url("postgresql://h/d?pipeline=orders")
    assert (parsed.schema, parsed.table) == ("public", "_singerkit_state")


@pytest.mark.parametrize(
    ("in_url", "in_environment", "seconds"),
    [(None, None, "10"), (None, "7", "7"), ("5", None, "5"), ("5", "7", "5")],
)
def test_the_time_to_connect_is_limited_and_anybody_may_say_otherwise(
    postgres_dsn: str,
    schema: str,
    monkeypatch: pytest.MonkeyPatch,
    in_url: str | None,
    in_environment: str | None,
    seconds: str,
) -> None:
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    if in_environment:
        monkeypatch.setenv("PGCONNECT_TIMEOUT", in_environment)
    url = url_of(postgres_dsn, schema, **({"connect_timeout": in_url} if in_url else {}))
    assert settings_of(url)["connect_timeout"] == seconds


def test_the_connection_says_what_it_is_and_speaks_utf_8(postgres_dsn: str, schema: str) -> None:
    found = settings_of(url_of(postgres_dsn, schema))
    assert (found["fallback_application_name"], found["client_encoding"]) == ("singerkit", "UTF8")
    assert settings_of(url_of(postgres_dsn, schema), application_name="mine")["application_name"] == "mine"


def test_reading_leaves_no_connection(
    postgres_dsn: str, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    real = store.connect
    monkeypatch.setattr(store, "connect", lambda *a, **o: opened.append(real(*a, **o)) or opened[-1])
    read_start_state(url_of(postgres_dsn, schema))
    assert [connection.closed for connection in opened] == [1]


def test_a_first_run_is_told_of(postgres_dsn: str, schema: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert read_start_state(url_of(postgres_dsn, schema)) is None
    assert "No state of the pipeline `orders` yet in the database" in caplog.text


def test_a_row_that_holds_no_state_is_named_with_the_way_out(postgres_dsn: str, schema: str) -> None:
    run_sql(postgres_dsn, f"INSERT INTO {schema}._singerkit_state (pipeline, state) VALUES ('orders', '[1]')")
    with pytest.raises(ConfigurationError) as caught:
        read_start_state(url_of(postgres_dsn, schema))
    assert f"The state of the pipeline `orders` in {schema}._singerkit_state holds JSON" in str(caught.value)
    assert "restore the row from a copy, or delete it to start over" in str(caught.value)


def test_a_password_is_masked_as_it_stands_and_as_it_is_meant() -> None:
    parse_state_url("postgresql://u:firsthalf:secondhalf%40x@h/d?pipeline=p")
    assert redactor.mask("is firsthalf:secondhalf%40x here") == f"is {MASK} here"
    assert redactor.mask("is firsthalf:secondhalf@x here") == f"is {MASK} here"
    parse_state_url(
        "postgresql://h/d?pipeline=p&password=in%25parameters&sslpassword=ofthekey%21&dbname=visible%21"
    )
    for text in ("in%25parameters", "in%parameters", "ofthekey%21", "ofthekey!"):
        assert redactor.mask(f"is {text} here") == f"is {MASK} here"
    assert redactor.mask("visible! visible%21") == "visible! visible%21"


@pytest.mark.parametrize(
    ("url", "dsn", "pipeline"),
    [
        ("postgresql://h/d?pipeline=p", "postgresql://h/d", "p"),
        ("postgresql:///d?pipeline=p&host=/tmp", "postgresql:///d?host=/tmp", "p"),
        ("postgresql://h/d?options=a@b&pipeline=a=b", "postgresql://h/d?options=a@b", "a=b"),
        ("postgresql://h/d?pipeline=p&options=a?b=c&sslmode=require", "postgresql://h/d?options=a?b=c&sslmode=require", "p"),
    ],
)  # fmt: skip
def test_libpq_gets_its_part_as_it_stands(url: str, dsn: str, pipeline: str) -> None:
    parsed = parse_state_url(url)
    assert (parsed.dsn, parsed.pipeline) == (dsn, pipeline)


def test_a_url_may_be_that_of_a_whole_table_where_that_is_meant() -> None:
    assert parse_state_url("postgresql://h/d", of_any_pipeline=True) == StateUrl(
        "postgresql://h/d", "the database d at h", ""
    )
    for without in ("postgresql://h/d", "postgresql://h/d?pipeline="):
        with pytest.raises(ConfigurationError, match="names no pipeline"):
            parse_state_url(without)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("postgresql://u:p@h:5/d%20e", "the database d e at h:5"),
        ("postgresql://h/d?dbname=other%21&host=/var%2Frun", "the database other! at /var/run"),
        ("postgresql://", "the database of the user's name at the default host"),
    ],
)
def test_the_server_is_named_for_messages(url: str, server: str) -> None:
    assert parse_state_url(url, of_any_pipeline=True).server == server
