"""Patterns that cannot backtrack: text against one takes time in proportion to its length, whatever either says.

What is admitted is what RE2 admits and every place reads alike: characters, ``.``, classes, groups, ``|``, and ``*``, ``+``, ``?``, ``{m,n}``. There
are no references back, no looking around, and no flags. A pattern is that of the whole text.

Where the next character always tells how a pattern goes on, Python's `re` has nothing to try again, and is used; any other pattern is followed
through all of its ways at once, each set of which is worked out once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

__all__ = ["Pattern", "PatternError", "pattern_of"]

_LAST = 0x10FFFF
_MOST_PLACES = 1_000
"""Characters of a pattern once its repetitions are written out."""
_MOST_KNOWN = 20_000
"""Steps that are remembered of a pattern that is followed through all of its ways."""
_LONGEST = 1_000
_DEEPEST = 50

Ranges = tuple[tuple[int, int], ...]


class PatternError(ValueError):
    """It is no pattern, or one that is not admitted; says why, as in `has a `\\b``."""


@dataclass(frozen=True)
class _Set:
    ranges: Ranges
    is_negated: bool = False

    @cached_property
    def admitted(self) -> Ranges:
        return _others(self.ranges) if self.is_negated else self.ranges

    @cached_property
    def admitted_others(self) -> Ranges:
        """The characters that it does not admit."""
        return self.ranges if self.is_negated else _others(self.ranges)


@dataclass(frozen=True)
class _Row:
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Either:
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Repeat:
    part: _Node
    least: int
    most: int | None


_Node = _Set | _Row | _Either | _Repeat


@dataclass(frozen=True)
class Pattern:
    """A pattern of a whole text."""

    said: str
    _tree: _Node

    @cached_property
    def matches(self) -> Callable[[str], bool]:
        """Tells whether a text is one of the pattern."""
        ways = _Ways()
        first, last, may_be_empty = ways.of(self._tree)
        if ways.are_plain(first):
            find = re.compile(self.in_words_of("re"), re.DOTALL).fullmatch
            return lambda text: find(text) is not None
        return _Walk(ways, first, last, may_be_empty).matches

    def in_words_of(self, engine: str) -> str:
        """Return the pattern as another engine reads it the same: ``re``, ``re2``, or ``postgres``; without the marks of beginning and end.

        Raises:
            PatternError: it cannot be said there.
        """
        return _written(self._tree, _ENGINES[engine])

    @cached_property
    def matches_lines(self) -> Callable[[str, bool], bool]:
        """Tells whether all lines of a text are of the pattern, a newline before each; whether in quotes, says the second argument.

        Either by one pattern of all of them, or, where the next character does not tell how to go on, by a look at each form of a line once:
        characters that the pattern does not tell apart are one and the same in it.
        """
        ways = _Ways()
        first, _, _ = ways.of(self._tree)
        return self._by_one_pattern() if ways.are_plain(first) else self._form_by_form()

    def _by_one_pattern(self) -> Callable[[str, bool], bool]:
        python = _ENGINES["re, forwards"]
        line = _written(_without(self._tree, _NEWLINE), python)
        quoted = _written(_without(self._tree, _joined([*_NEWLINE, *_QUOTE])), python)
        bare, in_quotes = (
            re.compile(f"(?:\n{one})*+").fullmatch for one in (f"(?:{line})", f'"(?:{quoted})"')
        )
        return lambda lines, are_quoted: (in_quotes if are_quoted else bare)(lines) is not None

    def _form_by_form(self) -> Callable[[str, bool], bool]:
        alike, matches = _alike(self._tree), self.matches

        def are_all(lines: str, are_quoted: bool) -> bool:
            forms = {*lines.encode("utf-8", "surrogatepass").translate(alike).split(b"\n")[1:]}
            texts = [form.decode("utf-8", "surrogatepass") for form in forms]
            return all(matches(text[1:-1] if are_quoted else text) for text in texts)

        return are_all


def pattern_of(said: str) -> Pattern:
    """Read a pattern.

    Raises:
        PatternError: it is none, or not one that is admitted.
    """
    if len(said) > _LONGEST:
        raise PatternError(f"is longer than {_LONGEST:,} characters")
    inner = said[1:] if said.startswith("^") else said
    if inner.endswith("$") and not _is_escaped(inner, len(inner) - 1):
        inner = inner[:-1]
    tree = _Reader(inner).read()
    if _places(tree) > _MOST_PLACES:
        raise PatternError(f"repeats more than {_MOST_PLACES:,} characters")
    return Pattern(said, tree)


def _is_escaped(text: str, place: int) -> bool:
    before = text[:place]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _places(node: _Node) -> int:
    match node:
        case _Set():
            return 1
        case _Repeat():
            return max(node.most or node.least, 1) * _places(node.part)
    return sum(map(_places, node.parts))


# --- what is written ---------------------------------------------------------------------------------------

_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROL = {"t": 9, "n": 10, "r": 13, "f": 12, "v": 11}
_NEWLINE: Ranges = ((10, 10),)
_QUOTE: Ranges = ((34, 34),)
_NOT_A_NEWLINE = _Set(_NEWLINE, is_negated=True)
_COUNT = re.compile(r"\{(\d{1,6})(?:(,)(\d{0,6}))?\}", re.ASCII)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth = text, 0, 0

    def read(self) -> _Node:
        node = self._either()
        if self._at < len(self._text):
            raise PatternError("has a `)` that closes nothing")
        return node

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        taken = self._next()
        self._at += 1
        return taken

    def _either(self) -> _Node:
        parts = [self._row()]
        while self._next() == "|":
            self._at += 1
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else _Either(tuple(parts))

    def _row(self) -> _Node:
        parts: list[_Node] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._one()))
        return parts[0] if len(parts) == 1 else _Row(tuple(parts))

    def _one(self) -> _Node:
        match taken := self._take():
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _NOT_A_NEWLINE
            case "\\":
                return self._escaped()
            case "^" | "$":
                raise PatternError(f"has a `{taken}` inside, and is that of a whole text anyway")
            case "*" | "+" | "?" | "{":
                raise PatternError(f"has a `{taken}` behind nothing that could be repeated")
        return _of_character(ord(taken))

    def _group(self) -> _Node:
        if self._next() == "?":
            if self._text[self._at : self._at + 2] != "?:":
                raise PatternError(
                    "has a `(?`, of which `(?:` alone is admitted: it cannot look around, and has no flags"
                )
            self._at += 2
        self._depth += 1
        if self._depth > _DEEPEST:
            raise PatternError(f"has groups in each other, more than {_DEEPEST} deep")
        node = self._either()
        self._depth -= 1
        if self._take() != ")":
            raise PatternError("has a `(` that is not closed")
        return node

    def _repeated(self, node: _Node) -> _Node:
        least, most = 1, 1
        match self._next():
            case "*":
                least, most = 0, -1
            case "+":
                least, most = 1, -1
            case "?":
                least, most = 0, 1
            case "{":
                found = _COUNT.match(self._text, self._at)
                if found is None:
                    raise PatternError(
                        "has a `{` that is no `{m}`, `{m,}` or `{m,n}`; write `\\{` for the character"
                    )
                least = int(found[1])
                most = least if not found[2] else int(found[3]) if found[3] else -1
                self._at = found.end() - 1
            case _:
                return node
        self._at += 1
        if 0 <= most < least:
            raise PatternError("has a `{m,n}` of which m is more than n")
        if max(least, most) > _MOST_PLACES:
            raise PatternError(f"repeats more than {_MOST_PLACES:,} characters")
        if self._next() in ("*", "+", "?", "{"):
            raise PatternError(
                f"has a `{self._next()}` behind another repetition; put the first into `(?:...)`"
            )
        if most == 0:
            return _Row(())
        return _Repeat(node, least, None if most < 0 else most)

    def _escaped(self) -> _Set:
        taken = self._take()
        if taken.lower() in _CLASSES:
            return _Set(_CLASSES[taken.lower()], is_negated=taken.isupper())
        return _of_character(self._code(taken))

    def _code(self, taken: str) -> int:
        if taken in _CONTROL:
            return _CONTROL[taken]
        if taken in ("x", "u", "U"):
            width = {"x": 2, "u": 4, "U": 8}[taken]
            digits = self._text[self._at : self._at + width]
            if not re.fullmatch(rf"[0-9A-Fa-f]{{{width}}}", digits) or int(digits, 16) > _LAST:
                raise PatternError(f"has a `\\{taken}` without {width} digits of a character behind it")
            self._at += width
            return int(digits, 16)
        if not taken or taken.isalnum():
            shown = taken or ""
            raise PatternError(f"has a `\\{shown}`, which is not admitted")
        return ord(taken)

    def _class(self) -> _Set:
        is_negated = self._next() == "^"
        self._at += is_negated
        ranges: list[tuple[int, int]] = []
        while self._next() != "]" or not ranges:
            low = self._in_class()
            if isinstance(low, tuple):
                ranges.extend(low)
                continue
            high = low
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                end = self._in_class()
                if isinstance(end, tuple) or end < low:
                    raise PatternError("has a range in `[...]` whose end is not behind its beginning")
                high = end
            ranges.append((low, high))
        self._at += 1
        return _Set(_joined(ranges), is_negated)

    def _in_class(self) -> int | Ranges:
        taken = self._take()
        if not taken:
            raise PatternError("has a `[` that is not closed")
        if taken == "[" and self._next() in (":", ".", "="):
            raise PatternError(f"has a `[{self._next()}` in `[...]`, which is not admitted")
        if taken != "\\":
            return ord(taken)
        escaped = self._take()
        if escaped in _CLASSES:
            return _CLASSES[escaped]
        if escaped.lower() in _CLASSES:
            return _others(_CLASSES[escaped.lower()])
        return self._code(escaped)


def _of_character(code: int) -> _Set:
    return _Set(((code, code),))


def _joined(ranges: Sequence[tuple[int, int]]) -> Ranges:
    found: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return tuple(found)


def _others(ranges: Ranges) -> Ranges:
    ends = [(-1, -1), *ranges, (_LAST + 1, _LAST + 1)]
    return tuple((one[1] + 1, other[0] - 1) for one, other in pairwise(ends) if one[1] + 1 < other[0])


# --- the ways through a pattern ----------------------------------------------------------------------------


@dataclass
class _Ways:
    """The places of a pattern, each a set of characters, and to which ones a text goes on from each (Glushkov)."""

    sets: list[Ranges] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    is_doubled: bool = False
    """Whether there is more than one way from one place to another, or past a part, as in `(a*)*`."""

    def of(self, node: _Node) -> tuple[set[int], set[int], bool]:
        """Return where a text of ``node`` begins and ends, and whether it may be empty."""
        match node:
            case _Set():
                self.sets.append(node.admitted)
                self.follow.append(set())
                place = {len(self.sets) - 1}
                return place, set(place), False
            case _Row():
                return self._row([self.of(part) for part in node.parts])
            case _Either():
                found = [self.of(part) for part in node.parts]
                firsts, lasts, empties = zip(*found, strict=True)
                self.is_doubled = self.is_doubled or sum(empties) > 1
                return set().union(*firsts), set().union(*lasts), any(empties)
        return self._repeated(node)

    def _row(self, parts: Sequence[tuple[set[int], set[int], bool]]) -> tuple[set[int], set[int], bool]:
        first: set[int] = set()
        last: set[int] = set()
        may_be_empty = True
        for begins, ends, is_empty in parts:
            self._lead(last, begins)
            first |= begins if may_be_empty else set()
            last = last | ends if is_empty else set(ends)
            may_be_empty = may_be_empty and is_empty
        return first, last, may_be_empty

    def _repeated(self, node: _Repeat) -> tuple[set[int], set[int], bool]:
        parts = [self.of(node.part) for _ in range(node.least)]
        if node.most is None:
            begins, ends, is_empty = parts[-1] if parts else self.of(node.part)
            self._lead(ends, begins)
            self.is_doubled = self.is_doubled or is_empty
            if not parts:
                return begins, ends, True
            return self._row(parts)
        behind: tuple[set[int], set[int], bool] | None = None
        for _ in range(node.most - node.least):  # a(a(a)?)?, so that each place leads to one more
            begins, ends, is_empty = self.of(node.part)
            inner = [(begins, ends, is_empty)] + ([behind] if behind else [])
            begins, ends, _ = self._row(inner)
            behind = begins, ends, True
        return self._row([*parts, behind] if behind else parts)

    def _lead(self, ends: set[int], begins: set[int]) -> None:
        for place in ends:
            self.is_doubled = self.is_doubled or not self.follow[place].isdisjoint(begins)
            self.follow[place] |= begins

    def are_plain(self, first: set[int]) -> bool:
        """Tell whether at each place the next character tells where to go on."""
        return not self.is_doubled and all(self._are_apart(places) for places in [first, *self.follow])

    def _are_apart(self, places: set[int]) -> bool:
        ranges = sorted(one for place in places for one in self.sets[place])
        return all(before[1] < behind[0] for before, behind in pairwise(ranges))


class _Walk:
    """Follows a text through all ways at once, and remembers where a character leads from where."""

    def __init__(self, ways: _Ways, first: set[int], last: set[int], may_be_empty: bool) -> None:
        self._ways, self._last, self._may_be_empty = ways, last, may_be_empty
        self._first = frozenset(first)
        self._clear()

    def _clear(self) -> None:
        self._known: dict[tuple[int, str], int] = {}
        self._numbers: dict[frozenset[int], int] = {}
        self._states: list[tuple[frozenset[int], bool]] = []
        self._number(self._first, self._may_be_empty)

    def _number(self, next_places: frozenset[int], may_end: bool) -> int:
        self._states.append((next_places, may_end))
        return len(self._states) - 1

    def matches(self, text: str) -> bool:
        state = 0
        known = self._known
        for character in text:
            following = known.get((state, character))
            if following is None:
                following = self._step(state, character)
                if following is None:  # as much is remembered as may be: begin anew with this text
                    self._clear()
                    return self._matches_slowly(text)
            if following < 0:
                return False
            state = following
        return self._states[state][1]

    def _step(self, state: int, character: str) -> int | None:
        if len(self._known) >= _MOST_KNOWN:
            return None
        reached = self._reached(self._states[state][0], ord(character))
        number = -1
        if reached:
            found = self._numbers.get(reached)
            if found is None:
                found = self._number(self._onward(reached), not reached.isdisjoint(self._last))
                self._numbers[reached] = found
            number = found
        self._known[state, character] = number
        return number

    def _matches_slowly(self, text: str) -> bool:
        places, may_end = self._first, self._may_be_empty
        for character in text:
            reached = self._reached(places, ord(character))
            if not reached:
                return False
            places, may_end = self._onward(reached), not reached.isdisjoint(self._last)
        return may_end

    def _reached(self, places: frozenset[int], code: int) -> frozenset[int]:
        sets = self._ways.sets
        return frozenset(place for place in places if _has(sets[place], code))

    def _onward(self, reached: frozenset[int]) -> frozenset[int]:
        return frozenset().union(*(self._ways.follow[place] for place in reached))


def _without(node: _Node, characters: Ranges) -> _Node:
    """Return a part of a pattern that has none of these characters, of which each is a range of its own."""
    match node:
        case _Set():
            if not any(_has(node.admitted, code) for code, _ in characters):
                return node
            return _Set(_joined([*node.admitted_others, *characters]), is_negated=True)
        case _Repeat():
            return _Repeat(_without(node.part, characters), node.least, node.most)
        case _Row():
            return _Row(tuple(_without(part, characters) for part in node.parts))
    return _Either(tuple(_without(part, characters) for part in node.parts))


def _alike(tree: _Node) -> bytes:
    """Return for each byte of UTF-8 the first character of ASCII that stands for it in a pattern; newlines and quotes stand for themselves alone."""
    sets = [found.admitted for found in _sets_of(tree)]
    table, first = bytearray(range(256)), dict[tuple[bool, ...], int]()
    for code in range(128):
        if not _has((*_NEWLINE, *_QUOTE), code):
            table[code] = first.setdefault(tuple(_has(one, code) for one in sets), code)
    return bytes(table)


def _sets_of(node: _Node) -> Iterator[_Set]:
    match node:
        case _Set():
            yield node
        case _Repeat():
            yield from _sets_of(node.part)
        case _:
            for part in node.parts:
                yield from _sets_of(part)


def _has(ranges: Ranges, code: int) -> bool:
    return any(low <= code <= high for low, high in ranges)


# --- the same for others -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Engine:
    name: str
    most_repeated: int
    holds_nul: bool = True
    possessive: str = ""
    """What is written behind the repetition of a character that gives none back."""


_ENGINES = {
    "re": _Engine("Python", 1 << 30),
    "re, forwards": _Engine("Python", 1 << 30, possessive="+"),
    "re2": _Engine("RE2", 1_000, holds_nul=False),
    "postgres": _Engine("PostgreSQL", 255, holds_nul=False),
}
_SPECIAL = frozenset(".^$*+?()[]{}|\\")
_SPECIAL_IN_CLASS = frozenset("[]^-\\")


def _written(node: _Node, engine: _Engine) -> str:
    match node:
        case _Set():
            return _written_set(node, engine)
        case _Row():
            return "".join(_written(part, engine) for part in node.parts) or "(?:)"
        case _Either():
            return f"(?:{'|'.join(_written(part, engine) for part in node.parts)})"
    if max(node.least, node.most or 0) > engine.most_repeated:
        raise PatternError(
            f"repeats more than {engine.most_repeated} times, which {engine.name} does not take"
        )
    most = "" if node.most is None else str(node.most)
    if isinstance(node.part, _Set):
        return f"{_written(node.part, engine)}{{{node.least},{most}}}{engine.possessive}"
    return f"(?:{_written(node.part, engine)}){{{node.least},{most}}}"


def _written_set(node: _Set, engine: _Engine) -> str:
    if not node.is_negated and len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        return _character(node.ranges[0][0], _SPECIAL, engine)
    inside = "".join(
        _character(low, _SPECIAL_IN_CLASS, engine)
        + ("" if low == high else f"-{_character(high, _SPECIAL_IN_CLASS, engine)}")
        for low, high in node.ranges
    )
    return f"[{'^' if node.is_negated else ''}{inside}]"


def _character(code: int, special: frozenset[str], engine: _Engine) -> str:
    if (0xD800 <= code <= 0xDFFF or code == 0) and not engine.holds_nul:
        raise PatternError(f"has a character that no text of {engine.name} holds")
    character = chr(code)
    return f"\\{character}" if character in special else character
