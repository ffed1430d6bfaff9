"""The commands by which somebody changes the state that a tap has read, as they can be copied.

A target that keeps the state itself has the last word about a state file: there it changes both.
"""

from __future__ import annotations

import shlex

from singerkit_state.location import is_beside_rows

__all__ = ["go_on", "start_over"]


def start_over(location: str | None, pipeline: str, stream: str) -> str:
    """How to forget the state of a stream; ``location`` is what ``--state`` names, without a password."""
    if location is None:
        return f"`{shlex.join(['singerkit-state', 'reset', 'STATE', '--stream', stream])}`"
    reset = f"`{shlex.join(['singerkit-state', 'reset', location, '--stream', stream, '--yes'])}`"
    if is_beside_rows(location):
        return reset
    said = shlex.join(["--state-file", location, "--start-over", "--stream", stream, "--pipeline", pipeline])
    return f"{_BY_TARGET.format(said)} (where it keeps no state itself, with {reset})"


def go_on(location: str | None, pipeline: str) -> str:
    """How to bring a state file to what the target has committed, as a part of a sentence; empty where there is none."""
    if location is None or is_beside_rows(location):
        return ""
    said = shlex.join(["--state-file", location, "--last-state", "--pipeline", pipeline])
    return f"bring the file to what is committed with {_BY_TARGET.format(said)}, "


_BY_TARGET = "the target's command line, its config and all, to which `{}` is added"
