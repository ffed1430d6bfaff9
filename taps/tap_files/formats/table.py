"""The formats, one row each: the names that files of it have, its section of the config, and what reads it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.formats.contract import Bytes, Reader, Spot
from tap_files.settings.avro import AVRO, avro_settings
from tap_files.settings.binary import BINARY, binary_settings
from tap_files.settings.csv import CSV, csv_problems, csv_settings
from tap_files.settings.fixedwidth import FIXED_WIDTH, fixed_width_problems, fixed_width_settings
from tap_files.settings.jsonfile import JSON, json_problems, json_settings
from tap_files.settings.jsonlines import JSONL, encoding_problems, jsonl_settings
from tap_files.settings.log import LOG, log_problems, log_settings
from tap_files.settings.parquet import PARQUET, parquet_settings
from tap_files.settings.xlsx import XLSX, xlsx_problems, xlsx_settings

__all__ = ["FORMATS", "Format", "format_of_name"]


@dataclass(frozen=True)
class Format:
    """A format. ``endings``: of names that tell it, in small letters; the section of a stream has the name of the format.

    ``section``: its JSON Schema; ``settings_of``: what `reader_of` is given, of the section and the pattern of the path; ``problems``: what is
    wrong with a section that its schema allows. ``module``: has `reader_of`, and is imported when a file is read. ``is_text``: whether
    files of it are text, as which no packed file may be read.
    """

    name: str
    endings: tuple[str, ...]
    section: Mapping[str, Any]
    settings_of: Callable[[Mapping[str, Any], str], Any]
    problems: Callable[[Mapping[str, Any], str], Iterable[str]]
    module: str
    is_text: bool = False
    grows: bool = False
    """Whether files of it are written on and on, so that a last line without its end waits, unless `grows` of the stream says otherwise."""

    def reader(self, settings: Any, content: Bytes, start: Spot) -> Reader:
        """Return what reads one file."""
        reader: Reader = importlib.import_module(self.module).reader_of(settings, content, start)
        return reader


def no_problems(_said: Mapping[str, Any], _place: str) -> Iterable[str]:
    """Of sections of which a JSON Schema says all."""
    return ()


FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(
            "csv",
            (".csv", ".tsv", ".tab"),
            CSV,
            csv_settings,
            csv_problems,
            "tap_files.formats.csvtext",
            is_text=True,
        ),
        Format(
            "fixed_width",
            (),
            FIXED_WIDTH,
            fixed_width_settings,
            fixed_width_problems,
            "tap_files.formats.fixedwidth",
            is_text=True,
        ),
        Format(
            "jsonl",
            (".jsonl", ".ndjson"),
            JSONL,
            jsonl_settings,
            encoding_problems,
            "tap_files.formats.jsonlines",
            is_text=True,
        ),
        Format(
            "log",
            (".log",),
            LOG,
            log_settings,
            log_problems,
            "tap_files.formats.loglines",
            is_text=True,
            grows=True,
        ),
        Format(
            "json",
            (".json", ".geojson"),
            JSON,
            json_settings,
            json_problems,
            "tap_files.formats.jsonfile",
            is_text=True,
        ),
        Format("parquet", (".parquet",), PARQUET, parquet_settings, no_problems, "tap_files.formats.parquet"),
        Format("avro", (".avro",), AVRO, avro_settings, no_problems, "tap_files.formats.avro"),
        Format(
            "xlsx",
            (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"),
            XLSX,
            xlsx_settings,
            xlsx_problems,
            "tap_files.formats.xlsx",
        ),
        Format("binary", (), BINARY, binary_settings, no_problems, "tap_files.formats.binary"),
    )
}


def format_of_name(path: str) -> Format | None:
    """Return the format that the ending of a path tells; None: it tells none."""
    name = path.lower()
    return next((one for one in FORMATS.values() if name.endswith(one.endings)), None)
