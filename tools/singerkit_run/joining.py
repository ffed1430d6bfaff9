"""What the runner and the targets say of runs, put together: a run of `singerkit run` has one in its target for each try."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from singerkit_state.runs import SENTENCES, Run, StreamRun

__all__ = ["added", "joined"]


def joined(of_runner: Iterable[Run], of_targets: Iterable[Run]) -> list[Run]:
    """Return each run once, the newest first.

    Of one that both know, the runner says how it ended, and the target what it loaded. One whose runner has left no word here (it ran elsewhere)
    is what its target says of all tries.
    """
    parts: dict[str, list[Run]] = {}
    for run in of_targets:
        parts.setdefault(run.runner or run.id, []).append(run)
    runs = []
    for run in of_runner:
        mine = _in_order(parts.pop(run.id, ()))
        runs.append(_with_parts(run, mine) if mine else run)
    for key, unclaimed in parts.items():
        mine = _in_order(unclaimed)
        runs.append(mine[0] if len(mine) == 1 and not mine[0].runner else _of_parts(key, mine))
    return sorted(runs, key=lambda run: (run.started, run.id), reverse=True)


def _in_order(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.started, run.id))


def _of_parts(runner: str, parts: Sequence[Run]) -> Run:
    first, last = parts[0], parts[-1]
    seconds = None if last.ended is None else round((last.ended - first.started).total_seconds(), 3)
    told = replace(last, id=runner, started=first.started, seconds=seconds, tries=len(parts))
    return _with_parts(told, parts)


def _with_parts(run: Run, parts: Sequence[Run]) -> Run:
    last = parts[-1]
    warnings = list(dict.fromkeys(one for part in (run, *parts) for one in part.warnings))[:SENTENCES]
    changes = list(dict.fromkeys(one for part in parts for one in part.schema_changes))[:SENTENCES]
    found_another = run.result == "failed" and last.did_nothing  # which began in between
    return replace(
        run,
        result=last.result if found_another else run.result,
        target=run.target or last.target,
        target_version=run.target_version or last.target_version,
        commits=sum(part.commits for part in parts),
        sequence=next((part.sequence for part in reversed(parts) if part.sequence is not None), None),
        committed=run.committed or any(part.committed for part in parts),
        streams=_streams(parts),
        dead_letters=dict(sum((Counter(part.dead_letters) for part in parts), Counter())),
        warnings=tuple(warnings),
        warned=max(len(warnings), max(part.warned for part in parts)),
        schema_changes=tuple(changes),
        parts=tuple(part.id for part in parts),
        quality=last.quality,
    )


def _streams(parts: Sequence[Run]) -> Mapping[str, StreamRun]:
    streams: Mapping[str, StreamRun] = {}
    for part in parts:
        streams = added(streams, part.streams)
    return streams


def added(before: Mapping[str, StreamRun], after: Mapping[str, StreamRun]) -> dict[str, StreamRun]:
    """Return what two tries, one after the other, did to their streams."""
    return {
        **before,
        **{name: _sum(before[name], one) if name in before else one for name, one in after.items()},
    }


def _sum(before: StreamRun, after: StreamRun) -> StreamRun:
    """Return what two tries, one after the other, did to a stream: a count that one of them does not know is not known."""
    counts: dict[str, Any] = {}
    for name in ("rows", "new", "changed", "deleted", "older", "set_aside", "bytes", "seconds"):
        one, other = getattr(before, name), getattr(after, name)
        counts[name] = None if one is None or other is None else round(one + other, 3)
    return replace(
        after,
        **counts,
        bookmark_before=before.bookmark_before,
        bookmark_after=after.bookmark_after or before.bookmark_after,
        lag_seconds=before.lag_seconds if after.lag_seconds is None else after.lag_seconds,
    )
