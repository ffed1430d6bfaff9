"""What somebody who reads a config would ask about: nothing that a run refuses, and nothing that is always wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from singerkit_state.delivery import Delivery, Guarantee
from tap_rest.incremental import is_of_creation
from tap_rest.linting.finding import Finding
from tap_rest.names import plain_name
from tap_rest.pages.membernames import QUERY_SIZES

__all__ = ["advices"]

Group = Mapping[str, Any]
_SIZED = ("page", "offset", "cursor", "header_cursor", "link_header", "next_url", "keyset", "relay")
_GUARDS: tuple[tuple[str, Any, str], ...] = (
    ("pagination.unread", "warn", "rows behind a page that nobody reads are missing with a warning"),
    (
        "pagination.allow_repeated_pages",
        True,
        "a server that answers each page with the same rows is not noticed",
    ),
    ("partial_answers", "warn", "an answer that is not whole is taken with a warning"),
    ("duplicate_keys", "warn", "two rows with one key become one with a warning"),
    ("bookmark.signpost", "none", "a row that changes while the stream is read is missed"),
)

_WAY_TO_MISS_NONE = " Where the API can sort by the `replication_key`, ask it to, and set `is_sorted`: pages are asked for from the last row on then."


def advices(config: Group, deliveries: Callable[[Group], list[Delivery]]) -> Iterator[Finding]:
    """Yield advices about a config that a run accepts; ``deliveries`` says what is promised of each stream."""
    yield from _of_transport(config)
    promised = deliveries(config)
    for index, stream in enumerate(config["streams"]):
        place = f"streams[{index}]"
        yield from _of_keys(stream, place)
        yield from _of_delivery(stream, place, promised[index], config.get("pagination", {}))
        yield from _of_pages(stream, place, config)
        yield from _of_guards(stream, place)


def _of_transport(config: Group) -> Iterator[Finding]:
    has_header = any("auth" in name.lower() or "key" in name.lower() for name in config.get("headers", {}))
    has_credentials = has_header or config.get("auth", {"type": "none"})["type"] != "none"
    urls = {"base_url": config["base_url"], "auth.token_url": config.get("auth", {}).get("token_url", "")}
    for place, url in urls.items():
        if has_credentials and _is_open(url):
            yield Finding(
                "http-credentials",
                place,
                f"`{place}` begins with `http://`: whoever is on the way reads the credentials; write `https://` if the API has it.",
            )


def _is_open(url: str) -> bool:
    """Tell whether what is sent to a URL can be read on the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_here = host in ("localhost", "::1") or host.startswith("127.")
    return parts.scheme.lower() == "http" and not is_here


def _of_keys(stream: Group, place: str) -> Iterator[Finding]:
    key, name = stream.get("replication_key"), stream["name"]
    if not stream.get("primary_keys") and key is not None:
        yield Finding(
            "no-primary-keys",
            place,
            f"Stream {name} has no `primary_keys`: a row that has changed comes once more, beside the former one. Rows that never change need none.",
        )
    if key is None:
        return
    if is_of_creation(key) and stream.get("primary_keys"):
        yield Finding(
            "key-of-creation",
            f"{place}.replication_key",
            f"`{key}` of stream {name} is the time of creation by its name: a row that changes later is not asked for. Rows that never change are fine.",
        )
    if "incremental" not in stream and not stream.get("conditional"):
        yield Finding(
            "no-filter",
            f"{place}.replication_key",
            f"Stream {name} has a `replication_key` and no `incremental`: each run asks for all rows, and sends the new ones. Say by which parameter the API takes a bookmark, if it does.",
        )


def _of_delivery(stream: Group, place: str, promised: Delivery, of_all: Group) -> Iterator[Finding]:
    if promised.guarantee is Guarantee.MAY_MISS:
        is_numbered = stream.get("pagination", of_all).get("type") in ("page", "offset")
        may_be_sorted = is_numbered and "incremental" in stream and not stream.get("is_sorted")
        way = _WAY_TO_MISS_NONE if may_be_sorted else ""
        yield Finding("may-miss", place, f"Stream {stream['name']}: {promised.reason}.{way}")
    if promised.guarantee is Guarantee.AT_LEAST_ONCE:
        yield Finding("may-repeat", place, f"Stream {stream['name']}: {promised.reason}.")


def _of_pages(stream: Group, place: str, config: Group) -> Iterator[Finding]:
    pagination = stream.get("pagination", config.get("pagination"))
    at = f"{place}.pagination" if "pagination" in stream else "pagination"
    if pagination is None:
        if "job" not in stream:
            yield Finding(
                "no-pagination",
                place,
                f'Stream {stream["name"]} has no `pagination`: a run ends where an answer shows that there are more; say `{{"type": "single"}}` if one request is all.',
            )
        return
    sent = {
        *stream.get("params", {}),
        *config.get("params", {}),
        *(stream["body"] if isinstance(stream.get("body"), Mapping) else ()),
    }
    has_size = (
        "size" in pagination
        or any(plain_name(name) in QUERY_SIZES for name in sent)
        or "{size}" in str(stream)
        or "graphql" in stream
    )
    if pagination["type"] in _SIZED and not has_size:
        yield Finding(
            "no-page-size",
            at,
            f"Stream {stream['name']} asks for pages of no `size`: many APIs give 20 rows then, and each page is a request.",
        )


def _of_guards(stream: Group, place: str) -> Iterator[Finding]:
    for setting, value, fate in _GUARDS:
        group: Any = stream
        for key in setting.split("."):
            group = group.get(key) if isinstance(group, Mapping) else None
        if group == value and type(group) is type(value):
            yield Finding(
                "guard-off",
                f"{place}.{setting}",
                f"With `{setting}` {'true' if value is True else f'`{value}`'} in stream {stream['name']}, {fate}.",
            )
