"""A stream as a whole: what is opened, what is sent, where catalogs and keys come in."""

from __future__ import annotations

import json

import pytest
from taps.files.conftest import Folder

from singerkit_shell.errors import ConfigurationError, SingerkitError
from tap_files.places.local import LocalPlace


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """The names of the files that are opened."""
    names: list[str] = []
    real = LocalPlace.open

    def seen(place, found, offset=0):
        names.append(found.name)
        return real(place, found, offset)

    monkeypatch.setattr(LocalPlace, "open", seen)
    return names


def test_where_nothing_is_new_no_file_is_opened_and_of_a_new_one_none_but_that(folder: Folder, opened):
    for number in range(300):
        folder.write(f"in/{number}.csv", f"id\n{number}\n")
    first = folder.sync()
    assert len(first.rows()) == 300
    opened.clear()
    second = folder.sync(first.state)
    assert (opened, second.rows()) == ([], [])
    folder.write("in/new.csv", "id\n300\n")
    assert folder.sync(second.state).column("id") == [300]
    assert opened == ["in/new.csv"]


@pytest.mark.parametrize("rules", [["t"], ["!u"], ["*", "!u"]])
def test_of_a_stream_that_select_leaves_out_nothing_is_listed_but_by_discovery(
    folder: Folder, opened: list[str], monkeypatch: pytest.MonkeyPatch, rules: list[str]
):
    folder.write("in/a.csv", "id\n1\n")
    folder.write("other/b.csv", "key\n1\n")
    config = folder.settings()
    config["streams"].append({"name": "u", "path": "other/*.csv", "primary_keys": ["key"]})
    config["select"] = rules
    folder.settings = lambda **_: config  # type: ignore[method-assign]
    listed: list[str] = []
    real = LocalPlace.files
    monkeypatch.setattr(
        LocalPlace,
        "files",
        lambda place, prefix, deep=True: listed.append(prefix) or real(place, prefix, deep=deep),
    )
    assert folder.sync().column("id") == [1]
    assert (listed, {*opened}) == (["in/"], {"in/a.csv"})
    entries = json.loads(folder.tap().run_discovery())["streams"]
    assert "key" in entries[1]["schema"]["properties"]


def test_columns_that_are_not_selected_are_not_sent_and_new_ones_are(folder: Folder):
    folder.write("in/a.csv", "id,secret,name\n1,x,a\n")
    catalog = folder.tap().catalog_dict
    (entry,) = catalog["streams"]
    for item in entry["metadata"]:
        if item["breadcrumb"] in (["properties", "secret"], ["properties", "_file"]):
            item["metadata"]["selected"] = False
    first = folder.sync(catalog=catalog)
    assert first.rows() == [{"id": 1, "name": "a", "_file": "in/a.csv", "_row": 1}]
    folder.write("in/b.csv", "id,secret,more\n2,y,5\n")
    second = folder.sync(first.state, catalog=catalog)
    assert second.rows() == [{"id": 2, "name": None, "more": 5, "_file": "in/b.csv", "_row": 1}]


def test_a_catalog_needs_no_look_at_the_files(folder: Folder, opened):
    folder.write("in/a.csv", "id\n1\n")
    catalog = folder.tap().catalog_dict
    opened.clear()
    assert folder.sync(catalog=catalog).column("id") == [1]
    assert opened == ["in/a.csv"]


def test_a_declared_key_is_never_null_and_of_rows_with_one_the_newest_file_comes_last(folder: Folder):
    folder.write("in/b.csv", "id,x\n1,old\n", modified=1_000_000)
    folder.write("in/a.csv", "id,x\n1,new\n", modified=2_000_000)
    result = folder.sync(primary_keys=["id"])
    assert result.properties()["id"] == {"type": "integer"}
    assert result.column("x") == ["old", "new"]
    assert folder.sync(result.state, primary_keys=["id"]).properties()["id"] == {"type": "integer"}
    with pytest.raises(ConfigurationError, match="`nr` of stream `t` is a column of no file"):
        folder.sync(primary_keys=["nr"])


def test_where_nothing_was_read_before_no_column_is_one_that_was_left_out(folder: Folder, caplog):
    state = folder.sync().state
    folder.write("in/0.csv", "")
    state = folder.sync(state).state
    folder.write("in/a.csv", "id\n1\n")
    assert folder.sync(state).column("id") == [1]
    assert "is read otherwise" not in caplog.text


def test_a_key_waits_for_the_first_file(folder: Folder):
    first = folder.sync(primary_keys=["id"])
    assert first.rows() == []
    folder.write("in/a.csv", "id\n1\n")
    assert folder.sync(first.state, primary_keys=["id"]).properties()["id"] == {"type": "integer"}


def test_the_one_file_that_a_path_names_has_to_be_there_until_it_was_read(folder: Folder):
    with pytest.raises(ConfigurationError, match=r"The file in/a\.csv of stream `t` is not there"):
        folder.sync(path="in/a.csv")
    file = folder.write("in/a.csv", "id\n1\n")
    state = folder.sync(path="in/a.csv").state
    file.unlink()
    assert folder.sync(state, path="in/a.csv").rows() == []


@pytest.mark.parametrize(("name", "others"), [("gone/*.csv", False), ("in/*.csv", True)])
def test_nothing_else_is_said_to_be_read_where_nothing_else_was_there(
    folder: Folder, name: str, others: bool
):
    folder.write("in/a.csv", b"\xff\n")
    folder.write("in/b.csv", "id\n1\n")
    with pytest.raises(SingerkitError) as raised:
        folder.sync(path=name, on_error="continue")
    assert ("the others were" in str(raised.value)) == others
    assert "all else was read" not in str(raised.value)


def test_streams_that_cannot_be_read_do_not_hold_back_the_others(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    config = folder.settings()
    config["streams"].insert(0, {"name": "gone", "path": "gone/*.csv"})
    folder.config = {}
    folder.settings = lambda **_: config  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match=r"gone is not there.*Not read as a whole: stream `gone`"):
        folder.sync()
    assert folder.result().column("id") == [1]


@pytest.mark.parametrize("changes", [{}, {"format": "csv"}])
def test_a_folder_as_a_path_is_told_which_files_to_name(folder: Folder, changes):
    with pytest.raises(ConfigurationError, match=r"in/\*\.csv"):
        folder.sync(path="in", **changes)


def test_a_file_that_has_become_a_folder_is_told(folder: Folder):
    folder.write("in/a.csv", "id\n1\n")
    state = folder.sync(path="in/a.csv").state
    (folder.path / "in/a.csv").rename(folder.path / "b.csv")
    assert folder.sync(state, path="in/a.csv").rows() == []
    folder.write("in/a.csv/1.csv", "id\n1\n")
    with pytest.raises(ConfigurationError, match=r"names a folder, in/a\.csv; .* `in/a\.csv/\*\.csv`"):
        folder.sync(state, path="in/a.csv")


def test_the_first_schema_says_what_parts_of_the_paths_are(folder: Folder):
    for day in ("2026-01-01", "__HIVE_DEFAULT_PARTITION__", "2026-01-02"):
        folder.write(f"in/dt={day}/n=7/a.csv", "id\n1\n")
    schemas = [one for one in folder.sync(path="in/dt=*/n=*/*.csv").messages if one["type"] == "SCHEMA"]
    assert len(schemas) == 1
    properties = schemas[0]["schema"]["properties"]
    assert [properties[name]["type"] for name in ("dt", "n")] == [["null", "string"], ["null", "integer"]]
