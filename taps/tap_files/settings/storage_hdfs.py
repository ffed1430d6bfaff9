"""`storage.hdfs`: as whom HDFS is read, and what Hadoop's own files would say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tap_files.settings import setting

__all__ = ["HDFS", "hdfs_problems"]

HDFS: Mapping[str, Any] = setting.group(
    "HDFS, for paths like `hdfs://namenode:9000/folder/*.csv`. Needs `pip install 'singerkit[hdfs]'`. A ticket of Kerberos is taken from where `kinit` puts it.",
    {
        "user": setting.name(
            "User to read as, where there is no Kerberos. Default: `HADOOP_USER_NAME`, else that of the system."
        ),
        "options": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "secret": False,
            "description": "Properties as in `core-site.xml` and `hdfs-site.xml`, those of several name nodes among them.",
        },
    },
)


def hdfs_problems(_said: Mapping[str, Any]) -> Iterator[str]:
    """Nothing: its schema says it all."""
    yield from ()
