"""Rate limits: by which answers they are told, and how long is waited for (H1)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from taps.rest.api_server import Asked, Reply, json_reply, repeatedly, serving
from taps.rest.drive import drive

from singerkit_shell.errors import RetryableError
from singerkit_shell.signals import StopFlag
from tap_rest.answers.words import says_limit
from tap_rest.http.pacing import Pace
from tap_rest.http.retries import Retrying, Transient, _waits
from tap_rest.http.waiting import is_rate_limit, wait_asked_for
from tap_rest.settings.limits import Retries
from tap_rest.settings.ratelimit import RateLimit

__all__ = ["drive"]

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
def test_a_limit_is_waited_for_and_in_the_end_is_no_question_of_credentials(case: str, drive: Any) -> None:
    run = drive(repeatedly(LIMITS[case], GOOD)).run(STREAM)
    assert (run.code, run.ids(), run.asked()) == (0, [1, 2], 2)
    run.api.routes["/rows"] = repeatedly(LIMITS[case])
    assert (run.run(STREAM).code, run.asked()) == (69, 3)
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
    (429, {"X-RateLimit-Reset": "6m0s"}, 360),
    (429, {"X-RateLimit-Reset-Requests": "1h2m3.5s"}, 3723.5),
    (429, {"X-RateLimit-Reset": "250ms"}, 0.25),
    (429, {"X-RateLimit-Reset": "m"}, None),
    (429, {"X-RateLimit-Reset": ""}, None),
    (429, {"retry-after-ms": "1500"}, 1.5),
    (429, {"X-Rate-Limit-Retry-After-Seconds": "12"}, 12),
    (429, {"X-Retry-After": "12"}, 12),
    (429, {"Retry-After": "7", "retry-after-ms": "1500"}, 7),
    (
        429,
        {
            "X-RateLimit-Remaining-Minute": "0",
            "X-RateLimit-Remaining-Day": "7",
            "X-RateLimit-Reset-Minute": "20",
            "X-RateLimit-Reset-Day": "8000",
        },
        20,
    ),
    (429, {"RateLimit": '"minute";r=0;t=20, "day";r=7;t=8000'}, 20),
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


def test_the_moment_at_which_a_limit_begins_anew_is_waited_for_up_to_the_longest_wait(drive: Any) -> None:
    retries = {"tries": 2, "first_wait": 0.01, "longest_wait": 0.3}
    for reset, shown, waited in (("100ms", "0.1", 0.1), ("3600", "3600", 0.3)):
        run = drive(repeatedly(json_reply({}, 429, X_RateLimit_Reset=reset), GOOD)).run(
            STREAM, retries=retries
        )
        assert (run.code, waits_of(run.warnings)) == (0, [waited])
        assert f"(asked for {shown} s)" in run.warnings


def test_the_waits_of_six_tries_outlast_a_minute() -> None:
    """Where no answer says how long to wait: a window of a minute is the most common."""
    most = Retries()
    for is_early, least in ((True, 60), (False, 15)):
        waits = _waits(most.first_wait, most.longest_wait)
        next(waits)
        total = 0.0
        for _ in range(most.tries - 1):
            failure = Transient("", is_early=is_early)
            waits.send(failure)
            total += failure.wait
        assert total > least
    assert total < 60


@pytest.mark.parametrize(
    "reply",
    [
        json_reply({}, 429),
        json_reply({}, 202),
        json_reply({"ok": False, "error": "ratelimited"}),
        limited(403),
    ],
)
def test_an_api_that_is_asked_too_early_is_given_longer(reply: Reply, drive: Any) -> None:
    run = drive(repeatedly(reply, GOOD)).run(STREAM, retries={"tries": 2, "first_wait": 0.1})
    (wait,) = waits_of(run.warnings)
    assert (run.code, 0.2 <= wait <= 0.4) == (0, True)


def by_page(pages: int) -> Callable[[Asked], Reply]:
    return lambda asked: json_reply([{"id": 1}] if int(asked.param("page") or 1) <= pages else [])


def test_a_wait_that_was_asked_for_in_vain_grows(drive: Any) -> None:
    """`Retry-After: 0` with each answer is no advice: all tries were used up at once."""
    run = drive(lambda _: json_reply({}, 429, Retry_After="0"))
    run.run(STREAM, retries={"tries": 4, "first_wait": 0.05, "longest_wait": 5})
    first, second, third = waits_of(run.warnings)
    assert (run.code, first) == (69, 0)
    assert 0.2 <= second <= 0.4
    assert 0.4 <= third <= 0.8


@pytest.mark.parametrize(
    ("said", "windows"),
    [
        ({"requests_per_second": 0.5}, [(1, 2)]),
        ({"requests_per_second": 3}, [(3, 1)]),
        ({"requests_per_second": 2.5, "requests_per_minute": 20}, [(2, 0.8), (20, 60)]),
        ({"requests_per_hour": 40}, [(40, 3600)]),
    ],
)
def test_no_window_of_time_has_more_requests_than_the_budget(
    said: dict[str, Any], windows: list[tuple[int, float]]
) -> None:
    now = 100.0
    pace = Pace(msgspec.convert(said, RateLimit), lambda: now)
    turns = []
    for number in range(100):
        turn, _ = pace._turn(now)
        turns.append(turn)
        now = max(now + number % 3 * 0.1, turn)
    for count, seconds in windows:
        assert all(last - first > seconds for first, last in zip(turns, turns[count:], strict=False))
    assert turns[0] == 100, "the first waits for nothing"


def test_all_threads_share_the_budget() -> None:
    pace = Pace(RateLimit(requests_per_minute=5), lambda: 0.0)
    with ThreadPoolExecutor(8) as threads:
        turns = sorted(threads.map(lambda _: pace._turn(0.0)[0], range(50)))
    assert Counter(round(turn) for turn in turns) == {round(61.2 * number): 5 for number in range(10)}


def test_streams_share_the_budget(drive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(StopFlag, "wait", lambda _, seconds: waits.append(seconds))
    other = STREAM | {"name": "k", "path": "/k"}
    paged = {"pagination": {"type": "page"}, "rate_limit": {"requests_per_minute": 2}}
    route = by_page(1)
    run = drive(route, k=route).run(STREAM, other, **paged)
    assert (run.code, run.ids("k"), run.ids()) == (0, [1], [1])
    assert len(run.api.asked) == 4
    assert [round(wait / 10) for wait in waits] == [6, 6]
    assert "allows; the next is made in 61 s" in run.log


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            {"requests_per_second": 1, "requests_per_minute": 60},
            "`rate_limit.requests_per_minute` (60) has no effect",
        ),
        ({"requests_per_minute": 60, "requests_per_hour": 4000}, "allows no more than 3600"),
        ({"requests_per_day": 60}, "requests_per_day"),
        ({"requests_per_second": 0}, "requests_per_second"),
    ],
)
def test_a_budget_that_is_never_met_is_refused(said: dict[str, Any], problem: str, drive: Any) -> None:
    run = drive(lambda _: GOOD).run(STREAM, rate_limit=said)
    assert run.code == 78
    assert problem in run.sentence


@pytest.mark.parametrize(("total", "tries"), [(50, 2), (150, 5)])
def test_the_time_of_the_first_try_counts(total: float, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 100.0])
    monkeypatch.setattr("tap_rest.http.retries.time", SimpleNamespace(monotonic=lambda: next(moments)))
    asked: list[str] = []

    def ask(url: str) -> None:
        asked.append(url)
        raise Transient("status 503")

    limits = Retries(tries=5, first_wait=0.01, longest_wait=0.01, total=total)
    with pytest.raises(RetryableError, match=f"after {tries} tries"):
        Retrying(ask, limits, str)("http://api.test/rows")
    assert len(asked) == tries
