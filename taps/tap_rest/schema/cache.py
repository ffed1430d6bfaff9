"""The inferred schema of a stream in a file, so that later runs, and `--discover`, know it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import ConfigurationError
from tap_rest.config import ApiSettings
from tap_rest.settings.stream import StreamSettings

__all__ = ["cache_file", "read_cache", "source_of", "write_cache"]

_logger = logging.getLogger("tap-rest")


def cache_file(settings: StreamSettings, api: ApiSettings) -> Path:
    """Return the file of a stream: its name for people, a hash of what it was inferred from for certainty."""
    source = json.dumps([api.base_url, settings.name, settings.path, *source_of(settings)])
    digest = hashlib.sha256(source.encode()).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", settings.name)[:60]
    return _cache_folder(api) / f"{readable}-{digest}.json"


def source_of(settings: StreamSettings) -> list[Any]:
    """Return what, beside the place of a stream, decides which records its schema is inferred from."""
    shape = settings.explode and msgspec.to_builtins(settings.explode)
    others = [settings.copied, [*settings.for_each], shape, settings.jmespath]
    return [settings.records, settings.copies, *filter(None, others)]


def _cache_folder(api: ApiSettings) -> Path:
    if api.schema_cache:
        return Path(api.schema_cache).expanduser()
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "singerkit" / "tap-rest"


def read_cache(file: Path) -> tuple[dict[str, Any] | None, dict[str, list[Any]]]:
    """Return the schema, if there is one, and what fields of it were before they grew."""
    if not os.path.exists(file):  # Path.exists raises where a folder may not be searched
        return None, {}
    try:
        cache = read_json_object(str(file), "schema cache")
    except ConfigurationError:
        cache = {}
    schema, former = cache.get("schema"), cache.get("former", {})
    if (
        not isinstance(schema, dict)
        or not isinstance(former, dict)
        or not all(isinstance(props, list) for props in former.values())
    ):
        _logger.warning("The schema cache %s cannot be read and is made anew.", file)
        return None, {}
    return schema, former


def write_cache(
    file: Path, stream: str, schema: Mapping[str, Any] | None, former: Mapping[str, Sequence[Any]]
) -> str | None:
    """Write the file at once or not at all; return why it cannot be, if so."""
    text = json.dumps({"stream": stream, "schema": schema, "former": former}, indent=1)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=file.parent, suffix=".tmp", delete=False
        ) as temporary:
            temporary.write(text)
        os.replace(temporary.name, file)
    except OSError as error:
        return error.strerror or "no reason given"
    return None
