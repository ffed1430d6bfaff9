"""What stands around no rows, and is otherwise than around rows, is a sign; what changes at every end is none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tap_rest.answers.envelope import Around, Habits, members_around
from tap_rest.answers.signs import signs_in_headers, signs_of, wait_asked


def around(body: Any) -> list[Any]:
    return members_around(
        {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}, ("data",)
    )


def signs(none: Any, *rows: Any, told: Any = (), is_first: bool = False) -> set[str]:
    habits = Habits()
    for body in rows:
        habits.learn(Around(around(body)))
    return set(signs_of(around(none), habits, told, is_first=is_first))


@pytest.mark.parametrize(
    ("none", "rows", "expected"),
    [
        ({"captcha": True}, [{}], {"captcha=True"}),
        ({"captcha": False}, [{}], {"captcha=False"}),
        ({"note": "x 12"}, [{}], {"note=x #"}),
        ({"cooldown": 3}, [{}], {"cooldown"}),
        ({"code": 7}, [{}], {"code=7"}),
        ({"code": 7}, [{"code": 0}], {"code=7"}),
        ({"cost": 7}, [{"cost": 9}], set()),
        ({"errors_of": [1]}, [{}], {"errors_of"}),
        ({"status": "idle"}, [{"status": "busy"}], {"status=idle"}),
        ({"status": "idle"}, [{"status": "busy"}, {"status": "other"}], set()),
        ({"region": "eu"}, [{"region": "us"}], {"region=eu"}),
        ({"ready": False}, [{"ready": True}], {"ready=False"}),
        ({"remaining": 0}, [{"remaining": 9}], {"remaining=0"}),
        ({"remaining": 0}, [{"remaining": 9}, {"remaining": 8}], {"remaining=0"}),
        ({"remaining": 0}, [{"remaining": 0}], set()),
        ({"remaining": 1}, [{"remaining": 9}], set()),
        ({"total": 0}, [{"total": 9}], {"total=0"}),
        ({"total": 8}, [{"total": 9}], set()),
        ({"count": 0}, [{"count": 9}], set()),
        ({}, [{"total": 9}], {"without total"}),
        ({"total": None}, [{"total": 9}], {"without total"}),
        ({}, [{"total": None}], set()),
        ({}, [{"total": 9}, {}], set()),
        ({"has_more": False}, [{}], set()),
        ({"is_last_page": True}, [{}], set()),
        ({"next": None, "note": "", "list": [], "map": {}}, [{}], set()),
        ({"next_cursor": "abc"}, [{}], set()),
        ({"query": {"q": "x"}}, [{}], set()),
        ({"meta": {"took": 9}}, [{"meta": {"took": 3}}], set()),
        ({"meta": {"took": 9, "left": 3}}, [{"meta": {"took": 3}}], set()),
        ({"meta": {"took": 9, "hint": "closed"}}, [{"meta": {"took": 3}}], {"meta.hint=closed"}),
        ({"a": 1}, [], set()),
        ({"retry_after": 3}, [], {"retry_after"}),
        ({"retry_after": 0}, [], set()),
        ({"retry_after": 3}, [{"retry_after": 3}], {"retry_after"}),
        ({"next_allowed_at": "tomorrow"}, [{}], {"next_allowed_at=tomorrow"}),
        ({"limit": {"left": 0}}, [{}], {"limit", "limit.left=0"}),
        ({"limit": {"left": 4}}, [{}], {"limit", "limit.left"}),
        ({"last": 4}, [{}], set()),
    ],
)
def test_signs(none: Any, rows: Any, expected: set[str]) -> None:
    data = [body | {"data": [1]} for body in rows]
    assert signs(none | {"data": []}, *data) == expected


def test_what_was_told_by_its_words_is_a_sign_and_texts_of_another_question_are_none() -> None:
    rows = {"blocked": False, "owner": "Ann", "status": "open", "data": [1]}
    other = {"blocked": True, "owner": "Bob", "status": "closed", "data": []}
    assert signs(other, rows, is_first=True) == {"status=closed"}
    assert signs(other, rows, told=[("blocked",)], is_first=True) == {"status=closed", "blocked=True"}
    assert signs(other, rows) == {"status=closed", "blocked=True", "owner=Bob"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "3"}, {"retry-after"}),
        ({"X-RateLimit-Remaining": "0"}, {"x-ratelimit-remaining"}),
        ({"RateLimit-Remaining": "00"}, {"ratelimit-remaining"}),
        ({"X-RateLimit-Remaining": "10", "X-RateLimit-Limit": "0", "Age": "0"}, {"x-ratelimit-limit"}),
        ({"X-Maintenance": "true"}, {"x-maintenance"}),
        ({"Warning": '199 - "degraded"'}, {"warning"}),
        (
            {"server": "x", "Content-Encoding": "gzip", "X-Cache": "HIT", "CF-Ray": "1", "X-Request-Id": "2"},
            set(),
        ),
    ],
)
def test_signs_in_headers(headers: dict[str, str], expected: set[str]) -> None:
    assert signs_in_headers(headers, {"server", "x-ratelimit-remaining"}) == expected
    assert signs_in_headers(headers, set()) == expected - {"x-ratelimit-limit", "x-maintenance", "warning"}


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"retry_after": 3}, {}, 3),
        ({"retry_after": 3, "backoff": "10"}, {}, 10),
        ({"retryAfterMs": 1500}, {}, 1.5),
        ({"meta": {"wait": 2}}, {}, 2),
        ({"retry_after": -1, "retries": "many"}, {}, None),
        ({"count": 3}, {}, None),
        ({}, {"Retry-After": "9"}, 0),
        ({"retry": 4}, {"Retry-After": "9"}, 4),
    ],
)
def test_what_asks_to_wait(body: Any, headers: dict[str, str], seconds: float | None) -> None:
    assert wait_asked(around(body), headers) == seconds
