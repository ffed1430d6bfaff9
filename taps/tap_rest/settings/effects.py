"""Settings that would be accepted and do nothing where they stand: each is a sentence, and the config is refused.

Not refused are those that only say how the source is (`is_sorted` below a shared bookmark).

Settings that only bound what happens anyway (`retries`, `timeout`, `limits`, `infer`) are let be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.reach import Origin, configured_origin, is_ever_refused, is_url
from tap_rest.asking.urls import parameters_in_path
from tap_rest.settings.auth import auth_effects, sent_by_auth
from tap_rest.settings.errors import idle_rules
from tap_rest.settings.limits import Retries
from tap_rest.settings.parent import names_above
from tap_rest.settings.ratelimit import idle_budgets
from tap_rest.settings.request import with_request
from tap_rest.settings.schema import openapi_of

_UNSAID = Retries()
_FIRST_VALUE = re.compile(r"-?[0-9]+(\.[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?")
_NO_TIMES = ("number", "version", "text")
"""Formats of a replication key to which a time zone means nothing."""

__all__ = ["idle_settings", "settings_without_effect"]

Group = Mapping[str, Any]


def settings_without_effect(config: Group) -> list[str]:
    """Return a sentence for each setting without effect, of a config that its JSON Schema accepts."""
    return [
        *_of_auth(config),
        *_of_top_level(config),
        *idle_rules(config),
        *idle_budgets(config.get("rate_limit", {})),
        *(_of_pagination(config["pagination"], "pagination") if "pagination" in config else ()),
        *(
            sentence
            for index, stream in enumerate(config["streams"])
            for sentence in _of_stream(stream, f"streams[{index}]", config)
        ),
    ]


def _of_auth(config: Group) -> Iterator[str]:
    auth = config.get("auth", {})
    yield from auth_effects(auth)
    own, _ = sent_by_auth(auth)
    for where, group in _groups(config, "headers"):
        for name in group:
            if name.lower() in own:
                yield f"`{where}.{name}` has no effect, since `auth` sends that header; take one of them out"
            if name.lower() == "user-agent" and "user_agent" in config:
                yield f"`user_agent` has no effect beside `{where}.{name}`; take one of them out"


def _of_top_level(config: Group) -> Iterator[str]:
    retries = config.get("retries", {})
    first = retries.get("first_wait", _UNSAID.first_wait)
    longest = retries.get("longest_wait", _UNSAID.longest_wait)
    if first > longest:
        yield f"`retries.first_wait` ({first}) has no effect above `retries.longest_wait` ({longest}); lower the one or raise the other"
    if "schema_cache" in config and config.get("infer", {}).get("keep_in") == "state":
        yield "`schema_cache` has no effect with `infer.keep_in` `state`: no file is written; take one of them out"
    inheriting = [stream for stream in config["streams"] if "pagination" not in stream]
    if config.get("pagination", {}).get("continue_by") == "bookmark" and not any(
        stream.get("is_sorted") and "incremental" in stream for stream in inheriting
    ):
        yield "`pagination.continue_by` `bookmark` has no effect, since no stream that goes by it has `is_sorted` and `incremental`"
    for where, headers in _groups(config, "headers"):
        written = {name.lower(): name for name in headers}
        for name in headers:
            if written[name.lower()] != name:
                yield (
                    f"`{where}.{name}` has no effect beside `{where}.{written[name.lower()]}`, which is the same header; take one of "
                    "them out"
                )


def _groups(config: Group, key: str) -> Iterator[tuple[str, Group]]:
    yield key, config.get(key, {})
    for index, stream in enumerate(config["streams"]):
        yield f"streams[{index}].{key}", stream.get(key, {})


def idle_settings(config: Group) -> list[str]:
    """Return a sentence for each setting that often stands in configs by habit, and has no effect in this one."""
    idle = []
    if "pagination" in config and all("pagination" in stream for stream in config["streams"]):
        idle.append(
            "`pagination` of the top level has no effect, since every stream has one of its own. Take it out."
        )
    if "hook" in config and all("hook" in stream for stream in config["streams"]):
        idle.append(
            "`hook` of the top level has no effect, since every stream has one of its own. Take it out."
        )
    if (
        config.get("base_url", "")[:7].lower() == "http://"
        and "ca_file" in config
        and not config.get("allowed_hosts")
        and config.get("auth", {}).get("token_url", "")[:8].lower() != "https://"
    ):
        idle.append(
            "`ca_file` has no effect on `base_url`, which is read without TLS. Write `https://` there, or take `ca_file` out."
        )
    idle += [*_idle_addresses(config), *_idle_elsewhere(config), *_overridden(config)]
    retries = config.get("retries", {})
    if retries.get("tries") == 1:
        idle += [
            f"`retries.{key}` has no effect with `retries.tries` 1: nothing is asked for again. Raise that, or take it out."
            for key in ("first_wait", "longest_wait")
            if key in retries
        ]
    if "select" in config:
        idle += [
            f"`streams[{index}].selected` has no effect beside `select`, which says what is read. Write `!{stream['name']}` there, or take "
            "`selected` out."
            for index, stream in enumerate(config["streams"])
            if not stream.get("selected", True)
        ]
    if all("schema" in stream and openapi_of(stream["schema"]) is None for stream in config["streams"]):
        idle += [
            f"`{key}` has no effect, since every stream declares its `schema`: nothing is inferred. Take it out."
            for key in ("infer", "schema_cache")
            if key in config
        ]
    keyed = [stream for stream in config["streams"] if "replication_key" in stream]
    idle += [
        f"`{key}` of the top level has no effect, since every stream with a `replication_key` has one of its own. Take it out."
        for key in ("start_date", "end_date", "time_zone")
        if key in config and keyed and all(key in stream for stream in keyed)
    ]
    if keyed:
        return idle
    return idle + [
        f"`{key}` has no effect, since no stream has a `replication_key`: all rows are read. Set the `replication_key` "
        f"(and `incremental`) of a stream, or take `{key}` out."
        for key in ("start_date", "end_date", "time_zone")
        if key in config
    ]


def _idle_addresses(config: Group) -> Iterator[str]:
    """Name origins and addresses that are listed as allowed, and are so in any case, or in none."""
    base = _origin(config.get("base_url", ""))
    for host in config.get("allowed_hosts", ()):
        origin = _origin(host)
        if base is None or origin is None:
            continue
        if origin == base:
            yield f"`{host}` in `allowed_hosts` has no effect: it is the origin of `base_url`. Take it out."
        elif (base[0], origin[0]) == ("https", "http"):
            yield f"`{host}` in `allowed_hosts` has no effect: nothing leads from `https://` to a URL without TLS. Write `https://` there."
    for address in config.get("allowed_addresses", ()):
        if not is_ever_refused(address):
            yield (
                f"`{address}` in `allowed_addresses` has no effect: only link-local and metadata addresses are refused without it. Take it "
                "out."
            )


def _idle_elsewhere(config: Group) -> Iterator[str]:
    """Name what goes to the origin of `base_url` alone, where no stream is read there."""
    if all(_is_elsewhere(stream, config) for stream in config["streams"]):
        for key in ("auth", "headers"):
            if config.get(key) and config[key] != {"type": "none"}:
                yield (
                    f"`{key}` has no effect, since every stream leads to another origin than `base_url`, to which none of it is sent. Write "
                    "that origin as `base_url`, or take it out."
                )


def _overridden(config: Group) -> Iterator[str]:
    """Name what each stream says otherwise; names of headers have no case."""
    for group in ("params", "headers"):
        own = [
            {name.lower() if group == "headers" else name for name in stream.get(group, {})}
            for stream in config["streams"]
        ]
        for name in config.get(group, {}):
            if all((name.lower() if group == "headers" else name) in names for names in own):
                yield f"`{group}.{name}` of the top level has no effect, since every stream has one of its own. Take it out."


def _is_elsewhere(stream: Group, config: Group) -> bool:
    """Tell whether the path of a stream is the URL of another origin than `base_url`."""
    path = stream["path"]
    if not is_url(path) or "{" in path.partition("://")[2].partition("/")[0]:
        return False
    base, origin = _origin(config.get("base_url", "")), _origin(path)
    return base is not None and origin is not None and origin != base


def _origin(url: str) -> Origin | None:
    """Return the origin of a URL, or of a host; None: it is none, which is said elsewhere."""
    try:
        return configured_origin(url, "")
    except ConfigurationError:
        return None


def _of_stream(stream: Group, place: str, config: Group) -> Iterator[str]:
    parent = stream.get("parent", {})
    if "replication_key" not in stream:
        for key, is_set in (("is_sorted", stream.get("is_sorted")), ("time_zone", "time_zone" in stream)):
            if is_set:
                yield f"`{place}.{key}` has no effect without `{place}.replication_key`"
        if "bookmarks" in parent:
            yield f"`{place}.parent.bookmarks` has no effect without `{place}.replication_key`"
    if stream.get("activate_version"):
        yield from _of_versions(stream, place, config)
    if "duplicate_keys" in stream and not stream.get("primary_keys"):
        yield f"`{place}.duplicate_keys` has no effect without `{place}.primary_keys`"
    if "duplicate_keys" in stream and stream.get("partial_records"):
        yield f"`{place}.duplicate_keys` has no effect with `{place}.partial_records`, whose records are changes"
    bookmark = stream.get("bookmark", {})
    if "partitions" in bookmark and "parent" not in stream and "for_each" not in stream:
        yield f"`{place}.bookmark.partitions` has no effect without `{place}.parent`: there are no parents to remember"
    if "partitions" in bookmark and parent.get("copy") == {} and parent.get("bookmarks") != "each":
        yield (
            f"`{place}.bookmark.partitions` has no effect without `{place}.parent.bookmarks` `each`: all parents share one bookmark, and "
            "nothing is copied of them"
        )
    if "time_zone" in stream and stream.get("replication_key_format") in _NO_TIMES:
        yield (
            f"`{place}.time_zone` has no effect with `{place}.replication_key_format` `{stream['replication_key_format']}`, which is no "
            "time"
        )
    if stream.get("headers") and _is_elsewhere(stream, config):
        yield (
            f"`{place}.headers` has no effect, since `{place}.path` leads to another origin than `base_url`, to which no header of a "
            "config is sent"
        )
    if "margin" in bookmark and bookmark.get("signpost") in ("read_before", "none"):
        yield f"`{place}.bookmark.margin` has no effect with `{place}.bookmark.signpost` `{bookmark['signpost']}`"
    if "pagination" in stream:
        yield from _of_pagination(stream["pagination"], f"{place}.pagination")
    yield from _of_parameters(stream, place, config)


def _of_versions(stream: Group, place: str, config: Group) -> Iterator[str]:
    """Name why a stream is never read as a whole, so that no run knows which rows are gone."""
    setting = f"`{place}.activate_version` has no effect"
    streams = {other["name"]: other for other in config["streams"]}
    parents = [streams[name] for name in names_above(stream, streams)]
    if "replication_key" in stream:
        yield f"{setting} with `{place}.replication_key`, since a run then reads only what has changed; take one of them out"
    for parent in parents:
        if "replication_key" in parent:
            yield (
                f"{setting}, since its parent `{parent['name']}` has a `replication_key`, so that a run reads only the parents "
                "that have changed; take one of them out"
            )
    if stream.get("partial_records"):
        yield f"{setting} with `{place}.partial_records`, whose records are changes"


def _of_pagination(pagination: Group, place: str) -> Iterator[str]:
    if "size_param" in pagination and "size" not in pagination:
        yield f"`{place}.size_param` has no effect without `{place}.size`"
    if "size" in pagination and "param" in pagination and pagination["param"] == _size_param(pagination):
        yield f"`{place}.size` has no effect, since `{place}.param` sends the parameter `{pagination['param']}`, too"
    if "param" in pagination and "request_header" in pagination:
        yield f"`{place}.param` has no effect beside `{place}.request_header`"
    if "{value}" not in pagination.get("template", "{value}"):
        yield f"Expected `{{value}}` inside `{place}.template`"


def _of_parameters(stream: Group, place: str, config: Group) -> Iterator[str]:
    """Name parameters that two settings send: one of the values is sent in vain, or both are."""
    groups = [("params", config.get("params", {})), (f"{place}.params", stream.get("params", {}))]
    pagination = stream.get("pagination", config.get("pagination", {"type": "single"}))
    pagination = with_request({**stream, "pagination": pagination})["pagination"]
    by_pages = _sent_by_pages(pagination)
    for where, params in groups:
        for name in params:
            # A token or a key may have a first value there: `cursor=*`.
            if by_pages.get(name) in ("pagination.start", "pagination.size"):
                yield (
                    f"`{where}.{name}` has no effect in {place}, since `{by_pages[name]}` sends that parameter; say it there"
                )
    incremental = stream.get("incremental", {})
    asked = (
        incremental.get("param")
        if incremental.get("in", "query") == "query" and "graphql" not in stream
        else None
    )
    if asked is not None:
        yield from _of_incremental(stream, place, groups, pagination, has_start="start_date" in config)
    _, keys = sent_by_auth(config.get("auth", {}))
    in_path = {name for name, _ in parameters_in_path(stream["path"])}
    others = {
        **dict.fromkeys([asked] if asked else [], f"{place}.incremental.param"),
        **by_pages,
        **{name: f"{where}.{name}" for where, params in groups for name in params},
    }
    for key in sorted(keys & {*others, *in_path}):
        yield (
            f"`{others.get(key, f'{place}.path')}` sends the parameter `{key}`, which `auth` sends, too, in its place; take one "
            "of them out"
        )
    for name in sorted(in_path & set(others)):
        yield (
            f"`{place}.path` has the parameter `{name}`, which `{others[name]}` sends, too, so it would be sent twice; take it "
            "out of the path (an array in `params` repeats a parameter)"
        )


def _of_incremental(
    stream: Group, place: str, groups: Sequence[tuple[str, Group]], pagination: Group, *, has_start: bool
) -> Iterator[str]:
    """Name what the bookmark replaces, or what replaces the bookmark."""
    incremental = stream["incremental"]
    asked, by_pages = incremental["param"], _sent_by_pages(pagination)
    if by_pages.get(asked) in ("pagination.start", "pagination.size"):
        yield f"`{place}.incremental.param` has no effect, since `{by_pages[asked]}` sends the parameter `{asked}`, too"
    is_of_pages = pagination["type"] == "keyset" and by_pages.get(asked) == "pagination.param"
    if is_of_pages and pagination["field"] != stream.get("replication_key"):
        yield (
            f"`{place}.incremental.param` is the parameter `{asked}` of `keyset`, too, which takes its place from the second "
            "page on, so that rows before the bookmark come; ask by another parameter, or take `incremental` out"
        )
    for where, params in groups:
        if asked in params and "token" in incremental:
            yield f"`{where}.{asked}` is lost as soon as there is a token, since `{place}.incremental` sends that parameter; take it out"
        elif asked in params and (has_start or not _is_first_value(params[asked])):
            template = incremental.get("template", "{value}")
            yield (
                f"`{where}.{asked}` is lost as soon as there is a bookmark, since `{place}.incremental` sends that parameter: "
                f"take it out of `params`. A first value is a number or a date, or goes into `start_date`; a filter goes into the template "
                f'(`"template": "(the filter) and {template}"`, or as the API joins two), with a `start_date` before all rows, so '
                "that the first run sends it, too"
            )


def _is_first_value(value: Any) -> bool:
    """Tell whether a parameter says where the first run begins (`start_time=0`), so that nothing of it is lost with a bookmark."""
    return not isinstance(value, bool) and _FIRST_VALUE.fullmatch(str(value)) is not None


def _sent_by_pages(pagination: Group) -> dict[str, str]:
    """Return the parameters that `pagination` sends, each with the setting that it is for."""
    kind = pagination["type"]
    sent = {}
    if pagination.get("in", "query") != "query":
        is_beside = "size" in pagination and "size_in" not in pagination and pagination["in"] != "body"
        return {_size_param(pagination): "pagination.size"} if is_beside else {}
    if "request_header" not in pagination and kind in ("cursor", "header_cursor", "keyset"):
        sent[pagination.get("param", "cursor")] = "pagination.param"
    if kind in ("page", "offset"):
        sent[pagination.get("param", kind)] = "pagination.start"
    if "size" in pagination and "size_in" not in pagination:
        sent[_size_param(pagination)] = "pagination.size"
    return sent


def _size_param(pagination: Group) -> str:
    return str(pagination.get("size_param", "per_page" if pagination["type"] == "page" else "limit"))
