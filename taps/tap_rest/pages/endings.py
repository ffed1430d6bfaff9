"""How the reads of a stream end: in this run, and in those before, as the state tells.

What an API says at the end of each read is no news: a total that counts what it does not list, a page without records behind
the last one. What it has not said before may be an end that is none: a cursor that has expired, a replica that lags behind::

    "ends": {"all": {"$.total": [20, 0]}, "later": {"$.total": [3, 17]}, "empty": true, "named": true}

* ``all``, ``later``: reads without and with a bookmark; by place of a total, how many rows or pages came, and how many less than
  that were; 0: a run has seen it reached, and then it stays so, since whatever is missing after that is missing for a reason;
* ``empty``: a page that a token or a link named had no records, and was the last;
* ``named``: a page without records that was the end, by the word of the config, named another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_state.readas import may_be_stored

__all__ = ["Endings"]

_PLACES = 5
"""So many totals are kept, the first by name: an answer has one or two."""
_EMPTY = (
    "its last page had no records, though the page before it named it, and the load before did not end so: "
    "if the next one does, too, they go"
)


class Endings:
    """The ends of one stream's reads."""

    def __init__(self) -> None:
        self._former: Mapping[str, Any] | None = None
        self._totals: dict[str, dict[str, tuple[int, int]]] = {"all": {}, "later": {}}
        self._seen: dict[str, bool] = {}

    def recall(self, said: Any) -> None:
        """Take up what the state says of former runs."""
        self._former = said if isinstance(said, Mapping) else {}

    # Totals

    def note_total(self, at: str, came: int, total: int, *, is_first: bool) -> None:
        """Note a total that the last answer of a read told; ``is_first``: of one without a bookmark."""
        if came > total or not total or not may_be_stored(at):
            return  # of the page, or of what is left: no total; and none of nothing says what it counts
        totals = self._totals[_sort(is_first)]
        most, missing = totals.get(at, (0, 0))
        totals[at] = (max(most, came), max(missing, total - came))

    def was_reached(self, at: str, *, is_first: bool) -> bool:
        """Tell whether all that this total counts came in a run before."""
        former = self._former_total(at, _sort(is_first))
        return former is not None and former[1] == 0

    def is_known(self, at: str, came: int, total: int, *, is_first: bool) -> bool:
        """Tell whether no run before has reached this total, and the one before lacked as much, or had no more rows."""
        former = self._former_total(at, _sort(is_first))
        if former is None or former[1] == 0:
            return False
        # From a bookmark on a few rows come, and a total may count all: these are never as many twice.
        return not is_first or came >= former[0] or total - came <= former[1]

    # Pages without records

    def note(self, what: str, *, is_so: bool) -> None:
        """Note whether a read ended ``empty``, or ``named`` another page where it ended."""
        self._seen[what] = self._seen.get(what, False) or is_so

    def was_so(self, what: str) -> bool:
        """Tell whether a read of the run before ended so."""
        return self._former is not None and self._former.get(what) is True

    @property
    def doubt(self) -> str | None:
        """Return why these ends are no proof that all rows have come; None where nothing was loaded before."""
        is_new = self._former is not None and self._seen.get("empty", False) and not self.was_so("empty")
        return _EMPTY if is_new else None

    def written(self) -> dict[str, Any]:
        """Return what a state holds of it."""
        former = self._former or {}
        said: dict[str, Any] = {name: self._written_totals(name) for name in self._totals}
        for what in ("empty", "named"):
            said[what] = self._seen.get(what, former.get(what) is True)
        return {name: found for name, found in said.items() if found}

    def _written_totals(self, sort: str) -> dict[str, list[int]]:
        now = self._totals[sort]
        former = (self._former or {}).get(sort)
        places = sorted({*now, *(former if isinstance(former, Mapping) else ())})[:_PLACES]
        found = {}
        for at in places:
            before = self._former_total(at, sort)
            total = before if at not in now or (before is not None and before[1] == 0) else now[at]
            if total is not None:
                found[at] = list(total)
        return found

    def _former_total(self, at: str, sort: str) -> tuple[int, int] | None:
        of_sort = (self._former or {}).get(sort)
        found = of_sort.get(at) if isinstance(of_sort, Mapping) else None
        if isinstance(found, list) and len(found) == 2 and all(isinstance(number, int) for number in found):
            return found[0], found[1]
        return None


def _sort(is_first: bool) -> str:
    return "all" if is_first else "later"
