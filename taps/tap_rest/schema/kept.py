"""Where the inferred schema of a stream is kept between runs: in a file, in the state, or in both.

A container often has no disk that stays, but it has a state. So the state has the schema where `infer.keep_in` says so, where
the folder cannot be written, and where the file was not there though the state says that the stream was read; and from then on.
It stands under ``source`` of what a state says of a stream (`singerkit_state.readas`), as a list, since programs that merge
states (Meltano) merge objects name by name, and would keep of two schemas what neither says::

    "schema": ["5f0c2e6f0a11", {"id": "integer!", "at": "string date-time"}]

The first part tells what it was inferred from, without secrets, which nobody shall find by trying: that of another path is none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from singerkit_catalog.inference import merge_schemas
from singerkit_state.readas import ReadAs
from tap_rest.config import ApiSettings
from tap_rest.fingerprints import digest_of, fingerprints_of
from tap_rest.schema.cache import cache_file, read_cache, source_of, write_cache
from tap_rest.schema.words import from_words, in_words
from tap_rest.settings.stream import StreamSettings

__all__ = ["IN_STATE", "KeptSchema"]

_logger = logging.getLogger("tap-rest")
IN_STATE = "schema"
"""The part of `ReadAs.source` that holds it."""
_MOST_BYTES = 32 << 10


class KeptSchema:
    """The schema of one stream between runs; ``former`` is what the state says of the stream."""

    def __init__(self, settings: StreamSettings, api: ApiSettings, former: ReadAs) -> None:
        place = fingerprints_of(settings, api)["where"]
        self._stream, self._origin = settings.name, digest_of([place, settings.name, *source_of(settings)])
        self._found, keep_in = former.source.get(IN_STATE), api.infer.keep_in
        self._file = None if keep_in == "state" else cache_file(settings, api)
        was_read_there = former.is_known and former.source.get("where") == place
        is_lost = was_read_there and self._file is not None and not os.path.exists(self._file)
        self._may_be_in_state = keep_in != "folder"
        self._is_in_state = keep_in == "state" or (self._may_be_in_state and (bool(self._found) or is_lost))
        self._seen: Mapping[str, Any] | None = None
        self._written: Any = None

    def read(self) -> tuple[dict[str, Any] | None, dict[str, list[Any]]]:
        """Return what is known of it, if anything, and what fields of it were before they grew."""
        cached, former = (None, {}) if self._file is None else read_cache(self._file)
        stated = self._stated() if self._is_in_state else None
        return merge_schemas(cached or {}, stated or {}) or None, former

    def write(self, schema: Mapping[str, Any] | None, former: Mapping[str, Sequence[Any]]) -> None:
        """Write it to the file, where there is one to be; the state takes it with the next STATE."""
        if self._file is None:
            return
        problem = write_cache(self._file, self._stream, schema, former)
        if problem is None or self._is_in_state:
            return
        self._is_in_state = self._may_be_in_state
        fate = (
            "the state keeps the schema from now on" if self._is_in_state else "the next run will infer again"
        )
        _logger.warning(
            "The schema cache %s cannot be written (%s); %s. Set `schema_cache` to a folder that can, or `infer.keep_in` to `state`.",
            self._file,
            problem,
            fate,
        )

    def for_state(self, schema: Mapping[str, Any] | None) -> Any:
        """Return what a STATE says of ``schema``, which is known as it is now; None: what the former one says."""
        if not self._is_in_state:
            return [] if self._found else None
        if schema is not None and schema is not self._seen:
            self._seen, self._written = schema, self._in_few_words(schema)
        return self._written

    @property
    def way_to_forget(self) -> str:
        """What to do to have it inferred anew."""
        return "" if self._file is None else f"remove {self._file} and "

    def _stated(self) -> dict[str, Any] | None:
        match self._found:
            case [origin, dict(words)] if origin == self._origin:
                try:
                    fields = from_words(words)
                except ValueError:
                    _logger.warning(
                        "What the state says of the schema of stream %s cannot be read; it is inferred anew.",
                        self._stream,
                    )
                else:
                    return {"type": "object", "properties": fields["properties"]}
        return None

    def _in_few_words(self, schema: Mapping[str, Any]) -> Any:
        words = in_words({"type": ["null", "object"], "properties": schema.get("properties", {})})
        size = len(msgspec.json.encode(words))
        if size <= _MOST_BYTES:
            return [self._origin, words]
        _logger.warning(
            "The schema of stream %s is too large for the state (%d bytes, of %d); a run without a cache asks the API for first pages "
            "again. Declare it in `schema`, or have `schema_cache` on a disk that stays.",
            self._stream,
            size,
            _MOST_BYTES,
        )
        return [] if self._found else None
