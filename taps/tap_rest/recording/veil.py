"""Secrets of what is recorded, each by a stand-in of its own: the same secret is the same stand-in wherever it stands.

A run from the recording sends the stand-ins that it was given, so that what belongs together still does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from singerkit_shell.secrets import redactor
from tap_rest.masking import is_plain_value

__all__ = ["PLACE_HOLDER", "STAND_IN", "Veil"]

STAND_IN = re.compile(r"masked-[0-9]{6,}")
PLACE_HOLDER = "masked-000000"
"""What stands for a secret that a replay has no need of."""
_SIGNED = (
    r"(?:x-)?(?:amz|goog|oss|cos|obs|ms|bz)-[\w-]*(?:signature|credential|token)|sig|sign|signature|hmac|hash|policy|jwt|password|passwd|"
    r"pwd|secret|(?:client|app)[_-]?secret|app[_-]?id|(?:aws|google)access(?:key)?id|key-pair-id|(?:access|auth|id|refresh|"
    r"security|session|oauth|api|bearer|sas)[_-]?(?:token|key)|apikey|token|authorization|auth|credential"
)
_IN_URL = re.compile(
    rf"((?:[?&;]|\\u0026|&amp;|%3[Ff]|%26)(?:{_SIGNED})(?:=|%3[Dd]))([^&\s\"'<>\\#;,)}}\]]+)", re.IGNORECASE
)
_SIGNS = ("=", "%3D", "%3d")
"""Without any of them there is no such parameter, as in most bodies."""
_SIGNED_NAME = re.compile(_SIGNED, re.IGNORECASE)
_SHOWN = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "accept-charset",
        "user-agent",
        "content-type",
        "content-length",
        "connection",
        "host",
        "prefer",
        "range",
        "if-none-match",
        "if-modified-since",
        "if-match",
        "if-unmodified-since",
        "odata-version",
        "odata-maxversion",
        "x-requested-with",
    ]
)
"""Headers of a request that hold no secret."""
_DULL = frozenset(
    [
        "content-type",
        "content-length",
        "content-encoding",
        "date",
        "server",
        "connection",
        "vary",
        "cache-control",
        "transfer-encoding",
    ]
)
_COOKIES = frozenset(
    ("set-cookie", "set-cookie2", "www-authenticate", "authentication-info", "proxy-authenticate")
)
_SECRET_HEADER = re.compile(
    r"token|secret|cookie|auth|signature|password|api-?key|session|csrf", re.IGNORECASE
)
_WORD = re.compile(r"[A-Za-z_-]{1,16}|[0-9]{1,10}(?:\.[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2}[0-9TZ:.+ -]{0,22}")
_OVERLAP = 64 * 1024
"""Characters that are looked at twice: more than any secret has."""


class Veil:
    """Takes texts, URLs, headers and bodies, and gives them back without secrets."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._lock = threading.Lock()
        self.count = 0
        """How many places of bodies were masked that hold a secret of the config."""

    def stand_in(self, secret: str) -> str:
        """Return what stands for a secret; a number for one that consists of digits, which may stand in JSON without quotes."""
        if STAND_IN.fullmatch(secret):
            return secret
        with self._lock:
            number = len(self._known) + 1
            return self._known.setdefault(
                secret,
                str(10 ** max(len(secret) - 1, 6) + number) if secret.isdecimal() else f"masked-{number:06}",
            )

    def text(self, text: str) -> str:
        """Return a text without the secrets that are known, and without those of signed URLs in it."""
        return self._unsigned(self._filled(text, redactor.places(text)))

    def _signed(self, found: re.Match[str]) -> str:
        return found[1] + self.stand_in(found[2])

    def url(self, url: str) -> str:
        """Return the URL of a request."""
        head, sign, query = url.partition("?")
        pairs = [self._pair(pair) for pair in query.split("&")] if sign else []
        return self.text(head) + sign + "&".join(pairs)

    def _pair(self, pair: str) -> str:
        name, _, value = pair.partition("=")
        if value and _SIGNED_NAME.fullmatch(unquote_plus(name)):
            return f"{name}={self.stand_in(value)}"
        return self.text(pair)

    def sent_headers(self, headers: Mapping[str, Any]) -> dict[str, str]:
        """Return the headers of a request: what may be a secret is shown by its name."""
        return {
            name: self.text(_as_text(value))
            if name.lower() in _SHOWN or is_plain_value(_as_text(value))
            else "masked"
            for name, value in headers.items()
        }

    def given_headers(self, headers: Mapping[str, str], *, is_login: bool) -> dict[str, str]:
        """Return the headers of an answer."""
        return {name: self._given(name, value, is_login=is_login) for name, value in headers.items()}

    def _given(self, name: str, value: str, *, is_login: bool) -> str:
        if name.lower() in _COOKIES:
            return "masked"
        if _SECRET_HEADER.search(name) or is_login:
            return value if _WORD.fullmatch(value) or name.lower() in _DULL else self.stand_in(value)
        return self.text(value)

    def login(self, body: bytes) -> bytes:
        """Return the body of an answer to a login: all texts of it are secrets, but for words, numbers and dates."""
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return self.stand_in(body.decode("utf-8", "replace")).encode() if body.strip() else body
        return msgspec.json.encode(self._veiled(value))

    def _veiled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._veiled(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self._veiled(item) for item in value]
        if isinstance(value, str) and value and not _WORD.fullmatch(value):
            return self.stand_in(value)
        return value

    def pieces(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Yield a body without secrets, however long it is; a secret that lies across two pieces is found."""
        left = ""
        for piece in pieces:
            left += piece.decode("utf-8", "surrogateescape")
            if len(left) > 2 * _OVERLAP:
                masked, left = self._masked(left, len(left) - _OVERLAP)
                yield masked
        if left:
            yield self._masked(left, len(left))[0]

    def _masked(self, text: str, until: int) -> tuple[bytes, str]:
        """Return a text without secrets, and what is left of it, from ``until`` on, or from where the secret begins that lies there."""
        places = redactor.places(text)
        cuts = [start for start, end in self._all_places(text, places) if 0 < start < until < end]
        cut = min([until, *cuts])
        found = [place for place in places if place[1] <= cut]
        self.count += len(found)
        whole = self._filled(text[:cut], found)
        return self._unsigned(whole).encode("utf-8", "surrogateescape"), text[cut:]

    def _filled(self, text: str, places: Iterable[tuple[int, int]]) -> str:
        parts, at = [], 0
        for start, end in places:
            parts += [text[at:start], self.stand_in(text[start:end])]
            at = end
        return "".join([*parts, text[at:]])

    def _unsigned(self, text: str) -> str:
        return _IN_URL.sub(self._signed, text) if any(sign in text for sign in _SIGNS) else text

    def _all_places(self, text: str, places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        yield from places
        if any(sign in text for sign in _SIGNS):
            yield from (match.span() for match in _IN_URL.finditer(text))


def _as_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
