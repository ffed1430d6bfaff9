"""Bad rows go to a stream of their own, with their place and why they are bad, and never take the rest of their file with them."""

from __future__ import annotations

import pytest
from taps.files.conftest import Folder, cuts, loaded

from singerkit_shell.errors import BadDataError, ConfigurationError
from tap_files import streams

BAD = "t__bad_rows"
CONTENT = b"id,n\n1,1\n2\n3,3\n4,x\n5,5,5\n6,6\n7,\xff\n8,8\n"
ASIDE = {"on_bad_row": "set_aside", "schema": {"properties": {"n": {"type": "integer"}}}}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("tap_files.formats.textreader.BLOCK_BYTES", 8)
    monkeypatch.setattr(streams, "_LEAST_BYTES", 0)
    monkeypatch.setattr(streams, "_STATE_SHARE", 0)


def test_they_are_set_aside_with_place_and_reason(folder: Folder, caplog):
    folder.write("in/a.csv", CONTENT)
    result = folder.sync(**ASIDE)
    assert result.column("id") == [1, 3, 6, 8]
    assert result.column("_row") == [1, 3, 6, 8]
    found = [(row["_file"], row["_row"], row["line"], row["byte"]) for row in result.rows(BAD)]
    assert found == [
        ("in/a.csv", 2, 3, 9),
        ("in/a.csv", 4, 5, None),
        ("in/a.csv", 5, 6, 19),
        ("in/a.csv", 7, 8, 29),
    ]
    rows = result.rows(BAD)
    assert "integer" in rows[1]["reason"]
    assert rows[1]["text"] == '["4","x"]'
    assert rows[0]["text"].strip() == "2"
    assert "4 bad rows of stream `t` were set aside, in `t__bad_rows`. The first:" in caplog.text
    assert folder.sync(result.state, **ASIDE).rows(BAD) == []


@pytest.mark.parametrize("columns", [["_file", "_row"], []], ids=["with a key", "without"])
def test_wherever_a_run_is_killed_good_and_bad_rows_come_once(folder: Folder, small, columns):
    folder.write("in/a.csv", CONTENT)
    folder.write("in/b.csv", CONTENT)
    folder.stream |= {**ASIDE, "file_columns": columns}
    whole = folder.sync(state_every=1)
    assert (len(whole.rows()), len(whole.rows(BAD))) == (8, 8)
    for committed, state in cuts(whole.messages):
        rest = folder.sync(state)
        for stream in ("t", BAD):
            before = [one["record"] for one in committed if one["stream"] == stream]
            assert [*before, *rest.rows(stream)] == whole.rows(stream)


def test_a_file_that_is_mended_takes_its_bad_rows_away(folder: Folder):
    folder.write("in/a.csv", CONTENT)
    first = folder.sync(**ASIDE)
    folder.write("in/a.csv", CONTENT.replace(b"\xff", b"7").replace(b"x", b"44"))
    second = folder.sync(first.state, **ASIDE)
    sent = [one for one in second.messages if one.get("stream") == BAD]
    assert [row["_row"] for row in loaded(first.rows(BAD), sent)] == [2, 5]


def test_unless_it_is_said_the_first_one_ends_its_file(folder: Folder):
    folder.write("in/a.csv", CONTENT)
    with pytest.raises(BadDataError, match=r"got 1 in line 3, record 2, of the file in/a\.csv"):
        folder.sync()


def test_too_many_end_the_run(folder: Folder, small):
    folder.write("in/a.csv", CONTENT)
    folder.write("in/b.csv", CONTENT)
    with pytest.raises(BadDataError, match="More than 3 bad rows came of stream `t`"):
        folder.sync(**ASIDE, bad_row_limit=3, on_error="continue", state_every=1)
    first = folder.result()
    rest = folder.sync(first.state, **ASIDE)
    assert [*first.column("id"), *rest.column("id")] == [1, 3, 6, 8] * 2
    assert len(first.rows(BAD)) + len(rest.rows(BAD)) == 8


def test_they_are_never_left_out_by_a_selection(folder: Folder):
    folder.write("in/a.csv", CONTENT)
    folder.config["select"] = ["t"]
    with pytest.raises(ConfigurationError, match="`t__bad_rows`, where they go, is not selected"):
        folder.sync(**ASIDE)
    with pytest.raises(ConfigurationError, match="has no effect without"):
        folder.sync(bad_row_limit=5)


@pytest.mark.parametrize(
    ("content", "changes", "said", "unsaid"),
    [
        (
            "id,name\n1,a\n2\n",
            {},
            r"got 1 in line 3, record 2, of the file in/a\.csv .*`on_bad_row` to `set_aside`.*`short_rows` or `long_rows` in `csv`.*`on_error` `continue`",
            "Mend the file",
        ),
        (
            "id\nx\n",
            {"schema": {"properties": {"id": {"type": "integer"}}}, "on_error": "continue"},
            r"or set `on_bad_row` to `set_aside`",
            "short_rows",
        ),
        (
            "id;name\n1;a\n",
            {},
            r'set `"delimiter": ";"` in `csv`.*Correct the setting, or the file if the setting is right',
            "Mend the file",
        ),
        (
            "n\xe4me\n1\n".encode("latin-1"),
            {},
            r"`csv\.encoding`.*Correct the setting, or the file",
            "Mend the file",
        ),
    ],
    ids=["short", "value", "delimiter", "encoding"],
)
def test_what_is_said_of_a_fault_names_the_settings_that_help(folder: Folder, content, changes, said, unsaid):
    folder.write("in/a.csv", content)
    with pytest.raises(BadDataError, match=said) as raised:
        folder.sync(**changes)
    assert unsaid not in str(raised.value)
