"""What of a URL or a DSN is a secret: not its host, port, user and database, which an error has to name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, unquote_plus, urlsplit

__all__ = ["secrets_of_address"]

_URL = re.compile(r"(?:jdbc:)?([A-Za-z][A-Za-z0-9+.-]*://\S*)")
_PASSWORD = re.compile(r"//[^/@\s:]*:(\S+)@")  # one that is not percent-encoded may end the host for a parser
_DATABASE = re.compile(r"postgres(?:ql)?(?:\+\w+)?")
_PAIR = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)")
_PLACES = re.compile(r"host|hostaddr|port|dbname|service")
_OPEN = re.compile(
    rf"{_PLACES.pattern}|user|passfile|channel_binding|connect_timeout|client_encoding|(?:fallback_)?application_name"
    r"|keepalives\w*|gss\w+|ssl(?!password)\w+|require\w+|(?:min|max)_protocol_version|krbsrvname"
    r"|target_session_attrs|load_balance_hosts"
)
"""Settings of libpq that hold no secret."""
_SECRET = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_ANY_OTHER = {"options", "oauth_issuer", "oauth_client_id", "oauth_scope"}

_WORDS = r"(?:[A-Z]?[a-z]{2,13}(?:[A-Z][a-z]{2,13}){0,2}|[A-Za-z]{1,3}|v?\d{1,2}|20\d\d)"
_PLAIN = re.compile(rf"{_WORDS}(?:[-_.]{_WORDS}){{0,2}}")
"""A part of a path that is made of words, as `customers.json`, `salesOrders`, `v2` and `2024-01`, and is no token."""
_SHORTEST = 8  # characters; a shorter part of a path is masked only with the whole
_TOO_SHORT = "-"  # stands for one, and is never masked alone


def secrets_of_address(text: str) -> list[str] | None:
    """Return what of a URL or a DSN is a secret, the whole of it first; none where all may be read.

    None: ``text`` is no URL and no DSN.
    """
    url = _URL.fullmatch(text.strip())
    if url is None:
        pairs = _pairs(text)
        secrets = None if pairs is None else list(_secret_settings(pairs))
    else:
        try:
            parts = urlsplit(url[1])
            secrets = [*_passwords(url[1]), *_secrets_of_url(parts)]
        except ValueError:
            secrets = [_TOO_SHORT, *_passwords(url[1])]
    found = list(filter(None, secrets or ()))
    return None if secrets is None else [text, *found] if found else []


def _secrets_of_url(parts: SplitResult) -> Iterator[str]:
    pairs = [pair.partition("=")[::2] for pair in parts.query.split("&") if pair]
    yield parts.fragment
    if _DATABASE.fullmatch(parts.scheme):
        yield from _secret_settings([(name, unquote(value)) for name, value in pairs])
        return
    for name, value in pairs:
        yield from (value or name, unquote_plus(value or name))
    for part in (parts.username or "", *parts.path.split("/")):
        if part and (part == parts.username or not _PLAIN.fullmatch(part)):
            yield part if len(part) >= _SHORTEST else _TOO_SHORT


def _passwords(url: str) -> Iterator[str]:
    for match in _PASSWORD.finditer(url):
        yield from (match[1], unquote(match[1]))


def _secret_settings(pairs: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in pairs:
        if not _OPEN.fullmatch(name) and (name in _SECRET or not _PLAIN.fullmatch(value)):
            yield value


def _pairs(text: str) -> list[tuple[str, str]] | None:
    """Return the settings of a DSN that is written `host=... password=...`; None: it is none."""
    found: list[tuple[str, str]] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        pair = _PAIR.match(text, at)
        if pair is None or not (_OPEN.fullmatch(pair[1]) or pair[1] in _SECRET | _ANY_OTHER):
            return None
        value = pair[2][1:-1] if pair[2].startswith("'") else pair[2]
        found.append((pair[1], re.sub(r"\\(.)", r"\1", value)))
        at = pair.end()
    return found if any(_PLACES.fullmatch(name) for name, _ in found) else None
