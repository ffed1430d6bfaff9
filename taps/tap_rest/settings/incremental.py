"""`incremental` and `bookmark` of a stream: which rows are asked for, and how far the bookmark moves."""

from __future__ import annotations

import msgspec

from singerkit_state.bookmarks import PARTITION_LIMIT, SEEN_LIMIT
from singerkit_state.instants import pattern_in_full
from tap_rest.settings import setting
from tap_rest.settings.tokens import TOKEN
from tap_rest.settings.windows import WINDOWS

__all__ = ["BOOKMARK", "INCREMENTAL", "BookmarkSettings", "Incremental"]

INCREMENTAL = setting.group(
    "What asks the server for rows from the bookmark on, or for what comes behind a `token`: `param`, or `{bookmark}` in what the stream asks for. It is sent only when there is a "
    "bookmark or a `start_date`, and while a schema is inferred only where the API gives no answer without it.",
    {
        "param": setting.name(
            "Name of the query parameter, or as `in` says: of the header, or the path of the member of the body (`filter.since`).",
            minLength=1,
        ),
        "in": setting.text(
            "Where `param` travels: `query`, `header` or `body`; of `graphql` it is a variable. Default `query`.",
            enum=["query", "header", "body"],
        ),
        "format": setting.name(
            "How the value is written: `as_is` (as the record had it), `iso` (2026-01-31T10:00:00Z), `epoch` "
            "(seconds), `epoch_ms`, `epoch_us`, `epoch_ns`, or a strftime pattern such as `%Y-%m-%d`: in `time_zone` "
            "where one is set, else in UTC. Default `as_is`.",
            minLength=1,
        ),
        "template": setting.text("Text around it, for instance `gte.{value}`. Default `{value}`."),
        "from": setting.text(
            "Whether the API gives rows at the value that is asked for: `inclusive`, or `exclusive`, as `modified_after` of WordPress: then it is asked from a second "
            "before on (a day of dates, 1 of other numbers), and what came before falls out. Default `inclusive`.",
            enum=["inclusive", "exclusive"],
        ),
        "lookback": {
            "type": "number",
            "minimum": 0,
            "description": "Ask again for this much before the bookmark, for rows that appear late: seconds "
            "for points in time, days for dates, units for other numbers. Default 0.",
        },
        **TOKEN,
        **WINDOWS,
    },
)

BOOKMARK = setting.group(
    "How far the bookmark of an incremental stream may move. The source changes while it is read, so the greatest "
    "value seen is not always safe: see the page about tap-rest.",
    {
        "signpost": setting.text(
            "What bounds it. `auto`: the greatest value of the read before or of the first answer, and not beyond "
            "the `Date` of the first answer less `margin`, or a day ahead of this machine's clock where there is none. "
            "`read_before`: the same without any clock. "
            "`date_header`: the `Date` less `margin` alone; you say that it is the clock of the replication key. "
            "`none`: nothing; you say that the source does not change while it is read. Default `auto`.",
            enum=["auto", "read_before", "date_header", "none"],
        ),
        "margin": {
            "type": "number",
            "minimum": 0,
            "description": "Seconds that a row may become visible after the moment it is dated. Default 60.",
        },
        "memory": setting.count(
            "Rows remembered, so that they are recognised when they are asked for again. Beyond it rows with "
            "`primary_keys` are sent again (and are there twice in a target that appends); without, the bookmark moves up and a "
            f"warning says so. Default {SEEN_LIMIT}."
        ),
        "partitions": setting.count(
            'Parents whose bookmarks are kept, with `"bookmarks": "each"`; a state has some 200 bytes for each. Rows below others come '
            "again in each run where the stream has `primary_keys` (and are there twice in a target that appends), and end the run before "
            f"they are sent where it has none. What `copy` has taken is remembered of so many, too. Default {PARTITION_LIMIT}."
        ),
    },
)


class Incremental(msgspec.Struct, frozen=True):
    """`incremental` of a stream."""

    param: str | None = None
    format: str = "as_is"
    template: str = "{value}"
    begin: str = msgspec.field(default="inclusive", name="from")
    lookback: float = 0
    place: str = msgspec.field(default="query", name="in")
    """Where `param` travels."""
    until_param: str | None = None
    until_template: str = "{value}"
    until: str = "inclusive"
    window: str | float | None = None
    granularity: str | float | None = None
    shard_window: str | float | None = None
    start: float = 0

    @property
    def is_exclusive(self) -> bool:
        """Whether the API gives rows behind the value only."""
        return self.begin == "exclusive"

    @property
    def asks_if_modified(self) -> bool:
        """Whether an answer may be that nothing is new (304)."""
        return (self.param or "").lower() == "if-modified-since"

    @property
    def is_epoch(self) -> bool:
        """Whether the value is written as a number since 1970."""
        return self.format in ("epoch", "epoch_ms", "epoch_us", "epoch_ns")

    @property
    def counts(self) -> bool:
        """Whether the windows are of numbers."""
        return self.window is not None and not isinstance(self.window, str)

    @property
    def is_coarse(self) -> bool:
        """Whether values of many rows, of a minute or a day, are written alike."""
        exact = ("%S", "%X", "%c")
        return "%" in self.format and not any(part in pattern_in_full(self.format) for part in exact)

    @property
    def tells_days(self) -> bool:
        """Whether the value is written to the day at least, so that rows of weeks before are not asked for."""
        days = ("%d", "%j", "%x", "%c")
        return "%" not in self.format or any(day in pattern_in_full(self.format) for day in days)


class BookmarkSettings(msgspec.Struct, frozen=True):
    """`bookmark` of a stream; ``margin`` in seconds, ``memory`` in rows, ``partitions`` in parents."""

    signpost: str = "auto"
    margin: float = 60
    memory: int = SEEN_LIMIT
    partitions: int = PARTITION_LIMIT
