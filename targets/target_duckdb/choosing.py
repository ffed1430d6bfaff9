"""What becomes of a value where the config chooses another type for its column, and whether that is the same: turned back, it is what it was.

The same letters of a text, the same number, the same moment; of a text that becomes a moment or a document, however that is written.
"""

from __future__ import annotations

from singerkit_catalog.admitted import json_types
from singerkit_sql_target.dialect import Choice
from singerkit_wire.kinds import Column, Kind
from target_duckdb.changes import IN_UTC, WITHOUT_ZEROS, change
from target_duckdb.types import TYPES

__all__ = ["choice"]

_FAMILIES = {
    "VARCHAR": "text",
    "JSON": "json",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIME": "time",
    "UUID": "uuid",
    "TIMESTAMP WITH TIME ZONE": "moment",
    "TIMESTAMP": "moment",
}
_NUMBERS = ("integer", "decimal", "float")
_NO_TEXTS = frozenset({Kind.INTEGER, Kind.BIG_INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.JSON})
_AS_TEXT = "CAST({} AS VARCHAR)"
_DATE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_UTC = "([Zz]|[+-]00(:?00)?)$"


def choice(column: Column, found: str, wanted: str) -> Choice | None:
    """Return how a column gets a type that is chosen for it; None: no value of it could be the same."""
    old, new = _family(found), _family(wanted)
    if "json" in (old, new) and "text" in (old, new):
        return _document(column, to_text=new == "text")
    if old == new == "moment":
        return Choice(_moment("{}", wanted), "isfinite({})")
    if old in _NUMBERS and new in _NUMBERS:
        made = f"TRY_CAST({{}} AS {wanted})"
        # By letters, since -0.0 equals 0.0.
        back = f"{_AS_TEXT.format(f'TRY_CAST({made} AS {found})')} = {_AS_TEXT}"
        return Choice(made, back, keeps_keys="float" not in (old, new))
    if old == "date" and new == "moment":
        return Choice(_moment("CAST({} AS TIMESTAMP)", wanted), "isfinite({})")
    if old == "moment" and new == "date":
        made = "CAST(make_timestamp(epoch_us({})) AS DATE)"
        return Choice(made, f"isfinite({{}}) AND epoch_us(CAST({made} AS TIMESTAMP)) = epoch_us({{}})")
    if new == "text":
        return _text(old, found)
    if old == "text":
        return _of_text(new, wanted)
    way = change(found, wanted)
    return None if way is None else Choice(way.using, keeps_keys=way.keeps_keys)


def _family(type_: str) -> str:
    if TYPES.digits_of(type_) is not None:
        return "integer" if type_ in TYPES.integers or type_.endswith(",0)") else "decimal"
    return "float" if type_ in TYPES.inexact else _FAMILIES.get(type_, type_)


def _moment(value: str, wanted: str) -> str:
    """Return a moment as one of a type, without the zone of the session."""
    make = "make_timestamp" if wanted == "TIMESTAMP" else "make_timestamptz"
    return f"{make}(epoch_us({value}))"


def _text(old: str, found: str) -> Choice | None:
    if old == "float":
        made = f"regexp_replace({_AS_TEXT}, '[.]0$', '')"
        return Choice(made, f"CAST(TRY_CAST({made} AS {found}) AS VARCHAR) = {_AS_TEXT}", keeps_keys=False)
    if old == "moment":
        return Choice(IN_UTC, "isfinite({})", keeps_keys=False)
    way = change(found, "VARCHAR")
    return None if way is None else Choice(way.using, keeps_keys=way.keeps_keys)


def _of_text(new: str, wanted: str) -> Choice | None:
    """The same letters, as they are written of the new value."""
    if new == "moment":
        bare = f"regexp_replace({{}}, '{_UTC}', '')"
        made = _moment(f"TRY_CAST({bare} AS TIMESTAMP)", wanted)
        return Choice(made, f"{IN_UTC.replace('{}', made)} = {_as_moment(bare)}", keeps_keys=False)
    made = f"TRY_CAST({{}} AS {wanted})"
    if new not in ("boolean", "date", "time", "uuid", *_NUMBERS):
        return None
    written = _AS_TEXT.format(made)
    if new == "decimal":
        written = WITHOUT_ZEROS.replace("{}", made)
    elif new == "float":
        written = f"regexp_replace({written}, '[.]0$', '')"
    return Choice(made, f"{written} = {{}}", keeps_keys=new in ("integer", "uuid"))


def _as_moment(bare: str) -> str:
    """Return a text without its zone as this target writes a moment in UTC; a day stays a day."""
    seconds = (
        f"regexp_replace(regexp_replace({bare}, '(:[0-9]+)[.]0*$', '\\1'), '([.][0-9]*[1-9])0+$', '\\1')"
    )
    return f"regexp_replace({seconds}, '^({_DATE})[Tt ](.*)$', '\\1T\\2Z')"


def _document(column: Column, *, to_text: bool) -> Choice | None:
    """A text as a document: a string where the field is one, else what it says, if no string could be meant."""
    if column.kind not in _NO_TEXTS:
        return (
            Choice("({} ->> '$')", "json_type({}) = 'VARCHAR'", keeps_keys=False)
            if to_text
            else Choice("to_json({})", keeps_keys=False)
        )
    if "string" in json_types(column.schema):
        return None
    if to_text:
        return Choice(_AS_TEXT, keeps_keys=False)
    return Choice("TRY_CAST({} AS JSON)", "TRY_CAST({} AS JSON) IS NOT NULL", keeps_keys=False)
