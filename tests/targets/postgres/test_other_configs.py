"""Configs of other loaders: MeltanoLabs' work as they are, pipelinewise's are refused with the name of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run
from conformance.singer import RECORD, SCHEMA, STATE
from faults.loads import command, lines, load, query
from psycopg2.extensions import parse_dsn

from singerkit_postgres.address import dsn_of
from singerkit_shell.errors import ConfigurationError
from target_postgres.target import TargetPostgres

THEIR_DEFAULTS: dict[str, Any] = {
    "dialect+driver": "postgresql+psycopg",
    "default_target_schema": "melty",
    "activate_version": True,
    "hard_delete": False,
    "add_record_metadata": True,
    "interpret_content_encoding": False,
    "sanitize_null_text_characters": False,
    "ssl_enable": False,
    "ssl_client_certificate_enable": False,
    "ssl_mode": "verify-full",
    "ssl_certificate_authority": "~/.postgresql/root.crl",
    "ssl_client_certificate": "~/.postgresql/postgresql.crt",
    "ssl_client_private_key": "~/.postgresql/postgresql.key",
    "ssl_storage_directory": ".secrets",
    "ssh_tunnel": {"enable": False, "port": 22},
    "load_method": "append-only",
    "batch_size_rows": 1000,
    "validate_records": True,
    "stream_maps": {},
    "stream_map_config": {},
    "faker_config": {},
    "flattening_enabled": False,
    "flattening_max_depth": 0,
    "use_copy": True,
}
"""What Meltano writes of MeltanoLabs' 0.8.1, as its `--about` says."""
HERE = {"host": "h", "user": "u"}
PEM = "-----BEGIN PRIVATE KEY-----\nMIIsecretsecret\n-----END PRIVATE KEY-----\n"


def config_of(**given: Any) -> dict[str, Any]:
    return dict(TargetPostgres(config=given).config)


def problem_of(**given: Any) -> str:
    with pytest.raises(ConfigurationError) as found:
        TargetPostgres(config=given)
    return str(found.value)


def test_a_config_of_meltanolabs_works_as_it_is(database: str, tmp_path: Path) -> None:
    address = parse_dsn(database)
    theirs = {
        **THEIR_DEFAULTS,
        "host": address["host"],
        "port": int(address.get("port", 5432)),
        "user": address["user"],
        "password": address.get("password", "none"),
        "database": address["dbname"],
    }
    name = "public-s"  # which goes into the table `s`
    schema = SCHEMA(name, {"id": {"type": "integer"}, "t": {"type": "string"}}, ["id"])
    messages = [schema, RECORD(name, {"id": 1, "t": "a"}), RECORD(name, {"id": 1, "t": "b"}), STATE({"a": 1})]
    done = run(command(tmp_path, None, theirs), stdin=lines(*messages)).expect(0)
    assert "upserts streams with a key under `load_method: append-only`" in done.stderr
    rows = query(database, "SELECT id, t, _sdc_received_at IS NOT NULL FROM melty.s")
    assert rows == [(1, "b", True)]


def test_what_is_promised_of_a_config_of_theirs_is_what_it_does() -> None:
    assert not TargetPostgres.abilities({"use_copy": True, "load_method": "append-only"}).appends("s")
    assert TargetPostgres.abilities({"load_method": "append-only"}).appends("s")


def test_what_their_config_leaves_out_is_as_there(caplog: pytest.LogCaptureFixture) -> None:
    made = config_of(**HERE, use_copy=False)
    found = [made[name] for name in ("default_target_schema", "add_record_metadata", "hard_delete")]
    assert found == ["melty", True, False]
    assert '`default_target_schema` is "melty"' in caplog.text
    assert config_of(**HERE)["default_target_schema"] == "public"


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ({"batch_size_rows": 7, "use_copy": True}, {"commit_rows": 7}),
        ({"sanitize_null_text_characters": True}, {"on_unstorable": "replace"}),
        ({"process_activate_version_messages": False, "use_copy": True}, {"activate_version": False}),
        (
            {"process_activate_version_messages": False, "activate_version": True, "use_copy": True},
            {"activate_version": False},
        ),
        ({"ssl_enable": True}, {"sslmode": "verify-full"}),
        ({"ssl_enable": True, "ssl_mode": "require"}, {"sslmode": "require"}),
        ({"ssl_enable": False, "ssl_mode": "require"}, {}),
        (
            {"ssl_enable": True, "ssl_mode": "require", "ssl_certificate_authority": "ca"},
            {"sslmode": "require", "sslrootcert": "ca"},
        ),
        (
            {
                "ssl_client_certificate_enable": True,
                "ssl_client_certificate": "c",
                "ssl_client_private_key": "k",
            },
            {"sslcert": "c", "sslkey": "k"},
        ),
    ],
)
def test_each_setting_of_theirs_is_one_of_ours(
    given: dict[str, Any], ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("target_postgres.target.TargetPostgres.further_problems", lambda _self: [])
    before, after = config_of(**HERE, use_copy=True), config_of(**HERE, **given)
    assert dict(after.items() - before.items()) == ours


def test_a_url_of_sqlalchemy_is_a_dsn_and_says_all(caplog: pytest.LogCaptureFixture) -> None:
    made = config_of(
        sqlalchemy_url="postgresql+psycopg2://me:p%40ss@there:6/db", **HERE, port=5432, ssl_enable=True
    )
    assert made["dsn"] == "postgresql://me:p%40ss@there:6/db"
    assert {name: parse_dsn(dsn_of(made)).get(name) for name in ("host", "port", "password", "sslmode")} == {
        "host": "there",
        "port": "6",
        "password": "p@ss",
        "sslmode": None,
    }
    assert "`host`, `port`, `ssl_enable`, `user` beside it have no effect" in caplog.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ssl_enable": True, "sslmode": "require"}, "`ssl_mode` and `sslmode` are one setting"),
        ({"use_copy": True, "batch_size_rows": 1, "commit_rows": 2}, "`batch_size_rows` and `commit_rows`"),
        (
            {"sqlalchemy_url": "mysql://h/d"},
            "Expected a URL that begins with `postgresql` at `sqlalchemy_url`",
        ),
        ({"dialect+driver": "mysql+x"}, "Expected `postgresql` and a driver"),
        ({"interpret_content_encoding": True}, "`interpret_content_encoding` is not done for `base16`"),
        ({"use_copy": True, "stream_maps": {"a": {}}}, "`stream_maps` is not done here"),
        ({"use_copy": True, "stream_maps": {"a": {}}}, "`singerkit-map convert FILE` makes"),
        ({"use_copy": True, "flattening_enabled": True}, "`flattening_enabled` needs `flattening_max_depth`"),
        ({"use_copy": True, "ssh_tunnel": {"enable": True}}, "Expected the key `ssh_tunnel.host`"),
        ({"use_copy": True, "add_record_metadata": False}, "`activate_version` needs `add_record_metadata`"),
        ({"ssl_mode": "on"}, "Expected one of `disable`, `allow`"),
        ({"batch_size_rows": 1}, "`batch_size_rows` has no effect here and is refused"),
        ({"dbname": "d"}, "There is no setting `dbname` here: write `database`"),
        ({"schema_mapping": {}}, "There is no setting `schema_mapping` here: write `schema_name`"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(given: dict[str, Any], words: str) -> None:
    assert words in problem_of(**HERE, **given)


def test_a_key_in_pem_is_a_file_of_this_account_alone() -> None:
    path = parse_dsn(dsn_of({"host": "h", "sslkey": PEM}))["sslkey"]
    with open(path, encoding="utf-8") as file:
        assert file.read() == PEM
        assert os.fstat(file.fileno()).st_mode & 0o077 == 0


def test_a_version_is_passed_over_where_that_is_asked_for(database: str) -> None:
    schema = SCHEMA("s", {"id": {"type": "integer"}}, ["id"])
    messages = [
        schema,
        RECORD("s", {"id": 1}, version=1),
        RECORD("s", {"id": 2}, version=2),
        {"type": "ACTIVATE_VERSION", "stream": "s", "version": 2},
        STATE({"a": 1}),
    ]
    done = load(database, *messages, add_record_metadata=True, activate_version=False).expect(0)
    assert "is passed over, as `activate_version: false` says" in done.stderr
    assert query(database, "SELECT count(*) FROM s") == [(2,)]
