"""Find a text in another one that writes it differently: percent-encoded, in JSON, HTML or Python, in base64, wrapped.

The text that is searched is unescaped step by step, each character keeping its place in the original, and what is
searched for is looked for in every step. So no list of encodings has to be made for what is searched for, and
encodings within encodings are found too.
"""

from __future__ import annotations

import base64
import html
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote_plus

__all__ = ["Needle", "Pieces", "needle_of", "spans"]

Span = tuple[int, int]

_STEPS = 4  # how deep escapes within escapes are followed
_LOOSE_FROM = 8  # characters; a shorter text is looked for as it stands, else it would be found across words
_WORD_UP_TO = 3  # characters; such a text is found only where it is a word of its own, and only as it stands
_PLAIN_WORD = re.compile(
    r"[a-z]{4,10}"
)  # is found as a word of its own, too: `postgres` is no part of `PostgreSQL`
_ESCAPES = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)|(?P<hex>(?:\\x[0-9A-Fa-f]{2})+)|(?P<unit>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|\\U(?P<wide>[0-9A-Fa-f]{8})|\\(?P<octal>[0-7]{3})|\\(?P<one>[\s\S])"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
)
_LETTERS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}
_UNSEEN = "\0\u00ad\u200b\u200c\u200d\u2060\ufeff"  # what some put between characters, UTF-16 among them
_SKIPPED = frozenset(string.whitespace + "+\\" + _UNSEEN)  # what wrapping, quoting and escaping put in
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LOOSELY = {**_LOWER, **dict.fromkeys(map(ord, _SKIPPED))}
_GROUPS = (3, 4, 5, 6, 8)  # characters between two dashes
_PIECES_FROM = 12  # characters; of a shorter text no pieces are looked for
_PIECE, _PIECE_HEX, _PIECE_BASE32, _PIECE_BASE64 = 8, 16, 13, 11  # characters that hold eight of the text
_WORD = re.compile(r"[A-Za-z][a-z]{7,10}")  # `production` says nothing, though a secret may hold it
_BASE64 = frozenset(string.ascii_letters + string.digits + "+/-_=")


class Needle:
    """One text to look for, prepared: ``exact`` forms, ``loose`` forms and forms in ``base64``."""

    def __init__(self, text: str) -> None:
        self.text = text
        written = {text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}
        data = text.encode("utf-8", "surrogatepass")
        written |= {data.decode("latin-1"), quote_plus(data), data.hex(), data.hex().upper()}
        # What looks like an escape in the text itself is taken away with those around it.
        written |= {view for form in (text, data.decode("latin-1")) for view, _ in _views(form) if view}
        is_short = len(text) <= _WORD_UP_TO
        if is_short:
            written = {text}
        self.words = frozenset([text] if is_short or _PLAIN_WORD.fullmatch(text) else [])
        """Those of the forms that are found only where they are a word of their own."""
        self.exact = frozenset(form for form in written if form)
        looked_for = written | _in_other_letters(text) | _in_groups(text) if not is_short else set()
        self.loose = frozenset(loose for form in looked_for if len(loose := _loosely(form)) >= _LOOSE_FROM)
        self.base64 = frozenset() if is_short else frozenset(_in_base64(data))


def _in_other_letters(text: str) -> set[str]:
    """Return a text without its signs, or without what ASCII does not have, and all of these in other capitals.

    Capitals beyond ASCII are other characters, and may be more of them (`STRASSE`); those of ASCII are not told apart anyway.
    """
    bare = "".join(char for char in text if char.isalnum())
    ascii_ways = {text.encode("ascii", way).decode() for way in ("ignore", "replace")}
    windows = text.encode("utf-8", "surrogatepass").decode("cp1252", "replace")  # taken for text of Windows
    forms = {unicodedata.normalize(way, text) for way in ("NFC", "NFD")} | {text, bare, windows} | ascii_ways
    cases = (str.upper, str.lower, str.title, str.swapcase, str.casefold)
    return forms | {case(form) for form in forms for case in cases}


def _in_groups(text: str) -> set[str]:
    """Return a text with a dash behind each few characters, as keys are shown to be read aloud."""
    bare = "".join(char for char in text if char.isalnum())
    return {
        "-".join(form[at : at + size] for at in range(0, len(form), size))
        for form in (text, bare)
        for size in _GROUPS
    }


def needle_of(text: str) -> Needle:
    """Prepare ``text``, which is not empty."""
    return Needle(text)


def spans(text: str, needles: Iterable[Needle]) -> list[Span]:
    """Return where in ``text`` any of the needles stands, merged and in order; where none does, it is known without a look at each character."""
    views = list(_quick_views(text))
    met = [needle for needle in needles if any(_may_stand(needle, view, loose) for view, loose in views)]
    return _placed(text, met) if met else []


def _placed(text: str, needles: Sequence[Needle]) -> list[Span]:
    found: list[Span] = []
    for view, places in _views(text):
        kept = [index for index, char in enumerate(view) if char not in _SKIPPED]
        loose = "".join([view[index] for index in kept]).translate(_LOWER)
        for needle in needles:
            for form in needle.exact:
                for at in _all(view, form):
                    if form not in needle.words or _is_word(view, at, at + len(form)):
                        found.append((places[at], places[at + len(form)]))
            for form in needle.loose:
                for at in _all(loose, form):
                    start, end = kept[at], kept[at + len(form) - 1] + 1
                    if form not in needle.words or _is_word(view, start, end):
                        found.append((places[start], places[end]))
            for form in needle.base64:
                for at in _all(loose, form):
                    start, end = places[kept[at]], places[kept[at + len(form) - 1] + 1]
                    found.append(_with_edges(text, start, end))
    return _merged(found)


def _quick_views(text: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of `_views`, each as it stands and loosely, without the place of each character."""
    for _ in range(_STEPS):
        yield text, text.translate(_LOOSELY)
        if not any(char in text for char in "%\\&") or not _ESCAPES.search(text):
            return
        text = _ESCAPES.sub(lambda match: "".join([char for char, _ in _meaning(match)]), text)


def _may_stand(needle: Needle, view: str, loose: str) -> bool:
    return any(form in view for form in needle.exact) or any(
        form in loose for forms in (needle.loose, needle.base64) for form in forms
    )


class Pieces:
    """Finds any eight characters in a row of any of ``texts``: as they are, backwards, in hex, base32 and base64."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._runs: dict[int, set[str]] = {}
        for text in texts:
            if (
                len(_loosely(text)) >= _PIECES_FROM and "://" not in text
            ):  # addresses are no secret as a whole
                for size, form in _forms(text):
                    runs = self._runs.setdefault(size, set())
                    for way in (form, form[::-1]):
                        runs.update(way[at : at + size] for at in range(len(way) - size + 1))

    def spans(self, text: str) -> list[Span]:
        """Return where in ``text`` pieces stand, merged and in order; a single word is none."""
        found: list[Span] = []
        for view, places in _views(text):
            kept = [index for index, char in enumerate(view) if char not in _SKIPPED]
            loose = "".join([view[index] for index in kept]).translate(_LOWER)
            for size, runs in self._runs.items():
                for at in range(len(loose) - size + 1):
                    if loose[at : at + size] in runs:
                        found.append((places[kept[at]], places[kept[at + size - 1] + 1]))
        return [span for span in _merged(found) if not _WORD.fullmatch(text[slice(*span)])]


def _forms(text: str) -> Iterator[tuple[int, str]]:
    """Yield how a text may be written, with the size of a piece in that writing."""
    data = text.encode("utf-8", "surrogatepass")
    yield _PIECE, _loosely(text)
    yield _PIECE_HEX, data.hex()
    for form in _in_base64(data):
        yield _PIECE_BASE64, form
    for offset in range(5):
        first, last = -(-offset * 8 // 5), (offset + len(data)) * 8 // 5
        yield _PIECE_BASE32, base64.b32encode(b"\0" * offset + data + b"\0" * 4).decode().lower()[first:last]


def _loosely(text: str) -> str:
    return "".join([char for char in text if char not in _SKIPPED]).translate(_LOWER)


def _in_base64(data: bytes) -> Iterator[str]:
    """The text as a part of something in base64: the whole groups of six bits, at each of three places."""
    for offset in range(3):
        first, last = -(-offset * 8 // 6), (offset + len(data)) * 8 // 6
        if last - first < 5:
            continue
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            middle = encode(b"\0" * offset + data + b"\0\0").decode()[first:last]
            yield _loosely(middle)


def _with_edges(text: str, start: int, end: int) -> Span:
    """Take in the characters at either end that hold a few more bits."""
    while end < len(text) and text[end] in _BASE64 and text[end] != "/":
        end += 1
    for _ in range(2):
        if start and text[start - 1] in _BASE64 and text[start - 1] != "/":
            start -= 1
    return start, end


def _all(text: str, form: str) -> Iterator[int]:
    at = text.find(form)
    while at >= 0:
        yield at
        at = text.find(form, at + 1)


def _is_word(text: str, start: int, end: int) -> bool:
    return not (text[max(start - 1, 0) : start].isalnum() or text[end : end + 1].isalnum())


def _merged(found: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(found):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _views(text: str) -> Iterator[tuple[str, list[int]]]:
    """Yield the text, then unescaped once, twice, ...; with the place of each character, and of the end."""
    view, places = text, list(range(len(text) + 1))
    for _ in range(_STEPS):
        yield view, places
        step = _unescaped(view, places)
        if step is None:
            return
        view, places = step


def _unescaped(view: str, places: list[int]) -> tuple[str, list[int]] | None:
    """Take one layer of escapes away; None when there is none."""
    chars: list[str] = []
    starts: list[int] = []
    at = 0
    for match in _ESCAPES.finditer(view):
        chars.append(view[at : match.start()])
        starts += places[at : match.start()]
        for char, start in _meaning(match):
            chars.append(char)
            starts.append(places[start])
        at = match.end()
    if not at:
        return None
    chars.append(view[at:])
    starts += places[at:]
    return "".join(chars), starts


def _meaning(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    """Yield each character that an escape stands for, and where in the view it begins."""
    kind, start = match.lastgroup, match.start()
    word = match[0]
    if kind in ("percent", "hex"):
        width = 3 if kind == "percent" else 4
        data = bytes.fromhex(word.replace("%" if kind == "percent" else "\\x", ""))
        for char, size in _decoded(data):
            yield char, start
            start += size * width
    elif kind == "unit":
        data = bytes.fromhex(word.replace("\\u", ""))
        for char in data.decode("utf-16-be", "surrogatepass"):
            yield char, start
            start += 12 if ord(char) > 0xFFFF else 6
    elif kind in ("wide", "octal"):
        number = int(match[kind], 16 if kind == "wide" else 8)
        yield (chr(number) if number < 0x110000 else "?"), start
    elif kind == "entity":
        for char in html.unescape(word)[:1]:
            yield char, start
    else:
        yield _LETTERS.get(match["one"], match["one"]), start


def _decoded(data: bytes) -> Iterator[tuple[str, int]]:
    """Yield characters with their number of bytes: UTF-8 where it is, else Latin-1."""
    at = 0
    while at < len(data):
        for size in (4, 3, 2, 1):
            piece = data[at : at + size]
            try:
                char = piece.decode()
            except UnicodeDecodeError:
                continue
            if len(char) == 1:
                yield char, len(piece)
                at += len(piece)
                break
        else:
            yield chr(data[at]), 1
            at += 1
