"""`storage`: how the places of files are reached, one section a kind, and how long and how often they are tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_files.settings import setting
from tap_files.settings.storage_hdfs import HDFS, hdfs_problems
from tap_files.settings.storage_http import HTTP, http_problems
from tap_files.settings.storage_objects import AZURE, GCS, S3, objects_problems
from tap_files.settings.storage_sftp import SFTP, sftp_problems

__all__ = ["STORAGE", "Patience", "patience_of", "storage_problems"]

STORAGE: Mapping[str, Any] = setting.group(
    "How places that are no disk of this machine are reached.",
    {
        "s3": S3,
        "gcs": GCS,
        "azure": AZURE,
        "sftp": SFTP,
        "http": HTTP,
        "hdfs": HDFS,
        "timeout": setting.group(
            "Time limits of one request, in seconds.",
            {
                "connect": setting.seconds("To connect.", 10),
                "read": setting.seconds("Without a byte.", 60),
            },
        ),
        "retries": setting.group(
            "What is done about lost connections, 429 and 5xx.",
            {
                "tries": setting.count("Requests for one thing in all.", 6, 100),
                "first_wait": setting.seconds("First wait, in seconds; it doubles each time.", 0.5),
                "longest_wait": setting.seconds("Longest single wait, in seconds.", 30),
                "total": setting.seconds("Give up after this many seconds.", 300),
            },
        ),
    },
)


class Patience(msgspec.Struct, frozen=True):
    """Seconds, and tries in all."""

    connect: float = 10
    read: float = 60
    tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 30
    total: float = 300

    def wait_after(self, tries: int) -> float:
        """Return how many seconds to wait after so many tries."""
        return min(self.longest_wait, self.first_wait * 2.0 ** min(tries - 1, 30))


def patience_of(storage: Mapping[str, Any]) -> Patience:
    return msgspec.convert({**storage.get("timeout", {}), **storage.get("retries", {})}, Patience)


def storage_problems(storage: Mapping[str, Any]) -> Iterator[str]:
    """Say what a config cannot say here although its schema allows it."""
    for store in ("s3", "gcs", "azure"):
        if store in storage:
            yield from objects_problems(store, storage[store])
    yield from sftp_problems(storage.get("sftp", {}))
    yield from http_problems(storage.get("http", {}))
    yield from hdfs_problems(storage.get("hdfs", {}))
