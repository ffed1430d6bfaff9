"""How the values of a replication key are written, where a database compares texts: whether its order is that of the engine.

A look is (type, and of text: what stands between date and time, offset, length where there is an offset). Texts of one look compare as the
moments they stand for; of two looks they do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from singerkit_state.instants import NoInstantError, iso_instant

__all__ = ["AsStored", "Look", "Spelling", "look_columns", "look_problem", "spelling_columns", "spelling_of"]

Spelling = tuple[str, str, int]

_INTEGERS = 2**63
"""Beyond it databases have no integers: such a number is one of their REALs, and as exact as that."""

_LAST_DAY = 253_402_214_400


def look_problem(looks: Sequence[tuple[Any, ...]], told: str | None, *, is_utf8: bool) -> str | None:
    """Return why values of these looks have no order that we share, as the end of a sentence; None: they have one."""
    types = {look[0] for look in looks} - {"null"}
    if types <= {"integer", "real"}:
        return "holds numbers, and `replication_key_format` says `text`" if told == "text" and types else None
    if types != {"text"}:
        return f"holds values of several types ({', '.join(sorted(types))}), which the database sorts by type first"
    if told == "text":
        return (
            None
            if is_utf8
            else "is compared as text, and the database is not in UTF-8: it compares the bytes of another encoding"
        )
    if told is not None:
        return f"holds text, and `replication_key_format` says `{told}`, of numbers"
    if len([look for look in looks if look[0] == "text"]) > 1:
        return (
            "holds texts that are written in more than one way (blank or `T`, offset, digits), which the database compares as text; if they "
            'grow as texts do, say `"replication_key_format": "text"`'
        )
    return None


def spelling_of(time: str) -> Spelling:
    """Return how a time is written: what stands between date and time, its offset, its length.

    Two texts that are times (RFC 3339) and are written in one way stand for one moment only where they are the same text.
    """
    return time[10:11], time[16:].lstrip("0123456789:.,"), len(time)


def look_columns(column: str, type_: str) -> list[str]:
    """Ask for the look of a value, in SQL; ``type_`` asks for its type."""
    separator, offset, length = spelling_columns(column)
    return [
        type_,
        f"CASE {type_} WHEN 'text' THEN {separator} END",
        f"CASE {type_} WHEN 'text' THEN {offset} END",
        f"CASE WHEN {type_} = 'text' AND {offset} <> '' THEN {length} END",
    ]


def spelling_columns(column: str) -> list[str]:
    """Ask for `spelling_of` a text, in SQL."""
    return [f"substr({column}, 11, 1)", f"ltrim(substr({column}, 17), '0123456789:.,')", f"length({column})"]


def _shortest(time: str) -> str:
    """Return the least text that is the same moment: without an offset `10:00`, `10:00:00` and `10:00:00.0` may stand beside each other."""
    whole, point, fraction = time.partition(".")
    fraction = fraction.rstrip("0")
    return (
        f"{whole}{point}{fraction}" if fraction else whole.removesuffix(":00") if len(whole) == 19 else whole
    )


class AsStored:
    """The order of a key whose declared type says how its values compare (`singerkit_sql_tap.contract.KeyOrder`)."""

    def asked(self, value: Any) -> Any:
        """Return the value itself."""
        return value


@dataclass(frozen=True)
class Look:
    """The order of a key whose values all look alike (`singerkit_sql_tap.contract.KeyOrder`)."""

    looks: Sequence[tuple[Any, ...]]
    told: str | None

    def asked(self, value: Any) -> Any:
        """Return what to ask for: the value itself where the column is written alike, else the day before it."""
        if isinstance(value, int | Decimal):
            is_whole = value == int(value) and -_INTEGERS < value < _INTEGERS
            if not is_whole:
                return float(value)
            # The shortest text of a great REAL, which the bookmark is, may be another whole number than the REAL.
            return (
                min(int(value), int(float(value)))
                if any(look[0] == "real" for look in self.looks)
                else int(value)
            )
        if not isinstance(value, str) or self.told == "text":
            return value
        separator, offset, length = self._of_texts
        looks_alike = (value[10:11], value[16:].lstrip("0123456789:.,")) == (separator, offset) and (
            not offset or len(value) == length
        )
        if looks_alike:
            return value if offset else _shortest(value)
        try:
            seconds = iso_instant(value)[0]
        except NoInstantError:
            return None
        if not seconds + 62_135_596_800 > 86400 or seconds >= _LAST_DAY:
            return None
        day = datetime.fromtimestamp(seconds, UTC) - timedelta(days=1)
        return day.strftime("%Y-%m-%d")

    @property
    def _of_texts(self) -> tuple[Any, ...]:
        return next((tuple(look[1:]) for look in self.looks if look[0] == "text"), ("", "", None))
