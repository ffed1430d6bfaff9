"""The page: what needs somebody, a line a pipeline, and a part for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from xml.etree.ElementTree import Element

from singerkit_history.table import lag_seconds, result_in_words
from singerkit_report.advice import advice_for
from singerkit_report.elements import document, element, sentence
from singerkit_report.plots import bars, strip
from singerkit_report.standing import Day, Standing
from singerkit_run.durations import shown
from singerkit_run.usual import who
from singerkit_shell.words import counted
from singerkit_state.runs import Run

__all__ = ["page"]

_STYLE = Path(__file__).with_name("style.css")
_NOTHING_FROM_OUTSIDE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_OPEN = 12
"""So many pipelines have their parts open; where there are more, only those have that need somebody."""
_STOP_IT = (
    "Look whether it still moves, by its log or in the database. Where it hangs stop it (SIGTERM): what is committed is safe, and the next run goes on. "
    "With `timeout` in the file of pipelines a run that hangs is stopped by itself."
)
_START_IT = "Look whether what starts it (cron, a timer, a scheduler) still does, and run it."
_LISTED = 50
"""Schema changes, reasons and warnings that are listed for a pipeline; how many there are besides is told."""
_KINDS = {"complete": "good", "running": "now", "stopped": "warn", "skipped": "warn"}
_PLOTS: Sequence[tuple[str, str, Callable[[Day], float | None]]] = (
    ("rows", "Rows", lambda day: day.rows),
    ("seconds", "Longest run", lambda day: day.seconds),
    ("lag", "Lag", lambda day: day.lag),
    ("aside", "Records set aside", lambda day: day.set_aside),
)


def page(found: Sequence[Standing], now: datetime, days: int, of: str, problems: Sequence[str] = ()) -> str:
    """Return the document. ``found``: those that need somebody first; ``of``: whose history it is; ``problems``: what of it could not be had."""
    bad = [one for one in found if one.needs_somebody]
    words, kind = _verdict(found, bad, days)
    main = element(
        "main",
        _head(words, kind, found, now, days, of),
        *(element("p", *sentence(problem), class_="problem") for problem in problems),
        _needs(bad, now) if bad else None,
        _overview(found, now, days) if found else None,
    )
    for one in found:
        main.append(_part(one, is_open=len(found) <= _OPEN or one.needs_somebody))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_NOTHING_FROM_OUTSIDE),
        element("meta", name="robots", content="noindex"),
        element("title", f"{words} - singerkit"),
        element("style", _STYLE.read_text(encoding="utf-8")),
    )
    return document(element("html", head, element("body", main), lang="en"))


def _verdict(found: Sequence[Standing], bad: Sequence[Standing], days: int) -> tuple[str, str]:
    """Return how all of them stand, and in which colour that is said."""
    if not found:
        return "There are no runs.", "warn"
    if bad:
        verb = "needs" if len(bad) == 1 else "need"
        return f"{len(bad)} of {counted(len(found), 'pipeline')} {verb} you.", "bad"
    quiet = sum(one.is_quiet for one in found)
    if not quiet:
        return f"{_all(len(found))} well.", "good"
    has = "has" if quiet == 1 else "have"
    within = f"{has} not run within {counted(days, 'day')}."
    if quiet == len(found):
        return f"{counted(quiet, 'pipeline')} {within}", "warn"
    return f"{len(found) - quiet} of {counted(len(found), 'pipeline')} are well, {quiet} {within}", "warn"


def _head(words: str, kind: str, found: Sequence[Standing], now: datetime, days: int, of: str) -> Element:
    return element(
        "header",
        element("p", f"{of} · {_moment(now)} {now.tzname() or ''} · {counted(days, 'day')}", class_="when"),
        element("h1", words, class_=kind),
        element("p", _last_night(found, now), class_="lead"),
    )


def _all(count: int) -> str:
    return "The pipeline is" if count == 1 else f"All {count} pipelines are"


def _last_night(found: Iterable[Standing], now: datetime) -> str:
    of_today = [run for one in found for run in one.known if (now - run.started).total_seconds() < 86400]
    runs = [run for run in of_today if not run.did_nothing]
    if not runs:
        return "Nothing has run within the last 24 hours."
    bad = sum(run.result not in ("complete", "running") for run in runs)
    known = [rows for run in runs if run.streams and (rows := run.total("rows")) is not None]
    loaded = f"{counted(sum(known), 'row')} loaded" if known else "of rows nothing is known"
    aside = sum(run.total("set_aside") or 0 for run in runs)
    set_aside = f", {counted(aside, 'record')} set aside" if aside else ""
    busy = len(of_today) - len(runs)
    nothing = f" {busy:,} found another one at work;" if busy else ""
    return (
        f"Within the last 24 hours {counted(len(runs), 'run')}, {bad or 'none'} of them not to a good end;{nothing} "
        f"{loaded}{set_aside}."
    )


def _needs(bad: Sequence[Standing], now: datetime) -> Element:
    return element("section", element("h2", "What to do"), *(_need(one, now) for one in bad), class_="needs")


def _need(one: Standing, now: datetime) -> Element:
    run, since = one.last_ended, _since(one, now)
    if one.why_hanging and one.last is not None:
        return _card(one, "still running", "bad", _hanging(one, one.last, now), _STOP_IT, since)
    if run is None or not one.failures:
        return _card(one, "late", "warn", _late(one, now), _START_IT, since)
    kind = "bad" if run.result in ("failed", "killed") else "warn"
    reason = run.reason or "It has said no reason."
    return _card(
        one,
        result_in_words(run),
        kind,
        reason,
        advice_for(run),
        f"{_ago(run, now).capitalize()}. {since}",
    )


def _since(one: Standing, now: datetime) -> str:
    """Return how often it has not ended well since when, and how often nothing was done."""
    said = [
        f"The last good run was {_ago(one.last_good, now)}."
        if one.last_good
        else "No run that is known has ended well."
    ]
    if one.failures > 1:
        said.append(f"Since then {one.failures} runs have not ended well.")
    if one.did_nothing:
        runs = counted(one.did_nothing, "more run")
        said.append(f"{runs} found another one at work (75), and did nothing.")
    return " ".join(said)


def _hanging(one: Standing, run: Run, now: datetime) -> str:
    return f"It began {_ago(run, now)} ({who(run)}), and has not ended; {one.why_hanging}."


def _card(one: Standing, badge: str, kind: str, reason: str, advice: str, since: str = "") -> Element:
    return element(
        "article",
        element("h3", element("a", one.name, href=f"#{_anchor(one)}"), " ", _badge(badge, kind)),
        element("p", *sentence(reason), class_="reason"),
        element("p", *sentence(advice), class_="advice"),
        element("p", since, class_="since") if since else None,
        class_=kind,
    )


def _late(one: Standing, now: datetime) -> str:
    return f"Its last run began {_ago(one.last, now)}; {one.why_late}."


def _overview(found: Sequence[Standing], now: datetime, days: int) -> Element:
    columns = (
        "Pipeline",
        f"{days} days",
        "Last run",
        "Result",
        "Rows",
        "New",
        "Changed",
        "Deleted",
        "Set aside",
        "Took",
        "Lag",
    )
    numbers = range(4, len(columns))
    head = element(
        "tr",
        *(
            element("th", one, class_="number" if at in numbers else None, scope="col")
            for at, one in enumerate(columns)
        ),
    )
    body = element("tbody", *(_row(one, now) for one in found))
    return element(
        "section",
        element("h2", "All pipelines"),
        element(
            "div",
            element("table", element("thead", head), body),
            class_="wide",
            tabindex=0,
            role="region",
            aria_label="All pipelines",
        ),
    )


def _row(one: Standing, now: datetime) -> Element:
    run = one.last
    name = element("th", element("a", one.name, href=f"#{_anchor(one)}"), scope="row")
    if run is None:
        return element(
            "tr",
            name,
            element("td", strip(one.days)),
            element("td", "never"),
            *(element("td") for _ in range(8)),
        )
    lag = lag_seconds(run)
    numbers = (
        *(_count(run, what) for what in ("rows", "new", "changed", "deleted", "set_aside")),
        _took(run, now),
        "" if lag is None else shown(lag),
    )
    return element(
        "tr",
        name,
        element("td", strip(one.days)),
        element("td", _ago(run, now), title=_moment(run.started.astimezone(now.tzinfo))),
        element("td", _standing(one, run)),
        *(element("td", number, class_="number") for number in numbers),
    )


def _took(run: Run, now: datetime) -> str:
    if run.result == "running":
        return shown(max(0.0, (now - run.started).total_seconds()))
    return "" if run.seconds is None else shown(run.seconds)


def _count(run: Run, what: str) -> str:
    count = run.total(what)
    return f"{count:,}" if count is not None and run.streams and (count or what != "set_aside") else ""


def _standing(one: Standing, run: Run | None) -> Element:
    if run is None:
        return _badge("no run", "warn")
    if one.why_hanging:
        return _badge("still running", "bad")
    if one.why_late and run.is_well:
        return _badge("late", "warn")
    return _badge(result_in_words(run), _KINDS.get(run.result, "bad"))


def _badge(words: str, kind: str) -> Element:
    return element("span", words, class_=f"badge {kind}")


def _part(one: Standing, *, is_open: bool) -> Element:
    last = one.last
    words = element(
        "summary",
        element("h2", one.name),
        _standing(one, last),
    )
    return element(
        "details",
        words,
        element("div", *(_figure(one.days, *plot) for plot in _PLOTS), class_="plots"),
        _streams(one),
        _listed(
            "Changes of tables",
            [(f"{at.astimezone(one.now.tzinfo):%d %b} ", said) for at, said in one.schema_changes],
        ),
        _listed(
            "Records set aside, by reason", [(f"{count:,} ", reason) for reason, count in one.dead_letters]
        ),
        _listed(
            "Rules of quality in the last run",
            [("", one.sentence()) for one in sorted(one.quality, key=lambda rule: rule.verdict)],
        ),
        _listed("Warnings", [(f"in {counted(count, 'run')}: ", said) for said, count in one.warnings]),
        id=_anchor(one),
        open="" if is_open else None,
    )


def _figure(days: Sequence[Day], kind: str, title: str, value_of: Callable[[Day], float | None]) -> Element:
    as_words = _number if kind in ("rows", "aside") else shown
    values = [value for day in days if (value := value_of(day)) is not None]
    most = "not known" if not values else f"at most {as_words(max(values))}" if any(values) else "none"
    return element(
        "figure",
        element("figcaption", element("b", title), " ", element("span", most)),
        bars(days, value_of, as_words, kind),
        element(
            "div",
            element("span", f"{days[0].at:%d %b}"),
            element("span", f"{days[-1].at:%d %b}"),
            class_="ends",
        ),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _streams(one: Standing) -> Element | None:
    run = next((run for run in one.runs if run.streams), None)
    if run is None:
        return None
    head = element(
        "tr",
        *(
            element("th", name, scope="col", class_="number" if name not in ("Stream", "Bookmark") else None)
            for name in ("Stream", "Rows", "New", "Changed", "Deleted", "Set aside", "Bookmark")
        ),
    )
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(
                element("td", "" if count is None else f"{count:,}", class_="number")
                for count in (did.rows, did.new, did.changed, did.deleted, did.set_aside)
            ),
            element("td", did.bookmark_after or ""),
        )
        for name, did in sorted(run.streams.items())
    ]
    return element(
        "div",
        element("h3", f"Streams, in the run of {_moment(run.started.astimezone(one.now.tzinfo))}"),
        element(
            "div",
            element("table", element("thead", head), element("tbody", *rows)),
            class_="wide",
            tabindex=0,
            role="region",
            aria_label=f"Streams of {one.name}",
        ),
    )


def _listed(title: str, sentences: Sequence[tuple[str, str]]) -> Element | None:
    if not sentences:
        return None
    more = len(sentences) - _LISTED
    return element(
        "div",
        element("h3", title),
        element(
            "ul",
            *(
                element("li", element("span", before, class_="before"), *sentence(said))
                for before, said in sentences[:_LISTED]
            ),
            element("li", f"and {more:,} more: `singerkit history --json` has them") if more > 0 else None,
        ),
        class_="listed",
    )


def _anchor(one: Standing) -> str:
    return f"pipeline-{one.name}"


def _moment(at: datetime) -> str:
    return f"{at:%d %B %Y, %H:%M}".lstrip("0")


def _ago(run: Run | None, now: datetime) -> str:
    if run is None:
        return "never"
    seconds = max(0.0, (now - run.started).total_seconds())
    if seconds < 90:
        return "just now"
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * length:
            return f"{counted(round(seconds / length), name)} ago"
    return "just now"
