"""tap-postgres on a standby, and behind its promotion (P16, P17)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import run_sql
from faults.servers import private_server, standby_of
from taps.postgres.conftest import Shop
from waiting import wait_until

from singerkit_shell.errors import SingerkitError


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Shop, Shop]]:
    """A primary with a logical log and a table, and its standby."""
    with private_server() as server:
        for statement in (
            "ALTER SYSTEM SET wal_level = 'logical'",
            "ALTER SYSTEM SET fsync = off",
            "CREATE TABLE t (id int PRIMARY KEY, v text)",
        ):
            run_sql(server.uri, statement)
        server.stop()
        server.start()
        with standby_of(server) as uri:
            log = {"streams": [{"name": "*", "replication_method": "LOG_BASED"}], "log": {"slot": "s"}}
            yield Shop(server.uri, tmp_path, log), Shop(uri, tmp_path, log)


def catch_up(primary: Shop, standby: Shop) -> None:
    """Wait until the standby has replayed what the primary has."""
    ((end,),) = primary.query("SELECT pg_current_wal_lsn()")
    wait_until(
        lambda: standby.query(f"SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn")[0][0], "the standby"
    )


def test_a_standby_is_read_and_behind_its_promotion_only_what_it_has_had(pair: tuple[Shop, Shop]) -> None:
    primary, standby = pair
    primary.execute("INSERT INTO t VALUES (1, 'one')")
    catch_up(primary, standby)
    assert standby.sync(streams=[]).column("id") == [1]
    by_key = [{"name": "*", "replication_key": "id"}]
    assert standby.sync(streams=by_key).column("id") == [1]
    # The log, by a slot of the standby's own; the publication comes from the primary.
    primary.execute("CREATE PUBLICATION s FOR TABLE t WITH (publish_via_partition_root = true)")
    slot = primary.sync().state
    catch_up(primary, standby)
    made = "SELECT 1 FROM pg_create_logical_replication_slot('s', 'pgoutput')"
    run_slot(primary, standby, made)
    first = standby.sync()
    assert first.column("id") == [1]
    primary.execute("INSERT INTO t VALUES (2, 'two')")
    catch_up(primary, standby)
    second = standby.sync(first.state)
    assert second.column("id") == [2]
    # The standby is cut off and promoted; the primary has gone further.
    standby.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
    wait_until(lambda: not standby.query("SELECT 1 FROM pg_stat_wal_receiver"), "the receiver's end")
    primary.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(10, 300) n")
    ahead = primary.sync(slot).state
    standby.execute("SELECT pg_promote()")
    standby.execute("INSERT INTO t SELECT n, repeat('y', 1000) FROM generate_series(400, 900) n")
    ahead["_singerkit_log"]["source"] = second.state["_singerkit_log"]["source"]
    with pytest.raises(
        SingerkitError, match=r"promoted or restored at .* never had what was read up to"
    ) as caught:
        standby.sync(ahead)
    assert caught.value.exit_code == 78
    third = standby.sync(second.state)
    assert third.column("id") == list(range(400, 901))
    assert third.state["_singerkit_log"]["position"].endswith("@2")
    with pytest.raises(SingerkitError, match="is on timeline 1, and the state on 2"):
        primary.sync(third.state)


def run_slot(primary: Shop, standby: Shop, statement: str) -> None:
    """Make a slot on a standby, which waits until the primary says which transactions run."""
    making = threading.Thread(target=lambda: standby.execute(statement))
    making.start()
    while making.is_alive():
        primary.execute("SELECT pg_log_standby_snapshot()")
        making.join(0.05)
