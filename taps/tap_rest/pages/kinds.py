"""How the next page is found: nine kinds, each a function from one page to the step that asks for the next.

All but `single` stand in `NEXT`; what each needs from the bodies is in `body_paths`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from singerkit_wire import jsonexact as exact
from tap_rest.pages.here import IN_HEADER, Here
from tap_rest.pages.lastpage import Place
from tap_rest.pages.links import parse_links, without_values
from tap_rest.pages.pointers import is_token
from tap_rest.pages.steps import Step, step_at, step_behind_key, step_with
from tap_rest.paths import Found, has_place, list_and_last, parse_path
from tap_rest.settings.pagination import Pagination

__all__ = ["BY_TOKEN", "NEXT", "body_paths", "place_name", "place_of", "relation_path"]

BY_TOKEN = ("cursor", "header_cursor")


def body_paths(settings: Pagination) -> list[str]:
    """Return the paths that a kind needs from each body, those of the stop rules included."""
    rules = [
        settings.total_pages,
        settings.total_count,
        relation_path(settings),
        settings.has_more,
        settings.is_last,
    ]
    paths = [path for path in rules if path is not None and not path.startswith(IN_HEADER)]
    token = token_path(settings)
    is_inside = token is not None and not token.startswith(IN_HEADER)
    return list(dict.fromkeys([*paths, token] if token is not None and is_inside else paths))


def relation_path(settings: Pagination) -> str | None:
    """Return where Elasticsearch says whether a total is exact (`{"value": 10000, "relation": "gte"}`)."""
    path = settings.total_count or ""
    if path.startswith(IN_HEADER) or not path.endswith(".value"):
        return None
    return path.removesuffix("value") + "relation"


def token_path(settings: Pagination) -> str | None:
    if settings.by_hook:
        return None
    last = list_and_last(settings.cursor or "")
    cursor = settings.cursor if last is None else last[0]
    own = {"cursor": cursor, "next_url": _next_path(settings), "hateoas": _links_path(settings)}
    return own.get(settings.type)


def _next_path(settings: Pagination) -> str:
    return settings.next or "$.next"


def _links_path(settings: Pagination) -> str:
    return settings.links or "$._links"


def place_of(here: Here) -> Place:
    """Tell whether the answer has what `pagination` names, be it null."""
    settings = here.settings
    match settings.type:
        case _ if settings.by_hook:
            return Place.SAID
        case "link_header":
            return Place.ABSENT if here.header("Link") is None else Place.SAID
        case "header_cursor":
            return Place.ABSENT if here.header(settings.header or "") is None else Place.SAID
        case "next_url" if _next_path(settings).startswith(IN_HEADER):
            name = _next_path(settings).removeprefix(IN_HEADER)
            return Place.ABSENT if here.header(name) is None else Place.SAID
    text = token_path(settings)
    if text is None or here.page.fields.get(text) not in (None, []):
        return Place.SAID
    path = parse_path(text, "pagination")
    if path.names is None or len(path.names) < 2:
        return Place.ABSENT
    return Place.OMITTED if has_place(here.response.body, path.names[:-1]) else Place.ABSENT


def place_name(settings: Pagination) -> str:
    rel = settings.rel or "next"
    match settings.type:
        case _ if settings.by_hook:
            return "`next_page` of the hook"
        case "link_header":
            return f"Link header with rel `{rel}`"
        case "header_cursor":
            return f"header `{settings.header}`"
        case "hateoas":
            return f"`{_links_path(settings)}` with rel `{rel}`"
        case "cursor":
            return f"`{settings.cursor}`"
        case _:
            return f"`{token_path(settings)}`"


def _after_page(here: Here) -> Step | None:
    return step_at(here.step, here.settings, here.step.position + 1)


def _after_offset(here: Here) -> Step | None:
    # By what came, not by what was asked for: a server may cap the page silently.
    came = len(here.page.came) or here.settings.size or here.seen.largest_page
    if not came:
        raise BadDataError(
            f"The first page of stream {here.name} is empty and is not the last; set `pagination.size` to "
            "know where the next begins."
        )
    return step_at(here.step, here.settings, here.step.position + came)


def _after_cursor(here: Here) -> Step | None:
    token = here.hooked if here.settings.by_hook else here.token(here.settings.cursor or "")
    return _with_token(here, token)


def _after_header_cursor(here: Here) -> Step | None:
    name = here.settings.header or ""
    return _with_token(here, here.header(name))


def _with_token(here: Here, token: Any) -> Step | None:
    is_none = token in (None, []) or (isinstance(token, str | int) and not is_token(token))
    return None if is_none else step_with(here.step, here.settings, token)


def _after_link_header(here: Here) -> Step | None:
    try:
        links = parse_links(here.header("Link") or "")
    except ValueError as error:
        raise BadDataError(
            f"The Link header on page {here.seen.pages} of stream {here.name} cannot be read ({error}), so there may be "
            "more pages; the server has to mend it, or another `pagination` has to be chosen."
        ) from None
    for link in links:
        if link.has_rel(here.settings.rel or "next"):
            return _to(here, link.url)
    return None


def _after_next_url(here: Here) -> Step | None:
    url = here.hooked if here.settings.by_hook else here.rule(_next_path(here.settings))
    if not url:
        return None
    return _to(here, url)


def _after_hateoas(here: Here) -> Step | None:
    path = _links_path(here.settings)
    wanted = here.settings.rel or "next"
    link = _link(_loaded(here.page.fields[path]), wanted)
    url = link.get("href", link.get("url")) if isinstance(link, dict) else link
    if url is None or url is False or url == "":
        return None
    if not isinstance(url, str):
        raise BadDataError(
            f"Expected a URL at `{path}` with rel `{wanted}` on page {here.seen.pages} of stream "
            f"{here.name}, got something else; check `pagination.links`."
        )
    return _to(here, url, is_template=isinstance(link, dict) and link.get("templated") is True)


def _loaded(found: Found) -> Any:
    if isinstance(found, list):
        return [exact.loads(bytes(item)) for item in found]
    return None if found is None else exact.loads(bytes(found))


def _link(links: Any, wanted: str) -> Any:
    """Return the link of a relation, or its URL, from `[{rel, href}]`, `{next: {href}}` or `{next: url}`."""
    if isinstance(links, list):
        rels = [
            link
            for link in links
            if isinstance(link, dict) and wanted in (link.get("rel"), link.get("relation"))
        ]
        return rels[0] if rels else None
    return links.get(wanted) if isinstance(links, dict) else None


def _after_keyset(here: Here) -> Step | None:
    name = here.settings.field or ""
    value = here.last_key
    if value is None:
        raise BadDataError(
            f"Expected a value in `{name}` of the last record on page {here.seen.pages} of stream "
            f"{here.name}, got nothing; `pagination.field` must be a field that every record has."
        )
    return step_behind_key(here.step, here.settings, value)


def _to(here: Here, url: str, *, is_template: bool = False) -> Step:
    try:
        whole = without_values(url, is_template=is_template)
    except ValueError as error:
        raise BadDataError(
            f"Expected the URL of the next page on page {here.seen.pages} of stream {here.name}, got a template that leaves "
            f"`{redactor.mask_foreign(str(error))[:60]}` open; name another link in `pagination` (`links`, `rel`), or ask for "
            "pages by number."
        ) from None
    try:
        return Step(url=urljoin(here.response.url, whole))
    except ValueError:
        raise BadDataError(
            f"Expected the URL of the next page on page {here.seen.pages} of stream {here.name}, got something that is none; "
            "check `pagination`."
        ) from None


NEXT: dict[str, Callable[[Here], Step | None]] = {
    "page": _after_page,
    "offset": _after_offset,
    "cursor": _after_cursor,
    "header_cursor": _after_header_cursor,
    "link_header": _after_link_header,
    "next_url": _after_next_url,
    "hateoas": _after_hateoas,
    "keyset": _after_keyset,
}
