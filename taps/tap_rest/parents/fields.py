"""What a child stream takes from the records of its parent: what tells them apart, what is copied, what fills its request."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_tap.contract import Context
from singerkit_wire.encode import Record
from tap_rest.parents.each import Lists, is_listed
from tap_rest.parents.records import ParentRecords
from tap_rest.schema.contract import SchemaKeeper
from tap_rest.schema.declared import DeclaredSchema
from tap_rest.settings.each import EACH
from tap_rest.settings.parent import fields_of_parent
from tap_rest.settings.stream import StreamSettings

__all__ = ["ParentFields", "refuse_key_of_several_parents", "refuse_lost_copies"]

_PATH_ONLY = "parent."  # prefix of context keys that no record gets, because no property has such a name


class _ParentContext(dict[str, Any]):
    """What tells a parent apart, and ``beside`` it what else is known of it: a URL that is signed is another one each time."""

    beside: Mapping[str, Any] = MappingProxyType({})


def _all_of(context: Context | None) -> dict[str, Any]:
    beside = context.beside if isinstance(context, _ParentContext) else {}
    return {**(context or {}), **beside}


class ParentFields:
    """The fields of the parent that one stream takes; of a stream without a parent there are none."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._copies, self._fills = settings.copies, settings.parent_fields
        self.records = ParentRecords(settings)
        path = settings.path.partition("?")[0]
        names = {field: name for name, field in self._wanted().items()}
        self._in_path = [] if path.startswith("{") else [names[field] for field in fields_of_parent(path)]

    def names_of(self, keys: Sequence[str]) -> list[str]:
        """Return the names that the fields of the parent's key have in a context: those of their copies, where they have one."""
        copies = {field: name for name, field in self._copies.items()}
        return [copies.get(key, _PATH_ONLY + key) for key in keys]

    def contexts(
        self,
        records: Sequence[Record],
        own: Collection[str] | None,
        inherited: Mapping[str, Any],
        schema: Mapping[str, Any],
    ) -> Iterator[Context]:
        """Yield the context of each record of the parent, told apart by ``own`` alone (`names_of`), None: by all that is taken.

        So is one of which ``own`` has a null: that is the key of no parent. ``inherited`` and ``schema``: see `ParentRecords.taken`.

        Raises:
            BadDataError: a record lacks what it needs, or no record has what fills the request.
        """
        wanted = self._wanted()
        needed = {*(own or ()), *self._settings.primary_keys}
        # A key that is taken for nothing else may be missing: then it tells no parent apart.
        keys = {name: name.removeprefix(_PATH_ONLY) for name in own or () if name not in wanted}
        for found in self.records.taken(records, inherited, wanted, keys, needed, schema):
            yield self._context_of(found, own)

    def taken(self, context: Context) -> dict[str, Any]:
        """Return all that a context holds of its parent."""
        return _all_of(context)

    def again(self, taken: Mapping[str, Any], own: Collection[str] | None, lists: Lists) -> Context | None:
        """Return the context of which ``taken`` is all; None: other fields are taken by now, or its values are not in the ``lists``."""
        wanted, keys = self._wanted().keys() | lists.keys(), {*(own or ())} - lists.keys()
        if taken.keys() not in (wanted, wanted | keys) or not is_listed(taken, lists):
            return None
        found = {name: value for name, value in taken.items() if name not in lists}
        context = self._context_of(found, None if own is None else keys)
        return self.with_values(context, {name: taken[name] for name in lists})

    def with_values(self, context: Context, values: Mapping[str, Any]) -> Context:
        """Return a context with the ``values`` that the stream is read for, which tell it apart, too."""
        if not values:
            return context
        whole = _ParentContext({**context, **values})
        whole.beside = context.beside if isinstance(context, _ParentContext) else {}
        return whole

    def formers(self, context: Context, keys: Sequence[str]) -> Iterator[Context]:
        """Yield the contexts that this parent has where its key is not known, or known and not copied; ``keys`` are its fields."""
        taken, wanted = _all_of(context), self._wanted().keys() | self._settings.for_each.keys()
        yield {name: value for name, value in taken.items() if name in wanted}
        yield self.identity(context, keys)

    def identity(self, context: Context, keys: Sequence[str]) -> Context:
        """Return a context whose names are those of the parent's key, whatever its fields are copied as."""
        names = dict(zip(keys, self.names_of(keys), strict=True))
        if not all(name in context for name in names.values()):
            return context
        by_key = {_PATH_ONLY + key: context[name] for key, name in names.items()}
        return by_key | {name: context[name] for name in self._settings.for_each}

    def copied(self, context: Context) -> dict[str, Any]:
        """Return what is copied to each record and does not tell the parent apart."""
        return {name: value for name, value in self.constants(context).items() if name not in context}

    def in_path(self, context: Context) -> dict[str, Any]:
        """Return what of the parent stands in the path and does not tell it apart: where it changes, other rows are below.

        Of a path that begins with a field nothing: it is a URL, and one that is signed is another one each time.
        """
        taken = _all_of(context) if self._in_path else {}
        return {name: taken[name] for name in self._in_path if name in taken and name not in context}

    def _wanted(self) -> dict[str, str]:
        """Return the fields of the parent by the name that they have in a context."""
        copies = self._copies
        only = [field for field in self._fills if field not in copies.values()]
        return {**copies, **{_PATH_ONLY + field: field for field in only}}

    def _context_of(self, found: dict[str, Any], own: Collection[str] | None) -> Context:
        has_key = own is not None and all(found.get(name) is not None for name in own)
        if not has_key:
            found = {name: found[name] for name in self._wanted()}
        context = _ParentContext((name, found.pop(name)) for name in (own if own and has_key else [*found]))
        context.beside = found
        return context

    def constants(self, context: Context | None) -> dict[str, Any]:
        """Return what is copied to each record."""
        return {key: value for key, value in _all_of(context).items() if not key.startswith(_PATH_ONLY)}

    def asked_by(self, context: Context) -> dict[str, Any]:
        """Return the fields that fill the request."""
        values = self._values(context)
        return {field: values[field] for field in self._fills}

    def values(self, context: Context | None) -> dict[str, Any]:
        """Return what placeholders stand for: the fields that fill the request as `parent.field`, values of lists as `each.name`."""
        found = {} if context is None else self._values(context)
        values = {EACH + name: context[name] for name in self._settings.for_each} if context else {}
        return {_PATH_ONLY + field: value for field, value in found.items()} | values

    def _values(self, context: Context) -> dict[str, Any]:
        """Return the parent's fields by name: a context holds them by the name they have in the child."""
        known = _all_of(context)
        copied = {parent: known[child] for child, parent in self._copies.items() if child in known}
        only = {
            key.removeprefix(_PATH_ONLY): value for key, value in known.items() if key.startswith(_PATH_ONLY)
        }
        return {**copied, **only}


def refuse_key_of_several_parents(settings: StreamSettings) -> None:
    """See that a row which moves from one parent to another does not stay where it was, or go where it is.

    Raises:
        ConfigurationError: nothing in the key tells below which parent a row is, and the stream does not always give all rows.
    """
    around, keys = {*settings.copies, *settings.for_each}, {*settings.primary_keys}
    if not around or not keys or not around.isdisjoint(keys):
        return
    names = " or ".join(f"`{name}`" for name in sorted(around))
    way = f"add {names} to them, or take it out"
    if settings.conditional:
        raise ConfigurationError(
            f"`conditional` of stream {settings.name} needs {names} among its `primary_keys`: of a row below two parents the last one counts, and stays for "
            f"good where the other has not changed (304); {way}."
        )
    if settings.deletes is not None:
        raise ConfigurationError(
            f"`deletes` of stream {settings.name} needs {names} among its `primary_keys`: a row that moves to another parent is told of as gone below the former "
            f"one, and would go from the target; {way}."
        )


def refuse_lost_copies(settings: StreamSettings, keeper: SchemaKeeper) -> None:
    """See that a declared schema names what `copy` adds; it would not be sent otherwise.

    Raises:
        ConfigurationError: it does not.
    """
    known = keeper.schema.get("properties") if isinstance(keeper, DeclaredSchema) else None
    copies = {
        "parent.copy": (settings.parent.copy if settings.parent is not None else None) or {},
        "explode.copy": settings.explode.copy if settings.explode is not None else {},
    }
    for setting, copy in copies.items():
        lost = [name for name in copy if known and name not in known]
        if lost:
            raise ConfigurationError(
                f"`{setting}` of stream `{settings.name}` adds `{lost[0]}`, which its `schema` does not name, so it would not "
                "be sent; add it to the properties of `schema`, or take it out of `copy`."
            )
