"""A stream of the config: its requests, its pages, and the contexts its records give to child streams."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cached_property, partial
from itertools import islice
from typing import Any, ClassVar, Protocol

import msgspec

from singerkit_catalog.admitted import types_of
from singerkit_catalog.schema import properties_of
from singerkit_shell.errors import BadDataError, SingerkitError, Stopped
from singerkit_shell.validate import nearest
from singerkit_shell.words import counted
from singerkit_state.order import Value, ValueKind, starting_value
from singerkit_state.readas import ReadAs
from singerkit_state.tracker import Signpost
from singerkit_tap.advice import Advice
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.stream import Owner
from singerkit_wire.encode import RecordEncoder
from tap_rest.advice import (
    ADVICE,
    advice_on_moved_rows,
    keys_to_set,
    why_no_key_inside,
)
from tap_rest.answers.clock import clock_of
from tap_rest.answers.conditional import Conditional
from tap_rest.answers.tokens import Asked, token_reads
from tap_rest.asking.first import Beginning
from tap_rest.asking.pages import Api, Asking
from tap_rest.deletes.whole import WholeLoad
from tap_rest.doubts import (
    advice_on_order,
    fate_of_nulls,
    told_of_absent_parents,
    told_of_creation,
    told_of_null_keys,
    told_of_old_catalog,
    told_of_other_field,
    told_of_shifting_pages,
    told_of_skipped_parents,
)
from tap_rest.failing import is_of_one_stream, samples_of_those_that_answer
from tap_rest.fingerprints import digest_of, fingerprints_of
from tap_rest.incremental import (
    bookmark_asked,
    hint_at_start,
    least_value,
    lookback_problem,
    unit_problem,
    window_problem,
)
from tap_rest.long.rows import parts_of
from tap_rest.pages.caps import up_to_cap
from tap_rest.parents.copies import refuse_own_values
from tap_rest.parents.each import ValueLists
from tap_rest.parents.fields import ParentFields, refuse_key_of_several_parents, refuse_lost_copies
from tap_rest.parents.groups import is_group
from tap_rest.parents.partitioned import PartitionedStream
from tap_rest.parents.records import as_sent, value_at
from tap_rest.parents.upcoming import Coming
from tap_rest.records.cutting import ReadPage
from tap_rest.schema.catalogedits import mark_as_inferred
from tap_rest.schema.contract import COPIED, Sample, SchemaKeeper
from tap_rest.schema.declared import DeclaredSchema
from tap_rest.schema.firstpages import FirstPages, Room
from tap_rest.schema.kept import IN_STATE
from tap_rest.schema.localtimes import LocalTimes
from tap_rest.schema.samples import limited, pages_without_bookmark
from tap_rest.settings.stream import StreamSettings
from tap_rest.windows.durations import duration_of
from tap_rest.windows.reading import Reading

__all__ = ["RestStream"]

_logger = logging.getLogger("tap-rest")
_ENDS, _GROUP = "ends", "group"
_PAGES_ABOVE = 100
"""Pages of a parent that inference looks at where nothing stands below it."""


class Source(Api, Owner, Protocol):
    """What these streams know of their tap besides (`tap_rest.tap.TapRest`)."""

    @property
    def room(self) -> Room: ...
    @property
    def keeps_failures(self) -> bool: ...

    def warn_once(self, stream: str, sentence: str) -> None: ...

    def apply_select_rules(self) -> None: ...


class RestStream(PartitionedStream):
    """Reads one of `streams` over HTTP."""

    advice: ClassVar[Advice] = ADVICE
    tap: Source
    doubts_small_loads = True

    def __init__(
        self,
        tap: Source,
        settings: StreamSettings,
        keeper: SchemaKeeper,
        parent: RestStream | None,
        others: Mapping[str, RestStream],
    ) -> None:
        """``others``: all streams by name, once they have been made."""
        self.settings = settings
        self.keeper = keeper
        self._told: set[str] = set()
        self._had_nulls = self._was_read = False
        refuse_key_of_several_parents(settings)
        refuse_lost_copies(settings, keeper)
        self._parents = ParentFields(settings)
        # What is inferred as a date-time has an offset.
        self._local_times = LocalTimes(settings, keeper.declared, self._tell)
        self.asking = Asking(tap, settings, self._parents, self, keeper.declared)
        self.coming = Coming(lambda: tap.client.questions_ahead)
        self.lists = ValueLists(settings, others)
        self.first_reads = FirstPages(self.asking.pages, tap.room)
        self._reading = Reading(self)
        self._whole = WholeLoad(self)
        self._conditional = (
            Conditional(settings.name, self._tell, lambda: self._whole.is_in_doubt)
            if settings.conditional
            else None
        )
        self._tokens = token_reads(settings, self._tell)
        self.asks_onward = self._tokens is not None
        incremental = settings.incremental
        super().__init__(
            tap,
            settings.name,
            keeper.schema,
            key_properties=settings.primary_keys,
            replication_key=settings.replication_key,
            is_sorted=settings.is_sorted,
            in_parts=settings.in_parts,
            parent=parent,
            lookback=_whole(incremental.lookback) if incremental else 0,
            signpost=Signpost(settings.bookmark.signpost),
            follows_key=settings.follows_key,
            memory_rows=settings.bookmark.memory,
            partition_limit=settings.bookmark.partitions,
            partition_bookmarks=settings.parent is not None and settings.parent.bookmarks == "each",
            reads_all_parents=settings.parent is not None and settings.parent.read == "all",
            selected_by_default=settings.selected,
            replication_key_format=settings.replication_key_format,
            time_zone=settings.time_zone,
            start_date=settings.start_date,
            sends_partial_records=settings.partial_records,
            accepts_duplicate_keys=settings.duplicate_keys == "warn",
            sends_versions=settings.activate_version or settings.sweep is not None,
            sweeps_every=None if settings.sweep is None else duration_of(settings.sweep).at_least,
            tells_deletions=settings.deletes is not None,
            start_setting="incremental.param" if incremental and incremental.tells_days else None,
        )

    # Pages

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        """Yield the pages from ``start`` on; see `singerkit_tap.contract`."""
        self._tell_of_doubts(start)
        try:
            again = partial(self._pages, context, start) if start.is_sweep else None
            for page in self._whole.pages(self._pages(context, start), context, again):
                yield self._as_page(page, context, is_from_start=start.value is None)
        except Stopped:
            return  # the engine sees the flag too
        except BadDataError as error:
            if start.value is None:
                self._hint_at_start(error)
            raise

    def _as_page(self, page: ReadPage, context: Context | None, *, is_from_start: bool) -> Page:
        constants = self.constants(context)
        widens = False
        for records in parts_of(page.records):
            if constants:
                refuse_own_values(self.settings, records, constants, self.sent(constants))
            widens = self.keeper.widens(records, constants, is_from_start=is_from_start) or widens
            self._local_times.look(records)
        if widens:
            self._announce_schema()
        if page.begins_again and not self.settings.follows_key:
            self.rows_asked_again += page.begins_again
        margin = self.settings.bookmark.margin
        clock = None if page.is_absent else clock_of(page.answer, margin)
        return Page(
            page.records,
            constants,
            clock=clock,
            margin=margin,
            is_absent=page.is_absent,
            continuation=None if page.left is None else page.left(),
            is_unchanged=page.is_unchanged,
            decoded=page.decoded,
            is_safe=page.is_safe,
            reached=page.reached,
            is_signpost=page.is_signpost,
        )

    def read_again(self) -> Iterator[tuple[Context, Page]]:
        """Yield the rows below parents that a second read of all parents shows beyond the first; see `WholeLoad`."""
        try:
            for context, page in self._whole.missed():
                yield context, self._as_page(page, context, is_from_start=True)
        except Stopped:
            return  # the engine sees the flag too

    def doubt_of_load(self, *, was_warned: bool) -> str | None:
        """Return why the rows of this run may not be all that the API has."""
        return self._whole.doubt(was_warned=was_warned)

    def _pages(self, context: Context | None, start: Start) -> Iterator[ReadPage]:
        if start.value is None and self.settings.deletes is not None and self._was_read:
            # Some APIs tell what was deleted only to who asks from a value on, and rows of this stream were sent.
            if start.is_sweep and self._had_nulls:
                self._whole.note_warning()  # rows without a replication key are no answer to that
            start = replace(start, value=least_value(self.bookmark_kind))
        if self._tokens is not None:
            ask = partial(self._ask_by_token, context)
            asked = self._asked_below(context)
            return self._tokens.pages(start.continuation, ask, asked, renews=start.is_anew)
        if self._conditional is not None:
            params = self.bookmark_asked_from(start)
            question = partial(self._question_and_fields, context, params)
            ask_under = partial(self._ask_under, context, params, is_first=start.bookmark is None)
            left = None if start.is_anew else start.continuation
            pages = self._conditional.pages(left, question, ask_under)
            return self._reading.to_the_end(pages, start, is_sorted=False)
        return self._reading.pages(context, start)

    @property
    def unique_key(self) -> Sequence[str]:
        """The key, where it tells each row from all others."""
        return () if self.sends_partial_records or self.accepts_duplicate_keys else self.primary_keys

    @property
    def whole_rows(self) -> RecordEncoder:
        """What tells which rows are the same, selected or not."""
        return self.encoder(whole=not self.selected)

    def expect_reads(self, context: Context | None, params: Mapping[str, Any]) -> None:
        """Take note of the reads behind this one, unless each has a bookmark of its own, or is one of a group, so that nobody knows what it asks."""
        has_own_bookmarks = self.bookmark_key is not None and not self.settings.shares_bookmark
        is_alone = context is not None and not is_group(context)
        if is_alone and self.coming.contexts and not has_own_bookmarks:
            self.asking.expect_reads((context, params), ((coming, params) for coming in self.coming.contexts))

    def _ask_by_token(
        self, context: Context | None, params: Mapping[str, Any] | None, beginning: Beginning
    ) -> Iterator[ReadPage]:
        """Ask behind a token, or for all rows (None)."""
        is_first = params is None
        params = self.asking.first_params(context) if params is None else params
        begun = self.first_reads.begun(context, params) if is_first else None
        return begun or self.asking.pages(context, params, is_first=is_first, beginning=beginning)

    def _ask_under(
        self, context: Context | None, params: Mapping[str, str], beginning: Beginning, *, is_first: bool
    ) -> Iterator[ReadPage]:
        """Ask under a condition, or for all."""
        begun = self.first_reads.begun(context, params) if is_first else None
        return begun or self.asking.pages(context, params, is_first=is_first, beginning=beginning)

    # What is told of them

    @property
    def rows_came(self) -> int:
        """The rows of all answers of this run."""
        return self.asking.rows_came

    @property
    def had_rows(self) -> bool:
        """Whether an answer of this run had rows, be it that a hook left them all out."""
        return self.rows_came > 0 or self.asking.rows_left_out > 0

    @property
    def first_url(self) -> str | None:
        """The first URL of this run that was answered."""
        return self.asking.first_url

    @property
    def _are_pages_numbered(self) -> bool:
        """Whether pages are asked for by number, as far as it is known by now."""
        follows_links = self.settings.may_follow_key and self.bookmark_key is not None
        return self.settings.pages_shift or (self.asking.numbering is not None and not follows_links)

    def advice_on_moved_rows(self) -> str | None:
        """Return what helps where rows move between pages; None: they are not asked for by number."""
        is_numbered = self.settings.pagination.type in ("page", "offset") or self._are_pages_numbered
        if not is_numbered or self.settings.pagination.allow_repeated_pages:
            return None
        return advice_on_moved_rows(self.primary_keys)

    def advice_on_order(self) -> str:
        """Return what to do where the pages are not sorted, though the stream is declared so."""
        return advice_on_order(self.settings, self.bookmark_key)

    def tell_at_end(self) -> None:
        """Say what a first read, which has come to its end, has not met, and what a hook has left out."""
        self._tell_of_hook()
        if self.selected and self.rows_came and not self._was_read:
            self.asking.deletions.tell_at_end()

    def _tell_of_hook(self) -> None:
        settings, left_out = self.settings, self.asking.rows_left_out
        if left_out < 1 or settings.explode is not None or settings.jmespath is not None:
            return
        said = f"`post_process` of the hook left out {counted(left_out, 'row')} of stream {settings.name}"
        if self.rows_came:
            _logger.info("%s, of %d that came.", said, left_out + self.rows_came)
        else:
            self._tell(f"{said}, which are all that came; if they are wanted, have it return them.")

    def warn(self, sentence: str) -> None:
        """Warn of what was read: rows may be missing, so that none are removed."""
        self._whole.note_warning()
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        """Warn of what is no matter of rows that did not come."""
        self.tap.warn_once(self.settings.name, sentence)

    def _tell_of_doubts(self, start: Start) -> None:
        """Say what the config leaves in doubt, before anything is asked."""
        settings, key = self.settings, self.bookmark_key
        if start.bookmark is None:
            self._tell_of_gaps()
        properties = self.effective_schema.get("properties") or {}
        newer = self.sent(self.keeper.beyond_catalog) if self.selected else []
        for sentence in (
            told_of_other_field(settings, key, properties),
            None if self._was_read else told_of_creation(settings, key, properties),
            told_of_null_keys(settings, key, had_some=self._had_nulls, may_be_some=self._key_may_be_null),
            told_of_old_catalog(settings.name, newer),
        ):
            if sentence is not None:
                self._tell(sentence)

    def note_numbering(self) -> None:
        """Say which rows may fall between two numbered pages."""
        self._tell_of_gaps()

    def _tell_of_gaps(self) -> None:
        """Say, each once, which rows may fall between two requests or runs."""
        if self.bookmark_key is None:
            return
        name = self.asking.numbering.name if self.asking.numbering is not None else None
        sentences = {
            "pages": told_of_shifting_pages(self.settings, name) if self._are_pages_numbered else None,
            "parents": told_of_absent_parents(self.settings),
        }
        for kind, sentence in sentences.items():
            if sentence is not None and kind not in self._told:
                self._told.add(kind)
                _logger.warning("%s", sentence)

    def note_skipped(self) -> None:
        """Say which rows are missed below a parent that is skipped."""
        sentence = None if self.bookmark_key is None else told_of_skipped_parents(self.settings)
        if sentence is not None:
            self.warn(sentence)

    # The replication key

    @property
    def _key_may_be_null(self) -> bool:
        """Whether a declared schema says so."""
        if not isinstance(self.keeper, DeclaredSchema):
            return False
        return "null" in types_of(properties_of(self.keeper.schema).get(self.bookmark_key or "", {}))

    def fate_of_nulls(self) -> str:
        """Return what becomes, in later runs, of rows without a replication key."""
        return fate_of_nulls(self.settings)

    @property
    def bookmark_kind(self) -> ValueKind:
        """How values of the replication key compare; numbers asked for as epochs are epochs."""
        kind = super().bookmark_kind
        incremental = self.settings.incremental
        if kind.is_told or kind.name != "NUMBER" or incremental is None or not incremental.is_epoch:
            return kind
        return ValueKind.named(incremental.format)

    def order_problem(self) -> str | None:
        """Return that numbers are to be written as times in no known unit, or windows of time of what is none."""
        said = self.name, self.replication_key, self.settings.incremental, self.bookmark_kind
        return (
            unit_problem(*said)
            or lookback_problem(*said)
            or (window_problem(*said) if self.settings.reads_windows else None)
        )

    def bookmark_asked_from(self, start: Start) -> dict[str, Any]:
        return bookmark_asked(self.settings.incremental, start.value, self.bookmark_kind)

    # What the state says of former runs

    def expect(self, former: ReadAs) -> None:
        """Look for the records where former runs have found them, and for ends like theirs, before the first answer is asked for."""
        self.asking.reader.expect(former.source.get("records"))
        if former.is_known:
            self._expect_ends(former)

    def _expect_ends(self, former: ReadAs) -> None:
        asks_now = self._fingerprints.items()
        if all(former.source.get(part, digest) == digest for part, digest in asks_now):
            self.asking.endings.recall(former.source.get(_ENDS))
            self.asking.groups.recall(former.source.get(_GROUP))

    def recall(self, former: ReadAs) -> None:
        """Take up where the records were, which fields they had, and whether one had no replication key."""
        self.expect(former)
        self._expect_ends(former)
        self._had_nulls, self._was_read = former.has_nulls, former.is_known
        if self.keeper.admit(former.fields):
            self._take_schema()

    def asks_of(self) -> Mapping[str, Any]:
        """Return which rows the API is asked for."""
        return {
            **self._fingerprints,
            "records": self.asking.reader.place,
            _ENDS: self.asking.endings.written() or None,
            _GROUP: self.asking.groups.proven or None,
            IN_STATE: self.keeper.in_state,
        }

    @property
    def adds(self) -> Collection[str]:
        """The fields of the parent, and those from inside others; of a stream without any record the keys, too, which nothing has yet."""
        return {*self.settings.added_fields, *self.keeper.placeholders}

    def _question(self) -> str:
        """Return what tells one question to the API from another, as far as its answers go."""
        return digest_of([*self._fingerprints.values(), self.settings.records, self.settings.copied])

    def _asked_below(self, context: Context | None) -> Asked:
        """Return what tells one question from another, with what of the parent its answers are read by."""
        of = self._question()
        if context is None:
            return Asked(of)
        at, by = (digest_of(told) if told else None for told in (self.in_path(context), self.copied(context)))
        return Asked(of, at, by)

    def _question_and_fields(self, context: Context | None, params: Mapping[str, str]) -> str:
        """Return what tells one request from another, with what is sent of its answer, by all that the config says."""
        sent = [self.kinds, self.primary_keys, self.bookmark_key, self._settings_of_answers]
        return digest_of(
            [self._question(), self.asking.question(context, params), self.constants(context), sent]
        )

    @cached_property
    def _settings_of_answers(self) -> Sequence[Any]:
        return [msgspec.to_builtins(self.settings), msgspec.to_builtins(self.tap.api.errors)]

    @cached_property
    def _fingerprints(self) -> Mapping[str, str]:
        return fingerprints_of(self.settings, self.tap.api)

    # The primary key

    def pages_again(self, context: Context | None, start: Start) -> Iterator[Page]:
        """Yield the pages of a read once more."""
        for page in self.asking.pages(context, self.bookmark_asked_from(start)):
            yield Page(page.records, self.constants(context))

    def advice_on_keys(self, field: str | None, *, alone: bool = False, below_parents: bool = False) -> str:
        """Return the lines of the config that fit."""
        way = keys_to_set(
            self.settings, self.primary_keys, field, self.key_of_parent if below_parents else None
        )
        if alone:
            way += f", or `{json.dumps([field])}` if that field is unique by itself"
        return (
            f"{way}, or none to have rows appended, and start the stream over if it was loaded before (with "
            f'{self.way_to_start_over}); if the last of such rows is meant to win, set `"duplicate_keys": "warn"`'
        )

    # The schema

    @property
    def inferred_fields(self) -> list[str]:
        """All fields of a schema that is inferred, but for those of which somebody has said what they are."""
        if isinstance(self.keeper, DeclaredSchema):
            return []
        declared = self.keeper.declared["properties"]
        return [name for name in self.keeper.schema["properties"] if name not in declared]

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return what is sent beside a catalog: an inferred schema has all that was found since it was made."""
        is_declared = isinstance(self.keeper, DeclaredSchema)
        return self.keeper.less_withdrawn(schema) if is_declared else dict(self.keeper.schema)

    @property
    def own_catalog_entry(self) -> dict[str, Any]:
        """What --discover prints, with marks at what is copied, from the parent or from inside another field, and at what is inferred."""
        entry = super().own_catalog_entry
        copied = [["properties", name] for name in self.settings.added_fields]
        for item in entry["metadata"]:
            if item["breadcrumb"] in copied:
                item["metadata"][COPIED] = True
        if not isinstance(self.keeper, DeclaredSchema):
            mark_as_inferred(entry)
        return entry

    def why_no_key(self, name: str) -> str:
        """Return that no record has it, where records decide, or that it is no field at the top of one."""
        inside = why_no_key_inside(self.settings, name, self.keeper.records_seen)
        if inside is not None:
            return inside
        if isinstance(self.keeper, DeclaredSchema):
            return super().why_no_key(name)
        near = nearest(name, sorted(self.keeper.schema["properties"]))
        return (
            f"is a field of none of the {counted(self.keeper.records_seen, 'record')} that this run has asked for to find it; "
            f"correct the key{f' (`{near}`?)' if near else ''}, or, if it comes on later pages only, raise `infer.pages` and "
            "`infer.records`, or declare it in `schema`"
        )

    def is_own_failure(self, error: SingerkitError) -> bool:
        """Tell whether others are read all the same."""
        return self.settings.on_error == "continue" and is_of_one_stream(error)

    def may_pass(self, error: SingerkitError) -> bool:
        """Tell whether an error before the sync, while its schema is looked for, is kept for the end of the run."""
        return self.tap.keeps_failures and self.is_own_failure(error)

    def learn_schema(self, *, anew: bool = False) -> None:
        """Read the first pages, without a bookmark, unless the schema is known; ``anew``: once in any case."""
        if self.keeper.is_known and (self.keeper.has_asked or not anew):
            return
        samples = self._samples()
        try:
            self.keeper.learn(limited(samples, self.tap.api.infer))
        finally:
            samples.close()
        self._take_schema()

    def _samples(self) -> Generator[Sample, None, None]:
        first = samples_of_those_that_answer(self.first_contexts(), self._sample, self.may_pass)
        for page, context in first:
            for records in parts_of(page.records):
                yield records, self.constants(context)

    def first_contexts(self) -> Iterator[Context | None]:
        """Yield the contexts that the first pages of the streams above give."""
        above = self.above
        if not isinstance(above, RestStream):
            yield from self.partitions_to_read()
            return
        first = (
            (page.records, context) for context in above.first_contexts() for page in above._sample(context)
        )
        for records, context in islice(first, _PAGES_ABOVE):
            yield from self.grouped(self.child_contexts(records, context))

    def _sample(self, context: Context | None) -> Iterator[ReadPage]:
        return up_to_cap(self.first_pages(context))

    def first_pages(self, context: Context | None) -> Iterator[ReadPage]:
        if self._tokens is not None:
            return self.first_reads.look(context, self.asking.first_params(context))
        if self.settings.reads_windows:
            return self._reading.windows(context).newest(self._start_value())
        if self.settings.needs_bookmark:
            return self.first_reads.look(context, self._start_params())
        return pages_without_bookmark(self.first_reads.look, context, self._start_params, self._hint_at_start)

    def values_of(self, field: str) -> Iterator[Any]:
        """Yield what a field holds in each of all records, which the read of this run need not ask for again."""
        for context in self.all_contexts():
            constants = self.constants(context)
            for page in self._whole_pages(context):
                for record in page.records:
                    yield value_at(as_sent(record, constants), field)

    def _whole_pages(self, context: Context | None) -> Iterator[ReadPage]:
        if self.settings.reads_windows:  # of which the first pages are those of the newest one
            return self._reading.pages(context, Start(self._start_value()))
        return self.first_pages(context)

    def _start_params(self) -> dict[str, Any]:
        """Return what asks for rows from `start_date` on, as far as the replication key is known."""
        return self.bookmark_asked_from(Start(self._start_value(), None))

    def _start_value(self) -> Value | None:
        return starting_value(self.settings.start_date, self.bookmark_kind)

    def _hint_at_start(self, error: BadDataError) -> None:
        """Say which setting asks from a start on, where no answer has come and the API misses that."""
        if self.first_url is None:
            hint_at_start(error, self.settings.incremental)

    def _take_schema(self) -> None:
        """Use what the keeper knows by now; what was selected before stays so, and rules see new fields."""
        self.grow_schema(self.keeper.schema)
        self.tap.apply_select_rules()
        self.__dict__.pop("encoder_now", None)
        self._check_keys()

    @cached_property
    def encoder_now(self) -> RecordEncoder:
        """What records are sent by, as the schema is now; whole where they are not sent."""
        return self.encoder(whole=not self.selected)

    def _announce_schema(self) -> None:
        """Use a schema that has grown in mid-run: a SCHEMA now, and an encoder that sends the new fields."""
        self._take_schema()
        self.tap.sync_run.renew_schema(self)


def _whole(number: float) -> int | Decimal:
    return int(number) if number == int(number) else Decimal(str(number))
