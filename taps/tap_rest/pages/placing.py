"""Where what a request says of its page travels: in parameters, headers, the body, or where its placeholder stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from tap_rest.asking.placeholders import as_text
from tap_rest.pages.steps import role_of
from tap_rest.settings.pagination import Pagination, param_of, size_param_of
from tap_rest.settings.request import VARIABLES

__all__ = ["Placed", "lanes_of", "placed", "told_place", "variable_of"]

Lanes: TypeAlias = Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Placed:
    """What goes where; ``members`` of the body by their paths."""

    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)

    def put(self, place: str, name: str, value: Any) -> None:
        """Put a value where ``place`` says; one of a placeholder goes where that stands."""
        if place == "query":
            self.params[name] = (
                value if isinstance(value, str | int) else as_text(value, name, f"parameter {name}")
            )
        elif place == "header":
            self.headers[name] = as_text(value, name, f"header {name}")
        elif place == "body":
            self.members[name] = value


def placed(sent: Mapping[str, Any], lanes: Lanes) -> Placed:
    """Return where each thing goes that a step sends."""
    found = Placed()
    for role, value in sent.items():
        found.put(*lanes[role], value)
    return found


def lanes_of(settings: Pagination) -> Lanes:
    """Return the place and the name there of each thing that a step may send."""
    header = settings.request_header
    page = (settings.place, param_of(settings)) if header is None else ("header", header)
    return {"size": (settings.size_place, size_param_of(settings)), role_of(settings): page}


def variable_of(settings: Pagination) -> str | None:
    """Return the variable of GraphQL that tells pages apart, None where none does."""
    name = param_of(settings)
    is_one = settings.place == "body" and name.startswith(VARIABLES)
    return name.removeprefix(VARIABLES) if is_one else None


def told_place(settings: Pagination) -> str:
    """Return where pages are told apart, in words."""
    if settings.request_header is not None:
        return f"header `{settings.request_header}`"
    match settings.place:
        case "header":
            return f"header `{param_of(settings)}`"
        case "body" if variable_of(settings) is not None:
            return f"variable `{variable_of(settings)}`"
        case "body":
            return f"member `{param_of(settings)}` of the body"
        case "placeholder":
            return f"`{{{role_of(settings)}}}` in the request"
    return f"parameter `{param_of(settings)}`"
