"""`pagination` from the styles of tap-rest-api-msdk: what asks for the next page, and what the answer tells of it."""

from __future__ import annotations

import re
from typing import Any

from tap_rest.msdk.oldconfig import OldStream

__all__ = ["LIMITS", "paginated"]

LIMITS = {"offset": "limit", "style1": "limit", "header_link": "per_page"}
"""Response styles that send a page size, with the parameter that takes it by default."""
_SPLIT = re.compile(r"\.`split\([^`]*\)`$")
_LEAST = 25  # what it asked for where nobody said


def paginated(old: OldStream, params: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return `pagination` and what has to be said about it; a parameter of the page size moves there from ``params``."""
    asks, answers = (
        old.text("pagination_request_style", "default"),
        old.text("pagination_response_style", "default"),
    )
    path, notes = old.text("next_page_token_path"), list[str]()
    start = old.count("pagination_initial_offset")
    param = old.text("pagination_next_page_param") or (
        "offset" if answers in ("offset", "style1") else "page"
    )
    size = _size(old, asks, answers, params)
    total = old.text("pagination_total_limit_param", "total")
    if asks == "single_page_paginator":
        return {"type": "single"}, notes
    if asks in ("header_link_paginator", "restapi_header_link_paginator"):
        return {"type": "link_header", **size}, notes
    if asks == "page_number_paginator":
        notes.append(
            "A page number that goes on as long as the flag is true: an answer without it ends the run."
        )
        return {
            "type": "page",
            "param": param,
            **({} if start is None else {"start": start}),
            "has_more": path or "$.hasMore",
            **size,
        }, notes
    if asks in ("style1", "offset_paginator", "simple_offset_paginator"):
        notes += _told_of_start(start)
        counted = (
            {} if asks == "simple_offset_paginator" else {"total_count": f"{path or '$.pagination'}.{total}"}
        )
        return {
            "type": "offset",
            "param": param,
            **({} if start is None else {"start": start}),
            **counted,
            **_whole(size),
        }, notes
    if asks == "hateoas_paginator" or answers == "hateoas_body":
        return (
            {"type": "next_url", "next": _SPLIT.sub("", path), **size}
            if path
            else {"type": "hateoas", **size}
        ), notes
    if asks == "simple_header_paginator" and not path:
        return {"type": "header_cursor", "header": "X-Next-Page", "param": param, **size}, notes
    if asks not in ("default", "jsonpath_paginator", "simple_header_paginator"):
        notes.append(
            f"Its pagination_request_style `{asks}` is none that tap-rest-api-msdk knows: look at `pagination`."
        )
    return {"type": "cursor", "cursor": path or "$.next_page", "param": param, **size}, notes


def _size(old: OldStream, asks: str, answers: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return `size` and `size_param`, where a size was sent."""
    said, name = old.count("pagination_page_size"), old.text("pagination_limit_per_page_param")
    name = name or LIMITS.get(answers, "")
    if not name or (answers not in LIMITS and answers != "hateoas_body"):
        return {}
    in_params = params.get(name)
    has_default = answers == "header_link" or asks in ("style1", "offset_paginator")
    size = (
        said
        or (int(str(in_params)) if str(in_params).isdigit() else None)
        or (_LEAST if has_default else None)
    )
    if size is None:
        return {}
    params.pop(name, None)
    return {"size": size, "size_param": name}


def _whole(size: dict[str, Any]) -> dict[str, Any]:
    """Return the size of a stream that goes on by offset, for which there is always one."""
    return size or {"size": _LEAST}


def _told_of_start(start: int | None) -> list[str]:
    if start is None:
        return [
            "The old tap began with offset 1, which leaves out the first row of most APIs; set start: 1 in `pagination` if this one counts from 1."
        ]
    return (
        ["start: 1 leaves out the first row of an API that counts from 0; take it out then."]
        if start == 1
        else []
    )
