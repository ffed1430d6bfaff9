"""Each answer of a stream, its body made the JSON that is read of it, whatever came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from msgspec.json import encode

from singerkit_shell.encoding import check_utf8
from singerkit_shell.errors import BadDataError
from tap_rest.answers.answer import Response
from tap_rest.answers.tokens import paths_of_token
from tap_rest.formats.archives import File, files_in
from tap_rest.formats.csvtext import TABS, CsvReader
from tap_rest.formats.lines import array_of_lines
from tap_rest.formats.looks import format_of_name, format_of_type, is_json
from tap_rest.formats.texts import readers_of
from tap_rest.formats.xmltext import XmlReader
from tap_rest.http.charsets import charset_of, utf8_text
from tap_rest.http.heads import by_name
from tap_rest.http.storing import Limits, Span
from tap_rest.long.opening import Opening, as_utf8
from tap_rest.pages.kinds import body_paths
from tap_rest.paths import parse_path
from tap_rest.settings.stream import StreamSettings

__all__ = ["Translator"]

_NONE = 204
_BRACKETS = (b"{", b"[")
_JSON_TYPES = ("application/json", "application/json; charset=utf-8", "application/json;charset=utf-8")
"""As they are written most often, for a quick look; what is written otherwise is looked at longer."""
_NAMES = {"json": "JSON", "ndjson": "one JSON value a line", "csv": "CSV", "xml": "XML"}


class Translator:
    """Makes JSON of the bodies of one stream.

    ``types``: the schema that says what texts are; ``limits``: bytes of a body; ``shown`` writes a URL for people; ``warn`` takes a
    sentence about rows that may be missing.
    """

    def __init__(
        self,
        settings: StreamSettings,
        types: Mapping[str, Any],
        limits: Limits,
        shown: Callable[[str], str],
        warn: Callable[[str], None],
    ) -> None:
        self._settings, self._limits, self._shown, self._warn = settings, limits, shown, warn
        keys = [*settings.primary_keys, *filter(None, [settings.replication_key])]
        own_keys = [key for key in keys if key not in settings.added_fields]
        self._csv = CsvReader(settings.csv, settings.name, own_keys, readers_of(types))
        path = None if settings.rows_at is None else parse_path(settings.rows_at, "records")
        at = None if path is None else path.names
        self._xml = XmlReader(settings.xml, settings.name, at, types)
        self._long = Opening(settings.name, self._csv, self._xml, at, limits)
        self._why_whole = _why_whole(settings, is_plain=path is None or at is not None)

    def translate(self, response: Response) -> None:
        """Make the body JSON in UTF-8; of one that is on disk, what stands around its rows.

        Raises:
            BadDataError: it is not in the format that it is read in, nor in its charset, or too large.
            Transient: what is compressed in it was cut.
        """
        if self._is_plain(response):
            return
        shown = self._shown(response.url)
        charset = charset_of(response.headers)
        if not 200 <= response.status < 300 or response.status == _NONE:
            if not response.spans:
                response.body = utf8_text(response.body, charset or "utf-8", shown)
            return
        files = self._files(response)
        kind = self._format_of(response, files)
        if kind in ("csv", "ndjson") and not files[0].is_unpacked and not _tells_its_end(response.headers):
            self._warn(
                f"The answers for stream {self._settings.name} do not say where they end (neither `Content-Length` nor chunks): one that is cut at the "
                "end of a line looks whole, and rows would be missing. Ask the API for gzip, or its makers for a length."
            )
        if kind == "csv" and self._settings.csv.encoding is not None:
            charset = self._settings.csv.encoding
        # A document of XML says its charset itself.
        given = charset if charset is not None or kind == "xml" else "utf-8"
        content_type = by_name(response.headers).get("Content-Type", "")
        content_type = TABS if files[0].name.lower().endswith(".tsv") else content_type
        spans = [file.content for file in files if isinstance(file.content, Span)]
        if spans and self._why_whole is None:
            texts = [span if given is None else as_utf8(span, given, shown, self._limits) for span in spans]
            long = [text for text in texts if isinstance(text, Span) and len(text)]
            if long:
                self._long.open(response, long, kind, content_type, None if given is None else "utf-8")
                return
        contents = [self._whole(file.content) for file in files]
        if given is not None:
            contents = [utf8_text(content, given, shown) for content in contents]
        response.body = self._joined(kind, contents, content_type, None if given is None else "utf-8")

    def _is_plain(self, response: Response) -> bool:
        """Tell whether a body is JSON in UTF-8 as it stands, as nearly all are; what is wrong with another is said where it is looked at longer."""
        if self._settings.format is not None or response.spans or response.body[:1] not in _BRACKETS:
            return False
        if response.headers.get("Content-Type") not in _JSON_TYPES:
            return False
        try:
            check_utf8(response.body)
        except UnicodeDecodeError:
            return False
        return True

    def _files(self, response: Response) -> list[File]:
        content = response.spans[0] if response.spans else response.body
        name = urlsplit(response.url).path
        return files_in(content, name, self._settings.zip_members, self._limits, self._settings.name)

    def _format_of(self, response: Response, files: Sequence[File]) -> str:
        """Return what a body is read as; JSON is JSON, whatever its Content-Type, where no format is asked for."""
        if self._settings.format is not None:
            return self._settings.format
        kind = format_of_type(response.headers)
        if kind is None and files[0].is_unpacked:
            kind = format_of_name(files[0].name)
        start = files[0].content if isinstance(files[0].content, bytes) else files[0].content.read(0, 1024)
        return "json" if kind is None or (kind != "ndjson" and is_json(start)) else kind

    def _whole(self, content: bytes | Span) -> bytes:
        if isinstance(content, bytes):
            return content
        if len(content) > self._limits.whole:
            raise BadDataError(
                f"The body is larger than {self._limits.whole} bytes, and stream {self._settings.name} reads bodies as a whole "
                f"({self._why_whole}); ask for smaller pages, or raise `limits.response_bytes`, where memory bears several times as much."
            )
        return content.read(0, len(content))

    def _joined(self, kind: str, contents: Sequence[bytes], content_type: str, charset: str | None) -> bytes:
        """Return one document, or one array of what stands in several."""
        if len(contents) == 1:
            return self._as_json(kind, contents[0], content_type, charset)
        documents = [
            self._as_json(kind, content, content_type, charset).strip()
            for content in contents
            if content.strip()
        ]
        if not documents:
            return self._none_of(kind)
        if not all(document.startswith(b"[") and document.endswith(b"]") for document in documents):
            raise self._long.several()
        return b"[" + b",".join(filter(None, (document[1:-1].strip() for document in documents))) + b"]"

    def _as_json(self, kind: str, body: bytes, content_type: str, charset: str | None) -> bytes:
        if kind == "json":
            return body
        if not body.strip():
            return self._none_of(kind)
        if kind == "ndjson":
            return array_of_lines(body, self._settings.name)
        if kind == "xml":
            return encode(self._xml.document(body, charset))
        table = self._csv.table(body, content_type)
        return table.array(body[table.begin :])

    def _none_of(self, kind: str) -> bytes:
        if self._settings.missing_records == "empty":
            return b"[]"
        raise BadDataError(
            f"Expected {_NAMES[kind]}, got an empty body, which may be a failure; if it means that there are no rows, set "
            f'`"missing_records": "empty"` in stream {self._settings.name}.'
        )


def _why_whole(settings: StreamSettings, *, is_plain: bool) -> str | None:
    """Return why all rows of an answer of a stream have to be in memory at once; None: they have not."""
    if settings.layout == "columns":
        return "by its `layout`"
    if "next_page" in settings.hooked:
        return "since `next_page` of its hook is given all rows of a page"
    if not is_plain:
        return "since its `records` is no plain path"
    if settings.pagination.type in ("offset", "keyset") or settings.follows_key or settings.may_follow_key:
        return "by its `pagination`"
    # Of a long answer only what stands around the rows is looked through, and the first of them.
    paths = [*body_paths(settings.pagination), *paths_of_token(settings.token)]
    inside = next((path for path in paths if _may_be_in_rows(path)), None)
    return None if inside is None else f"since `{inside}` may be a field of its rows"


def _may_be_in_rows(path: str) -> bool:
    """Tell whether a path leads into a list, or as ``[*]`` to all of it, where the last item is looked for."""
    return path.endswith("[*]") or parse_path(path, "a path in an answer").names is None


def _tells_its_end(headers: Mapping[str, str]) -> bool:
    """Tell whether a connection that ends in the middle of a body is noticed."""
    named = by_name(headers)
    is_packed = any(name in named.get("Content-Encoding", "").lower() for name in ("gzip", "deflate"))
    return "Content-Length" in named or is_packed or "chunked" in named.get("Transfer-Encoding", "").lower()
