"""A run, as it is told later: by `singerkit history`, a report, or SQL over the table that a target keeps.

A target writes one `Run` when it begins (`running`) and the same one once more at its end; `singerkit run` writes one of its own, with what a
target cannot see. Both say what they know: None is "not known", never zero. Where they are kept: the table `_singerkit_runs` beside the state
table of a database, or a file of lines (runfile.py).

No value of a row stands in it but the bookmarks, which are in the state as well, and no secret: `as_json` masks every text.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from singerkit_shell.secrets import redactor

__all__ = [
    "RESULTS",
    "SENTENCES",
    "RuleRun",
    "Run",
    "StreamRun",
    "as_json",
    "from_json",
    "reason_of",
    "sentences",
    "time_text",
    "with_killed",
    "without_values",
]

RESULTS = ("complete", "failed", "stopped", "killed", "running", "skipped")
"""What a run may have come to.

``complete``: all was read and committed (exit code 0). ``failed``: it ended with another code. ``stopped``: by a signal, which it obeyed.
``killed``: it never said how it ended, and cannot be at work any more. ``running``: it has begun, and nothing else is known; it may have been
killed since. ``skipped``: nothing was done, since another run of it was at work (`exit_code` 75), or, by `singerkit run`, for one that
it stands on.
"""

_AT_WORK = 75

SENTENCES = 20
"""How many warnings, changes of a schema, and reasons of dead letters a run keeps."""

_LONGEST = 1000
"""Characters of a sentence."""
_VALUE = re.compile(r"`(?:[\"\[{]|-?[0-9])[^`]*`?")
"""A value in a sentence: what was expected is a word or a type."""
_PLACE = re.compile(r"\[\d+\]")


@dataclass(frozen=True)
class StreamRun:
    """What a run did to one stream; what was rolled back is in no count.

    ``rows``: records that came and are committed, without those set aside; None where a target of others did not tell. ``new``, ``changed``, ``deleted``, ``older``: what became of them,
    None where the target cannot tell (it appends, or copied into an empty table beside others). ``deleted`` are also those that were only
    marked. ``older``: rows that changed nothing since the stored one is newer. ``set_aside``: records in the dead letters. ``bytes``: of the
    RECORD lines of those rows, as they came. ``seconds``: that the target was at work on the stream.
    ``bookmark_before``, ``bookmark_after``: its replication key value in the state before and after the run, as text; None: there was none, or
    it is one for each partition. ``lag_seconds``: from the bookmark to the end of the run; None where the replication key is no time.
    """

    rows: int | None = 0
    new: int | None = None
    changed: int | None = None
    deleted: int | None = None
    older: int | None = None
    set_aside: int = 0
    bytes: int | None = None
    seconds: float | None = None
    bookmark_before: str | None = None
    bookmark_after: str | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True)
class RuleRun:
    """What came of a rule of quality (`checks`) in a run: of ``judged`` rows that are committed, or were looked at, ``broken`` broke it.

    ``place``: where it stands in the config; ``fields``: with commas between them. ``verdict``: `kept`, `broken`, or `not judged`, of which ``why`` says more
    where the numbers do not. ``measured``: what the next run is compared with.
    """

    stream: str
    rule: str
    fields: str
    place: str
    on: str
    verdict: str
    judged: int = 0
    broken: int = 0
    why: str = ""
    measured: Mapping[str, float] = field(default_factory=dict)

    def sentence(self) -> str:
        """Say what came of it."""
        of = f" of {self.fields}" if self.fields else ""
        numbers = f" by {self.broken:,} of {self.judged:,}" if self.broken else ""
        why = f": {self.why}" if self.why else ""
        is_ = "is " if self.verdict != "not judged" else "was "
        return f"Rule `{self.rule}`{of} in stream {self.stream} ({self.place}, {self.on}) {is_}{self.verdict}{numbers}{why}"


@dataclass(frozen=True)
class Run:
    """One run of a pipeline.

    ``id``: of the run of the target, which its state row and dead letters have as ``run_id``; of one that `singerkit run` began, that of
    the runner, and ``parts`` are those of the target, one for each try. ``runner``: in what a target writes, the runner's id, if one began it.
    ``started``, ``ended``: UTC; ``ended`` is None while it runs, and for one that was killed. ``seconds``: all of it, with waits and tries.
    ``exit_code``: None where nobody knows it. ``reason``: the sentence that the log ended with, "" where all is well.
    ``tries``: how often the pipe was run, 0 where it was not. ``tap``, ``target``: names of the executables, None where it is not known.
    ``commits``: of the target; ``sequence``: that of the state after the last one. ``committed``: whether the state has changed.
    ``schema_changes``: sentences about tables and columns that were made, added or retyped. ``dead_letters``: records set aside, by stream,
    field and reason. ``warnings``: sentences, at most `SENTENCES` of each of these; ``warned``: how many warnings there were.
    """

    id: str
    pipeline: str
    started: datetime
    ended: datetime | None = None
    seconds: float | None = None
    result: str = "running"
    exit_code: int | None = None
    reason: str = ""
    tries: int = 1
    tap: str | None = None
    tap_version: str | None = None
    target: str | None = None
    target_version: str | None = None
    commits: int = 0
    sequence: int | None = None
    committed: bool | None = None
    streams: Mapping[str, StreamRun] = field(default_factory=dict)
    schema_changes: Sequence[str] = ()
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    warned: int = 0
    host: str | None = None
    pid: int | None = None
    runner: str | None = None
    parts: Sequence[str] = ()
    quality: Sequence[RuleRun] = ()

    def total(self, what: str) -> int | None:
        """Return the sum of a count of all streams, as of ``new``; None: none of them knows it."""
        known = [count for one in self.streams.values() if (count := getattr(one, what)) is not None]
        return sum(known) if known else None

    @property
    def is_well(self) -> bool:
        return self.result == "complete"

    @property
    def did_nothing(self) -> bool:
        """Whether another run was at work, of its pipeline or of one that it stands on: that says nothing of how the pipeline is."""
        return self.result == "skipped" and self.exit_code == _AT_WORK

    def killed(self) -> Run:
        """Return what is known of a run that was at work when the next one began."""
        return replace(self, result="killed", reason="It was killed: it never said how it ended.")


def with_killed(runs: Iterable[Run], is_at_work: Callable[[Run], bool]) -> list[Run]:
    """Return runs of which those were killed that have not told their end, and of which nothing is at work any more."""
    return [run.killed() if run.result == "running" and not is_at_work(run) else run for run in runs]


def as_json(run: Run) -> str:
    """Return a run as one line of JSON, without a secret."""
    said = asdict(run)
    said["started"], said["ended"] = time_text(run.started), run.ended and time_text(run.ended)
    return json.dumps(_masked(said), ensure_ascii=False, separators=(",", ":"))


def from_json(text: str) -> Run:
    """Return a run; what a newer version says besides is passed over.

    Raises:
        ValueError: it is none.
    """
    try:
        said: Any = json.loads(text, parse_float=_finite, parse_constant=_finite)
        streams = {name: _known(StreamRun, one) for name, one in said.get("streams", {}).items()}
        ended = said.get("ended") and _time(said["ended"])
        quality = [_known(RuleRun, one) for one in said.get("quality", [])]
        known = _known(Run, said) | {
            "quality": quality,
            "streams": streams,
            "started": _time(said["started"]),
            "ended": ended,
        }
        run = msgspec.convert(known, Run)
        listed: dict[str, Any] = {
            name: tuple(getattr(run, name)) for name, one in known.items() if isinstance(one, list)
        }
        return replace(run, **listed)
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError):
        raise ValueError("Expected a run, got something else") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("Expected a number that ends")
    return number


def sentences(said: Iterable[str]) -> tuple[str, ...]:
    """Return sentences as a run keeps them: each once, not too many, none too long, and without values of rows."""
    kept = dict.fromkeys(without_values(" ".join(one.split())) for one in said)
    return tuple(
        one if len(one) <= _LONGEST else f"{one[: _LONGEST - 3]}..." for one in list(kept)[:SENTENCES]
    )


def without_values(sentence: str) -> str:
    """Return a sentence whose values of rows are left out, as in ``Expected `integer`, got `...` at orders.$.qty``."""
    return _VALUE.sub("`...`", sentence)


def reason_of(stream: str, path: str, reason: str) -> str:
    """Return why a record was set aside, the same for all that differ in their values or in their places in a list."""
    return without_values(f"{stream}{_PLACE.sub('[]', path.removeprefix('$'))}: {reason}")


def _known(kind: type, said: Mapping[str, Any]) -> dict[str, Any]:
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in said.items() if name in names}


def _masked(value: Any, mask: Callable[[str], str] = redactor.mask) -> Any:
    if isinstance(value, str):  # no column of JSON takes a NUL, or a half of a surrogate pair
        return mask(value.replace("\0", "\ufffd").encode("utf-8", "replace").decode())
    if isinstance(value, Mapping):
        return {_masked(key): _masked(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one) for one in value]
    return value


def time_text(at: datetime) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
