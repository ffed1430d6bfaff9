"""Parents that change: rows below them follow what is copied, and whatever else changes, a parent is the one that its key names."""

from __future__ import annotations

import io
import json
import logging
from contextlib import nullcontext, redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.errors import SingerkitError
from tap_rest.tap import TapRest

AT = {"type": "string", "format": "date-time"}


def day(number: int) -> str:
    return f"2026-11-{number:02d}T00:00:00Z"


class Source:
    """Teams with players below; a test changes them. A path names a team by its id or by its slug."""

    def __init__(self, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
        self.teams = {n: {"id": n, "slug": f"s{n}", "name": f"n{n}", "at": day(n)} for n in numbers}
        self.players: dict[int, list[dict[str, Any]]] = {
            n: [{"no": no, "at": day(5 + no)} for no in (1, 2, 3)] for n in numbers
        }
        self.asked: list[str] = []
        self.fails_at: str | None = None

    def _teams(self, asked: Asked) -> Reply:
        since = asked.param("since") or ""
        found = sorted((team for team in self.teams.values() if team["at"] >= since), key=lambda t: t["at"])
        return json_reply(found)

    def _players(self, name: str, asked: Asked) -> Reply:
        self.asked.append(asked.raw_path)
        team = next(t for t in self.teams.values() if name in (str(t["id"]), t["slug"]))
        since = asked.param("since") or ""
        if self.fails_at == name:
            return json_reply({}, 400)
        return json_reply([row for row in self.players[int(team["id"])] if row["at"] >= since])

    @property
    def routes(self) -> dict[str, Any]:
        names = {str(team[key]) for team in self.teams.values() for key in ("id", "slug")}
        return {"/teams": self._teams} | {
            f"/teams/{name}/players": lambda asked, name=name: self._players(name, asked) for name in names
        }


class Pipeline:
    """Runs of one config, each from the state of the one before, and what a target has by then."""

    def __init__(self, source: Source, tmp_path: Path, parent: dict[str, Any], **more: Any) -> None:
        self.source = source
        self.keys: list[str] = more.get("primary_keys", [])
        self.config: dict[str, Any] = {
            "schema_cache": str(tmp_path / "schemas"),
            "retries": {"tries": 1},
            "streams": [
                {
                    "name": "teams",
                    "path": "/teams",
                    "primary_keys": ["id"],
                    "pagination": {"type": "single"},
                    "schema": {"properties": {"id": {}, "slug": {}, "name": {}, "at": AT}},
                },
                {
                    "name": "players",
                    "path": "/teams/{parent.id}/players",
                    "replication_key": "at",
                    "incremental": {"param": "since"},
                    "pagination": {"type": "single"},
                    "parent": {"stream": "teams", **parent},
                }
                | more,
            ],
        }
        self.copy(parent["copy"])
        self.state: dict[str, Any] = {}
        self.rows: list[dict[str, Any]] = []
        self.written = b""

    def copy(self, fields: dict[str, str]) -> None:
        players = self.config["streams"][1]
        players["parent"] |= {"copy": fields}
        players["schema"] = {"properties": {"no": {}, "at": AT, **{name: {} for name in fields}}}

    def run(self, *, code: int = 0) -> list[dict[str, Any]]:
        """Run once, and return the players that were sent; those before the last STATE are in the target."""
        self.source.asked.clear()
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        with serving(self.source.routes) as api, redirect_stdout(written):
            config = json.loads(json.dumps(self.config | {"base_url": api.url}))
            tap = TapRest(config=config, state=self.state, setup_mapper=False)
            with pytest.raises(SingerkitError) if code else nullcontext() as failed:
                tap.sync()
        assert code == (failed.value.exit_code if failed else 0)
        self.written = written.buffer.getvalue()  # type: ignore[attr-defined]
        sent, waiting = [], []
        for line in self.written.splitlines():
            message = json.loads(line, parse_float=Decimal)  # as the state is read
            if message["type"] == "RECORD" and message["stream"] == "players":
                waiting.append(message["record"])
                sent.append(message["record"])
            if message["type"] == "STATE":
                self.state = message["value"]
                self._load(waiting)
                waiting = []
        return sent

    def _load(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            if self.keys:
                key = [row[name] for name in self.keys]
                self.rows = [one for one in self.rows if [one[name] for name in self.keys] != key]
            self.rows.append(row)

    def names(self) -> set[tuple[Any, Any]]:
        return {(row["team"], row["name"]) for row in self.rows}


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


COPY = {"team": "id", "name": "name"}
KEYED: dict[str, Any] = {"primary_keys": ["team", "no"]}


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_another_place_below_a_parent_is_read_from_its_beginning(bookmarks: str, tmp_path: Path) -> None:
    """A path by a field that is not the key: what stands there now was never read, however old it is."""
    source = Source()
    source.teams[9] = {"id": 9, "slug": "other", "name": "n9", "at": day(1)}
    source.players[9] = [{"no": no, "at": day(1)} for no in (7, 8)]
    del source.teams[9]
    players = Pipeline(
        source,
        tmp_path,
        {"copy": {"team": "id"}, "bookmarks": bookmarks},
        path="/teams/{parent.slug}/players",
        **KEYED,
    )
    for _ in range(2):
        players.run()
    assert players.run() == []
    source.teams[2]["slug"] = "other"
    source.players[2] = source.players.pop(9)
    assert sorted(row["no"] for row in players.run()) == [7, 8]
    assert players.run() == []


@pytest.mark.parametrize("read", ["all", "changed"])
@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_rows_follow_a_parent_that_is_renamed(bookmarks: str, read: str, tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks, "read": read}, **KEYED)
    if read == "changed":
        players.config["streams"][0] |= {"replication_key": "at", "incremental": {"param": "since"}}
    for _ in range(3):
        players.run()
    source.teams[2] |= {"name": "new", "at": day(20)}
    assert len([row for row in players.run() if row["team"] == 2]) == 3
    assert players.names() == {(1, "n1"), (2, "new"), (3, "n3")}
    assert len(players.rows) == 9
    assert [path for path in source.asked if "since" not in path] == ["/teams/2/players"] or read == "changed"
    assert not players.run(), "once"
    source.teams[2] |= {"name": "n2", "at": day(21)}
    players.run()
    assert players.names() == {(1, "n1"), (2, "n2"), (3, "n3")}, "back to what the state remembers"
    assert not players.run()


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_a_run_that_fails_between_leaves_no_row_behind(bookmarks: str, tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks}, **KEYED)
    players.run()
    players.run()
    for number in source.teams:
        source.teams[number] |= {"name": "new"}
    for name in ("1", "2", "3", "2"):
        source.fails_at = name
        players.run(code=65)
    source.fails_at = None
    players.run()
    assert players.names() == {(1, "new"), (2, "new"), (3, "new")}
    assert len(players.rows) == 9
    assert not players.run()


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_rows_older_than_the_start_date_do_not_come_with_a_new_name(bookmarks: str, tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks}, **KEYED)
    players.config["start_date"] = day(7)
    del players.config["streams"][1]["incremental"]
    players.run()
    source.teams[2]["name"] = "new"
    players.run()
    assert len(players.rows) == 6
    assert players.names() == {(1, "n1"), (2, "new"), (3, "n3")}


def test_a_parent_that_is_renamed_while_parents_are_read(tmp_path: Path) -> None:
    """It stands on two pages, and comes no more in later runs, which ask for changed parents only."""
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "read": "changed"}, **KEYED)
    players.config["streams"][0] |= {"replication_key": "at", "incremental": {"param": "since"}}
    players.config["streams"][0] |= {"pagination": {"type": "page", "size": 2}, "is_sorted": False}
    pages = [[1, 2], [3, 1], []]

    def teams(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        if number == 2:
            source.teams[1] |= {"name": "new", "at": day(20)}
        return json_reply([source.teams[one] for one in pages[number - 1]])

    source._teams = teams  # type: ignore[method-assign]
    players.run()
    assert players.names() == {(1, "new"), (2, "n2"), (3, "n3")}
    assert len(players.rows) == 9


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_without_a_key_no_row_doubles_and_somebody_is_told(
    bookmarks: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks})
    players.run()
    players.run()
    source.teams[2]["name"] = "new"
    source.players[2].append({"no": 4, "at": day(9)})
    caplog.clear()
    assert [(row["no"], row["name"]) for row in players.run()] == [(4, "new")]
    told = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("copies (`name`) has changed in 1 parent" in message for message in told), told
    caplog.clear()
    assert not players.run()
    assert not [record for record in caplog.records if "has changed in" in record.message]


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
@pytest.mark.parametrize("copy", [{}, {"slug": "slug"}, {"name": "name"}])
def test_a_parent_is_known_by_its_key_though_nothing_copies_it(
    bookmarks: str, copy: dict[str, str], tmp_path: Path
) -> None:
    """`path` names it by a field that changes: rows without a key would be there twice."""
    source = Source()
    players = Pipeline(
        source, tmp_path, {"copy": copy, "bookmarks": bookmarks}, path="/teams/{parent.slug}/players"
    )
    players.run()
    players.run()
    source.teams[2]["slug"] = "renamed"
    assert players.run() == []
    source.teams[1]["slug"], source.teams[3]["slug"] = "s3", "s1"
    assert players.run() == []
    assert len(players.rows) == 9


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
@pytest.mark.parametrize("copy", [{}, {"team": "id"}])
def test_an_id_that_becomes_text_is_the_same(bookmarks: str, copy: dict[str, str], tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": copy, "bookmarks": bookmarks})
    players.run()
    players.run()
    for number in source.teams:
        source.teams[number]["id"] = str(number)
    assert players.run() == []
    for number in source.teams:
        source.teams[number]["id"] = number
    assert players.run() == []


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_the_state_of_a_version_that_told_parents_apart_by_all_goes_on(
    bookmarks: str, tmp_path: Path
) -> None:
    """As a config does that begins to name the parent's key."""
    source = Source()
    players = Pipeline(
        source,
        tmp_path,
        {"copy": {"slug": "slug"}, "bookmarks": bookmarks},
        path="/teams/{parent.slug}/players",
    )
    teams = players.config["streams"][0]
    del teams["primary_keys"]
    players.run()
    players.run()
    teams["primary_keys"] = ["id"]
    assert players.run() == []
    source.teams[2]["slug"] = "renamed"
    assert players.run() == []
    players.copy({"slug": "slug", "team": "id"})
    assert players.run() == []


def test_more_parents_than_are_remembered_are_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY}, **KEYED, bookmark={"partitions": 2})
    for _ in range(2):
        caplog.clear()
        players.run()
        assert len(players.state["bookmarks"]["players"]["_singerkit_copied"]["parents"]) == 2
        assert "more parents than are remembered (2)" in caplog.text
    del source.teams[1]
    source.teams |= {n: {"id": n, "slug": f"s{n}", "name": f"n{n}", "at": day(n)} for n in (4, 5)}
    source.players |= {n: source.players[3] for n in (4, 5)}
    players.copy({**COPY, "slug": "slug"})
    caplog.clear()
    players.run()
    assert "raise `bookmark.partitions` of the stream, or copy no more than" in caplog.text
    assert "more parents than are remembered (2)" in caplog.text, "of what was copied before none makes room"


def test_a_parent_that_is_gone_makes_room_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source((1, 2, 3, 4))
    players = Pipeline(
        source, tmp_path, {"copy": COPY, "bookmarks": "shared"}, **KEYED, bookmark={"partitions": 2}
    )
    players.run()
    del source.teams[1], source.teams[2]
    caplog.clear()
    players.run()
    assert "more parents than are remembered" not in caplog.text
    assert len(players.state["bookmarks"]["players"]["_singerkit_copied"]["parents"]) == 2
    source.teams[3]["name"], source.teams[4]["name"] = "new", "other"
    assert len(players.run()) == 6, "both have changed since"
    assert players.names() == {(1, "n1"), (2, "n2"), (3, "new"), (4, "other")}


def test_a_copy_that_changes_in_each_run_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY}, **KEYED)
    for number in range(3):
        for team in source.teams.values():
            team["name"] = f"{number}"
        caplog.clear()
        assert len(players.run()) == 9
    assert "has changed in all 3 parents" in caplog.text


def test_another_copy_in_the_config_reads_nothing_anew(tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY}, **KEYED)
    for _ in range(3):
        players.run()
    players.copy({**COPY, "slug": "slug"})
    players.run()
    assert all("since" in path for path in source.asked[-3:])
    players.copy({"slug": "slug", **COPY})
    players.run()
    assert all("since" in path for path in source.asked[-3:])


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_a_copy_that_is_taken_out_doubles_nothing(
    bookmarks: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks})
    players.run()
    players.run()
    players.copy({"team": "id"})
    assert players.run() == []
    assert "is sent without `name` from now on" in caplog.text
    if bookmarks == "shared":
        players.copy({"number": "id"})
        assert players.run() == []
        assert "is sent without `team` from now on" in caplog.text
    assert "are not recognised without" not in caplog.text


def test_the_state_says_the_same_in_every_version(tmp_path: Path) -> None:
    """Other names of parents, or of values, would read all rows again, or none."""
    players = Pipeline(Source((1,)), tmp_path, {"copy": COPY}, **KEYED)
    players.run()
    said = players.state["bookmarks"]["players"]["_singerkit_copied"]
    assert said == {"fields": ["name"], "parents": ["mYl647o2Pjz"]}


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
@pytest.mark.parametrize("keys", [["id"], []])
def test_an_object_or_an_array_with_fractions_is_copied_digit_by_digit(
    keys: list[str], bookmarks: str, tmp_path: Path
) -> None:
    """Without a key the parent is told apart by it, and the state says it again."""
    source = Source((1, 2))
    texts = {1: '{"lat": 52.50, "of": [1.5, -0.0]}', 2: f"[{10**30}.10, {10**30}]"}

    def teams(_: Asked) -> Reply:
        rows = (f'{{"id": {n}, "slug": "s{n}", "name": {texts[n]}}}' for n in (1, 2))
        return Reply(("[" + ",".join(rows) + "]").encode())

    source._teams = teams  # type: ignore[method-assign]
    players = Pipeline(source, tmp_path, {"copy": COPY, "bookmarks": bookmarks}, **KEYED)
    players.config["streams"][0]["primary_keys"] = keys
    del players.config["streams"][0]["schema"], players.config["streams"][1]["schema"]
    assert len(players.run()) == 6
    assert b'"name":{"lat":52.50,"of":[1.5,-0.0]}' in players.written
    assert f'"name":[{10**30}.10,{10**30}]'.encode() in players.written
    assert players.run() == [], "recognised"
    texts[1] = texts[1].replace("52.50", "52.51")
    if keys:
        assert len(players.run()) == 3
        assert b"52.51" in players.written


def test_a_copy_of_too_many_levels_is_refused_in_a_sentence(tmp_path: Path) -> None:
    source = Source((1,))
    row = b'[{"id": 1, "slug": "s1", "name": ' + b"[" * 900 + b"1.5" + b"]" * 900 + b"}]"
    source._teams = lambda _: Reply(row)  # type: ignore[method-assign]
    Pipeline(source, tmp_path, {"copy": COPY}, **KEYED).run(code=65)


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_the_key_of_a_parent_alone_is_nothing_that_changes(bookmarks: str, tmp_path: Path) -> None:
    players = Pipeline(Source(), tmp_path, {"copy": {"team": "id"}, "bookmarks": bookmarks}, **KEYED)
    assert len(players.run()) == 9
    for _ in range(2):
        assert not players.run()
    assert "_singerkit_copied" not in players.state["bookmarks"]["players"]


def test_a_copy_that_was_out_of_the_config_for_a_while_is_known_still(tmp_path: Path) -> None:
    source = Source()
    players = Pipeline(source, tmp_path, {"copy": COPY}, **KEYED)
    players.run()
    players.copy({"team": "id"})
    players.run()
    source.teams[2]["name"] = "new"
    players.copy(COPY)
    players.run()
    assert [path for path in source.asked if "since" not in path] == ["/teams/2/players"]


NAMED: dict[str, Any] = {"fields": ["name"]}


@pytest.mark.parametrize(
    "said",
    [
        *(None, 7, {"fields": 5, "parents": 5}),
        *(NAMED | {"parents": [entry]} for entry in (5, "", "x" * 10, "x" * 12, ["x"] * 11)),
    ],
)
def test_what_a_state_says_in_another_form_is_not_known(said: Any, tmp_path: Path) -> None:
    players = Pipeline(Source((1,)), tmp_path, {"copy": COPY}, **KEYED)
    players.run()
    sound = players.state["bookmarks"]["players"]["_singerkit_copied"]
    part = players.state["bookmarks"]["players"]
    part["_singerkit_copied"] = said
    assert not players.run()
    assert players.state["bookmarks"]["players"]["_singerkit_copied"] == sound


@pytest.mark.parametrize(("teams", "renamed"), [((1,), (1,)), ((1, 2, 3), (1, 2))])
def test_parents_that_change_now_and_then_are_no_warning(
    teams: tuple[int, ...], renamed: tuple[int, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(teams)
    players = Pipeline(source, tmp_path, {"copy": COPY}, **KEYED)
    players.run()
    for number in renamed:
        source.teams[number]["name"] = "new"
    with caplog.at_level(logging.INFO):
        assert len(players.run()) == 3 * len(renamed)
    (told,) = (record for record in caplog.records if "has changed in" in record.message)
    assert told.levelno == logging.INFO
    assert f"in {len(renamed)} parent" in told.message
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert not players.run()
    assert "has changed in" not in caplog.text


# Fields that some parents lack


TEAM: dict[str, Any] = {"team": "id", "name": "boss.name"}


@pytest.mark.parametrize("boss", [{"boss": None}, {"boss": {}}, {}, {"boss": {"name": None}}])
@pytest.mark.parametrize("bookmarks", ["each", "shared"])
def test_a_copied_field_that_a_parent_lacks_is_null_and_rows_follow_it(
    bookmarks: str, boss: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run ended with 65 for ever; null is a value like another, in both directions."""
    source = Source((1, 2))
    for team in source.teams.values():
        team["boss"] = {"name": "b"}
    players = Pipeline(source, tmp_path, {"copy": TEAM, "bookmarks": bookmarks}, **KEYED)
    players.run()
    del source.teams[2]["boss"]
    source.teams[2] |= boss
    assert len(players.run()) == 3
    assert players.names() == {(1, "b"), (2, None)}
    source.teams[2] |= {"boss": {"name": "c"}}
    assert len(players.run()) == 3
    assert players.names() == {(1, "b"), (2, "c")}
    assert "had that field" not in caplog.text


def test_a_copied_field_that_no_parent_has_is_told_of_unless_a_schema_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source((1, 2))
    players = Pipeline(source, tmp_path, {"copy": {"team": "id", "name": "nmae"}}, **KEYED)
    players.run()
    assert players.names() == {(1, None), (2, None)}
    assert "copies `nmae` of stream teams to `name`, and none of its records had that field" in caplog.text
    caplog.clear()
    players.config["streams"][0]["schema"]["properties"]["nmae"] = {}
    players.run()
    assert "had that field" not in caplog.text


@pytest.mark.parametrize(
    "more",
    [
        {"path": "/teams/{parent.id}/players?boss={parent.boss.name}"},  # fills the request
        {"primary_keys": ["name", "no"]},  # tells rows apart
    ],
)
def test_a_field_that_is_needed_may_not_be_missing(more: dict[str, Any], tmp_path: Path) -> None:
    players = Pipeline(Source((1,)), tmp_path, {"copy": TEAM}, **KEYED | more)
    players.run(code=65)
    assert players.rows == []


def test_what_is_no_object_on_the_way_is_a_mistake_of_the_config(tmp_path: Path) -> None:
    source = Source((1,))
    source.teams[1]["boss"] = "b1"
    Pipeline(source, tmp_path, {"copy": TEAM}, **KEYED).run(code=65)
