"""What an error of an object store means: one sentence without a URL, which may carry a signature, and who has to do something."""

from __future__ import annotations

import re

from singerkit_shell.errors import (
    BadDataError,
    ConfigurationError,
    NotAuthorisedError,
    RetryableError,
    SingerkitError,
)
from tap_files.places.names import changed, gone, sort_out

__all__ = ["NOWHERE", "failure_of", "is_absent"]

NOWHERE = "127.255.255.254:1"
"""Where nobody listens: what is sent to another host than that of the store comes to here."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "InvalidResourceName")
_ODD_NAME = re.compile(r'path: "((?:[^"\\]|\\.){1,1024})"')
_REASONS = (
    ("dns error", "its name is not known"),
    ("ConnectionRefused", "the connection was refused"),
    ("ConnectionReset", "the connection was lost"),
    ("UnknownIssuer", "its certificate is of an authority that is not trusted here"),
    ("certificate", "its certificate is refused"),
    ("TimedOut", "it did not answer in time"),
    ("timed out", "it did not answer in time"),
    ("UnexpectedEof", "the connection was lost"),
    ("IncompleteMessage", "the connection was lost"),
)
_DENIED = (401, 403)
_REFUSED_WORDS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "AuthenticationFailed",
)


def is_absent(error: Exception, where: str) -> bool:
    """Tell whether an error says that an object is not there.

    Raises:
        ConfigurationError: its bucket is not.
    """
    if not isinstance(error, FileNotFoundError):
        return False
    if _code(str(error)) in _NO_BUCKET:
        raise _no_bucket(where) from None
    return True


def failure_of(
    error: Exception, where: str, doing: str, section: str, name: str | None = None
) -> SingerkitError:
    """Return what an error means that came while ``doing`` something in ``where``, a bucket; ``section`` is that of its settings."""
    import obstore.exceptions

    text = str(error)
    code, status = _code(text), _STATUS.search(text)
    number = int(status[1]) if status else 0
    if code in _NO_BUCKET:
        return _no_bucket(where)
    if name is not None and isinstance(error, FileNotFoundError):
        return gone(name, where)
    if name is not None and isinstance(error, obstore.exceptions.PreconditionError):
        return changed(name, where)
    if isinstance(error, obstore.exceptions.InvalidPathError):
        return _odd_name(text, where)
    if (
        number in _DENIED
        or code in _REFUSED_WORDS
        or isinstance(
            error, obstore.exceptions.PermissionDeniedError | obstore.exceptions.UnauthenticatedError
        )
    ):
        return NotAuthorisedError(
            f"The store refuses {doing} {where}{f' ({code})' if code else ''}; what was committed is safe: check the credentials in `{section}`, "
            "and that they may list the bucket and read what is in it."
        )
    if 300 <= number < 400 or code in ("PermanentRedirect", "AuthorizationHeaderMalformed"):
        return ConfigurationError(
            f"{where} is not where it was looked for ({code or number}); nothing was read: check `{section}.region` and `{section}.endpoint`."
        )
    if NOWHERE in text:
        return ConfigurationError(
            f"{where} is redirected to another host, {doing} it, which would get a token along, and is not followed; what was committed is safe: check `{section}.endpoint`, "
            "and what stands between here and there."
        )
    if "scheme is not allowed" in text or "builder error" in text:
        return ConfigurationError(
            f"{where} cannot be asked for (an endpoint that is no URL, or has no TLS); nothing was read: check `{section}.endpoint`."
        )
    said = (
        f"{number}{f' {code}' if code else ''}" if number else sort_out(_REASONS, text, type(error).__name__)
    )
    if 400 <= number < 500 and number not in (408, 429):
        return ConfigurationError(
            f"The store does not take what was asked, {doing} {where} ({said}); what was committed is safe: check `path` and `{section}`."
        )
    return RetryableError(
        f"There is no answer that helps, {doing} {where} ({said}), after all tries; what was committed is safe: check that the store can be "
        f"reached from here (`{section}.endpoint`), then run again."
    )


def _no_bucket(where: str) -> ConfigurationError:
    return ConfigurationError(
        f"There is no {where}; nothing was read: check the name in `path`, the endpoint and the account."
    )


def _odd_name(text: str, where: str) -> BadDataError:
    found = _ODD_NAME.search(text)
    name = f" `{found[1]}`" if found else ""
    return BadDataError(
        f"A name{name} in {where} has an empty part, `.`, `..` or a control character, which cannot be asked for; nothing was read: rename or "
        "remove it, or let `path` begin with a folder that does not hold it."
    )


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""
