"""Rate limits: by which answers they are told, and how long is waited for (H1)."""

from __future__ import annotations

import re
from typing import Any

import pytest
from taps.rest.api_server import Reply, json_reply, repeatedly, serving

from tap_rest.waiting import is_rate_limit, wait_asked_for
from tap_rest.words import says_limit

ROWS = [{"id": 1}, {"id": 2}]
GOOD = json_reply(ROWS)
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
MESSAGE = {"message": "API rate limit exceeded for user ID 1."}
NOON = "Sat, 28 Nov 2026 12:00:00 GMT"
NOON_IN_SECONDS = 1_795_867_200


def limited(status: int, **headers: str) -> Reply:
    return json_reply(MESSAGE, status, **headers)


LIMITS: dict[str, Reply] = {
    "403 with Retry-After": limited(403, Retry_After="0.01"),
    "403, none left": limited(403, X_RateLimit_Remaining="0", X_RateLimit_Reset=str(NOON_IN_SECONDS - 1)),
    "403, none left, without a reset": limited(403, x_rate_limit_remaining="0"),
    "400 with Retry-After": limited(400, Retry_After="0.01"),
    "420": limited(420),
    "403 in words": limited(403),
}


@pytest.mark.parametrize("case", LIMITS)
def test_a_limit_is_waited_for_and_in_the_end_is_no_question_of_credentials(case: str, run_tap: Any) -> None:
    with serving({"/rows": repeatedly(LIMITS[case], GOOD)}) as api:
        assert run_tap(api.url, STREAM).ended(0).records("rows") == ROWS
        assert len(api.asked) == 2
        api.routes["/rows"] = repeatedly(LIMITS[case])
        run = run_tap(api.url, STREAM).ended(69)
        assert len(api.asked) == 2 + 3
    assert "rate limit exceeded for user" in run.sentence
    assert "auth" not in run.sentence
    how = {"420": "status 420, it says", "403 in words": "status 403, a rate limit by what it says, it says"}
    assert how.get(case, ", a rate limit by its headers, it says") in run.sentence


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("headers", [{}, {"X-RateLimit-Remaining": "7", "X-RateLimit-Reset": "3600"}])
def test_what_a_refusal_says_is_shown(status: int, headers: dict[str, str], run_tap: Any) -> None:
    token = "abc-def-ghi-jkl"
    refusal = json_reply({"message": f"{token} may not read orders"}, status, **headers)
    with serving({"/rows": lambda _: refusal}) as api:
        run = run_tap(api.url, STREAM, auth={"type": "bearer", "token": token}).ended(77)
        assert len(api.asked) == 1
    assert "missing, wrong or not enough; it says: `" in run.sentence
    assert "may not read orders" in run.sentence
    assert token not in run.stderr


WAITS: list[tuple[int, dict[str, str], float | None]] = [
    (429, {"Retry-After": "7"}, 7),
    (429, {"Retry-After": "Sat, 28 Nov 2026 12:00:30 GMT"}, 30),
    (429, {"Retry-After": "7", "X-RateLimit-Reset": "60"}, 7),
    (429, {"Retry-After": "soon", "X-RateLimit-Reset": "60"}, 60),
    (429, {"X-RateLimit-Reset": "60"}, 60),
    (429, {"X-RateLimit-Reset": str(NOON_IN_SECONDS + 40)}, 40),
    (429, {"X-RateLimit-Reset": str(NOON_IN_SECONDS - 40)}, 0),
    (429, {"X-RateLimit-Reset": f"{NOON_IN_SECONDS + 40}500"}, 40.5),
    (429, {"X-RateLimit-Reset": "2026-11-28T12:00:40Z"}, 40),
    (429, {"X-RateLimit-Reset": "2026-11-28T13:00:40+01:00"}, 40),
    (429, {"X-RateLimit-Reset": "6m0s"}, None),
    (429, {"X-RateLimit-Reset": "-1"}, None),
    (429, {"x-rate-limit-reset": "60"}, 60),
    (429, {"RateLimit-Reset": "60"}, 60),
    (429, {"X-RateLimit-Reset-After": "1.5"}, 1.5),
    (429, {"RateLimit": "limit=60, remaining=0, reset=30"}, 30),
    (429, {"RateLimit": '"default";r=0;t=30'}, 30),
    (429, {"RateLimit": "limit=60, remaining=4, reset=30"}, None),
    (429, {"X-RateLimit-Remaining": "4", "X-RateLimit-Reset": "3600"}, None),
    (429, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, 60),
    (503, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, 60),
    (503, {"X-RateLimit-Reset": "60"}, None),
    (503, {"Retry-After": "60"}, 60),
    (429, {"Date": "nonsense", "X-RateLimit-Reset": str(NOON_IN_SECONDS)}, None),
    (429, {}, None),
]


@pytest.mark.parametrize(("status", "headers", "wait"), WAITS)
def test_how_long_an_answer_asks_to_wait(status: int, headers: dict[str, str], wait: float | None) -> None:
    assert wait_asked_for(status, {"Date": NOON} | headers) == wait


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (403, {}),
        (403, {"Retry-After": "soon"}),
        (403, {"X-RateLimit-Remaining": "1"}),
        (403, {"X-RateLimit-Reset": "60"}),
        (400, {"X-RateLimit-Remaining": "0"}),
        (401, {"Retry-After": "1"}),
        (404, {"Retry-After": "1"}),
    ],
)
def test_what_tells_of_no_limit(status: int, headers: dict[str, str]) -> None:
    assert not is_rate_limit(status, headers)


@pytest.mark.parametrize(
    ("text", "is_limit"),
    [
        ("You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", True),
        ('[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}]', True),
        ('{"reason": "rateLimitExceeded"}', True),
        ('{"reason": "userRateLimitExceeded"}', True),
        ("Quota exceeded for quota metric 'Read requests'", True),
        ("Request was throttled.", True),
        ("Your token may not read rate_limits.", False),
        ("Resource not accessible by integration", False),
        ("Not allowed: this plan has no access to the API", False),
        ("<html>Forbidden</html>", False),
    ],
)
def test_a_refusal_that_tells_of_a_limit_in_words(text: str, is_limit: bool) -> None:
    assert says_limit(text) == is_limit


def waits_of(stderr: str) -> list[float]:
    return [float(wait) for wait in re.findall(r"next in ([0-9.]+) s", stderr)]


def test_the_moment_at_which_a_limit_begins_anew_is_waited_for_up_to_the_longest_wait(run_tap: Any) -> None:
    retries = {"tries": 2, "first_wait": 0.01, "longest_wait": 1.2}
    for reset, waited in (("1", 1.0), ("3600", 1.2)):
        with serving({"/rows": repeatedly(json_reply({}, 429, X_RateLimit_Reset=reset), GOOD)}) as api:
            run = run_tap(api.url, STREAM, retries=retries).ended(0)
        assert waits_of(run.stderr) == [waited]
        assert f"(asked for {reset} s)" in run.stderr


def test_a_wait_that_was_asked_for_in_vain_grows(run_tap: Any) -> None:
    """`Retry-After: 0` with each answer is no advice: all tries were used up at once."""
    retries = {"tries": 4, "first_wait": 0.2, "longest_wait": 5}
    with serving({"/rows": lambda _: json_reply({}, 429, Retry_After="0")}) as api:
        first, second, third = waits_of(run_tap(api.url, STREAM, retries=retries).ended(69).stderr)
    assert first == 0
    assert 0.2 <= second <= 0.4
    assert 0.4 <= third <= 0.8
