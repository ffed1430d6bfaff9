"""`hmac`: each request signed with a shared secret, in the way that the config describes."""

from __future__ import annotations

import base64
import hashlib
import hmac as library
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import urlsplit

from requests import PreparedRequest

from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.jwts import decoded_secret
from tap_rest.auth.places import add_params
from tap_rest.auth.scheme import Scheme
from tap_rest.settings.auth.templates import SIGNATURE, filled, names_in
from tap_rest.settings.auth.types import HmacSettings

__all__ = ["hmac"]

_MOMENTS: Mapping[str, Callable[[float], str]] = {
    "epoch": lambda now: str(int(now)),
    "epoch_ms": lambda now: str(int(now * 1000)),
    "iso": lambda now: datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    "http": lambda now: formatdate(now, usegmt=True),
}


class Hmac(Scheme):
    """Adds `sign_params` and `sign_headers` to a request, among them the signature of `message`."""

    def __init__(self, settings: HmacSettings) -> None:
        self._settings = settings
        self._secret = decoded_secret(settings.secret, settings.key_encoding)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        settings, now, nonce = self._settings, time.time(), uuid.uuid4().hex
        moments = {
            "timestamp": lambda: _MOMENTS[settings.timestamp](now),
            "nonce": lambda: nonce,
        }
        # What is signed holds the parameters, but for the signature itself.
        before, behind = _split(settings.sign_params)
        add_params(request, {name: filled(text, moments) for name, text in before.items()})
        values = self._values(request) | moments
        signature = self._written(self._signed(filled(settings.message, values)))
        values[SIGNATURE] = lambda: signature
        for name, text in settings.sign_headers.items():
            request.headers[name] = filled(text, values)
        add_params(request, {name: filled(text, values) for name, text in behind.items()})
        return request

    def _values(self, request: PreparedRequest) -> dict[str, Callable[[], str]]:
        parts = urlsplit(str(request.url))
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        path = parts.path or "/"
        return {
            "method": lambda: str(request.method),
            "url": lambda: str(request.url),
            "host": lambda: parts.netloc,
            "path": lambda: path,
            "query": lambda: parts.query,
            "target": lambda: f"{path}?{parts.query}" if parts.query else path,
            "body": lambda: body.decode("utf-8", "replace"),
            "body_md5": lambda: self._written(hashlib.md5(body, usedforsecurity=False).digest()),
            "body_sha256": lambda: self._written(hashlib.sha256(body).digest()),
        }

    def _signed(self, message: str) -> bytes:
        return library.new(self._secret, message.encode(), self._settings.hash).digest()

    def _written(self, digest: bytes) -> str:
        return (
            digest.hex() if self._settings.signature_encoding == "hex" else base64.b64encode(digest).decode()
        )


def _split(params: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parameters that are signed, and those that hold the signature."""
    behind = {name: text for name, text in params.items() if SIGNATURE in names_in(text)}
    return {name: text for name, text in params.items() if name not in behind}, behind


def hmac(settings: HmacSettings, _endpoint: Endpoint) -> Scheme:
    redactor.add(settings.secret)
    return Hmac(settings)
