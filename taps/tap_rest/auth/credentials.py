"""The credentials of a run: one object for all streams, so that there is one login, and one renewal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from requests import PreparedRequest

from singerkit_shell.configfile import renewed
from singerkit_shell.errors import NotAuthorisedError
from tap_rest.answers.answer import Response
from tap_rest.auth import fixed
from tap_rest.auth.digest import digest
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.hmacs import hmac
from tap_rest.auth.jwts import jwt
from tap_rest.auth.login import login
from tap_rest.auth.oauth1 import oauth1
from tap_rest.auth.oauth2 import oauth2
from tap_rest.auth.scheme import NoScheme, Scheme
from tap_rest.auth.service_account import service_account
from tap_rest.auth.sigv4 import aws_sigv4
from tap_rest.http.headers import header_problems
from tap_rest.settings.auth import AuthSettings, type_of

__all__ = ["Credentials"]

_logger = logging.getLogger("tap-rest")
_SCHEMES: dict[str, Callable[[Any, Endpoint], Scheme]] = {
    "none": lambda _settings, _endpoint: NoScheme(),
    "api_key": lambda settings, _endpoint: fixed.api_key(settings),
    "bearer": lambda settings, _endpoint: fixed.bearer(settings),
    "basic": lambda settings, _endpoint: fixed.basic(settings),
    "oauth2": oauth2,
    "jwt": jwt,
    "login": login,
    "digest": digest,
    "aws_sigv4": aws_sigv4,
    "oauth1": oauth1,
    "hmac": hmac,
    "service_account": service_account,
}


class Credentials(Scheme):
    """Sends what `auth` says, and from a 401 on what the files that it came from hold by then, or a new token."""

    def __init__(self, settings: AuthSettings, endpoint: Endpoint) -> None:
        self._settings, self._endpoint = settings, endpoint
        self._scheme = self._made()
        self._files_read = 0
        self._lock = threading.RLock()

    def _made(self) -> Scheme:
        return _SCHEMES[type_of(self._settings)](self._settings, self._endpoint)

    def sent_with(self, request: PreparedRequest, url: str) -> int:
        """Put the credentials into a request to ``url``, and return the serial of those."""
        with self._lock:
            request.prepare_auth(self, url)
            return self.serial

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        try:
            return self._scheme(request)
        except NotAuthorisedError:  # no token was given for what the files held before
            if not self._read_files():
                raise
            return self._scheme(request)

    @property
    def serial(self) -> int:
        return self._files_read + self._scheme.serial

    def renew(self, refused: Response) -> bool:
        with self._lock:
            if refused.serial != self.serial:
                return True  # another request has seen to it meanwhile
            try:
                return self._read_files() or self._scheme.renew(refused)
            except NotAuthorisedError:
                if not self._read_files():
                    raise
                return True

    def note_refused(self) -> None:
        self._scheme.note_refused()

    def _read_files(self) -> bool:
        """Read those again that came from files; tell whether other ones are sent from now on."""
        now = _renewed(self._settings)
        if now is None:
            return False
        before = self.serial
        self._settings = now
        self._scheme = self._made()
        self._files_read = before + 1
        _logger.info(
            "The file of the credentials at `auth` holds other ones by now, which are sent from now on."
        )
        return True


def _renewed(settings: AuthSettings) -> AuthSettings | None:
    """Return the credentials as the files that they came from hold them by now; None: they are as they were, or unfit."""
    before = msgspec.to_builtins(settings)
    config = _with_files(before)
    if config == before:
        return None
    said = {name: value for name, value in config.items() if value not in (None, "")}
    if any(header_problems({"auth": said, "streams": []})):
        return None
    return msgspec.convert(config, AuthSettings)  # type: ignore[no-any-return]


def _with_files(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_files(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_with_files, value))
    return (renewed(value) or value) if isinstance(value, str) else value
