"""`singerkit-map explain`: what a map makes of each stream, and that nothing is shown which it hides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from singerkit_map.explaining.command import explain
from singerkit_shell.errors import BadDataError, ConfigurationError, UsageError

SECRETS = ("ann@example.org", "123-45-6789", "4111111111111111", "+49 30 901820")
TEXT = {"type": ["string", "null"]}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "mail": TEXT,
        "ssn": TEXT,
        "card": TEXT,
        "born": {"type": ["string", "null"], "format": "date"},
        "home": {"type": ["object", "null"], "properties": {"city": TEXT, "phone": TEXT}},
    },
}
ROWS = [
    {
        "id": 1,
        "mail": " Ann@Example.org ",
        "ssn": "123-45-6789",
        "card": "4111111111111111",
        "born": "1980-04-03",
    },
    {"id": 2, "mail": None, "card": "4111111111111111", "home": {"city": "Bonn", "phone": "+49 30 901820"}},
    {"id": 3, "born": "31.02.1980"},
    {"id": 4},
]
MAP = {
    "streams": {
        "users": [
            {"op": "drop", "fields": ["ssn"]},
            {"op": "rename", "from": "mail", "to": "email"},
            {"op": "normalise", "field": "email", "trim": True, "case": "lower"},
            {"op": "hmac", "field": "email", "key": "correct horse battery staple"},
            {"op": "mask", "field": "card", "keep_last": 4},
            {"op": "truncate", "field": "born", "to": "year"},
            {"op": "mask", "field": "home.phone"},
            {"op": "filter", "field": "id", "is": "less", "value": 4},
            {"op": "rename_stream", "to": "people"},
        ],
        "audit": [{"op": "drop_stream"}],
    }
}


def written(folder: Path, name: str, value: Any) -> str:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def messages() -> str:
    schemas = [
        {"type": "SCHEMA", "stream": name, "schema": SCHEMA, "key_properties": ["id"]}
        for name in ("users", "audit", "other")
    ]
    rows = [{"type": "RECORD", "stream": "users", "record": row} for row in ROWS]
    return "".join(json.dumps(one) + "\n" for one in [*schemas, *rows, {"type": "STATE", "value": {}}])


def explained(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(explain, arguments, standalone_mode=False)


def line_of(text: str, *words: str) -> list[str]:
    """The cells of the first line that begins with these words."""
    found = next(line for line in text.splitlines() if line.split()[: len(words)] == list(words))
    return found.split()


def test_schema_and_rows_before_and_after_with_what_is_hidden_hidden(tmp_path: Path) -> None:
    config, stream = written(tmp_path, "map.json", MAP), written(tmp_path, "users.singer", messages())
    shown = explained("--config", config, "--stream", stream)
    assert shown.exception is None
    text = shown.stdout
    for secret in (*SECRETS, "04-03", "31.02", "Ann", "correct horse", "1111111"):
        assert secret not in text
    assert "users, behind the map people\n" in text
    assert "audit: dropped\n" in text
    assert "other\n  passes as it is\n" in text
    assert line_of(text, "mail") == ["mail", "text", "or", "null", "email", "rename,", "normalise,", "hmac"]
    assert line_of(text, "ssn") == ["ssn", "text", "or", "null", "drop"]
    assert line_of(text, "id", "integer,", "key", "id") == ["id", "integer,", "key", "id"]
    before, after = text.split("  before\n")[1].split("  after\n")
    assert line_of(before, "1") == ["1", "***", "***", "***", "***"]
    assert line_of(before, "2") == ["2", "null", "***", "***"]
    masked = "************1111"
    assert line_of(after, "1")[2:] == [masked, "1980-01-01"]
    assert line_of(after, "2")[3].startswith('{"city":"Bonn","phone":"***')
    assert "row 3 ends the run: Expected" in after
    assert "row 4 is left out" in after


def test_a_bad_value_is_shown_as_a_run_deals_with_it(tmp_path: Path) -> None:
    rows = [
        {"type": "SCHEMA", "stream": "users", "schema": SCHEMA, "key_properties": ["id"]},
        {"type": "RECORD", "stream": "users", "record": {"id": 1, "mail": ["x"]}},
    ]
    stream = written(tmp_path, "users.singer", "".join(json.dumps(one) + "\n" for one in rows))
    operations = [{"op": "mask", "field": "mail"}]
    found = {}
    for on_error in ("fail", "null", "quarantine"):
        said = {"on_error": on_error, "streams": {"users": operations}}
        said |= {"dead_letters": "d"} if on_error == "quarantine" else {}
        shown = explained("--config", written(tmp_path, "map.json", said), "--stream", stream).stdout
        found[on_error] = shown.split("  after\n")[1]
    assert "row 1 ends the run: Expected" in found["fail"]
    assert "row 1 is set aside: Expected" in found["quarantine"]
    assert "row 1" not in found["null"]
    assert line_of(found["null"], "1") == ["1", "null"]


def test_a_catalog_shows_schemas_and_the_map_may_stand_in_the_config_of_a_target(tmp_path: Path) -> None:
    catalog = {
        "streams": [
            {
                "tap_stream_id": "users",
                "schema": SCHEMA,
                "metadata": [
                    {"breadcrumb": [], "metadata": {"selected": True, "table-key-properties": ["id"]}}
                ],
            }
        ]
    }
    target = written(tmp_path, "target.json", {"database": "x.duckdb", "map": MAP})
    shown = explained("--config", target, "--catalog", written(tmp_path, "catalog.json", catalog))
    assert shown.exception is None
    assert line_of(shown.stdout, "card") == ["card", "text", "or", "null", "card", "mask"]
    assert "  before\n" not in shown.stdout.split("-----")[-1]


@pytest.mark.parametrize(
    ("map_", "words"),
    [
        ({"streams": {"users": [{"op": "drop", "fields": ["nmae"]}]}}, "`streams.users[0].fields"),
        ({"streams": {"users": [{"op": "msak", "field": "mail"}]}}, "did you mean `mask`?"),
        ({"strems": {}}, "did you mean `streams`?"),
        ({"map": []}, "Expected an object at `map`"),
    ],
)
def test_what_is_wrong_with_a_map_is_told_with_its_place(map_: Any, words: str, tmp_path: Path) -> None:
    config, stream = written(tmp_path, "map.json", map_), written(tmp_path, "users.singer", messages())
    failed = explained("--config", config, "--stream", stream)
    assert isinstance(failed.exception, ConfigurationError)
    assert words in str(failed.exception)


def test_one_of_the_two_inputs_is_named(tmp_path: Path) -> None:
    config = written(tmp_path, "map.json", MAP)
    assert isinstance(explained("--config", config).exception, UsageError)
    gone = explained("--config", config, "--stream", str(tmp_path / "gone"))
    assert "cannot be read" in str(gone.exception)


def test_a_name_that_no_stream_has_is_told_of(tmp_path: Path) -> None:
    drop = [{"op": "drop", "fields": ["ssn"]}]
    config = written(tmp_path, "map.json", {"streams": {"users": drop, "usres": drop, "audit*": drop}})
    shown = explained("--config", config, "--stream", written(tmp_path, "users.singer", messages()))
    assert shown.exception is None
    assert shown.stderr.count("matched no stream") == 1
    assert "`usres`" in shown.stderr


def test_records_before_their_schema_are_told_of_as_in_a_run(tmp_path: Path) -> None:
    config, lines = written(tmp_path, "map.json", MAP), messages().splitlines(keepends=True)
    shown = explained("--config", config, "--stream", written(tmp_path, "users.singer", "".join(lines[1:])))
    assert isinstance(shown.exception, BadDataError)
    assert "Expected a SCHEMA before the first RECORD of stream `users`" in str(shown.exception)


def test_what_a_function_of_the_users_changes_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cleaning_of_explain.py").write_text(
        "def hide(row):\n    row['card'] = 'none'\n    return row\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    operations = [{"op": "python", "function": "cleaning_of_explain:hide", "fields": {"card": TEXT}}]
    config = written(tmp_path, "map.json", {"streams": {"users": operations}})
    shown = explained("--config", config, "--stream", written(tmp_path, "users.singer", messages()))
    assert shown.exception is None
    assert "4111111111111111" not in shown.stdout
    assert "123-45-6789" in shown.stdout, "it goes on as it is"
