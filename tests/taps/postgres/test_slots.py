"""`tap-postgres slot list`, `create` and `drop` on a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from conformance.processes import run
from conftest import run_sql
from psycopg2.extras import LogicalReplicationConnection
from taps.postgres.conftest import TAP, Shop

from singerkit_shell.arguments import command_first
from singerkit_shell.errors import ConfigurationError, LockHeldError, UsageError
from tap_postgres.slot.command import command
from tap_postgres.tap import TapPostgres

TABLES = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY); INSERT INTO t VALUES (1, 'a')"

Slot = Callable[..., str]


@pytest.fixture
def slot(logged: Shop, capsys: pytest.CaptureFixture[str]) -> Slot:
    """Runs a command on the config of the shop, with two tables in its database; returns what it prints."""
    logged.execute(TABLES)

    def runs(verb: str, *options: str, **changes: Any) -> str:
        config = logged.file("config.json", logged.settings(**changes))
        capsys.readouterr()
        command.main(["slot", verb, "--config", config, *options], standalone_mode=False, obj=TapPostgres)
        return capsys.readouterr().out

    return runs


def name_of(shop: Shop) -> str:
    return str(shop.config["log"]["slot"])


@contextmanager
def somebody_reads_by(shop: Shop) -> Iterator[None]:
    connection = psycopg2.connect(shop.dsn, connection_factory=LogicalReplicationConnection)
    with connection.cursor() as cursor:
        name = name_of(shop)
        cursor.start_replication(
            name, decode=False, options={"proto_version": "1", "publication_names": f'"{name}"'}
        )
        yield
    connection.close()


def test_what_is_made_before_the_first_run_is_what_it_reads_by(logged: Shop, slot: Slot) -> None:
    name = name_of(logged)
    planned = slot("create", "--dry-run").splitlines()
    assert len(planned) == 2
    assert f"There is no slot `{name}`" in slot("list"), "a dry run has made something"
    made = slot("create").splitlines()
    assert made[0] == f"Made the publication `{name}` for `public.t`, `public.u`."
    assert made[1].startswith(f"Made the slot `{name}`: the server keeps its log from ")
    logged.execute("INSERT INTO t VALUES (2, 'b')")
    logged.config["log"]["create"] = False
    first = logged.sync()
    assert first.column("id") == [1, 2]
    logged.execute("INSERT INTO t VALUES (3, 'c')")
    assert logged.sync(first.state).column("id") == [3]
    assert slot("create") == (
        f"The publication `{name}` is there, and tells of all tables.\nThe slot `{name}` is there.\n"
    )
    assert slot("create", "--dry-run") == "-- Nothing lacks.\n"


def test_the_statements_of_a_dry_run_make_the_same(logged: Shop, slot: Slot) -> None:
    for statement in slot("create", "--dry-run").splitlines():
        logged.execute(statement)
    assert slot("create", "--dry-run") == "-- Nothing lacks.\n"


def test_the_list_shows_who_reads_and_what_is_held(logged: Shop, slot: Slot) -> None:
    other = f"{name_of(logged)}_other"
    slot("create", "--catalog", logged.file("catalog.json", logged.discover(tables=["public.t"])))
    logged.execute(f"SELECT pg_create_logical_replication_slot('{other}', 'test_decoding')")
    logged.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(10, 20) AS n")
    with somebody_reads_by(logged):
        found = json.loads(slot("list", "--json"))
        lines = slot("list").splitlines()
    ours, others = [one for one in found["slots"] if one["name"] in (name_of(logged), other)]
    assert (ours["plugin"], ours["active"], ours["of_this_config"]) == ("pgoutput", True, True)
    assert (others["plugin"], others["active"], others["of_this_config"]) == ("test_decoding", False, False)
    assert ours["reader"].startswith(f"process {ours['active_pid']} of ")
    assert ours["held_bytes"] >= others["held_bytes"] > 10_000
    assert ours["held_alone_bytes"] <= ours["held_bytes"] - others["held_bytes"]
    assert (ours["wal_status"], ours["confirmed"] is not None) == ("reserved", True)
    assert [one["table"] for one in found["tables"]] == ["t"]
    assert found["missing_tables"] == ["public.u"]
    (line,) = [line for line in lines if line.startswith("* ")]
    assert f"process {ours['active_pid']} of " in line
    assert [line for line in lines if other in line and "nobody" in line and "kB" in line]
    assert "  public.t (id, v)" in lines or "  public.t" in lines
    assert lines[-1] == "It does not tell of public.u, which this config reads from the log."


def test_a_slot_that_is_read_is_not_dropped(logged: Shop, slot: Slot) -> None:
    slot("create")
    with (
        somebody_reads_by(logged),
        pytest.raises(LockHeldError, match=r"is read now \(process .* nothing was dropped"),
    ):
        slot("drop", "--yes")
    assert json.loads(slot("list", "--json"))["tables"]


def test_a_drop_says_what_goes_and_what_the_next_run_does(logged: Shop, slot: Slot) -> None:
    name = name_of(logged)
    first = logged.sync()
    logged.execute("INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(10, 20) AS n")
    with pytest.raises(UsageError, match=r"Nobody can be asked here, and nothing was dropped: give `--yes`"):
        slot("drop")
    state = logged.file("state.json", first.state)
    said = slot("drop", "--dry-run", "--state", state)
    assert f"Drop the slot `{name}` (" in said
    assert " kB" in said
    assert (
        f"the publication `{name}` (2 tables)? The next run with this state ends (78), and says how to start `public-t`, `public-u` over"
        in said
    )
    assert "The next run without a state reads the tables anew" in slot("drop", "--dry-run")
    assert slot("drop", "--yes") == f"Dropped the slot `{name}` and the publication `{name}`.\n"
    with pytest.raises(
        ConfigurationError, match=r"so that changes are missing; what is loaded is safe: .* start over with"
    ):
        logged.sync(first.state)
    assert len(logged.sync().rows()) == 12
    slot("drop", "--yes")
    assert (
        slot("drop", "--yes") == f"There is neither a slot nor a publication `{name}`; nothing was dropped.\n"
    )


def test_only_what_is_named_is_dropped_beside_the_slot_of_the_config(logged: Shop, slot: Slot) -> None:
    name, other = name_of(logged), f"{name_of(logged)}_other"
    slot("create")
    logged.execute(f"SELECT pg_create_logical_replication_slot('{other}', 'pgoutput')")
    with pytest.raises(
        ConfigurationError, match=r"no logical slot `typo`; nothing was dropped: `tap-postgres slot list`"
    ):
        slot("drop", "typo", "--yes")
    assert slot("drop", other, "--yes") == f"Dropped the slot `{other}`.\n"
    kept = slot("drop", "--yes", log={"slot": name, "publication": "shared"})
    assert kept == f"Dropped the slot `{name}`.\n"
    logged.execute("CREATE PUBLICATION shared FOR TABLE t")
    kept = slot("drop", "--yes", log={"slot": name, "publication": "shared"})
    assert 'stays, since others may read by it: DROP PUBLICATION "shared"' in kept


def test_a_slot_of_another_database_is_not_dropped_from_here(
    logged: Shop, slot: Slot, logical_server: str
) -> None:
    other = f"{name_of(logged)}_far"
    run_sql(logical_server, f"SELECT pg_create_logical_replication_slot('{other}', 'pgoutput')")
    try:
        with pytest.raises(ConfigurationError, match=r"is one of the database .* connect to that one"):
            slot("drop", other, "--yes")
    finally:
        run_sql(logical_server, f"SELECT pg_drop_replication_slot('{other}')")


def test_a_table_does_not_join_a_publication_by_which_it_may_have_been_read(logged: Shop, slot: Slot) -> None:
    """The changes between would be missing, with exit 0."""
    first = logged.sync()
    state = logged.file("state.json", first.state)
    logged.execute(f'ALTER PUBLICATION "{name_of(logged)}" DROP TABLE u', "INSERT INTO u VALUES (1)")
    with pytest.raises(
        ConfigurationError, match=r"`public.u`, and changes would be missing .* name the state with `--state`"
    ):
        slot("create")
    with pytest.raises(
        ConfigurationError, match=r"`public.u`, and the state says that the log of it was read"
    ):
        slot("create", "--state", state)
    kept = first.state
    del kept["bookmarks"]["public-u"]
    added = slot("create", "--state", logged.file("state.json", kept))
    assert added.startswith(f"Added `public.u` to the publication `{name_of(logged)}`.")
    assert logged.sync(kept).column("id", "public-u") == [1]


def test_no_state_goes_on_by_a_publication_that_is_made_anew(logged: Shop, slot: Slot) -> None:
    """PostgreSQL 18 is silent about what was written while there was none."""
    first = logged.sync()
    logged.execute(f'DROP PUBLICATION "{name_of(logged)}"', "INSERT INTO t VALUES (2, 'lost')")
    said = slot("create").splitlines()
    assert said[1].endswith("now: it had no publication before.")
    assert logged.sync(first.state).column("id") == [1, 2], "the stream starts anew"
    for part in first.state["bookmarks"].values():
        part["_singerkit_log"].pop("identity")  # as before they stood in states
    with pytest.raises(ConfigurationError, match="so that changes are missing"):
        logged.sync(first.state)


def test_a_slot_that_is_there_is_not_pushed_on_while_somebody_reads_by_it(logged: Shop, slot: Slot) -> None:
    slot("create")
    with somebody_reads_by(logged):
        logged.execute(f'DROP PUBLICATION "{name_of(logged)}"')
        with pytest.raises(LockHeldError, match="is read by another session"):
            slot("create")
    assert json.loads(slot("list", "--json"))["tables"] is None


def test_no_table_is_published_that_nobody_could_change_then(logged: Shop, slot: Slot) -> None:
    logged.execute("CREATE TABLE keyless (v text)")
    for options in ([], ["--dry-run"]):
        with pytest.raises(
            ConfigurationError,
            match=r'public.keyless: it has no replica identity.* Nothing was made. Run: ALTER TABLE "public"."keyless" REPLICA',
        ):
            slot("create", *options)
    assert json.loads(slot("list", "--json"))["tables"] is None


def test_a_config_without_streams_of_the_log_makes_nothing(logged: Shop, slot: Slot) -> None:
    with pytest.raises(ConfigurationError, match="No stream is read from the log, so that nothing was made"):
        slot("create", streams=[])


def test_the_executable_takes_the_command_behind_the_options_of_meltano(logged: Shop) -> None:
    """And says what is wrong in one sentence; a role that may not make a slot has a code of its own."""
    logged.execute(TABLES)
    before = logged.command()[1:]
    done = run([TAP, *before, "slot", "list", "--json"])
    assert (done.code, json.loads(done.stdout)["missing_tables"]) == (0, ["public.t", "public.u"]), done
    done = run([TAP, "slot", "drop", "none_such", *before, "--yes"])
    assert (done.code, done.last_words.startswith("CRITICAL tap-postgres: There is no logical slot")) == (
        78,
        True,
    )


def test_the_command_is_found_among_options() -> None:
    commands, valued = {"slot": ("list",)}, ("--config", "-c")
    assert command_first(["slot", "list", "-h"], commands, valued) == ["slot", "list", "-h"]
    assert command_first(["-c", "slot", "slot", "list", "x"], commands, valued) == [
        "slot",
        "list",
        "-c",
        "slot",
        "x",
    ]
    assert command_first(["--config=a", "slot", "wrong"], commands, valued) == ["slot", "--config=a", "wrong"]
    assert command_first(["--config", "slot"], commands, valued) is None
    assert command_first(["other", "slot"], commands, valued) is None
    assert command_first([], commands, valued) is None
