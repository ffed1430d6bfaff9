"""What the URLs of all places have in common: their parameters, and passwords that nobody is to see."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from urllib.parse import unquote

from singerkit_shell.secrets import redactor

__all__ = ["hide_passwords", "mistyped", "parameters"]


def hide_passwords(text: str) -> None:
    """Mask what may be a password in ``text``, a location that may be mistyped, in everything printed from now on."""
    for secret in _passwords_in(text):
        redactor.add(secret)
        redactor.add(unquote(secret))


def _passwords_in(text: str) -> Iterator[str]:
    for match in re.finditer(r"password\s*=\s*([^&\s]+)", text, re.IGNORECASE):
        yield match[1].strip("'")
    for end in (text.find("@"), text.rfind("@")):
        before = text[: max(end, 0)]
        credentials = re.sub(r"^\s*[A-Za-z][\w+.-]*(?::/*|//+)", "", before)
        # `user:password@host` has no scheme: what looks like one is the user.
        yield credentials if ":" not in credentials and "/" not in before else credentials.partition(":")[2]


def parameters(query: str, ours: Collection[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Return our parameters, decoded, and the others, as they stand. As for libpq, `+` is a plus and no blank."""
    found: dict[str, str] = {}
    others: list[tuple[str, str]] = []
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        if unquote(key) in ours:
            found[unquote(key)] = unquote(value)
        else:
            others.append((key, value))
    return found, others


def mistyped(query: str, ours: Collection[str]) -> str:
    """Name a parameter that is nearly one of ours; no other, since it may be a piece of a password."""
    for name in {unquote(pair.partition("=")[0]) for pair in query.split("&")} - {*ours}:
        near = difflib.get_close_matches(name, ours, 1, 0.75)
        if near and len(name) <= len(near[0]) + 1:
            return f" (`{name}`: did you mean `{near[0]}`?)"
    return ""
