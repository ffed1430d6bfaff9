"""``tap-rest | target-jsonl``, and a checker of what became of it: files, and the manifest that says what counts.

It shares no code with the target or the state library. Of a file only the bytes count that the manifest commits.
Files are only appended to, so a key may be there several times; its last line is its newest version.

I1 lost      every version at or before the committed position is in its file
I2 doubled   of `events` exactly those are there that the position says, of sorted `orders` no version twice
I3 state     the position is that of the lines; committed bytes never change; file and stdout are never ahead
I4 regressed the last line of a key holds the newest version received
I5 wrong     every line is JSON and every value is the one that was sent, to the last digit
I6-I8        as in `checker.py`, whose readings of a run and of a STATE are used here too
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from faults.torture.checker import MEMORY, Checker, Position, State, Violation, _same
from faults.torture.inject import Counts
from faults.torture.pipeline import PIPELINE, Outcome, Pair, Pipeline
from faults.torture.source import Version

from singerkit_state.runfile import NAME as RUNS

__all__ = ["JsonlChecker", "JsonlPipeline"]

MANIFEST = "_singerkit_manifest.json"
STREAMS = ("orders", "events", "customers")


class JsonlPipeline(Pipeline):
    """A pipeline into the folder ``lake``; the tap resumes from the state file that the target writes."""

    tap, target = "tap-rest", "target-jsonl"
    is_in_server = False

    def place(self) -> dict[str, Any]:
        """Return what the target's config says of where it loads into."""
        return {"destination_path": str(self.lake)}

    def resumes(self) -> tuple[list[str], list[str]]:
        """Return the options of tap and target that say where the state is."""
        return ["--state", str(self.state_file)], ["--state-file", str(self.state_file)]

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    def start(
        self, *, tap_rules: Sequence[str] = (), target_rules: Sequence[str] = (), proxied: bool = True
    ) -> Pair:
        """Start a run; there is no connection that could go by way of a proxy."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        tap = self.tap_config()
        target = {**self.place(), "pipeline": PIPELINE, **self.mode.settings}
        if not self.mode.commits_once:
            target["commit_rows"] = self.commit_rows
        (folder / "tap.json").write_text(json.dumps(tap))
        (folder / "target.json").write_text(json.dumps(target))
        tap_options, target_options = self.resumes()
        read_end, write_end = os.pipe()
        mapper, read_end = self.mapped(folder, read_end)
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        start = self.bench.zygote.start
        try:
            target_process = start(
                self.target,
                ["--config", str(folder / "target.json"), *target_options],
                stdin=read_end,
                stdout=printed,
                stderr=folder / "target.err",
                counts=Counts(folder),
                rules=target_rules,
                chunk_bytes=self.chunk_bytes,
            )
            tap_process = start(
                self.tap,
                ["--config", str(folder / "tap.json"), *tap_options],
                stdin=nothing,
                stdout=write_end,
                stderr=folder / "tap.err",
                counts=Counts(folder),
                rules=tap_rules,
            )
        finally:
            for descriptor in (read_end, write_end, nothing, printed):
                os.close(descriptor)
        return Pair(tap_process, target_process, folder, mapper)


@dataclass
class _Committed:
    """What the manifest says, and the lines that it commits, by stream, as versions in their order."""

    state: State | None = None
    sequence: int = 0
    epoch: int = 0
    bytes_of: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, list[Version]] = field(default_factory=lambda: {stream: [] for stream in STREAMS})


class JsonlChecker(Checker):
    """Checks one `JsonlPipeline`, after every run of it."""

    def __init__(self, pipeline: JsonlPipeline) -> None:
        super().__init__(pipeline)
        self._lake = pipeline.lake
        self._last = _Committed()

    def check(
        self,
        *outcomes: Outcome,
        complete: bool | None = None,
        tap_codes: Iterable[int] = (0, 65, 69, 74),
        target_codes: Iterable[int] = (0, 65, 69, 74),
    ) -> None:
        """Check everything after the runs that ended with ``outcomes``; see `Checker.check`.

        Raises:
            Violation: something is wrong.
        """
        self._findings = []
        for outcome in outcomes:
            self._check_process("tap-rest", outcome.tap, outcome.tap_words, outcome, frozenset(tap_codes))
            self._check_process(
                "target-jsonl", outcome.target, outcome.target_words, outcome, frozenset(target_codes)
            )
            self._check_noise(outcome)
        now = self._read_lake()
        said_success = any(outcome.target == 0 for outcome in outcomes)
        if said_success and not (now.state and now.state.is_complete):
            self._find("exit", "a run ended with 0 and the committed state does not say that it is complete")
        self._check_lines(now, is_complete=said_success if complete is None else complete)
        self._check_progress(now)
        self._check_files(now.state)
        for outcome in outcomes:
            self._check_stdout(outcome, now.state)
        if not self._findings:
            self._last = now
        else:
            raise Violation(self._findings)

    # --- the manifest and the bytes it commits -------------------------------------------------------------

    def _read_lake(self) -> _Committed:
        path = self._lake / MANIFEST
        if not path.exists():
            return _Committed()
        text = path.read_text("utf-8")
        self._check_secrets("the manifest", text)
        try:
            manifest = json.loads(text)
            files, sequence, epoch = manifest["files"], manifest["sequence"], manifest["epoch"]
            state = None if manifest["state"] is None else self._state_of(manifest["state"], "the manifest")
        except (ValueError, KeyError, TypeError) as error:
            self._find("state", f"the manifest is torn: {type(error).__name__} {error}")
            return _Committed()
        now = _Committed(state, sequence, epoch)
        for name, size in files.items():
            stream = name.removesuffix(".jsonl")
            content = (self._lake / name).read_bytes() if (self._lake / name).exists() else b""
            if stream not in STREAMS:
                self._find("wrong", f"the manifest commits a file of no stream: {name}")
                continue
            if len(content) < size:
                self._find("lost", f"{name} has {len(content)} bytes, {size} are committed")
            now.bytes_of[stream] = content[:size]
            now.lines[stream] = self._versions_in(stream, content[:size])
        return now

    def _versions_in(self, stream: str, content: bytes) -> list[Version]:
        if content and not content.endswith(b"\n"):
            self._find("wrong", f"the committed part of {stream} ends in the middle of a line")
        found: list[Version] = []
        for number, line in enumerate(content.split(b"\n")[:-1], 1):
            try:
                row = json.loads(line, parse_float=Decimal)
                version = self._journal.by_seq[row["seq"]]
            except (ValueError, KeyError, TypeError):
                self._find("wrong", f"line {number} of {stream} is no row that was sent")
                continue
            if (stream, line) not in self._verified and self._is_line_right(stream, version, row):
                self._verified.add((stream, line))
            found.append(version)
        return found

    def _is_line_right(self, stream: str, version: Version, row: Mapping[str, Any]) -> bool:
        sent = {name: json.loads(text, parse_float=Decimal) for name, text in version.fields.items()}
        if stream != "customers":
            sent["pad"] = "x" * version.padding
        wrong = [name for name in sent if name not in row or not _same(sent[name], row[name])]
        # A field that a later schema has brought is null in rows that came without it.
        wrong += [name for name in row.keys() - sent.keys() if row[name] is not None]
        for name in wrong:
            self._find("wrong", f"{stream}.{name} of seq {version.seq}: the stored value is not the one sent")
        if version.stream != stream:
            self._find("wrong", f"{stream} holds a row of {version.stream} (seq {version.seq})")
        return not wrong

    # --- streams -------------------------------------------------------------------------------------------

    def _check_lines(self, now: _Committed, *, is_complete: bool) -> None:
        positions = now.state.positions if now.state else {}
        counts = {stream: Counter(version.seq for version in now.lines[stream]) for stream in STREAMS}
        self._check_events(counts["events"], positions.get("events", Position()))
        at = positions.get("orders", Position())
        at_bookmark = self._rows_at("orders", at) if at.value else Counter()
        last = {version.key: version.seq for version in now.lines["orders"]}
        for key, newest in self._journal.newest["orders"].items():
            has_come = newest.at < at.value or newest.seq in at_bookmark
            if has_come and last.get(key, 0) != newest.seq:
                kind = "regressed" if newest.seq in counts["orders"] else "lost"
                self._find(
                    kind, f"orders: the last line of key {key} is seq {last.get(key)}, not {newest.seq}"
                )
        for seq, count in counts["orders"].items():
            if count > 1:
                self._find("doubled", f"orders: seq {seq} is {count} times there")
            if self._journal.by_seq[seq].at > at.value and seq not in at_bookmark:
                self._find("state", f"orders holds a row beyond the bookmark {at.value!r}: seq {seq}")
        if is_complete:
            for stream in ("orders", "customers"):
                last = {version.key: version.seq for version in now.lines[stream]}
                wanted = {key: newest.seq for key, newest in self._journal.newest[stream].items()}
                if missing := [key for key, seq in wanted.items() if last.get(key) != seq]:
                    self._find(
                        "lost",
                        f"{stream}: after a run that ended with 0, the last lines of keys {missing[:5]} are old",
                    )
            missing = Counter(version.seq for version in self._journal.versions["events"]) - counts["events"]
            if missing:
                self._find(
                    "lost", f"events: after a run that ended with 0, seq {list(missing)[:5]} is missing"
                )

    def _check_progress(self, now: _Committed) -> None:
        last = self._last
        if (now.epoch, now.sequence) < (last.epoch, last.sequence):
            self._find("state", f"epoch, sequence go back from {last.epoch}, {last.sequence}")
        for stream, content in last.bytes_of.items():
            if not now.bytes_of.get(stream, b"").startswith(content):
                self._find("lost", f"committed bytes of {stream} have changed or gone")
        if now.sequence == last.sequence and _held(now) != _held(last):  # a file may be begun, with no bytes
            self._find("state", f"bytes were committed without a new sequence number ({now.sequence})")
        positions = now.state.positions if now.state else {}
        for stream, position in last.state.positions.items() if last.state else ():
            if positions.get(stream, Position()).is_before(position):
                self._find("state", f"the position of {stream} goes back from {position}")

    # --- processes and what is left over -------------------------------------------------------------------

    def _check_process(
        self, name: str, code: int | None, words: str, outcome: Outcome, allowed: frozenset[int]
    ) -> None:
        if code is None:
            self._find("bounds", f"{name} did not end in time")
        elif code not in allowed or (code < 0 and not outcome.struck):
            self._find("exit", f"{name} ended with {code}: {words}")
        elif code > 0 and not words.startswith(f"CRITICAL {name}: "):
            self._find("exit", f"{name} ended with {code} and its last words are: {words}")

    def _check_noise(self, outcome: Outcome) -> None:
        if "Traceback" in outcome.stderr:
            self._find("exit", f"a traceback: {outcome.stderr[outcome.stderr.index('Traceback') :][:2000]}")
        if outcome.maxrss > MEMORY:
            self._find("bounds", f"a process took {outcome.maxrss} KiB")
        self._check_secrets("stderr", outcome.stderr)
        self._check_secrets("stdout", outcome.printed.decode("utf-8", "replace"))

    def _check_stdout(self, outcome: Outcome, committed: State | None) -> None:
        """Check that no printed STATE is ahead of the manifest, and that the last one of a success is the committed."""
        lines = outcome.printed.split(b"\n")[:-1]
        states = [state for line in lines if (state := self._state_of(line, "a line on stdout")) is not None]
        for state in states:
            self._not_ahead("a line on stdout", state, committed, "the manifest")
        if outcome.target == 0 and states and committed is not None and states[-1].value != committed.value:
            self._find("state", "the last line on stdout is not the committed state, after exit code 0")

    def check_end(self) -> None:
        """Check what must hold after the last run, which was a success: nothing uncommitted is left.

        Raises:
            Violation: something is wrong.
        """
        self._findings = []
        now = self._read_lake()
        for stream in STREAMS:
            size = (self._lake / f"{stream}.jsonl").stat().st_size
            if size != len(now.bytes_of.get(stream, b"")):
                self._find(
                    "state", f"{stream} has uncommitted bytes behind the committed ones, after exit code 0"
                )
        known = {f"{stream}.jsonl" for stream in STREAMS} | {MANIFEST, RUNS}
        left = [path.name for path in self._lake.iterdir() if path.name.partition(".history")[0] not in known]
        state_file = self._pipeline.state_file
        left += [path.name for path in state_file.parent.iterdir() if path != state_file]
        if left:
            self._find("bounds", f"files are left over: {left}")
        if now.state is None or json.loads(state_file.read_bytes()) != now.state.value:
            self._find("state", "the state file is not the committed state, after exit code 0")
        if self._findings:
            raise Violation(self._findings)


def _held(now: _Committed) -> dict[str, bytes]:
    return {stream: content for stream, content in now.bytes_of.items() if content}
