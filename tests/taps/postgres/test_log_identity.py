"""Tables that are others than those of the state, and logs that have not told of all: between two runs, and in one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from taps.postgres.conftest import Shop
from taps.postgres.log_target import Tables
from waiting import wait_until

from singerkit_shell.errors import SingerkitError
from tap_postgres.log import reader
from tap_postgres.log.chunks import ChunkReader
from tap_postgres.log.reader import PostgresLogReader

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 5) n"
OTHER = "CREATE TABLE u (id int PRIMARY KEY, v text); INSERT INTO u VALUES (1, 'one'), (2, 'two')"
MADE_ANEW = (
    "DROP TABLE t",
    "CREATE TABLE t (n text, id int PRIMARY KEY, v text)",
    "INSERT INTO t VALUES ('x', 2, 'new'), ('x', 9, 'nine')",
)
PARTED = (
    "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE p1 PARTITION OF t FOR VALUES FROM (1) TO (10)",
    "CREATE TABLE p2 PARTITION OF t FOR VALUES FROM (10) TO (20)",
    "INSERT INTO t SELECT n, 'v' || n FROM generate_series(7, 12) n",
)
Load = Callable[..., set[str]]


@pytest.fixture
def load(logged: Shop) -> Load:
    """Run once, and hold what a target has then against the tables; return the streams of which rows came."""
    target = Tables({"public-t": ["id"], "public-u": ["id"]})

    def run(*statements: str, are_equal: bool = True, **changes: Any) -> set[str]:
        logged.execute(*(each.replace("{name}", logged.config["log"]["slot"]) for each in statements))
        target.load(logged.sync(target.state, **changes).messages)
        for name in ("t", "u"):
            there = [(str(key), value) for key, value in logged.query(f"SELECT id, v FROM {name}")]
            have = [(str(row["id"]), row["v"]) for row in target.table(f"public-{name}")]
            assert not are_equal or sorted(have) == sorted(there), name
        run.state = target.state  # type: ignore[attr-defined]
        return {message["stream"] for message in logged.result().of_type("RECORD")}

    return run


CHANGES: dict[str, tuple[str, Sequence[str]]] = {
    "made anew": ("", MADE_ANEW),
    "made anew and published by others": ("", (*MADE_ANEW, "ALTER PUBLICATION {name} ADD TABLE t")),
    "out and in": (
        "",
        ("ALTER PUBLICATION {name} DROP TABLE t", "DELETE FROM t WHERE id < 3", "ALTER PUBLICATION {name} ADD TABLE t"),
    ),
    "rows left out": (
        "",
        ("ALTER PUBLICATION {name} SET TABLE u, t WHERE (id > 3)", "UPDATE t SET v = 'lost'", "ALTER PUBLICATION {name} SET TABLE t, u"),
    ),
    "published anew": (
        "FOR TABLE t, u",
        ("DROP PUBLICATION {name}", "DELETE FROM t WHERE id < 3", "CREATE PUBLICATION {name} FOR TABLE t, u WITH (publish_via_partition_root)"),
    ),
    "all tables, made anew": ("FOR ALL TABLES", MADE_ANEW),
    "all tables, kinds left out": (
        "FOR ALL TABLES",
        ("ALTER PUBLICATION {name} SET (publish = 'insert')", "DELETE FROM t WHERE id < 3", "ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate')"),
    ),
    "schema, out and in": (
        "FOR TABLES IN SCHEMA public",
        (
            "ALTER PUBLICATION {name} DROP TABLES IN SCHEMA public",
            "DELETE FROM t WHERE id < 3",
            "ALTER PUBLICATION {name} ADD TABLES IN SCHEMA public",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_what_the_log_has_not_told_of_comes_by_a_new_start(
    logged: Shop, load: Load, case: str, caplog: Any
) -> None:
    made, statements = CHANGES[case]
    logged.execute(*TABLE.split("; "), *OTHER.split("; "))
    if made:
        logged.execute(
            f"CREATE PUBLICATION {logged.config['log']['slot']} {made} WITH (publish_via_partition_root)"
        )
    load()
    # The log still has changes of the former table.
    former = ("UPDATE t SET v = 'former' WHERE id = 4", "INSERT INTO u VALUES (3, 'three')", *statements)
    assert load(*former) == {"public-t", "public-u"}
    assert "Stream `public-t` starts anew" in caplog.text
    is_of_all = "kinds" in case or "schema" in case or "published anew" in case
    assert ("Stream `public-u` starts anew" in caplog.text) is is_of_all
    assert load("UPDATE t SET v = 'later'") == {"public-t"}
    assert load() == set()


def test_a_table_that_must_not_start_by_itself_is_refused(logged: Shop, load: Load) -> None:
    logged.execute(*TABLE.split("; "), *OTHER.split("; "))
    logged.config["log"]["truncate"] = "fail"
    load()
    with pytest.raises(
        SingerkitError,
        match=r"Stream `public-t` cannot be gone on with \(table `public.t` was dropped and made",
    ) as caught:
        load(*MADE_ANEW)
    assert caught.value.exit_code == 78


PARTITIONS: dict[str, tuple[Sequence[str], bool]] = {
    "made": (("CREATE TABLE p3 PARTITION OF t FOR VALUES FROM (20) TO (30)", "INSERT INTO t VALUES (21, 'x')"), False),
    "attached": (
        ("CREATE TABLE p3 (id int PRIMARY KEY, v text)", "ALTER TABLE t ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)", "INSERT INTO t VALUES (21, 'x')"),
        False,
    ),
    "attached with rows": (
        ("CREATE TABLE p3 AS SELECT 21 AS id, 'x' AS v", "ALTER TABLE p3 ADD PRIMARY KEY (id)", "ALTER TABLE t ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)"),
        True,
    ),
    "attached below with rows": (
        (
            "CREATE TABLE m (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
            "CREATE TABLE p3 PARTITION OF m FOR VALUES FROM (20) TO (30)",
            "INSERT INTO m VALUES (21, 'x')",
            "ALTER TABLE t ATTACH PARTITION m FOR VALUES FROM (20) TO (30)",
        ),
        True,
    ),
    "made and emptied": (
        ("CREATE TABLE p3 PARTITION OF t FOR VALUES FROM (20) TO (30)", "INSERT INTO t VALUES (21, 'x')", "TRUNCATE p3", "INSERT INTO t VALUES (22, 'y')"),
        True,
    ),
    "detached": (("ALTER TABLE t DETACH PARTITION p2", "DROP TABLE p2"), True),
    "emptied": (("TRUNCATE p2",), True),
    "come and gone": (
        ("CREATE TABLE p3 PARTITION OF t FOR VALUES FROM (20) TO (30)", "INSERT INTO t VALUES (21, 'x')", "ALTER TABLE t DETACH PARTITION p3", "INSERT INTO t VALUES (8, 'y') ON CONFLICT (id) DO UPDATE SET v = 'y'"),
        True,
    ),
    "come and gone, a table of its own": (
        ("DELETE FROM u", "INSERT INTO u VALUES (21, 'x'), (22, 'y')", "ALTER TABLE t ATTACH PARTITION u FOR VALUES FROM (20) TO (30)", "UPDATE t SET v = 'told' WHERE id = 21", "ALTER TABLE t DETACH PARTITION u"),
        True,
    ),
    "emptied with another table": (("TRUNCATE t, u", "INSERT INTO t VALUES (7, 'x')", "INSERT INTO u VALUES (7, 'x')"), True),
}  # fmt: skip


@pytest.mark.parametrize("case", PARTITIONS)
def test_rows_that_come_and_go_with_partitions(logged: Shop, load: Load, case: str, caplog: Any) -> None:
    statements, is_anew = PARTITIONS[case]
    logged.execute(*PARTED, *OTHER.split("; "))
    logged.config["tables"] = ["public.t", "public.u"]
    load()
    load(*statements)
    assert ("Stream `public-t` starts anew" in caplog.text) is is_anew
    assert ("Stream `public-u` starts anew" in caplog.text) is ("of its own" in case)
    assert load() == set()


def test_a_partition_that_comes_while_a_start_reads_is_seen(
    logged: Shop, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be those of a chunk, and no look at the catalog would find that it has gone again."""
    logged.execute(*PARTED, *OTHER.split("; "))
    logged.config["tables"] = ["public.t", "public.u"]
    pages = ChunkReader._pages

    def reads(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute(*PARTITIONS["attached with rows"][0])
        monkeypatch.setattr(ChunkReader, "_pages", pages)
        return pages(self, *arguments)

    monkeypatch.setattr(ChunkReader, "_pages", reads)
    with pytest.raises(SingerkitError, match=r"partition `public.p3` .* was attached with rows.*run again"):
        load()
    load("ALTER TABLE t DETACH PARTITION p3", "INSERT INTO t VALUES (11, 'x') ON CONFLICT DO NOTHING")
    assert load() == set()


def test_rows_of_partitions_that_go_stay_if_that_is_asked_for(logged: Shop, load: Load, caplog: Any) -> None:
    logged.execute(*PARTED, *OTHER.split("; "))
    logged.config["tables"] = ["public.t", "public.u"]
    logged.config["log"]["partitions"] = "keep_rows"
    load()
    assert load("DROP TABLE p2", are_equal=False) == set()
    assert "Stream `public-t` keeps rows that are gone at the source" in caplog.text
    caplog.clear()
    load(are_equal=False)
    assert "keeps rows" not in caplog.text


def without_identity(state: Any) -> Any:
    """A state as it was written before identities stood in it."""
    for part in state["bookmarks"].values():
        part["_singerkit_log"].pop("identity")
    return state


def test_a_state_without_identities_is_gone_on_with_and_gets_them(logged: Shop) -> None:
    logged.execute(*TABLE.split("; "))
    logged.execute(
        f"CREATE PUBLICATION {logged.config['log']['slot']} FOR ALL TABLES WITH (publish_via_partition_root)"
    )
    state = without_identity(logged.sync().state)
    logged.execute("UPDATE t SET v = 'x' WHERE id = 1")
    second = logged.sync(state)
    assert second.column("id") == [1]
    assert second.state["bookmarks"]["public-t"]["_singerkit_log"]["identity"]["told"] == ["all"]
    logged.execute(*MADE_ANEW)
    with pytest.raises(
        SingerkitError, match=r"Stream `public-t` cannot be gone on with \(table `public.t` was dropped"
    ) as caught:
        logged.sync(state)
    assert caught.value.exit_code == 78
    left = logged.result().state["bookmarks"]["public-t"]["_singerkit_log"]
    assert "identity" not in left, "the next run would take the new table for the former one"


def test_a_table_whose_name_another_one_had_for_a_while_keeps_its_changes_and_no_others(
    logged: Shop, load: Load
) -> None:
    logged.execute(*TABLE.split("; "), *OTHER.split("; "))
    logged.execute(
        f"CREATE PUBLICATION {logged.config['log']['slot']} FOR ALL TABLES WITH (publish_via_partition_root)"
    )
    load()
    load(
        "ALTER TABLE t RENAME TO away",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t VALUES (99, 'of another table')",
        "UPDATE away SET v = 'changed meanwhile' WHERE id = 1",
        "DROP TABLE t",
        "ALTER TABLE away RENAME TO t",
    )


def test_a_table_that_is_made_anew_while_a_run_reads_it_ends_the_run(
    logged: Shop, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(*TABLE.split("; "), *OTHER.split("; "))
    logged.execute(
        f"CREATE PUBLICATION {logged.config['log']['slot']} FOR ALL TABLES WITH (publish_via_partition_root)"
    )
    load()
    end = PostgresLogReader.end

    def ends(self: PostgresLogReader) -> Any:
        logged.execute(*MADE_ANEW)
        return end(self)

    monkeypatch.setattr(PostgresLogReader, "end", ends)
    with pytest.raises(
        SingerkitError, match=r"has to start anew, since table `public.t` was dropped .* run again"
    ) as caught:
        load()
    assert caught.value.exit_code == 69
    monkeypatch.setattr(PostgresLogReader, "end", end)
    assert load() == {"public-t"}


@pytest.mark.parametrize(
    ("statement", "code", "words"),
    [
        ("DROP PUBLICATION {name}", 78, "the publication `{name}` was dropped"),
        ("ALTER PUBLICATION {name} DROP TABLE t", 78, "does not have table `public.t`"),
        (
            "ALTER PUBLICATION {name} SET TABLE t, u WHERE (id > 1)",
            78,
            "tells of some rows of table `public.u` alone",
        ),
        ("ALTER PUBLICATION {name} OWNER TO pg_monitor", 69, "was altered"),
        ("TRUNCATE p2", 69, "a partition of table `public.t` was detached"),
    ],
)
def test_p02_a_run_that_follows_sees_that_it_is_told_less(
    logged: Shop, monkeypatch: pytest.MonkeyPatch, statement: str, code: int, words: str
) -> None:
    """PostgreSQL 18 says nothing of a publication that is gone; nobody writes here, so that no earlier one says it either."""
    logged.execute(*PARTED, *OTHER.split("; "))
    logged.config["tables"] = ["public.t", "public.u"]
    state = logged.sync().state
    name = logged.config["log"]["slot"]
    end = reader.find_slot

    def finds(*arguments: Any) -> Any:
        logged.execute(statement.replace("{name}", name))
        return end(*arguments)

    monkeypatch.setattr(reader, "find_slot", finds)
    monkeypatch.setattr(reader, "_CHECK_SECONDS", 0)
    with pytest.raises(SingerkitError) as caught:
        logged.sync(state, log={**logged.config["log"], "end": "follow", "max_seconds": 20})
    assert caught.value.exit_code == code, caught.value
    assert words.replace("{name}", name) in str(caught.value)


def test_p02_a_log_that_never_rests_is_looked_at_all_the_same(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(*TABLE.split("; "))
    state = logged.sync().state
    logged.execute(*[f"INSERT INTO t VALUES ({number})" for number in range(10, 60)])
    find_slot = reader.find_slot

    def finds(*arguments: Any) -> Any:
        logged.execute(f"ALTER PUBLICATION {logged.config['log']['slot']} OWNER TO pg_monitor")
        return find_slot(*arguments)

    monkeypatch.setattr(reader, "find_slot", finds)
    monkeypatch.setattr(reader, "_CHECK_SECONDS", 0)
    monkeypatch.setattr(reader, "_BYTES", 1)
    with pytest.raises(SingerkitError, match="was altered"):
        logged.sync(state)
    assert len(logged.result().rows()) < 50


OTHER_IDENTITY = (
    "ALTER TABLE t ADD UNIQUE (v), ALTER v SET NOT NULL",
    "ALTER TABLE t REPLICA IDENTITY USING INDEX t_v_key",
)
BLIND: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "keys are changed": (TABLE.split("; "), (*OTHER_IDENTITY, "UPDATE t SET id = id + 100 WHERE id < 3")),
    "rows are deleted": (TABLE.split("; "), (*OTHER_IDENTITY, "DELETE FROM t WHERE id < 3")),
    "of a partition": (
        (*PARTED[:3], "CREATE UNIQUE INDEX p1_v ON p1 (v)", "ALTER TABLE p1 ALTER v SET NOT NULL", PARTED[3]),
        ("ALTER TABLE p1 REPLICA IDENTITY USING INDEX p1_v", "DELETE FROM t WHERE id = 7", "ALTER TABLE p1 REPLICA IDENTITY DEFAULT"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BLIND)
def test_changes_of_rows_that_the_log_has_without_their_key_come_by_a_new_start(
    logged: Shop, load: Load, case: str, caplog: Any
) -> None:
    made, statements = BLIND[case]
    logged.execute(*made, *OTHER.split("; "))
    load()
    back = "ALTER TABLE t REPLICA IDENTITY DEFAULT"
    more = ("INSERT INTO t VALUES (19, 'nineteen')", "INSERT INTO u VALUES (3, 'three')")
    assert load(*statements, back, *more) == {"public-t", "public-u"}
    assert caplog.text.count("starts anew, with a new version of all of its rows") == 1
    assert load("UPDATE t SET v = 'later' || id") == {"public-t"}
    assert load() == set()


def test_a_table_without_a_key_starts_anew_where_the_log_does_not_have_what_rows_were(logged: Shop) -> None:
    logged.execute("CREATE TABLE t (id int NOT NULL UNIQUE, v text)", "ALTER TABLE t REPLICA IDENTITY FULL")
    logged.execute("INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    first = logged.sync()
    logged.execute("ALTER TABLE t REPLICA IDENTITY USING INDEX t_id_key", "UPDATE t SET v = 'c' WHERE id = 1")
    logged.execute("ALTER TABLE t REPLICA IDENTITY FULL", "INSERT INTO t VALUES (3, 'd')")
    second = logged.sync(first.state)
    versions = [message["version"] for message in second.of_type("RECORD")]
    assert sorted(second.column("v")) == ["b", "c", "d"]
    assert {*versions} == {message["version"] for message in second.of_type("ACTIVATE_VERSION")}
    assert second.of_type("ACTIVATE_VERSION")[0]["version"] > first.of_type("ACTIVATE_VERSION")[0]["version"]


def test_a_stream_that_must_not_start_by_itself_goes_on_once_it_is_started_over(
    logged: Shop, load: Load
) -> None:
    logged.execute(*TABLE.split("; "), *OTHER.split("; "))
    logged.config["log"]["truncate"] = "fail"
    load()
    with pytest.raises(SingerkitError, match=r"while its replica identity was another one.*start it over"):
        load(*OTHER_IDENTITY, "DELETE FROM t WHERE id = 1", "ALTER TABLE t REPLICA IDENTITY DEFAULT")
    del load.state["bookmarks"]["public-t"]  # type: ignore[attr-defined]
    assert load("INSERT INTO t VALUES (9, 'nine')") == {"public-t"}
    assert load() == set()


def test_a_slot_that_was_dropped_is_made_again_where_all_streams_start_anew_though_no_run_commits_at_first(
    logged: Shop,
) -> None:
    """The new slot stands behind the position of the state that is still there."""
    logged.execute(*TABLE.split("; "))
    logged.config["tables"] = ["public.t"]
    first = logged.sync()
    slot = logged.config["log"]["slot"]
    is_read = f"SELECT 1 FROM pg_replication_slots WHERE active AND slot_name = '{slot}'"
    wait_until(lambda: not logged.query(is_read), "the end of the run at the server")
    logged.execute(f"SELECT pg_drop_replication_slot('{slot}')", *MADE_ANEW)
    logged.sync(first.state)  # and whoever reads it is killed before it commits
    logged.execute("INSERT INTO t VALUES ('x', 10, 'ten')", "DELETE FROM t WHERE id = 2")
    third = logged.sync(first.state)
    assert sorted(third.column("v")) == ["nine", "ten"]
    logged.execute("UPDATE t SET v = 'later' WHERE id = 10")
    assert logged.sync(third.state).column("v") == ["later"]


def test_a_partition_that_was_no_part_of_a_published_table_for_a_while_starts_anew(logged: Shop) -> None:
    """It is read by its own name, and told of since it belongs to another one."""
    logged.execute(*PARTED)
    name = logged.config["log"]["slot"]
    logged.execute(f"CREATE PUBLICATION {name} FOR TABLE t WITH (publish_via_partition_root = false)")
    logged.config["tables"] = ["public.p1"]
    first = logged.sync()
    logged.execute("UPDATE t SET v = 'told' WHERE id = 7")
    second = logged.sync(first.state)
    assert second.column("id", "public-p1") == [7]
    logged.execute("ALTER TABLE t DETACH PARTITION p1", "UPDATE p1 SET v = 'lost'")
    logged.execute("ALTER TABLE t ATTACH PARTITION p1 FOR VALUES FROM (1) TO (10)")
    assert logged.sync(second.state).column("v", "public-p1") == ["lost"] * 3


@pytest.mark.parametrize("has_rows", [True, False])
def test_a_partition_that_may_not_be_read_by_itself_may_have_come_with_rows(
    logged: Shop, load: Load, caplog: Any, has_rows: bool
) -> None:
    logged.execute(*PARTED, *OTHER.split("; "))
    role, name = f"reader_{uuid.uuid4().hex[:8]}", logged.config["log"]["slot"]
    logged.execute(
        f"CREATE ROLE {role} REPLICATION",
        f"GRANT USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON t, u TO {role}",
        f"CREATE PUBLICATION {name} FOR TABLE t, u WITH (publish_via_partition_root)",
    )
    logged.config |= {"tables": ["public.t", "public.u"], "role": role}
    try:
        load()
        load(
            "CREATE TABLE p3 (id int PRIMARY KEY, v text)",
            *["INSERT INTO p3 VALUES (21, 'x')"] * has_rows,
            "ALTER TABLE t ATTACH PARTITION p3 FOR VALUES FROM (20) TO (30)",
        )
        assert ("Stream `public-t` starts anew" in caplog.text) is has_rows
    finally:
        logged.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")
