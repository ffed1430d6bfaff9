"""Streams below streams below streams: what goes down from level to level, and what holds on each."""

from __future__ import annotations

from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving

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

    def routes(self) -> Any:
        return _Any(self.answer)


class _Any(dict[str, Any]):
    """The same route for every path."""

    def __init__(self, route: Any) -> None:
        super().__init__({"": route})
        self._route = route

    def get(self, _path: str, _default: Any = None) -> Any:
        return self._route


def test_fields_go_down_from_level_to_level(run_tap: Any) -> None:
    forge = Forge()
    with serving(forge.routes()) as api:
        api.routes = forge.routes()
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
