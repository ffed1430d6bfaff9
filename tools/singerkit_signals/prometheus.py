"""Metrics of the last run of a pipeline in Prometheus' text format, for the textfile collector of its node_exporter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from singerkit_state.ahead import seconds_of
from singerkit_state.runs import Run
from singerkit_state.statefile import replace_file

__all__ = ["file_of", "text_of", "write"]

_HELP: Mapping[str, str] = {
    "last_run_timestamp_seconds": "When the last run of the pipeline ended.",
    "last_success_timestamp_seconds": "When the last run of the pipeline that ended well did so.",
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
_SUCCESS = "singerkit_last_success_timestamp_seconds"


def write(folder: str, run: Run) -> None:
    """Replace the file of a pipeline; when it was last well is kept from there.

    Raises:
        CannotWriteError, ConfigurationError, OSError: it cannot be.
    """
    path = file_of(folder, run.pipeline)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, text_of(run, _success_in(path)).encode(), "file of metrics", follow=False)


def file_of(folder: str, pipeline: str) -> Path:
    return Path(folder) / f"singerkit-{re.sub(r'[^A-Za-z0-9_.-]', '_', pipeline)}.prom"


def _success_in(path: Path) -> float | None:
    try:
        found = re.search(rf"^{_SUCCESS}\{{.*\}} (\S+)$", path.read_text("utf-8"), re.MULTILINE)
        return None if found is None else float(found[1])
    except (OSError, ValueError):
        return None


def text_of(run: Run, success: float | None = None) -> str:
    """Return the metrics of a run; ``success``: when one before it was well."""
    samples: dict[str, list[str]] = {}
    for metric, labels, value in _samples(run, success):
        told = ",".join(
            f'{name}="{_escaped(text)}"' for name, text in {"pipeline": run.pipeline, **labels}.items()
        )
        samples.setdefault(metric, []).append(f"singerkit_{metric}{{{told}}} {value:.15g}")
    return "".join(f"{line}\n" for metric, lines in samples.items() for line in _with_help(metric, lines))


def _with_help(metric: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"# HELP singerkit_{metric} {_HELP[metric]}"
    yield f"# TYPE singerkit_{metric} gauge"
    yield from lines


def _samples(run: Run, success: float | None) -> Iterator[tuple[str, Mapping[str, str], float]]:
    ended = run.ended or run.started
    yield "last_run_timestamp_seconds", {}, ended.timestamp()
    if run.is_well or success is not None:
        yield "last_success_timestamp_seconds", {}, ended.timestamp() if run.is_well else success or 0.0
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
