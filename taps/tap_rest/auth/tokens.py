"""A token that was asked for: kept for the whole run, renewed before it expires, and once when the API refuses it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from requests import PreparedRequest

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.answers.answer import Response
from tap_rest.auth.places import Placer
from tap_rest.auth.scheme import Scheme

__all__ = ["Token", "TokenScheme"]

_logger = logging.getLogger("tap-rest")
_LONGEST_MARGIN = 60.0
_MARGIN = 0.1
_NO_USE = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Token:
    """A token, and how many seconds after ``asked_at`` (of the monotonic clock) it expires; None: nobody says."""

    value: str
    asked_at: float
    lifetime: float | None = None

    @property
    def is_due(self) -> bool:
        """Tell whether it is to be renewed: a little before its end, since requests and clocks take their time."""
        if self.lifetime is None:
            return False
        return time.monotonic() >= self.asked_at + self.lifetime - min(
            _LONGEST_MARGIN, self.lifetime * _MARGIN
        )


class TokenScheme(Scheme):
    """Sends a token that ``ask`` gives; it is told the token that was refused, if one was."""

    def __init__(self, ask: Callable[[str | None], Token], place: Placer) -> None:
        self._ask, self._place = ask, place
        self._token: Token | None = None
        self._serial = 0
        self._useless_until = 0.0
        self._refusal: tuple[type[ConfigurationError], str] | None = None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        token = self._token
        if token is None or token.is_due:
            token = self._renewed(None)
        self._place(request, token.value)
        return request

    @property
    def serial(self) -> int:
        return self._serial

    def renew(self, refused: Response) -> bool:
        if time.monotonic() < self._useless_until:
            return False
        _logger.info("The API refused the token with status %d; another one is asked for.", refused.status)
        self._renewed(self._token.value if self._token else None)
        return True

    def note_refused(self) -> None:
        # The API may refuse what this account may not see: no login for each such question.
        self._useless_until = time.monotonic() + _NO_USE

    def _renewed(self, refused: str | None) -> Token:
        if self._refusal is not None:
            kind, sentence = self._refusal
            raise kind(sentence)  # an account with many failed logins is locked
        try:
            token = self._ask(refused)
        except ConfigurationError as error:
            self._refusal = type(error), str(error)
            raise
        redactor.add(token.value)
        self._token = token
        self._serial += 1
        return token
