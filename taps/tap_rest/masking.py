"""Secrets of headers, parameters and proxies, and URLs that are shown without them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from requests.auth import _basic_auth_str
from requests.utils import get_auth_from_url

from singerkit_shell.secrets import MASK, names_secret, redactor

__all__ = [
    "is_plain_value",
    "is_secret_name",
    "is_secret_of_request",
    "listed_names",
    "looks_secret",
    "mask_credentials_of",
    "register_secrets",
    "register_secrets_inside",
    "shown_url",
    "texts_inside",
    "url_of_config",
]

_SECRET_NAMES = ("key", "token", "auth", "secret", "cookie", "password", "signature", "appid", "app_id")
_SECRET_WORDS = ("sig", "pwd", "pass", "passwd", "sid")
_KEY_OF_ROWS = re.compile(
    r"(?i)(?!(?:x[-_])?(?:api|app|access|auth\w*|secret|private|subscription|client|consumer|licen[cs]e|service|account|user|master)?[-_]?key$).*key"
)
"""A name like `sort_key`: what a key of it would be, names a field as often as not."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_.,:-]{0,60}")
_DULL_HEADERS = ("accept", "accept-language", "accept-encoding", "content-type", "user-agent")
_PLAIN_VALUE = re.compile(r"[0-9TZ:.+-]{0,32}")
_TOKEN = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])\S{16,}")


def register_secrets(values: Mapping[str, Any]) -> None:
    """Mask the values of headers or parameters that are a secret by their name or by their look."""
    for name, value in values.items():
        # A list below a name like `sort_keys` holds words that messages are made of.
        are_words = isinstance(value, list) and not names_secret(name)
        for item in value if isinstance(value, list) else [value]:
            is_named = is_secret_of_request(name, item)
            if is_named and isinstance(item, int | float):
                redactor.add_number(item)
            elif not isinstance(item, str):
                continue
            elif is_named and not (are_words and not re.search("[0-9]", item)):
                redactor.add_reference(item)  # "Bearer abc", and what "Basic" holds in base64: its parts too
                redactor.add(item)
                redactor.add(item.rpartition(" ")[2])
            elif _TOKEN.fullmatch(item) and name.lower() not in _DULL_HEADERS:
                redactor.add(item)


def register_secrets_inside(body: Any) -> None:
    """Mask what in a body is a secret by its name or by its look, at any depth."""
    for name, values in texts_inside(body):
        register_secrets({name: values})


def texts_inside(value: Any, name: str = "") -> Iterator[tuple[str, list[Any]]]:
    """Yield texts and numbers at any depth, in lists, each by the name that is nearest above it."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from texts_inside(part, key)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_inside(item, name)
    elif value is not None:
        yield name, [value]


def mask_credentials_of(proxies: Iterable[str | None]) -> None:
    """Mask what a proxy is sent: it may send it back, as text or as the base64 of its header."""
    for proxy in filter(None, proxies):
        user, password = get_auth_from_url(proxy)
        if password:
            redactor.add(password)
            redactor.add(_basic_auth_str(user, password).removeprefix("Basic "))


def shown_url(url: str, hidden: Collection[str]) -> str:
    """Return the URL for people: secrets masked, of parameters hardly more than the names, not endless.

    ``hidden``: names of parameters whose values are never shown.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    query = "&".join(_shown_pair(pair, hidden) for pair in parts.query.split("&"))
    masked = redactor.mask_foreign(urlunsplit(parts._replace(query=query, fragment="")))
    return masked if len(masked) <= 300 else masked[:297] + "..."


def url_of_config(url: str) -> str:
    """Return the URL for who has written the config: of parameters all but what is a secret, by its name or otherwise."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL that cannot be read"
    query = "&".join(
        f"{name}={MASK}"
        if sign and is_secret_of_request(unquote_plus(name), unquote_plus(value))
        else name + sign + value
        for name, sign, value in (pair.partition("=") for pair in parts.query.split("&"))
    )
    return redactor.mask_foreign(urlunsplit(parts._replace(query=query, fragment="")))


def is_secret_name(name: str) -> bool:
    """Tell whether a header or parameter is a secret by its name."""
    return any(part in name.lower() for part in _SECRET_NAMES) or name.lower() in _SECRET_WORDS


def is_secret_of_request(name: str, value: Any) -> bool:
    """Tell whether a header or parameter is a secret by its name, and not only the name of a field (`sort_key: id`)."""
    is_field = isinstance(value, str) and _FIELD.fullmatch(value) is not None and _is_key_of_rows(name)
    return is_secret_name(name) and not is_field


def _is_key_of_rows(name: str) -> bool:
    """Tell whether a name speaks of a key, and of nothing that is a secret."""
    others = any(part in name.lower() for part in _SECRET_NAMES if part != "key")
    return not others and _KEY_OF_ROWS.fullmatch(name) is not None


def looks_secret(name: str, value: str) -> bool:
    """Tell whether a header or parameter is a secret by its name, or by the look of its value."""
    return is_secret_of_request(name, value) or _TOKEN.fullmatch(value) is not None


def _shown_pair(pair: str, hidden: Collection[str]) -> str:
    """Show numbers and dates of parameters that are not the config's, as of pages; any other may be a key."""
    name, sign, value = pair.partition("=")
    is_plain = unquote_plus(name) not in hidden and is_plain_value(unquote_plus(value))
    return pair if not sign or is_plain else f"{name}={MASK}"


def is_plain_value(value: str) -> bool:
    """Tell whether the value of a parameter is a number or a date by its look, and no key."""
    return _PLAIN_VALUE.fullmatch(value) is not None


def listed_names(names: Iterable[str]) -> str:
    """Return names, which may be those of the API, for people."""
    return redactor.mask_foreign(", ".join(f"`{name}`" for name in names))
