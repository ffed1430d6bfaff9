"""From the records of a page, as the API lists them, to the records that are sent: each step knows nothing of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Raw

from tap_rest.deletes.marks import Deletions
from tap_rest.hook.calls import Hooked
from tap_rest.records.exploding import Exploding
from tap_rest.records.inside import Inside
from tap_rest.records.jmespaths import Reshaping
from tap_rest.records.lifting import Lifting
from tap_rest.settings.stream import StreamSettings

__all__ = ["Shaping"]


class Shaping:
    """Of one stream: records are taken out of objects around them, lists inside records become rows, a JMESPath makes others of them, and so does a hook, what stands inside other fields is copied to the top, what is gone is marked."""

    def __init__(
        self, settings: StreamSettings, tell: Callable[[str], None], hook: Hooked | None = None
    ) -> None:
        self._hook = hook if hook is not None and hook.has("post_process") else None
        self._inside = Inside(settings, tell)
        self._exploding = Exploding(settings.name, settings.explode)
        self._reshaping = Reshaping(settings.name, settings.jmespath, tell)
        self._lifting = Lifting(settings)
        self.deletions = Deletions(settings, tell)

    def shaped(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return what is sent of the records of a page; where that is what came, the same list.

        Raises:
            BadDataError: see `Exploding.rows`, `Reshaping.rows`, `Lifting.lifted` and `Deletions.marked`.
        """
        rows = self._exploding.rows(self._inside.rows(records, where), where)
        rows = self._reshaping.rows(rows, where)
        if self._hook is not None:
            rows = self._hook.rows(rows)
        return self.deletions.marked(self._lifting.lifted(rows, where), where)
