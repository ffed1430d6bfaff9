"""What every executable shares: secrets, config files, sentences about a wrong config, exit codes."""

from __future__ import annotations

import json
import logging

import click
import pytest

from singerkit_shell import validate
from singerkit_shell.configfile import read_config, read_json_object
from singerkit_shell.errors import (
    BadDataError,
    CannotWriteError,
    ConfigurationError,
    FencedError,
    LockHeldError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
    Stopped,
    UsageError,
)
from singerkit_shell.exits import exit_code_of
from singerkit_shell.secrets import Redactor
from singerkit_shell.validate import config_problems, unknown_keys


@pytest.mark.parametrize(
    ("config", "secrets"),
    [
        ({"password": "hunter22"}, ["hunter22"]),
        ({"auth": {"type": "bearer", "token": "tok-12345"}}, ["tok-12345"]),
        ({"headers": {"X-Api-Key": "k3y-k3y"}}, ["k3y-k3y"]),
        ({"dsn": "postgresql://me:p%40ss%2Fword@host/db"}, ["p%40ss%2Fword"]),
        ({"dsn": "host=h password='it is so' user=u"}, ["it is so"]),
        ({"list": [{"client_secret": "in a list"}]}, ["in a list"]),
    ],
)
def test_secrets_of_a_config_are_masked(config, secrets):
    redactor = Redactor()
    redactor.add_from_config(config)
    text = redactor.mask(f"it failed with {json.dumps(config)}")
    assert not [secret for secret in secrets if secret in text]
    assert "it failed with" in text


def test_ordinary_settings_are_not_masked():
    redactor = Redactor()
    redactor.add_from_config(
        {"host": "database", "auth": {"type": "bearer", "token": "xyzzy-1"}, "password": "abc", "secret": "a"}
    )
    assert redactor.mask("database bearer abcd a") == "database bearer abcd a"
    assert redactor.mask("'abc' abc=1") == "'***' ***=1", "a short one is masked where it is a word"


def test_a_secret_is_masked_in_each_form_it_takes_in_a_url():
    redactor = Redactor()
    redactor.add("p@ss word/1")
    assert "ss" not in redactor.mask("?key=p%40ss%20word%2F1&key=p%40ss+word%2F1 p@ss word/1").replace(
        "pass", ""
    )


def test_log_records_and_tracebacks_are_masked():
    redactor = Redactor()
    redactor.add("s3cret-value")
    try:
        raise ValueError("s3cret-value")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "got %s", ("s3cret-value",), None)
        record.exc_info = (type(error), error, error.__traceback__)
    assert redactor.filter(record)
    assert "s3cret-value" not in logging.Formatter().format(record)


def test_a_value_from_the_environment_is_utf_8_in_every_locale(tmp_path, monkeypatch):
    (tmp_path / "c.json").write_text('{"token": {"env": "MY_TOKEN"}}')
    monkeypatch.setenv("MY_TOKEN", "Zo\udcc3\udcab")  # as Python decodes it where the locale is ASCII
    assert read_config(str(tmp_path / "c.json")) == {"token": "Zoë"}
    monkeypatch.setenv("MY_TOKEN", "Zo\udcc3")
    with pytest.raises(ConfigurationError, match="MY_TOKEN, which is not UTF-8 text"):
        read_config(str(tmp_path / "c.json"))


def test_config_takes_values_from_environment_and_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "from-env")
    (tmp_path / "secret").write_text("from-file\n")
    path = tmp_path / "c.json"
    path.write_text(
        json.dumps({"a": {"token": {"env": "MY_TOKEN"}}, "b": [{"file": str(tmp_path / "secret")}]})
    )
    assert read_config(str(path)) == {"a": {"token": "from-env"}, "b": ["from-file"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("", "is not JSON"),
        ('{"a": ', "at line 1 column 7"),
        ("[]", "JSON array; a JSON object is expected"),
        ("null", "JSON null"),
        ('{"a": {"env": "NOT_SET_ANYWHERE"}}', "NOT_SET_ANYWHERE, which is not set"),
        ('{"a": {"file": "/nowhere"}}', "/nowhere, which cannot be read"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_config_file_is_told_in_one_sentence(tmp_path, monkeypatch, text, words):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read_config(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


SCHEMA = {
    "properties": {
        "port": {"type": "integer", "minimum": 1, "default": 5432},
        "mode": {"enum": ["a", "b"]},
        "password": {"type": "string"},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "retries": {"type": "object", "properties": {"tries": {"type": "integer", "default": 5}}},
        "streams": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path"],
                "properties": {"path": {"type": "string"}},
                "additionalProperties": False,
            },
        },
    }
}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"port": "x"}, 'Expected `integer`, got `"x"` at `port`'),
        ({"port": 0}, "Expected a number of at least 1, got `0` at `port`"),
        ({"mode": "c"}, 'Expected one of `a`, `b`, got `"c"` at `mode`'),
        ({"streams": [{}]}, "Expected the key `streams[0].path`, which is missing"),
        (
            {"streams": [{"path": "/", "pth": 1}]},
            "There is no setting `streams[0].pth`; did you mean `path`?",
        ),
        ({"retries": 3}, "Expected `object`, got `3` at `retries`"),
        ({"password": 12345678}, "Expected `string`, got `***` at `password`"),
    ],
)
def test_a_wrong_setting_is_told_with_its_place(config, sentence):
    assert config_problems(config, SCHEMA) == [sentence]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("baerer", 'got `"baerer"` at `auth.type`; did you mean `bearer`?'),
        ("Bearer", 'got `"Bearer"` at `auth.type`; did you mean `bearer`?'),
        ("Bearer 4711abc", "got `***` at `auth.type`"),
        ("hunter2", "got `***` at `auth.type`"),
        ("basik", 'got `"***"` at `auth.type`; did you mean `basic`?'),
    ],
)
def test_a_misspelt_value_of_a_few_is_shown_unless_it_is_a_secret(kind, told, monkeypatch):
    monkeypatch.setattr("singerkit_shell.validate.redactor", Redactor())
    validate.redactor.add("basik")
    schema = {"properties": {"auth": {"properties": {"type": {"enum": ["none", "bearer", "basic"]}}}}}
    assert config_problems({"auth": {"type": kind}}, schema) == [
        f"Expected one of `none`, `bearer`, `basic`, {told}"
    ]


def test_defaults_are_filled_in():
    config: dict = {}
    assert config_problems(config, SCHEMA) == []
    assert config["port"] == 5432


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"prot": 1}, "There is no setting `prot`; did you mean `port`?"),
        ({"Port": 1}, "There is no setting `Port`; did you mean `port`?"),
        (
            {"streams": [{"path": "/", "PATH": 1}]},
            "There is no setting `streams[0].PATH`; did you mean `path`?",
        ),
        ({"path": "/"}, "There is no setting `path`; `path` stands in `streams[]`"),
        ({"tries": 1}, "There is no setting `tries`; `tries` stands in `retries`"),
        ({"retries": {"port": 1}}, "There is no setting `retries.port`; `port` stands in the top level"),
        ({"retries": {"xyz": 1}}, "There is no setting `retries.xyz`; there are `tries`"),
        ({"headers": {"X-Any": "1"}, "hdr": 1}, "There is no setting `hdr`; did you mean `headers`?"),
        (
            {"stream_maps": {"a": {"b": "__NULL__"}}},
            "`stream_maps` has no effect here and is refused: no stream or field would be left out, renamed or changed; "
            "`singerkit-map convert FILE` makes a map of ours of it, for `singerkit-map` in the pipe and for `map` of "
            "a target; then remove it here",
        ),
    ],
)
def test_an_unknown_key_is_a_problem_with_the_setting_that_may_be_meant(config, sentence):
    assert config_problems(config, SCHEMA) == [sentence]
    assert unknown_keys(config, SCHEMA) == [sentence]


def test_a_key_twice_in_one_object_is_refused(tmp_path):
    (tmp_path / "c.json").write_text('{"a": {"port": 1, "x": 2, "port": 3}}')
    for reader in (read_config, lambda path: read_json_object(path, "catalog")):
        with pytest.raises(ConfigurationError, match=r"c.json has the key `port` twice in one object"):
            reader(str(tmp_path / "c.json"))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SingerkitError("x"), 70),
        (ConfigurationError("x"), 78),
        (UsageError("x"), 64),
        (NotAuthorisedError("x"), 77),
        (RetryableError("x"), 69),
        (CannotWriteError("x"), 74),
        (LockHeldError("x"), 75),
        (FencedError("x"), 76),
        (BadDataError("x"), 65),
        (Stopped(15, "x"), 143),
        (Stopped(2, "x"), 130),
        (click.UsageError("x"), 64),
        (RuntimeError("x"), 70),
    ],
)
def test_every_error_has_its_exit_code_and_one_last_line(error, code, capsys):
    def fail():
        raise error

    assert exit_code_of(fail, "tool", debug=False) == code
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("CRITICAL tool: ")
    assert ("Traceback" in "\n".join(lines)) == (code == 70)


def test_debug_prints_the_traceback(capsys):
    def fail():
        raise ConfigurationError("x")

    assert exit_code_of(fail, "tool", debug=True) == 78
    assert "Traceback" in capsys.readouterr().err
