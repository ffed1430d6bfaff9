"""One string names a place, whatever keeps the state there: tap, target and `singerkit-state` read it alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from state.state_tool import refusal

from singerkit_shell.errors import ConfigurationError
from singerkit_state import manifest, statefile, store_duckdb
from singerkit_state.location import SCHEMES, file_of, is_beside_rows, is_state_url, open_store, open_table
from singerkit_state.manifest import Manifest
from singerkit_state.postgres import url
from singerkit_state.store_files import FileStore, ManifestStore
from singerkit_state.value import Mark, encode, with_mark

VALUE = {"bookmarks": {"orders": {"replication_key_value": 7}}}
TEXT = encode(with_mark(VALUE, Mark("r7", "orders", True)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a b#%.json"
    statefile.write(path, TEXT)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    manifest.write(path, Manifest("orders", epoch=1, sequence=3, run_id="r7", state=TEXT))
    return path


def test_every_scheme_has_its_module() -> None:
    for name, scheme in SCHEMES.items():
        module = __import__(scheme.module, fromlist=["store_of"])
        assert callable(module.store_of), name
        assert callable(module.table_of), name
        assert scheme.form.startswith(f"{'postgresql' if name == 'postgres' else name}://")
        assert is_state_url(scheme.form)
    assert SCHEMES["duckdb"].form == store_duckdb.FORM
    assert SCHEMES["postgresql"].form == url.FORM


# files


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_by_its_url(file: Path, host: str) -> None:
    location = f"file://{host}{file.parent}/a%20b%23%25.json"
    store = open_store(location)
    assert isinstance(store, FileStore)
    assert store.read("orders") == open_store(str(file)).read() == statefile.read(file)
    assert (store.location, store.is_file, file_of(location)) == (str(file), True, str(file))
    assert not is_beside_rows(location)
    assert open_table(location) is None


@pytest.mark.parametrize(
    ("location", "finding"),
    [
        ("file://state.json", "a file has no host: a path begins with three slashes"),
        ("file:///state.json?pipeline=p", "percent-encode . and # in the path"),
        ("file:///state.json#1", "percent-encode . and # in the path"),
        ("file:///", "it names no file"),
        ("file://", "it names no file"),
        ("file:///a%00b", "it names no file"),
    ],
)
def test_a_url_of_a_file_that_is_none(location: str, finding: str) -> None:
    for use in (open_store, file_of):
        with pytest.raises(
            ConfigurationError, match=f"{finding}; nothing .* expected is file:///PATH"
        ) as caught:
            use(location)
        assert caught.value.exit_code == 78


def test_a_missing_file_by_its_url_is_a_first_run(tmp_path: Path) -> None:
    assert open_store(f"file://{tmp_path}/state.json").read("orders") is None


@pytest.mark.parametrize("location", ["", "  "])
def test_an_empty_location_is_no_first_run(location: str) -> None:
    for use in (open_store, file_of):
        with pytest.raises(ConfigurationError, match="location of the state is empty"):
            use(location)


# the folder of a target that keeps a manifest


def test_a_tap_starts_from_a_manifest(folder: Path) -> None:
    for location in (str(folder), str(folder / manifest.NAME), f"file://{folder}"):
        store = open_store(location)
        assert isinstance(store, ManifestStore)
        assert (store.pipeline, store.is_file) == ("orders", False)
        found = store.read("orders")
        assert found is not None
        assert found["bookmarks"] == VALUE["bookmarks"]
        assert is_beside_rows(location)


def test_a_manifest_of_another_pipeline(folder: Path) -> None:
    with pytest.raises(
        ConfigurationError, match="is of the pipeline `orders`, this run is of the pipeline `sales`"
    ):
        open_store(str(folder)).read("sales")


def test_a_manifest_that_holds_no_state(folder: Path) -> None:
    manifest.write(folder, Manifest("orders", state="[1]"))
    with pytest.raises(ConfigurationError, match="not an object; set another one with `singerkit-state set`"):
        open_store(str(folder)).read("orders")


def test_a_first_run_into_a_folder(tmp_path: Path) -> None:
    """The target may have made its folder, and its lock, before the tap looks."""
    folder = tmp_path / "out"
    assert open_store(str(folder)).read() is None
    folder.mkdir()
    assert open_store(str(folder)).read() is None
    (folder / f"{manifest.NAME}.lock").touch()
    assert open_store(str(folder)).read() is None
    assert open_store(str(folder)).pipeline is None
    manifest.write(folder, Manifest("orders"))
    assert open_store(str(folder)).read("orders") is None
    (folder / "orders.jsonl").touch()
    assert open_store(str(folder)).pipeline == "orders"


def test_a_folder_of_something_else_is_no_first_run(tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").touch()
    with pytest.raises(ConfigurationError, match="holds no manifest"):
        open_store(str(tmp_path)).read()


def test_the_tool_takes_the_url_of_a_file(
    file: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from singerkit_state import cli

    for location in (f"file://{file.parent}/a%20b%23%25.json", f"file://{folder}"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["get", location])
        assert not ended.value.code
        assert json.loads(capsys.readouterr().out)["bookmarks"] == VALUE["bookmarks"]


# what was meant


@pytest.mark.parametrize(
    ("location", "form"),
    [
        ("postgres:/u:hunter2@h/d?pipeline=p", "postgresql://user"),
        ("postgresql//u:hunter2@h/d?pipeline=p", "postgresql://user"),
        ("jdbc:postgresql://u:hunter2@h/d", "postgresql://user"),
        ("file:/hunter2.json", "file:///PATH"),
        ("duckdb:/hunter2.duckdb?pipeline=p", "duckdb:///PATH"),
        ("duckdb//hunter2.duckdb?pipeline=p", "duckdb:///PATH"),
        ("duckbd:///hunter2.duckdb?pipeline=p", "duckdb:///PATH"),
        ("file//hunter2.json", "file:///PATH"),
        ("flie:///hunter2.json", "file:///PATH"),
    ],
)
def test_the_nearest_form_is_named(location: str, form: str) -> None:
    said = refusal(78, "show", location)
    assert "looks like a URL and is none" in said
    assert f"give the path of a file, or {form}" in said
    assert "hunter2" not in said


def test_a_scheme_that_is_like_none_is_told_of_all() -> None:
    said = refusal(78, "show", "s3://bucket/hunter2")
    assert all(f"{name}://" in said for name in SCHEMES if name != "postgres")
    assert "hunter2" not in said
