"""Metrics of the last run of a pipeline in Prometheus' text format, for the textfile collector of its node_exporter.

What is told of the last run stays there while the next one is at work, whose beginning is told beside it: one that hangs, or is killed with its
runner, began later than the last one ended.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from singerkit_signals.metrics import HELP, LATE_AFTER, START, SUCCESS, Sample, samples_of
from singerkit_state.runs import Run
from singerkit_state.statefile import replace_file

__all__ = ["began", "ended", "file_of"]


def began(folder: str, run: Run, success: float, late_after: float | None) -> None:
    """Tell that a run has begun; of the one before it all stays as it was told. ``success``: when one was last well, where the file does not say so.

    Raises:
        CannotWriteError, ConfigurationError, OSError: it cannot be.
    """
    former = _lines_in(file_of(folder, run.pipeline))
    told = [*samples_of(run, _said(SUCCESS, former, success), run.started.timestamp(), late_after)]
    kept = [
        line
        for line in former
        if not any(f"singerkit_{name}" in line for name in (START, SUCCESS, LATE_AFTER))
    ]
    _replace(folder, run, "".join(f"{line}\n" for line in kept) + _text(run, told))


def ended(folder: str, run: Run, success: float, late_after: float | None) -> None:
    """Tell what a run has come to; when one was last well, and when one last began, is kept from the file.

    Raises:
        CannotWriteError, ConfigurationError, OSError: it cannot be.
    """
    former = _lines_in(file_of(folder, run.pipeline))
    start = max(run.started.timestamp(), _said(START, former, 0.0))  # the next one may have begun already
    told = samples_of(run, _said(SUCCESS, former, success), start, late_after)
    _replace(folder, run, _text(run, told))


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


def _text(run: Run, told: Iterable[Sample]) -> str:
    samples: dict[str, list[str]] = {}
    for metric, labels, value in told:
        words = ",".join(
            f'{name}="{_escaped(text)}"' for name, text in {"pipeline": run.pipeline, **labels}.items()
        )
        samples.setdefault(metric, []).append(f"singerkit_{metric}{{{words}}} {value:.15g}")
    return "".join(f"{line}\n" for metric, lines in samples.items() for line in _with_help(metric, lines))


def _with_help(metric: str, lines: Sequence[str]) -> Iterator[str]:
    yield f"# HELP singerkit_{metric} {HELP[metric]}"
    yield f"# TYPE singerkit_{metric} gauge"
    yield from lines


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
