"""A pipeline: its pipe, tried again where that may help, and what runs behind it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from singerkit_run.children import run_alone
from singerkit_run.commands import Commands, commands_of, write_name
from singerkit_run.durations import shown
from singerkit_run.outcomes import BUSY, UNAVAILABLE, Outcome, stopped_by
from singerkit_run.owed import Loaded, Owed
from singerkit_run.pipe import Ground, run_pipe, sentence_in
from singerkit_run.planfile import Hook, Pipeline
from singerkit_run.programs import Found
from singerkit_run.record import Record, lock_of
from singerkit_run.states import Collected, Watched
from singerkit_shell.errors import LockHeldError, SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_state.shardfiles import check_files
from singerkit_state.statefile import StateFileLock

__all__ = ["Result", "Running", "Telling"]

_NO_STATE = (64, 78)
"""What a target of ours ends with where nothing has been committed; what else is wrong with its config, the pipe says."""
_ASKING_SECONDS = 120.0


@dataclass(frozen=True)
class Telling:
    """Whom a pipeline tells: ``line`` what its programs say, ``news`` what becomes of it, ``at_work`` how much its tap has written, ``ended`` what it has come to."""

    line: Callable[[str, str], None]
    news: Callable[[str], None]
    at_work: Callable[[Callable[[], int | None]], None]
    ended: Callable[[Result], None]


@dataclass(frozen=True)
class Result:
    """What a pipeline has come to; ``seconds`` with all tries and waits."""

    name: str
    outcome: Outcome
    seconds: float = 0.0
    tries: int = 0
    committed: bool = False
    skipped_for: str = ""


class Running:
    """A pipeline that is to be run to its end, whatever that is; two runs of one at a time are not."""

    def __init__(
        self,
        pipeline: Pipeline,
        found: Mapping[str, Found],
        folder: str,
        env: Mapping[str, str],
        telling: Telling,
        stop: StopFlag,
        record: Record,
        begun: Callable[[], None],
    ) -> None:
        """``begun`` is called once it holds its pipeline."""
        self._record, self._begun = record, begun
        self._pipeline, self._found, self._folder = pipeline, found, folder
        self._env = {**env, "SINGERKIT_PIPELINE": pipeline.name, "SINGERKIT_RUN": record.id}
        self._telling, self._stop = telling, stop
        self._tries = 0
        self._committed = False
        self._owed = Owed(pipeline.state_file, not all(hook.always for hook in pipeline.hooks))

    def result(self) -> Result:
        began = time.monotonic()
        outcome = self._outcome()
        self._record.end(outcome, self._tries, committed=self._committed)
        return Result(self._pipeline.name, outcome, time.monotonic() - began, self._tries, self._committed)

    def _outcome(self) -> Outcome:
        name, file = self._pipeline.name, self._pipeline.state_file
        try:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with StateFileLock(lock_of(file), name):
                self._record.begin()
                self._begun()
                check_files(file, self._pipeline.shard)
                write_name(self._pipeline)
                self._owed.begin()
                outcome = self._to_its_end()
                if not outcome.code:
                    self._owed.end()
                return outcome
        except LockHeldError as held:
            return Outcome(
                held.exit_code,
                f"Another run of the pipeline `{name}` is at work; nothing was done.",
                is_busy=True,
            )
        except SingerkitError as error:
            return Outcome(error.exit_code, str(error))
        except OSError as error:
            return Outcome(74, f"The folder of {file} cannot be made ({error.strerror}); nothing was run.")

    def _to_its_end(self) -> Outcome:
        retries = self._pipeline.retries
        while True:
            self._tries += 1
            outcome = self._try()
            if outcome.code == 0:
                return self._run_hooks()
            if outcome.is_stop or outcome.code not in retries.on or self._tries > retries.times:
                return outcome
            seconds = retries.seconds_before(self._tries)
            self._telling.news(
                f"ended with {outcome.code}: {outcome.why} It is tried again in {shown(seconds)} ({self._tries} of {retries.times})."
            )
            if self._stop.wait(seconds):
                return stopped_by(self._stop)

    def _try(self) -> Outcome:
        """Run the pipe once, from the state that is committed by now."""
        pipeline = self._pipeline
        commands = commands_of(pipeline, self._found, os.path.exists(pipeline.state_file))
        if commands.last_state is not None:
            refused = self._ask_for_state(commands, commands.last_state)
            if refused is not None:
                return refused
            # What was asked for may be there only now: where the folder of states is new, and others are to be told of it.
            commands = commands_of(pipeline, self._found, os.path.exists(pipeline.state_file))
        watched, collected = Watched(pipeline.state_file), Collected(pipeline.state_file)
        loaded = Loaded()

        def say(side: str, line: str) -> None:
            if side == "target":
                loaded.hear(line)
            self._telling.line(side, line)

        ground = Ground(
            self._folder,
            self._env,
            self._stop,
            say,
            (lambda _line: None) if commands.is_target_ours else collected.take,
            self._telling.at_work,
        )
        try:
            outcome = run_pipe(commands, ground, pipeline.timeout)
        finally:
            self._committed = self._committed or watched.has_changed() or loaded.any()
        if not commands.is_target_ours:
            self._record.load(watched.streams(None if outcome.code else loaded.rows()))
        if outcome.code or commands.is_target_ours:
            return outcome
        if collected.failure is not None:
            return Outcome(collected.failure.exit_code, str(collected.failure))
        if not collected.any:
            self._telling.news("got no state from its target: the next run begins where this one did.")
        return outcome

    def _ask_for_state(self, commands: Commands, command: list[str]) -> Outcome | None:
        """Bring the state file up to date with the target; return what is in the way of that."""
        words: deque[str] = deque(maxlen=100)
        code = self._alone(command, words.append, _ASKING_SECONDS, commands.target_env)
        if code == 0 or code in _NO_STATE:
            return None
        for line in words:
            self._telling.line("target", line)
        if self._stop:
            return stopped_by(self._stop)
        if code is None:
            return Outcome(
                UNAVAILABLE,
                f"The target did not say within {shown(_ASKING_SECONDS)} which state is committed.",
            )
        return Outcome(code, sentence_in(words[-1] if words else "", "target"), is_busy=code == BUSY)

    def _run_hooks(self) -> Outcome:
        is_owed = self._owed.is_from_before
        if is_owed and not self._committed:
            self._telling.news(
                "has nothing new; `after_commit` is run for what an earlier run may have committed."
            )
        for hook in self._pipeline.hooks:
            if hook.always or self._committed or is_owed:
                outcome = self._run_hook(hook)
                if outcome.code:
                    return outcome
        return Outcome(0)

    def _run_hook(self, hook: Hook) -> Outcome:
        code = self._alone(
            ["/bin/sh", "-c", hook.run], lambda line: self._telling.line("after", line), hook.timeout, {}
        )
        if self._stop:
            return stopped_by(self._stop)
        if code is None:
            return Outcome(
                UNAVAILABLE, f"The rows are committed; `{hook.run}` was stopped after {shown(hook.timeout)}."
            )
        return Outcome(code, f"The rows are committed; `{hook.run}` ended with {code}." if code else "")

    def _alone(
        self, command: list[str], on_line: Callable[[str], None], seconds: float, env: Mapping[str, str]
    ) -> int | None:
        return run_alone(
            command,
            folder=self._folder,
            env={**self._env, **env},
            on_line=on_line,
            timeout=seconds,
            stop=self._stop,
        )
