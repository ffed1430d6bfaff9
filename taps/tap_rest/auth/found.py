"""The token in the answer that gives it, and how long it is good for."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.auth.refusals import lack_of
from tap_rest.auth.tokens import Token
from tap_rest.http.headers import fits_a_header
from tap_rest.paths import Path, finder_of, parse_path, scalar_text

__all__ = ["TokenFinder"]

_PLACE = "the answer of `auth.token_url`"


class TokenFinder:
    """Finds the token at `token_path` (or in the header or cookie `token_name`), and beside it until when it is good.

    ``lifetime``: what holds where the answer does not say. ``shown`` writes a URL for people.
    """

    def __init__(
        self,
        token_path: str,
        lifetime: float | None,
        shown: Callable[[str], str],
        *,
        place: str = "body",
        name: str = "",
    ) -> None:
        self._lifetime, self._shown = lifetime, shown
        self._path = parse_path(token_path, "auth.token_path")
        self._beside = self._path.names[:-1] if self._path.names else ()
        self._place, self._name = place, name

    def token(self, answer: Response, cookies: Mapping[str, str], asked_at: float) -> Token:
        """Return the token of an answer; all that looks like a secret there is masked from now on.

        Raises:
            ConfigurationError: there is none, or it can be sent nowhere.
            NotAuthorisedError, Transient: the answer says why there is none.
        """
        with contextlib.suppress(ValueError, RecursionError):
            redactor.add_from_config({"answer": json.loads(answer.body)})
        setting, place, value = self._found(answer, cookies)
        redactor.add(value or "")
        if not value:
            raise lack_of(answer, f"token {place}", setting, self._shown)
        if not fits_a_header(value):
            raise ConfigurationError(
                f"Expected a token {place} of the answer of {self._shown(answer.url)}, got text that no header can hold; check `{setting}`."
            )
        return Token(value, asked_at, self._seconds(answer) or self._lifetime)

    def _found(self, answer: Response, cookies: Mapping[str, str]) -> tuple[str, str, str | None]:
        """Return the setting that says where the token is, that place, and what is there."""
        if self._place != "body":
            there = answer.headers if self._place == "header" else cookies
            return "auth.token_name", f"in the {self._place} `{self._name}`", there.get(self._name)
        return "auth.token_path", f"at `{self._path.text}`", self._text_at(answer, self._path)

    def member(self, answer: Response, name: str) -> str | None:
        """Return the text or number that stands beside the token under a name."""
        return self._text_at(answer, replace(self._path, text=f"beside.{name}", names=(*self._beside, name)))

    def _seconds(self, answer: Response) -> float | None:
        """Return for how long the token is good, by `expires_in` or the moment at `expires_at`."""
        try:
            seconds = float(self.member(answer, "expires_in") or 0)
            moment = self.member(answer, "expires_at")
            if not seconds and moment is not None:
                seconds = _epoch_of(moment) - time.time()
        except (ValueError, OverflowError):
            return None
        return seconds if 0 < seconds < math.inf else None

    def _text_at(self, answer: Response, path: Path) -> str | None:
        try:
            return scalar_text(finder_of([path])(answer.body, _PLACE)[path.text], _PLACE)
        except BadDataError:
            return None


def _epoch_of(moment: str) -> float:
    """Return a moment, as a date or a number, in seconds since 1970."""
    try:
        return float(moment)
    except ValueError:
        read = datetime.fromisoformat(moment)
        return read.replace(tzinfo=read.tzinfo or UTC).timestamp()
