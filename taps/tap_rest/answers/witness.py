"""Whether an API still serves, where an answer without rows says what no answer with rows has said.

An answer without rows ends a read. APIs put a limit that is reached, a session that is over or a maintenance beside an
empty list under status 200, in words and languages without end, so it is not words that decide. What is not as in the
answers with rows is a sign, and at a sign the first question that had rows is asked once more: if it has none now, the API
does not serve, and the page is asked for later, as after 429. If it has some, the page itself is asked for once more, and
is the end if it still has none. Signs that were an end a few times are trusted.

So it is asked, too, where nothing but a token or a link of the page before speaks against an end: an API whose rows have gone for
a while says no more than that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from singerkit_shell.errors import BadDataError, NotAuthorisedError, RetryableError
from tap_rest.answers.answer import Response
from tap_rest.answers.signs import wait_asked
from tap_rest.asking.questions import Question
from tap_rest.http.client import Client
from tap_rest.http.retries import NotYet, Transient
from tap_rest.records.cutting import PageReader

__all__ = ["Witness"]

_TRUSTED = 3  # ends after which the same signs need no further look
_LOOKS = 2  # where such an answer had rows at the second look before

_ONCE_ONLY = ' (if each row can be asked for once only, say `"empty_page": "stop"` in `pagination`)'

Signs = frozenset[str]


class Witness:
    """Asks the questions of one stream, and looks twice at answers without rows that differ from those with rows.

    ``translate`` makes the body of an answer JSON.
    """

    def __init__(self, client: Client, reader: PageReader, translate: Callable[[Response], None]) -> None:
        self._client = client
        self._reader = reader
        self._translate = translate
        self._had_rows: Question | None = None
        self._has_asked_history = False
        self._ends: Counter[Signs] = Counter()
        self._doubted: set[Signs] = set()
        """Signs of an answer that had rows when it was asked for once more."""
        self._waited: set[Signs] = set()

    def remember(self, question: Question) -> None:
        """Note the first question of a read, whose answer had rows."""
        self._had_rows = question

    def ask(
        self,
        question: Question,
        *,
        is_first: bool = True,
        history: Callable[[], Question | None] | None = None,
        is_contradicted: bool = False,
    ) -> tuple[Response, bool]:
        """Return the answer; and whether the API was seen to serve around one that has no rows and says something new.

        ``is_first``: no page of this read came before. ``history`` returns a question that may have rows of former runs.
        ``is_contradicted``: the page before has led here, so that an answer without rows needs no sign to be doubted.

        Raises:
            NotAuthorisedError, BadDataError, RetryableError, ConfigurationError, Stopped: see `Client.ask`.
        """
        passed: list[Signs] = []

        def not_yet(response: Response) -> NotYet | None:
            if response.taken_for == "skip" or (response.taken_for == "ignore" and is_first):
                return None
            if response.taken_for in ("end", "ignore"):
                return self._of_an_end(response, passed)
            around = self._reader.around_none(response)
            if around is None:
                return None
            signs = self._reader.signs_of(response, around, is_first=is_first)
            if signs and not self._reader.knows_rows and self._learn_from(history):
                signs = self._reader.signs_of(response, around, is_first=is_first)
            busy = self._reader.finding_of_busy(response, around)
            if busy is not None:
                return NotYet(busy)
            if signs in passed or not (signs or is_contradicted):
                return None
            if self._had_rows is None:
                return self._asked_to_wait(signs, wait_asked(around, response.headers))
            is_known = self._is_trusted(signs) and not is_contradicted
            if not is_known and self._serves() is False:
                return self._nobody_is_served(response, "" if signs else _ONCE_ONLY)
            if signs:
                passed.append(signs)
            return None

        answer = self._get(question, not_yet)
        if self._had_rows is None or not passed or self._is_trusted(passed[-1]):
            return answer, bool(passed) and self._had_rows is not None
        return self._with_rows_now(question, not_yet, passed) or answer, True

    def refuse_rows_left_out(self, response: Response, where: str) -> None:
        """See that an answer which a rule takes for none has no records.

        Raises:
            BadDataError: it has.
        """
        if response.taken_for is None or not 200 <= response.status < 300:
            return
        looked_at = replace(response, taken_for=None)
        try:
            self._translate(looked_at)
        except (BadDataError, Transient):
            return
        if self._reader.has_rows(looked_at):
            raise BadDataError(
                f"A rule of `errors` takes {where} for `{response.taken_for}`, and its answer has records, which would be lost; have the rule fit other "
                "answers only, or say `fail` or `retry` in it."
            )

    def _of_an_end(self, response: Response, passed: list[Signs]) -> NotYet | None:
        """Look whether the API serves, where an answer that is no page is the end by a rule: a failing one refuses all."""
        signs = frozenset((f"the end by status {response.status}",))
        is_known = signs in passed or self._is_trusted(signs) or self._had_rows is None
        had_rows = self._had_rows
        if not is_known and not self._serves():
            self._had_rows = had_rows
            return self._nobody_is_served(response)
        passed.append(signs)
        return None

    def _nobody_is_served(self, response: Response, advice: str = "") -> NotYet:
        said = self._reader.excerpt_of(response)
        return NotYet(
            f"status {response.status} and no records, it says: {said}, and what had some before has none now{advice}"
        )

    def _with_rows_now(
        self, question: Question, not_yet: Callable[[Response], NotYet | None], passed: Sequence[Signs]
    ) -> Response | None:
        """Ask once more, behind the signs that have ``passed``, and return an answer with rows; None: there is none."""
        for _ in range(_LOOKS if passed[-1] in self._doubted else 1):
            try:
                again = self._get(question, not_yet)
            except (BadDataError, NotAuthorisedError):
                return None  # a token that leads on once only
            if self._reader.has_rows(again):
                self._doubted.update(passed)
                return again
        self._ends[passed[-1]] += 1
        return None

    def _asked_to_wait(self, signs: Signs, wait: float | None) -> NotYet | None:
        """Give an answer that asks to wait one more try where there is no witness; the same one is believed then."""
        if wait is None or signs in self._waited:
            return None
        self._waited.add(signs)
        return NotYet("no records, and it asks to wait", wait)

    def _get(self, question: Question, not_yet: Callable[[Response], NotYet | None]) -> Response:
        def looked_at(response: Response) -> NotYet | None:
            if response.taken_for is None:
                self._translate(response)
            return not_yet(response)

        return self._client.ask(question, not_yet=looked_at)

    def _is_trusted(self, signs: Signs) -> bool:
        return self._ends[signs] >= _TRUSTED and signs not in self._doubted

    def _serves(self) -> bool | None:
        """Tell whether what had rows still has some; None: there is nothing, or nothing any more, that can be asked."""
        if self._had_rows is None:
            return None
        try:
            answer = self._get(replace(self._had_rows, accept=()), _at_once)
        except (BadDataError, NotAuthorisedError):
            answer = None
        if answer is None or answer.taken_for is not None:
            self._had_rows = None
            return None
        return self._reader.has_rows(answer)

    def _learn_from(self, history: Callable[[], Question | None] | None) -> bool:
        """Ask for rows of former runs, once, where the first answer of a run has none and something to say.

        What stands around them says whether it always does so; that there are none, or no answer, says nothing.
        """
        if history is None or self._has_asked_history:
            return False
        self._has_asked_history = True
        question = history()
        if question is None:
            return False
        try:
            answer = self._get(question, _at_once)
        except (BadDataError, NotAuthorisedError, RetryableError):
            return False
        if not self._reader.has_rows(answer):
            return False
        self._reader.learn(answer)
        self._had_rows = question
        return True


def _at_once(_: Response) -> NotYet | None:
    return None
