"""What an answer says of itself around its rows: that it failed, that it is a part, that there was nothing to find.

An answer without rows ends a read, so what stands beside them decides whether it is an end or a failure under status
200. `failure_of` judges an answer without rows, `part_of` one with rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from tap_rest.answers.envelope import (
    ACCESS,
    BARRED,
    DESCRIPTIONS,
    ERRORS,
    GRANTED,
    MESSAGES,
    PARTS,
    TYPES,
    WARNINGS,
    Habits,
    Member,
    comparable,
    is_error_name,
    is_judged,
    is_message,
    is_of_the_answer,
    is_status,
    may_tell,
)
from tap_rest.answers.words import (
    FAILING,
    NOT_THERE,
    OF_LIMITS,
    OF_THIS_PAGE,
    is_busy,
    is_failing_status,
    is_failing_word,
    is_fine,
    number_in,
    plain_text,
    says_end,
)
from tap_rest.names import plain_name, words_of

__all__ = ["Failure", "Weight", "failure_of", "left_of", "may_be_a_things", "part_of"]


class Weight(Enum):
    """What a failure that an answer tells of means."""

    SURE = "it says so in a member that has no other meaning"
    LIKELY = "it says so in words"
    MAYBE = "it says something else than the answers with rows"


@dataclass(frozen=True, slots=True)
class Failure:
    """A member that tells of a failure; ``is_busy``: asking again may help."""

    names: tuple[str, ...]
    weight: Weight
    is_busy: bool = False

    @property
    def shown(self) -> str:
        return ".".join(self.names)


def _says_busy(members: Sequence[Member]) -> bool:
    """Tell whether a status, a message or an error says that the same question may get an answer later."""
    return any(is_busy(value) for names, value in members if is_judged(names))


def failure_of(
    members: Sequence[Member],
    habits: Habits,
    *,
    has_list: bool = True,
    is_first: bool = False,
    own: Sequence[Member] = (),
    here: Habits | None = None,
) -> Failure | None:
    """Return what says that an answer without rows failed; ``has_list``: there was a place for rows.

    ``is_first``: no answer of this read came before, so ``habits`` are those of other questions. ``own`` are members of a
    thing that holds the records: what they say of failures is mostly its own. ``here`` are the habits of this read alone.
    """
    if own:
        theirs = {names for names, _ in own}
        others = [member for member in members if member[0] not in theirs]
        around = failure_of(others, habits, is_first=is_first, here=here)
        is_told = around is not None and around.weight is not Weight.MAYBE
        return around if is_told else _failure_of_a_thing(own, habits) or around
    sure = _sure_failure(members, habits)
    if sure is not None:
        return sure
    new = [(names, value) for names, value in members if not habits.is_usual(names, value)]
    told = _error_member(new) or _telling_type(new) or _failing_message(new) or _telling_warning(new)
    told = told or _barred(new, habits)
    if told is not None:
        return Failure(told[0], Weight.LIKELY, _says_busy(new))
    words = [(names, value) for names, value in new if is_status(names) or is_message(names)]
    if any(says_end(value) for _, value in words):
        return None
    statuses = [(names, value) for names, value in words if is_status(names)]
    for names, value in statuses:
        if is_failing_status(plain_name(names[-1]), value):
            return Failure(names, Weight.LIKELY, _says_busy(words))
    told = _redirected(words)
    if told is not None:
        return Failure(told[0], Weight.LIKELY, _says_busy(words))
    gone = next((names for names, value in statuses if number_in(value) in NOT_THERE), None)
    if gone is not None:
        return Failure(gone, Weight.MAYBE) if is_first else None
    is_well = any(is_status(names) and _is_said_well(value) for names, value in members)
    strange = _strange_word(words, habits, is_first=is_first)
    if strange is not None and is_first and isinstance(dict(words)[strange], str):
        return Failure(strange, Weight.MAYBE)  # another question: what it is about may have another status
    strange = strange or (None if has_list or is_well else _word(new))
    if strange is None:
        changed = _error_count(new) or _changed(members, here)
        return Failure(changed, Weight.MAYBE) if changed else None
    return Failure(strange, Weight.MAYBE if is_well and not is_status(strange) else Weight.LIKELY)


def _failure_of_a_thing(own: Sequence[Member], habits: Habits) -> Failure | None:
    """`{"id": 7, "status": "failed", "items": []}` has failed, or is an order that has; `"error": "rate limit"` is no order's."""
    told = _sure_failure(own, habits) or failure_of(
        [member for member in own if not habits.is_usual(*member)], Habits()
    )
    if told is None:
        return None
    value = dict(own)[told.names]
    asks_to_wait = plain_name(told.names[-1]) in ("error", "errors") and is_busy(value)
    return Failure(told.names, Weight.LIKELY if asks_to_wait else Weight.MAYBE, asks_to_wait)


def left_of(failure: Failure, members: Sequence[Member], *, is_thing: bool) -> Failure | None:
    """Return what is left of a failure where the API was seen to serve other questions meanwhile: one of this question.

    Sessions and maintenance are none. Errors and failing statuses are, and messages that do not say that it is the end: a page
    may be too deep, or beyond what is paid for. Another status is told, and other members are an end. ``is_thing``: another
    thing was asked for, whose status it may be.
    """
    value, name = dict(members)[failure.names], failure.names[-1]
    if is_thing and plain_name(name) not in _OF_THE_ANSWER_ALONE:
        return replace(failure, weight=Weight.MAYBE)
    if isinstance(value, str) and is_message(failure.names) and OF_THIS_PAGE.search(plain_text(value)):
        return replace(failure, weight=Weight.LIKELY)
    is_failing = is_status(failure.names) and (number_in(value) is not None or is_failing_word(str(value)))
    if failure.weight is Weight.SURE or is_error_name(name) or is_message(failure.names) or is_failing:
        return failure if failure.weight is not Weight.MAYBE or isinstance(value, str) else None
    return replace(failure, weight=Weight.MAYBE) if is_judged(failure.names) else None


def may_be_a_things(failure: Failure, members: Sequence[Member]) -> bool:
    """Tell whether a failure may be that of a thing that was asked for: a word as its status, and nothing that explains it."""
    others = [(names, value) for names, value in members if names != failure.names and is_judged(names)]
    is_word = is_status(failure.names) and number_in(dict(members)[failure.names]) is None
    return is_word and all(is_fine(value) for _, value in others)


_OF_THE_ANSWER_ALONE = ("error", "errors", "ok", "success")


def part_of(members: Sequence[Member]) -> tuple[str, ...] | None:
    """Return the member beside rows that says that others may be missing."""
    for names, value in members:
        name = plain_name(names[-1])
        if len(names) > 1 and not is_of_the_answer(names):
            continue
        if name in ("error", "errors") and not is_fine(value):
            return names
        if name in ("ok", "success") and (
            value is False or (isinstance(value, str) and value.lower() == "false")
        ):
            return names
        if _is_part(name, value):
            return names
    return None


def _is_part(name: str, value: Any) -> bool:
    if name == "shards":  # Elasticsearch
        return isinstance(value, dict) and value.get("failed", 0) != 0
    return name in PARTS and name != "incomplete" and value is True


def _sure_failure(members: Sequence[Member], habits: Habits) -> Failure | None:
    """Members at the top that speak of errors and of nothing else; `error`, `ok` and the like whatever those with rows have."""
    for names, value in members:
        name = plain_name(names[-1])
        is_top = len(names) == 1
        failed = (
            (name in ("error", "errors") and is_top and not is_fine(value))
            or (name in ("ok", "success") and is_top and (value is False or value in (0, "false", "False")))
            or (
                name in ("status", "result")
                and is_top
                and not habits.is_usual(names, value)
                and plain_text(value) in ("error", "fail", "failed", "failure")
            )
            or (_is_part(name, value) and is_of_the_answer(names))
        )
        if failed and not _is_redeemed(name, members):
            return Failure(names, Weight.SURE, _says_busy(members))
    return None


def _is_redeemed(name: str, members: Sequence[Member]) -> bool:
    """`{"success": false, "message": "No records found"}` is an end."""
    return name not in ("error", "errors") and any(
        is_message(names) and says_end(value) for names, value in members
    )


def _error_member(members: Sequence[Member]) -> Member | None:
    is_coded = any(_is_error_code(names[-1]) and number_in(value) == 0 for names, value in members)
    for names, value in members:
        if not is_error_name(names[-1]) or is_fine(value):
            continue
        if len(names) > 2 and not is_of_the_answer(names):
            continue
        is_count = isinstance(value, int | list) and not isinstance(value, bool)
        is_of_others = isinstance(value, int) and not is_of_the_answer(names)  # `summary.errors`
        is_count = is_count and (not _is_of_errors(names[-1]) or _counts(names[-1]) or is_of_others)
        is_text_of_a_zero = is_coded and isinstance(value, str) and not is_failing_word(value)
        if not is_count and not is_text_of_a_zero:
            return names, value
    return None


def _is_of_errors(name: str) -> bool:
    """`failed: 3` and `exceptions: [...]` may count and list what the rows are about."""
    words = words_of(name)
    return bool(words & ERRORS) or any("error" in word for word in words)


def _counts(name: str) -> bool:
    return bool(words_of(name) & {"count", "counts", "total"})


def _error_count(members: Sequence[Member]) -> tuple[str, ...] | None:
    """`error_count: 3` may be about the answer, or about the data."""
    for names, value in members:
        if is_error_name(names[-1]) and _counts(names[-1]) and not is_fine(value):
            return names
    return None


def _is_error_code(name: str) -> bool:
    return is_error_name(name) and plain_name(name).endswith(("code", "no", "num"))


def _telling_type(members: Sequence[Member]) -> Member | None:
    """`{"type": "error"}`, `{"__type": "ThrottlingException"}`."""
    for names, value in members:
        is_type = len(names) == 1 and plain_name(names[0]) in TYPES and isinstance(value, str)
        if is_type and value.lower().endswith(("error", "exception", "fault", "failure")):
            return names, value
    return None


def _failing_message(members: Sequence[Member]) -> Member | None:
    for names, value in members:
        is_text = isinstance(value, str) and (is_message(names) or _describes(names, members))
        if is_text and not is_fine(value) and FAILING.search(plain_text(value)[:1000]):
            return names, value
    return None


def _describes(names: tuple[str, ...], members: Sequence[Member]) -> bool:
    """`{"returnCode": "1001", "description": "session expired"}`."""
    return plain_name(names[-1]) in DESCRIPTIONS and any(
        other[:-1] == names[:-1] and is_status(other) and number_in(value) is not None and not is_fine(value)
        for other, value in members
    )


def _telling_warning(members: Sequence[Member]) -> Member | None:
    for names, value in members:
        is_warning = plain_name(names[-1]) in WARNINGS and is_of_the_answer(names)
        if is_warning and any(OF_LIMITS.search(plain_text(text)) for text in _texts(value)):
            return names, value
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:1000]
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _barred(members: Sequence[Member], habits: Habits) -> Member | None:
    """`{"throttled": true}`, `{"access": "denied"}`, and `{"authenticated": false}` where it was true beside rows."""
    for names, value in members:
        if not is_of_the_answer(names):
            continue
        name = plain_name(names[-1]).removeprefix("is")
        is_barred = value is True and name in BARRED
        is_taken = value is False and name in GRANTED and habits.said.get(names) is True
        is_denied = (
            name in ACCESS and isinstance(value, str) and not is_fine(value) and is_failing_word(value)
        )
        if is_barred or is_taken or is_denied:
            return names, value
    return None


def _redirected(words: Sequence[Member]) -> Member | None:
    """300 to 399 beside a message: Baidu's `{"status": 302, "message": ...}` is a quota."""
    is_told = any(
        is_message(names) and isinstance(value, str) and not is_fine(value) for names, value in words
    )
    for names, value in words:
        number = number_in(value)
        if is_told and is_status(names) and number is not None and 300 <= number < 400 and number != 304:
            return names, value
    return None


def _changed(members: Sequence[Member], here: Habits | None) -> tuple[str, ...] | None:
    """Return a text or flag that all answers with rows of this read had, and this one has otherwise."""
    if here is None:
        return None
    for names, value in members:
        former = here.said.get(names)
        is_word = not is_judged(names) and may_tell(names, value) and isinstance(former, str | bool)
        if is_word and former != comparable(value) and (isinstance(value, bool) or not is_fine(value)):
            return names
    return None


def _is_said_well(value: Any) -> bool:
    return value is True or (value is not None and value is not False and value != "" and is_fine(value))


def _strange_word(words: Sequence[Member], habits: Habits, *, is_first: bool) -> tuple[str, ...] | None:
    """Return the status or message that the answers with rows do not have.

    Those to other questions, which is all there are before the first answer, tell only where they say that all is well.
    """
    for names, value in words:
        is_word = isinstance(value, str) or is_status(names)  # OpenWeather's `message` is a number
        if not is_word or not habits.is_unusual(names, value) or isinstance(value, list | dict):
            continue
        former, number = habits.said.get(names), number_in(value)
        if is_first and not _is_said_well(former):
            continue
        is_zero_of_others = number == 0 and number_in(former) not in (None, 0)
        is_count = plain_name(names[-1]) in ("result", "response") and number is not None
        if not is_count and (is_zero_of_others or not (is_fine(value) or value is True)):
            return names
    return None


def _word(members: Sequence[Member]) -> tuple[str, ...] | None:
    """Return the message of an answer that has no place for rows."""
    for names, value in members:
        is_text = len(names) == 1 and plain_name(names[0]) in MESSAGES and isinstance(value, str)
        if is_text and not is_fine(value):
            return names
    return None
