"""The values that a stream is read once for each of: every combination of the lists in `for_each`.

A list may be what a field holds in the records of another stream, or of several. That is read as a whole, once in a run, when the first value is
wanted; the read of that stream goes on with the pages that have come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any, Protocol

from singerkit_shell.errors import BadDataError
from tap_rest.asking.placeholders import ABSENT
from tap_rest.settings.each import FromStream, is_sendable
from tap_rest.settings.stream import StreamSettings

__all__ = ["Lists", "ValueLists", "combinations", "is_listed"]

Lists = Mapping[str, Sequence[str | int]]
_MOST = 100_000


class Listed(Protocol):
    """A stream whose records give values."""

    def values_of(self, field: str) -> Iterator[Any]: ...


class ValueLists:
    """Those of one stream; ``others`` are all streams by name."""

    def __init__(self, settings: StreamSettings, others: Mapping[str, Listed]) -> None:
        self._settings, self._others = settings, others

    @cached_property
    def values(self) -> Lists:
        """The lists, by name.

        Raises:
            BadDataError: another stream has what is no value to ask by, or too many.
        """
        return {name: self._union(given) for name, given in self._settings.for_each.items()}

    def _union(self, given: Sequence[str | int | FromStream] | FromStream) -> Sequence[str | int]:
        """Return what a list has, each value once, where it comes first."""
        found: dict[str, str | int] = {}
        for one in [given] if isinstance(given, FromStream) else given:
            if isinstance(one, FromStream):
                self._add_values_of(one, found)
            else:
                found.setdefault(str(one), one)
        return [*found.values()]

    def _add_values_of(self, given: FromStream, found: dict[str, str | int]) -> None:
        is_known = lacks = False
        for value in self._others[given.stream].values_of(given.field):
            is_known, lacks = is_known or value is not ABSENT, lacks or value is ABSENT
            if value is None or value is ABSENT:
                continue
            if not isinstance(value, str | int) or isinstance(value, bool) or not is_sendable(str(value)):
                raise self._refused(given, "text on one line or a whole number", "something else")
            found.setdefault(str(value), value)
            if len(found) > _MOST:
                raise self._refused(given, f"no more than {_MOST:,} values", "more")
        if lacks and not is_known:
            raise self._refused(given, "a field of its records", "none that any of them has")

    def _refused(self, given: FromStream, expected: str, got: str) -> BadDataError:
        return BadDataError(
            f"Expected {expected} as `{given.field}` of stream {given.stream}, of which stream {self._settings.name} makes a list "
            f"(`for_each`), got {got}; name another field of it."
        )


def combinations(lists: Lists) -> Iterator[dict[str, Any]]:
    """Yield each combination of one value of each list; of no list a single one, which is empty."""
    for values in product(*lists.values()):
        yield dict(zip(lists, values, strict=True))


def is_listed(context: Mapping[str, Any], lists: Lists) -> bool:
    """Tell whether the values of a context are among those of the lists."""
    return all(str(context.get(name)) in map(str, values) for name, values in lists.items())
