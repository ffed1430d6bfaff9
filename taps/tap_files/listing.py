"""Which files of a place are meant: the pattern of `path`, and what names say in `key=value` parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from singerkit_shell.errors import ConfigurationError
from tap_files.packed.packing import archive_of
from tap_files.places.contract import Found, Place

__all__ = ["Pattern"]

_WILD = re.compile(r"[*?\[{]")
_PARTITION = re.compile(r"([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_NO_VALUE = ("__HIVE_DEFAULT_PARTITION__", "")


class Pattern:
    """A path with wildcards: `*` and `?` within a part, `**` over parts, `[a-z]` and `{csv,tsv}`.

    As in a shell no wildcard at the beginning of a part stands for a dot: files that are being written often begin with one.
    """

    def __init__(self, text: str) -> None:
        """Take a pattern relative to a place.

        Raises:
            ValueError: it is none; the text says why.
        """
        self.text = text
        wild = _WILD.search(text)
        self.prefix = text if wild is None else text[: wild.start()]
        """All of it up to the first wildcard."""
        self.is_one_file = wild is None
        rest = text[len(self.prefix) :]
        self.is_deep = "/" in rest or "**" in rest
        """Whether it looks into folders below that of the prefix."""
        self.partitions = tuple(name for name, value in _keys(text) if _WILD.search(value))
        """The names of the columns that parts like `dt=*` make."""
        double = {name for name in self.partitions if self.partitions.count(name) > 1}
        if double:
            raise ValueError(f"Expected each key of the path once, got `{min(double)}=` twice")
        self._matches = re.compile(_expression(text), re.DOTALL).fullmatch

    def files(self, place: Place) -> Iterator[Found]:
        """Yield the files of a place that it stands for, as they are listed."""
        for found in place.files(self.prefix, deep=self.is_deep):
            if self.fits(archive_of(found.name)):
                yield found

    def is_folder(self, place: Place) -> bool:
        """Tell whether the one name that it is, is that of a folder."""
        if not self.is_one_file:
            return False
        try:
            next(iter(place.files(f"{self.text}/", deep=False)), None)
        except ConfigurationError:
            return False
        return True

    def fits(self, name: str) -> bool:
        """Tell whether it stands for a name."""
        return self._matches(name) is not None

    def values(self, name: str) -> Mapping[str, str | None]:
        """Return what the parts of a name say, by `partitions`; Hive's word for none is null."""
        said = dict(_keys(name))
        return {
            key: None if said[key] in _NO_VALUE else unquote(said[key], errors="strict")
            for key in self.partitions
        }


def _keys(path: str) -> Iterator[tuple[str, str]]:
    for part in path.split("/")[:-1]:
        found = _PARTITION.fullmatch(part)
        if found is not None:
            yield found[1], found[2]


def _expression(text: str) -> str:
    """Return the regular expression of a pattern."""
    return "".join(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    at, depth = 0, 0
    while at < len(text):
        begins = at == 0 or text[at - 1] == "/"
        no_dot = r"(?!\.)" if begins else ""
        char = text[at]
        if text.startswith("**/", at) and begins:
            yield r"(?:(?!\.)[^/]+/)*"
            at += 3
            continue
        if text.startswith("**", at):
            if not begins or at + 2 < len(text):
                raise ValueError("Expected `**` as a whole part of the path")
            yield r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+"
            at += 2
            continue
        if char == "*":
            yield f"{no_dot}[^/]*"
        elif char == "?":
            yield f"{no_dot}[^/]"
        elif char == "[":
            end = text.find("]", at + 2)
            if end < 0:
                raise ValueError("Expected a `]` behind each `[` of the path")
            inside = text[at + 1 : end]
            negated = "^" if inside[0] in "!^" else ""
            yield f"{no_dot}(?!/)[{negated}{_class(inside[len(negated) :])}]"
            at = end
        elif char == "{":
            depth += 1
            yield "(?:"
        elif char == "}" and depth:
            depth -= 1
            yield ")"
        elif char == "," and depth:
            yield "|"
        else:
            yield re.escape(char)
        at += 1
    if depth:
        raise ValueError("Expected a `}` behind each `{` of the path")


def _class(inside: str) -> str:
    return re.sub(r"([\\\[\]^&~|])", r"\\\1", inside)
