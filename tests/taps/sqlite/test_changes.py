"""What has changed since the run before: how a stream is read, and what the database has."""

from __future__ import annotations

import pytest
from taps.written import root

from singerkit_shell.errors import BadDataError, ConfigurationError


def keyless(shop, rows: int = 2) -> None:
    shop.execute("CREATE TABLE t (v INT, u INT)")
    shop.execute("INSERT INTO t VALUES (?, ?)", rows=[(n, n) for n in range(rows)])


# How a stream is read


@pytest.mark.parametrize("versions", [True, False])
def test_rows_of_full_loads_do_not_come_again_by_a_new_replication_key(shop, versions):
    keyless(shop)
    loaded = shop.sync(activate_version=versions)
    shop.by("u")
    with pytest.raises(
        ConfigurationError, match=r"as a whole before, and is now read by `u`, without a key.*empty its table"
    ):
        shop.sync(loaded.state)
    assert shop.result().messages == []
    assert shop.sync().column("v") == [0, 1], "without a state it is a first run"


def test_a_replication_key_chosen_in_the_catalog_is_as_one_of_the_config(shop):
    keyless(shop)
    loaded = shop.sync()
    catalog = shop.discover()
    root(catalog["streams"][0]).update({"replication-method": "INCREMENTAL", "replication-key": "u"})
    with pytest.raises(ConfigurationError, match="read as a whole before"):
        shop.sync(loaded.state, catalog)


def test_a_load_that_was_cut_off_has_sent_rows_too(shop):
    keyless(shop)
    state = {"bookmarks": {"t": {"_singerkit_load": {"version": 1, "position": {"after": [1], "of": "x"}}}}}
    shop.by("u")
    with pytest.raises(ConfigurationError, match="read as a whole before"):
        shop.sync(state)


def test_a_first_run_by_replication_key_that_met_no_row_goes_on(shop):
    keyless(shop, rows=0)
    shop.by("u")
    first = shop.sync()
    shop.execute("INSERT INTO t VALUES (1, 1)")
    assert shop.sync(first.state).column("v") == [1]


def test_with_a_key_rows_replace_themselves(shop):
    shop.execute("CREATE TABLE t (v INTEGER PRIMARY KEY, u INT)", "INSERT INTO t VALUES (1, 1), (2, 2)")
    loaded = shop.sync()
    shop.by("u")
    second = shop.sync(loaded.state)
    assert second.column("v") == [1, 2]
    assert shop.sync(second.state).column("v") == []


@pytest.mark.parametrize(
    "said", [{"last_replication_method": "FULL_TABLE"}, {"initial_full_table_complete": True}]
)
def test_full_loads_of_others_are_known(shop, said):
    keyless(shop)
    shop.by("u")
    with pytest.raises(ConfigurationError, match="read as a whole before"):
        shop.sync({"bookmarks": {"t": said}})


def test_a_bookmark_says_more_than_the_word_of_others_that_all_was_read(shop):
    keyless(shop)
    shop.by("u")
    said = {"last_replication_method": "FULL_TABLE", "replication_key": "u", "replication_key_value": 1}
    assert shop.sync({"bookmarks": {"t": said}}).column("v") == [1]


@pytest.mark.parametrize(("before", "now"), [(["v"], []), ([], ["v"]), (["v"], ["u"])])
def test_another_key_of_a_stream_that_is_read_as_a_whole_is_told_of(shop, caplog, before, now):
    keyless(shop)
    first = shop.sync(streams=[{"name": "t", "primary_keys": before}])
    shop.sync(first.state, streams=[{"name": "t", "primary_keys": before}])
    assert "read otherwise" not in caplog.text
    shop.sync(first.state, streams=[{"name": "t", "primary_keys": now}])
    assert "what came before stays in the target beside the rows that come now, unless" in caplog.text


# A catalog that says something beside the metadata


def test_the_old_form_of_a_catalog_chooses_how_a_stream_is_read(shop):
    keyless(shop)
    catalog = shop.discover()
    catalog["streams"][0].update(replication_method="INCREMENTAL", replication_key="u")
    assert shop.sync(catalog=catalog).state["bookmarks"]["t"]["replication_key_value"] == 1


def test_the_old_form_and_the_metadata_may_not_differ(shop):
    keyless(shop)
    shop.by("u")
    catalog = shop.discover()
    catalog["streams"][0]["replication_method"] = "FULL_TABLE"
    with pytest.raises(
        ConfigurationError, match="says two things of stream `t`: `FULL_TABLE` at `replication_method`"
    ):
        shop.sync(catalog=catalog)
    root(catalog["streams"][0])["replication-method"] = "FULL_TABLE"
    assert len(shop.sync(catalog=catalog).of_type("ACTIVATE_VERSION")) == 1


def test_a_replication_key_without_its_method_is_told_of(shop, caplog):
    keyless(shop)
    catalog = shop.discover()
    catalog["streams"][0]["replication_key"] = "u"
    shop.sync(catalog=catalog)
    assert "names the replication key `u` of stream `t`, which is read as a whole" in caplog.text


# What the database has no more


def test_a_column_that_is_gone_is_told_of_before_a_target_makes_it(shop):
    keyless(shop)
    shop.execute("CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1)")
    catalog = shop.discover()
    shop.execute("ALTER TABLE t DROP COLUMN v")
    with pytest.raises(ConfigurationError, match="has the column `v` of `t`, which is gone from the table"):
        shop.sync(catalog=catalog)
    assert shop.result().messages == []


def named(*names: str) -> dict:
    return {"bookmarks": {name: {} for name in names}}


def test_a_table_that_is_gone_is_told_of(shop, caplog):
    keyless(shop)
    shop.execute("CREATE TABLE gone (x INT)", "CREATE TABLE hidden (x INT)")
    first = shop.sync()
    shop.execute("DROP TABLE gone")
    shop.sync(first.state, tables=["!hidden"])
    (told,) = {line for line in caplog.text.splitlines() if "any more" in line and "Once more" not in line}
    assert "The source does not have `gone` any more, which the state knows: nothing of it is read" in told
    assert "reset STATE --stream gone" in told
    assert "renamed" not in told
    assert "hidden" not in told
    assert "Once more, what this run warned of: The source does not have `gone`" in caplog.text
    (again,) = {line for line in caplog.text.splitlines() if "Once more" in line}
    assert again.endswith(" ... (in full above)")
    assert "reset STATE --stream gone" not in again


def test_a_table_that_may_have_been_renamed(shop, caplog):
    keyless(shop)
    first = shop.sync()
    shop.execute("ALTER TABLE t RENAME TO orders")
    assert shop.sync(first.state).column("v", "orders") == [0, 1]
    assert "If it was renamed: `orders` is read from the beginning, into a table of that name." in caplog.text


@pytest.mark.parametrize("key", ["", "PRIMARY KEY"])
def test_a_table_renamed_in_letter_case_only(shop, caplog, key):
    shop.execute(f"CREATE TABLE t (v INTEGER {key})", "INSERT INTO t VALUES (1)")
    first = shop.sync()
    shop.execute("ALTER TABLE t RENAME TO x", "ALTER TABLE x RENAME TO T")
    if not key:
        with pytest.raises(
            ConfigurationError, match=r"is `T` at the source now, and has no key.*third one.*--stream t"
        ):
            shop.sync(first.state)
        assert shop.result().messages == []
        assert shop.sync(named()).column("v", "T") == [1], "forgotten, as advised"
    else:
        assert shop.sync(first.state).column("v", "T") == [1]
        assert (
            "`t`, which the state knows, is `T` at the source now: it is read from the beginning"
            in caplog.text
        )


@pytest.mark.parametrize("by", [None, "u"])
def test_a_column_renamed_in_letter_case_only(shop, caplog, by):
    shop.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u INT, name TEXT)", "INSERT INTO t VALUES (1, 1, 'a')"
    )
    shop.by(by) if by else None
    first = shop.sync()
    shop.execute("ALTER TABLE t RENAME COLUMN name TO Name")
    second = shop.sync(first.state)
    assert "Of stream `t` `name` is `Name` now." in caplog.text
    assert "drop it in the target" not in caplog.text, "that would drop what was loaded into the same column"
    assert "read otherwise" not in caplog.text
    caplog.clear()
    shop.sync(second.state)
    assert "is `Name` now" not in caplog.text


# Advice that works when it is tried


def test_the_advice_on_null_in_a_primary_key(shop):
    """`Make the catalog again` was a circle: no catalog lets a key be null."""
    shop.execute(
        "CREATE TABLE t (a TEXT PRIMARY KEY, b INT)", "INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('x', 3)"
    )
    with pytest.raises(
        BadDataError, match=r"holds NULL.*`\"primary_keys\"` of the stream in `streams`, or `\[\]` for none"
    ):
        shop.sync()
    shop.config["streams"] = [{"name": "t", "primary_keys": []}]
    assert shop.sync().column("b") == [1, 2, 3]
    assert shop.sync(catalog=shop.discover()).column("b") == [1, 2, 3]
    shop.config["streams"] = [{"name": "t", "primary_keys": ["b"]}]
    assert shop.sync().column("a") == [None, None, "x"]


def test_the_advice_on_a_start_date_beside_numbers(shop):
    keyless(shop)
    shop.by("u")
    with pytest.raises(ConfigurationError, match=r'or to `"number"` to read it from the beginning'):
        shop.sync(start_date="2024-01-01T00:00:00Z")
    shop.by("u", replication_key_format="number")
    assert shop.sync(start_date="2024-01-01T00:00:00Z").column("v") == [0, 1]


def test_the_advice_on_times_without_an_offset(shop, caplog):
    shop.execute("CREATE TABLE t (at DATETIME PRIMARY KEY)", "INSERT INTO t VALUES ('2024-10-27 02:59:00')")
    shop.by("at")
    first = shop.sync()
    assert "a `lookback` of the hour that comes twice, `3600`" in caplog.text
    assert "time_zone" not in caplog.text
    shop.execute("INSERT INTO t VALUES ('2024-10-27 02:10:00')")
    assert shop.sync(first.state).rows() == []
    shop.by("at", lookback=3600)
    assert {"at": "2024-10-27 02:10:00"} in shop.sync(first.state).rows()
    caplog.clear()
    shop.by("at")
    shop.sync(local_times="utc")
    assert "without an offset" not in caplog.text


def test_formats_that_this_tap_does_not_take_are_not_named(shop):
    shop.execute("CREATE TABLE t (at TEXT)", "INSERT INTO t VALUES ('03/01/2024')")
    shop.by("at")
    with pytest.raises(ConfigurationError) as raised:
        shop.sync()
    assert "%" not in str(raised.value)
    assert '`"text"` compares as text' in str(raised.value)


def test_another_file_is_told_of_in_words_of_this_tap(shop, caplog):
    keyless(shop)
    shop.by("u")
    first = shop.sync()
    shop.path.rename(shop.folder / "other.db")
    shop.name = "other.db"
    shop.sync(first.state)
    assert "read otherwise than by the run before: the config names another database" in caplog.text
    assert "base_url" not in caplog.text
