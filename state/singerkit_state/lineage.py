"""When the state file, the tap's start and the target disagree about how far the pipeline is (DESIGN 5)."""

from __future__ import annotations

import logging
from typing import Any

from singerkit_shell.errors import ConfigurationError, RetryableError
from singerkit_state import statefile
from singerkit_state.value import Mark, decode, is_empty, without_mark

__all__ = ["check_start"]


def check_start(
    pipeline: str,
    stored: str | None,
    start: Any,
    mark: Mark | None,
    state_file: str | None,
    log: logging.Logger,
) -> None:
    """Compare where the tap starts with what the target has committed; what the target committed wins.

    ``stored`` is the target's STATE text, ``start`` the STATE value a tap of ours began with (it has a ``mark``).

    Raises:
        RetryableError: a run was killed between COMMIT and the state file; the file is up to date now.
        ConfigurationError: the state file belongs to another pipeline, or does not say whose it is and differs.
    """
    in_file = None if state_file is None else statefile.read(state_file, pipeline)
    committed = None if stored is None else decode(stored)
    if is_empty(committed) or stored is None:
        return
    if mark is None:
        if state_file is not None and not is_empty(in_file) and not _same(in_file, committed):
            raise ConfigurationError(
                f"The state file {state_file} and the state committed by the pipeline `{pipeline}` differ, and the "
                f"file does not say which pipeline it is of (file: {_shown(in_file)}; target: {_shown(committed)}); "
                "nothing was written: give this pipeline its own name with `pipeline`, or restore the file from the "
                "target's state."
            )
        return
    if is_empty(start) or _same(start, committed):
        return
    if state_file is not None and _same(in_file, start):
        statefile.write(state_file, stored)
        raise RetryableError(
            f"The state file {state_file} was behind the target, as after a kill between commit and file; nothing was "
            "written, and the file now holds the committed state: run again."
        )
    log.warning(
        "The tap starts from another state than the one that the pipeline `%s` has committed last: rows of streams "
        "without a key may come twice.",
        pipeline,
    )


def _same(left: Any, right: Any) -> bool:
    if not isinstance(left, dict) or not isinstance(right, dict):
        return bool(left == right)
    return without_mark(left) == without_mark(right)


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."
