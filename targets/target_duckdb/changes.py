"""What text, or what document, the values of each of DuckDB's types become: that of RFC 3339 in UTC, and every digit.

Not what DuckDB writes: to that a moment is one of the session's zone, and a number has as many digits behind the point as its
type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from singerkit_sql_target.dialect import Change

__all__ = ["IN_UTC", "WITHOUT_ZEROS", "change"]

_TEXT, _JSON = "VARCHAR", "JSON"
_WHOLE = re.compile(r"TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|DECIMAL\(\d+,0\)")
_DECIMAL = re.compile(r"DECIMAL\(\d+,\d+\)")
_AS_WRITTEN = "CAST({} AS VARCHAR)"
WITHOUT_ZEROS = f"regexp_replace({_AS_WRITTEN}, '(?:[.]0+|([.][0-9]*[1-9])0+)$', '\\1')"
# Not cast: what a moment is without a zone would depend on the zone of the session.
IN_UTC = (
    "regexp_replace(strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%f'), '[.]?0+$', '') || 'Z'"
)
_TEXTS: Mapping[str, Change] = {
    "BOOLEAN": Change(_AS_WRITTEN),
    "DATE": Change(_AS_WRITTEN),
    "TIME": Change(_AS_WRITTEN, "as `12:30:00`, however they were sent", keeps_keys=False),
    "TIMESTAMP WITH TIME ZONE": Change(IN_UTC, "in UTC, in whatever zone they were sent", keeps_keys=False),
    "UUID": Change(_AS_WRITTEN, "in small letters, however they were sent", keeps_keys=False),
}


def change(found: str, wanted: str) -> Change | None:
    """Return the way from one type to text or documents, where that keeps all values; None: there is none."""
    text = _text_of(found)
    if text is None or wanted not in (_TEXT, _JSON):
        return None
    if wanted == _TEXT:
        return text
    is_json = found == "BOOLEAN" or _DECIMAL.fullmatch(found) or _WHOLE.fullmatch(found)
    into = f"CAST({text.using} AS JSON)" if is_json else f"to_json({text.using})"
    return Change(into, text.note, keeps_keys=text.keeps_keys)


def _text_of(found: str) -> Change | None:
    if _WHOLE.fullmatch(found):
        return Change(_AS_WRITTEN)
    if _DECIMAL.fullmatch(found):
        return Change(WITHOUT_ZEROS, keeps_keys=False)
    return _TEXTS.get(found)
