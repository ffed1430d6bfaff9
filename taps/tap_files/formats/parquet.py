"""Parquet: reads row groups, a few rows at once, and makes JSON of columns (`rowgroups.py`)."""

from __future__ import annotations

from singerkit_shell.extras import imported
from tap_files.formats.contract import Bytes, Reader, Spot
from tap_files.settings.parquet import ParquetSettings

__all__ = ["reader_of"]


def reader_of(settings: ParquetSettings, content: Bytes, start: Spot) -> Reader:
    """Return what reads one file from a record on.

    Raises:
        ConfigurationError: pyarrow is not installed.
        UnreadableFile: it is no Parquet, or of a kind that cannot be read.
    """
    imported("pyarrow", "Parquet", "arrow", "tap-files")
    from tap_files.formats.rowgroups import RowGroups

    return RowGroups(settings, content.to_disk(), start.row)
