"""Asks `token_url`, with the retries, limits and certificates of the config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import requests
import urllib3

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.reach import Reach
from tap_rest.answers.answer import Response
from tap_rest.auth.refusals import refusal_of
from tap_rest.config import ApiSettings
from tap_rest.http.charsets import charset_of, utf8_text
from tap_rest.http.connection import Watchdog
from tap_rest.http.retries import Retrying
from tap_rest.http.transport import Transport
from tap_rest.recording.tape import Tape, Track

__all__ = ["Endpoint", "Question"]

Given = TypeVar("Given")
Cookies = Mapping[str, str]

_PATIENCE = 10.0
"""Seconds that an answer may still take after a signal: what it gives may be all that is left of a credential."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a token; ``takes_redirect``: one is an answer, as that of a form that people fill in is."""

    method: str = "POST"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    takes_redirect: bool = False


class Endpoint:
    """What gives tokens; ``shown`` writes a URL for people."""

    def __init__(
        self, api: ApiSettings, reach: Reach, shown: Callable[[str], str], tape: Tape | None = None
    ) -> None:
        self._api, self._reach, self.shown, self._tape = api, reach, shown, tape
        self._watchdog = Watchdog(_PATIENCE)
        self._whole_answer: Retrying[Any, Any] = Retrying(self._once, api.retries, shown)
        self.count = 0
        """Requests made so far."""
        self.longest = api.retries.total
        """Seconds that a question may take with all its tries."""

    @cached_property
    def _transport(self) -> Transport:
        networks = self._reach.networks
        return Transport(
            self._api, networks, self._watchdog, self.shown, "auth.token_url", self._tape, Track.TOKEN
        )

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()
        self._watchdog.close()

    def ask(
        self, url: str, question: Callable[[], Question], read: Callable[[Response, Cookies], Given]
    ) -> Given:
        """Return what ``read`` makes of an answer with a good status, and its cookies; it may raise `Transient`, too.

        ``question`` is made for each try: what is signed in it is not good for long.

        Raises:
            NotAuthorisedError: no token was given.
            ConfigurationError: it is badly asked, or nothing there gives tokens.
            RetryableError: no whole answer after all tries.
            BadDataError: a body that is too large or not text.
            Stopped: a signal came before a request, or while waiting.
        """
        given: Given = self._whole_answer(url, question, read)
        return given

    def _once(
        self, url: str, make: Callable[[], Question], read: Callable[[Response, Cookies], Given]
    ) -> Given:
        self._reach.check_host(url)
        question = make()
        session = self._transport.session
        session.cookies.clear()
        try:
            prepared = session.prepare_request(
                requests.Request(question.method, url, data=question.body, headers=dict(question.headers))
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
            raise ConfigurationError(
                f"Expected a URL at `auth.token_url`, got {self.shown(url)}, which is none."
            ) from None
        self.count += 1
        answer = self._transport.send(prepared, url)
        if not 200 <= answer.status < (400 if question.takes_redirect else 300):
            raise refusal_of(answer, self.shown)
        answer.body = utf8_text(answer.body, charset_of(answer.headers) or "utf-8", self.shown(url))
        return read(answer, {cookie.name: cookie.value or "" for cookie in session.cookies})
