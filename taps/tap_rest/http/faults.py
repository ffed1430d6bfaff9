"""What an error of requests, urllib3 or a socket means, and whether asking again may help."""

from __future__ import annotations

import http.client
import ssl
from typing import Any

import requests
import urllib3

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError
from tap_rest.http.retries import Transient

__all__ = ["failure_of"]

_UNKNOWN_HOST, _NO_TLS = "the name of the host is not known", "TLS failed"
_HINTS = {
    _UNKNOWN_HOST: " (check `{setting}`)",
    _NO_TLS: " (where the server speaks plain HTTP at this port, `{setting}` begins with `http://`; where it knows its clients by certificates, see to "
    "`client_cert`)",
}


_REFUSED_CLIENTS = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
)
"""What a server says of a client: the alerts of TLS."""


def failure_of(error: Exception, shown: str, setting: str = "base_url") -> Exception:
    """Translate what was raised into what the caller must do.

    ``shown``: the URL that was asked for, for people; ``setting``: the one that says it.
    """
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, requests.exceptions.InvalidURL | urllib3.exceptions.LocationParseError):
            return ConfigurationError(
                f"{shown} is not a URL; check `{setting}`{' and `path`' if setting == 'base_url' else ''}."
            )
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_message:
            return RetryableError(
                f"The certificate of {shown} is not accepted ({cause.verify_message}); nothing was sent. "
                "Set `ca_file` if the server has its own authority."
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in _REFUSED_CLIENTS:
            return NotAuthorisedError(
                f"{shown} does not take the certificate of this client, or asks for one ({cause.reason.lower().replace('_', ' ')}); see to "
                "`client_cert` and `client_key`."
            )
    excess = _excess(causes)
    if excess is not None:
        return BadDataError(
            f"The answer of {shown} has {excess}, which is more than is read, so asking again is useless; ask its makers, or "
            "those of a proxy on the way, for less of them."
        )
    finding = _finding(causes)
    return Transient(finding, in_the_end=_HINTS.get(finding, "").format(setting=setting))


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and everything that led to it: requests and urllib3 wrap each in their own way."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return found


def _excess(causes: list[BaseException]) -> str | None:
    """Return what of the head of an answer is beyond the limits of http.client."""
    for cause in causes:
        if isinstance(cause, http.client.LineTooLong):
            return f"a {str(cause).rpartition('reading ')[2]} of more than 65536 bytes"
        # It has no class of its own.
        if isinstance(cause, http.client.HTTPException) and str(cause).startswith("got more than"):
            return "more than 100 headers"
    return None


def _finding(causes: list[BaseException]) -> str:
    """Say in a few words what went wrong on the way, without URLs or object addresses."""
    # In this order: urllib3 derives NewConnectionError and NameResolutionError from ConnectTimeoutError.
    kinds: list[tuple[type[BaseException], str]] = [
        (urllib3.exceptions.NameResolutionError, _UNKNOWN_HOST),
        (ConnectionRefusedError, "connection refused"),
        (urllib3.exceptions.NewConnectionError, "no connection"),
        (urllib3.exceptions.ConnectTimeoutError, "no connection in time"),
        (urllib3.exceptions.ReadTimeoutError, "no byte came in time"),
        (urllib3.exceptions.InvalidChunkLength, "the chunks of the body were broken"),
        (http.client.IncompleteRead, "the body was shorter than announced"),
        (urllib3.exceptions.SSLError, _NO_TLS),
        (ssl.SSLError, _NO_TLS),
        (TimeoutError, "no byte came in time"),
        (ConnectionError, "the connection was lost"),
        (http.client.BadStatusLine, "the answer did not begin as HTTP does"),
    ]
    for kind, words in kinds:
        if any(isinstance(cause, kind) for cause in causes):
            return words
    return f"the connection failed ({type(causes[0]).__name__})"
