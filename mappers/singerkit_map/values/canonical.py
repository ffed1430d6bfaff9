"""One text for each value that stands alone, the same on every machine: what `hmac` and `tokenise` are made of.

A text is itself. A number is its plain decimal notation without what does not count: 1, 1.0, 1e0 and 100e-2 are all ``1``, -0 is
``0``; where more than forty zeros would be written it is digits and an exponent, ``1e400``. Booleans are ``true`` and ``false``.
"""

from __future__ import annotations

from decimal import Decimal

from singerkit_map.contract import BadValue

__all__ = ["SCALARS", "canonical_text"]

SCALARS = ("string", "number", "integer", "boolean")
_MOST_ZEROS = 40


def canonical_text(value: object) -> str:
    """Return the text of a text, number or boolean.

    Raises:
        BadValue: it is an object or array, or a number beyond all exponents.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return _number_text(Decimal(value))
    raise BadValue("expected text, a number or a boolean, got an object or array")


def _number_text(number: Decimal) -> str:
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        raise BadValue("expected a number, got one beyond all exponents")
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    exponent += len(text) - len(significant)
    return ("-" if sign and significant else "") + (_placed(significant, exponent) if significant else "0")


def _placed(digits: str, exponent: int) -> str:
    """Write digits, of which neither the first nor the last is zero, times a power of ten."""
    point = len(digits) + exponent
    if max(exponent, -point) > _MOST_ZEROS:
        return f"{digits}e{exponent}"
    if exponent >= 0:
        return digits + "0" * exponent
    return f"{digits[:point]}.{digits[point:]}" if point > 0 else f"0.{'0' * -point}{digits}"
