"""The config of tap-rest: one JSON Schema (docs are generated from it) and typed settings made from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import nearest
from singerkit_state.bookmarks import PARTITION_LIMIT, SEEN_LIMIT
from singerkit_state.instants import pattern_in_full, writing_problem, zone_named
from singerkit_state.order import ValueKind
from tap_rest.effects import settings_without_effect
from tap_rest.paths import filters, unfiltered

__all__ = [
    "CONFIG_SCHEMA",
    "ApiSettings",
    "AuthSettings",
    "BookmarkSettings",
    "Incremental",
    "InferSettings",
    "Limits",
    "Pagination",
    "Parent",
    "Retries",
    "StreamSettings",
    "Timeout",
    "api_settings",
    "config_conflicts",
]

_JSON = ["string", "number", "boolean"]
_WRITTEN_NAMES = ("as_is", "iso", "epoch", "epoch_ms", "epoch_us", "epoch_ns")
_MOST = 10**15
"""The highest count that a setting takes; beyond it lie numbers that a machine does not count with."""


def _group(description: str, properties: dict[str, Any], required: Sequence[str] = ()) -> dict[str, Any]:
    schema = {
        "type": "object",
        "description": description,
        "properties": properties,
        "additionalProperties": False,
    }
    return schema | {"required": list(required)} if required else schema


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _name(description: str, **more: Any) -> dict[str, Any]:
    """A name, a path in an answer or of a file: no secret, wherever it comes from."""
    return _text(description, secret=False, **more)


def _flag(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "boolean", "description": description, **more}


def _count(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": _MOST, "description": description, **more}


def _seconds(description: str, default: float) -> dict[str, Any]:
    return {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 31_536_000,  # a year: an operating system's timer holds no more than some
        "description": description,
        "default": default,
    }


def _names(description: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "secret": False, "description": description}


_HEADERS = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "Request headers. Those of a stream are added to those of the top level.",
}
_PARAMS = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": _JSON}, {"type": "array", "items": {"type": _JSON}}],
    },
    "description": "Query parameters of every request; an array repeats the parameter. Those of a stream are "
    "added to those of the top level.",
}
_AUTH = _group(
    "Credentials. They are sent to the origin (scheme, host, port) of `base_url` and nowhere else.",
    {
        "type": _text("The scheme.", enum=["none", "api_key", "bearer", "basic"]),
        "in": _text(
            "`api_key`: where the key is sent. Default `header`.", enum=["header", "query", "cookie"]
        ),
        "name": _name("`api_key`: name of the header, query parameter or cookie. Default `X-API-Key`."),
        "api_key": _text('`api_key`: the key. Any value may be written as `{"env": "NAME"}`.', minLength=1),
        "prefix": _text("`api_key` in a header: text before the key, for instance `Token `."),
        "token": _text("`bearer`: the token.", minLength=1),
        "username": _text("`basic`: the user."),
        "password": _text("`basic`: the password; may be empty."),
    },
    ["type"],
)
PAGINATION_TYPES = (
    "single",
    "page",
    "offset",
    "cursor",
    "header_cursor",
    "link_header",
    "next_url",
    "hateoas",
    "keyset",
)
_PAGINATION = _group(
    "How the next page is found and when the last one is reached. Default: one request, and an answer that shows "
    "another page is an error.",
    {
        "type": _text(
            "`single`: one request; an answer that shows another page is a warning. `page`: a page number. `offset`: an offset and a limit. `cursor`: a "
            "token in the body. `header_cursor`: a token in a response header. `link_header`: the Link "
            "header. `next_url`: a URL in the body. `hateoas`: a list or an object of links in the body. "
            "`keyset`: a value of the last record.",
            enum=list(PAGINATION_TYPES),
        ),
        "param": _name(
            "Query parameter that takes the page number (`page`: default `page`), offset (`offset`: default "
            "`offset`), token (`cursor`, `header_cursor`: default `cursor`) or value (`keyset`: required)."
        ),
        "start": {
            "type": "integer",
            "minimum": 0,
            "maximum": _MOST,
            "description": "First page number (`page`: default 1) or offset (`offset`: default 0).",
        },
        "size": _count("Records asked for per page."),
        "size_param": _name("Query parameter that takes `size`. Default `limit`; `page`: `per_page`."),
        "cursor": _name("`cursor`: path of the token in the body, for instance `$.meta.next`."),
        "header": _name("`header_cursor`: the response header that holds the token."),
        "request_header": _name("`cursor`, `header_cursor`: send the token in this header, not in `param`."),
        "next": _name("`next_url`: path of the URL in the body. Default `$.next`."),
        "links": _name(
            "`hateoas`: path of the links, an array of `{rel, href}` or an object of links by name. Default "
            "`$._links`."
        ),
        "rel": _name("`link_header`, `hateoas`: relation of the next page. Default `next`."),
        "field": _name("`keyset`: field of the last record, for instance `id`."),
        "template": _text("`keyset`: text of the parameter, for instance `gt.{value}`. Default `{value}`."),
        "total_pages": _name(
            "Stop after this many pages: path in the body, or `header:NAME`, of the number of pages."
        ),
        "total_count": _name(
            "Stop after this many records: path in the body, or `header:NAME`, of the number of records."
        ),
        "has_more": _name(
            "Stop when this is false, null, 0 or absent: path in the body, or `header:NAME`. Absent from the "
            "first page it is an error."
        ),
        "is_last": _name(
            "Stop when this is true or 1, for flags that are true on the last page (`done`, `end_of_stream`): path in the "
            "body, or `header:NAME`. Absent from the first page it is an error."
        ),
        "stop_on_short_page": _flag(
            "Stop at a page with fewer records than `size`, once a larger page of the stream has come in the run; until then "
            "one more is asked for, because a server may send less than it was asked for. Off by default."
        ),
        "empty_page": _text(
            "What a page without records means: `stop` the end, `continue` nothing, the other rules decide, "
            "`fail` an error. Default: `stop` for `page` and `offset` without `total_pages`, `total_count`, "
            "`has_more` or `is_last`, and for `keyset`; otherwise `continue`.",
            enum=["stop", "continue", "fail"],
        ),
        "continue_by": _text(
            "`page`, `offset`, and links and tokens that number pages: how a read goes on after a page. `number`: by the next "
            "number; rows that shift between pages when the source changes may be missed. `bookmark`: by asking again from the "
            "greatest `replication_key` on, which has no such gap; for streams that are sorted (`is_sorted`) and have "
            "`incremental`. Default: `bookmark` for such streams, unless `incremental.format` has no seconds, else "
            "`number`.",
            enum=["number", "bookmark"],
        ),
        "allow_repeated_pages": _flag(
            "Accept a page whose records equal those of the one before, in `page`, `offset`, `keyset`, `cursor` and "
            "`header_cursor`. By default that is an error, because the server then most likely ignores `param`."
        ),
        "unread": _text(
            "What it means when reading ends at a page that shows another one (a link, a flag, a total above the "
            "rows that came): `fail`, or `warn`. Default `fail`.",
            enum=["fail", "warn"],
        ),
    },
    ["type"],
)
_INCREMENTAL = _group(
    "The query parameter that asks the server for rows from the bookmark on. It is sent only when there is a "
    "bookmark or a `start_date`, and while a schema is inferred only where the API gives no answer without it.",
    {
        "param": _name("Name of the query parameter.", minLength=1),
        "format": _name(
            "How the value is written: `as_is` (as the record had it), `iso` (2026-01-31T10:00:00Z), `epoch` "
            "(seconds), `epoch_ms`, `epoch_us`, `epoch_ns`, or a strftime pattern such as `%Y-%m-%d`: in `time_zone` "
            "where one is set, else in UTC. Default `as_is`.",
            minLength=1,
        ),
        "template": _text("Text around it, for instance `gte.{value}`. Default `{value}`."),
        "lookback": {
            "type": "number",
            "minimum": 0,
            "description": "Ask again for this much before the bookmark, for rows that appear late: seconds "
            "for points in time, days for dates, units for other numbers. Default 0.",
        },
    },
    ["param"],
)
_TIME_ZONE = _name(
    "Time zone of replication key values, and of `start_date`, without an offset: an IANA name such as `Europe/Berlin`. "
    "That of a stream comes before that of the top level. Default: UTC, with a warning."
)
_BOOKMARK = _group(
    "How far the bookmark of an incremental stream may move. The source changes while it is read, so the greatest "
    "value seen is not always safe: see the page about tap-rest.",
    {
        "signpost": _text(
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
        "memory": _count(
            "Rows remembered, so that they are recognised when they are asked for again. Beyond it rows with "
            "`primary_keys` are sent again (and are there twice in a target that appends); without, the bookmark moves up and a "
            f"warning says so. Default {SEEN_LIMIT}."
        ),
        "partitions": _count(
            'Parents whose bookmarks are kept, with `"bookmarks": "each"`; a state has some 200 bytes for each. Rows below others come '
            "again in each run where the stream has `primary_keys` (and are there twice in a target that appends), and end the run before "
            f"they are sent where it has none. Default {PARTITION_LIMIT}."
        ),
    },
)
_PARENT = _group(
    "This stream is read once per record of another one, whose fields stand in `path` and `params` as "
    "`{parent.field}`.",
    {
        "stream": _name("Name of the parent stream."),
        "copy": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "secret": False,
            "description": 'Fields to add to each record: `{"user_id": "id"}` adds the parent\'s `id` as '
            "`user_id`. Default: each field used in `path` and `params`, as `<parent>_<field>`.",
        },
        "on_404": _text(
            "What a child means that is not found, by its first page: `fail` the run, or `skip` this one with a warning. A later page "
            "that is not found fails the run. Default `fail`.",
            enum=["fail", "skip"],
        ),
        "read": _text(
            "Which records of an incremental parent this stream is read for: `all`, in each run, or only the `changed` "
            "ones; then a change below a parent that does not change itself is never seen. Default `all`.",
            enum=["all", "changed"],
        ),
        "bookmarks": _text(
            "`shared`: one bookmark for all parents; what changes below a parent that is not in their list, or not found, "
            "for a run is missed. `each`: one per parent. Default `shared`.",
            enum=["shared", "each"],
        ),
    },
    ["stream"],
)
_STREAM = _group(
    "A stream: one kind of record.",
    {
        "name": _name("Name of the stream.", minLength=1),
        "path": _text(
            "Path below `base_url`, or a full URL; parameters go into `params`. May hold `{parent.field}`, which is percent-encoded "
            "unless the path begins with it."
        ),
        "params": _PARAMS,
        "headers": _HEADERS,
        "records": _name(
            "JSONPath of the records, for instance `$.data[*]`. Default: found by itself, if the body is an "
            "array or an object with exactly one array of objects and no empty one; later answers and runs have to have "
            "them there."
        ),
        "missing_records": _text(
            "What it means when `records` finds null or nothing: `fail`, or `empty`, a page without records. "
            "Default `fail`.",
            enum=["fail", "empty"],
        ),
        "partial_answers": _text(
            "What it means when an answer holds records and tells of an error beside them (`errors` of GraphQL, `success` "
            "false, `timed_out`), when one without records has a status or a message that speaks of a failure, or its HTTP "
            "status says that it is not whole (202, 207, 226; without records all but 200, 203 and 204): `fail` (202, and what "
            "says to ask later, after all retries), or `warn`, and what is there is taken. Default `fail`.",
            enum=["fail", "warn"],
        ),
        "partial_records": {
            "type": "boolean",
            "description": "Records leave out fields whose value they do not tell, as changes do: the stored value stays. "
            "Default `false`: a field of the schema that a record leaves out is sent as null.",
        },
        "primary_keys": _names("Fields that identify a record. Default: none, records are appended."),
        "duplicate_keys": _text(
            "What it means when two different rows have the same `primary_keys` in one answer, or below two parents: "
            "`fail`, or `warn`, and the last one replaces the others. Default `fail`.",
            enum=["fail", "warn"],
        ),
        "replication_key": _name("Field that grows with every change; makes the stream incremental."),
        "replication_key_format": _name(
            "What the values of `replication_key` are, where that cannot be seen: `date-time`, `date` (ISO 8601), "
            "`epoch` (seconds), `epoch_ms`, `epoch_us`, `epoch_ns`, `rfc2822` (Wed, 21 Oct 2026 07:28:00 GMT), a strptime "
            "pattern such as `%m/%d/%Y`; `number`, `version` (1.10.2), or `text`, compared by code point. Default: by the "
            "schema and the look of the values, ISO 8601 or numbers; `incremental.format` `epoch` and `epoch_ms` say it of "
            "numbers, too."
        ),
        "time_zone": _TIME_ZONE,
        "is_sorted": _flag(
            "The pages come in ascending order of `replication_key`, so a run that was stopped resumes "
            "there. Default false."
        ),
        "incremental": _INCREMENTAL,
        "bookmark": _BOOKMARK,
        "pagination": _PAGINATION,
        "schema": {
            "type": ["object", "string"],
            "secret": False,
            "description": "JSON Schema of a record, or the path of a file with it. Default: inferred.",
        },
        "parent": _PARENT,
        "activate_version": _flag(
            "What the API lists is all there is, and a row that it lists no more is to leave the target: each load of which it is sure "
            "that all rows have come ends with ACTIVATE_VERSION. Only for streams that each run reads as a whole; several pages are "
            "read twice, and so is all below parents. Default false."
        ),
        "selected": _flag(
            "Whether the stream is read where neither `select` nor a catalog says. Default true."
        ),
    },
    ["name", "path"],
)

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["base_url", "streams"],
    "properties": {
        "base_url": _text(
            "URL that every path is below, without `?` and `#`.", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/]+"
        ),
        "auth": _AUTH,
        "headers": _HEADERS,
        "params": _PARAMS,
        "pagination": _PAGINATION,
        "time_zone": _TIME_ZONE,
        "streams": {
            "type": "array",
            "items": _STREAM,
            "minItems": 1,
            "description": "What to read.",
        },
        "user_agent": _text("The User-Agent header. Default `tap-rest/VERSION (singerkit)`."),
        "allowed_hosts": _names(
            "Other origins that redirects, next links and paths may lead to, as `https://host[:port]`. No "
            "credential, header or cookie of this config is sent there. Default: none."
        ),
        "allowed_addresses": _names(
            "IP addresses or networks among the link-local and metadata addresses that may be connected to. "
            "Default: none."
        ),
        "ca_file": _name(
            "PEM file of the certificate authorities to trust, in place of the usual ones. Certificates are "
            "always checked."
        ),
        "timeout": _group(
            "Time limits of one request, in seconds.",
            {
                "connect": _seconds("To connect.", 10),
                "read": _seconds("Without a byte.", 60),
                "response": _seconds("For the whole response.", 600),
            },
        ),
        "retries": _group(
            "What is done about 429, 5xx, 202, lost connections and cut bodies.",
            {
                "tries": _count("Requests for one page in all.", default=6, maximum=1000),
                "first_wait": _seconds("First wait, in seconds; it doubles each time, with jitter.", 1),
                "longest_wait": _seconds("Longest single wait, in seconds; caps Retry-After too.", 300),
                "total": _seconds("Give up a page after this many seconds.", 1800),
            },
        ),
        "limits": _group(
            "Limits against endless answers.",
            {
                "response_bytes": _count("Bytes of one body after decompression.", default=256 * 1024 * 1024),
                "pages": _count("Pages of one stream, or of one parent of it.", default=100_000),
                "redirects": {
                    "type": "integer",
                    "minimum": 0,
                    "default": 5,
                    "description": "Redirects of one request.",
                },
            },
        ),
        "infer": _group(
            "How far the schema of a stream without `schema` is inferred before it is first sent.",
            {
                "pages": _count("Pages read.", default=5),
                "records": _count("Records read.", default=5000),
            },
        ),
        "schema_cache": _name(
            "Folder of the inferred schemas. Default: `$XDG_CACHE_HOME/singerkit/tap-rest`, else "
            "`~/.cache/singerkit/tap-rest`."
        ),
    },
}


class AuthSettings(msgspec.Struct, frozen=True):
    """`auth` of the config."""

    type: str = "none"
    place: str = msgspec.field(default="header", name="in")
    name: str = "X-API-Key"
    api_key: str | None = None
    prefix: str = ""
    token: str | None = None
    username: str | None = None
    password: str | None = None


class Pagination(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`pagination` of the config; None means not said, and so does the type `unsaid`, which no config may hold."""

    type: str = "unsaid"
    param: str | None = None
    start: int | None = None
    size: int | None = None
    size_param: str | None = None
    cursor: str | None = None
    header: str | None = None
    request_header: str | None = None
    next: str | None = None
    links: str | None = None
    rel: str | None = None
    field: str | None = None
    template: str | None = None
    total_pages: str | None = None
    total_count: str | None = None
    has_more: str | None = None
    is_last: str | None = None
    stop_on_short_page: bool = False
    empty_page: str | None = None
    continue_by: str | None = None
    allow_repeated_pages: bool = False
    unread: str | None = None


class Incremental(msgspec.Struct, frozen=True):
    """`incremental` of a stream."""

    param: str
    format: str = "as_is"
    template: str = "{value}"
    lookback: float = 0

    @property
    def is_epoch(self) -> bool:
        """Whether the value is written as a number since 1970."""
        return self.format in ("epoch", "epoch_ms", "epoch_us", "epoch_ns")

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


class Parent(msgspec.Struct, frozen=True):
    """`parent` of a stream; ``copy`` maps a field of the child to a field of the parent."""

    stream: str
    copy: dict[str, str] | None = None
    on_404: str = "fail"
    bookmarks: str = "shared"
    read: str = "all"


class StreamSettings(msgspec.Struct, frozen=True):
    """One of `streams`, with what it takes over from the top level filled in."""

    name: str
    path: str
    params: dict[str, Any] = {}
    headers: dict[str, str] = {}
    records: str | None = None
    missing_records: str = "fail"
    partial_answers: str = "fail"
    partial_records: bool = False
    primary_keys: tuple[str, ...] = ()
    duplicate_keys: str = "fail"
    replication_key: str | None = None
    replication_key_format: str | None = None
    time_zone: str | None = None
    is_sorted: bool = False
    incremental: Incremental | None = None
    bookmark: BookmarkSettings = BookmarkSettings()
    pagination: Pagination = Pagination()
    declared_schema: dict[str, Any] | str | None = msgspec.field(default=None, name="schema")
    parent: Parent | None = None
    activate_version: bool = False
    selected: bool = True

    @property
    def pages_shift(self) -> bool:
        """Whether rows move between pages when the source changes while it is read."""
        return self.pagination.type in ("page", "offset") and not self.follows_key

    @property
    def follows_key(self) -> bool:
        """Whether a read goes on by the replication key instead of the page number."""
        return self.pagination.type in ("page", "offset") and self._can_follow

    @property
    def may_follow_key(self) -> bool:
        """Whether it does so if its links or tokens are found to number the pages."""
        return self.may_be_numbered and self._can_follow

    @property
    def may_be_numbered(self) -> bool:
        """Whether links or tokens lead to the next page, in which a number of the page may travel."""
        return self.pagination.type in ("link_header", "next_url", "hateoas", "cursor", "header_cursor")

    @property
    def _can_follow(self) -> bool:
        if not self.is_sorted or self.incremental is None:
            return False
        if filters(self.records or ""):
            return False  # what is left of a page does not say how full it was
        wanted = self.pagination.continue_by
        return wanted == "bookmark" or (wanted is None and not self.incremental.is_coarse)

    @property
    def shares_bookmark(self) -> bool:
        """Whether all parents of this child have one bookmark."""
        return (
            self.replication_key is not None and self.parent is not None and self.parent.bookmarks != "each"
        )

    @property
    def parent_fields(self) -> tuple[str, ...]:
        """Fields of the parent that `path` and `params` use, each once."""
        texts = [self.path, *map(str, _flat(self.params.values()))]
        return tuple(dict.fromkeys(field for text in texts for field in PARENT_FIELD.findall(text)))

    @property
    def copies(self) -> dict[str, str]:
        """Field of the child -> field of the parent."""
        if self.parent is None:
            return {}
        if self.parent.copy is not None:
            return self.parent.copy
        return {f"{self.parent.stream}_{field}": field for field in self.parent_fields}


PARENT_FIELD = re.compile(r"\{parent\.([^{}]+)\}")


def _flat(values: Any) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, list | tuple) else [value])]


class Timeout(msgspec.Struct, frozen=True):
    """Seconds."""

    connect: float = 10
    read: float = 60
    response: float = 600


class Retries(msgspec.Struct, frozen=True):
    """Tries in all, and seconds."""

    tries: int = 6
    first_wait: float = 1
    longest_wait: float = 300
    total: float = 1800


class Limits(msgspec.Struct, frozen=True):
    """Bytes after decompression, pages, redirects."""

    response_bytes: int = 256 * 1024 * 1024
    pages: int = 100_000
    redirects: int = 5


class InferSettings(msgspec.Struct, frozen=True):
    """How many pages and records a first inference reads."""

    pages: int = 5
    records: int = 5000


class ApiSettings(msgspec.Struct, frozen=True):
    """The whole config."""

    base_url: str
    streams: tuple[StreamSettings, ...]
    auth: AuthSettings = AuthSettings()
    headers: dict[str, str] = {}
    start_date: str | None = None
    user_agent: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_addresses: tuple[str, ...] = ()
    ca_file: str | None = None
    timeout: Timeout = Timeout()
    retries: Retries = Retries()
    limits: Limits = Limits()
    infer: InferSettings = InferSettings()
    schema_cache: str | None = None


def api_settings(config: Mapping[str, Any]) -> ApiSettings:
    """Turn a config that its JSON Schema accepts into settings.

    Raises:
        ConfigurationError: two keys of it contradict each other.
    """
    problems = config_conflicts(config)
    if problems:
        raise ConfigurationError(f"The config is not valid: {'; '.join(problems)}.")
    streams = [_with_top_level(stream, config) for stream in config["streams"]]
    return msgspec.convert({**config, "streams": streams}, ApiSettings)


def _with_top_level(stream: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    filled = dict(stream)
    filled["params"] = {**config.get("params", {}), **stream.get("params", {})}
    if "pagination" not in stream and "pagination" in config:
        filled["pagination"] = config["pagination"]
    if "time_zone" in config:
        filled.setdefault("time_zone", config["time_zone"])
    return filled


def config_conflicts(config: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a JSON Schema cannot say about the config."""
    problems = _auth_problems(config.get("auth", {"type": "none"}))
    if "pagination" in config:
        problems += _pagination_problems(config["pagination"], "pagination")
    problems += _time_zone_problems(config, "")
    streams = config["streams"]
    names = [stream["name"] for stream in streams]
    problems += [f"There are two streams named `{name}`" for name in set(names) if names.count(name) > 1]
    for index, stream in enumerate(streams):
        problems += _stream_problems(stream, f"streams[{index}]", {other["name"]: other for other in streams})
        problems += _filter_problems(
            stream, f"streams[{index}]", stream.get("pagination", config.get("pagination"))
        )
        problems += _clock_problems(
            stream, f"streams[{index}]", stream.get("time_zone", config.get("time_zone"))
        )
    return [*problems, *settings_without_effect(config)]


_AUTH_KEYS = {
    "none": (),
    "api_key": ("in", "name", "api_key", "prefix"),
    "bearer": ("token",),
    "basic": ("username", "password"),
}
_AUTH_NEEDS = {"api_key": ("api_key",), "bearer": ("token",), "basic": ("username", "password")}


def _auth_problems(auth: Mapping[str, Any]) -> list[str]:
    kind = auth["type"]
    return _keys_for_type(auth, "auth", kind, _AUTH_KEYS[kind], _AUTH_NEEDS.get(kind, ()))


_STOPS = ("total_pages", "total_count", "has_more", "is_last", "stop_on_short_page", "empty_page", "unread")
_PAGE_KEYS = {
    "single": (),
    "page": ("param", "start", "size", "size_param", "continue_by", "allow_repeated_pages", *_STOPS),
    "offset": ("param", "start", "size", "size_param", "continue_by", "allow_repeated_pages", *_STOPS),
    "cursor": (
        "param",
        "cursor",
        "request_header",
        "size",
        "size_param",
        "continue_by",
        "allow_repeated_pages",
        *_STOPS,
    ),
    "header_cursor": (
        "param",
        "header",
        "request_header",
        "size",
        "size_param",
        "continue_by",
        "allow_repeated_pages",
        *_STOPS,
    ),
    "link_header": ("rel", "size", "size_param", "continue_by", *_STOPS),
    "next_url": ("next", "size", "size_param", "continue_by", *_STOPS),
    "hateoas": ("links", "rel", "size", "size_param", "continue_by", *_STOPS),
    "keyset": ("param", "field", "template", "size", "size_param", "allow_repeated_pages", *_STOPS),
}
_PAGE_NEEDS = {"cursor": ("cursor",), "header_cursor": ("header",), "keyset": ("param", "field")}


def _pagination_problems(pagination: Mapping[str, Any], place: str) -> list[str]:
    kind = pagination["type"]
    problems = _keys_for_type(pagination, place, kind, _PAGE_KEYS[kind], _PAGE_NEEDS.get(kind, ()))
    if pagination.get("stop_on_short_page") and "size" not in pagination:
        problems.append(f"`{place}.stop_on_short_page` needs `{place}.size`")
    if pagination.get("empty_page") == "continue" and kind in ("page", "offset", "keyset"):
        if kind == "keyset":
            problems.append(f"`{place}.empty_page` cannot be `continue`: an empty page has no last record")
        elif not any(key in pagination for key in ("total_pages", "total_count", "has_more", "is_last")):
            problems.append(
                f"`{place}.empty_page: continue` needs total_pages, total_count, has_more or is_last: there is no end"
            )
    return problems


def _keys_for_type(
    group: Mapping[str, Any], place: str, kind: str, known: Sequence[str], needed: Sequence[str]
) -> list[str]:
    strange = [key for key in group if key != "type" and key not in known]
    problems = [f"`{place}.{key}` does not go with `{place}.type` `{kind}`" for key in strange]
    problems += [
        f"Expected the key `{place}.{key}`, which `{kind}` needs" for key in needed if key not in group
    ]
    return problems


def _stream_problems(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    problems = []
    if "pagination" in stream:
        problems += _pagination_problems(stream["pagination"], f"{place}.pagination")
    if stream.get("pagination", {}).get("continue_by") == "bookmark" and not (
        stream.get("is_sorted") and "incremental" in stream
    ):
        problems.append(
            f"`{place}.pagination.continue_by` `bookmark` needs `{place}.is_sorted` and `{place}.incremental`"
        )
    if "#" in stream["path"]:
        problems.append(
            f"Expected `{place}.path` without `#`, which cuts off all behind it; write it as `%23`"
        )
    if "bookmark" in stream and "replication_key" not in stream:
        problems.append(f"`{place}.bookmark` needs `{place}.replication_key`")
    if "incremental" in stream and "replication_key" not in stream:
        problems.append(f"`{place}.incremental` needs `{place}.replication_key`")
    template = stream.get("incremental", {}).get("template", "{value}")
    if "{value}" not in template:
        problems.append(f"Expected `{{value}}` inside `{place}.incremental.template`")
    problems += _time_zone_problems(stream, f"{place}.")
    return problems + _parent_problems(stream, place, streams)


def _filter_problems(
    stream: Mapping[str, Any], place: str, pagination: Mapping[str, Any] | None
) -> list[str]:
    """Return whether pages are counted by rows of which `records` leaves unknown how many came."""
    path = stream.get("records", "")
    if pagination is None or not filters(path):
        return []
    if pagination.get("continue_by") == "bookmark":
        return [
            f"`{place}.pagination.continue_by` `bookmark` does not go with a filter in `{place}.records`: take all rows there, "
            "or set it to `number`"
        ]
    counts = pagination["type"] in ("page", "offset", "keyset") or any(
        key in pagination for key in ("total_count", "stop_on_short_page", "empty_page")
    )
    if not counts or unfiltered(path) is not None:
        return []
    return [
        f"`{place}.records` is `{path}`, which filters rows so that nobody knows how many came, and this `pagination` goes by "
        "that: filter at the end of a plain path (`$.data[?(@.kind == 'x')]`), or by a parameter of the API, or take all rows"
    ]


def _time_zone_problems(group: Mapping[str, Any], place: str) -> list[str]:
    if "time_zone" not in group:
        return []
    try:
        zone_named(group["time_zone"])
    except ValueError:
        return [
            f"Expected an IANA name such as `Europe/Berlin`, got `{group['time_zone']}` at `{place}time_zone`"
        ]
    return []


def _clock_problems(stream: Mapping[str, Any], place: str, zone_name: str | None) -> list[str]:
    """Return what is wrong with how times are read and written."""
    try:
        zone = None if zone_name is None else zone_named(zone_name)
    except ValueError:
        return []  # said where it stands
    return _order_problems(stream, place, zone) + _format_problems(stream.get("incremental", {}), place, zone)


def _order_problems(stream: Mapping[str, Any], place: str, zone: tzinfo | None) -> list[str]:
    name = stream.get("replication_key_format")
    if name is None:
        return []
    if "replication_key" not in stream:
        return [f"`{place}.replication_key_format` needs `{place}.replication_key`"]
    try:
        kind = ValueKind.named(name, zone)
    except ValueError as error:
        return [f"`{place}.replication_key_format` is `{name}`: {error}"]
    incremental = stream.get("incremental", {})
    problems = []
    if incremental.get("lookback") and not kind.can_look_back:
        problems.append(f"`{place}.incremental.lookback` means nothing to a replication key that is `{name}`")
    if incremental.get("format", "as_is") != "as_is" and not kind.is_time:
        problems.append(
            f"`{place}.incremental.format` writes points in time, and the replication key is `{name}`; use `as_is`"
        )
    return problems


_OFFSET_AFTER = re.compile(r"(?:T?00:00(?::00)?)?(?:\.0+)?(?:Z|[+-]\d\d:?\d\d)(?![0-9A-Za-z])")


def _format_problems(incremental: Mapping[str, Any], place: str, zone: tzinfo | None) -> list[str]:
    """Return whether times are written so that whoever reads them takes them for others."""
    name = incremental.get("format", "as_is")
    near = None if "%" in name or name in _WRITTEN_NAMES else nearest(name, _WRITTEN_NAMES)
    if near is not None:
        return [
            f"`{place}.incremental.format` is `{name}`, which is no name of a format; did you mean `{near}`?"
        ]
    after = _OFFSET_AFTER.match(incremental.get("template", "{value}").partition("{value}")[2])
    behind = after[0] if after else ""
    if name in _WRITTEN_NAMES:
        # The look of what is `as_is` is not known; local times with an offset behind are.
        name_or_look = "%Y-%m-%dT%H:%M:%S" if name == "as_is" and behind and zone is not None else ""
    else:
        name_or_look = name
    problem = writing_problem(name_or_look + behind, zone) if name_or_look else None
    if problem is None:
        return []
    template = f" with the template `{incremental['template']}`" if behind else ""
    names = "" if "%" in name else f" (names: {', '.join(_WRITTEN_NAMES)})"
    return [f"`{place}.incremental.format` is `{name}`{template}: {problem}{names}"]


def _parent_problems(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    texts = [stream["path"], *map(str, _flat(stream.get("params", {}).values()))]
    uses_parent = any(PARENT_FIELD.search(text) for text in texts)
    if "parent" not in stream:
        return [f"`{place}` uses `{{parent...}}` and has no `parent`"] if uses_parent else []
    parent = stream["parent"]["stream"]
    if parent not in streams:
        return [f"`{place}.parent.stream` names `{parent}`, which is not among the streams"]
    if parent == stream["name"] or "parent" in streams[parent]:
        return [f"`{place}.parent.stream` names `{parent}`, which is itself a child: one level is supported"]
    if stream["parent"].get("read") == "changed" and "replication_key" not in streams[parent]:
        return [f"`{place}.parent.read: changed` needs a `replication_key` of stream `{parent}`"]
    if not uses_parent:
        return [f"`{place}` has a parent; `path` or `params` must hold a `{{parent.field}}`"]
    return []
