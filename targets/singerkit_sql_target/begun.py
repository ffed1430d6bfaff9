"""What a run has found when it began: the row of its pipeline, and what the state in it says of the streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from singerkit_state.reached import NOTHING, Reached, reached
from singerkit_state.value import digest

__all__ = ["Begun", "noted", "to_be_asked"]

_T = TypeVar("_T")


class _Row(Protocol):
    """What it asks of the row of a pipeline, of whatever database."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def state_text(self) -> str | None: ...
    @property
    def former(self) -> Sequence[str]: ...
    @property
    def loaded(self) -> frozenset[str] | None: ...


_R = TypeVar("_R", bound=_Row)


@dataclass(frozen=True)
class Begun(Generic[_R]):
    """A pipeline that is held by this run. ``row`` is what its last commit, or `begin`, has left.

    ``reached`` is what the state said when the run began: of these streams the tables held rows.
    """

    row: _R
    reached: Reached
    accepts_gone_rows: bool = False

    @classmethod
    def with_row(cls, row: _R) -> Begun[_R]:
        """A run that goes on from the state in the row."""
        return cls(row, reached(row.state_text))

    def starting_over(self, *, always: bool) -> Begun[_R]:
        """The same, where no table has to hold anything; ``always``: not even what the run itself has committed."""
        return Begun(replace(self.row, loaded=frozenset()), NOTHING, always)

    def at(self, row: _R) -> Begun[_R]:
        """The same after a commit."""
        return replace(self, row=row)

    def with_rows_in(self, streams: Set[str]) -> Begun[_R]:
        """The same, where the tables of these streams must hold rows besides."""
        return replace(self, reached=replace(self.reached, named=self.reached.named | streams))

    def was_former(self, value: object) -> bool:
        """Whether the STATE value was committed here before."""
        return digest(value) in self.row.former

    def must_hold(self, stream: str) -> bool | None:
        """Whether the table of a stream held rows when its bookmark was committed; None when nobody has noted it."""
        if not self.reached.names(stream):
            return False
        return None if self.row.loaded is None else stream in self.row.loaded

    def should_hold(self, stream: str) -> bool:
        """Whether it held rows, and nobody can tell what the state says of them."""
        loaded = self.row.loaded
        return stream in (loaded or ()) and self.reached.names(stream, loaded) is None


def to_be_asked(tables: Mapping[str, _T], holding: Set[str], emptied: Set[str]) -> dict[str, _T]:
    """At a commit: the tables, by stream, of which it is not known whether they hold rows.

    Those of ``holding`` did at the last commit, and only a unit that removes rows (``emptied``) takes them.
    """
    return {name: table for name, table in tables.items() if name not in holding or name in emptied}


def noted(
    loaded: Set[str] | None, holding: Set[str], asked: Set[str], emptied: Set[str], held: Set[str]
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the streams that the row notes as loaded, and those whose tables hold rows; of ``asked`` those of ``held`` do.

    One that is empty stays noted, since its rows are gone, but where this unit has been told to remove them.
    """
    still = (loaded or frozenset()) - (asked & emptied)
    return frozenset(still | held), frozenset((holding - asked) | held)
