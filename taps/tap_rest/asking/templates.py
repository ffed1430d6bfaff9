"""What the config says of a request before anything is filled in: of the first of a read, and of those behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tap_rest.asking.placeholders import Values, filled, filled_path, names_in
from tap_rest.asking.urls import joined
from tap_rest.settings.stream import StreamSettings

__all__ = ["Filled", "Template", "template_behind", "template_of"]


@dataclass(frozen=True, slots=True)
class Filled:
    """What the config says of a request, filled in."""

    url: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Template:
    """A request with placeholders; ``query`` is one of GraphQL, whose variables are the ``body``."""

    method: str
    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    body_format: str
    query: str | None = None

    @property
    def names(self) -> set[str]:
        """The placeholders in it."""
        return {*names_in((self.path, self.params, self.headers, self.body))}

    def filled(self, base_url: str, values: Values) -> Filled:
        """Return the request with its placeholders filled in.

        Raises:
            BadDataError: a value has no place there.
            ConfigurationError: one that has to be there is missing.
        """
        return Filled(
            joined(base_url, filled_path(self.path, values)),
            filled(self.params, values, "params", as_texts=True),
            filled(self.headers, values, "headers", as_texts=True),
            self._filled_body(values),
        )

    def _filled_body(self, values: Values) -> Any:
        body = filled(self.body, values, "body", as_texts=self.body_format == "form")
        return body if self.query is None else {"query": self.query, **({"variables": body} if body else {})}


def template_of(settings: StreamSettings) -> Template:
    """Return the request of a stream."""
    graphql = settings.graphql
    return Template(
        settings.method,
        settings.path,
        settings.params,
        settings.headers,
        settings.body if graphql is None else graphql.variables,
        settings.body_format,
        None if graphql is None else graphql.query,
    )


def template_behind(settings: StreamSettings) -> Template | None:
    """Return the request for pages behind the first, None where it is like the first."""
    said = settings.pagination.next_request
    if said is None:
        return None
    return replace(
        template_of(settings),
        method=said.method or settings.method,
        path=settings.path if said.path is None else said.path,
        params=said.params,
        body=said.body,
        body_format=said.body_format,
    )
