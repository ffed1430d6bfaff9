"""Answers each request from a recording, in the order in which equal ones were answered then."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
import requests

from singerkit_shell import errors
from singerkit_shell.errors import BadDataError, ConfigurationError, SingerkitError
from singerkit_shell.secrets import redactor
from singerkit_state.value import decode
from tap_rest.answers.answer import Response
from tap_rest.http.heads import by_name
from tap_rest.http.retries import Transient
from tap_rest.http.storing import PIECE
from tap_rest.masking import listed_names
from tap_rest.recording.folder import FORMAT, FolderReader
from tap_rest.recording.tape import Asked, Track
from tap_rest.recording.veil import STAND_IN, Veil

__all__ = ["NotRecordedError", "Replayer"]

_SHOWN = 3
Parameters = tuple[tuple[str, str], ...]


class NotRecordedError(ConfigurationError):
    """The config asks for something that the recording does not hold."""


class _Compared:
    """What two requests are compared by."""

    def __init__(self, track: Track, method: str, url: str, body: str) -> None:
        parts = urlsplit(_as_one(url))
        self.track = track is Track.TOKEN
        self.method = method
        self.path = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self.query = tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))
        self.body = "" if self.track else _as_one(body)

    @property
    def key(self) -> tuple[Any, ...]:
        return self.track, self.method, self.path, self.query, self.body


def _as_one(text: str) -> str:
    """Return a text with one stand-in for all secrets."""
    return STAND_IN.sub("masked", text)


class Replayer:
    """A tape that is read; ``veil`` masks what is asked now as the recording was masked."""

    def __init__(self, folder: FolderReader, veil: Veil) -> None:
        """Read what was asked; bodies are read when they are asked for.

        Raises:
            ConfigurationError, BadDataError: there is no recording, or no good one.
        """
        self._folder, self._veil = folder, veil
        self._lock = threading.Lock()
        self._exchanges: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        self._asked: list[_Compared] = []
        self._given: dict[tuple[Any, ...], int] = defaultdict(int)
        self._last: tuple[Any, ...] = ()
        self.is_without_logins = False
        """Whether nothing is asked for by credentials: then the recording says whether other ones were sent behind a 401."""
        self._clock: list[float] = []
        self._last_time = 0.0
        self.identity: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.catalog: dict[str, Any] | None = None
        self.begun: dict[str, Any] = {}
        """What the recorded run began with."""
        self.end: dict[str, Any] | None = None
        """How it ended; None: it was cut off."""
        try:
            for line in folder.lines():
                self._take(line)
            is_ours = self.begun.get("recording") == FORMAT
            if is_ours:
                self.identity, self.state = self.begun["identity"], decode(self.begun["state"])
                catalog = self.begun["catalog"]
                self.catalog = None if catalog is None else decode(catalog)
        except (KeyError, TypeError, ValueError, AttributeError):
            is_ours = False
        if not is_ours:
            raise BadDataError(
                "Expected a recording that this version of tap-rest reads, got another, or one that was cut off before it began; record again."
            )
        self._clock.reverse()

    def _take(self, line: dict[str, Any]) -> None:
        self._clock += line.get("clock", ())
        if "recording" in line:
            self.begun = line
        elif "end" in line:
            self.end = line["end"]
        elif "request" in line:
            asked = line["request"]
            track = Track.TOKEN if line.get("for") == "token" else Track.READER
            known = _Compared(track, asked["method"], asked["url"], asked.get("body", ""))
            self._exchanges[known.key].append(line)
            self._asked.append(known)

    @property
    def has_logins(self) -> bool:
        """Whether a token was asked for."""
        return any(asked.track for asked in self._asked)

    def now(self) -> float:
        """Return what the clock showed when it was asked then."""
        if self._clock:
            self._last_time = self._clock.pop()
        return self._last_time

    def answered(
        self,
        track: Track,
        request: requests.PreparedRequest,
        asked: Asked,
        session: requests.Session,
        send: Callable[[], Response],  # noqa: ARG002  of the contract: nothing is sent
    ) -> Response:
        veiled = self._veil.url(asked.url), self._veil.text(asked.body)
        wanted = _Compared(track, str(request.method), *veiled)
        with self._lock:
            number = self._given[wanted.key]
            recorded = self._exchanges.get(wanted.key, [])
            if number >= len(recorded):
                raise NotRecordedError(self._told(wanted, number))
            self._given[wanted.key] += 1
            self._last = wanted.key
        line = recorded[number]
        if "failure" in line:
            raise _failure_of(line["failure"])
        try:
            return self._response(line["answer"], asked.url, session)
        except (KeyError, TypeError, AttributeError):
            raise BadDataError(
                f"The recording lacks what an answer has, in that to {request.method} {veiled[0]}: it was changed since; record again."
            ) from None

    def renews(self) -> bool | None:
        if not self.is_without_logins:
            return None
        return self._given[self._last] < len(self._exchanges.get(self._last, ()))

    def _response(self, told: Mapping[str, Any], url: str, session: requests.Session) -> Response:
        for cookie in told.get("cookies", ()):
            session.cookies.set(cookie["name"], cookie["value"], domain=cookie["domain"], path=cookie["path"])
        body = self._folder.body(told)
        spans = () if isinstance(body, bytes) else (body,)
        head = body if isinstance(body, bytes) else body.read(0, PIECE)
        headers = by_name(told["headers"])
        return Response(url, told["status"], headers, head, told["seconds"], spans=spans)

    # What is not recorded

    def _told(self, asked: _Compared, number: int) -> str:
        why = self._why_it_ends
        if why is not None and sum(self._given.values()) == len(self._asked):
            return f"{self._shown(asked)} is not in the recording: {why}, and all that it holds was replayed."
        if number:
            return (
                f"{self._shown(asked)} is asked for {number + 1} times, and the recording holds {_times(number)}: the config asks more "
                "often than the run that was recorded; record again, or take the change back."
            )
        return f"{self._shown(asked)} is not in the recording: {self._difference(asked)}; record again, or take the change back."

    @property
    def _why_it_ends(self) -> str | None:
        """Why there may have been other requests behind the last one; None: the run came to its end."""
        if self.end is None:
            return "it was cut off there"
        if self.end.get("is_full"):
            return "nothing more was recorded there"
        return f"the run ended there with {self.end['code']}" if self.end.get("code") else None

    def _shown(self, asked: _Compared) -> str:
        names = f" with {listed_names(dict.fromkeys(name for name, _ in asked.query))}" if asked.query else ""
        return redactor.mask_foreign(f"{'A login, ' * asked.track}{asked.method} {asked.path}") + names

    def _difference(self, asked: _Compared) -> str:
        """Say which part of a request differs from the nearest ones that are recorded."""
        same = [one for one in self._asked if one.track == asked.track]
        if not same:
            return "it holds no login" if asked.track else "it holds no request at all"
        by_path = [one for one in same if one.path == asked.path]
        if not by_path:
            paths = list(dict.fromkeys(one.path for one in same))
            others = "" if len(paths) <= _SHOWN else f" and {len(paths) - _SHOWN} more"
            return f"it differs in its path, which there is {redactor.mask_foreign(', '.join(paths[:_SHOWN]))}{others}"
        by_method = [one for one in by_path if one.method == asked.method]
        if not by_method:
            return f"it differs in its method, which there is {by_path[0].method}"
        by_query = [one for one in by_method if one.query == asked.query]
        if by_query:
            return f"it differs in its body{_members(asked.body, by_query)}"
        nearest = min(by_method, key=lambda one: _distance(one.query, asked.query))
        return f"it differs in its query: {_parameters(asked.query, nearest.query)}"


def _distance(one: Parameters, other: Parameters) -> tuple[int, int]:
    """Return how far two queries are apart: by the names of their parameters first."""
    return len(dict(one).keys() ^ dict(other).keys()), -len(set(one) & set(other))


def _times(number: int) -> str:
    return "one answer" if number == 1 else f"{number} answers"


def _parameters(now: Parameters, then: Parameters) -> str:
    """Say which parameters are new, gone or other; values are not shown."""
    before, after = dict(then), dict(now)
    told = [
        (
            f"{listed_names(sorted(after.keys() - before.keys()))} was not sent then",
            after.keys() - before.keys(),
        ),
        (f"{listed_names(sorted(before.keys() - after.keys()))} was sent then", before.keys() - after.keys()),
    ]
    other = sorted(name for name in before.keys() & after.keys() if before[name] != after[name])
    told.append((f"{listed_names(other)} had another value", set(other)))
    found = [sentence for sentence, names in told if names]
    return ", ".join(found) or "the parameters come another number of times"


def _members(body: str, recorded: list[_Compared]) -> str:
    """Say which members at the top of a body differ, where both are objects of JSON."""
    now, then = _object_of(body), _object_of(recorded[0].body)
    if now is None or then is None:
        return ""
    names = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
    return f", at {listed_names(names)}" if names else ""


def _object_of(text: str) -> dict[str, Any] | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _failure_of(told: Mapping[str, Any]) -> Exception:
    """Return what was raised then."""
    if told["kind"] == "Transient":
        return Transient(told["says"], in_the_end=told.get("in_the_end", ""))
    kind = getattr(errors, told["kind"], SingerkitError)
    is_one = isinstance(kind, type) and issubclass(kind, SingerkitError) and kind is not errors.Stopped
    return kind(told["says"]) if is_one else SingerkitError(told["says"])
