"""What stands between a request that is ready and its answer, where a run is recorded or replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import requests

from tap_rest.answers.answer import Response

__all__ = ["Asked", "Tape", "Track"]


class Track(Enum):
    """Who sends a request."""

    READER = "reader"
    AHEAD = "ahead"
    """A thread of its own, whose answer counts once somebody takes it, and may never."""
    TOKEN = "token"  # noqa: S105  the name of a track
    """A login: all that comes of it is a secret."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without credentials, and without what a hook has made of it: what is the same in a run that is replayed."""

    url: str
    content: str | bytes | None

    @property
    def body(self) -> str:
        """Its body as a text."""
        content = self.content or ""
        return content if isinstance(content, str) else content.decode("utf-8", "replace")


class Tape(Protocol):
    """Gives the answers to all requests of a run; called from several threads."""

    def answered(
        self,
        track: Track,
        request: requests.PreparedRequest,
        asked: Asked,
        session: requests.Session,
        send: Callable[[], Response],
    ) -> Response:
        """Return the answer to a request, by ``send`` or from a recording; ``request`` is how it is sent.

        Raises:
            Exception: as `Transport.send`.
            NotRecordedError: there is none in the recording.
        """

    def renews(self) -> bool | None:
        """Tell whether other credentials were sent behind the answer that was given last; None: they are to be asked for."""
