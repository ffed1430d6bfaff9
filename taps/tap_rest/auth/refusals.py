"""What an answer of `token_url` without a token means, and what is to be done about it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from singerkit_shell.errors import ConfigurationError, NotAuthorisedError
from tap_rest.answers.answer import Response, excerpt, transient_of
from tap_rest.http.retries import Transient
from tap_rest.masking import listed_names

__all__ = ["lack_of", "refusal_of"]

_BUSY = ("temporarily_unavailable", "server_error", "slow_down")
_BADLY_ASKED = ("invalid_request", "invalid_scope", "invalid_target", "unsupported_grant_type")
_NO_SUCH_PLACE = (404, 405, 406, 410, 415, 501)
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_NAMES = 12
_HINTS = {
    "invalid_client": " (`auth.client_id`, `auth.client_secret`; some servers want them in the body: `client_auth`)",
    "invalid_grant": " (what the token is asked for with: a user and password, a refresh token or a signed text, is wrong, was used or has expired)",
    "unauthorized_client": " (this client may not ask for tokens in this way: `auth.grant`)",
}


def refusal_of(answer: Response, shown: Callable[[str], str]) -> Exception:
    """Return what an answer with a bad status means: `Transient`, `NotAuthorisedError` or `ConfigurationError`."""
    says = excerpt(answer)
    transient = transient_of(answer, says)
    if transient is not None:
        return transient
    if 300 <= answer.status < 400:
        leads = shown(answer.headers.get("Location", ""))
        return ConfigurationError(
            f"{shown(answer.url)} answered {answer.status}, a redirect to {leads}, to which no credential is sent on; write the URL that "
            "gives tokens at `auth.token_url`."
        )
    return _told(answer, _error_code(answer.body), says, shown)


def lack_of(answer: Response, what: str, setting: str, shown: Callable[[str], str]) -> Exception:
    """Return what an answer with a good status means that lacks ``what``, which ``setting`` looks for.

    Its body is not quoted: the token may stand there under another name.
    """
    code = _error_code(answer.body)
    if code is not None:
        return _told(answer, code, excerpt(answer), shown)
    names = [name for name in _object_in(answer.body) if _CODE.fullmatch(name)][:_NAMES]
    has = f"it has {listed_names(names)}" if names else "it is no JSON object with members"
    return ConfigurationError(
        f"The answer of {shown(answer.url)} has no {what}: {has}; say at `{setting}` what holds it."
    )


def _told(answer: Response, code: str | None, says: str, shown: Callable[[str], str]) -> Exception:
    where, status = shown(answer.url), f"status {answer.status}{f', `{code}`' if code else ''}"
    if code in _BUSY:
        return Transient(status, in_the_end=f", it says: {says}")
    if answer.status in _NO_SUCH_PLACE:
        return ConfigurationError(
            f"{where} answered {answer.status}, so it gives no tokens; check `auth.token_url`; it says: {says}"
        )
    if code in _BADLY_ASKED:
        return ConfigurationError(
            f"{where} gave no token ({status}): what `auth` asks for is not what it takes; compare the settings there with the "
            f"documentation of the API; it says: {says}"
        )
    return NotAuthorisedError(
        f"{where} gave no token ({status}): the credentials at `auth` are missing, wrong or not enough{_HINTS.get(code or '', '')}; it "
        f"says: {says}"
    )


def _error_code(body: bytes) -> str | None:
    """Return the `error` of an answer (RFC 6749, 5.2), None without one that is a word."""
    code = _object_in(body).get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _object_in(body: bytes) -> dict[str, Any]:
    with contextlib.suppress(msgspec.DecodeError, RecursionError):
        found = msgspec.json.decode(body)
        return found if isinstance(found, dict) else {}
    return {}
