"""Each answer of a stream, its body made the JSON that is read of it, whatever came."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from requests.structures import CaseInsensitiveDict

from singerkit_shell.errors import BadDataError
from tap_rest.answers import Response
from tap_rest.charsets import charset_of, utf8_text
from tap_rest.formats.csvtext import CsvReader
from tap_rest.formats.lines import array_of_lines
from tap_rest.formats.looks import format_of_type, is_json
from tap_rest.formats.texts import readers_of
from tap_rest.formats.xmltext import XmlReader
from tap_rest.paths import parse_path
from tap_rest.settings.stream import StreamSettings

__all__ = ["Translator"]

_NONE = 204
_NAMES = {"ndjson": "one JSON value a line", "csv": "CSV", "xml": "XML"}


class Translator:
    """Makes JSON of the bodies of one stream. ``types``: the schema that says what texts are; ``shown`` writes a URL for people."""

    def __init__(
        self, settings: StreamSettings, types: Mapping[str, Any], shown: Callable[[str], str]
    ) -> None:
        self._settings, self._shown = settings, shown
        keys = [*settings.primary_keys, *filter(None, [settings.replication_key])]
        own_keys = [key for key in keys if key not in settings.added_fields]
        self._csv = CsvReader(settings.csv, settings.name, own_keys, readers_of(types))
        at = parse_path(settings.records, "records").names if settings.records is not None else None
        self._xml = XmlReader(settings.xml, settings.name, at, types)

    def translate(self, response: Response) -> None:
        """Make the body JSON in UTF-8.

        Raises:
            BadDataError: it is not in the format that it is read in, nor in its charset.
        """
        kind = self._format_of(response)
        charset = charset_of(response.headers)
        if kind == "csv" and self._settings.csv.encoding is not None:
            charset = self._settings.csv.encoding
        # A document of XML says its charset itself.
        if kind != "xml" or charset is not None:
            response.body = utf8_text(response.body, charset or "utf-8", self._shown(response.url))
        if kind != "json":
            response.body = self._as_json(kind, response, None if charset is None else "utf-8")

    def _format_of(self, response: Response) -> str:
        """Return what a body is read as; JSON is JSON, whatever its Content-Type, where no format is asked for."""
        if not 200 <= response.status < 300 or response.status == _NONE:
            return "json"
        kind = self._settings.format or format_of_type(response.headers)
        is_json_anyway = self._settings.format is None and kind != "ndjson" and is_json(response.body)
        return "json" if is_json_anyway else kind

    def _as_json(self, kind: str, response: Response, charset: str | None) -> bytes:
        body = response.body
        if not body.strip():
            return self._none_of(kind)
        if kind == "ndjson":
            return array_of_lines(body, self._settings.name)
        if kind == "xml":
            return msgspec.json.encode(self._xml.document(body, charset))
        content_type = CaseInsensitiveDict(response.headers).get("Content-Type", "")
        return msgspec.json.encode(self._csv.objects(body, content_type))

    def _none_of(self, kind: str) -> bytes:
        if self._settings.missing_records == "empty":
            return b"[]"
        raise BadDataError(
            f"Expected {_NAMES[kind]}, got an empty body, which may be a failure; if it means that there are no rows, set "
            f'`"missing_records": "empty"` in stream {self._settings.name}.'
        )
