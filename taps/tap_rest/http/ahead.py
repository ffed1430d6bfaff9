"""Answers that are on their way before they are asked for: `concurrency` requests at a time, those of the reader itself included.

Nothing of a read changes by it. A stream names the questions that it is likely to ask next (`expect`): the page behind this one, the
next pages by number, the first page below the next parents. Threads of their own ask them meanwhile, each by a sender of its own
with the same credentials. Whoever comes to such a question takes the answer (`take`), once; all that judges an answer, asks again
and waits stays where it is, in the order in which it was.

A reader whose answers all come early asks for none itself, so as many threads ask as there may be requests; where it has to ask, it
takes the next turn that is free, before theirs (`turn`).

Only answers with status 200 are kept. Whatever else comes is dropped, and so is all that is expected: the reader asks itself, with its
retries and its words for it, and nothing is asked ahead for some time. So a limit is met by one request, not by all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from queue import SimpleQueue

from singerkit_shell.signals import stop_flag
from tap_rest.answers.answer import Response
from tap_rest.asking.questions import Question

__all__ = ["Ahead", "Send"]

_OK = 200
_MOST_BYTES = 64 << 20
_LOOK = 0.2
_REST = 20
"""Questions that the reader asks itself after one that was asked ahead had no good answer."""

Send = Callable[[str, Question], Response]


class _Errand:
    """A question that was sent out; ``answer`` counts once ``is_over`` is set."""

    def __init__(self, url: str, question: Question) -> None:
        self.url, self.question = url, question
        self.is_over = threading.Event()
        self.has_begun = False
        self.is_dropped = False
        self.answer: Response | None = None


class _Turns:
    """No more than ``most`` requests at a time; the reader's is the next to be made."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._is_read = False
        self._change = threading.Condition()

    def take(self) -> None:
        """Wait for a turn in a thread of its own."""
        with self._change:
            self._change.wait_for(lambda: self._free and not self._is_read)
            self._free -= 1

    def take_first(self) -> None:
        """Wait for a turn as the reader.

        Raises:
            Stopped: a signal came while waiting.
        """
        with self._change:
            self._is_read = True
            try:
                while not self._change.wait_for(lambda: self._free, _LOOK):
                    stop_flag.raise_if_set("no request was under way, the state printed so far is valid.")
                self._free -= 1
            finally:
                self._is_read = False
                self._change.notify_all()

    def give_back(self) -> None:
        with self._change:
            self._free += 1
            self._change.notify_all()


class Ahead:
    """Asks in as many threads as requests ``at_a_time``, each by a sender that ``make`` makes for it; nothing where it is one."""

    def __init__(self, at_a_time: int, make: Callable[[], Send]) -> None:
        self._threads, self._make = at_a_time if at_a_time > 1 else 0, make
        self._turns = _Turns(at_a_time)
        self._errands: dict[Hashable, dict[Hashable, _Errand]] = {}
        self._waiting: SimpleQueue[_Errand | None] = SimpleQueue()
        self._has_begun = False
        self._rest = 0

    @property
    def is_used(self) -> bool:
        """Whether anything is ever asked ahead."""
        return self._threads > 0

    @property
    def width(self) -> int:
        """How many questions may be expected."""
        return 0 if not self._threads or self._rest or self._is_full else self._threads

    @property
    def _is_full(self) -> bool:
        errands = [errand for group in self._errands.values() for errand in group.values()]
        return sum(len(errand.answer.body) for errand in errands if errand.answer is not None) > _MOST_BYTES

    def expect(
        self,
        group: Hashable,
        questions: Iterable[tuple[str, Question]],
        now: tuple[str, Question] | None = None,
    ) -> None:
        """Ask ``questions``, each with its whole URL, instead of those that ``group`` expected before, but for the one asked ``now``."""
        before, errands = self._errands.pop(group, {}), {}
        if now is not None and (known := before.pop(_name(*now), None)) is not None:
            errands[_name(*now)] = known
        for url, question in list(questions)[: self.width]:
            name = _name(url, question)
            known = before.pop(name, None)
            errands[name] = known or self._sent_out(url, question)
        for errand in before.values():
            errand.is_dropped = True
        if errands:
            self._errands[group] = errands

    def take(self, url: str, question: Question) -> Response | None:
        """Return the answer to a question that was expected, and forget it; None: the reader asks itself.

        Raises:
            Stopped: a signal came while waiting.
        """
        errand = self._forget(_name(url, question))
        if errand is None:
            self._rest = max(self._rest - 1, 0)
            return None
        if not errand.has_begun:
            errand.is_dropped = True  # before its turn has come
            return None
        while not errand.is_over.wait(_LOOK):
            stop_flag.raise_if_set("the page under way was dropped, the state printed so far is valid.")
        if errand.answer is None:
            self._rest = _REST
            self._drop_all()
        elif errand.answer.taken is not None:
            errand.answer.taken()
        return errand.answer

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Have a turn for a request that the reader makes itself.

        Raises:
            Stopped: a signal came while waiting.
        """
        if not self._has_begun:
            yield
            return
        self._turns.take_first()
        try:
            yield
        finally:
            self._turns.give_back()

    def close(self) -> None:
        """Ask for nothing more; what is under way is not waited for."""
        self._drop_all()
        for _ in range(self._threads):
            self._waiting.put(None)

    def _sent_out(self, url: str, question: Question) -> _Errand:
        if not self._has_begun:
            self._has_begun = True
            for _ in range(self._threads):
                threading.Thread(target=self._work, args=(self._make(),), name="ahead", daemon=True).start()
        errand = _Errand(url, question)
        self._waiting.put(errand)
        return errand

    def _forget(self, name: Hashable) -> _Errand | None:
        for errands in self._errands.values():
            if name in errands:
                return errands.pop(name)
        return None

    def _drop_all(self) -> None:
        for errands in self._errands.values():
            for errand in errands.values():
                errand.is_dropped = True
        self._errands.clear()

    def _work(self, send: Send) -> None:
        while (errand := self._waiting.get()) is not None:
            self._turns.take()
            errand.has_begun = True
            try:
                if not errand.is_dropped:
                    errand.answer = _good_answer(send, errand)
            finally:
                self._turns.give_back()
            errand.is_over.set()


def _good_answer(send: Send, errand: _Errand) -> Response | None:
    try:
        answer = send(errand.url, errand.question)
    except Exception:  # the reader asks itself, and says what is wrong
        return None
    return answer if answer.status == _OK and not errand.is_dropped else None


def _name(url: str, question: Question) -> Hashable:
    content = None if question.payload is None else question.payload.content
    return question.method, url, content, tuple(sorted(question.headers.items()))
