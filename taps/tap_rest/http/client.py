"""One request at a time: origins checked, redirects by hand, retries, limits, and an answer that is whole.

The steps, in order: `Client.ask` -> `retries.Retrying` -> `Client._follow` (redirects) -> `sending.Sender` (one request, one
body) -> `answers.judged` (status).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Hashable, Iterable
from urllib.parse import urljoin

from singerkit_shell.errors import BadDataError
from singerkit_shell.reach import Reach
from singerkit_shell.signals import stop_flag
from tap_rest.answers.answer import Response, judged
from tap_rest.answers.rules import enforced
from tap_rest.asking.questions import Question, without_payload
from tap_rest.asking.urls import with_params
from tap_rest.auth import query_keys_of
from tap_rest.config import ApiSettings
from tap_rest.http.ahead import Ahead, Send
from tap_rest.http.redirects import leads_to_same, lost_parameters
from tap_rest.http.retries import NotYet, Retrying, Transient
from tap_rest.http.sending import Sender
from tap_rest.http.waiting import wait_asked_for
from tap_rest.masking import listed_names, shown_url
from tap_rest.recording.tape import Tape
from tap_rest.settings.auth import type_of
from tap_rest.settings.errors import ErrorRule

__all__ = ["Client"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SEE_OTHER = 303
_SAME_METHOD = (307, 308)
_NOT_AUTHORISED = 401


class Client:
    """Requests of one API, each of which reads, whatever its method. Credentials, headers and cookies go to the origin of `base_url` only."""

    def __init__(self, settings: ApiSettings, tape: Tape | None = None) -> None:
        self._settings, self._tape = settings, tape
        self._hidden = {name for stream in settings.streams for name in stream.hidden_params}
        self._hidden |= query_keys_of(settings.auth)
        self._reach = Reach(settings.base_url, settings.allowed_hosts, settings.allowed_addresses)
        self._sender = Sender(settings, self._reach, self.shown, tape=tape)
        self._beside: list[Sender] = []
        self._ahead = Ahead(settings.concurrency, self._send_beside)
        self._whole_answer = Retrying(self._follow, settings.retries, self.shown)

    @property
    def request_count(self) -> int:
        """Requests made so far, redirects and retries included."""
        senders = (self._sender, *self._beside)
        return sum(sender.count for sender in senders) + self._sender.count_for_tokens

    @property
    def retry_count(self) -> int:
        """Those that were made again."""
        return self._whole_answer.count

    def close(self) -> None:
        """Close every connection."""
        self._ahead.close()
        for sender in (self._sender, *self._beside):
            sender.close()

    def _send_beside(self) -> Send:
        """Return what sends requests in a thread of its own."""
        sender = Sender(self._settings, self._reach, self.shown, self._sender, self._tape)
        self._beside.append(sender)
        return sender.send

    @property
    def questions_ahead(self) -> int:
        """How many questions may be expected (`ahead`)."""
        return self._ahead.width

    def expect(self, group: Hashable, questions: Iterable[Question], now: Question | None = None) -> None:
        """Take note of what is likely to be asked behind what is asked ``now``, in the place of what ``group`` expected before."""
        if not self._ahead.is_used:
            return
        with contextlib.suppress(ValueError):  # a URL that is none is told of when it is asked for
            found = [(with_params(question.url, question.params), question) for question in questions]
            asked = None if now is None else (with_params(now.url, now.params), now)
            self._ahead.expect(group, found, asked)

    def shown(self, url: str) -> str:
        """Return the URL for people: see `shown_url`."""
        return shown_url(url, self._hidden)

    def ask(
        self, question: Question, *, not_yet: Callable[[Response], NotYet | None] = lambda _: None
    ) -> Response:
        """Return the answer to a question; one that is not whole is asked for again, by POST, too, since it reads.

        ``rules`` say what others mean. ``not_yet`` returns what an answer with a good status says where asking again may help.

        Raises:
            NotAuthorisedError: 401, 403 that is no rate limit, or the way leads to an origin that is not listed.
            BadDataError: another 4xx, a body that is too large.
            RetryableError: no whole answer after all tries.
            ConfigurationError: a refused address, or a URL that is none.
            Stopped: a signal came while waiting.
        """
        try:
            target = with_params(question.url, question.params)
        except ValueError:  # half of a surrogate pair, or a host that no URL has
            raise BadDataError(
                f"Expected a URL and its parameters, got none that can be sent: {self.shown(question.url)}."
            ) from None
        return self._whole_answer(target, question, not_yet)

    def _follow(
        self,
        url: str,
        question: Question,
        not_yet: Callable[[Response], NotYet | None],
    ) -> Response:
        """Make the request, to ``url`` with its parameters, and follow its redirects, each to an origin that is allowed."""
        stop_flag.raise_if_set("the request under way was dropped, the state printed so far is valid.")
        left_out: list[str] = []
        asked = question
        for _ in range(self._settings.limits.redirects + 1):
            response = self._ahead.take(url, asked) or self._sent(url, asked)
            rule = question.rules.rule_for(response, question.accept)
            if _is_refused(response, rule) and self._sender.renew_credentials(response):
                response = self._sent(url, asked)
                rule = question.rules.rule_for(response, question.accept)
                if _is_refused(response, rule):
                    self._sender.note_refused()
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location:
                answer = self._judged(response, rule, question.accept, not_yet)
                answer.left_out = left_out
                return answer
            target = self._redirected(url, location)
            lost = lost_parameters(url, target)
            if lost and leads_to_same(url, target):
                self._reach.is_own(target)  # or it may not be followed at all
                raise BadDataError(
                    f"{self.shown(url)} redirects to {self.shown(target)}, which leaves out {listed_names(lost)} of what was asked for: the "
                    "rows there answer another question, and none was taken. Write `base_url` and `path` as the redirect has "
                    "them, down to the slash at the end, so that the parameters arrive."
                )
            left_out += [] if response.status == _SEE_OTHER else lost
            asked = self._asked_on(asked, response.status, url, target)
            url = target
        raise BadDataError(
            f"More than {self._settings.limits.redirects} redirects, the last to {self.shown(url)}; "
            "check the URL, or raise `limits.redirects`."
        )

    def _sent(self, url: str, asked: Question) -> Response:
        if not self._ahead.is_used:
            return self._sender.send(url, asked)
        with self._ahead.turn():
            return self._sender.send(url, asked)

    def _asked_on(self, asked: Question, status: int, url: str, target: str) -> Question:
        """Return how a redirect is followed: by the same method and with the same body, by GET without one behind 303.

        Raises:
            BadDataError: what was asked by another method would be asked for by GET, as everybody does behind 301 and 302.
        """
        if asked.method == "GET" or status in _SAME_METHOD:
            return asked
        if status == _SEE_OTHER:
            return without_payload(asked)
        raise BadDataError(
            f"{self.shown(url)} answered a {asked.method} with a redirect ({status}) to {self.shown(target)}: behind it the question would be "
            "asked by GET and without its body, so none was taken. Write `base_url` and `path` as the redirect has them, down to the "
            "slash at the end."
        )

    def _redirected(self, url: str, location: str) -> str:
        try:
            # As everybody does: UTF-8, though headers are Latin-1, and blanks at the ends do not count.
            return urljoin(url, location.encode("latin-1").decode("utf-8", "replace").strip())
        except ValueError:
            raise BadDataError(
                f"{self.shown(url)} answered with a redirect to something that is no URL; ask its makers."
            ) from None

    def _judged(
        self,
        response: Response,
        rule: ErrorRule | None,
        accept: Collection[int],
        not_yet: Callable[[Response], NotYet | None],
    ) -> Response:
        if rule is not None:
            answer = enforced(rule, response, shown=self.shown)
        else:
            answer = judged(response, accept, shown=self.shown, auth_type=type_of(self._settings.auth))
        told = not_yet(answer)
        if told is not None:
            wait = wait_asked_for(answer.status, answer.headers)
            raise Transient(told.finding, told.wait if wait is None else wait, is_early=True)
        return answer


def _is_refused(response: Response, rule: ErrorRule | None) -> bool:
    """Tell whether other credentials may help."""
    return response.status == _NOT_AUTHORISED or (rule is not None and rule.then == "refresh")
