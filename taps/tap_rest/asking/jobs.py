"""Rows that are made first: a job is created, looked at until it is done, and its result is what the stream reads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from singerkit_shell.errors import BadDataError
from singerkit_shell.signals import stop_flag
from singerkit_shell.walltime import wall_time
from tap_rest.answers.answer import Response, excerpt
from tap_rest.answers.rules import Rules, fits_of
from tap_rest.asking.payloads import CONTENT_TYPES, payload_of
from tap_rest.asking.placeholders import ABSENT, Values, filled, filled_path, names_in
from tap_rest.asking.questions import OF_THE_BODY, Question
from tap_rest.asking.urls import joined
from tap_rest.hook.calls import Hooked
from tap_rest.http.client import Client
from tap_rest.http.heads import by_name
from tap_rest.http.retries import FailingServer
from tap_rest.http.waiting import wait_asked_for
from tap_rest.pages.here import IN_HEADER
from tap_rest.settings.job import Job, JobRequest
from tap_rest.settings.stream import StreamSettings

__all__ = ["JobRunner"]

_logger = logging.getLogger("tap-rest")
_JOB = "job."
_NOT_DONE = 202
_LONG = 30.0
"""Seconds after which it is said that a job is waited for."""


class JobRunner:
    """Makes the job of one read, and returns what its answers hold, by the names of placeholders."""

    def __init__(
        self,
        client: Callable[[], Client],
        base_url: str,
        settings: StreamSettings,
        job: Job,
        rules: Rules,
        hook: Hooked | None = None,
    ) -> None:
        self._hook = hook
        self._client, self._base_url, self._settings, self._job = client, base_url, settings, job
        self._rules = rules.without("end").without("ignore").without("skip").without("start_over")
        self._wanted = [name for name in dict.fromkeys(names_in(settings.asked)) if name.startswith(_JOB)]
        self._needed = [name for name in dict.fromkeys(names_in(settings.own_asked)) if name.startswith(_JOB)]
        self._is_done = None if job.poll.until is None else fits_of(job.poll.until.rule)
        self._has_failed = None if job.poll.failed is None else fits_of(job.poll.failed.rule)

    def run(self, values: Values) -> tuple[dict[str, Any], Response]:
        """Make the job, wait until it is done, and return what is known of it, with the last answer.

        Raises:
            BadDataError: it failed, or its answers lack what the requests need.
            FailingServer: it is not done in time.
            NotAuthorisedError, RetryableError, ConfigurationError, Stopped: see `Client.ask`.
        """
        known: dict[str, Any] = {}
        answer = self._ask(self._job.create, values, known)
        known |= self._found(answer)
        answer = self._polled(values, known)
        if self._job.result is not None:
            answer = self._ask(self._job.result, values, known)
            known |= self._found(answer)
        for name in self._needed:
            self._check(name, known)
        return known, answer

    def has_no_result(self, known: Mapping[str, Any]) -> bool:
        """Tell whether the answers say that there are no rows, by null where their URL or place is to be.

        Raises:
            BadDataError: null is not taken for that.
        """
        empty = next((name for name in names_in(self._settings.path) if known.get(name, "") is None), None)
        if empty is None:
            return False
        if self._settings.missing_records != "empty":
            raise BadDataError(
                f"Expected `{empty.removeprefix(_JOB)}` in an answer about the job of stream {self._settings.name}, got null; if that "
                'means that there are no rows, say `"missing_records": "empty"`.'
            )
        return True

    def _polled(self, values: Values, known: dict[str, Any]) -> Response:
        poll, began, is_told = self._job.poll, time.monotonic(), False
        while True:
            answer = self._ask(poll, values, known)
            known |= self._found(answer)
            if self._has_failed is not None and self._has_failed(answer):
                raise BadDataError(
                    f"The job of stream {self._settings.name} failed; it says: {excerpt(answer)}"
                )
            if answer.status != _NOT_DONE and (self._is_done is None or self._is_done(answer)):
                return answer
            waited = time.monotonic() - began
            asked = wait_asked_for(answer.status, answer.headers)
            wait = poll.wait if asked is None else asked
            if waited + wait > poll.longest:
                raise FailingServer(
                    f"The job of stream {self._settings.name} is not done after {waited:.0f} s (`job.poll.longest`); it says: "
                    f"{excerpt(answer)}"
                )
            if waited > _LONG and not is_told:
                is_told = True
                _logger.info("The job of stream %s is not done yet; it is waited for.", self._settings.name)
            wall_time.wait(wait)
            stop_flag.raise_if_set("it was waiting for a job to be done; the state printed so far is valid.")

    def _ask(self, request: JobRequest, values: Values, known: Mapping[str, Any]) -> Response:
        for name in names_in(request.asked):
            if name.startswith(_JOB):
                self._check(name, known)
        return self._client().ask(
            self._question(request, Values(values.moments, {**values.by_name, **known}))
        )

    def _question(self, request: JobRequest, values: Values) -> Question:
        where = "job"
        headers = filled({**self._settings.headers, **request.headers}, values, where, as_texts=True)
        body = filled(request.body, values, where, as_texts=request.body_format == "form")
        payload = None
        if body is not None and body is not ABSENT:
            if not any(name.lower() == OF_THE_BODY for name in headers):
                headers["Content-Type"] = CONTENT_TYPES[request.body_format]
            payload = payload_of(body, request.body_format)
        return Question(
            joined(self._base_url, filled_path(request.path, values)),
            filled(request.params, values, where, as_texts=True),
            headers,
            (_NOT_DONE,),
            request.method,
            payload,
            self._rules,
            self._hook,
        )

    def _found(self, answer: Response) -> dict[str, Any]:
        """Return what an answer has of the fields that are asked for, null included."""
        try:
            body = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            body = None
        return {
            name: value
            for name in self._wanted
            for value in _at(name.removeprefix(_JOB), body, answer.headers)
        }

    def _check(self, name: str, known: Mapping[str, Any]) -> None:
        if name not in known:
            raise BadDataError(
                f"Expected `{name.removeprefix(_JOB)}` in an answer about the job of stream {self._settings.name}, got none with it; correct "
                f"`{{{name}}}`."
            )


def _at(field: str, body: Any, headers: Mapping[str, str]) -> Iterator[Any]:
    """Yield the value of a field, if there is one."""
    if field.startswith(IN_HEADER):
        text = by_name(headers).get(field.removeprefix(IN_HEADER))
        yield from [] if text is None else [text]
        return
    value = body
    for part in field.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and part.isdigit()
            and int(part) < len(value)
        ):
            value = value[int(part)]
        else:
            return
    yield value
