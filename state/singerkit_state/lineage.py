"""When the state file, the tap's start and the target disagree about how far the pipeline is (DESIGN 5).

What the target has committed counts. A tap that starts elsewhere would load rows of streams without a key a second
time, or leave some out, so its run is refused before anything is written, and the committed state is told to whoever
keeps it: the next run goes on from there. Only a tap that was given no state, or whose state file was removed, starts
over: that is somebody's will.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NoReturn

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.value import Mark, decode, encode, is_empty, with_mark, without_mark

__all__ = ["check_start"]


def check_start(
    pipeline: str,
    stored: str | None,
    start: Any,
    mark: Mark | None,
    state_file: str | None,
    publish: Callable[[str], None],
    log: logging.Logger,
) -> None:
    """Compare where the tap starts with what the target has committed; what the target committed wins.

    ``stored`` is the target's STATE text, ``start`` the STATE value a tap of ours began with (it has a ``mark``),
    ``publish`` writes a committed state to the state file and to stdout.

    Raises:
        RetryableError: the tap started from a state that is no longer the committed one, as after a kill between
            COMMIT and the state file, or when another run came first; the committed one is published.
        ConfigurationError: the state is another pipeline's, or does not say whose it is and differs.
        CannotWriteError: the state file, missing so far, cannot be made.
    """
    in_file = None if state_file is None else statefile.read(state_file, pipeline)
    committed = None if stored is None else decode(stored)
    if is_empty(committed) or stored is None:
        if mark is not None and not is_empty(start):
            log.warning(
                "The tap continues from a state, and this target holds none of the pipeline `%s`: rows from before it "
                "are not loaded here.",
                pipeline,
            )
    elif mark is None:
        _check_file_of_others(pipeline, committed, in_file, state_file)
    elif _starts_over(start, mark, in_file):
        log.warning(
            "The tap starts over, though the pipeline `%s` has a committed state: what it sends comes again, and rows "
            "of streams without a key are appended again.",
            pipeline,
        )
    elif not _same(start, committed):
        _refuse(pipeline, stored, start, mark, state_file, publish)
    if state_file is not None and in_file is None:
        # From now on a missing file was removed by somebody, and an empty one is behind what is committed.
        nothing: dict[str, Any] = {"bookmarks": {}}
        statefile.write(state_file, encode(nothing if mark is None else with_mark(nothing, mark)))


def _refuse(
    pipeline: str,
    stored: str,
    start: Any,
    mark: Mark,
    state_file: str | None,
    publish: Callable[[str], None],
) -> NoReturn:
    committed = decode(stored)
    if not _streams(start) <= _streams(committed):
        raise ConfigurationError(
            f"The tap starts from the state of other streams than those that the pipeline `{pipeline}` has committed "
            f"(tap: {_shown(start)}; target: {_shown(committed)}); nothing was written: give each pipeline its own name "
            "with `pipeline`, or put the state right with `singerkit-state set`."
        )
    if mark.resumes == "url":
        raise RetryableError(
            f"The state of the pipeline `{pipeline}` has changed since the tap read it, as when another run came first; "
            "nothing was written: run again. If this comes back, the tap's state URL names another database than the "
            "target's."
        )
    publish(stored)
    where = "is printed now" if state_file is None else f"is in {state_file} now"
    raise RetryableError(
        f"The tap's state is not the one that the pipeline `{pipeline}` has committed last, as after a kill between "
        f"commit and state file; nothing was written, and the committed state {where}: run again. To start elsewhere on "
        "purpose use `singerkit-state set`, to start over remove the state file."
    )


def _check_file_of_others(pipeline: str, committed: Any, in_file: Any, state_file: str | None) -> None:
    """A tap by others does not say where it starts; the file that it reads, if it is this one, has to agree."""
    if state_file is None or in_file is None or _same(in_file, committed):
        return
    raise ConfigurationError(
        f"The state file {state_file} and the state committed by the pipeline `{pipeline}` differ, and the "
        f"file does not say which pipeline it is of (file: {_shown(in_file)}; target: {_shown(committed)}); "
        "nothing was written: give this pipeline its own name with `pipeline`, or restore the file from the "
        "target's state (`singerkit-state get`)."
    )


def _starts_over(start: Any, mark: Mark, in_file: Any) -> bool:
    """A first run, by the will of whoever gave the tap no state or removed the file; not one that another run overtook."""
    was_removed = mark.resumes == "file" and in_file is None
    return is_empty(start) and (mark.resumes is None or was_removed)


def _streams(value: Any) -> set[str]:
    bookmarks = value.get("bookmarks") if isinstance(value, dict) else None
    return {name for name, mark in bookmarks.items() if mark} if isinstance(bookmarks, dict) else set()


def _same(left: Any, right: Any) -> bool:
    if not isinstance(left, dict) or not isinstance(right, dict):
        return bool(left == right)
    return without_mark(left) == without_mark(right)


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."
