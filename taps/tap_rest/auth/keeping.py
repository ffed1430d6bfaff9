"""Tokens from one renewal to the next: in memory, or in `token_file` for other runs, too."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.tokenfile import Kept, TokenFile
from tap_rest.auth.tokens import Token
from tap_rest.settings.auth.types import TokenSettings

__all__ = ["Given", "Keeper", "file_of"]


@dataclass(frozen=True, slots=True)
class Given:
    """What a login has given; ``refresh_token``: the one that the next login is made with, if one is."""

    token: Token
    refresh_token: str | None = None


class Keeper:
    """Asks ``give``, which takes the refresh token to use, unless ``file`` holds a token that is good."""

    def __init__(
        self, give: Callable[[str | None], Given], file: TokenFile | None, first_refresh: str | None = None
    ) -> None:
        self._give, self._file, self._refresh = give, file, first_refresh

    def ask(self, refused: str | None) -> Token:
        """Return a token that is not ``refused``.

        Raises:
            SingerkitError: see `Endpoint.ask` and `TokenFile`.
        """
        if self._file is None:
            given = self._give(self._refresh)
            self._refresh = given.refresh_token
            return given.token
        with self._file.locked():
            kept = self._file.read()
            for secret in (kept.access_token, kept.refresh_token):
                redactor.add(secret or "")
            token = _still_good(kept, refused)
            if token is not None:
                return token
            return self._file.rewritten(lambda: self._give(kept.refresh_token or self._refresh), _kept).token


def file_of(settings: TokenSettings, endpoint: Endpoint, of: Any) -> TokenFile | None:
    """Return the `token_file` of the config, if it names one; ``of``: what its tokens are given for, which holds no password."""
    if settings.token_file is None:
        return None
    text = json.dumps(of, sort_keys=True)
    return TokenFile(settings.token_file, hashlib.sha256(text.encode()).hexdigest()[:24], endpoint.longest)


def _kept(given: Given) -> Kept:
    token = given.token
    age = time.monotonic() - token.asked_at
    return Kept(token.value, given.refresh_token, time.time() - age, token.lifetime)


def _still_good(kept: Kept, refused: str | None) -> Token | None:
    """Return what another run has left, unless it is refused, or due."""
    if kept.access_token is None or kept.access_token == refused:
        return None
    age = time.time() - kept.asked_at
    token = Token(kept.access_token, time.monotonic() - age, kept.lifetime)
    return None if token.is_due else token
