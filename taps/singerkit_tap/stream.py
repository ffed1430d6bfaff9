"""The stream a connector subclasses: singer-sdk's `Stream` outside, pages and blocks inside.

singer-sdk asks a stream for schema, keys, catalog entry and selection; `singerkit_tap.sync` asks it for pages.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from logging import Logger
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from singer_sdk.helpers._catalog import get_selected_schema
from singer_sdk.singerlib import Catalog, MetadataMapping, SelectionMask
from singer_sdk.streams.core import Stream

from singerkit_catalog.discovery import FULL_TABLE, INCREMENTAL, LOG_BASED, catalog_entry, stream_metadata
from singerkit_catalog.schema import resolve_refs
from singerkit_catalog.selection import normalised_catalog
from singerkit_shell.errors import ConfigurationError, SingerkitError
from singerkit_state.bookmarks import SEEN_LIMIT
from singerkit_state.instants import zone_named
from singerkit_state.order import ValueKind
from singerkit_state.readas import ReadAs, kind_of
from singerkit_state.shards import Shard
from singerkit_state.tracker import Signpost
from singerkit_tap.advice import Advice
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.ways import go_on, start_over
from singerkit_wire.encode import Record, RecordEncoder
from singerkit_wire.output import Output
from singerkit_wire.stream import DELETED_AT

if TYPE_CHECKING:
    from singer_sdk import Tap

__all__ = ["BlockStream", "Owner", "Run"]


class Run(Protocol):
    """What a stream calls on the run over all streams (`singerkit_tap.sync.SyncRun`)."""

    def announce(self, stream: BlockStream) -> None: ...

    def read_one(self, stream: BlockStream, context: Context | None = None) -> None: ...

    def renew_schema(self, stream: BlockStream) -> None: ...

    def warn(self, stream: BlockStream, sentence: str) -> None: ...


class Owner(Protocol):
    """What a stream knows of its tap (`singerkit_tap.shell.SingerkitTap`)."""

    @property
    def logger(self) -> Logger: ...
    @property
    def pipeline(self) -> str: ...
    @property
    def state_location(self) -> str | None: ...
    @property
    def input_entries(self) -> Mapping[str, dict[str, Any]]: ...
    @property
    def start_state(self) -> dict[str, Any]: ...
    @property
    def block_streams(self) -> list[BlockStream]: ...
    @property
    def output(self) -> Output: ...
    @property
    def sync_run(self) -> Run: ...


class BlockStream(Stream):
    """One thing to read. See `singerkit_tap.contract` for the arguments and for what a subclass implements.

    Raises (constructor):
        ConfigurationError: a key or the replication key is not in the schema, or a ``$ref`` cannot be resolved.
    """

    def __init__(
        self,
        tap: Owner,
        name: str,
        schema: Mapping[str, Any],
        *,
        key_properties: Sequence[str] = (),
        replication_key: str | None = None,
        is_sorted: bool = False,
        in_parts: bool = False,
        parent: BlockStream | None = None,
        lookback: int | Decimal = 0,
        signpost: Signpost = Signpost.AUTO,
        follows_key: bool = False,
        memory_rows: int = SEEN_LIMIT,
        partition_limit: int | None = None,
        partition_bookmarks: bool = True,
        keeps_older_rows: bool = False,
        reads_all_parents: bool = False,
        selected_by_default: bool = True,
        replication_key_format: str | None = None,
        time_zone: str | None = None,
        start_date: str | None = None,
        sends_partial_records: bool = False,
        start_setting: str | None = None,
        accepts_duplicate_keys: bool = False,
        valid_replication_keys: Sequence[str] = (),
        is_key_unique: bool = False,
        sends_versions: bool = False,
        replication_methods: Sequence[str] = (),
        tells_deletions: bool = False,
        sweeps_every: int | None = None,
    ) -> None:
        super().__init__(
            cast("Tap", tap), resolve_refs(schema, f"stream `{name}`") or {"type": "object"}, name
        )
        self.tap = tap
        self.primary_keys = tuple(key_properties)
        self.replication_key = replication_key
        self.parent = parent
        self.lookback = lookback
        self.signpost = signpost
        self.follows_key = follows_key
        self.memory_rows = memory_rows
        self.partition_limit = partition_limit
        self.partition_bookmarks = partition_bookmarks
        self.keeps_older_rows = keeps_older_rows
        self.ignore_parent_replication_key = reads_all_parents
        self.selected_by_default = selected_by_default
        self.rows_asked_again = 0
        """Rows that came twice since they were asked for twice."""
        self._sends_partial_records = sends_partial_records
        self.start_setting = start_setting
        self.start_date = start_date
        self.accepts_duplicate_keys = accepts_duplicate_keys
        self.is_key_unique = is_key_unique
        self.sends_versions = sends_versions
        self.shard: Shard | None = None
        """The part of the rows that is read; None: all."""
        self.tells_deletions = tells_deletions
        self.sweeps_every = sweeps_every
        """Seconds after which a stream with a replication key is read as a whole again; None: never."""
        self._own_keys = tuple(key_properties)
        self._valid_replication_keys = tuple(
            dict.fromkeys([*filter(None, [replication_key]), *valid_replication_keys])
        )
        self._is_sorted = is_sorted or in_parts
        self.in_parts = in_parts and not is_sorted
        self._own_replication_key = replication_key
        self._methods = tuple(replication_methods)
        if self._methods:
            self._set_replication(self._methods[0], replication_key)
        self._zone = None if time_zone is None else zone_named(time_zone)
        self._told_kind = (
            None if replication_key_format is None else ValueKind.named(replication_key_format, self._zone)
        )
        self._check_keys()
        if parent is not None:
            parent.child_streams.append(self)

    def _check_keys(self) -> None:
        known = self.effective_schema.get("properties")
        if known is None:
            return
        keys = {"primary": self.primary_keys, "replication": filter(None, [self.replication_key])}
        for kind, names in keys.items():
            missing = [name for name in names if name not in known]
            if missing:
                raise ConfigurationError(
                    f"The {kind} key `{missing[0]}` of stream `{self.name}` {self.why_no_key(missing[0])}."
                )

    def why_no_key(self, name: str) -> str:  # noqa: ARG002  for subclasses
        """Return what is wrong with a key that the schema does not have, and what to do, as the end of a sentence."""
        return "is not a property of its schema; correct the key or add the property"

    # What a connector implements

    @property
    def divider(self) -> BlockStream | None:
        """The stream at which rows are divided into shards: this one, or one above it; None: one shard reads all of them.

        Where its ``shard`` is set, it reads the part of that alone, and all shards together each row once, whatever comes meanwhile.
        """
        return None

    is_divided_by_key = True
    """Whether it is the primary key that tells of which shard a row is."""

    @property
    def parts(self) -> str | None:
        """What the parts of the shards follow from besides the names of the key, in words that stand behind "cut by"; another answer makes other parts. None: nothing."""
        return None

    @property
    def rows_move(self) -> bool:
        """Whether a row may be of another shard when it changes, so that two shards may have versions of it in hand."""
        return False

    @property
    def names_at_source(self) -> Collection[str] | None:
        """The names of all streams that the source has, chosen or not; None: the config names them."""
        return None

    advice: ClassVar[Advice] = Advice()
    """What a user can set, in the words of the tap's config."""

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        """See `singerkit_tap.contract.StreamContract.read_pages`."""
        raise NotImplementedError(f"{type(self).__name__} has to implement read_pages")

    def child_contexts(self, records: Sequence[Record], parent_context: Context | None) -> Iterable[Context]:
        """See `singerkit_tap.contract.StreamContract.child_contexts`."""
        raise NotImplementedError(f"{type(self).__name__} has to implement child_contexts")

    def partitions_to_read(self) -> Iterable[Context | None]:
        """See `singerkit_tap.contract.StreamContract.partitions_to_read`."""
        return (None,)

    def pages_again(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  of the contract
        """Yield pages that have been read before, only to look at them; none where the source is not asked again."""
        return iter(())

    def advice_on_moved_rows(self) -> str | None:
        """Return what to do about rows that come twice since they move between pages; None: that is not known to happen."""
        return None

    def advice_on_order(self) -> str:
        """Return what to do where the pages of a stream that is declared sorted are not."""
        return "declare the stream unsorted"

    def advice_on_keys(
        self,
        field: str | None,
        *,
        alone: bool = False,  # noqa: ARG002  for subclasses
        below_parents: bool = False,  # noqa: ARG002  for subclasses
    ) -> str:
        """Return what to do about a key that is not unique.

        ``field`` makes it so, as far as one answer tells, and would be unique ``alone``; where the key is unique
        ``below_parents``, a field of theirs does.
        """
        return f"add `{field}` to the key" if field else "choose another key"

    def advice_on_changing_fields(self) -> str:
        """Return what to do where a selected field has another value in each answer, and no key tells the rows apart."""
        return "do not select it, or give the stream a key"

    @property
    def context_fields(self) -> Collection[str] | None:
        """The fields of a context, where a state may hold contexts with more of them; None: all that it has."""
        return None

    def remembered(self, context: Context) -> Mapping[str, Any]:
        """Return what a state holds of a context, from which `recalled` makes it again."""
        return context

    def recalled(self, kept: Mapping[str, Any]) -> Context | None:
        """Return a context that a state holds; None: it is none of this config."""
        return kept

    @property
    def way_to_all_parents(self) -> str:
        """How the stream is read for all parents in each run, as a sentence; empty where there is no setting for it."""
        return ""

    def former_contexts(self, context: Context) -> Iterable[Context]:  # noqa: ARG002  for subclasses
        """Return other contexts by which a state may know this partition."""
        return ()

    def identity(self, context: Context) -> Context:
        """Return what a partition is told apart by where its rows have no key, whatever the config calls it."""
        return context

    def former_identities(self, context: Context) -> Iterable[Context]:
        """Return other contexts by which a state may tell rows of this partition apart; see `identity`."""
        return (context, *self.former_contexts(context))

    @property
    def copied_fields(self) -> Collection[str]:
        """The fields that the rows of a child have of the record that it is read for."""
        return ()

    def doubts_of_parents(self) -> Iterable[str]:
        """Return what the parents of a run that has come to its end say against what is taken of them."""
        return ()

    def copied(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002  for subclasses
        """Return what the rows of a child carry of that record besides what tells it apart: they are wrong when that changes."""
        return {}

    def grouped(self, contexts: Iterable[Context]) -> Iterable[Context]:
        """Return the contexts by which it is read for those of a page of its parent: one may stand for several (`members_of`)."""
        return contexts

    def members_of(self, context: Context) -> Iterable[Context]:
        """Return the contexts that one stands for."""
        return (context,)

    def asked_by(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002  a context may be all there is
        """Return what a partition is asked for by, where that may be more than its context, which tells it apart."""
        return {}

    @property
    def advice_on_many_partitions(self) -> str:
        """What to do where there are more partitions than bookmarks are kept for."""
        return "give the stream a key"

    def advice_on_equal_partitions(self) -> str:
        """Return what to do where two partitions of one run have the same context, and are asked for by something else."""
        return "tell its partitions apart by more"

    def advice_on_new_partitions(self) -> str | None:
        """Return what tells partitions apart by what stays, where no other of a run is one that the state knows; None: it is so."""
        return None

    def recall(self, former: ReadAs) -> None:
        """See `singerkit_tap.contract.StreamContract.recall`."""

    def asks_of(self) -> Mapping[str, Any]:
        """See `singerkit_tap.contract.StreamContract.asks_of`."""
        return {}

    @property
    def adds(self) -> Collection[str]:
        """See `singerkit_tap.contract.StreamContract.adds`."""
        return ()

    @property
    def inferred_fields(self) -> Iterable[str]:
        """The fields whose types are only what records have shown so far: a target may change their columns where others come."""
        return ()

    # What the engine asks

    @property
    def is_log_based(self) -> bool:
        """Whether the tap's log is read for it (`singerkit_tap.log_contract`), and not `read_pages`."""
        return self.replication_method == LOG_BASED

    @property
    def sends_partial_records(self) -> bool:
        """Whether what a record leaves out is not known, so that what is stored stays."""
        return self._sends_partial_records or self.is_log_based

    @property
    def is_sorted(self) -> bool:
        return self._is_sorted

    @property
    def bookmark_key(self) -> str | None:
        """The replication key when the stream is read incrementally, else None."""
        return self.replication_key if self.replication_method == INCREMENTAL else None

    @property
    def bookmark_kind(self) -> ValueKind:
        """How values of the replication key compare."""
        if self._told_kind is not None:
            return self._told_kind
        properties = self.effective_schema.get("properties") or {}
        return ValueKind.of_schema(properties.get(self.replication_key) or {}, self._zone)

    def encoder(self, *, whole: bool = False, without: Collection[str] = ()) -> RecordEncoder:
        """Return what reads and writes the records as they are sent, or ``whole`` for those that are not; ``without`` fields."""
        key = self.bookmark_key
        times = (key,) if key is not None and self.bookmark_kind.name in ("INSTANT", "ANY") else ()
        if whole:
            return RecordEncoder(self.name, {}, SelectionMask(), times=times)
        schema, mask = self.effective_schema, self.mask
        if self._marks_deletions and "properties" in schema:
            schema, mask = _with_deletions(schema, self.primary_keys), SelectionMask(mask)
            mask["properties", DELETED_AT] = True
        if without:
            mask = SelectionMask(mask)
            mask.update({("properties", name): False for name in without})
        return RecordEncoder(
            self.name,
            schema,
            mask,
            partial=self.sends_partial_records,
            times=times,
            tells_deletions=self.tells_deletions,
        )

    @property
    def _marks_deletions(self) -> bool:
        return self.is_log_based or self.tells_deletions

    def fate_of_nulls(self) -> str:
        """Return what becomes, in later runs, of rows without a replication key; it completes "what has none was sent, and"."""
        return "will not be found by later runs"

    @property
    def way_to_start_over(self) -> str:
        """The command by which somebody has this stream read from the beginning, to be shown."""
        return self.way_to_start_over_of(self.name)

    def way_to_start_over_of(self, stream: str) -> str:
        """The same for another stream of the state."""
        return start_over(self.tap.state_location, self.tap.pipeline, stream)

    @property
    def way_to_go_on(self) -> str:
        """The command that mends a state file, as a part of a sentence; empty where there is none."""
        return go_on(self.tap.state_location, self.tap.pipeline)

    asks_onward = False
    """Whether a run asks for what comes after the one before by what the source said then (`Page.continuation`)."""

    goes_on_by_position = False
    """Whether each run goes on where the one before has come to, as its last safe `Page.position` says (`singerkit_tap.position`)."""

    def has_read(self, position: Any) -> bool:
        """Tell whether rows were sent by the position of a state, where it `goes_on_by_position`."""
        return bool(position)

    reads_parent_records = True
    """Whether a child wants the records of its parent in `child_contexts`, and not only to be asked after each page of it."""

    unreadable: SingerkitError | None = None
    """Why the stream cannot be read in this run, though others can: its schema could not be found, say."""

    def is_own_failure(self, error: SingerkitError) -> bool:  # noqa: ARG002  for subclasses
        """Tell whether an error is one of this stream alone, so that others are read all the same (`singerkit_tap.failing`)."""
        return False

    doubts_small_loads = False
    """Whether a full load that is much smaller than the one before is no proof, by itself, that the other rows are gone."""

    def doubt_of_load(self, *, was_warned: bool) -> str | None:  # noqa: ARG002  for subclasses
        """Return why the full load that has just been read may lack rows of the source; None: all of them have come.

        Asked at the end of a load that sends versions, of the stream and of those above it; a doubt leaves ACTIVATE_VERSION
        out. ``was_warned``: the engine has warned of the stream in this run.
        """
        return None

    def doubt_of_rows(self, remembered: int) -> str | None:  # noqa: ARG002  for subclasses
        """Return what may be wrong where none of the rows that the state remembers came, in whatever version; None: nothing.

        Asked at the end of an incremental read; ``remembered``: how many these are.
        """
        return None

    def read_again(self) -> Iterator[tuple[Context, Page]]:
        """Yield the rows of a full load below parents that its first read has missed, each page with its parent's context.

        Asked once all parents have been read, of a stream that sends versions.
        """
        return iter(())

    def can_resume(self, position: Any) -> bool:  # noqa: ARG002  for subclasses
        """Tell whether a full load that was cut off can go on from ``position``, a `Page.position` of a former run."""
        return False

    def order_problem(self) -> str | None:
        """Return why the bookmark cannot be asked for, a sentence without a full stop; None: it can."""
        return None

    @property
    def is_partitioned(self) -> bool:
        """Whether it is read once for each of several contexts; a stream that has `partitions_to_read` of its own says so."""
        return self.parent is not None

    @property
    def sees_all_parents(self) -> bool:
        """Whether each run reads it below all records of the streams above it, those that have not changed, too."""
        parent = self.parent
        if parent is None:
            return True
        goes_on = parent.bookmark_key is not None or parent.is_log_based
        return parent.sees_all_parents and (self.ignore_parent_replication_key or not goes_on)

    @property
    def selected_schema(self) -> dict[str, Any]:
        """The schema as SCHEMA carries it: selected properties only."""
        schema = get_selected_schema(self.name, self.effective_schema, self.mask)
        return _with_deletions(schema, self.primary_keys) if self._marks_deletions else schema

    @property
    def kinds(self) -> dict[str, str]:
        """The fields that are sent, with their kinds; none: records are sent whole."""
        properties = self.effective_schema.get("properties") or {}
        return {name: kind_of(prop) for name, prop in properties.items() if self.mask["properties", name]}

    @property
    def children(self) -> list[BlockStream]:
        return [child for child in self.child_streams if isinstance(child, BlockStream)]

    # Catalog

    @property
    def own_catalog_entry(self) -> dict[str, Any]:
        """What --discover prints of this stream, before any selection."""
        return catalog_entry(self.name, self.schema, **self._catalog_facts())

    def _catalog_facts(self) -> dict[str, Any]:
        return {
            "key_properties": self.primary_keys,
            "replication_key": self._own_replication_key,
            "valid_replication_keys": self._valid_replication_keys,
            "replication_method": self._methods[0] if self._methods else None,
            "is_method_forced": self.is_method_forced,
            "selected_by_default": self.selected_by_default,
            "table_metadata": self.table_metadata,
            "property_metadata": self.property_metadata,
        }

    @property
    def table_metadata(self) -> Mapping[str, Any]:
        """What a database adds to the stream's metadata: ``schema-name``, ``is-view``, ``row-count``."""
        return {}

    @property
    def property_metadata(self) -> Mapping[str, Mapping[str, Any]]:
        """What is added to the metadata of the properties: of a database ``sql-datatype``, and that a mark of deleted rows is always sent."""
        return {DELETED_AT: {"inclusion": "automatic"}} if self.tells_deletions else {}

    @property
    def metadata(self) -> MetadataMapping:
        if self._metadata is None:
            entry = self._input_entry()
            if entry is not None:
                self._metadata = _complete(MetadataMapping.from_iterable(entry["metadata"]), self)
            else:
                own = stream_metadata(self.schema, **self._catalog_facts())
                self._metadata = MetadataMapping.from_iterable(own)
                if self._tap_input_catalog is not None:
                    self._metadata.root.selected = False
        return self._metadata

    def _input_entry(self) -> dict[str, Any] | None:
        return self.tap.input_entries.get(self.tap_stream_id)

    def apply_catalog(self, catalog: Catalog) -> None:
        """Take schema, keys, replication and selection from a catalog.

        Raises:
            ConfigurationError: the catalog asks for a replication that this stream cannot do.
        """
        self._tap_input_catalog = catalog
        self._metadata = self._mask = None
        entry = self._input_entry()
        if entry is None:
            return
        root = root_metadata(entry)
        if entry["schema"]:
            chosen = resolve_refs(entry["schema"], f"stream `{self.name}` in the catalog")
            self._input_schema = self.with_catalog(chosen)
        self._choose_keys(
            entry.get("key_properties"), root.get("table-key-properties"), root.get("view-key-properties")
        )
        own = self._catalog_facts()
        own_method = own["replication_method"] or (INCREMENTAL if own["replication_key"] else FULL_TABLE)
        method = self._chosen_of(entry, root, "replication_method", own_method)
        method = method or root.get("forced-replication-method") or None
        named = self._own_replication_key
        if method in (None, INCREMENTAL):
            named = self._chosen_of(entry, root, "replication_key", named) or named
        self._set_replication(method, named)
        self._check_keys()
        self._tell_of_idle_key(entry.get("replication_key"), root.get("replication-key"))

    def _chosen_of(
        self, entry: Mapping[str, Any], root: Mapping[str, Any], name: str, own: str | None
    ) -> str | None:
        """Return what a catalog says at one of the two places where it may.

        Who edits one of them leaves the other as --discover wrote it, which is as the stream is by itself.
        """
        in_metadata = name.replace("_", "-")
        beside, within = entry.get(name) or None, root.get(in_metadata) or None
        if beside is None or within is None or beside == within:
            return within or beside
        if within != own and beside in (own, FULL_TABLE):
            return str(within)
        if within == own and own in (None, FULL_TABLE):
            return str(beside)
        raise ConfigurationError(
            f"The catalog says two things of stream `{self.name}`: `{beside}` at `{name}`, and `{within}` at `{in_metadata}` "
            "in its metadata; make both the same."
        )

    def _tell_of_idle_key(self, *named: Any) -> None:
        idle = [key for key in named if key and key != self._own_replication_key]
        if idle and self.replication_method == FULL_TABLE:
            self.logger.warning(
                "The catalog names the replication key `%s` of stream `%s`, which is read as a whole: to have it read by that key, "
                "set its replication method to %s in the catalog.",
                str(idle[0])[:60],
                self.name,
                INCREMENTAL,
            )

    def _choose_keys(self, *named: Any) -> None:
        """Take the primary key from the places where a catalog names one; who edits one of them leaves the others as they were."""
        given = [tuple(map(str, keys)) for keys in named if isinstance(keys, list | tuple)]
        chosen = [keys for keys in given if keys != self._own_keys]
        if len({*chosen}) > 1:
            raise ConfigurationError(
                f"The catalog names two primary keys of stream `{self.name}`, {_keys(chosen[0])} and {_keys(chosen[1])}; make "
                "`key_properties` and `table-key-properties` (`view-key-properties`) the same."
            )
        if given:
            self.primary_keys = chosen[0] if chosen else self._own_keys
        self.is_key_unique = self.is_key_unique and self.primary_keys == self._own_keys

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema to use where a catalog has ``schema``."""
        return schema

    def take_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with another schema of the stream's own: what was found out since it was made."""
        self._schema = dict(schema)

    def grow_schema(self, schema: Mapping[str, Any]) -> None:
        """Go on with a schema that has more fields, in the place of the catalog's, too; what was selected before stays so."""
        before = self._metadata or MetadataMapping()
        self.take_schema(schema)
        if self._input_schema is not None:
            self._input_schema = self._schema
        self._metadata = self._mask = None
        for breadcrumb, values in before.items():
            if breadcrumb in self.metadata:
                self.metadata[breadcrumb].selected = values.selected

    def _set_replication(self, method: str | None, key: str | None) -> None:
        can = self._methods
        if method is None and can:
            method = can[0]
        if can and method not in can:
            raise ConfigurationError(self._cannot(str(method)))
        self.forced_replication_method = LOG_BASED if can and method == LOG_BASED else None
        if method == FULL_TABLE or self.is_log_based:
            self.replication_key = None
        elif method in (None, INCREMENTAL):
            if (method and key is None) or not (key is None or self.can_go_on_by(key)):
                raise ConfigurationError(self._cannot(f"{method} by `{key}`" if key else str(method)))
            self.replication_key = key
        else:
            raise ConfigurationError(self._cannot(method))

    @property
    def is_method_forced(self) -> bool:
        """Whether the stream can be read in one way only."""
        return len(self._methods) == 1 or not (self._methods or self._valid_replication_keys)

    def can_go_on_by(self, key: str) -> bool:
        """Tell whether the stream can be read incrementally by ``key``, which a catalog names."""
        return key in self._valid_replication_keys

    def _cannot(self, wish: str) -> str:
        valid = " or ".join(f"`{key}`" for key in self._valid_replication_keys)
        can = f"{FULL_TABLE} and {INCREMENTAL} by {valid}" if valid else FULL_TABLE
        if self._methods:
            can = " and ".join(f"{m} by {valid}" if m == INCREMENTAL else m for m in self._methods)
        return (
            f"The catalog asks for {wish} of stream `{self.name}`, which can do {can}; correct the catalog."
        )

    # singer-sdk's way in: its standard tests and --test call stream.sync()

    def _write_schema_message(self) -> None:
        self.tap.sync_run.announce(self)
        self.tap.output.flush()

    def _sync_records(  # type: ignore[override]
        self,
        context: Context | None = None,
        *,
        write_messages: bool = True,  # noqa: ARG002  always true here: no BATCH
    ) -> Iterator[dict[str, Any]]:
        self.tap.sync_run.read_one(self, context)
        return iter(())

    def get_records(self, context: Context | None) -> Iterator[dict[str, Any]]:
        """Yield the records one by one, for those who use singer-sdk's interface; the engine does not."""
        for page in self.read_pages(context, Start()):
            for record in page.records:
                yield {**(page.constants or {}), **json.loads(bytes(record))}

    def get_replication_key_signpost(self, context: Any = None) -> None:  # noqa: ARG002
        """Return None: bookmarks come from records, never from the clock."""
        return

    def get_batch_config(self, config: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Return None: no BATCH messages."""
        return


def _with_deletions(schema: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the schema of records that tell changes: of a deleted row its key may be all that is known."""
    properties = {
        **schema.get("properties", {}),
        DELETED_AT: {"type": ["string", "null"], "format": "date-time"},
    }
    required = [name for name in schema.get("required", ()) if name in keys]
    rest = {key: item for key, item in schema.items() if key != "required"}
    return {**rest, "properties": properties, **({"required": required} if required else {})}


def _complete(metadata: MetadataMapping, stream: BlockStream) -> MetadataMapping:
    """Add what a hand-written catalog left out, so that rules and selection see every property.

    Keys and the replication key become automatic whatever the catalog says: without them a target cannot load.
    """
    own = MetadataMapping.from_iterable(
        stream_metadata(
            stream.effective_schema,
            key_properties=stream.primary_keys,
            replication_key=stream.replication_key,
            property_metadata=stream.property_metadata,
        )
    )
    for breadcrumb, values in own.items():
        if breadcrumb not in metadata:
            metadata[breadcrumb] = values
            # What the catalog does not mention follows its parent.
            values.selected_by_default = None
        elif values.inclusion == "automatic":
            metadata[breadcrumb].inclusion = values.inclusion
    return metadata


def _keys(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names) or "none"


def root_metadata(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of the stream itself from a catalog entry."""
    for item in entry["metadata"]:
        if not item["breadcrumb"]:
            return dict(item["metadata"])
    return {}


def read_input_entries(catalog: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Return the entries of a catalog by ``tap_stream_id``, in the form the streams read."""
    return {entry["tap_stream_id"]: entry for entry in normalised_catalog(catalog, where)["streams"]}
