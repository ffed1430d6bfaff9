"""The formats, one row each: the names that files of it have, its section of the config, and what reads it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.formats.contract import Bytes, Reader, Spot
from tap_files.settings.csv import CSV, csv_problems, csv_settings
from tap_files.settings.fixedwidth import FIXED_WIDTH, fixed_width_problems, fixed_width_settings

__all__ = ["FORMATS", "Format", "format_of_name"]


@dataclass(frozen=True)
class Format:
    """A format. ``endings``: of names that tell it, in small letters; the section of a stream has the name of the format.

    ``section``: its JSON Schema; ``settings_of``: what `reader_of` is given, of the section and the pattern of the path; ``problems``: what is
    wrong with a section that its schema allows. ``module``: has `reader_of`, and is imported when a file is read. ``is_text``: whether its
    values are texts that `typing` makes numbers of.
    """

    name: str
    endings: tuple[str, ...]
    section: Mapping[str, Any]
    settings_of: Callable[[Mapping[str, Any], str], Any]
    problems: Callable[[Mapping[str, Any], str], Iterable[str]]
    module: str
    grows: bool = False
    """Whether files of it are written on and on, so that a last line without its end waits, unless `grows` of the stream says otherwise."""

    def reader(self, settings: Any, content: Bytes, start: Spot) -> Reader:
        """Return what reads one file."""
        reader: Reader = importlib.import_module(self.module).reader_of(settings, content, start)
        return reader


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format("csv", (".csv", ".tsv", ".tab"), CSV, csv_settings, csv_problems, "tap_files.formats.csvtext"),
        Format(
            "fixed_width",
            (),
            FIXED_WIDTH,
            fixed_width_settings,
            fixed_width_problems,
            "tap_files.formats.fixedwidth",
        ),
    )
}


def format_of_name(path: str) -> Format | None:
    """Return the format that the ending of a path tells; None: it tells none."""
    name = path.lower()
    return next((one for one in FORMATS.values() if name.endswith(one.endings)), None)
