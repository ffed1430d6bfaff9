"""Records inside other objects of a list: `$.edges[*].node` of GraphQL, `$.hits.hits[*]._source` of Elasticsearch.

Pages are counted, compared and asked for by the objects around them, as by any list of records.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Raw

from singerkit_shell.errors import BadDataError
from tap_rest.paths import Path, column_of
from tap_rest.settings.stream import StreamSettings

__all__ = ["Inside"]


class Inside:
    """Takes the records of one stream out of what the API lists."""

    def __init__(self, settings: StreamSettings, tell: Callable[[str], None]) -> None:
        self._name, self._tell = settings.name, tell
        self._names = settings.inside
        self._column = column_of(Path("", self._names, False))
        self._may_lack = settings.partial_answers == "warn"

    def rows(self, records: Sequence[Raw], where: str) -> Sequence[Raw]:
        """Return the records; where there is nothing around them, what came.

        Raises:
            BadDataError: one is not there, and the config does not say that answers may be partial.
        """
        if not self._names:
            return records
        found = [
            one for one in self._column(records, where) if isinstance(one, Raw) and bytes(one) != b"null"
        ]
        if len(found) < len(records) and not self._may_lack:
            raise BadDataError(
                f"Expected a record at `{'.'.join(self._names)}` of each object in the list of {where}, got "
                f'{len(found)} of {len(records)}; correct `records` of stream {self._name}, or say `"partial_answers": "warn"` there if the API '
                "leaves some out."
            )
        if len(found) < len(records):
            self._tell(
                f"Objects in the list of stream {self._name} have no record at `{'.'.join(self._names)}`, which `partial_answers` passes over: rows are "
                "missing, if they were to have one."
            )
        return found
