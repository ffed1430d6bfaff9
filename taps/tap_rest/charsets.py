"""The text of a body: UTF-8 without BOM, whatever charset it came in."""

from __future__ import annotations

import codecs
from collections.abc import Mapping

from requests.structures import CaseInsensitiveDict

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor

__all__ = ["charset_of", "codec_named", "utf8_text"]

_NO_CHARSETS = ("unicode_escape", "raw-unicode-escape", "idna", "punycode", "undefined", "utf-7")


def utf8_text(body: bytes, charset: str, shown: str) -> bytes:
    """Return a body as UTF-8 without BOM; ``shown``: the URL that it came from, for people.

    Raises:
        BadDataError: the charset is unknown, or the body is not valid in it.
    """
    codec = codec_named(charset)
    if codec is None:
        raise BadDataError(
            f"{shown} declares the charset `{redactor.mask_foreign(charset)[:40]}`, which is unknown."
        )
    try:
        if codec in ("utf-8", "ascii"):
            while body.startswith(codecs.BOM_UTF8):  # a file with one, behind one of the server's
                body = body.removeprefix(codecs.BOM_UTF8)
            check_utf8(body)
            return body
        return body.decode(codec).lstrip("\ufeff").encode()
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        raise BadDataError(
            f"Expected text in {codec} from {shown}, got bytes that are not (byte {place}); "
            "ask its makers, or ask for another charset with an `Accept-Charset` header."
        ) from None


def codec_named(charset: str) -> str | None:
    """Return the name that Python has for a charset; None: there is no such charset."""
    try:
        codec = codecs.lookup(charset).name
        if codec in _NO_CHARSETS:
            return None
        "".encode(codec).decode(codec)  # some codecs are from bytes to bytes
    except (LookupError, ValueError):
        return None
    return codec


def charset_of(headers: Mapping[str, str]) -> str | None:
    """Return the charset that the Content-Type names."""
    content_type = CaseInsensitiveDict(headers).get("Content-Type", "")
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset" and value:
            return value.strip("\"' ")
    return None
