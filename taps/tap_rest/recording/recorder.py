"""Writes each exchange of a run as it comes, and changes nothing of the run."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

import requests

from singerkit_shell.errors import CannotWriteError, SingerkitError, Stopped
from singerkit_shell.words import counted
from tap_rest.answers.answer import Response
from tap_rest.http.retries import Transient
from tap_rest.recording.folder import FORMAT, FolderWriter, FullError
from tap_rest.recording.members import Members, NotJSONError
from tap_rest.recording.tape import Asked, Track
from tap_rest.recording.veil import Veil

__all__ = ["Recorder"]

_logger = logging.getLogger("tap-rest")


class Recorder:
    """A tape that is written; ``veil`` masks, and so are members of answers called one of ``masked``."""

    def __init__(self, folder: FolderWriter, veil: Veil, masked: Collection[str] = ()) -> None:
        self._folder, self.veil = folder, veil
        self.members = Members(masked, veil.stand_in)
        self._lock = threading.RLock()
        self._clock: list[float] = []
        self._is_full = False
        self.count = 0
        """Exchanges written so far."""

    def now(self) -> float:
        """Return the time, and take note of it."""
        now = time.time()
        if threading.current_thread() is threading.main_thread():
            with self._lock:
                self._clock.append(now)
        return now

    def begin(self, told: Mapping[str, Any]) -> None:
        """Write what the run begins with."""
        self._write({"recording": FORMAT, **told})

    def end(self, code: int) -> None:
        """Write that the run has ended, and how."""
        with self._lock:
            told = {"exchanges": self.count, "code": code} | ({"is_full": True} if self._is_full else {})
            self._folder.last_line({"end": told} | self._told_clock())

    def answered(
        self,
        track: Track,
        request: requests.PreparedRequest,
        asked: Asked,
        session: requests.Session,
        send: Callable[[], Response],
    ) -> Response:
        try:
            response = send()
        except (Stopped, CannotWriteError):
            raise
        except (Transient, SingerkitError) as error:
            if track is not Track.AHEAD:
                self._note(partial(self._failed, track, request, asked, error))
            raise
        cookies = list(session.cookies) if "Set-Cookie" in response.headers else []
        note = partial(self._note, partial(self._came, track, request, asked, response, cookies))
        if track is Track.AHEAD:
            response.taken = note
        else:
            note()
        return response

    def renews(self) -> bool | None:
        return None

    def _note(self, told: Callable[[], dict[str, Any]]) -> None:
        with self._lock:
            if self._is_full:
                return
            try:
                self._write(told())
                self.count += 1
            except FullError:
                self._stop("The recording has as many bytes as it may have", "`--most-mb`")
            except NotJSONError:
                self._stop(
                    "The recording ends at an answer that is no JSON, in which no members are masked,",
                    "`--mask`",
                )

    def _stop(self, why: str, option: str) -> None:
        self._is_full = True
        _logger.warning(
            "%s after %s; the run goes on, and what follows is not recorded (%s).",
            why,
            counted(self.count, "exchange"),
            option,
        )

    def _write(self, told: dict[str, Any]) -> None:
        with self._lock:
            self._folder.line(told | self._told_clock())
            self._clock.clear()

    def _told_clock(self) -> dict[str, Any]:
        return {"clock": self._clock} if self._clock else {}

    def _failed(
        self,
        track: Track,
        request: requests.PreparedRequest,
        asked: Asked,
        error: Transient | SingerkitError,
    ) -> dict[str, Any]:
        failure: dict[str, Any] = {"kind": type(error).__name__, "says": self._text(str(error))}
        if isinstance(error, Transient):
            failure |= {"in_the_end": self._text(error.in_the_end)}
        return {**self._told(track, request, asked), "failure": failure}

    def _came(
        self,
        track: Track,
        request: requests.PreparedRequest,
        asked: Asked,
        response: Response,
        cookies: list[Any],
    ) -> dict[str, Any]:
        is_login = track is Track.TOKEN
        content_type = response.headers.get("Content-Type", "")
        body = self._folder.body(self._body(response, is_login=is_login), content_type)
        given = self.veil.given_headers(response.headers, is_login=is_login)
        headers = {name: self.members.of_text(value) for name, value in given.items()}
        told = {"status": response.status, "seconds": response.seconds, "headers": headers} | body
        if cookies:
            told["cookies"] = [
                {
                    "name": cookie.name,
                    "value": self.veil.stand_in(cookie.value or ""),
                    "domain": cookie.domain,
                    "path": cookie.path,
                }
                for cookie in cookies
            ]
        return {**self._told(track, request, asked), "answer": told}

    def _body(self, response: Response, *, is_login: bool) -> Iterator[bytes]:
        if is_login:
            yield self.veil.login(response.body)
            return
        pieces: Iterable[bytes] = response.spans[0].pieces() if response.spans else [response.body]
        yield from self.veil.pieces([self._masked(response, b"".join(pieces))] if self.members else pieces)

    def _text(self, text: str) -> str:
        return self.veil.text(self.members.of_text(text))

    def _masked(self, response: Response, body: bytes) -> bytes:
        try:
            return self.members.of_answer(body)
        except NotJSONError:
            if response.status < HTTPStatus.BAD_REQUEST:
                raise
            return body

    def _told(self, track: Track, request: requests.PreparedRequest, asked: Asked) -> dict[str, Any]:
        told: dict[str, Any] = {
            "method": request.method,
            "url": self.veil.url(self.members.of_url(asked.url)),
            "headers": self.veil.sent_headers(request.headers),
        }
        names = {name for name, _ in _parameters(str(request.url))}
        added = names - {name for name, _ in _parameters(asked.url)}
        if added:
            told["masked"] = sorted(added)
        if asked.content or request.body:
            told["body"] = (
                "masked" if track is Track.TOKEN else self.veil.text(self.members.of_request(asked.body))
            )
        return {"exchange": self.count + 1, "request": told} | (
            {"for": "token"} if track is Track.TOKEN else {}
        )


def _parameters(url: str) -> list[tuple[str, str]]:
    return parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True)
