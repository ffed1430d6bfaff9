"""What somebody may say about the committed state through the target itself: with its config, secrets and server.

A run refuses what it may not decide (`singerkit_state.lineage`) and names one of these commands.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import click

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_state.ahead import ahead_of_now
from singerkit_state.edit import replaced, without_streams
from singerkit_state.location import read_start_state
from singerkit_state.others import StateError, unwrapped
from singerkit_state.value import is_empty, read_mark
from singerkit_target.contract import Edit, Loader

_logger = logging.getLogger(__name__)

__all__ = ["COMMITTED", "Wish", "by_hand", "options"]

COMMITTED = "committed"
"""The location that names the state that is committed already."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for instead of a run."""

    adopt: str | None = None
    start_over: bool = False
    last_state: bool = False
    streams: tuple[str, ...] = ()
    pipeline: str | None = None
    history: bool = False
    since: str | None = None
    last: int | None = None
    at_least: int | None = None
    rejects: bool = False
    replay_rejects: bool = False
    records: bool = False
    over_stored: bool = False
    schema: str | None = None

    @property
    def is_one(self) -> bool:
        """Whether something is asked for; UsageError when it is not one thing, or half of one."""
        asked = [
            self.adopt is not None,
            self.start_over,
            self.last_state,
            self.history,
            *self._of_letters,
        ].count(True)
        if asked > 1:
            raise UsageError(
                "Expected one of `--adopt`, `--start-over`, `--last-state`, `--history`, `--rejects` and `--replay-rejects`, got several."
            )
        if self.streams and not (self.start_over or self.is_of_letters):
            raise UsageError("`--stream` goes with `--start-over`, `--rejects` and `--replay-rejects` only.")
        if self.pipeline is not None and not asked:
            raise UsageError(
                "`--pipeline` goes with `--adopt`, `--start-over`, `--last-state`, `--history`, `--rejects` and `--replay-rejects`; for a run set "
                "`pipeline` in the config."
            )
        if not self.history and (self.since, self.last, self.at_least) != (None, None, None):
            raise UsageError("`--since`, `--last` and `--at-least` go with `--history` only.")
        if self.records and not self.rejects:
            raise UsageError("`--records` goes with `--rejects` only.")
        if self.over_stored and not self.replay_rejects:
            raise UsageError("`--over-stored` goes with `--replay-rejects` only.")
        if self.schema is not None and not self.replay_rejects:
            raise UsageError("`--schema` goes with `--replay-rejects` only.")
        return asked == 1

    @property
    def _of_letters(self) -> tuple[bool, bool]:
        return self.rejects, self.replay_rejects

    @property
    def is_of_letters(self) -> bool:
        """Whether it is about dead letters, and about no state."""
        return any(self._of_letters)


def by_hand(loader: Loader, wish: Wish, pipeline: str | None) -> str | None:
    """Do what ``wish`` says with an open loader; return the STATE text that is committed then, None for none.

    Raises:
        UsageError: neither config (``pipeline``) nor command line nor state say which pipeline it is.
        ConfigurationError: the state to take over is not there, or none; there is no such stream.
    """
    name = wish.pipeline or pipeline
    found = None
    if wish.adopt is not None and wish.adopt != COMMITTED:
        found = _in(wish.adopt)
        if found is None or is_empty(found):
            raise ConfigurationError(
                f"There is no state in {wish.adopt} that could be taken over; nothing was changed: give the one that the "
                "tap starts from."
            )
        mark = read_mark(found)
        name = name or (mark.pipeline if mark else None)
    known = loader.pipelines()
    others = ", ".join(f"`{other}`" for other in known)
    if name is None and found is None and len(known) == 1:
        name = known[0]  # a state to adopt may be another pipeline's
    if name is None:
        there_are = f"; there are {others}" if known else ""
        raise UsageError(
            f"Expected `--pipeline NAME`, since the config names no pipeline{there_are}; nothing was changed."
        )
    if known and name not in known:
        if found is None:
            raise UsageError(
                f"This target holds no state of a pipeline `{name}`; nothing was changed: there are {others}."
            )
        _logger.warning("The pipeline `%s` is new to this target, which has had %s.", name, others)
    if ahead := ahead_of_now(found):
        _logger.warning("%s", ahead)
    committed = loader.begin(name)
    if wish.last_state:
        if committed is None:
            raise ConfigurationError(
                f"This target holds no state of the pipeline `{name}`, so there is none to go on from; nothing was changed: "
                "name the right pipeline or target, or take the state that you have over with `--adopt`."
            )
        return committed
    if wish.start_over:
        edit: Edit = without_streams(wish.streams) if wish.streams else lambda _former: None
        return loader.change_state(edit, "start over")
    if found is None:
        return loader.change_state(lambda former: former, "adopt", as_it_is=True)
    return loader.change_state(replaced(found, name, adopt=True), "adopt", as_it_is=True)


def _in(location: str) -> dict[str, Any] | None:
    found = read_start_state(location)
    try:
        return None if found is None else unwrapped(found, ())
    except StateError as error:
        raise ConfigurationError(f"The state in {location} cannot be taken over: {error}.") from None


def options() -> list[click.Option]:
    """Return the options, new ones each time: a command keeps its own."""
    return [
        click.Option(
            ["--adopt"],
            metavar="LOCATION",
            help="Take this state (a file, a state URL, or `committed` for the one that is committed) as what is loaded "
            "here, with tables and files as they are, and end.",
        ),
        click.Option(
            ["--start-over"],
            is_flag=True,
            help="Forget the committed state, or that of some streams (`--stream`), and end: the next run reads them "
            "from the beginning.",
        ),
        click.Option(
            ["--stream"],
            multiple=True,
            metavar="NAME",
            help="With --start-over, --rejects, --replay-rejects: this stream only.",
        ),
        click.Option(
            ["--last-state"],
            is_flag=True,
            help="Print the committed state, and write it to `--state-file`, and end.",
        ),
        click.Option(
            ["--pipeline"],
            metavar="NAME",
            help="With these: whose state, runs, or dead letters, if the config says no name.",
        ),
        click.Option(
            ["--rejects"],
            is_flag=True,
            help="List the dead letters: when, of which stream, which field, why, how many, and what came of their keys since; and end.",
        ),
        click.Option(
            ["--records"], is_flag=True, help="With --rejects: each of them, with what its record says."
        ),
        click.Option(
            ["--replay-rejects"],
            is_flag=True,
            help="Load the dead letters once more, after a mend; each that goes in is removed with it, and end.",
        ),
        click.Option(
            ["--schema"],
            metavar="FILE",
            help="With --replay-rejects: a file with SCHEMA messages, such as what the tap writes, in the place of those that the records came under.",
        ),
        click.Option(
            ["--over-stored"],
            is_flag=True,
            help="With --replay-rejects: also those whose key has a row that is newer, or may be.",
        ),
    ]
