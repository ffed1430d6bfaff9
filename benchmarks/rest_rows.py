"""The rows of ``make bench`` about tap-rest: against a tap of the SDK, curl, and itself."""

from __future__ import annotations

import json
from statistics import median

from measure import Run
from orders import Files
from readers import (
    PAGE,
    Reader,
    curl,
    curl_version,
    last_state,
    our_tap,
    page_server,
    records_in,
    sdk_tap,
    wrong_records,
)
from report import Goal, Measured
from rounds import FOLDER, Bench, in_cpu, in_seconds, keep_of_cpu, medians, ratio, say

__all__ = ["row_e", "row_i", "row_j", "row_k"]

SMALL_PAGE = 100
LATENCY = 0.05
AT_A_TIME = 10
CHILDREN = 10_000
MB_GOAL = 120
OUTPUT = FOLDER / "tap.out"


def row_e(bench: Bench) -> None:
    """tap-rest, by two sizes of pages, the SDK's tap and curl read the same rows."""
    files = bench.files(bench.rows)
    pages = -(-files.count // PAGE)
    with page_server(files) as url:
        ours, small, theirs = (
            our_tap(url, FOLDER),
            our_tap(url, FOLDER, page=SMALL_PAGE),
            sdk_tap(url, FOLDER),
        )
        readers = {"ours": ours, "small": small, "theirs": theirs}
        runs: dict[str, list[Run]] = {name: [] for name in (*readers, "curl")}
        checks: dict[str, str] = {}
        for turn in range(bench.repeat):
            say(f"e: round {turn + 1} of {bench.repeat}")
            for name in list(readers) if turn % 2 == 0 else list(readers)[::-1]:
                runs[name].append(readers[name].read(OUTPUT))
                if turn == 0:
                    checks[name] = wrong_records(OUTPUT, files, exact=name != "theirs")
                OUTPUT.unlink()
            runs["curl"].append(curl(url, pages, OUTPUT))
            OUTPUT.unlink()
    for name, reader in readers.items():
        shown = f"{reader.name}, {SMALL_PAGE} a page" if name == "small" else reader.name
        keep_of_cpu(bench, "e", shown, reader.version, files.count, runs[name], checks[name])
    keep_of_cpu(bench, "e", "curl, pages only", curl_version(), files.count, runs["curl"], "")
    what = f"{files.count:,} rows from REST, {PAGE:,} a page"
    shown = f"SDK tap {in_seconds(runs['theirs'])}"
    against = ratio(runs["theirs"], runs["ours"])
    bench.goals += [
        Goal("e", what, in_seconds(runs["ours"]), shown, against, 20, "x the SDK tap", larger_is_better=True),
        Goal(
            "e", "the same", in_seconds(runs["ours"]), f"curl {in_seconds(runs['curl'])}",
            ratio(runs["ours"], runs["curl"]), 2, "x the time of curl",
        ),
        Goal(
            "e", f"{SMALL_PAGE} a page", in_cpu(runs["small"]), f"{PAGE:,} a page {in_cpu(runs['ours'])}",
            _ratio_of_cpu(runs["small"], runs["ours"]), 1.5, "x the CPU of a row",
        ),
    ]  # fmt: skip


def row_i(bench: Bench) -> None:
    """A server that answers after a while, one request at a time and several."""
    files = bench.files(min(bench.rows, 40_000))
    with page_server(files, LATENCY) as url:
        serial = our_tap(url, FOLDER, page=SMALL_PAGE, concurrency=1)
        beside = our_tap(url, FOLDER, page=SMALL_PAGE, concurrency=AT_A_TIME)
        runs, checks = _in_turn("i", [serial, beside], files, "orders", min(bench.repeat, 2))
    names = ["singerkit tap-rest, one request at a time", f"singerkit tap-rest, `concurrency`: {AT_A_TIME}"]
    for name, found, check in zip(names, runs, checks, strict=True):
        keep_of_cpu(bench, "i", name, serial.version, files.count, found, check)
    what = f"{-(-files.count // SMALL_PAGE)} pages, {LATENCY * 1000:.0f} ms each"
    shown = f"one at a time {in_seconds(runs[0])}"
    bench.goals.append(
        Goal("i", what, in_seconds(runs[1]), shown, ratio(*runs), 8, "x as fast", larger_is_better=True)
    )


def row_j(bench: Bench) -> None:
    """A request for each parent, in bounded memory."""
    many, few = bench.files(min(bench.rows, CHILDREN)), bench.files(min(bench.rows, CHILDREN) // 10)
    found: dict[str, list[Run]] = {}
    for files in (few, many):
        with page_server(files) as url:
            ours = our_tap(url, FOLDER, children=True)
            readers = [ours, sdk_tap(url, FOLDER, children=True)] if files is few else [ours]
            runs, checks = _in_turn("j", readers, files, "details", bench.repeat)
        for reader, of_reader, check in zip(readers, runs, checks, strict=True):
            name = f"{reader.name}, a request a row"
            keep_of_cpu(bench, "j", name, reader.version, files.count, of_reader, check)
        found["few" if files is few else "many"] = runs[0]
    small, large = (median(run.peak_mb for run in found[name]) for name in ("few", "many"))
    bench.goals.append(
        Goal(
            "j", f"peak memory of {many.count:,} requests of children", f"{large:.0f} MB",
            f"{few.count:,} requests {small:.0f} MB", large, MB_GOAL, "MB",
        )
    )  # fmt: skip


def row_k(bench: Bench) -> None:
    """A tap that finds nothing new, from its start to its end."""
    files = bench.files(min(bench.rows, 10_000))
    with page_server(files) as url:
        readers = [our_tap(url, FOLDER), sdk_tap(url, FOLDER)]
        runs: list[list[Run]] = [[] for _ in readers]
        again = []
        for number, reader in enumerate(readers):
            reader.read(OUTPUT)
            state = FOLDER / f"nothing-new-{number}.json"
            state.write_text(json.dumps(last_state(OUTPUT)), encoding="utf-8")
            for turn in range(max(bench.repeat, 5)):
                say(f"k: round {turn + 1} of {max(bench.repeat, 5)}")
                runs[number].append(reader.read(OUTPUT, state))
            again.append(records_in(OUTPUT))
    for reader, found, rows in zip(readers, runs, again, strict=True):
        check = f"{rows:,} rows again" if rows else "same rows"
        bench.measured.append(Measured("k", reader.name, reader.version, 0, *medians(found), check))
    shown = f"SDK tap {in_seconds(runs[1])}"
    seconds = median(run.seconds for run in runs[0])
    bench.goals.append(
        Goal("k", "a tap that finds nothing new", in_seconds(runs[0]), shown, seconds, 0.6, "s")
    )


def _in_turn(
    letter: str, readers: list[Reader], files: Files, stream: str, rounds: int
) -> tuple[list[list[Run]], list[str]]:
    """Let each read in each round; returns the runs of each, and what is wrong with its first."""
    runs: list[list[Run]] = [[] for _ in readers]
    checks = []
    for turn in range(rounds):
        say(f"{letter}: round {turn + 1} of {rounds}")
        for number, reader in enumerate(readers):
            runs[number].append(reader.read(OUTPUT))
            if turn == 0:
                exact = "singerkit" in reader.name
                checks.append(wrong_records(OUTPUT, files, exact=exact, stream=stream))
            OUTPUT.unlink()
    return runs, checks


def _ratio_of_cpu(runs: list[Run], others: list[Run]) -> float:
    return median(run.cpu_seconds / other.cpu_seconds for run, other in zip(runs, others, strict=True))
