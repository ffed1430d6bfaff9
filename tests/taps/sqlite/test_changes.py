"""What has changed since the run before: how a stream is read, and what the database has."""

from __future__ import annotations

import pytest
from taps.sqlite.conftest import root

from singerkit_shell.errors import ConfigurationError


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
