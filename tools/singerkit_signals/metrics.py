"""What is measured of the last run of a pipeline, whatever tells it: each metric has the pipeline as a label, and one value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from singerkit_state.ahead import seconds_of
from singerkit_state.runs import Run

__all__ = ["HELP", "LATE_AFTER", "START", "SUCCESS", "Sample", "samples_of"]

Sample = tuple[str, Mapping[str, str], float]
"""A metric, its labels besides the pipeline, and its value."""
START, SUCCESS, LATE_AFTER = (
    "last_start_timestamp_seconds",
    "last_success_timestamp_seconds",
    "late_after_seconds",
)

HELP: Mapping[str, str] = {
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


def samples_of(run: Run, success: float, start: float, late_after: float | None) -> Iterator[Sample]:
    """Yield what is known of a run; of one that is at work, that it began.

    ``success``: when one before it was well, ``start``: when the last one began, as Unix times. ``late_after``: in seconds.
    """
    yield START, {}, start
    yield SUCCESS, {}, run.ended.timestamp() if run.is_well and run.ended else success
    if late_after is not None:
        yield LATE_AFTER, {}, late_after
    if run.ended is None:
        return
    yield "last_run_timestamp_seconds", {}, run.ended.timestamp()
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
