"""Secrets are known by their config key, collected once, and masked in everything that is printed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

__all__ = ["MASK", "Redactor", "names_secret", "redactor"]

MASK = "***"
_SECRET_KEY = re.compile(
    r"pass(word|phrase|wd)?$|secret|token$|authorization|credential|cookie|^dsn$|^auth$"
    r"|(api|access|account|auth|private|shared|subscription)[_-]?key$",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^@\s]+)@")
_DSN_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_SHORTEST = 4  # masking a shorter value would blank out ordinary text


class Redactor(logging.Filter):
    """Replaces every registered secret, and the password of any URL or DSN, by ``***``."""

    def __init__(self) -> None:
        super().__init__()
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        """Register one secret, with the forms it takes inside URLs and quoted text."""
        if len(value) < _SHORTEST:
            return
        self._values.update({value, quote(value, safe=""), quote_plus(value), repr(value)[1:-1]})
        by_length = sorted(self._values, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, by_length)))

    def add_from_config(self, config: Mapping[str, Any]) -> None:
        """Register every string below a key that names a secret, and the passwords inside URLs."""
        for value in _secret_values(config, inside_secret=False):
            self.add(value)

    def mask(self, text: str) -> str:
        """Return ``text`` without any secret."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        return _DSN_PASSWORD.sub(rf"\1{MASK}", text)

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.mask(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self.mask(logging.Formatter().formatException(record.exc_info))
        return True


def _secret_values(node: Any, *, inside_secret: bool) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _secret_values(value, inside_secret=_names_secret(str(key), value, inside_secret))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _secret_values(value, inside_secret=inside_secret)
    elif isinstance(node, str):
        if inside_secret and "://" not in node and "=" not in node:
            yield node
        yield from _passwords_inside(node)


def names_secret(key: str) -> bool:
    """Tell whether a config key of this name holds a secret."""
    return bool(_SECRET_KEY.search(key))


def _names_secret(key: str, value: Any, inside_secret: bool) -> bool:
    # `auth: {type: bearer, token: ...}` is a group: its parts are judged by their own names.
    if isinstance(value, Mapping):
        return False
    return inside_secret or names_secret(key)


def _passwords_inside(text: str) -> Iterator[str]:
    if "://" in text:
        try:
            password = urlsplit(text).password
        except ValueError:
            password = None
        if password:
            yield password
            yield unquote(password)
    for match in _DSN_PASSWORD.finditer(text):
        yield match.group(2).strip("'")


redactor = Redactor()
"""The one redactor of the process: a secret registered anywhere is masked everywhere."""
