"""What an answer without rows says, and no answer with rows has said: signs that it may be no end (see `witness`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tap_rest.answers.envelope import (
    VARIES,
    Habits,
    Member,
    comparable,
    is_echo,
    is_judged,
    is_status,
    may_tell,
)
from tap_rest.answers.words import number_in
from tap_rest.names import words_of
from tap_rest.pages.membernames import is_pointer

__all__ = ["new_member", "signs_in_headers", "signs_of", "wait_asked"]

_OF_THE_END = frozenset(
    ("has", "more", "last", "end", "next", "prev", "previous", "final", "done", "complete", "empty")
)
"""Words of names that may come with the last page only."""
_OF_TRANSPORT = frozenset(
    (
        *(
            "content",
            "transfer",
            "vary",
            "etag",
            "modified",
            "age",
            "cache",
            "expires",
            "date",
            "connection",
            "alive",
        ),
        *(
            "cookie",
            "link",
            "cf",
            "timing",
            "via",
            "id",
            "runtime",
            "served",
            "hits",
            "ray",
            "trace",
            "pragma",
            "upgrade",
        ),
    )
)
"""Words of headers that come and go with the length of a body and the way it took."""
_LEFT = frozenset(("remaining", "left"))
_WAITS = frozenset(("retry", "backoff", "wait", "cooldown", "delay"))
_MILLISECONDS = frozenset(("ms", "millis", "milliseconds"))


def signs_of(
    members: Sequence[Member], habits: Habits, told: Collection[tuple[str, ...]], *, is_first: bool
) -> frozenset[str]:
    """Return what ``members``, which stand around no rows, have otherwise than those around rows, each as a text.

    ``told``: names of those that speak of a failure, by their words. ``is_first``: the answer is the first to another question,
    so that texts that name what was asked for may differ.
    """
    speaking = [member for member in members if not (is_pointer(member[0][-1]) or is_echo(member[0][-1]))]
    signs = {
        _shown(names, value) for names, value in speaking if names in told or _waits(names, value) is not None
    }
    if habits.pages:
        signs |= {
            _shown(names, value)
            for names, value in speaking
            if _is_new(names, value, habits) or _is_other(names, value, habits, is_first=is_first)
        }
        here = {names[0] for names, value in members if value is not None}
        signs |= {f"without {name}" for name in habits.around - here if habits.said.get((name,)) is not None}
    return frozenset(signs)


def new_member(members: Sequence[Member], habits: Habits) -> tuple[str, ...] | None:
    """Return the name of a member that no answer with rows had, unless it only asks to wait."""
    for names, value in members:
        is_quiet = is_pointer(names[-1]) or is_echo(names[-1]) or words_of(names[-1]) & (_WAITS | _LEFT)
        if not is_quiet and value is not False and _is_new(names, value, habits):
            return names
    return None


def signs_in_headers(headers: Mapping[str, str], known: Collection[str]) -> frozenset[str]:
    """Return what headers say: `Retry-After`, a number of requests left that is 0, and one that no answer with rows had.

    ``known``: names of those, in lower case; none where there was no such answer.
    """
    return frozenset(
        name.lower()
        for name, value in headers.items()
        if name.lower() == "retry-after"
        or ("remaining" in words_of(name) and number_in(value) == 0)
        or (known and name.lower() not in known and not words_of(name) & _OF_TRANSPORT)
    )


def wait_asked(members: Sequence[Member], headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait: None if it does not; 0 if only its headers do."""
    waits = [wait for wait in (_waits(names, value) for names, value in members) if wait is not None]
    return max(waits) if waits else 0 if "retry-after" in map(str.lower, headers) else None


def _waits(names: tuple[str, ...], value: Any) -> float | None:
    """`retry_after: 30`, `backoff: 10`."""
    words, number = words_of(names[-1]), number_in(value)
    if not words & _WAITS or number is None or number <= 0:
        return None
    return number / 1000 if words & _MILLISECONDS else number


def _is_new(names: tuple[str, ...], value: Any, habits: Habits) -> bool:
    is_known = names in habits.said or (names[:-1] in habits.said and not isinstance(value, str | bool))
    is_of_the_end = bool(words_of(names[-1]) & _OF_THE_END) and not isinstance(value, str)
    return not is_known and value not in (None, "", [], {}) and not is_of_the_end


def _is_other(names: tuple[str, ...], value: Any, habits: Habits, *, is_first: bool) -> bool:
    if names not in habits.said:
        return False
    former, words, number = habits.said[names], words_of(names[-1]), number_in(value)
    if former == comparable(value):
        return False
    if number == 0 and words & _LEFT:
        return True
    if former is VARIES:
        return False
    if number is not None:
        return is_status(names) or (number == 0 and "total" in words)
    return is_judged(names) or (not is_first and may_tell(names, value))


def _shown(names: tuple[str, ...], value: Any) -> str:
    """Two answers say the same where texts and flags are the same; numbers may count what is left of a minute."""
    is_word = isinstance(value, str | bool) or is_status(names) or value == 0
    return f"{'.'.join(names)}={comparable(value)}" if is_word else ".".join(names)
