"""One request: prepared with what may go to its origin, and sent by the session that fits that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from singerkit_shell.errors import BadDataError, NotAuthorisedError
from singerkit_shell.reach import Reach, origin_of, origin_text
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from tap_rest.answers.answer import Response
from tap_rest.asking.questions import OF_THE_BODY, Question
from tap_rest.auth import Credentials, Endpoint, query_keys_of
from tap_rest.config import ApiSettings
from tap_rest.http.connection import Watchdog
from tap_rest.http.headers import IN_A_HEADER, fits_a_header
from tap_rest.http.pacing import Pace, pace_of
from tap_rest.http.transport import Transport
from tap_rest.masking import register_secrets
from tap_rest.recording.tape import Tape, Track

__all__ = ["Sender"]

_SETTLED_QUERY = re.compile(
    r"(?:[\w.~&=+-]|%(?:2[1-9A-CF]|3[A-F]|40|5[B-E]|60|7[B-D]|[89A-F][0-9A-F]))*", re.ASCII
)
"""A query that no library writes otherwise: nothing is to be escaped in it, and no escape stands for a plain character."""


class Sender:
    """Sends single requests. Credentials, headers and cookies go to the origin of `base_url` only.

    ``shown`` writes a URL for people. ``beside`` is a sender of another thread, with which credentials and budget are shared.
    """

    def __init__(
        self,
        settings: ApiSettings,
        reach: Reach,
        shown: Callable[[str], str],
        beside: Sender | None = None,
        tape: Tape | None = None,
    ) -> None:
        self._settings, self._reach, self._shown = settings, reach, shown
        self._watchdog = Watchdog()
        self._last_prepared: tuple[Any, requests.PreparedRequest] | None = None
        """A request without credentials and query, and what the next one must have to be like it but for these."""
        self._endpoint: Endpoint = (
            Endpoint(settings, reach, shown, tape) if beside is None else beside._endpoint
        )
        self._credentials: Credentials = (
            Credentials(settings.auth, self._endpoint) if beside is None else beside._credentials
        )
        self._tape = tape
        self._query_keys = query_keys_of(settings.auth)
        track = Track.READER if beside is None else Track.AHEAD
        self._own = Transport(settings, reach.networks, self._watchdog, shown, tape=tape, track=track)
        self._own.session.headers.update(settings.headers)
        # Cookies do not know ports, so other origins get a session of their own, which keeps none.
        self._foreign = Transport(settings, reach.networks, self._watchdog, shown, None, tape, track)
        self._count = 0
        self._pace: Pace | None = pace_of(settings.rate_limit) if beside is None else beside._pace
        register_secrets(settings.headers)

    @property
    def count(self) -> int:
        """Requests made so far."""
        return self._count

    @property
    def count_for_tokens(self) -> int:
        """Requests for tokens made so far, by this sender and those beside it."""
        return self._endpoint.count

    def close(self) -> None:
        """Close every connection."""
        self._own.close()
        self._foreign.close()
        self._watchdog.close()
        self._endpoint.close()

    def renew_credentials(self, refused: Response) -> bool:
        """See to other credentials, where ``refused`` was asked with any; tell whether other ones are sent from now on."""
        if self._tape is not None and (renews := self._tape.renews()) is not None:
            return renews
        return self._reach.is_own(refused.url) and self._credentials.renew(refused)

    def note_refused(self) -> None:
        """Take note that the credentials that were renewed are refused, too."""
        self._credentials.note_refused()

    def send(self, url: str, question: Question) -> Response:
        """Make the request of a question to ``url``, and read the whole body of its answer.

        Raises:
            Transient, RetryableError, ConfigurationError: see `failure_of`.
            NotAuthorisedError, BadDataError, Stopped: see `Client.ask`.
        """
        own = self._reach.is_own(url)
        transport = self._own if own else self._foreign
        if not own:
            url, question = self._without_secrets(url), self._fit_for_others(question, url)
        prepared = self._prepared(transport.session, url, question)
        content = prepared.body
        if own and self._pace is not None:
            self._pace.take_turn()  # what is signed behind that is not old when it is sent
        if own and question.hook is not None:
            prepared = question.hook.prepared(prepared)
        serial = self._credentials.sent_with(prepared, url) if own else 0
        self._count += 1
        response = transport.send(prepared, url, content)
        response.serial = serial
        response.method = question.method
        response.asked = question.payload.told if question.payload else ()
        stop_flag.raise_if_set("the page under way was dropped, the state printed so far is valid.")
        if not own:
            transport.session.cookies.clear()
        return response

    def _without_secrets(self, url: str) -> str:
        """Take the key out of a URL that the server made from ours."""
        parts = urlsplit(url)
        if self._query_keys:
            pairs = parse_qsl(parts.query, keep_blank_values=True)
            others = [pair for pair in pairs if pair[0] not in self._query_keys]
            if len(others) != len(pairs):
                url = urlunsplit(parts._replace(query=urlencode(others)))
        if redactor.knows(url):
            raise NotAuthorisedError(
                f"The way to {origin_text(origin_of(url))} carries a credential of this config in its URL "
                "and was not followed."
            )
        return url

    def _fit_for_others(self, question: Question, url: str) -> Question:
        """Return a question without the headers of the config but for the type of its body.

        Raises:
            NotAuthorisedError: the body holds a secret.
        """
        payload = question.payload
        if payload is not None and redactor.knows(payload.content.decode("utf-8", "replace")):
            raise NotAuthorisedError(
                f"The way to {origin_text(origin_of(url))} would take a credential of this config there, in the body of the request, and was "
                "not followed."
            )
        headers = {name: text for name, text in question.headers.items() if name.lower() == OF_THE_BODY}
        return replace(question, headers=headers)

    def _prepared(self, session: requests.Session, url: str, question: Question) -> requests.PreparedRequest:
        """Return the request without credentials.

        Raises:
            BadDataError: the API, or a record of a parent, gave a URL or a token that no request can hold.
        """
        for name, value in question.headers.items():
            if not fits_a_header(value):
                raise BadDataError(
                    f"Expected {IN_A_HEADER} for the header `{name}`, got other characters; the API gave them, "
                    "ask its makers."
                )
        try:
            prepared = self._like_last(session, url, question)
            is_same = origin_of(str(prepared.url)) == origin_of(url)
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError):
            raise BadDataError(
                f"Expected the URL of a page, got one that is none: {self._shown(url)}."
            ) from None
        if not is_same:
            raise BadDataError(f"Expected the URL of a page, got one that is ambiguous: {self._shown(url)}.")
        return prepared

    def _like_last(self, session: requests.Session, url: str, question: Question) -> requests.PreparedRequest:
        """Return a request without credentials; one that differs from the last in query and body alone is made of that."""
        head, _, query = url.partition("?")
        content = question.payload.content if question.payload is not None else None
        alike = (session, head, question.headers, question.method, content is None)
        is_plain = not session.cookies and _SETTLED_QUERY.fullmatch(query) is not None
        if not is_plain or self._last_prepared is None or self._last_prepared[0] != alike:
            prepared = session.prepare_request(
                requests.Request(question.method, url, headers=question.headers, data=content)
            )
            self._last_prepared = (alike, prepared.copy()) if is_plain else None
            return prepared
        prepared = _copied(self._last_prepared[1])
        if content is not None:
            prepared.body, prepared.headers["Content-Length"] = content, str(len(content))
        prepared.url = f"{str(prepared.url).partition('?')[0]}{'?' if query else ''}{query}"
        return prepared


def _copied(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Return a request like one without cookies and hooks, of which requests makes copies that nobody needs."""
    copied = requests.PreparedRequest()
    copied.__dict__.update(request.__dict__)
    copied.headers = CaseInsensitiveDict()
    copied.headers._store = request.headers._store.copy()  # type: ignore[attr-defined]  # else all names are made small again
    return copied
