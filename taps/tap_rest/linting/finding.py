"""One thing that is found in a config, and where it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from singerkit_shell.configfile import read_text
from singerkit_shell.configlines import line_at
from singerkit_shell.configtext import kind_of
from tap_rest.config import CONFIG_SCHEMA

__all__ = ["RULES", "Finding", "place_in", "where"]

RULES = {
    "invalid": "a run refuses it: a wrong value, two settings that contradict each other, a document that cannot be read",
    "unknown-key": "a run refuses it: there is no such setting; the nearest is named",
    "no-effect": "it does nothing where it stands; most are refused by a run, too",
    "plain-secret": "a secret stands in the file",
    "http-credentials": "credentials travel unencrypted",
    "no-primary-keys": "a row that changes is there twice",
    "no-filter": "each run asks for all rows, though there is a bookmark",
    "key-of-creation": "by its name the bookmark does not move when a row changes",
    "may-miss": "a row can be missed",
    "may-repeat": "a row can be there twice",
    "no-pagination": "one request is made; a run ends where the answer shows that there are more",
    "no-page-size": "pages are as small as the API makes them by itself",
    "guard-off": "something that a run would notice is let pass",
}
"""What each rule finds."""
_MOST_BYTES = 16 << 20
_PLACE = re.compile(r"`((?:[a-z_]+)(?:\[\d+\])?(?:\.[^`\s]+)*)`")


@dataclass(frozen=True)
class Finding:
    """An error, or an advice, of a rule; ``place`` is where in the config (`streams[0].path`)."""

    rule: str
    place: str
    sentence: str
    is_error: bool = False


def place_in(sentence: str) -> str:
    """Return the place that a sentence about a config names first; none: an empty one."""
    named = _PLACE.findall(sentence)
    deep = [one for one in named if "." in one or "[" in one]
    return next(
        (one for one in [*deep, *named] if re.split(r"[.\[]", one)[0] in CONFIG_SCHEMA["properties"]), ""
    )


def where(place: str, paths: Sequence[str]) -> str:
    """Return file and line of a place, as compilers do: of the last file that has it."""
    for path in reversed(paths):
        try:
            line = line_at(read_text(path, _MOST_BYTES), kind_of(path), place) if place else None
        except (OSError, ValueError):
            continue
        if line is not None:
            return f"{path}:{line}"
    return paths[-1] if paths else "ENV"
