"""The contract of a tap: what a connector writes, and what the engine does with it.

A connector is two classes:

* a `singerkit_tap.shell.SingerkitTap` with ``name``, ``config_jsonschema`` and ``discover_streams()``, which
  returns one `BlockStream` per thing to read, parents before children; it is called once per process, may use
  ``self.config``, and opens no connection when the schemas stand in the config. ``default_pipeline()`` names
  the pipeline when the config does not; ``main = TheTap.cli_main`` is the console script;
* a `singerkit_tap.stream.BlockStream` with one method, ``read_pages``; a child stream also has
  ``child_contexts``. What a stream is stands in its constructor::

      BlockStream(
          tap, name, schema,
          key_properties=("id",),       # () when the source has no key
          replication_key="updated_at", # None: full table
          is_sorted=False,              # True: pages ascend by replication key, so a stopped run resumes
          in_parts=False,               # True: parts ascend (`Page.reached`), and the pages of one come in any order
          parent=None,                  # another BlockStream: read once per context made from its records
          lookback=0,                   # seconds for date-times, days for dates, units for numbers
          signpost=Signpost.AUTO,       # what bounds the bookmark: singerkit_state.tracker
          follows_key=False,            # True: each page is asked for by the last key, ties included
          memory_rows=10_000,           # rows remembered, so that they are recognised when asked for again
          partition_limit=None,         # partitions whose bookmarks are kept; None: PARTITION_LIMIT
          partition_bookmarks=True,     # False: a child keeps one bookmark for all its contexts
          keeps_older_rows=False,       # True: rows below Start.value are sent too
          reads_all_parents=False,      # True: the child changes without its parent's replication key
          selected_by_default=True,
          replication_key_format=None,  # a name of singerkit_state.order.FORMATS, or a pattern: how the key compares
          time_zone=None,               # of key values without an offset; None: UTC
          start_date=None,              # where its first read begins, in the place of that of the run
          accepts_duplicate_keys=False, # True: of different rows with one key the last is meant to win
          valid_replication_keys=(),    # others that a catalog may choose
          is_key_unique=False,          # True: the source sees to it that no two rows have one key
          tells_deletions=False,        # True: records say by `_sdc_deleted_at` that their row is gone
          sends_versions=False,         # True: a complete full load says so, and rows gone at the source go from the target
          start_setting=None,           # the setting by which the source is asked for Start.value, for warnings
          replication_methods=(),       # the first is the default, one alone is forced; LOG_BASED: `log_contract`
      )

The engine (`singerkit_tap.sync`) owns everything else: SCHEMA, RECORD and STATE lines, selection, bookmarks,
ties, signals, metrics, progress. A connector never writes to stdout and never touches the state.

What an exception of a connector makes the engine do (all of `singerkit_shell.errors`): nothing is retried
here; rows already written stay written, no STATE covers the page that failed, and the process ends with the
exit code of the exception. So a connector retries by itself and raises

* `RetryableError` when the source stays unavailable after its retries (69),
* `NotAuthorisedError` when credentials are refused (77),
* `BadDataError` when the answer is not what was promised (65),
* `ConfigurationError` when the config asks for what cannot be (78).

Where `BlockStream.is_own_failure` says so, the run goes on with other streams and partitions, and ends with the error
(`singerkit_tap.failing`).

A connector that waits (back-off, long polls) looks at ``singerkit_shell.signals.stop_flag`` while waiting and
then simply returns from ``read_pages``; the engine looks at the flag after each page and before it takes a
stream for finished.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from singerkit_state.readas import ReadAs
from singerkit_wire.encode import Decoded, Record

__all__ = ["BookmarkValue", "Context", "Page", "Start", "StreamContract"]

Context = Mapping[str, Any]
"""What tells one partition of a stream from the others: ``{"customer_id": 7}``. JSON values, no secrets."""

BookmarkValue = str | int | Decimal
"""A replication key value. Text stays the text of the record; numbers are exact."""


@dataclass(slots=True)
class Page:
    """Records of one answer of the source, in the source's order.

    ``records``: raw JSON objects, untouched, so that no number changes; or typed rows
    (`singerkit_wire.typedrows.RowMaker`) of the fields that are selected, all of one page of one kind; or a block of lines
    (`singerkit_wire.readyrows.ReadyRows`), which is sent without a look at any of them where all of it is selected.
    ``constants``: values to add to each raw record that lacks the property (a parent's id, say). Only properties
    of the schema are sent. The context of a child is added without being named here.
    ``is_safe``: False when reading cannot be resumed right after this page, for instance inside a group of
    pages that belong together; then no bookmark moves and no STATE is written after it.
    ``reached``: of the last page of a part of the read (a window): every row below this value has come, and none at or above
    it was sent, whatever parts follow. A stopped run goes on there, and a STATE says so. The pages before it in the part are
    not safe, unless they ascend.
    ``is_signpost``: its records are not sent. They were there before the read began, so that nothing below them can change
    any more; such pages come first.
    ``clock``: what the source's own clock certainly showed when this page was asked for, in Unix seconds, less
    what it may be late with a row (a database: `now()`, or the start of its oldest open transaction); None where
    the source does not tell. Only that of the first page of a read counts: it bounds the bookmark of date-times.
    The first page is one answer: nothing in it may have been read after another answer. ``margin``: how much less
    ``clock`` is than what the clock showed.
    ``position``: of a full load, where one that is cut off after this page can go on (`Start.position`): JSON that the
    engine does not look into. It stands in each STATE until the load is complete. None: it begins at the start again.
    Of a stream that `goes_on_by_position` it is how far all runs together have come, and stays for the next run.
    ``is_absent``: what a child is read for is not there (404), which is no error: later runs ask there again.
    ``continuation``: what a later run asks by for what comes after this read (`Start.continuation`): JSON that the engine does
    not look into. The last one of a read counts, and stands in the state when the read is complete; None: as it was, an empty
    one: there is none any more.
    ``is_unchanged``: the source says that nothing has changed since the read that left the continuation. No records come, no
    bookmark moves, and no load is complete by it.
    ``decoded``: ``records`` as an encoder of the stream has decoded them already, where the connector had to look into
    them (`RecordEncoder.decoded`); the engine takes the rows out of it.
    ``replaces``: values of selected properties, none of them nested; every row of the stream that has them goes from the target, and what
    has come after that is there in its place. A REPLACE message says so before the records of the page, which may have none. What takes
    the place is complete with the next safe page, or with the end of the read: no STATE is written before, whatever happens. Only of a
    stream without a replication key, and without a parent.
    """

    records: Sequence[Record]
    constants: Mapping[str, Any] | None = None
    is_safe: bool = True
    clock: float | None = None
    margin: float = 0
    position: Any = None
    is_absent: bool = False
    continuation: Any = None
    is_unchanged: bool = False
    decoded: Decoded | None = None
    reached: BookmarkValue | None = None
    is_signpost: bool = False
    replaces: Mapping[str, Any] | None = None


@dataclass(slots=True, frozen=True)
class Start:
    """Where a read begins.

    ``value``: ask the source for rows whose replication key is ``>= value``; None means everything. It is the
    bookmark less the stream's lookback, else ``start_date``. Rows below it that come anyway are dropped,
    unless the stream says ``keeps_older_rows``.
    ``bookmark``: the bookmark itself, None on a first run. For showing, not for asking.
    ``position``: the `Page.position` behind which a full load goes on that was cut off; only one of which the stream
    has said that it `can_resume`. Of a stream that `goes_on_by_position`: the last one that was committed.
    ``is_sweep``: the rows of an incremental stream that do not come are to leave the target.
    ``continuation``: what the last complete read of the stream, or of the partition, has left (`Page.continuation`).
    ``is_anew``: all rows are to be sent again, though they were read; the continuation may still tell which are gone.
    """

    value: BookmarkValue | None = None
    bookmark: BookmarkValue | None = None
    position: Any = None
    continuation: Any = None
    is_sweep: bool = False
    is_anew: bool = False


class StreamContract(Protocol):
    """What a connector's stream implements; `singerkit_tap.stream.BlockStream` supplies the rest."""

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:
        """Yield the pages of one partition, or of the whole stream when ``context`` is None.

        Called once per partition and run. Empty pages may be yielded; a page that takes long costs nothing
        but time, since lines already encoded are flushed by a timer. With ``is_sorted`` the pages ascend by
        replication key (order inside a page is free). ``GeneratorExit`` is raised at a ``yield`` when the
        engine needs no more (signal, record limit of ``--test``): release connections in ``finally``.
        """
        ...

    def child_contexts(self, records: Sequence[Record], parent_context: Context | None) -> Iterable[Context]:
        """Return the contexts that this child stream is read with for these records of its parent.

        Called once per page of the parent, on the child, whether or not the parent is selected. Two equal
        contexts are read once per run.
        """
        ...

    def partitions_to_read(self) -> Iterable[Context | None]:
        """Return the contexts that a stream without a parent is read with, once per run: ``(None,)`` unless told.

        Each has its own bookmark; at most `partition_limit` are kept.
        """
        ...

    def recall(self, former: ReadAs) -> None:
        """Take up what the state says of how this stream was read before, before its first SCHEMA of a run.

        A stream whose schema is found in its records admits the fields that were sent and that it has not met: a
        field that no record has any more is then sent as null.
        """
        ...

    def asks_of(self) -> Mapping[str, Any]:
        """Return what decides which rows the source gives, by part, to be compared with that of a later run.

        ``where``, ``asks``, ``parent``: digests (`singerkit_tap.changes`), since they may tell more than a state should;
        ``records``: a place within an answer; others by the tap itself (`recall`). A part that is not known yet is None, and keeps what it was.
        """
        ...

    @property
    def adds(self) -> Collection[str]:
        """The fields that the config adds to the records, which leave the SCHEMA when it adds them no more.

        What is stored of them stays then; null in their place would overwrite it.
        """
        ...
