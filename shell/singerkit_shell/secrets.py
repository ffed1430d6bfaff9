"""Secrets are collected once, and masked in everything that is printed, however it is written there.

A secret is a value of a config key that names one, a password inside a URL or DSN, and every value that a config
takes from elsewhere by ``{"env": ...}`` or ``{"file": ...}``, unless its setting says that it is none (`typed.py`); of a
URL or DSN from there, its secret parts and the whole, not the host, the database and the like.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from singerkit_shell.addresses import secrets_of_address
from singerkit_shell.escapes import Needle, Pieces, needle_of, spans

__all__ = ["MASK", "SHORTEST_PART", "Redactor", "names_secret", "redactor"]

MASK = "***"
_SECRET_KEY = re.compile(
    r"pass(word|phrase|wd)?$|secret|token$|authorization|credential|cookie|^dsn$|^auth$"
    r"|(api|access|account|auth|private|shared|subscription)[_-]?key$",
    re.IGNORECASE,
)
# Not only after `://`: a URL that is mistyped holds the same password.
_URL_PASSWORD = re.compile(r"(?<=//)([^/@\s:]*):(\S+)@")
_DSN_PASSWORD = re.compile(r"(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_OURS = re.compile(
    r"(?<![\w-])(?:tap-rest|tap-postgres slot (?:list|create|drop)|target-postgres|target-jsonl|target_postgres|target_jsonl|singerkit-check|singerkit-state|singerkit-map (?:convert|explain)|singerkit-map|singerkit (?:check|dbt|history|init|quality|report|run|state)|"
    r"--(?:about|adopt|appends|at-least|catalog|check|check-config|config|days|debug|details|discover|driver|dry-run|error-after|failed|folder|format|from|from-history|full-refresh|help|hmac-key-env|"
    r"history|input|into|jobs|json|judge|last|last-state|leave-out|limit|mask|max-line-bytes|most-mb|new|no-pass-through|output|over-stored|overwrite|pass-through|pipeline|project|properties|read-rows|"
    r"records|rejects|replay-rejects|report|restore|rows|rule|rules|schema|set|shard|since|start-over|state|state-file|stream|strict|system|tables|tap|target|test|to|verbose|version|waive|warn-after|workers|yes)"
    r")(?![\w-])|PostgreSQL"
)
"""What an advice is made of: whoever copies a command must find it whole, though a password is called `postgres`."""
_PLACE_IN_ANSWER = re.compile(r"\$(?:\.[A-Za-z_@][\w.@-]*|\['[^']+'\])+|header:[A-Za-z][\w-]*")
_LOGIN = re.compile(r"[^/@\s:]*:([^/\s][^\s]*)@[\w.-]+(?:[:/?#]\S*)?")
_BASIC = re.compile(r"(?i:basic)\s+([A-Za-z0-9+/_=-]+)\s*")
_SHORTEST = 2  # one character alone is no secret, and masking it would blank out ordinary text
SHORTEST_PART = (
    8  # of a value's parts, words like `limit` being none; whole values are masked from `_SHORTEST` on
)
_SHORTEST_NUMBER = 6  # of what stands as a number in a config: years, ports and counts are no secrets
_LONGEST_DUMP = 100_000  # characters that are searched; what comes after is left out


class Redactor(logging.Filter):
    """Replaces every registered secret, and the password of any URL or DSN, by ``***``."""

    def __init__(self) -> None:
        super().__init__()
        self._needles: dict[str, Needle] = {}
        self._unjudged: set[str] = set()  # of the needles, those of references that `release` may take back
        self._pieces: tuple[frozenset[str], Pieces] = frozenset(), Pieces(())

    def add(self, value: str) -> None:
        """Register one secret, whole and line by line; it is found in whatever way it is written.

        A value of two or three characters, or of up to ten small letters, is masked only where it is a word of its
        own, one of a single character not at all.
        """
        for text in _lines_of(value):
            self._unjudged.discard(text)
            if text not in self._needles:
                self._needles[text] = needle_of(text)

    def release(self, plain: Iterable[str], secret: Iterable[str]) -> None:
        """Take back references that are no secrets after all, unless they are secrets by anything else, too."""
        for part in itertools.chain.from_iterable(map(_secrets_of, secret)):
            self.add(part)
        for part in itertools.chain.from_iterable(map(_secrets_of, plain)):
            for text in self._unjudged.intersection(_lines_of(part)):
                self._unjudged.discard(text)
                self._needles.pop(text, None)

    def add_number(self, value: float) -> None:
        """Register a secret that stands as a number, from six characters on."""
        for text in _texts_of_number(value):
            self.add(text)

    def add_reference(self, value: str) -> None:
        """Register a value that came from the environment or from a file, with the parts that may be seen alone.

        Those are: passwords, what looks like a token in a URL, what follows `Bearer` or `Basic` and what that is in
        base64, and the texts and numbers inside JSON. A URL or DSN that holds none of them is no secret.
        """
        new = {text for part in _secrets_of(value) for text in _lines_of(part)} - self._needles.keys()
        for text in new:
            self.add(text)
        self._unjudged |= new

    def add_from_config(self, config: Mapping[str, Any]) -> None:
        """Register every text and number below a key that names a secret, and the passwords inside URLs."""
        for value in _secret_values(config, inside_secret=False):
            self.add(value)

    def knows(self, text: str) -> bool:
        """Tell whether a registered secret stands in ``text``, in whatever way it is written."""
        return bool(spans(text, self._needles.values()))

    def places(self, text: str) -> list[tuple[int, int]]:
        """Return where in ``text``, however long, registered secrets stand."""
        return spans(text, self._needles.values()) if self._needles else []

    def mask(self, text: str) -> str:
        """Return ``text`` without any secret."""
        if len(text) > _LONGEST_DUMP:  # cut between lines, so that no secret is cut in two
            text = text[:_LONGEST_DUMP].rpartition("\n")[0] + "\n..."
        text = _without(text, _but_ours(text, spans(text, self._needles.values()) if self._needles else []))
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        return _DSN_PASSWORD.sub(rf"\1{MASK}", text)

    def mask_foreign(self, text: str) -> str:
        """Return ``text``, which somebody else has written, without any secret and without pieces of secrets.

        An API may show the beginning of a token, or its end. In our own words this would hide what is none.
        """
        known = frozenset(self._needles)
        if self._pieces[0] != known:
            self._pieces = known, Pieces(known)
        text = self.mask(text)
        return _without(text, self._pieces[1].spans(text))

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.mask(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self.mask(logging.Formatter().formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = self.mask(record.stack_info)
        return True


def _without(text: str, found: list[tuple[int, int]]) -> str:
    for start, end in reversed(found):
        text = f"{text[:start]}{MASK}{text[end:]}"
    return text


def _but_ours(text: str, found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out what stands inside the names of our executables and options."""
    ours = [match.span() for match in _OURS.finditer(text)] if found else []
    return [
        (start, end)
        for start, end in found
        if not any(first <= start and end <= last for first, last in ours)
    ]


def _lines_of(value: str) -> list[str]:
    """Return a value and each of its lines, but not what is too short for a secret."""
    texts = (text.strip() for text in (value, *value.splitlines()))
    return [text for text in texts if len(text) >= _SHORTEST]


def _secrets_of(value: str) -> Iterable[str]:
    """Return what is a secret of a value from elsewhere, as `Redactor.add_reference` says."""
    of_address = secrets_of_address(value)
    return (value, *_parts_of(value)) if of_address is None else of_address


def _parts_of(value: str) -> Iterator[str]:
    yield from _passwords_inside(value)
    yield from (word for word in value.split(" ") if len(word) >= SHORTEST_PART)
    basic = _BASIC.fullmatch(value)
    if basic:
        try:
            pair = base64.b64decode(basic[1], altchars=b"-_" if set(basic[1]) & set("-_") else None).decode()
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        user, _, password = pair.partition(":")
        yield from (pair, password or user)  # of an empty password the user is the key
    if value.lstrip().startswith(("{", "[")):
        yield from _texts_in_json(value)


def _texts_in_json(text: str) -> Iterator[str]:
    try:
        nodes = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while nodes:
        node = nodes.pop()
        if isinstance(node, str) and len(node) >= SHORTEST_PART:
            yield node
        elif isinstance(node, int | float):
            yield from (text for text in _texts_of_number(node) if len(text) >= SHORTEST_PART)
        elif isinstance(node, dict | list):
            nodes += node.values() if isinstance(node, dict) else node


def _secret_values(node: Any, *, inside_secret: bool) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _secret_values(value, inside_secret=_names_secret(str(key), value, inside_secret))
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _secret_values(value, inside_secret=inside_secret)
    elif isinstance(node, str):
        if inside_secret:
            yield node
        yield from _passwords_inside(node)
    elif inside_secret and isinstance(node, int | float):
        yield from _texts_of_number(node)


def _texts_of_number(value: float) -> Iterator[str]:
    if not isinstance(value, bool) and len(str(value)) >= _SHORTEST_NUMBER:
        yield str(value)


def names_secret(key: str) -> bool:
    """Tell whether a config key of this name holds a secret; `on_repeated_token` says what is done."""
    return bool(_SECRET_KEY.search(key)) and not key.startswith("on_")


def _names_secret(key: str, value: Any, inside_secret: bool) -> bool:
    # `auth: {type: bearer, token: ...}` is a group: its parts are judged by their own names.
    if isinstance(value, Mapping):
        return False
    # `token: $.nextSyncToken` says where an answer has one.
    if key == "token" and isinstance(value, str) and _PLACE_IN_ANSWER.fullmatch(value):
        return False
    return inside_secret or names_secret(key)


def _passwords_inside(text: str) -> Iterator[str]:
    if "://" in text:
        try:
            password = urlsplit(text).password
        except ValueError:  # the whole of it is masked, and what looks like a password in any text
            password = None
        if password:
            yield password
            yield unquote(password)
    login = _LOGIN.fullmatch(text)
    if login:  # a URL whose scheme was left out
        yield login[1]
        yield unquote(login[1])
    for match in _DSN_PASSWORD.finditer(text):
        yield match.group(2).strip("'")


redactor = Redactor()
"""The one redactor of the process: a secret registered anywhere is masked everywhere."""
