"""A stream that is read once for each of several contexts: what of a parent's record tells them apart, and what they ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from singerkit_state.bookmarks import canonical_json, context_key
from singerkit_state.shards import is_of
from singerkit_tap.contract import Context
from singerkit_tap.stream import BlockStream
from singerkit_wire.encode import Record
from tap_rest.advice import advice_on_equal_parents, advice_on_parents
from tap_rest.asking.pages import Asking
from tap_rest.deletes.marks import living
from tap_rest.doubts import told_of_lacking_parents, told_of_lost_copy
from tap_rest.parents.each import ValueLists, combinations
from tap_rest.parents.fields import ParentFields
from tap_rest.parents.groups import is_group, members_of
from tap_rest.parents.upcoming import Coming
from tap_rest.schema.contract import SchemaKeeper
from tap_rest.schema.declared import DeclaredSchema
from tap_rest.settings.stream import StreamSettings
from tap_rest.windows.shards import said_of

__all__ = ["PartitionedStream"]


class PartitionedStream(BlockStream):
    """What a stream of the config answers about its contexts; one without a parent has none."""

    settings: StreamSettings
    keeper: SchemaKeeper
    asking: Asking
    coming: Coming
    lists: ValueLists
    _parents: ParentFields

    @property
    def is_partitioned(self) -> bool:
        """Whether it is read once for each of several contexts."""
        return self.parent is not None or bool(self.settings.for_each)

    @property
    def above(self) -> PartitionedStream | None:
        """The stream that it is read below."""
        return self.parent if isinstance(self.parent, PartitionedStream) else None

    def lineage(self) -> Iterator[PartitionedStream]:
        """Yield the stream and those above it, the root last."""
        yield self
        if self.above is not None:
            yield from self.above.lineage()

    def constants(self, context: Context | None) -> dict[str, Any]:
        """Return what each record of a context carries besides its own fields."""
        return self._parents.constants(context)

    def child_contexts(self, records: Sequence[Record], parent_context: Context | None) -> Iterator[Context]:
        """Yield the parent's fields that this stream needs, for each record of the parent as it is sent, and each value.

        Raises:
            BadDataError: a record lacks one of the fields.
        """
        above = self.above
        inherited, schema = (
            (above.constants(parent_context), above.keeper.schema) if above is not None else ({}, {})
        )
        lists, own = self.lists.values, self.context_fields
        keys = None if own is None else [name for name in own if name not in lists]
        if above is not None and above.settings.deletes is not None:
            records = living(records)
        for context in self._parents.contexts(records, keys, inherited, schema):
            yield from self._of_shard(
                self._parents.with_values(context, values) for values in combinations(lists)
            )

    def partitions_to_read(self) -> Iterable[Context | None]:
        """Return the values that a stream without a parent is read for."""
        if not self.settings.for_each:
            return (None,)
        return self.coming.in_turn(self._of_shard(combinations(self.lists.values)))

    @property
    def divider(self) -> PartitionedStream | None:
        """The first stream from the root on that is read once for each of several contexts: rows are of the shard that its context is of.

        This one where it is divided by spans of its replication key. None: there is none, or nothing tells its contexts apart for good.
        """
        for stream in reversed([*self.lineage()]):
            if stream.is_partitioned:
                return stream if stream.parent is None or stream.context_fields is not None else None
        return self if self.rows_move else None

    @property
    def rows_move(self) -> bool:
        """Whether spans of the replication key are the parts of the shards."""
        incremental = self.settings.incremental
        return (
            incremental is not None and incremental.shard_window is not None and self.bookmark_key is not None
        )

    @property
    def parts(self) -> str | None:
        """The grid of those spans."""
        incremental = self.settings.incremental
        return None if incremental is None or not self.rows_move else said_of(incremental, self.bookmark_kind)

    def _of_shard(self, contexts: Iterable[Context]) -> Iterator[Context]:
        """Leave the contexts of other shards out; what is read below the divider is theirs by that."""
        for context in contexts:
            if self.shard is None or is_of(self.shard, context_key(self.identity(context))):
                yield context

    def all_contexts(self) -> Iterator[Context | None]:
        """Yield the contexts that the streams above give when all of them are read anew, each once."""
        return (
            iter(self.partitions_to_read())
            if self.above is None
            else self.grouped(self._contexts_below(self.above))
        )

    def _contexts_below(self, above: PartitionedStream) -> Iterator[Context]:
        seen: set[int] = set()
        for context_above in above.all_contexts():
            for page in above.asking.pages(context_above, {}):
                for context in self.child_contexts(page.records, context_above):
                    asked = hash(canonical_json([context, self.asked_by(context)]))
                    if asked not in seen:
                        seen.add(asked)
                        yield context

    @property
    def context_fields(self) -> Collection[str] | None:
        """The parent's key, copied or not, and the values of lists: they tell contexts apart, whatever else is copied or asked by."""
        parent = self.above
        if parent is None or not parent.primary_keys or parent.accepts_duplicate_keys:
            return None
        return [*self._parents.names_of(parent.primary_keys), *self.settings.for_each]

    def former_contexts(self, context: Context) -> Iterator[Context]:
        """Yield how states know a parent that were written when its key did not tell it apart, or was not copied."""
        if self.context_fields is not None and not is_group(context):
            yield from self._parents.formers(context, self.key_of_parent)

    def former_identities(self, context: Context) -> Iterator[Context]:
        """Yield by what else rows may be told apart in a state, those of a time with or without groups among it."""
        for member in members_of(context):
            yield member
            yield from self.former_contexts(member)
        if self.parent is not None:
            yield self._values_of(context)

    def _values_of(self, context: Context) -> Context:
        """Return what the lists of a config say in a context: all that rows of a group are told apart by, as each names its parent."""
        return {name: context[name] for name in self.settings.for_each}

    def identity(self, context: Context) -> Context:
        """Return the parent's key by the names that it has there."""
        if is_group(context):
            return self._values_of(context)
        return context if self.context_fields is None else self._parents.identity(context, self.key_of_parent)

    @property
    def copied_fields(self) -> Collection[str]:
        """The fields that a context adds."""
        return {*self.settings.copies, *self.settings.for_each}

    def copied(self, context: Context) -> Mapping[str, Any]:
        """Return those that are sent, or copied further down, and say more than which parent it is; and what leads to another place below it."""
        found = self._parents.copied(context)
        counts = {*self.sent(found), *self._copied_further}
        copied = {name: value for name, value in found.items() if name in counts}
        return {**self.in_path(context), **copied}

    def in_path(self, context: Context) -> Mapping[str, Any]:
        """Return what leads to another place below the same parent."""
        return self._parents.in_path(context)

    @cached_property
    def _copied_further(self) -> set[str]:
        """The fields of its records that streams below copy."""
        below = [child for child in self.children if isinstance(child, PartitionedStream)]
        fields = {field for child in below for field in child.settings.copies.values()}
        return fields | {field.split(".")[0] for field in fields}

    def doubts_of_parents(self) -> Iterator[str]:
        """Name what no record of the parent had, which may be mistyped, and by what some were passed over."""
        parent, records = self.above, self._parents.records
        if parent is None:
            return
        unknown = records.unknown(parent.keeper.schema)
        for field in unknown:
            fills = field in self.settings.parent_fields
            names = [name for name, copied in self.settings.copies.items() if copied == field and not fills]
            yield told_of_lost_copy(self.name, parent.name, field, names, self.way_to_start_over)
        for field in sorted(records.passed_over.difference(unknown)):
            yield told_of_lacking_parents(self.name, parent.name, field)

    def remembered(self, context: Context) -> Mapping[str, Any]:
        """Return all that is taken of the parent."""
        return self._parents.taken(context)

    def recalled(self, kept: Mapping[str, Any]) -> Context | None:
        """Return the context that was kept, unless the config takes other fields of the parent by now."""
        return self._parents.again(kept, self.context_fields, self.lists.values)

    @property
    def way_to_all_parents(self) -> str:
        """The setting that asks for all parents."""
        return 'With `"read": "all"` in `parent` each run does.'

    def asked_by(self, context: Context) -> Mapping[str, Any]:
        """Return the fields of the parent that fill the request."""
        return dict(context) if is_group(context) else self._parents.asked_by(context)

    def grouped(self, contexts: Iterable[Context]) -> Iterator[Context]:
        """Yield the contexts of as many parents together as are asked for at once."""
        return self.coming.in_turn(self.asking.groups.of(contexts))

    def members_of(self, context: Context) -> Sequence[Context]:
        """Return the contexts of the parents in a group."""
        return members_of(context)

    def advice_on_changing_fields(self) -> str:
        """Return what to do about a field that has another value in each answer; one of the parent's tells parents apart, too."""
        way, settings = super().advice_on_changing_fields(), self.settings
        by_key = self.advice_on_new_partitions()
        if by_key is None:
            return way
        fields = dict.fromkeys([*settings.parent_fields, *settings.copies.values()])
        shown = " or ".join(f"`{field}`" for field in fields if field not in self.key_of_parent)
        return f"{way}; if it is {shown} of the parent, {by_key}" if shown else way

    def advice_on_new_partitions(self) -> str | None:
        """Return the lines of the config by which parents are told apart by their key."""
        if self.context_fields is not None:
            return None
        return advice_on_parents(self.settings, self.key_of_parent)

    @property
    def advice_on_many_partitions(self) -> str:
        """The setting, and the way without it."""
        key = (
            ""
            if self.primary_keys
            else f", or give the stream `primary_keys` and start it over with {self.way_to_start_over}"
        )
        return f"{self.advice.more_partitions}{key}"

    def advice_on_equal_partitions(self) -> str:
        """Return the lines of the config by which parents of one key are told apart."""
        return advice_on_equal_parents(self.settings)

    @property
    def key_of_parent(self) -> Sequence[str]:
        return self.parent.primary_keys if self.parent is not None else ()

    def sent(self, names: Iterable[str]) -> list[str]:
        """Return those of ``names`` that records carry: a schema that is inferred will come to know all of them."""
        known = self.effective_schema.get("properties")
        if known is None:
            return list(names)
        is_declared = isinstance(self.keeper, DeclaredSchema)
        return [
            name for name in names if (self.mask[("properties", name)] if name in known else not is_declared)
        ]
