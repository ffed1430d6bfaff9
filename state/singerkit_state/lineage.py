"""When the state file, the tap's start and the target disagree about how far the pipeline is (DESIGN 5).

What the target has committed counts. A run that starts elsewhere would load rows of streams without a key a second
time, or leave some out, so it is refused before anything is written. A start that the target has handed over once is
behind: whoever keeps the state is told the committed one, and the next run goes on from there. Any other start, and one
against a target that holds nothing, is somebody's will or somebody's mistake: the sentence names the commands by which
he says which. Only a tap that was given no state, or whose state file was removed, starts over without being asked.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol

from singerkit_shell.configfile import is_same_file
from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.diff import in_words
from singerkit_state.edit import others_of
from singerkit_state.readas import ReadAs
from singerkit_state.value import Mark, comparable, decode, encode, is_empty, with_mark

__all__ = ["Publisher", "WaysOut", "check_start"]


_SHARED = {"bookmarks", "currently_syncing"}
"""Keys that the states of all pipelines may have."""


class Publisher(Protocol):
    """What tells the world about a state: `singerkit_target.publish`."""

    state_file: str | None

    def publish(self, state: str) -> None:
        """Write a committed state to the state file and to stdout."""

    def hand_over(self, opening: str, *, to_stdout: bool) -> None:
        """Make a missing state file with the state that the run starts from, and print that."""

    def forget(self, opening: str) -> None:
        """Replace the state file by one that says nothing, and print that."""


@dataclass(frozen=True)
class WaysOut:
    """The commands by which somebody says what a run may not decide, as they can be copied."""

    command: tuple[str, ...]
    state_file: str | None = None
    location: str | None = None
    """What the tap's ``--state`` names, when the tap tells."""
    place: str | None = None
    """Where in its database the target keeps the state, as a part of a state URL."""

    def adopt(self) -> str:
        """Take the state that the tap starts from as the committed one."""
        return self._shown("--adopt", self.state_file or self.location or "STATE_FILE")

    def adopt_as(self, name: str) -> str:
        """The same under another name than the pipeline has had."""
        command = list(self.command)
        if "--pipeline" in command:
            command[command.index("--pipeline") + 1] = name
        return replace(self, command=tuple(command)).adopt()

    def accept(self) -> str:
        """Take the committed state as it is, and the tables or files too."""
        return self._shown("--adopt", "committed")

    def start_over(self, stream: str | None = None) -> str:
        """Forget the committed state, or that of a stream, in the state file too."""
        return self._shown(*self._file, "--start-over", *([] if stream is None else ["--stream", stream]))

    def start_over_as(self, name: str) -> str:
        """The same of another pipeline, whatever the config calls this one; the state file is not that one's."""
        command = list(self.command)
        if "--pipeline" in command:
            del command[(at := command.index("--pipeline")) : at + 2]
        return replace(self, command=(*command, "--pipeline", name), state_file=None).start_over()

    def go_on(self) -> str:
        """Bring the state file to what is committed, and print it."""
        return self._shown(*self._file, "--last-state")

    @property
    def _file(self) -> list[str]:
        return [] if self.state_file is None else ["--state-file", self.state_file]

    def _shown(self, *arguments: str) -> str:
        return f"`{shlex.join([*self.command, *arguments])}`"


def check_start(
    pipeline: str,
    stored: str | None,
    start: Any,
    mark: Mark | None,
    publisher: Publisher,
    was_former: Callable[[Any], bool],
    ways: WaysOut,
    log: logging.Logger,
) -> bool:
    """Compare where the tap starts with what the target has committed; return whether the run starts over.

    ``stored`` is the target's STATE text, ``start`` the STATE value a tap of ours began with (it has a ``mark``),
    ``was_former`` tells whether this target has had a value for its state before. The start is handed over, to the
    state file and to stdout, before anything is committed: so a run after a kill between the first COMMIT and the
    print starts from a state that is known to be behind.

    Raises:
        RetryableError: the tap started from a state that is no longer the committed one, as after a kill between
            COMMIT and the state file, or when another run came first: the committed one is published. Or nobody has
            said yet what a state means that this target has never had.
        ConfigurationError: the state is another pipeline's, or does not say whose it is and differs.
        CannotWriteError: the start cannot be handed over.
    """
    state_file = publisher.state_file
    in_file = None if state_file is None else statefile.read(state_file, pipeline)
    committed = None if stored is None else decode(stored)
    run = _Run(
        pipeline,
        None if is_empty(committed) else stored,
        start if mark is not None else in_file,
        mark,
        in_file,
        was_former,
        publisher,
        replace(ways, state_file=state_file, location=mark.location if mark else None),
    )
    starts_over = run.stored is not None and run.starts_over
    if starts_over:
        log.warning(
            "The tap starts over, though the pipeline `%s` has a committed state: what it sends comes again, and rows "
            "of streams without a key are appended again. If another pipeline has that name, give this one its own with "
            "`pipeline`.",
            pipeline,
        )
    elif run.start_is_known and not _same(run.start, committed):
        run.refuse()
    nothing: dict[str, Any] = {"bookmarks": {}}
    if mark is not None:
        said = start if isinstance(start, dict) and not is_empty(start) else nothing
        publisher.hand_over(encode(with_mark(said, replace(mark, location=None))), to_stdout=True)
    elif state_file is not None and in_file is None:
        # A tap by others; what it starts from, it does not say, and `tail -1` must not lose what it was.
        publisher.hand_over(encode(nothing), to_stdout=False)
    return starts_over


@dataclass(frozen=True)
class _Run:
    """What is known of a run before it loads anything. ``stored`` is None when nothing, or nothing yet, is committed."""

    pipeline: str
    stored: str | None
    start: Any
    mark: Mark | None
    in_file: Any
    was_former: Callable[[Any], bool]
    publisher: Publisher
    ways: WaysOut

    @property
    def start_is_known(self) -> bool:
        """A tap by others does not say where it starts; the file that it reads, if it is this one, does."""
        return self.mark is not None or self.publisher.state_file is not None

    @property
    def starts_over(self) -> bool:
        """By the will of whoever gave the tap no state or removed the file; not because another run came first."""
        if not is_empty(self.start):
            return False
        file_is_gone = self.publisher.state_file is not None and self.in_file is None
        if self.mark is None:
            return file_is_gone
        return self.mark.resumes is None or (self.mark.resumes == "missing" and file_is_gone)

    def refuse(self) -> NoReturn:
        if self.stored is None:
            self._refuse_without_committed()
        committed = decode(self.stored)
        file_is_right = self.in_file is not None and _same(self.in_file, committed)
        is_behind = is_empty(self.start) or self.was_former(self.start) or file_is_right
        if self.mark is not None and self.mark.resumes == "url" and is_behind:
            raise RetryableError(
                f"The state of the pipeline `{self.pipeline}` has changed since the tap read it, as when another run "
                "came first; nothing was written: run again. If this comes back, the tap's state URL names another "
                f"place than the target's{self._place}."
            )
        if is_behind:
            self._tell_committed(self.stored)
        if self.mark is None:
            raise ConfigurationError(
                f"The state file {self.publisher.state_file} and the state committed by the pipeline `{self.pipeline}` "
                f"differ ({self._difference(committed, 'the file')}), and the file does not say which pipeline it is of; "
                f"nothing was written: give this pipeline its own name with `pipeline`, or go on "
                f"from the target's state with {self.ways.go_on()}, or from the file's with {self.ways.adopt()}: what that is "
                "ahead of the target's is not read then."
            )
        if not _streams(self.start) <= _streams(committed):
            raise ConfigurationError(
                "The tap starts from the state of other streams than those that the pipeline "
                f"`{self.pipeline}` has committed ({self._difference(committed, 'the tap')}); nothing was written: give each pipeline its own name with `pipeline`, or go on from the target's state with "
                f"{self.ways.go_on()}, or from the tap's with {self.ways.adopt()}: what that is ahead of the target's is not "
                "read then."
            )
        raise RetryableError(
            f"The tap starts from a state that the pipeline `{self.pipeline}` has never committed here "
            f"({self._difference(committed, 'the tap')}), as when it was set by hand, the database was brought "
            "back from a copy, or is not the one that the state is of; nothing was written: to go on from what is committed "
            f"run {self.ways.go_on()}, and what was loaded since then is read again; where the state was set on purpose, "
            f"start from it with {self.ways.adopt()}: rows between the two that this target does not have are not read then."
        )

    def _tell_committed(self, stored: str) -> NoReturn:
        stream = _read_elsewhere(self.start, decode(stored))
        if stream is not None:
            raise ConfigurationError(
                f"The state that was committed last under the name `{self.pipeline}` is of another place than the tap's: stream "
                f"`{stream}` was read from elsewhere. Another pipeline seems to have that name; nothing was "
                "written: give each its own with `pipeline`, and a schema or streams of its own. If it is one pipeline that "
                f"has moved, go on from what is committed with {self.ways.go_on()}."
            )
        if _have_nothing_in_common(self.start, decode(stored)):
            raise ConfigurationError(
                f"The state that was committed last under the name `{self.pipeline}` is of other streams than the tap's "
                f"({self._difference(decode(stored), 'the tap')}): another pipeline seems to have that name; nothing was written, "
                f"and the tap's state stays as it is: give this pipeline a name of its own with `pipeline`, and go on from that state with "
                f"{self.ways.adopt_as('NAME')}, once. If it is one pipeline that reads other streams now, go on from what is committed with "
                f"{self.ways.go_on()}."
            )
        self.publisher.publish(stored)
        raise RetryableError(
            f"The tap's state is not the one that the pipeline `{self.pipeline}` has committed last, as after a kill "
            f"between commit and state file; nothing was written, and the committed state {self._where}: run again"
            f"{self._if_it_comes_back}. If another pipeline has that name, give each its own with `pipeline` instead. To "
            f"start over on purpose run {self.ways.start_over()}."
        )

    @property
    def _where(self) -> str:
        state_file = self.publisher.state_file
        return "is printed now" if state_file is None else f"is in {state_file} now"

    @property
    def _if_it_comes_back(self) -> str:
        """The tap reads its state elsewhere than the target leaves it. Not certain: in containers one file has two names."""
        state_file, location = self.publisher.state_file, self.ways.location
        if self.mark is None:
            return ""
        if state_file is None:
            return (
                "; if this comes back, save the last line that is printed where the tap's `--state` reads it"
            )
        if location is None or is_same_file(location, state_file):
            return ""
        return (
            f"; if this comes back, the tap's `--state {location}` and `--state-file {state_file}` are two files: name one "
            "file in both"
        )

    def _refuse_without_committed(self) -> NoReturn:
        if self.was_former(self.start) and (self.mark is None or self.mark.resumes != "url"):
            nothing: dict[str, Any] = {"bookmarks": {}}
            self.publisher.forget(encode(nothing if self.mark is None else with_mark(nothing, self.mark)))
            raise RetryableError(
                f"The state of the pipeline `{self.pipeline}` was reset since the tap's was committed; nothing was "
                f"written, and the state that says so {self._where}: run again, and everything is read from the "
                f"beginning{self._if_it_comes_back}."
            )
        raise RetryableError(
            f"The tap continues from a state (of the streams {_listed(self.start)}), and this target holds none of the "
            f"pipeline `{self.pipeline}`, as when it is empty or not the one that was loaded into; nothing was written: "
            f"name the right target, or {self._way_to_start}, or to load only what comes after that state run "
            f"{self.ways.adopt()}."
        )

    def _difference(self, committed: Any, whose: str) -> str:
        return in_words(self.start, committed, whose, "the target")

    @property
    def _place(self) -> str:
        return "" if self.ways.place is None else f" (`{self.ways.place}` of its database)"

    @property
    def _way_to_start(self) -> str:
        if self.mark is not None and self.mark.resumes == "url":
            return f"let `--state` name the state of this target{self._place}, and everything is loaded"
        if self.ways.state_file is not None:
            return f"to load everything run {self.ways.start_over()}"
        reset = shlex.join(["singerkit-state", "reset", "--yes", self.ways.location or "STATE_FILE"])
        return f"to load everything run `{reset}`"


def _streams(value: Any) -> set[str]:
    bookmarks = value.get("bookmarks") if isinstance(value, dict) else None
    return {name for name, mark in bookmarks.items() if mark} if isinstance(bookmarks, dict) else set()


def _have_nothing_in_common(start: Any, committed: Any) -> bool:
    """Whether both say something, and nothing of the same: states of one pipeline keep what they have once named."""
    if not isinstance(start, dict) or not isinstance(committed, dict):
        return False
    ours, theirs = _streams(start), _streams(committed)
    if not ours and not theirs:  # a tap of others with a shape of its own
        ours, theirs = (set(others_of(value)) - _SHARED for value in (start, committed))
    return bool(ours and theirs) and ours.isdisjoint(theirs)


def _read_elsewhere(start: Any, committed: Any) -> str | None:
    """Return a stream that both states know, and were read from different places for, as far as they say so."""
    ours, others = (
        value.get("bookmarks") if isinstance(value, dict) else None for value in (start, committed)
    )
    if not isinstance(ours, dict) or not isinstance(others, dict):
        return None
    for name in sorted(ours.keys() & others.keys()):
        here, there = (ReadAs.of(part[name]).source.get("where") for part in (ours, others))
        if here is not None and there is not None and here != there:
            return str(name)
    return None


def _listed(value: Any) -> str:
    names = sorted(_streams(value))
    return ", ".join(f"`{name}`" for name in names[:5]) + (" and others" if len(names) > 5 else "") or "-"


def _same(left: Any, right: Any) -> bool:
    if is_empty(left) or is_empty(right):
        return is_empty(left) and is_empty(right)
    return bool(comparable(left) == comparable(right))
