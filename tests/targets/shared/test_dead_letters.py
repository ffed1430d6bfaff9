"""Dead letters: listed, replayed after a mend, not doubled by a rerun; in PostgreSQL and in DuckDB."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.singer import RECORD, SCHEMA, STATE
from singer_sdk.plugin_base import _ConfigInput
from targets.shared.test_databases import Database, target_of

from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError, UsageError
from singerkit_sql_target.replaying import ReplayingLoader
from singerkit_target.byhand import Wish
from target_duckdb.target import TargetDuckDB
from target_postgres.target import TargetPostgres

INTEGER = {"type": ["integer", "null"]}
LOW = INTEGER | {"maximum": 100}
QUARANTINE = {"on_invalid": "quarantine"}
LETTERS = "_singerkit_rejects"


@dataclass
class Post:
    """A database, and what is done with its dead letters."""

    database: Database
    by_hand: Callable[..., None]
    load: Callable[..., None]
    kind: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        return self.database.query(statement)

    def count(self) -> int:
        return int(self.query(f"SELECT count(*) FROM {self.database.schema}.{LETTERS}")[0][0])


@pytest.fixture(params=["postgres", "duckdb"])
def post(request: pytest.FixtureRequest, tmp_path: Path) -> Post:
    database = target_of(request, tmp_path)
    is_duck = request.param == "duckdb"
    place = (
        {"database": str(tmp_path / "a.duckdb")} if is_duck else {"dsn": request.getfixturevalue("database")}
    )
    kind: Any = TargetDuckDB if is_duck else TargetPostgres

    def by_hand(config: dict[str, Any] | None = None, **wish: Any) -> None:
        kind(config={**place, **(config or {})}).see_to_letters(Wish(**wish))

    def load(*messages: Any, **config: Any) -> None:
        lines = b"".join(json.dumps(one).encode() + b"\n" for one in messages)
        kind(config={**place, **QUARANTINE, **config})._load(io.BytesIO(lines))

    return Post(database, by_hand, load, request.param)


def orders(qty: Any = LOW, key: tuple[str, ...] = ("id",), **more: Any) -> dict[str, Any]:
    return {**SCHEMA("orders", {"id": INTEGER, "qty": qty, "at": INTEGER}, [*key]), **more}


BY_AT = {"bookmark_properties": ["at"]}


def order(id_: int, qty: Any, at: int = 1, **more: Any) -> dict[str, Any]:
    return {**RECORD("orders", {"id": id_, "qty": qty, "at": at}), **more}


def test_they_are_listed_without_what_records_say(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    post.load(orders(**BY_AT), order(1, 987001), order(2, 987002), order(3, 7, 1), STATE({"a": 1}))
    post.load(orders(**BY_AT), order(2, 5, 9), STATE({"a": 2}))
    capsys.readouterr()
    post.by_hand(rejects=True)
    out = capsys.readouterr().out
    header, line = out.splitlines()
    assert header.split() == ["stream", "field", "reason", "count", "first", "last", "since", "then"]
    assert line.startswith("orders  $.qty  Expected what `maximum: 100` allows, got `...`      2  20")
    assert line.endswith("1 newer row")
    assert "987" not in out
    post.by_hand(rejects=True, records=True)
    out = capsys.readouterr().out
    assert '"qty": 987001' in out.replace('":"', '": "')
    assert out.count("since then: a newer row") == 1
    post.by_hand(rejects=True, streams=("others",))
    assert capsys.readouterr().out == "There are no dead letters.\n"


def test_those_of_records_that_were_taken_apart(post: Post, tmp_path: Path) -> None:
    """A record is there as it was taken apart, and so is the SCHEMA that `--schema` names; of an element nothing tells whether it is still one."""
    nested = {"nested": {"orders": "child_tables"}}
    low = {"type": "object", "properties": {"a": LOW}}
    tags = {"type": "array", "items": LOW}
    said = SCHEMA("orders", {"id": INTEGER, "box": low, "tags": tags}, ["id"])
    bad = {"id": 1, "box": {"a": 900}, "tags": [5, 700]}
    post.load(said, RECORD("orders", bad), STATE({"n": 1}), **nested)
    assert (post.query("SELECT id FROM orders"), post.query("SELECT value FROM orders__tags")) == ([], [(5,)])
    wide = {**low, "properties": {"a": INTEGER}}
    mended = SCHEMA("orders", {"id": INTEGER, "box": wide, "tags": {**tags, "items": INTEGER}}, ["id"])
    (tmp_path / "schema").write_text(json.dumps(mended))
    with pytest.raises(BadDataError, match=r"1 dead letter passed over \(`orders__tags`\).*other elements"):
        post.by_hand(nested, replay_rejects=True, schema=str(tmp_path / "schema"))
    assert post.query("SELECT id, box__a FROM orders") == [(1, 900)]
    post.by_hand(nested, replay_rejects=True, over_stored=True, schema=str(tmp_path / "schema"))
    assert post.query("SELECT _position, value FROM orders__tags ORDER BY 1") == [(0, 5), (1, 700)]
    assert post.count() == 0


def test_a_rerun_does_not_double_them(post: Post) -> None:
    """Also where each message has the time at which it was read."""
    for run in range(3):
        at = {"time_extracted": f"2026-01-0{run + 1}T00:00:00Z"}
        post.load(
            orders(), order(1, 1001, **at), order(2, 2, **at), order(3, 1003, **at), STATE({"run": run})
        )
    assert post.count() == 2
    post.load(orders(), order(1, 1009), STATE({"run": 9}))
    assert post.count() == 3


def test_of_a_stream_without_a_key_each_is_kept(post: Post) -> None:
    """As its rows are: two that say the same may be two."""
    for run in range(2):
        post.load(orders(key=()), order(1, 1001), order(1, 1001), STATE({"run": run}))
    assert post.count() == 4


def mended(folder: Path) -> str:
    file = folder / "schemas.singer"
    file.write_text(json.dumps(orders(INTEGER, **BY_AT)) + "\n" + json.dumps(STATE({})) + "\n")
    return str(file)


def test_they_go_in_after_a_mend_and_a_newer_row_stays(
    post: Post, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    post.load(
        orders(**BY_AT), order(1, 1001), order(2, 1002, 3), order(3, 1003), order(1, 1004, 5), STATE({"a": 1})
    )
    post.load(orders(INTEGER, **BY_AT), order(2, 51, 4), order(3, 52, 0), STATE({"a": 2}))
    with pytest.raises(BadDataError, match="3 dead letters refused again"):
        post.by_hand(replay_rejects=True)
    assert post.count() == 4
    post.by_hand(replay_rejects=True, schema=mended(tmp_path))
    assert post.query('SELECT id, qty, "at" FROM orders ORDER BY id') == [
        (1, 1004, 5),
        (2, 51, 4),
        (3, 1003, 1),
    ]
    assert "Stream `orders`: 2 rows are loaded, and no longer among the dead letters." in caplog.text
    assert "2 rows are superseded, since the table has a newer row of that key: they stay." in caplog.text
    assert post.count() == 2
    post.by_hand(replay_rejects=True, schema=mended(tmp_path), over_stored=True)
    assert post.count() == 0
    assert post.query("SELECT qty FROM orders WHERE id = 2") == [(1002,)]


def test_of_several_letters_of_a_key_the_newest_goes_over_what_is_stored(post: Post, tmp_path: Path) -> None:
    """The oldest one was left, since it came last."""
    post.load(orders(), order(1, 1001), order(1, 1002), order(1, 1003), STATE({"a": 1}))
    post.load(orders(INTEGER), order(1, 5), STATE({"a": 2}))
    file = tmp_path / "s.singer"
    file.write_text(json.dumps(orders(INTEGER)))
    post.by_hand(replay_rejects=True, schema=str(file), over_stored=True)
    assert post.query("SELECT id, qty FROM orders") == [(1, 1003)]
    assert post.count() == 2


def test_what_is_refused_again_stays_with_its_new_reason(post: Post, tmp_path: Path) -> None:
    post.load(orders(), order(1, 1001), STATE({"a": 1}))
    before = post.query(f"SELECT run_id, line, rejected_at FROM {LETTERS}")
    file = tmp_path / "s.singer"
    file.write_text(json.dumps(orders(INTEGER | {"multipleOf": 1000})))
    with pytest.raises(BadDataError, match="1 dead letter refused again"):
        post.by_hand(replay_rejects=True, schema=str(file))
    assert post.query(f"SELECT run_id, line, rejected_at FROM {LETTERS}") == before
    [(reason,)] = post.query(f"SELECT reason FROM {LETTERS}")
    assert "multipleOf" in reason


@pytest.mark.parametrize("tells", ["nothing", "received", "version"])
def test_what_tells_which_is_newer(post: Post, tells: str, tmp_path: Path) -> None:
    """Without a bookmark: when the stored one came, or the version of the table; else it is for somebody to say."""
    config = {} if tells == "nothing" else {"add_record_metadata": True}
    of = {"version": 1} if tells == "version" else {}
    post.load(orders(), order(1, 1, **of), order(2, 2, **of), STATE({"a": 1}), **config)
    post.load(orders(), order(1, 1001, **of), order(2, 1002, **of), STATE({"a": 2}), **config)
    newer = {"version": 2} if tells == "version" else {}
    post.load(orders(), order(2, 3, **newer), STATE({"a": 3}), **config)
    file = tmp_path / "s.singer"
    file.write_text(json.dumps(orders(INTEGER)))
    if tells == "nothing":
        with pytest.raises(BadDataError, match=r"2 dead letters passed over .* nothing tells which is newer"):
            post.by_hand(config, replay_rejects=True, schema=str(file))
        assert post.count() == 2
    else:
        post.by_hand(config, replay_rejects=True, schema=str(file))
        assert post.count() == (2 if tells == "version" else 1)
        assert post.query("SELECT qty FROM orders WHERE id = 2") == [(3,)]


def test_nothing_tells_of_rows_that_came_in_one_block_which_is_newer(post: Post, tmp_path: Path) -> None:
    """Letters are written behind the rows of their block."""
    config = {"add_record_metadata": True}
    post.load(orders(), order(1, 1001), order(1, 7), STATE({"a": 1}), **config)
    file = tmp_path / "s.singer"
    file.write_text(json.dumps(orders(INTEGER)))
    with pytest.raises(BadDataError, match="nothing tells which is newer"):
        post.by_hand(config, replay_rejects=True, schema=str(file))
    assert post.query("SELECT qty FROM orders") == [(7,)]


def test_those_of_a_stream_that_is_overwritten_stay(post: Post, tmp_path: Path) -> None:
    """One row would be all of its table."""
    config = {"load_method": "overwrite", "end_of_input": "state"}
    post.load(orders(), order(1, 1), order(2, 1002), STATE({}), **config)
    post.by_hand(config, replay_rejects=True, schema=mended(tmp_path))
    assert (post.query("SELECT id FROM orders"), post.count()) == ([(1,)], 1)


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("is_before", [True, False], ids=["before COMMIT", "after COMMIT"])
def test_each_row_is_in_the_table_or_a_letter_whatever_is_killed(
    post: Post, is_before: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key, so that one that came twice would be there twice."""
    post.load(orders(key=()), *(order(n, 1000 + n) for n in range(4)), STATE({"a": 1}))
    file = tmp_path / "s.singer"
    file.write_text(json.dumps(orders(INTEGER, key=())))
    loader: Any = __import__(
        "target_postgres.loader" if post.kind == "postgres" else "singerkit_sql_target.loader", fromlist=["x"]
    )
    kind = loader.PostgresLoader if post.kind == "postgres" else loader.SqlLoader
    commit, calls = kind.commit, []

    def dying(self: ReplayingLoader, state: str | None) -> None:
        calls.append(state)
        if len(calls) % 3 == 0 and is_before:
            raise Killed
        commit(self, state)
        if len(calls) % 3 == 0:
            raise Killed

    monkeypatch.setattr(kind, "commit", dying)
    for _ in range(5):
        try:
            post.by_hand(replay_rejects=True, schema=str(file))
        except Killed:
            there = len(post.query("SELECT * FROM orders")) + post.count()
            assert there == 4
    assert post.query("SELECT id, qty FROM orders ORDER BY id") == [(n, 1000 + n) for n in range(4)]
    assert post.count() == 0
    assert len(calls) >= 4


def test_tables_of_former_versions_are_taken(
    post: Post, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They have no SCHEMA beside their letters: a file has one."""
    post.load(orders(), order(1, 1001), STATE({"a": 1}))
    for name in ("declared", "digest"):
        post.query(f"ALTER TABLE {LETTERS} DROP COLUMN {name}")
    post.by_hand(rejects=True)
    assert "orders" in capsys.readouterr().out
    post.by_hand(replay_rejects=True)
    assert post.count() == 1
    post.by_hand(replay_rejects=True, schema=mended(tmp_path))
    assert post.count() == 0
    post.load(orders(), order(2, 1005), STATE({"a": 2}))
    assert post.count() == 1


def test_of_several_pipelines_one_is_to_be_named(post: Post, tmp_path: Path) -> None:
    for name in ("a", "b"):
        post.load(orders(), order(1, 1000 + ord(name)), STATE({"p": name}), pipeline=name)
    with pytest.raises(ConfigurationError, match="there are dead letters of `a`, `b`"):
        post.by_hand(replay_rejects=True, schema=mended(tmp_path))
    post.by_hand(replay_rejects=True, schema=mended(tmp_path), pipeline="b")
    assert post.query("SELECT qty FROM orders") == [(1098,)]
    assert post.count() == 1


def test_a_parent_among_them_goes_in_before_its_children(database: str, tmp_path: Path) -> None:
    from faults import loads

    from target_postgres.target import TargetPostgres

    def schema(name: str, qty: Any) -> dict[str, Any]:
        return SCHEMA(name, {"id": INTEGER, "of": INTEGER, "qty": qty}, ["id"])

    def row(name: str, qty: Any) -> dict[str, Any]:
        return RECORD(name, {"id": 1, "of": 1, "qty": qty})

    both = [schema("parents", LOW), schema("children", LOW)]
    loads.load(database, *both, STATE({"a": 0}), **QUARANTINE).expect(0)
    loads.query(database, "ALTER TABLE children ADD FOREIGN KEY (of) REFERENCES parents (id)")
    bad = [row("parents", 1005), row("children", 1006), STATE({"a": 1})]
    loads.load(database, *both, *bad, **QUARANTINE).expect(0)
    file = tmp_path / "s.singer"
    file.write_text("\n".join(json.dumps(schema(name, INTEGER)) for name in ("parents", "children")))
    TargetPostgres(config={"dsn": database}).see_to_letters(Wish(replay_rejects=True, schema=str(file)))
    assert loads.query(database, "SELECT qty FROM children") == [(1006,)]
    assert loads.query(database, f"SELECT count(*) FROM {LETTERS}") == [(0,)]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"rejects": True, "replay_rejects": True}, "got several"),
        ({"records": True}, "`--records` goes with `--rejects` only"),
        ({"over_stored": True, "rejects": True}, "`--over-stored` goes with `--replay-rejects` only"),
        ({"schema": "x", "rejects": True}, "`--schema` goes with `--replay-rejects` only"),
        ({"streams": (1001,)}, "`--stream` goes with"),
    ],
)
def test_options_without_effect_are_refused(wish: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        _ = Wish(**wish).is_one


def test_a_state_file_has_no_effect_beside_them(tmp_path: Path) -> None:
    config = _ConfigInput(config={"database": str(tmp_path / "a.duckdb")})
    for wish in ({"rejects": True}, {"replay_rejects": True}):
        with pytest.raises(UsageError, match="`--state-file` has no effect"):
            TargetDuckDB.invoke(config=config, state_file=str(tmp_path / "state.json"), **wish)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="nothing was made"):
        TargetDuckDB.invoke(config=config, rejects=True)
    assert not [*tmp_path.iterdir()]


def test_a_file_without_schemas_is_refused(post: Post, tmp_path: Path) -> None:
    post.load(orders(), order(1, 1001), STATE({"a": 1}))
    (tmp_path / "none").write_text("{}\n")
    for name in ("none", "absent"):
        with pytest.raises(SingerkitError, match="nothing was changed"):
            post.by_hand(replay_rejects=True, schema=str(tmp_path / name))
