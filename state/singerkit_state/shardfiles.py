"""State files of shards beside each other: a pipeline is divided in one way at a time."""

from __future__ import annotations

import os
import re

from singerkit_shell.errors import ConfigurationError
from singerkit_state import statefile
from singerkit_state.shards import Shard
from singerkit_state.store import Store
from singerkit_state.value import is_empty

__all__ = ["check_files", "check_set_beside"]

_ENDING = re.compile(r"(?s)(.*?)(?:\.(\d{1,5})-of-(\d{1,5}))?\.json")


def check_set_beside(store: Store, shard: Shard) -> None:
    """See that the state file of a run which begins anew stands beside none of another set of shards.

    Raises:
        ConfigurationError: it does, and rows that have no key would come again, from another shard.
    """
    if store.is_file:
        check_files(store.location, shard)


def check_files(path: str, shard: Shard) -> None:
    """Do the same for a path."""
    if os.path.exists(path):
        return
    folder, name = os.path.split(path)
    pipeline, _ = _parts(name)
    for other in sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else ():
        called, of = _parts(other)
        place = os.path.join(folder, other)
        if pipeline is not None and called == pipeline and of != shard.of and _says_anything(place):
            raise ConfigurationError(
                f"The state file {place} is of {'all rows' if of == 1 else f'one of {of} shards'}, and this run of "
                f"{'all rows' if shard.of == 1 else f'the shard {shard}'} would begin anew; nothing was read: go on as before; or, to divide the "
                "pipeline otherwise, remove the files of the former runs, forget their states in the target, and empty the tables of streams "
                "without a key, whose rows come again."
            )


def _parts(name: str) -> tuple[str | None, int]:
    found = _ENDING.fullmatch(name)
    return (None, 1) if found is None else (found[1], int(found[3] or 1))


def _says_anything(path: str) -> bool:
    try:
        return not is_empty(statefile.read(path))
    except ConfigurationError:
        return False  # it is no state
