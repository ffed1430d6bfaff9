"""`avro` of a stream: how Avro files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_files.settings import setting
from tap_files.settings.parquet import INFINITY

__all__ = ["AVRO", "AvroSettings", "avro_settings"]

AVRO = setting.group(
    "How Avro is read. Needs `format` `avro`, and `pip install 'singerkit[avro]'`.", {"infinity": INFINITY}
)


@dataclass(frozen=True)
class AvroSettings:
    """`avro` of a stream."""

    infinity: str = "fail"


def avro_settings(said: Mapping[str, Any], _path: str = "") -> AvroSettings:
    """Return what the section says, of a config that fits its schema."""
    return AvroSettings(**said)
