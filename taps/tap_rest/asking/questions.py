"""One request before it is sent: where it goes, what it asks for, and which answers it takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tap_rest.answers.rules import NO_RULES, Rules
from tap_rest.hook.calls import Hooked

__all__ = ["OF_THE_BODY", "Payload", "Question", "without_payload"]

OF_THE_BODY = "content-type"
"""The header that speaks of the body of a request."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of a request; ``told`` are names and values in it, as a query would have them."""

    content: bytes
    told: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A request; ``accept`` are further statuses that are answers, ``rules`` say what answers mean."""

    url: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: Collection[int] = ()
    method: str = "GET"
    payload: Payload | None = None
    rules: Rules = NO_RULES
    hook: Hooked | None = None
    """What alters the request before it is sent."""


def without_payload(question: Question) -> Question:
    """Return the GET that a question becomes."""
    headers = {name: text for name, text in question.headers.items() if name.lower() != OF_THE_BODY}
    return replace(question, headers=headers, method="GET", payload=None)
