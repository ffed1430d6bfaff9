"""The token in the answer that gives it, and how long it is good for."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from dataclasses import replace

from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers import Response
from tap_rest.auth.refusals import lack_of
from tap_rest.auth.tokens import Token
from tap_rest.headers import fits_a_header
from tap_rest.paths import Path, finder_of, parse_path, scalar_text

__all__ = ["TokenFinder"]

_PLACE = "the answer of `auth.token_url`"


class TokenFinder:
    """Finds the token at ``token_path``, and beside it `expires_in`; ``lifetime``: what holds where that is not there.

    ``shown`` writes a URL for people.
    """

    def __init__(self, token_path: str, lifetime: float | None, shown: Callable[[str], str]) -> None:
        self._lifetime, self._shown = lifetime, shown
        self._path = parse_path(token_path, "auth.token_path")
        self._beside = self._path.names[:-1] if self._path.names else ()

    def token(self, answer: Response, asked_at: float) -> Token:
        """Return the token of an answer; all that looks like a secret there is masked from now on.

        Raises:
            ConfigurationError: there is none, or it can be sent nowhere.
            NotAuthorisedError, Transient: the answer says why there is none.
        """
        with contextlib.suppress(ValueError, RecursionError):
            redactor.add_from_config({"answer": json.loads(answer.body)})
        value = self._text_at(answer, self._path)
        if not value:
            raise lack_of(answer, f"token at `{self._path.text}`", "auth.token_path", self._shown)
        if not fits_a_header(value):
            raise ConfigurationError(
                f"Expected a token at `{self._path.text}` of the answer of {self._shown(answer.url)}, got text that no header can hold; check "
                "`auth.token_path`."
            )
        redactor.add(value)
        return Token(value, asked_at, self._seconds(answer) or self._lifetime)

    def member(self, answer: Response, name: str) -> str | None:
        """Return the text or number that stands beside the token under a name."""
        return self._text_at(answer, replace(self._path, text=f"beside.{name}", names=(*self._beside, name)))

    def _seconds(self, answer: Response) -> float | None:
        try:
            seconds = float(self.member(answer, "expires_in") or 0)
        except ValueError:
            return None
        return seconds if 0 < seconds < math.inf else None

    def _text_at(self, answer: Response, path: Path) -> str | None:
        try:
            return scalar_text(finder_of([path])(answer.body, _PLACE)[path.text], _PLACE)
        except BadDataError:
            return None
