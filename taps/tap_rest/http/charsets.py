"""The text of a body: UTF-8 without BOM, whatever charset it came in."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Mapping

from singerkit_shell.encoding import check_utf8, python_codec
from singerkit_shell.errors import BadDataError
from singerkit_shell.secrets import redactor
from tap_rest.http.heads import by_name

__all__ = ["charset_of", "codec_named", "is_utf8", "utf8_pieces", "utf8_text"]

_NO_CHARSETS = ("unicode_escape", "raw-unicode-escape", "idna", "punycode", "undefined", "utf-7")


def utf8_text(body: bytes, charset: str, shown: str) -> bytes:
    """Return a body as UTF-8 without BOM; ``shown``: the URL that it came from, for people.

    Raises:
        BadDataError: the charset is unknown, or the body is not valid in it.
    """
    if not is_utf8(charset, shown):
        return b"".join(utf8_pieces([body], charset, shown))
    while body.startswith(codecs.BOM_UTF8):  # a file with one, behind one of the server's
        body = body.removeprefix(codecs.BOM_UTF8)
    try:
        check_utf8(body)
    except UnicodeDecodeError as error:
        raise _not_in(charset, error, shown) from None
    return body


def utf8_pieces(pieces: Iterable[bytes], charset: str, shown: str) -> Iterator[bytes]:
    """Yield a body of another charset as UTF-8, piece by piece; raises as `utf8_text`."""
    decoder = codecs.getincrementaldecoder(charset)()
    has_begun = False
    try:
        for piece in pieces:
            text = decoder.decode(piece)
            yield (text if has_begun else text.lstrip("\ufeff")).encode()
            has_begun = has_begun or bool(text)
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise _not_in(charset, error, shown) from None


def is_utf8(charset: str, shown: str) -> bool:
    """Tell whether a body of a charset is UTF-8 as it stands.

    Raises:
        BadDataError: there is no such charset.
    """
    codec = codec_named(charset)
    if codec is None:
        raise BadDataError(
            f"{shown} declares the charset `{redactor.mask_foreign(charset)[:40]}`, which is unknown."
        )
    return codec in ("utf-8", "ascii")


def codec_named(charset: str) -> str | None:
    """Return the name that Python has for a charset; None: there is no such charset."""
    return python_codec(charset, _NO_CHARSETS)


def charset_of(headers: Mapping[str, str]) -> str | None:
    """Return the charset that the Content-Type names."""
    content_type = by_name(headers).get("Content-Type", "")
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset" and value:
            return value.strip("\"' ")
    return None


def _not_in(charset: str, error: UnicodeError, shown: str) -> BadDataError:
    place = getattr(error, "start", 0)
    return BadDataError(
        f"Expected text in {codec_named(charset)} from {shown}, got bytes that are not (byte {place}); "
        "ask its makers, or ask for another charset with an `Accept-Charset` header."
    )
