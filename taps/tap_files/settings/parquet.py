"""`parquet` of a stream: how Parquet files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting

__all__ = ["INFINITY", "PARQUET", "ParquetSettings", "parquet_settings"]

INFINITY = setting.name(
    "What becomes of NaN and infinite numbers, which JSON does not have: the run ends (65), or null is sent, with a warning that counts them.",
    enum=["fail", "null"],
    default="fail",
)

PARQUET = setting.group(
    "How Parquet is read. Needs `format` `parquet`, and `pip install 'singerkit[arrow]'`.",
    {"infinity": INFINITY},
)


@dataclass(frozen=True)
class ParquetSettings:
    """`parquet` of a stream."""

    infinity: str = "fail"


def parquet_settings(said: Mapping[str, Any], _path: str = "") -> ParquetSettings:
    """Return what the section says, of a config that fits its schema."""
    return ParquetSettings(**said)
