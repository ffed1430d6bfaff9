"""E-mail addresses, phone numbers, payment cards and IBANs in free text, found in one walk each.

Nothing here backtracks: repeats are possessive, and what is looked at from one place on has a greatest length, so that the work grows with the
text and not with its square, whatever the text is.

What has a checksum counts only with it: digits that may be a card's by Luhn's, an IBAN by its remainder. Phone numbers have none: see `_phone_end`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping

__all__ = ["KINDS", "redacted"]

Span = tuple[int, int]
_FOUND = "\n"
"""Stands in the place of what was found, while the next kind is looked for: no find goes over the end of a line."""


def redacted(text: str, kinds: Collection[str], stand_ins: Mapping[str, str]) -> str:
    """Return a text with ``stand_ins[kind]`` in the place of what is found of each of ``kinds``."""
    finds: list[tuple[int, int, str]] = []
    rest = text
    for kind, find in KINDS.items():
        if kind in kinds:
            spans = list(find(rest))
            rest = _without(rest, spans)
            finds += [(start, end, kind) for start, end in spans]
    if not finds:
        return text
    pieces, last = [], 0
    for start, end, kind in sorted(finds):
        pieces += [text[last:start], stand_ins[kind]]
        last = end
    return "".join([*pieces, text[last:]])


def _without(text: str, spans: list[Span]) -> str:
    pieces, last = [], 0
    for start, end in spans:
        pieces += [text[last:start], _FOUND * (end - start)]
        last = end
    return "".join([*pieces, text[last:]]) if spans else text


# E-mail addresses

_AT = re.compile(r"[@\uff20\ufe6b]|%40")
_BACKWARDS = re.compile(r"[^\s@\uff20\ufe6b<>()\[\],;:\"\\/?&#|{}^*`]*+")
"""The part before the `@`, from its end: any letters and marks, whatever the script, but for what parts words of URLs and lists."""
_AROUND = ".'!-=$%~\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb"
_LABEL = r"[\w\-\u00b7\u0300-\u036f\u200b-\u200d\u2060\ufeff]"
_DOMAIN = re.compile(rf"{_LABEL}++(?:[.\u3002\uff0e]{_LABEL}++)++")
_DOT = re.compile(r"[.\u3002\uff0e]")
_TOP = re.compile(r"[^\W\d_]")


def _emails(text: str) -> Iterator[Span]:
    """Find what has an `@`, a domain with a dot behind it, whose last part begins with a letter, and anything right before it."""
    found: Span | None = None
    last = 0
    for at in _AT.finditer(text):
        end = _domain_end(text, at.end())
        before = _BACKWARDS.match(text[last : at.start()][::-1])
        last = at.end()
        if end is None or before is None:
            continue
        local = text[at.start() - before.end() : at.start()].lstrip(_AROUND)
        start = at.start() - len(local)
        if found is not None and found[1] >= start:  # a@b.org@c.org
            found = (found[0], end)
        elif local:
            if found is not None:
                yield found
            found = (start, end)
    if found is not None:
        yield found


def _domain_end(text: str, start: int) -> int | None:
    """Return where a domain ends, without parts at its end that begin with no letter: `b.org` of `b.org.0301`."""
    found = _DOMAIN.match(text, start)
    if found is None:
        return None
    labels = _DOT.split(found[0])
    end = found.end()
    while len(labels) > 1 and not _TOP.match(labels[-1]):
        end -= len(labels.pop()) + 1
    return end if len(labels) > 1 else None


# IBANs

_LENGTHS: Mapping[str, int] = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FO FK FI GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ XK LT LU MN",
        "21": "CR HR LV LI CH",
        "22": "BH BG GE DE GB IE ME RS VA",
        "23": "TL GI IQ IL OM SO AE",
        "24": "AD CZ MD PK RO SA SK ES SE TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO SV GT HN HU LB NI PL",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""Characters of an IBAN by its country, as the registry of ISO 13616 has them."""
_IBAN_CHECK_DIGITS = re.compile(r"(?<=[A-Za-z]{2})[0-9]{2}|(?<=[A-Za-z]{2}[ ])[0-9]{2}")
_BETWEEN = frozenset(" -.\u00a0\u2007\u2009\u202f\u2010\u2011")
"""What stands between groups of digits, one at a time."""


def _ibans(text: str) -> Iterator[Span]:
    last = 0
    for digits in _IBAN_CHECK_DIGITS.finditer(text):
        start = digits.start() - 2 - (text[digits.start() - 1] == " ")
        length = _LENGTHS.get(text[start : start + 2].upper())
        if length is None or start < last:
            continue
        end = _iban_end(text, start, length)
        if end is not None and _stands_alone(text, end):
            yield start, end
            last = end


def _stands_alone(text: str, end: int) -> bool:
    """Tell whether no letter or digit follows, but those of another IBAN."""
    follows = text[end : end + 1]
    if not (follows.isascii() and follows.isalnum()):
        return True
    length = _LENGTHS.get(text[end : end + 2].upper())
    return length is not None and _iban_end(text, end, length) is not None


def _iban_end(text: str, start: int, length: int) -> int | None:
    taken: list[str] = []
    place = start
    while len(taken) < length:
        letter = text[place : place + 1]
        if letter in _BETWEEN and taken and text[place - 1] not in _BETWEEN:
            place += 1
            continue
        if not (letter.isascii() and letter.isalnum()):
            return None
        taken.append(letter)
        place += 1
    return place if _is_iban("".join(taken)) else None


def _is_iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97 == 1


# Runs of digits: cards and phone numbers

_RUN = re.compile(r"\d++(?:[ \-./()\u00a0\u2007\u2009\u202f\u2010-\u2013\u2212\ufe63\uff0d]{1,3}+\d++)*+")
_SHORTEST_RUN = 7
_GROUP = re.compile(r"\d++")
_ENOUGH_DIGITS = re.compile(r"(?:\d\D*+){7}")
"""Most texts hold fewer, and are not looked through by groups."""


def _runs(text: str) -> Iterator[list[Span]]:
    """Yield the groups of digits of each run of them that has no more than three other characters between two."""
    if not _ENOUGH_DIGITS.search(text):
        return
    for run in _RUN.finditer(text):
        start, end = run.span()
        if end - start >= _SHORTEST_RUN:
            yield [group.span() for group in _GROUP.finditer(text, start, end)]


def _found_in_runs(text: str, end_of: Callable[[str, list[Span], int], int | None]) -> Iterator[Span]:
    """Yield from the first group of a find to the end of its last; ``end_of`` gives the number of the group behind it."""
    for groups in _runs(text):
        index = 0
        while index < len(groups):
            end = end_of(text, groups, index)
            if end is None:
                index += 1
            else:
                yield _with_opening(text, groups[index][0]), groups[end - 1][1]
                index = end


def _with_opening(text: str, start: int) -> int:
    """Return where a number begins, with the signs before its first digit: `+(`."""
    for _ in range(2):
        if start and text[start - 1] in "+\uff0b(":
            start -= 1
    return start


_CARD_DIGITS = range(13, 20)
_CARD_BEGINS = "2345689"


def _card_end(text: str, groups: list[Span], index: int) -> int | None:
    """Return where the longest card number that begins with this group ends."""
    digits = ""
    found = None
    for end in range(index, len(groups)):
        start, stop = groups[end]
        if end > index and (start - groups[end - 1][1] != 1 or text[start - 1] not in _BETWEEN):
            break
        if len(digits) + stop - start > _CARD_DIGITS[-1]:
            break
        digits += text[start:stop]
        if len(digits) in _CARD_DIGITS and str(int(digits[0])) in _CARD_BEGINS and _is_by_luhn(digits):
            found = end + 1
    return found


def _is_by_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _cards(text: str) -> Iterator[Span]:
    return ((_digit_at(text, start), end) for start, end in _found_in_runs(text, _card_end))


def _digit_at(text: str, start: int) -> int:
    while not text[start].isdecimal():
        start += 1
    return start


_DATES = {(4, 2, 2), (2, 2, 4), (1, 2, 4), (2, 1, 4), (1, 1, 4), (2, 2, 2), (4, 1, 1), (4, 1, 2), (4, 2, 1)}
_AMERICAN = ((3, 3, 4), (1, 3, 3, 4))


def _phone_end(text: str, groups: list[Span], index: int) -> int | None:
    """Return where the phone number ends that begins with this group, if one does.

    One begins with `+`, or with `00`, or with `0` or an area in parentheses, or is grouped as in North America: 555-123-4567. Dates and decimals
    (0.25) are none. Ten digits that stand by themselves are none either: most of them are numbers of orders.
    """
    start, stop = groups[index]
    first = text[start:stop]
    opened = text[_with_opening(text, start) : start]
    if "+" in opened or "\uff0b" in opened:
        return _end_with(groups, index, range(7, 16))
    if first.startswith("00"):
        return None if first.startswith("000") else _end_with(groups, index, range(9, 18))
    if _sizes(groups, index, 3) in _DATES:
        return None
    if opened == "(" and text[stop : stop + 1] == ")":
        return _end_with(groups, index, range(7, 16))
    if first[0] == "0" and first != "0":
        return _end_with(groups, index, range(9, 14))
    for american in _AMERICAN:
        if _sizes(groups, index, len(american)) == american and not (len(american) == 4 and first != "1"):
            return index + len(american)
    return None


def _sizes(groups: list[Span], index: int, count: int) -> tuple[int, ...]:
    return tuple(end - start for start, end in groups[index : index + count])


def _end_with(groups: list[Span], index: int, allowed: range) -> int | None:
    """Return the end of the longest find whose number of digits is allowed."""
    digits, found = 0, None
    for end in range(index, len(groups)):
        digits += groups[end][1] - groups[end][0]
        if digits > allowed[-1]:
            break
        if digits in allowed:
            found = end + 1
    return found


def _phones(text: str) -> Iterator[Span]:
    return _found_in_runs(text, _phone_end)


KINDS: Mapping[str, Callable[[str], Iterator[Span]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "phone": _phones,
}
"""In the order in which they are looked for: what was found is not looked through again."""
