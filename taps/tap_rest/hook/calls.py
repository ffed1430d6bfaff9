"""The calls of a hook's methods: one at a time, whatever they raise in one sentence, what they return looked at."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
import requests
from msgspec import Raw
from requests.structures import CaseInsensitiveDict

from singerkit_shell.errors import ConfigurationError, Stopped
from singerkit_shell.reach import origin_of
from singerkit_shell.saying import heard
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import ended
from singerkit_wire import jsonexact as exact
from tap_rest.answers.answer import Response as Answer
from tap_rest.hook.saying import said_by
from tap_rest.hook.shapes import Request, Response
from tap_rest.http.headers import fits_a_header
from tap_rest.http.storing import Limits
from tap_rest.settings.hook import HookSettings

__all__ = ["HookError", "Hooked", "failure_of"]

Made = TypeVar("Made")
_NONE = 204
_SAFE = "what was written before is safe"


class HookError(ConfigurationError):
    """A hook failed, or returned what it may not."""


class Hooked:
    """The hook of one stream; ``instance`` is shared with others, and ``lock`` with it."""

    def __init__(self, settings: HookSettings, instance: Any, stream: str, lock: threading.RLock) -> None:
        self._settings, self._instance, self._stream, self._lock = settings, instance, stream, lock

    def has(self, method: str) -> bool:
        """Tell whether it has a method."""
        return method in self._settings.methods

    def _called(self, method: str, *arguments: Any) -> Any:
        call = getattr(self._instance, method)
        return self._within(method, lambda: call(*arguments, self._stream))

    def _within(self, method: str, work: Callable[[], Made]) -> Made:
        """Return what ``work`` makes by calling a method; a signal ends it.

        Raises:
            HookError: the hook failed, or returned what it may not.
            Stopped: a signal came.
        """
        try:
            with self._lock, heard(said_by(self._settings.path)):
                return stop_flag.within(None, work, f"a hook was at work; {_SAFE}.")
        except (HookError, Stopped):
            raise
        except (Exception, SystemExit) as error:
            failed = f"failed in `{method}` for stream {self._stream}"
            raise HookError(failure_of(error, self._settings, failed, _SAFE)) from error

    def _wrong(self, method: str, wanted: str, got: str) -> HookError:
        return HookError(
            f"`{method}` of the hook {self._settings.path} for stream {self._stream} has to return {wanted}, got {got}; {_SAFE}, correct it and run "
            "again."
        )

    # Requests

    def prepared(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return a request as the hook wants it, before credentials are put into it.

        Raises:
            HookError: the hook failed, or leads elsewhere.
        """
        method, url = str(request.method), str(request.url)
        body = request.body.encode() if isinstance(request.body, str) else request.body
        headers = {name: _text(value) for name, value in request.headers.items()}
        content = None if body is None else bytes(body)
        made = self._called("prepare_request", Request(method, url, dict(headers), content))
        if not isinstance(made, Request):
            raise self._wrong("prepare_request", "the request", _kind(made))
        self._look_at(made, method, url)
        if made.url != url:
            request.prepare_url(made.url, None)
        request.headers = CaseInsensitiveDict(made.headers)
        if made.body != content:
            request.body = made.body
            request.headers["Content-Length"] = str(len(made.body or b""))
        return request

    def _look_at(self, made: Request, method: str, url: str) -> None:
        name = "prepare_request"
        if made.method != method:
            raise self._wrong(name, "a request of the same method", "another")
        try:
            is_same = origin_of(made.url) == origin_of(url)
        except (ValueError, AttributeError, TypeError):
            is_same = False
        if not is_same:
            raise self._wrong(name, "a request to the same host", "one to another, or no URL")
        if made.body is not None and not isinstance(made.body, bytes):
            raise self._wrong(name, "a request whose `body` is bytes or None", _kind(made.body))
        for key, value in made.headers.items():
            if not isinstance(key, str) or not isinstance(value, str) or not fits_a_header(value):
                raise self._wrong(name, "headers of text that fits on one line", "others")

    # Answers

    def translate(self, otherwise: Callable[[Answer], None], limits: Limits, answer: Answer) -> None:
        """Make the body of an answer the JSON that the hook reads in it; of one that is a failure, or empty, ``otherwise`` does."""
        if not 200 <= answer.status < 300 or answer.status == _NONE:
            otherwise(answer)
            return
        value = self._called("parse_response", self._shown(answer, limits))
        answer.body, answer.spans = self._json("parse_response", value), ()

    def token(self, answer: Answer, rows: Sequence[Raw]) -> Any:
        """Return the token, or the URL, of the next page; None: there is none."""
        shown = self._shown(answer, Limits())
        found = self._called("next_page", shown, _objects_of(rows))
        if found is not None:
            self._json("next_page", found)
        return found

    def _shown(self, answer: Answer, limits: Limits) -> Response:
        body = answer.spans[0] if answer.spans else answer.body
        return Response(answer.url, answer.status, CaseInsensitiveDict(answer.headers), body, limits.whole)

    # Rows

    def rows(self, records: Sequence[Raw]) -> Sequence[Raw]:
        """Return the rows that are left of records, as the hook wants them."""
        found = _objects_of(records)
        call = self._instance.post_process
        return self._within("post_process", lambda: [*self._kept(call(row, self._stream) for row in found)])

    def _kept(self, rows: Iterable[Any]) -> Iterator[Raw]:
        for row in rows:
            if isinstance(row, dict):
                yield Raw(self._json("post_process", row))
            elif row is not None:
                raise self._wrong("post_process", "a dict, or None to leave the row out", _kind(row))

    def _json(self, method: str, value: Any) -> bytes:
        """Return a value as JSON.

        Raises:
            ConfigurationError: JSON cannot hold it.
        """
        try:
            text = exact.dumps(value)
            msgspec.json.decode(text, type=Raw)
        except (TypeError, ValueError, RecursionError):
            raise self._wrong(method, "what JSON can hold", _misfit(value, "$")) from None
        return text


def failure_of(error: BaseException, settings: HookSettings, failed: str, safe: str) -> str:
    """Return what an exception of a hook means: its class and its line, and nothing of what it says, which may be data."""
    frames = traceback.extract_tb(error.__traceback__)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == settings.file), None)
    where = "" if line is None else f" at line {line}"
    return ended(
        f"The hook {settings.path} {failed}: {type(error).__name__}{where}; {safe}, correct it and run again (`--debug` prints more)"
    )


def _objects_of(records: Sequence[Raw]) -> list[Any]:
    """Return records as objects; numbers that are no plain integers are decimals with their text."""
    found: list[Any] = exact.loads(b"[" + b",".join(map(bytes, records)) + b"]")
    return found


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _kind(value: Any) -> str:
    return f"`{type(value).__name__}`"


def _misfit(value: Any, place: str) -> str:
    """Say what of a value JSON cannot hold, and where it stands."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if not isinstance(name, str):
                return f"a name that is {_kind(name)} at `{place}`"
            if found := _misfit(item, f"{place}.{name}"):
                return found
        return "" if isinstance(value, dict) else f"{_kind(value)} at `{place}`"
    if isinstance(value, list):
        return next(
            filter(None, (_misfit(item, f"{place}[{number}]") for number, item in enumerate(value))), ""
        )
    try:
        msgspec.json.decode(exact.dumps(value))
    except (TypeError, ValueError):
        return f"{_kind(value)} at `{place}`" + (" (no finite number)" if isinstance(value, float) else "")
    return ""
