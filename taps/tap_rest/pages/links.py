"""The Link header as RFC 8288 has it, and URLs that are templates, as RFC 6570 has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Link", "parse_links", "without_values"]

_TARGET = re.compile(r"[ \t]*<([^<>]*)>[ \t]*")
_PARAMETER = re.compile(
    r"""[ \t]*;[ \t]*
    (?: (?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*
        (?: = [ \t]* (?: "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<token>[^\s";,]*) ) )?
    )?[ \t]*""",
    re.X,
)


_EXPRESSION = re.compile(r"\{([?&#+./;]?)[\w.%]+(?::\d+|\*)?(?:,[\w.%]+(?::\d+|\*)?)*\}", re.ASCII)


def without_values(url: str, *, is_template: bool = False) -> str:
    """Return a URL without the parts of a template that say what may be asked besides, as `{?page,size}` and `{/name}`.

    Other braces stand in URLs, too; in one that ``is_template`` they stand for something that belongs there.

    Raises:
        ValueError: it has such a part; the message is that.
    """

    def part(expression: re.Match[str]) -> str:
        if expression[1] and expression[1] in "?&#/":
            return ""
        if is_template:
            raise ValueError(expression[0])
        return expression[0]

    return _EXPRESSION.sub(part, url)


@dataclass(frozen=True, slots=True)
class Link:
    """A target with its parameters; names are in small letters, and the first of a name counts."""

    url: str
    params: Mapping[str, str]

    def has_rel(self, wanted: str) -> bool:
        """Tell whether ``wanted`` is among the relations; case does not count."""
        return wanted.lower() in self.params.get("rel", "").lower().split()


def parse_links(text: str) -> list[Link]:
    """Return the links of a header; several headers are joined by commas.

    Raises:
        ValueError: it cannot be read; the message says from which character on.
    """
    links = []
    at = 0
    while (at := _after_commas(text, at)) < len(text):
        target = _TARGET.match(text, at)
        if target is None:
            raise ValueError(f"expected `<` and `>` around a URL at character {at + 1}")
        at = target.end()
        params: dict[str, str] = {}
        while at < len(text) and text[at] == ";":
            found = _PARAMETER.match(text, at)
            if found is None or (found.end() < len(text) and text[found.end()] not in ";,"):
                raise ValueError(f"expected a parameter at character {at + 1}")
            at = found.end()
            if found["name"]:
                params.setdefault(found["name"].lower(), _value(found))
        if at < len(text) and text[at] != ",":
            raise ValueError(f"expected `;` or `,` at character {at + 1}")
        links.append(Link(target[1].strip(), params))
    return links


def _after_commas(text: str, at: int) -> int:
    while at < len(text) and text[at] in ", \t":
        at += 1
    return at


def _value(found: re.Match[str]) -> str:
    return re.sub(r"\\(.)", r"\1", found["quoted"]) if found["quoted"] is not None else found["token"] or ""
