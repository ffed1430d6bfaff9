"""The last record of an answer that is none: an API that fails in the middle of its rows says so in their place, behind them.

So do those that write rows as they find them, with status 200 long sent: ClickHouse, Elasticsearch, many exports of one JSON value a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec
from msgspec import Raw

from tap_rest.answers.answer import Response
from tap_rest.answers.envelope import is_error_name, is_message, is_status
from tap_rest.formats.looks import format_of_type

__all__ = ["LastRow"]

_NOTHING = (b"null", b"false", b"0", b'""', b"[]", b"{}")


class LastRow:
    """Of one stream. ``is_ndjson``: the config says that bodies are one JSON value a line, where one that stands alone may be an error, too."""

    def __init__(self, *, is_ndjson: bool = False) -> None:
        self._is_ndjson = is_ndjson
        self._known: set[str] = set()
        """What the first record of an answer had, to compare one that stands alone with."""

    def error_in(self, records: Sequence[Raw], response: Response) -> Raw | None:
        """Return the last of the records of an answer where no other has anything of it, and it tells of an error."""
        if not records:
            return None
        last = _members(records[-1])
        if len(records) > 1:
            self._known = {*_members(records[0])}
            is_strange = self._known.isdisjoint(last)
        elif self._known:
            is_strange = self._known.isdisjoint(last)
        else:
            is_ndjson = self._is_ndjson or format_of_type(response.headers) == "ndjson"
            is_strange = is_ndjson and _has_no_more_than_errors(last)
        if not is_strange or not _tells_of_error(last) or _is_of_a_kind(last, records):
            return None
        return records[-1]


def _members(record: Raw) -> Mapping[str, Raw]:
    try:
        return msgspec.json.decode(record, type=dict[str, Raw])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _tells_of_error(members: Mapping[str, Raw]) -> bool:
    return any(
        is_error_name(name) and bytes(value).strip() not in _NOTHING for name, value in members.items()
    )


def _has_no_more_than_errors(members: Mapping[str, Raw]) -> bool:
    return all(is_error_name(name) or is_message((name,)) or is_status((name,)) for name in members)


def _is_of_a_kind(last: Mapping[str, Raw], records: Sequence[Raw]) -> bool:
    """Tell whether records before have something of the last one, as in a log whose entries are of several kinds."""
    return any(not last.keys().isdisjoint(_members(record)) for record in islice(records, len(records) - 1))
