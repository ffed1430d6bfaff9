"""What each request of a read has, whatever its page: URL, parameters and headers, with their placeholders filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from singerkit_state.instants import zone_named
from singerkit_tap.contract import Context
from tap_rest.moments import Moments
from tap_rest.parents import ParentFields
from tap_rest.placeholders import Values, filled, filled_path
from tap_rest.settings.stream import StreamSettings
from tap_rest.urls import joined

__all__ = ["Composer", "Frame"]


@dataclass(frozen=True, slots=True)
class Frame:
    """What the requests of one read have in common."""

    url: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]


class Composer:
    """Fills in what the config says of the requests of one stream; ``began`` tells when the run began."""

    def __init__(
        self, base_url: str, settings: StreamSettings, parents: ParentFields, began: Callable[[], datetime]
    ) -> None:
        self._base_url, self._settings, self._parents = base_url, settings, parents
        zone = None if settings.time_zone is None else zone_named(settings.time_zone)
        self._moments = Moments(began, zone)

    def first_params(self, context: Context | None) -> Mapping[str, Any]:
        """Return what is sent as long as there is no token, beside the frame."""
        token = self._settings.token
        if token is None:
            return {}
        values = Values(self._moments, self._parents.values(context))
        return cast(
            "Mapping[str, Any]",
            filled(token.first_params, values, "incremental.first_params", as_texts=True),
        )

    def frame(self, context: Context | None) -> Frame:
        """Return what the requests below one parent have in common.

        Raises:
            BadDataError: a value has no place there.
        """
        settings = self._settings
        values = Values(self._moments, self._parents.values(context))
        return Frame(
            joined(self._base_url, filled_path(settings.path, values)),
            filled(settings.params, values, "params", as_texts=True),
            filled(settings.headers, values, "headers", as_texts=True),
        )
