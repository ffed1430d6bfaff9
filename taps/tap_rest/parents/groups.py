"""Parents in groups: one request for many of them (`ids=1,2,3`), each row with what is copied of the parent that it names.

An API that takes fewer ids than it is given answers as one whose other parents have no rows. So those of a group that had none are
asked for once more, by themselves, until rows of its first and of its last parent have come in one answer of a group as large:
an API that cuts a list cuts it at an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from singerkit_shell.errors import BadDataError
from singerkit_shell.words import counted
from singerkit_tap.contract import Context
from singerkit_wire import jsonexact as exact
from tap_rest.asking.placeholders import Several, as_text
from tap_rest.parents.fields import ParentFields
from tap_rest.paths import Found, Path, column_of
from tap_rest.records.cutting import ReadPage
from tap_rest.records.withmembers import with_members
from tap_rest.settings.fields import names_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["Groups", "is_group", "members_of"]

_encoder = msgspec.json.Encoder(decimal_format="number")


class _Group(dict[str, Any]):
    """The context of several parents; ``members`` are their own, by what of them is asked by."""

    members: Mapping[str, Context]


def is_group(context: Context) -> bool:
    """Tell whether a context is that of several parents."""
    return isinstance(context, _Group)


def members_of(context: Context) -> Sequence[Context]:
    """Return the contexts of the parents that are asked for at once."""
    return tuple(context.members.values()) if isinstance(context, _Group) else (context,)


class Groups:
    """Those of one stream; where it has none, contexts and pages go through as they are."""

    def __init__(self, settings: StreamSettings, parents: ParentFields) -> None:
        self._settings, self._parents = settings, parents
        self._copies, self._fills = settings.copies, settings.parent_fields
        self._size = settings.parent.group if settings.parent and settings.parent.group else 0
        self._named = (settings.parent.group_field if settings.parent else None) or ""
        self.proven = 0
        """Of so many ids none is left out: rows of the first and of the last came."""

    def recall(self, proven: Any) -> None:
        """Take up what a former run has found out."""
        self.proven = proven if type(proven) is int else 0

    def of(self, contexts: Iterable[Context]) -> Iterator[Context]:
        """Yield the contexts in groups, those of one combination of values together."""
        if not self._size:
            yield from contexts
            return
        open_groups: dict[tuple[str, ...], dict[str, Context]] = {}
        for context in contexts:
            values = tuple(str(context.get(name)) for name in self._settings.for_each)
            members = open_groups.setdefault(values, {})
            asked = self._asked_by(context)
            if len(members) == self._size or asked in members:
                yield self._group(members)
                members = open_groups[values] = {}
            members[asked] = context
        yield from map(self._group, filter(None, open_groups.values()))

    def values(self, context: Context | None) -> dict[str, Any]:
        """Return what placeholders stand for."""
        if not isinstance(context, _Group):
            return self._parents.values(context)
        each = [self._parents.values(member) for member in context.members.values()]
        (field,) = self._fills
        name = f"parent.{field}"
        return {**each[0], name: Several(values[name] for values in each)}

    def pages(
        self, context: Context | None, ask: Callable[[Context | None], Iterator[ReadPage]]
    ) -> Iterator[ReadPage]:
        """Yield the pages that ``ask`` finds, their records with what is copied.

        Raises:
            BadDataError: a record names no parent of its group, or the API has left some of the group out.
        """
        if not isinstance(context, _Group):
            yield from ask(context)
            return
        met: set[str] = set()
        for page in ask(context):
            met |= self._give(page, context)
            if page.is_absent:
                met |= context.members.keys()
            yield page
        asked = [*context.members]
        if {asked[0], asked[-1]} <= met:
            self.proven = max(self.proven, len(asked))
        silent = {name: member for name, member in context.members.items() if name not in met}
        if met and silent and len(asked) > self.proven:
            self._see_that_they_have_none(self._group(silent), len(asked), ask)

    def _see_that_they_have_none(
        self, group: Context, size: int, ask: Callable[[Context | None], Iterator[ReadPage]]
    ) -> None:
        if any(page.records for page in ask(group)):
            raise BadDataError(
                f"Stream {self._settings.name} asked for {counted(size, 'record')} of its parent at once, and the API has left some of them out: "
                "asked for again, they have rows. Set `parent.group` to the number that it takes."
            )

    def _group(self, members: Mapping[str, Context]) -> Context:
        first = next(iter(members.values()))
        group = _Group({name: first[name] for name in self._settings.for_each})
        group["parent.group"] = [*members]
        group.members = dict(members)
        return group

    def _asked_by(self, context: Context) -> str:
        (value,) = self._parents.asked_by(context).values()
        return as_text(value, f"parent.{self._fills[0]}", self._settings.path)

    def _give(self, page: ReadPage, group: _Group) -> set[str]:
        """Give each record of a page what is copied of its parent; return which parents they name."""
        if not page.records:
            return set()
        where = f"a record of stream {self._settings.name}"
        named = [_text(found) for found in _column(names_of(self._named))(page.records, where)]
        for name in named:
            if name not in group.members:
                raise BadDataError(self._told_of_stranger(is_there=name is not None))
        copied = {name: self._members_to_add(group.members[name]) for name in {*named} if name is not None}
        own = {name: _column([name])(page.records, where) for name in self._copies}
        added = [
            [
                text
                for name, (value, text) in copied[parent or ""].items()
                if not self._is_own(name, own[name][number], value)
            ]
            for number, parent in enumerate(named)
        ]
        page.records = with_members(page.records, added)
        return {name for name in named if name is not None}

    def _members_to_add(self, context: Context) -> dict[str, tuple[Any, bytes]]:
        constants = self._parents.constants(context)
        values = {name: constants[name] for name in self._copies}
        return {
            name: (value, _encoder.encode(name) + b":" + _encoder.encode(value))
            for name, value in values.items()
        }

    def _is_own(self, name: str, own: Found, value: Any) -> bool:
        if not isinstance(own, Raw):
            return False
        if _text(own) != (None if value is None else as_text(value, name, name)):
            raise BadDataError(
                f"Stream {self._settings.name} copies `{self._copies[name]}` of its parent to `{name}`, and one of its records has a "
                f"field `{name}` of its own with another value; copy it under another name, or leave it out of `copy`."
            )
        return True

    def _told_of_stranger(self, *, is_there: bool) -> str:
        field, name = self._named, self._settings.name
        if not is_there:
            return (
                f"Expected `{field}` in every record of stream {name}, by which it finds its parent (`parent.group_field`), got a record "
                "without it; correct `parent.group_field`, or read it without `parent.group`."
            )
        return (
            f"Stream {name} was asked for by `{self._fills[0]}` of a group of parents, and one of its records names another "
            f"one in `{field}`: the API does not listen to what it is asked by, or `parent.group_field` is another field."
        )


def _column(names: Sequence[str]) -> Callable[[Sequence[Raw], str], list[Found]]:
    return column_of(Path("", tuple(names), False))


def _text(found: Found) -> str | None:
    """Return a value of a record as the request has it; None: there is none."""
    value = exact.loads(bytes(found)) if isinstance(found, Raw) else None
    return None if value is None or isinstance(value, dict | list) else as_text(value, "", "")
