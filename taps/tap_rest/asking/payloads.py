"""The body of a request, written in its format: JSON, a form, or a text as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from singerkit_shell.errors import BadDataError
from singerkit_wire import jsonexact as exact
from tap_rest.asking.placeholders import as_text
from tap_rest.asking.questions import Payload
from tap_rest.asking.urls import texts_of

__all__ = ["CONTENT_TYPES", "payload_of", "with_member"]

CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}


def payload_of(body: Any, body_format: str) -> Payload:
    """Return a body that is filled in, as it is sent.

    Raises:
        BadDataError: half of a character has come into it.
    """
    told = tuple(_told(body, ""))
    try:
        match body_format:
            case "json":
                return Payload(exact.dumps(body), told)
            case "form":
                pairs = [(name, text) for name, value in body.items() for text in texts_of(value)]
                return Payload(urlencode(pairs).encode(), told)
        return Payload(str(body).encode(), told)
    except UnicodeEncodeError:
        raise BadDataError(
            "Expected whole characters to put into the body of a request, got half of one (a lone surrogate)."
        ) from None


def _told(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield texts and numbers by their paths, as far as they stand in objects."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _told(part, f"{name}.{key}" if name else key)
    elif name and not isinstance(value, list | tuple) and value is not None:
        yield name, as_text(value, name, name)


def with_member(body: Any, path: str, value: Any) -> dict[str, Any]:
    """Return an object with ``value`` at ``path`` (`query.page.after`), whatever stood there."""
    name, _, below = path.partition(".")
    members = dict(body) if isinstance(body, Mapping) else {}
    return members | {name: with_member(members.get(name), below, value) if below else value}
