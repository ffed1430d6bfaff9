"""`country`: one name for a country that is called by its code here and by its name there."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from singerkit_map.contract import BadValue, OfValue
from singerkit_map.operations.words import ON_VALUE, extra_of, refused
from singerkit_map.values.canonical import canonical_text
from singerkit_map.values.fieldschemas import text_field

__all__ = ["SETTINGS", "made", "named"]

_NAMES: Mapping[str, str] = {
    "UK": "GB", "Great Britain": "GB", "EL": "GR", "Russia": "RU", "Brunei": "BN", "Macedonia": "MK", "Swaziland": "SZ", "Cape Verde": "CV", "Ivory Coast": "CI",
    "Turkey": "TR", "Palestine": "PS", "Micronesia": "FM", "Democratic Republic of the Congo": "CD", "DR Congo": "CD", "Republic of the Congo": "CG",
    "USA": "US", "U.S.A.": "US", "U.S.": "US", "Vatican City": "VA", "Falkland Islands": "FK", "The Gambia": "GM", "The Bahamas": "BS", "The Netherlands": "NL", "Holland": "NL",
    "Burma": "MM", "East Timor": "TL",
}  # fmt: skip
"""What ISO 3166 does not call them, and no other country is called. `Korea` and `Congo` are two countries each."""

SETTINGS: Mapping[str, Any] = {
    "description": (
        "A country by any of its codes or English names (ISO 3166, accents and case aside), as one of them. What is no country is bad; nothing is guessed. Needs `singerkit[clean]`."
    ),
    "properties": {
        **ON_VALUE,
        "to": {
            "enum": ["alpha2", "alpha3", "numeric", "name"],
            "default": "alpha2",
            "description": "`DE`, `DEU`, `276` or `Germany`.",
        },
        "names": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": 'More names, each with its code of two letters: `{"Deutschland": "DE"}`.',
        },
    },
    "required": ["field"],
    "examples": [
        {
            "said": {"op": "country", "field": "country", "to": "alpha2", "names": {"Deutschland": "DE"}},
            "before": {"country": "Deutschland"},
            "after": {"country": "DE"},
        }
    ],
}
_ATTRIBUTES = {"alpha2": "alpha_2", "alpha3": "alpha_3", "numeric": "numeric"}


def made(said: Mapping[str, Any], place: str) -> OfValue:
    known = named(list(extra_of("pycountry", "country", place).countries))
    codes = {country.alpha_2: country for country in known.values()}
    for name, code in said.get("names", {}).items():
        if code not in codes:
            raise refused(
                f"Expected the code of a country in two letters, got `{code}`", place, f"names.{name}"
            )
        known[_plain(name)] = codes[code]
    to = said.get("to", "alpha2")
    written = {name: _written(country, to) for name, country in known.items()}

    def value(seen: object) -> str:
        text = canonical_text(seen)
        found = written.get(_plain(text.zfill(3) if text.isascii() and text.isdigit() else text))
        if found is None:
            raise BadValue("expected a country of ISO 3166, got something else")
        return found

    return OfValue(place, said["field"], value, text_field, said.get("as"), takes={"string", "integer"})


def named(countries: list[Any]) -> dict[str, Any]:
    """Return countries by all their codes and names; a name that two have is none's."""
    names: dict[str, Any] = {}
    twice: set[str] = set()
    for country in countries:
        for name in {_plain(name) for name in _names_of(country)}:
            if name in names:
                twice.add(name)
            names[name] = country
    by_code = {country.alpha_2: country for country in countries}
    others = {_plain(name): by_code[code] for name, code in _NAMES.items() if code in by_code}
    return {name: country for name, country in {**others, **names}.items() if name not in twice}


def _names_of(country: Any) -> list[str]:
    attributes = ("alpha_2", "alpha_3", "numeric", "name", "official_name", "common_name")
    return [getattr(country, attribute) for attribute in attributes if hasattr(country, attribute)]


def _plain(name: str) -> str:
    """Return a name without what people write now and then: accents, case, blanks at the ends, the look of apostrophes."""
    apart = unicodedata.normalize("NFKD", name.strip().replace("\u2019", "'"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter)).casefold()


def _written(country: Any, to: str) -> str:
    if to == "name":
        return str(getattr(country, "common_name", country.name))
    return str(getattr(country, _ATTRIBUTES[to]))
