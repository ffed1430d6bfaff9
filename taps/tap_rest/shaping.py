"""From the records of a page, as the API lists them, to the records that are sent: each step knows nothing of the others."""

from __future__ import annotations

from msgspec import Raw

from tap_rest.exploding import Exploding
from tap_rest.lifting import Lifting
from tap_rest.settings.stream import StreamSettings

__all__ = ["Shaping"]


class Shaping:
    """Of one stream: lists inside records become rows, and what stands inside other fields is copied to the top."""

    def __init__(self, settings: StreamSettings) -> None:
        self._exploding = Exploding(settings.name, settings.explode)
        self._lifting = Lifting(settings)

    def shaped(self, records: list[Raw], where: str) -> list[Raw]:
        """Return what is sent of the records of a page; where that is what came, the same list.

        Raises:
            BadDataError: see `Exploding.rows` and `Lifting.lifted`.
        """
        return self._lifting.lifted(self._exploding.rows(records, where), where)
