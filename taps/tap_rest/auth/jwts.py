"""JSON Web Tokens that are signed here: as the token itself, or to show who asks for one."""

from __future__ import annotations

import base64
import binascii
import time
import warnings
from collections.abc import Mapping
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from tap_rest.auth.endpoint import Endpoint
from tap_rest.auth.places import placer_of
from tap_rest.auth.scheme import Scheme
from tap_rest.auth.tokens import Token, TokenScheme
from tap_rest.extras import imported
from tap_rest.settings.auth.types import JwtSettings, Signing

__all__ = ["Signer", "decoded_secret", "jwt"]

_BACK = 10
"""Seconds that `iat` lies back: a JWT of the future is refused, and clocks differ."""


class Signer:
    """Signs with the key of the config; ``settings.algorithm`` is there."""

    def __init__(self, settings: Signing) -> None:
        self._settings = settings
        self._library = imported("jwt", "a JWT (`auth.algorithm`)")
        for secret in (settings.private_key, settings.secret):
            redactor.add(secret or "")
        if settings.secret is not None:
            self._key: str | bytes = decoded_secret(settings.secret, settings.key_encoding)
        else:
            self._key = in_lines(settings.private_key or "")
        self.signed({}, 60)  # so that a key that is none is told before anything is asked

    def signed(self, claims: Mapping[str, Any], lifetime: float) -> str:
        """Return a JWT that says ``claims``, and what the config has for it.

        Raises:
            ConfigurationError: the key is none that the algorithm signs with.
        """
        settings, now = self._settings, int(time.time())
        said = {**claims, **settings.claims, "iat": now - _BACK, "exp": now + max(1, int(lifetime))}
        headers = dict(settings.jwt_headers)
        if settings.key_id is not None:
            headers["kid"] = settings.key_id
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a secret that is short was chosen by the API
                text = self._library.encode(said, self._key, algorithm=settings.algorithm, headers=headers)
        except NotImplementedError:
            raise ConfigurationError(
                f"Signing a JWT by `{settings.algorithm}` needs the package cryptography, which is not installed; nothing was asked: run "
                "`pip install 'singerkit[auth]'`, then run again."
            ) from None
        except (self._library.PyJWTError, ValueError, TypeError):
            raise ConfigurationError(
                f"Expected a private key in PEM, without a password, that `{settings.algorithm}` signs with at `auth.private_key`, got something "
                "else; `openssl pkey -in KEY` takes a password away."
                if settings.private_key is not None
                else f"The secret at `auth.secret` is none that `{settings.algorithm}` signs with."
            ) from None
        redactor.add(text)
        return str(text)


def decoded_secret(secret: str, encoding: str) -> bytes:
    """Return the bytes of a secret.

    Raises:
        ConfigurationError: it is not written so.
    """
    try:
        if encoding == "base64":
            padded = secret + "=" * (-len(secret) % 4)
            return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
        return bytes.fromhex(secret) if encoding == "hex" else secret.encode()
    except (ValueError, binascii.Error):
        raise ConfigurationError(
            f"Expected {encoding} at `auth.secret`, as `auth.key_encoding` says, got something else."
        ) from None


def in_lines(key: str) -> str:
    """Return a PEM with its line ends, which variables of an environment often hold as a backslash and an n."""
    return key.replace("\\n", "\n") if "\n" not in key.strip() else key


def jwt(settings: JwtSettings, _endpoint: Endpoint) -> Scheme:
    signer = Signer(settings)

    def ask(_refused: str | None) -> Token:
        began = time.monotonic()
        return Token(signer.signed({}, settings.lifetime), began, settings.lifetime)

    return TokenScheme(ask, placer_of(settings))
