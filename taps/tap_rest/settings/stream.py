"""One of `streams`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from singerkit_wire.stream import DELETED_AT
from tap_rest.paths import filters, rows_and_inside, unfiltered
from tap_rest.settings import setting
from tap_rest.settings.body import BODY, ArraysSettings, CsvSettings, XmlSettings, body_problems
from tap_rest.settings.conditional import CONDITIONAL
from tap_rest.settings.deletes import DELETES, Deletes
from tap_rest.settings.each import FOR_EACH, FromStream
from tap_rest.settings.errors import ERRORS, ErrorRule
from tap_rest.settings.explode import EXPLODE, Explode
from tap_rest.settings.fields import COPY, field_problems, names_of
from tap_rest.settings.hook import HOOK, HookSettings
from tap_rest.settings.incremental import BOOKMARK, INCREMENTAL, BookmarkSettings, Incremental
from tap_rest.settings.job import JOB, Job
from tap_rest.settings.method import BODY_FORMAT, GRAPHQL, METHOD, REQUEST_BODY, GraphQL
from tap_rest.settings.pagination import PAGINATION, Pagination, pagination_problems
from tap_rest.settings.parent import PARENT, Parent, fields_of_parent, parent_problems
from tap_rest.settings.request import bookmark_needed
from tap_rest.settings.schema import OVERRIDES, SCHEMA, overridden, schema_problems
from tap_rest.settings.span import END_DATE, START_DATE
from tap_rest.settings.sweep import SWEEP
from tap_rest.settings.times import TIME_ZONE, time_zone_problems
from tap_rest.settings.tokens import TokenSettings
from tap_rest.settings.windows import end_is_asked

__all__ = ["HEADERS", "PARAMS", "STREAM", "StreamSettings", "filter_problems", "stream_problems"]

_JSON = ["string", "number", "boolean"]

HEADERS = {
    "type": "object",
    "additionalProperties": {"type": "string"},
    "description": "Request headers. Those of a stream are added to those of the top level.",
}
PARAMS = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": _JSON}, {"type": "array", "items": {"type": _JSON}}],
    },
    "description": "Query parameters of every request; an array repeats the parameter. Those of a stream are "
    "added to those of the top level.",
}

STREAM = setting.group(
    "A stream: one kind of record.",
    {
        "name": setting.name("Name of the stream.", minLength=1),
        "path": setting.text(
            "Path below `base_url`, or a full URL; parameters go into `params`. May hold `{parent.field}`, which is percent-encoded "
            "unless the path begins with it."
        ),
        "params": PARAMS,
        "headers": HEADERS,
        "method": METHOD,
        "body": REQUEST_BODY,
        "body_format": BODY_FORMAT,
        "graphql": GRAPHQL,
        "records": setting.name(
            "JSONPath of the records, for instance `$.data[*]`. Default: found by itself, if the body is an "
            "array or an object with exactly one array of objects and no empty one; later answers and runs have to have "
            "them there."
        ),
        "missing_records": setting.text(
            "What it means when `records` finds null or nothing: `fail`, or `empty`, a page without records. "
            "Default `fail`.",
            enum=["fail", "empty"],
        ),
        **BODY,
        "partial_answers": setting.text(
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
        "primary_keys": setting.names(
            "Fields that identify a record, also inside others (`info.id`, sent as `info_id`; a name with dots in brackets, `['a.b']`). "
            "Default: none, records are appended."
        ),
        "copy": COPY,
        "explode": EXPLODE,
        "jmespath": setting.name(
            "A JMESPath that makes the rows: it is given an array of one record, behind `explode`, and gives an array of objects: "
            "`[?status != 'draft'].{id: id, city: address.city}`. Needs `singerkit[jmespath]`. Default: none, the records are the rows.",
            minLength=1,
        ),
        "job": JOB,
        "deletes": DELETES,
        "duplicate_keys": setting.text(
            "What it means when two different rows have the same `primary_keys` in one answer, or below two parents: "
            "`fail`, or `warn`, and the last one replaces the others. Default `fail`.",
            enum=["fail", "warn"],
        ),
        "replication_key": setting.name(
            "Field that grows with every change, also inside others (`fields.updated`, sent as `fields_updated`); makes the stream "
            "incremental."
        ),
        "replication_key_format": setting.name(
            "What the values of `replication_key` are, where that cannot be seen: `date-time`, `date` (ISO 8601), "
            "`epoch` (seconds), `epoch_ms`, `epoch_us`, `epoch_ns`, `rfc2822` (Wed, 21 Oct 2026 07:28:00 GMT), `json_date` (/Date(1439434356790+0000)/), a strptime "
            "pattern such as `%m/%d/%Y`; `number`, `version` (1.10.2), or `text`, compared by code point. Default: by the "
            "schema and the look of the values, ISO 8601 or numbers; `incremental.format` `epoch` and `epoch_ms` say it of "
            "numbers, too."
        ),
        "start_date": START_DATE,
        "end_date": END_DATE,
        "time_zone": TIME_ZONE,
        "is_sorted": setting.flag(
            "The pages come in ascending order of `replication_key`, so a run that was stopped resumes "
            "there. Default false."
        ),
        "incremental": INCREMENTAL,
        "bookmark": BOOKMARK,
        "pagination": PAGINATION,
        "schema": SCHEMA,
        "schema_overrides": OVERRIDES,
        "parent": PARENT,
        "for_each": FOR_EACH,
        "errors": ERRORS,
        "on_error": setting.text(
            "What an error of this stream alone means (an answer with 403 or another 4xx, one that is not what was promised, 5xx after all "
            "tries): `fail` ends the run at once; `continue`: other streams are read, and below a parent or in a partition the others, and "
            "the run ends with the error. Default `continue`.",
            enum=["fail", "continue"],
        ),
        "activate_version": setting.flag(
            "What the API lists is all there is, and a row that it lists no more is to leave the target: each load of which it is sure "
            "that all rows have come ends with ACTIVATE_VERSION. Only for streams that each run reads as a whole; several pages are "
            "read twice, and so is all below parents. Default false."
        ),
        "sweep": SWEEP,
        "conditional": CONDITIONAL,
        "hook": HOOK,
        "selected": setting.flag(
            "Whether the stream is read where neither `select` nor a catalog says. Default true."
        ),
    },
    ["name", "path"],
)


class StreamSettings(msgspec.Struct, frozen=True, dict=True):
    """One of `streams`, with what it takes over from the top level filled in."""

    name: str
    path: str
    params: dict[str, Any] = {}
    headers: dict[str, str] = {}
    method: str = "GET"
    body: Any = None
    body_format: str = "json"
    graphql: GraphQL | None = None
    records: str | None = None
    missing_records: str = "fail"
    format: str | None = None
    csv: CsvSettings = CsvSettings()
    xml: XmlSettings = XmlSettings()
    zip_members: str = "*"
    layout: str = "objects"
    arrays: ArraysSettings = ArraysSettings()
    partial_answers: str = "fail"
    partial_records: bool = False
    primary_keys: tuple[str, ...] = ()
    copied: dict[str, tuple[str, ...]] = {}
    """What is copied to the top of each record: its name there, and the names down to where it stands."""
    explode: Explode | None = None
    jmespath: str | None = None
    deletes: Deletes | None = None
    duplicate_keys: str = "fail"
    replication_key: str | None = None
    replication_key_format: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    time_zone: str | None = None
    is_sorted: bool = False
    incremental: Incremental | None = None
    token: TokenSettings | None = None
    """`incremental` of a stream that goes on by a token."""
    bookmark: BookmarkSettings = BookmarkSettings()
    pagination: Pagination = Pagination()
    declared_schema: dict[str, Any] | str | None = msgspec.field(default=None, name="schema")
    schema_overrides: dict[str, Any] = {}
    parent: Parent | None = None
    for_each: dict[str, tuple[str | int | FromStream, ...] | FromStream] = {}
    errors: tuple[ErrorRule, ...] = ()
    splits: bool = False
    """Whether a rule, be it one of the top level, has its windows asked for in halves."""
    job: Job | None = None
    on_error: str = "continue"
    activate_version: bool = False
    sweep: str | None = None
    conditional: bool = False
    hook: HookSettings | None = None
    selected: bool = True

    @property
    def hidden_params(self) -> list[str]:
        """Names of parameters whose values are not shown: those of the config, and a token."""
        token = self.token
        of_token = [] if token is None else [*filter(None, [token.param]), *token.first_params]
        return [*self.params, *of_token, *(() if self.job is None else self.job.params)]

    @property
    def keyset_field(self) -> str | None:
        """The field by which a `keyset` goes on, by its name at the top of the records; None: it is not there, or no such pagination."""
        if self.pagination.type != "keyset" or self.makes_rows:
            return None
        names = names_of(self.pagination.field or "")
        at_top = names[0] if len(names) == 1 else None
        return next((name for name, at in self.copied.items() if at == names), at_top)

    @property
    def overrides(self) -> dict[str, Any]:
        """`schema_overrides` as properties of a record, with the mark of rows that are gone."""
        marks = (
            {} if self.deletes is None else {DELETED_AT: {"type": ["string", "null"], "format": "date-time"}}
        )
        return overridden(self.schema_overrides) | marks

    @property
    def rows_at(self) -> str | None:
        """The path of the records; None: it is found in the answers."""
        if self.records is None:
            return "$" if self.layout == "columns" else None
        return self.records if self.layout != "objects" else rows_and_inside(self.records)[0]

    @property
    def inside(self) -> tuple[str, ...]:
        """The names down to a record from what stands in the list at `rows_at`."""
        if self.records is None or self.layout != "objects":
            return ()  # what stands there is no record yet
        return rows_and_inside(self.records)[1]

    @property
    def pages_shift(self) -> bool:
        """Whether rows move between pages when the source changes while it is read."""
        return self.pagination.type in ("page", "offset") and not self.follows_key

    @property
    def makes_rows(self) -> bool:
        """Whether its rows are others than its records."""
        return self.explode is not None or self.jmespath is not None or "post_process" in self.hooked

    @property
    def hooked(self) -> tuple[str, ...]:
        """The methods of its hook."""
        return () if self.hook is None else self.hook.methods

    @property
    def follows_key(self) -> bool:
        """Whether a read goes on by the replication key instead of the page number, or where an API gives only so many rows of a question."""
        goes_by_key = self.pagination.type in ("page", "offset") or self.pagination.max_rows is not None
        return goes_by_key and self._can_follow

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
        if not self.is_sorted or self.incremental is None or self.job is not None:
            return False
        if filters(self.records or "") or self.makes_rows:
            return False  # what is left of a page does not say how full it was
        wanted = self.pagination.continue_by
        return wanted == "bookmark" or (wanted is None and not self.incremental.is_coarse)

    @property
    def reads_windows(self) -> bool:
        """Whether the end of what is asked for is said, too, be it of one window or of many."""
        return self.incremental is not None and end_is_asked(self.incremental.until_param, self.asked)

    @property
    def in_parts(self) -> bool:
        """Whether it is read in more windows than one, which ascend."""
        incremental = self.incremental
        if incremental is None or not self.reads_windows:
            return False
        by_length = incremental.window is not None or incremental.shard_window is not None
        return by_length or self.pagination.max_rows is not None or self.splits

    @property
    def shares_bookmark(self) -> bool:
        """Whether all parents of this child have one bookmark."""
        return (
            self.replication_key is not None and self.parent is not None and self.parent.bookmarks != "each"
        )

    @cached_property
    def parent_fields(self) -> tuple[str, ...]:
        """Fields of the parent that the request uses, each once."""
        return fields_of_parent(*self.asked)

    @property
    def added_fields(self) -> set[str]:
        """The fields that the config adds to the records."""
        around = self.explode.copy if self.explode is not None else ()
        marks = () if self.deletes is None else (DELETED_AT,)
        return {*self.copies, *self.copied, *self.for_each, *around, *marks}

    @property
    def needs_bookmark(self) -> bool:
        """Whether no request can be made without a bookmark or a start."""
        return bookmark_needed(*self.asked)

    @property
    def asked(self) -> tuple[Any, ...]:
        """What the requests are made of, those of a job included, and may hold placeholders."""
        return self.own_asked if self.job is None else (*self.own_asked, *self.job.asked)

    @cached_property
    def own_asked(self) -> tuple[Any, ...]:
        """What the requests for pages are made of."""
        variables = self.graphql.variables if self.graphql is not None else None
        behind = self.pagination.next_request
        following = () if behind is None else (behind.path or "", behind.params, behind.body)
        return self.path, self.params, self.headers, self.body, variables, *following

    @cached_property
    def copies(self) -> dict[str, str]:
        """Field of the child -> field of the parent."""
        if self.parent is None:
            return {}
        if self.parent.copy is not None:
            return self.parent.copy
        return {f"{self.parent.stream}_{field}": field for field in self.parent_fields}


def stream_problems(
    stream: Mapping[str, Any], place: str, streams: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Return what its settings say against each other, and against those of ``streams``, which are there by name."""
    problems = []
    if "pagination" in stream:
        problems += pagination_problems(stream["pagination"], f"{place}.pagination")
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
    if "token" not in stream.get("incremental", {"token": None}) and "replication_key" not in stream:
        problems.append(f"`{place}.incremental` needs `{place}.replication_key`")
    template = stream.get("incremental", {}).get("template", "{value}")
    if "{value}" not in template:
        problems.append(f"Expected `{{value}}` inside `{place}.incremental.template`")
    problems += time_zone_problems(stream, f"{place}.")
    problems += field_problems(stream, place)
    problems += body_problems(stream, place)
    problems += schema_problems(stream, place)
    return problems + parent_problems(stream, place, streams)


def filter_problems(stream: Mapping[str, Any], place: str, pagination: Mapping[str, Any] | None) -> list[str]:
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
