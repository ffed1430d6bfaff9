"""The other shards that have rows in a table: which versions theirs carry, once all of them have been read to their end.

Each shard has a version of its own, and says it in its state when all of its part has come; while a load goes on, it says none. So the shard that is
the last to come to its end takes away what is of no version of any, and the others leave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from singerkit_shell.errors import ConfigurationError
from singerkit_state.value import decode, read_mark

__all__ = ["Siblings", "check_no_history"]


@dataclass(frozen=True)
class Siblings:
    """The states of the other shards, by their names, and the stream of which they have parts."""

    names: Sequence[str]
    stream: str
    shard: str

    def versions(self, states: Mapping[str, str | None]) -> set[int] | None:
        """Return the versions of all of them; None: not all have been read to their end. ``states``: the texts that are committed."""
        found = set()
        for name in self.names:
            version = self._version_in(states.get(name))
            if version is None:
                return None
            found.add(version)
        return found

    def _version_in(self, text: str | None) -> int | None:
        try:
            mark = None if text is None else read_mark(decode(text))
        except ValueError:  # torn by others
            return None
        return None if mark is None else (mark.divided or {}).get(self.stream)


def check_no_history(stream: str, siblings: Siblings | None, *, is_kept: bool) -> None:
    """See that no history of a divided stream is to end by a version.

    Raises:
        ConfigurationError: it is: which rows have been seen in a load is noted of one load at a time.
    """
    if siblings is not None and is_kept:
        raise ConfigurationError(
            f"Stream `{stream}` keeps a history (`load_method`), and the run is of the shard {siblings.shard}, whose version says nothing of the rows of "
            "the others; none was touched: set `activate_version` to false in the config of the tap, or read the stream without `--shard`."
        )
