"""`singerkit-state` over the row of a database, with real targets at work on it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from conftest import run_sql, uri_of
from faults.loads import MARKED, RECORD, SCHEMA, Running, lines, load, running, table
from psycopg2 import sql
from state.state_tool import TOOL, answer, state_url, tool
from waiting import wait_until

from singerkit_state.history import LIMIT, kept_now
from singerkit_state.postgres import fencing
from singerkit_state.postgres import history as history_table
from singerkit_state.postgres import table as state_table

ROWS = SCHEMA("rows", {"n": {"type": "integer"}})
STRACE = shutil.which("strace")


def row(number: int) -> Any:
    return RECORD("rows", {"n": number})


def state(number: Any, *, complete: bool = False) -> Any:
    return MARKED({"bookmarks": {"rows": {"replication_key_value": number}}}, complete=complete)


def bookmark(url: str) -> Any:
    return answer("get", url, "rows")["replication_key_value"]


def history(url: str) -> list[Any]:
    return list(answer("history", url, "--json")["entries"])


@pytest.fixture
def url(database: str) -> str:
    """The state URL of a pipeline that has loaded rows 1 and 2."""
    load(database, MARKED({}), ROWS, row(1), row(2), state(2, complete=True)).expect(0)
    return state_url(database)


@contextlib.contextmanager
def at_work(database: str) -> Iterator[Running]:
    """A target that has committed row 3 and waits for more; it commits at each STATE."""
    with running(database, commit_rows=1) as target:
        target.send(lines(state(2), ROWS, row(3), state(3)))
        assert target.wait_for(
            lambda out: any(b'"replication_key_value":3' in line.replace(b" ", b"") for line in out)
        )
        yield target


# looking


def test_show_says_how_far_who_and_when(database: str, url: str) -> None:
    shown = answer("show", url, "--json")
    assert (shown["pipeline"], shown["kind"], shown["epoch"], shown["complete"]) == (
        "default",
        "database",
        1,
        True,
    )
    assert shown["sequence"] >= 1
    assert shown["lock"] is None
    assert shown["committed_at"].endswith("+00:00")
    assert shown["state"]["bookmarks"] == {"rows": {"replication_key_value": 2}}
    text = tool("show", url).stdout.decode()
    assert "lock       free" in text
    assert "rows    bookmark = 2" in text


def test_show_names_the_run_that_is_at_work(database: str, url: str) -> None:
    with at_work(database) as target:
        lock = answer("show", url, "--json")["lock"]
        assert (lock["pid"], lock["host"]) == (target._process.pid, platform.node())
        assert lock["since"].startswith("20")
        assert f"pid {target._process.pid} on host" in tool("show", url).stdout.decode()
        target.send(lines(state(3, complete=True)))
        target.finish().expect(0)


def test_show_without_a_pipeline_lists_all_of_them(database: str, url: str) -> None:
    load(database, MARKED({}), ROWS, row(1), state(1, complete=True), pipeline="another").expect(0)
    everything = state_url(database, None, schema="public")
    assert [one["pipeline"] for one in answer("show", everything, "--json")["pipelines"]] == [
        "another",
        "default",
    ]
    assert [line.split()[0] for line in tool("show", everything).stdout.decode().splitlines()] == [
        "pipeline",
        "another",
        "default",
    ]
    done = tool("set", everything, '{"bookmarks":{"a":1}}', expect=[78])
    assert "it names no pipeline" in done.last_words


def test_where_there_is_nothing_looking_makes_nothing(database: str) -> None:
    url = state_url(database)
    assert "No state yet" in tool("show", url, expect=[78]).stdout.decode()
    assert tool("history", url, "--json", expect=[78]).stdout == b""
    assert "There is no state yet" in tool("get", url, expect=[78]).last_words
    assert (
        tool("show", state_url(database, None), expect=[78]).stdout == b"No pipeline has a state here yet.\n"
    )
    query = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    assert run_sql(database, query) == [(0,)]


# changing


def test_numbers_stay_exact(database: str) -> None:
    url = state_url(database)
    tool("set", url, '{"bookmarks":{"a":{"n":1.10,"big":123456789012345678901234567890,"e":1e400}}}')
    assert tool("get", url, "a").stdout == b'{"n":1.10,"big":123456789012345678901234567890,"e":1E+400}\n'
    assert (
        answer("show", url, "--json")["state"]["bookmarks"]["a"]["n"].as_tuple() == Decimal("1.10").as_tuple()
    )


def test_a_running_target_cannot_undo_a_set(database: str, url: str) -> None:
    """The requirement of issue 3: `set` bumps the epoch, the target's next commit ends with 76."""
    with at_work(database) as target:
        done = answer("set", url, "--json", json.dumps({"bookmarks": {"rows": {"replication_key_value": 1}}}))
        assert done["fenced"]["pid"] == target._process.pid
        assert done["after"]["epoch"] == done["before"]["epoch"] + 1 == 3
        assert done["after"]["sequence"] == done["before"]["sequence"] + 1
        target.send(lines(row(4), state(4), row(5), state(5, complete=True)))
        outcome = target.finish().expect(76)
    assert "by `singerkit-state set by " in outcome.last_words
    assert "run again to go on from the state that stands there now" in outcome.last_words
    assert bookmark(url) == 1
    assert table(database, "rows", "n") == [(1,), (2,), (3,)]
    load(database, state(1), ROWS, row(6), state(6, complete=True)).expect(0)
    assert bookmark(url) == 6


def test_a_set_says_on_a_terminal_whom_it_has_fenced(database: str, url: str) -> None:
    with at_work(database) as target:
        said = tool("set", url, "--stream", "rows", '{"replication_key_value":1}').stderr
        assert "  - replication_key_value: 3\n  + replication_key_value: 1\n" in said
        assert "At work was the run " in said
        assert f"pid {target._process.pid} on host" in said
        target.signal(signal.SIGKILL)
        target.finish()


def test_a_value_set_by_hand_keeps_whose_it_is(database: str, url: str) -> None:
    tool("set", url, '{"bookmarks":{"rows":{"replication_key_value":9}}}')
    assert answer("get", url)["_singerkit"] == {"run": "r1", "pipeline": "default", "complete": True}
    foreign = '{"bookmarks":{"a":1},"_singerkit":{"run":"r","pipeline":"theirs","complete":true}}'
    assert "`theirs`" in tool("set", url, foreign, expect=[78]).last_words
    assert bookmark(url) == 9
    tool("set", url, foreign, "--adopt")
    assert answer("get", url)["_singerkit"]["pipeline"] == "default"


def test_set_on_a_pipeline_that_has_never_run(database: str) -> None:
    url = state_url(database, "new", schema='my "schema"; --%s')
    tool("set", url, '{"bookmarks":{"rows":{"replication_key_value":5}}}')
    shown = answer("show", url, "--json")
    assert (shown["epoch"], shown["sequence"]) == (1, 1)
    assert [entry["state"] for entry in history(url)] == [None]
    tool("history", url, "--restore", 1)
    assert answer("show", url, "--json")["state"] is None


def test_reset_forgets_a_stream_or_everything(database: str, url: str) -> None:
    two = {"bookmarks": {"rows": {"replication_key_value": 2}, "others": {"replication_key_value": 3}}}
    tool("set", url, json.dumps(two))
    assert (
        "no stream `x`; its streams: `rows`, `others`"
        in tool("reset", url, "--yes", "--stream", "x", expect=[64]).last_words
    )
    tool("reset", url, "--yes", "--stream", "rows")
    assert list(answer("get", url)["bookmarks"]) == ["others"]
    done = tool("reset", url, "--yes")
    assert "Rows that are loaded stay." in done.stderr
    assert answer("show", url, "--json")["state"] is None
    assert [entry["why"] for entry in history(url)][:3] == ["reset", "reset", "set"]


def test_a_misspelt_pipeline_is_told_those_that_there_are(database: str, url: str) -> None:
    told = tool("show", state_url(database, "defualt"), expect=[78]).last_words
    assert "check the name (there are `default`)" in told


def test_nobody_to_ask_is_a_usage_error(url: str) -> None:
    for command in (["reset", url], ["reset", url, "--stream", "rows"]):
        assert "give `--yes`" in tool(*command, expect=[64]).last_words
    assert bookmark(url) == 2


# the history


def test_each_run_keeps_what_it_began_with_once(database: str, url: str) -> None:
    load(database, state(2), ROWS, row(3), state(3), row(4), state(4, complete=True), commit_rows=1).expect(0)
    load(database, state(4), ROWS, state(4, complete=True)).expect(0)
    load(database, state(4), ROWS, row(5), state(5, complete=True)).expect(0)
    entries = history(url)
    assert [entry["why"] for entry in entries] == ["run", "run"], (
        "the third run began with what the second did"
    )
    assert [entry["state"]["bookmarks"]["rows"]["replication_key_value"] for entry in entries] == [4, 2]
    assert [entry["number"] for entry in entries] == [2, 1]
    assert all("@" in entry["by"] and entry["pid"] and entry["run_id"] for entry in entries)
    assert entries[0]["epoch"] == 2


def test_going_back(database: str, url: str) -> None:
    before = answer("get", url)
    tool("set", url, '{"bookmarks":{"rows":{"replication_key_value":7}}}')
    assert answer("diff", url, "--json", expect=[1])["streams"]["rows"]["changed"] == {
        "replication_key_value": {"from": 2, "to": 7}
    }
    (entry,) = history(url)
    assert (entry["why"], entry["by"].split("@")[1]) == ("set", platform.node())
    tool("history", url, "--restore", entry["number"])
    assert answer("get", url) == before
    tool("set", url, "--from-history", 2)
    assert bookmark(url) == 7
    assert [entry["why"] for entry in history(url)] == ["restore", "restore", "set"]
    assert "no entry 99" in tool("set", url, "--from-history", 99, expect=[64]).last_words
    assert len(answer("history", url, "--json", "--limit", 2)["entries"]) == 2


def test_the_history_is_bounded_and_keeps_the_newest(database: str, url: str) -> None:
    place = ("public", "_singerkit_state", "default")
    with (
        contextlib.closing(psycopg2.connect(database)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        for number in range(LIMIT + 5):
            entry = kept_now(json.dumps({"bookmarks": {"rows": number}}), "set", None, 1, 1)
            history_table.keep(cursor, *place, entry, state_table.creation_lock(cursor, *place[:2]))
    entries = history(url)
    assert [entry["number"] for entry in entries] == list(range(LIMIT + 5, 5, -1))
    assert entries[0]["state"]["bookmarks"]["rows"] == LIMIT + 4


def test_a_role_that_may_not_make_a_history_runs_without(
    password_role: tuple[str, str], database: str, url: str
) -> None:
    name, password = password_role
    role = sql.Identifier(name)
    run_sql(database, sql.SQL("REVOKE CREATE ON SCHEMA public FROM public"))
    run_sql(database, sql.SQL("GRANT SELECT, INSERT, UPDATE ON _singerkit_state TO {}").format(role))
    run_sql(database, sql.SQL("GRANT ALL ON rows TO {}").format(role))
    limited = uri_of(database, user=name, password=password)
    done = load(limited, state(2), ROWS, row(3), state(3, complete=True)).expect(0)
    assert done.stderr.count("is not kept in") == 1
    assert history(url) == []
    # Who changes a state by hand must be able to keep the former value.
    refused = tool(
        "set", state_url(limited), '{"bookmarks":{"rows":{"replication_key_value":1}}}', expect=[77]
    )
    assert "permission denied" in refused.last_words
    assert password not in refused.stderr
    assert bookmark(url) == 3


def test_names_of_histories_differ_when_tables_do(database: str) -> None:
    long = ["x" * 63, "x" * 62 + "y", "é" * 31, "x" * 50, "x" * 56]
    assert len({history_table.name_of(name) for name in long}) == len(long)
    assert all(len(history_table.name_of(name).encode()) <= 63 for name in long)
    for name in long[:2]:
        url = state_url(database, table=name)
        tool("set", url, '{"bookmarks":{"a":1}}')
        assert len(history(url)) == 1


# many at once, and sudden deaths


def test_sets_at_once_come_one_after_the_other(database: str, url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        values = [json.dumps({"bookmarks": {"rows": {"replication_key_value": n}}}) for n in range(10, 15)]
        list(pool.map(lambda value: tool("set", url, value), values))
    entries = history(url)
    assert [entry["number"] for entry in entries] == list(range(5, 0, -1))
    kept = [entry["state"]["bookmarks"]["rows"]["replication_key_value"] for entry in entries]
    assert sorted([*kept, bookmark(url)]) == [2, *range(10, 15)], "each value was there, and then kept"
    assert answer("show", url, "--json")["epoch"] == 6


def test_a_commit_in_progress_is_waited_for_and_then_replaced(database: str, url: str) -> None:
    with contextlib.closing(psycopg2.connect(database)) as run:
        begun = fencing.acquire(run, "public", "_singerkit_state", "default", "run-x")
        with run.cursor() as cursor:
            fencing.advance(cursor, begun, '{"bookmarks":{"rows":{"replication_key_value":50}}}')
        with ThreadPoolExecutor(1) as pool:
            setting = pool.submit(tool, "set", url, '{"bookmarks":{"rows":{"replication_key_value":1}}}')
            waiting = (
                "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND application_name = 'singerkit-state' AND datname = current_database()"
            )
            wait_until(lambda: bool(run_sql(database, waiting)))
            run.commit()
            setting.result(timeout=30)
    assert bookmark(url) == 1
    assert history(url)[0]["state"]["bookmarks"]["rows"]["replication_key_value"] == 50


@pytest.mark.skipif(STRACE is None, reason="needs strace (Debian: apt-get install strace; .ci/run does it)")
def test_killed_at_any_message_to_the_server_it_leaves_the_old_or_the_new(database: str, url: str) -> None:
    assert STRACE
    old, deaths = 2, 0
    for count in range(1, 60, 2):
        new = 100 + count
        value = json.dumps({"bookmarks": {"rows": {"replication_key_value": new}}})
        inject = f"inject=sendto:signal=KILL:when={count}"
        done = subprocess.run(
            [STRACE, "-f", "-o", os.devnull, "-e", "trace=sendto", "-e", inject, TOOL, "set", url, value],
            capture_output=True,
            timeout=60,
            check=False,
        )
        found = bookmark(url)
        assert found in (old, new)
        top = history(url)[0]["state"]["bookmarks"]["rows"]["replication_key_value"] if found == new else None
        assert top in (old, None), "the former value is kept if and only if it was replaced"
        old = found
        if done.returncode == 0:
            break
        deaths += 1
    assert done.returncode == 0
    assert deaths >= 4
    assert run_sql(
        database,
        "SELECT count(*) FROM _singerkit_state_history h JOIN _singerkit_state s USING (pipeline) WHERE h.state::text = s.state::text",
    ) == [(0,)]


# unlocking


def test_unlock_ends_a_run_that_is_stuck(database: str, url: str) -> None:
    with at_work(database) as target:
        target.send(lines(row(4)))
        target.signal(signal.SIGSTOP)
        refused = load(database, state(3), ROWS, row(5), state(5, complete=True)).expect(75)
        assert f"pid {target._process.pid}" in refused.last_words
        assert "give `--yes`" in tool("unlock", url, expect=[64]).last_words
        ended = answer("unlock", url, "--yes", "--json")["ended"]
        assert ended["pid"] == target._process.pid
        shown = answer("show", url, "--json")
        assert (shown["lock"], shown["epoch"]) == (None, 3)
        load(database, state(3), ROWS, row(5), state(5, complete=True)).expect(0)
        target.signal(signal.SIGCONT)
        target.send(lines(state(4), row(6), state(6, complete=True)))
        target.finish().expect(76, 69)
    assert table(database, "rows", "n") == [(1,), (2,), (3,), (5,)]
    assert [entry["why"] for entry in history(url)].count("unlock") == 1


def test_unlock_of_a_free_pipeline_changes_nothing(url: str) -> None:
    assert answer("unlock", url, "--json")["ended"] is None
    assert "The lock is free." in tool("unlock", url).stderr
    assert answer("show", url, "--json")["epoch"] == 1


# secrets


def test_a_password_is_never_printed(password_role: tuple[str, str], database: str) -> None:
    name, password = password_role
    wrong = password + "x"
    url = state_url(uri_of(database, user=name, password=wrong))
    for command in (["--debug", "show", url], ["history", url], ["set", url, '{"bookmarks":{"a":1}}']):
        done = tool(*command, expect=[77])
        for secret in (wrong, wrong.replace("@", "%40"), "p%40ss"):
            assert secret not in done.stderr + done.stdout.decode()
