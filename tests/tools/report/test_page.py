"""What the report says, and what it never holds."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pytest

import singerkit_report
from singerkit_report.advice import advice_for
from singerkit_report.page import page
from singerkit_report.standing import standings, up_to
from singerkit_run.durations import shown
from singerkit_run.planfile import read_plan
from singerkit_run.usual import UNSAID, Expected, expected_of
from singerkit_shell.secrets import redactor
from singerkit_state.runs import RuleRun, Run, StreamRun

from .month import NAMES, month

NOW = datetime(2026, 11, 29, 7, 30, tzinfo=UTC)
STYLE = (Path(singerkit_report.__file__).parent / "style.css").read_text()


class Seen(HTMLParser):
    """What a reader sees: ``text`` in the order of the page, ``names`` of elements, ``addresses`` that are named in attributes."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.text, self.names, self.addresses = "", set[str](), set[str]()
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.addresses |= {value or "" for name, value in attrs if name in ("href", "src", "action", "data")}
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def seen(runs: list[Run], names: tuple[str, ...] = NAMES, days: int = 30) -> Seen:
    return Seen(page(standings(names, runs, NOW, days), NOW, days, "singerkit.yaml"))


def run(**fields: object) -> Run:
    known = {"id": "1", "pipeline": "orders", "started": NOW - timedelta(hours=4), "result": "complete"}
    return Run(**(known | fields))  # type: ignore[arg-type]


def test_who_needs_somebody_stands_first_with_what_to_do() -> None:
    text = seen(month(NOW)).text
    assert "3 of 8 pipelines need you." in text
    places = [
        text.index(words)
        for words in (
            "What to do",
            "orders failed (65)",
            "got ... at orders.$.qty",
            "on_invalid: quarantine",
            "The last good run was 2 days ago. Since then 2 runs have not ended well.",
            "stock still running",
            "(process 4711 of etl-2), and has not ended; of the last good ones none took more than",
            "With timeout in the file of pipelines",
            "newsletter late",
            "Its last run began 7 days ago; so far it ran every 24 h",
            "All pipelines",
        )
    ]
    assert places == sorted(places)


def test_each_pipeline_has_its_part() -> None:
    text = seen(month(NOW)).text
    for words in (
        "20 Nov Column orders.note added.",
        "orders.$.qty: expected integer",
        "in 30 runs: Field zip",
    ):
        assert words in text
    assert seen(month(NOW)).addresses == {f"#pipeline-{name}" for name in NAMES}


def test_rules_of_quality_that_were_not_kept_in_the_last_run_are_listed() -> None:
    rules = [
        RuleRun("orders", "unique", "number", "checks.orders[0]", "warn", "broken", 20, 2),
        RuleRun("orders", "range", "qty", "checks.orders[1]", "fail", "not judged", why="no record came"),
        RuleRun("orders", "not_null", "id", "checks.orders[2]", "fail", "kept", 20),
    ]
    older = run(id="0", started=NOW - timedelta(hours=9), quality=[replace(rules[2], verdict="broken")])
    text = seen([older, run(quality=rules)], ("orders",)).text
    assert "Rule unique of number in stream orders (checks.orders[0], warn) is broken by 2 of 20" in text
    assert "was not judged: no record came" in text
    assert "not_null" not in text


def test_all_is_well() -> None:
    text = seen([run(streams={"orders": StreamRun(rows=1204, new=4)})], ("orders",)).text
    assert "The pipeline is well." in text
    assert "Within the last 24 hours 1 run, none of them not to a good end; 1,204 rows loaded." in text
    assert "What to do" not in text


def test_pipelines_without_runs_and_runs_without_pipelines_are_shown() -> None:
    text = seen([run(pipeline="former")], ("orders",)).text
    assert "orders" in text
    assert "never" in text
    assert "former" in text
    assert "There are no runs." in Seen(page([], NOW, 30, "singerkit.yaml")).text


def test_a_pipeline_that_runs_in_shards_is_not_one_that_never_ran() -> None:
    text = seen([run(pipeline="orders#0/2"), run(id="2", pipeline="orders#1/2")], ("orders",)).text
    assert "never" not in text
    assert "All 2 pipelines are well." in text


def test_a_run_at_work_says_nothing_of_the_failure_before_it() -> None:
    at_work = run(id="2", started=NOW, result="running")
    failed = run(result="failed", exit_code=69, reason="The API was away.")
    text = seen([at_work, failed], ("orders",)).text
    assert "1 of 1 pipeline needs you." in text
    assert "The API was away." in text


@pytest.mark.parametrize(
    ("result", "code", "words"),
    [
        ("failed", 69, "goes on where it was"),
        ("failed", 77, "credentials"),
        ("failed", 78, "--dry-run"),
        ("failed", 70, "report it"),
        ("failed", 1, "Its log says more"),
        ("killed", None, "memory"),
        ("stopped", 143, "The next run goes on"),
        ("skipped", None, "that it stands on"),
        ("complete", 0, ""),
        ("running", None, ""),
    ],
)
def test_there_is_advice_for_each_end(result: str, code: int | None, words: str) -> None:
    advice = advice_for(run(result=result, exit_code=code))
    assert words in advice
    assert bool(advice) == bool(words)


def test_nothing_of_it_is_run_or_comes_from_outside() -> None:
    found = seen(month(NOW))
    assert not found.names & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert "url(" not in STYLE
    assert "@import" not in STYLE


@pytest.mark.parametrize("place", ["reason", "warnings", "pipeline", "schema_changes", "stream"])
def test_whatever_a_text_holds_is_a_text(place: str) -> None:
    words = '</style><script>alert(1)</script>\x00\x1b[31m & "quoted" `<b>`'
    fields: dict[str, object] = {
        "stream": {"streams": {words: StreamRun(rows=1, bookmark_after=words)}},
        "reason": {"reason": words},
        "pipeline": {"pipeline": words},
    }.get(place, {place: (words,)})  # type: ignore[assignment]
    found = seen([run(result="failed", exit_code=1, **fields)], ())
    assert not found.names & {"script", "b"} - {"b"}
    assert "alert(1)" in found.text
    assert "\x00" not in found.text


def test_no_secret_stands_in_it() -> None:
    redactor.add("hunter2-and-more")
    assert (
        "hunter2" not in seen([run(result="failed", reason="The password hunter2-and-more is wrong.")]).text
    )


def test_of_days_the_worst_that_came_of_them_is_shown() -> None:
    [standing] = standings(
        ["orders"],
        [
            run(id="3", started=NOW - timedelta(days=1, hours=1), seconds=9.0),
            run(id="2", started=NOW - timedelta(days=1, hours=2), result="killed", seconds=2.0),
            run(id="1", started=NOW - timedelta(days=3), result="stopped"),
        ],
        NOW,
        4,
    )
    assert [day.result for day in standing.days] == ["stopped", "", "failed", ""]
    assert [day.seconds for day in standing.days] == [None, None, 9.0, None]
    assert standing.failures == 0


def test_late_is_who_has_not_run_for_three_times_the_usual_while() -> None:
    daily = [run(id=str(day), started=NOW - timedelta(days=day)) for day in range(2, 9)]
    [standing] = standings(["orders"], daily, NOW, 30)
    assert not standing.why_late
    [standing] = standings(["orders"], daily, NOW + timedelta(days=1, minutes=1), 7)
    assert standing.why_late, "though few of its runs are within the days that are shown"


def test_who_was_tried_by_hand_some_times_is_neither_late_nor_hanging_after_minutes() -> None:
    tried = [run(id=str(at), started=NOW - timedelta(minutes=20 + at), seconds=2.0) for at in range(9)]
    assert not standings(["orders"], tried, NOW, 30)[0].needs_somebody
    assert standings(["orders"], tried, NOW + timedelta(minutes=41), 30)[0].why_late
    at_work = run(id="w", started=NOW - timedelta(minutes=9), result="running")
    assert not standings(["orders"], [at_work, *tried], NOW, 30)[0].needs_somebody
    assert standings(["orders"], [at_work, *tried], NOW + timedelta(minutes=2), 30)[0].why_hanging


@pytest.mark.parametrize(
    ("runs", "days_ago", "expected", "is_late"),
    [
        (2, 2.9, UNSAID, False),  # nobody knows what is usual of two runs
        (2, 3.1, UNSAID, True),
        (1, 90, UNSAID, False),  # it may have been meant to run once
        (1, 1.1, Expected(late_after=86_400.0), True),
        (9, 2.0, Expected(late_after=3 * 86_400.0), False),
    ],
)
def test_late_where_little_is_known_and_where_the_file_says_what_is(
    runs: int, days_ago: float, expected: Expected, is_late: bool
) -> None:
    found = [run(id=str(at), started=NOW - timedelta(days=days_ago, hours=at)) for at in range(runs)]
    [standing] = standings(["orders"], found, NOW, 30, {"orders": expected})
    assert bool(standing.why_late) == is_late


def test_one_that_fails_is_late_by_its_last_good_run() -> None:
    fails = [run(id=str(at), started=NOW - timedelta(days=at), result="failed") for at in range(9)]
    [standing] = standings(
        ["orders"],
        [*fails, run(started=NOW - timedelta(days=9))],
        NOW,
        30,
        {"orders": Expected(late_after=86_400.0)},
    )
    assert standing.why_late


def test_the_last_run_is_shown_whenever_it_was() -> None:
    """Before the days that are shown: neither `never` nor well, and its rows are in no sum of these days."""
    old = run(started=NOW - timedelta(days=45), streams={"s": StreamRun(rows=77)}, warnings=("An old one.",))
    text = seen([old, run(id="2", pipeline="items")], ("orders", "items")).text
    assert "1 of 2 pipelines are well, 1 has not run within 30 days." in text
    assert "45 days ago" in text
    assert "never" not in text
    assert "An old one." not in text
    daily = [replace(old, id=str(day), started=NOW - timedelta(days=45 + day)) for day in range(6)]
    text = seen(daily, ("orders",)).text
    assert "1 of 1 pipeline needs you." in text
    assert "Its last run began 45 days ago; so far it ran every 24 h" in text


def nightly(at_work: timedelta, seconds: float = 700.0) -> list[Run]:
    """A run that is at work, and good ones before it."""
    good = [
        run(id=str(day), started=NOW - at_work - timedelta(days=day), seconds=seconds) for day in range(1, 7)
    ]
    return [run(id="0", started=NOW - at_work, result="running", pid=4711, host="shop"), *good]


@pytest.mark.parametrize(
    ("runs", "expected", "why"),
    [
        (nightly(timedelta(minutes=34)), UNSAID, ""),
        (nightly(timedelta(minutes=36)), UNSAID, "of the last good ones none took more than 11 min 40 s"),
        (nightly(timedelta(minutes=9), seconds=1.0), UNSAID, ""),  # nothing is too long for that
        (nightly(timedelta(hours=23))[:3], UNSAID, ""),
        (nightly(timedelta(hours=25))[:3], UNSAID, "nothing is known of how long it usually takes"),
        (nightly(timedelta(hours=2))[:1], Expected(at_most=7000.0), "none takes more than 1 h 56 min"),
    ],
)
def test_a_run_that_is_at_work_for_too_long_is_not_well(
    runs: list[Run], expected: Expected, why: str
) -> None:
    text = Seen(
        page(standings(["orders"], runs, NOW, 30, {"orders": expected}), NOW, 30, "singerkit.yaml")
    ).text
    assert ("still running" in text) == bool(why)
    assert ("process 4711 of shop" in text) == bool(why)
    assert why in text
    assert shown((NOW - runs[0].started).total_seconds()) in text


def test_what_a_file_says_of_the_length_of_a_run_is_all_that_a_run_may_take(tmp_path: Path) -> None:
    file = tmp_path / "singerkit.yaml"
    file.write_text(
        "pipelines:\n  orders:\n    tap: {exec: x}\n    target: {exec: x}\n    timeout: 10m\n    late_after: 26h\n"
        "    retries: {times: 2, wait: 1m..5m}\n    after_commit: [{run: x, timeout: 30m}]\n"
    )
    assert expected_of(read_plan(str(file)).pipelines["orders"]) == Expected(
        30 * 60 + 3 * 60 + 30 * 60, 26 * 3600
    )


def test_who_found_another_run_at_work_says_nothing_of_the_pipeline() -> None:
    """Neither that it fails, nor that it is well: the last run that did something does."""
    busy = [
        run(id=f"b{at}", started=NOW - timedelta(hours=at), result="skipped", exit_code=75) for at in range(3)
    ]
    well = run(started=NOW - timedelta(hours=9), streams={"s": StreamRun(rows=3)})
    text = seen([*busy, well], ("orders",)).text
    assert "The pipeline is well." in text
    assert "9 hours agocomplete" in text
    assert (
        "Within the last 24 hours 1 run, none of them not to a good end; 3 found another one at work; 3 rows loaded."
        in text
    )
    failed = replace(well, result="failed", exit_code=65, reason="It is torn.")
    text = seen([*busy, failed], ("orders",)).text
    assert "1 of 1 pipeline needs you." in text
    assert "It is torn." in text
    assert "3 more runs found another one at work (75), and did nothing." in text
    assert "failed (65)" in text


def test_a_run_of_the_future_hides_none_of_today() -> None:
    ahead, failed = run(started=NOW + timedelta(days=365)), run(id="2", result="failed", exit_code=65)
    runs, [said] = up_to(NOW, [ahead, failed])
    [standing] = standings(["orders"], runs, NOW, 30)
    assert standing.failures == 1
    assert said.startswith("1 run of `orders` began in the future by the clock of this machine")
    assert up_to(NOW, [run(started=NOW + timedelta(minutes=1))])[1] == []


def test_many_pipelines_an_hour_each() -> None:
    names = tuple(f"pipeline_{number:03}" for number in range(60))
    runs = [
        replace(one, id=f"{name}{at}", pipeline=name)
        for name in names
        for at, one in enumerate(month(NOW, ("a",)))
    ]
    document = page(standings(names, runs, NOW, 30), NOW, 30, "singerkit.yaml")
    assert document.count("<details") == 60
    assert len(document) < 1_500_000


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]+)", scheme))


def brightness(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((brightness(one), brightness(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(
    "scheme", STYLE.split("@media (prefers-color-scheme: dark)")[:2], ids=["light", "dark"]
)
def test_all_texts_can_be_read(scheme: str) -> None:
    known = colours(scheme.split("* {")[0])
    pairs = [*product(("ink", "soft"), ("paper", "ground")), *product(("good", "bad", "warn"), ("ground",))]
    pairs += [(kind, f"{kind}-ground") for kind in ("good", "bad", "warn", "now")]
    assert [pair for pair in pairs if contrast(known[pair[0]], known[pair[1]]) < 4.5] == []
    assert [
        bar for bar in ("bar", "bar-aside", "bad", "good") if contrast(known[bar], known["paper"]) < 3
    ] == []
