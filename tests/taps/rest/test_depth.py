"""Streams below streams below streams: what goes down from level to level, and what holds on each."""

from __future__ import annotations

import random
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.levels import NAMES, EveryPath, Pipeline, Source, served, stream

from singerkit_tap import family, keys

ORGS = {"name": "orgs", "path": "/orgs", "primary_keys": ["login"]}
REPOS = {
    "name": "repos",
    "path": "/orgs/{parent.login}/repos",
    "primary_keys": ["org", "name"],
    "parent": {"stream": "orgs", "copy": {"org": "login", "plan": "plan"}},
}
ISSUES = {
    "name": "issues",
    "path": "/repos/{parent.org}/{parent.name}/issues",
    "primary_keys": ["org", "repo", "no"],
    "parent": {"stream": "repos", "copy": {"org": "org", "repo": "name", "plan": "plan"}},
}
LABELS = {
    "name": "labels",
    "path": "/labels",
    "params": {"of": "{parent.org}/{parent.repo}/{parent.no}"},
    "parent": {"stream": "issues"},
}


class Forge:
    """Organisations with repositories, which hold numbers of issues; of each kind the rows that a test gives."""

    def __init__(self) -> None:
        self.orgs = [{"login": "a", "plan": "free"}, {"login": "b/c", "plan": None}]
        self.repos = {"a": ["x", "y"], "b/c": ["x"]}
        self.issues: dict[tuple[str, str], list[int]] = {
            ("a", "x"): [1, 2],
            ("a", "y"): [],
            ("b/c", "x"): [1],
        }

    def answer(self, asked: Asked) -> Reply:
        parts = [part.replace("%2F", "/") for part in asked.path.strip("/").split("/")]
        match parts:
            case ["orgs"]:
                return json_reply(self.orgs)
            case ["orgs", org, "repos"]:
                return json_reply([{"name": name} for name in self.repos[org]])
            case ["repos", org, repo, "issues"]:
                return json_reply([{"no": number} for number in self.issues[org, repo]])
        return json_reply([{"label": asked.param("of")}])


def test_fields_go_down_from_level_to_level(run_tap: Any) -> None:
    forge = Forge()
    with serving({}) as api:
        api.routes = EveryPath(forge.answer)
        run = run_tap(api.url, LABELS, ISSUES, ORGS, REPOS).ended(0)
    assert run.records("issues") == [
        {"no": 1, "org": "a", "repo": "x", "plan": "free"},
        {"no": 2, "org": "a", "repo": "x", "plan": "free"},
        {"no": 1, "org": "b/c", "repo": "x", "plan": None},
    ]
    assert run.records("labels") == [
        {"label": label, "issues_org": org, "issues_repo": "x", "issues_no": number}
        for label, org, number in [("a/x/1", "a", 1), ("a/x/2", "a", 2), ("b/c/x/1", "b/c", 1)]
    ]


@pytest.mark.parametrize(
    ("parents", "said"),
    [
        ({"a": "a"}, "`streams[0].parent.stream` leads back to the stream itself: `a` below `a`"),
        (
            {"a": "b", "b": "c", "c": "a", "d": "c"},
            "`streams[0].parent.stream` leads back to the stream itself: `a` below `b` below `c` below `a`",
        ),
    ],
)
def test_a_circle_is_refused(parents: dict[str, str], said: str, run_tap: Any) -> None:
    streams = [
        {"name": name, "path": "/{parent.id}", "parent": {"stream": parent}}
        for name, parent in parents.items()
    ]
    run = run_tap("http://127.0.0.1:9", *streams).ended(78)
    assert said in run.sentence
    assert "streams[3]" not in run.sentence


def three(source: Source) -> list[int]:
    """Add a row of each level below the one before, and return their ids."""
    top = source.add("a", plan=1)
    middle = source.add("b", top, tag=1)
    return [top, middle, source.add("c", middle)]


@pytest.mark.parametrize("bookmarks", ["each", "shared"])
@pytest.mark.parametrize("selected", [True, False])
@pytest.mark.parametrize("read", ["all", "changed"])
def test_what_was_copied_down_follows_the_top_past_a_level_that_has_not_changed(
    bookmarks: str, selected: bool, read: str
) -> None:
    source = Source(random.Random(0))
    top, _, bottom = three(source)
    middle = stream("b", bookmarks=bookmarks, read=read) | {"selected": selected}
    with served(source) as api:
        pipeline = Pipeline(api.url, [stream("a"), middle, stream("c", bookmarks=bookmarks, read="changed")])
        source.now = 50
        three(source)  # so that nothing of the first is of the newest value
        for _ in range(3):
            pipeline.run()
        assert pipeline.tables["c"][bottom]["plan"] == 1
        source.now = 99
        source.touch("a", top, plan=7)
        pipeline.run()
        assert pipeline.tables["c"][bottom]["plan"] == 7
        assert pipeline.tables["b"] == (source.expected()["b"] if selected else {})
        pipeline.run()
        assert pipeline.run() == 0


def test_a_level_that_is_selected_later_has_what_was_copied_meanwhile() -> None:
    source = Source(random.Random(0))
    top, middle, _ = three(source)
    streams = [stream("a"), stream("b", bookmarks="each"), stream("c", bookmarks="each", read="changed")]
    with served(source) as api:
        pipeline = Pipeline(api.url, streams)
        pipeline.run()
        pipeline.run()
        streams[1]["selected"] = False
        pipeline.run()
        source.now = 9
        source.touch("a", top, plan=7)
        pipeline.run()
        streams[1]["selected"] = True
        pipeline.run()
        assert pipeline.tables["b"][middle]["plan"] == 7


def test_a_level_that_is_selected_later_has_the_rows_below_what_was_passed_over_meanwhile() -> None:
    """It was read for those below it, and wrote none of its own rows."""
    source = Source(random.Random(0))
    top, _, _ = three(source)
    streams = [stream("a"), stream("b", bookmarks="each", read="changed"), stream("c", bookmarks="each")]
    with served(source) as api:
        pipeline = Pipeline(api.url, streams)
        pipeline.run()
        streams[1]["selected"] = False
        for second in (50, 90):
            source.now = second
            new = source.add("b", top, tag=2) if second == 50 else None
            source.touch("a", top) if new is not None else three(source)
            pipeline.run()
        streams[1]["selected"] = True
        pipeline.run()
        assert pipeline.tables["b"] == source.expected()["b"]
        pipeline.run()
        assert pipeline.run() == 0


def test_what_is_not_found_far_below_an_unchanged_top_is_asked_for_again() -> None:
    source = Source(random.Random(0))
    _, middle, bottom = three(source)
    streams = [
        stream("a"),
        stream("b", incremental=False, read="changed"),
        stream("c", bookmarks="each", on_404="skip"),
    ]
    with served(source) as api:
        pipeline = Pipeline(api.url, streams)
        source.now = 50
        three(source)
        source.gone = {f"/b/{middle}/c"}
        for _ in range(3):
            pipeline.run()
        assert bottom not in pipeline.tables["c"]
        source.gone.clear()
        pipeline.run()
        assert bottom in pipeline.tables["c"]
        assert "_singerkit_absent" not in pipeline.state["bookmarks"]["c"]


class Moving(Source):
    """A row of `b`, with all below it, goes below a row of `a` that was asked already."""

    def answer(self, asked: Asked) -> Reply:
        reply = super().answer(asked)
        if asked.path == "/b/2/c":
            self.rows["b"][5]["of"] = 1
        return reply


def test_rows_far_below_that_go_elsewhere_meanwhile_do_not_leave_the_target() -> None:
    """Only the lowest stream sends versions; a second read of all above it shows what the first has missed."""
    source = Moving(random.Random(0))
    three(source)
    three(source)
    streams = [stream(name, incremental=False) for name in NAMES]
    streams[2] |= {"activate_version": True}
    with served(source) as api:
        pipeline = Pipeline(api.url, streams)
        pipeline.run()
        kinds = [message["type"] for message in pipeline.messages]
        assert pipeline.tables["c"].keys() == {3, 6}
        assert kinds.count("ACTIVATE_VERSION") == 1
        source.gone = {"/a/4/b"}
        streams[1]["parent"]["on_404"] = "skip"
        pipeline.run()
        assert "ACTIVATE_VERSION" not in [message["type"] for message in pipeline.messages]
        assert any("of this load, it was not found below a parent" in told for told in pipeline.warnings)


def test_a_quiet_run_says_nothing() -> None:
    """Though it passes over parents that have not changed, so that nothing of what the state remembers comes."""
    source = Source(random.Random(0))
    for second in range(9):
        source.now = 10 * second
        three(source)
    streams = [stream("a"), stream("b", bookmarks="each", read="changed"), stream("c", bookmarks="each")]
    with served(source) as api:
        pipeline = Pipeline(api.url, streams)
        for _ in range(3):
            pipeline.run()
        assert pipeline.warnings == []


def test_what_is_kept_of_parents_to_ask_them_again_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    class Watch(keys.KeyWatch):
        def begin_read(self, context: Any, start: Any) -> None:
            super().begin_read(context, start)
            lengths.append(len(self._reads))

    monkeypatch.setattr(keys, "_MOST_READS", 3)
    monkeypatch.setattr(family, "KeyWatch", Watch)
    source = Source(random.Random(0))
    for number in range(9):
        three(source) if number % 2 else source.add("b", source.add("a", plan=1), tag=1)
    with served(source) as api:
        pipeline = Pipeline(api.url, [stream(name, incremental=False) for name in NAMES])
        pipeline.run()
    assert pipeline.tables == source.expected()
    assert max(lengths) == 4
