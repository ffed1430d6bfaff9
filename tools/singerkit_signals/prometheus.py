"""Metrics of the last run of a pipeline in Prometheus' text format, for the textfile collector of its node_exporter.

What is told of the last run stays there while the next one is at work, whose beginning is told beside it: one that hangs, or is killed with its
runner, began later than the last one ended.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from singerkit_state.ahead import seconds_of
from singerkit_state.runs import Run
from singerkit_state.statefile import replace_file

__all__ = ["began", "ended", "file_of", "text_of"]

_HELP: Mapping[str, str] = {
    "last_start_timestamp_seconds": "When a run of the pipeline last began: it is at work, or was killed, where that is later than last_run_timestamp_seconds.",
    "last_run_timestamp_seconds": "When the last run of the pipeline that has ended did so.",
    "last_success_timestamp_seconds": "When the last run of the pipeline that ended well did so; 0 where none is known.",
    "late_after_seconds": "How long it may be from one good run to the next, as the file of pipelines says.",
    "last_run_success": "Whether the last run ended well.",
    "last_run_exit_code": "The exit code of the last run.",
    "last_run_seconds": "How long the last run took, with all tries.",
    "last_run_tries": "How often the last run was tried.",
    "last_run_warnings": "How many warnings the last run gave.",
    "last_run_rows": "Rows of the last run: loaded, and of these new, changed and deleted; and set_aside.",
    "last_run_bytes": "Bytes of the rows of the last run.",
    "bookmark_timestamp_seconds": "The time up to which a stream was read, where its bookmark is one.",
}
_ROWS = {"rows": "loaded", "new": "new", "changed": "changed", "deleted": "deleted", "set_aside": "set_aside"}
_SUCCESS, _START = "last_success_timestamp_seconds", "last_start_timestamp_seconds"


def began(folder: str, run: Run, success: float, late_after: float | None) -> None:
    """Tell that a run has begun; of the one before it all stays as it was told. ``success``: when one was last well, where the file does not say so.

    Raises:
        CannotWriteError, ConfigurationError, OSError: it cannot be.
    """
    former = _lines_in(file_of(folder, run.pipeline))
    told = [(_START, run.started.timestamp()), (_SUCCESS, _said(_SUCCESS, former, success))]
    if late_after is not None:
        told.append(("late_after_seconds", late_after))
    kept = [
        line
        for line in former
        if not any(f"singerkit_{metric}" in line for metric in (*dict(told), "late_after_seconds"))
    ]
    _replace(
        folder,
        run,
        "".join(f"{line}\n" for line in kept) + _text(run, [(metric, {}, value) for metric, value in told]),
    )


def ended(folder: str, run: Run, success: float, late_after: float | None) -> None:
    """Tell what a run has come to; when one was last well, and when one last began, is kept from the file.

    Raises:
        CannotWriteError, ConfigurationError, OSError: it cannot be.
    """
    former = _lines_in(file_of(folder, run.pipeline))
    start = max(run.started.timestamp(), _said(_START, former, 0.0))  # the next one may have begun already
    _replace(folder, run, text_of(run, _said(_SUCCESS, former, success), start, late_after))


def _replace(folder: str, run: Run, text: str) -> None:
    path = file_of(folder, run.pipeline)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text.encode(), "file of metrics", follow=False)


def file_of(folder: str, pipeline: str) -> Path:
    return Path(folder) / f"singerkit-{re.sub(r'[^A-Za-z0-9_.-]', '_', pipeline)}.prom"


def _lines_in(path: Path) -> Sequence[str]:
    try:
        return path.read_text("utf-8").split("\n")[:-1]
    except (OSError, ValueError):
        return ()


def _said(metric: str, lines: Sequence[str], otherwise: float) -> float:
    """Return the value of a metric that a file has once."""
    for line in lines:
        if found := re.fullmatch(rf"singerkit_{metric}\{{.*\}} (\S+)", line):
            with contextlib.suppress(ValueError):
                return float(found[1])
    return otherwise


def text_of(run: Run, success: float, start: float, late_after: float | None) -> str:
    """Return the metrics of a run; ``success``: when one before it was well; ``start``: when the last one began."""
    return _text(run, _samples(run, success, start, late_after))


def _text(run: Run, told: Iterable[tuple[str, Mapping[str, str], float]]) -> str:
    samples: dict[str, list[str]] = {}
    for metric, labels, value in told:
        words = ",".join(
            f'{name}="{_escaped(text)}"' for name, text in {"pipeline": run.pipeline, **labels}.items()
        )
        samples.setdefault(metric, []).append(f"singerkit_{metric}{{{words}}} {value:.15g}")
    return "".join(f"{line}\n" for metric, lines in samples.items() for line in _with_help(metric, lines))


def _with_help(metric: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"# HELP singerkit_{metric} {_HELP[metric]}"
    yield f"# TYPE singerkit_{metric} gauge"
    yield from lines


def _samples(
    run: Run, success: float, start: float, late_after: float | None
) -> Iterator[tuple[str, Mapping[str, str], float]]:
    ended = run.ended or run.started
    yield _START, {}, start
    yield "last_run_timestamp_seconds", {}, ended.timestamp()
    yield _SUCCESS, {}, ended.timestamp() if run.is_well else success
    if late_after is not None:
        yield "late_after_seconds", {}, late_after
    yield "last_run_success", {}, float(run.is_well)
    yield "last_run_tries", {}, run.tries
    yield "last_run_warnings", {}, run.warned
    if run.exit_code is not None:
        yield "last_run_exit_code", {}, run.exit_code
    if run.seconds is not None:
        yield "last_run_seconds", {}, run.seconds
    for name, stream in sorted(run.streams.items()):
        for field, what in _ROWS.items():
            if (count := getattr(stream, field)) is not None:
                yield "last_run_rows", {"stream": name, "what": what}, count
        if stream.bytes is not None:
            yield "last_run_bytes", {"stream": name}, stream.bytes
        if (reached := seconds_of(stream.bookmark_after)) is not None:
            yield "bookmark_timestamp_seconds", {"stream": name}, reached


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
