"""What a run has found when it began: the row of its pipeline, and what the state in it says of the streams."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

from singerkit_state.reached import NOTHING, Reached, reached
from singerkit_state.value import digest

__all__ = ["Begun", "Noted"]

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


class Noted(NamedTuple):
    """What a commit finds: the streams that the row notes as loaded, and those whose tables hold rows."""

    loaded: frozenset[str]
    holding: frozenset[str]


@dataclass(frozen=True)
class Begun(Generic[_R]):
    """A pipeline that is held by this run. ``row`` is what its last commit, or `begin`, has left.

    ``reached`` is what the state said when the run began: of these streams the tables held rows. ``holding`` are those whose
    tables did when this run has committed.
    """

    row: _R
    reached: Reached
    accepts_gone_rows: bool = False
    holding: frozenset[str] = frozenset()
    of_others: tuple[Reached, ...] = ()
    """What the states of other shards said, whose rows are in the same tables."""

    @classmethod
    def with_row(cls, row: _R) -> Begun[_R]:
        """A run that goes on from the state in the row."""
        return cls(row, reached(row.state_text))

    def starting_over(self, *, always: bool) -> Begun[_R]:
        """The same, where no table has to hold anything; ``always``: not even what the run itself has committed."""
        of_others = () if always else self.of_others
        return Begun(replace(self.row, loaded=frozenset()), NOTHING, always, of_others=of_others)

    def beside(self, states: Iterable[str | None]) -> Begun[_R]:
        """The same beside other shards, which have these states."""
        return replace(self, of_others=tuple(map(reached, states)))

    def noted(
        self, tables: Mapping[str, _T], emptied: Set[str], look: Callable[[Collection[_T]], frozenset[str]]
    ) -> Noted:
        """Return what is to be noted at a commit; ``look`` returns the streams of those tables that hold rows.

        Tables that did at the last commit are not asked again: only a unit that removes rows (``emptied``) takes them. One that is
        empty stays noted, since its rows are gone, but where this unit has been told to remove them.
        """
        asked = {name: table for name, table in tables.items() if name not in self.holding or name in emptied}
        held = look(asked.values())
        still = (self.row.loaded or frozenset()) - (asked.keys() & emptied)
        return Noted(still | held, (self.holding - asked.keys()) | held)

    def at(self, row: _R, noted: Noted) -> Begun[_R]:
        """The same after a commit."""
        return replace(self, row=row, holding=noted.holding)

    def again(self, tables: Collection[str]) -> Begun[_R]:
        """The same where a unit is written again: of ``tables`` those must hold rows that did at the last commit.

        Not those that runs before have noted: where the state was reset, a table may have been emptied, as was advised.
        """
        if self.accepts_gone_rows:
            return self
        named = self.reached.named | (self.holding & {*tables})
        return replace(self, reached=replace(self.reached, named=named))

    def was_former(self, value: object) -> bool:
        """Whether the STATE value was committed here before."""
        return digest(value) in self.row.former

    def must_hold(self, stream: str, lists_of: str | None = None) -> bool | None:
        """Whether the table of a stream held rows when its bookmark was committed; None when nobody has noted it.

        ``lists_of``: the stream whose bookmark that is, where a table has the elements of its lists.
        """
        if any(one.names(lists_of or stream) for one in self.of_others):
            return lists_of is None or stream in (self.row.loaded or ())
        if not self.reached.names(lists_of or stream):
            return False
        if self.row.loaded is None:  # such tables are noted since there are any
            return None if lists_of is None else False
        return stream in self.row.loaded

    def should_hold(self, stream: str, lists_of: str | None = None) -> bool:
        """Whether it held rows, and nobody can tell what the state says of them; ``lists_of`` as in `must_hold`."""
        loaded = self.row.loaded
        return stream in (loaded or ()) and self.reached.names(lists_of or stream, loaded) is None
