"""State files of shards beside each other: a pipeline is divided in one way at a time."""

from __future__ import annotations

import os
import re

from singerkit_shell.errors import ConfigurationError
from singerkit_state import statefile
from singerkit_state.shards import WHOLE, Shard, way_to_divide
from singerkit_state.store import Store
from singerkit_state.value import is_empty

__all__ = ["base_of", "check_files", "check_set_beside", "shards_beside"]

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
    for other, place in shards_beside(path).items():
        if other.of != shard.of and _says_anything(place):
            raise ConfigurationError(
                f"The state file {place} is of {'all rows' if other.of == 1 else f'one of {other.of} shards'}, and this run of "
                f"{'all rows' if shard.of == 1 else f'the shard {shard}'} would begin anew; nothing was read: go on as before, or divide the "
                f"states with {way_to_divide(base_of(path), shard.of)}, where the target keeps none itself."
            )


def base_of(path: str) -> str:
    """Return the state file of the pipeline that the file of a shard is of."""
    folder, name = os.path.split(path)
    pipeline, _ = _parts(name)
    return path if pipeline is None else os.path.join(folder, f"{pipeline}.json")


def shards_beside(path: str) -> dict[Shard, str]:
    """Return the state files that there are of a pipeline, of all rows and of shards."""
    folder, name = os.path.split(path)
    pipeline, _ = _parts(name)
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    found = {other: _parts(other) for other in names}
    return {
        shard: os.path.join(folder, other)
        for other, (called, shard) in found.items()
        if called == pipeline is not None
    }


def _parts(name: str) -> tuple[str | None, Shard]:
    found = _ENDING.fullmatch(name)
    if found is None:
        return None, WHOLE
    return found[1], WHOLE if found[2] is None else Shard(int(found[2]), int(found[3]))


def _says_anything(path: str) -> bool:
    try:
        return not is_empty(statefile.read(path))
    except ConfigurationError:
        return False  # it is no state
