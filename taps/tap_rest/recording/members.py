"""Members of answers that a recording is not to hold (`record --mask email`): each value by a stand-in of its own.

The same value is the same stand-in wherever it stands, also in the requests that are made of it, so that a replay asks what was recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from singerkit_wire.jsonexact import dumps, loads

__all__ = ["Members", "NotJSONError"]


_SCALAR = re.compile(r'"(?:[^"\\]|\\.)*+"|-?[0-9][0-9.eE+-]*')
"""A text or a number of what is JSON."""
_SHORTEST = 3


class NotJSONError(Exception):
    """A text is no JSON, and no lines of it."""


class Members:
    """The members of JSON that are called one of ``names``, at any depth.

    ``stand_in`` gives the text that stands for another one, of digits alone for such a one.
    """

    def __init__(self, names: Collection[str], stand_in: Callable[[str], str]) -> None:
        self._names, self._stand_in = frozenset(names), stand_in
        self._known: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._names)

    def of_answer(self, body: bytes) -> bytes:
        """Return the body of an answer, JSON or lines of JSON, without what these members hold.

        Raises:
            NotJSONError: it is neither.
        """
        return _changed(body, self._without) if body.strip() else body

    def of_url(self, url: str) -> str:
        """Return the URL of a request with stand-ins where a part of its path, or a parameter, is such a value."""
        head, sign, query = url.partition("?")
        path = "/".join(self._known.get(unquote(part), part) for part in head.split("/"))
        return path + sign + self._of_form(query)

    def of_request(self, body: str) -> str:
        """Return the body of a request, JSON or a form, with stand-ins where a value of it is such a value."""
        if not self._known or not body:
            return body
        try:
            loads(body.encode())
        except (ValueError, RecursionError):
            return self._of_form(body)
        return _SCALAR.sub(self._exchanged, body)

    def of_text(self, text: str) -> str:
        """Return a sentence or a header with stand-ins where such a value stands, as it is or as URLs write it; not those of less than three characters."""
        for value, stand_in in self._known.items():
            if len(value) >= _SHORTEST:
                text = text.replace(value, stand_in).replace(quote(value), stand_in)
        return text

    def _of_form(self, form: str) -> str:
        pairs = [pair.partition("=") for pair in form.split("&")]
        return "&".join(
            name + sign + self._known.get(unquote_plus(value), value) for name, sign, value in pairs
        )

    def _without(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: _each(item, self._hidden) if name in self._names else self._without(item)
                for name, item in value.items()
            }
        return [self._without(item) for item in value] if isinstance(value, list) else value

    def _exchanged(self, found: re.Match[str]) -> str:
        value = loads(found[0].encode())
        stand_in = self._known.get(_text(value))
        return found[0] if stand_in is None else dumps(_as(value, stand_in)).decode()

    def _hidden(self, value: str | int | Decimal) -> Any:
        text = _text(value)
        self._known[text] = self._stand_in(text)
        return _as(value, self._known[text])


def _changed(text: bytes, change: Callable[[Any], Any]) -> bytes:
    try:
        return dumps(change(loads(text)))
    except (ValueError, RecursionError):
        pass
    try:
        return b"\n".join([dumps(change(loads(line))) for line in text.splitlines() if line.strip()])
    except (ValueError, RecursionError):
        raise NotJSONError from None


def _each(value: Any, change: Callable[[str | int | Decimal], Any]) -> Any:
    """Return a value with each text and each number in it changed; null, what is true or false, and an empty text stay."""
    if isinstance(value, dict):
        return {name: _each(item, change) for name, item in value.items()}
    if isinstance(value, list):
        return [_each(item, change) for item in value]
    return value if value is None or isinstance(value, bool) or value == "" else change(value)


def _text(value: str | int | Decimal) -> str:
    """Return the text that is known of a value: of a number its digits."""
    return value if isinstance(value, str) else "".join(filter(str.isdigit, str(value)))


def _as(value: str | int | Decimal, stand_in: str) -> str | int:
    return stand_in if isinstance(value, str) else int(stand_in)
