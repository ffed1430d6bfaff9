"""`timeout`, `retries`, `limits` and `infer`: how long, how often and how much."""

from __future__ import annotations

import msgspec

from tap_rest.settings import setting

__all__ = ["INFER", "LIMITS", "RETRIES", "TIMEOUT", "InferSettings", "Limits", "Retries", "Timeout"]

TIMEOUT = setting.group(
    "Time limits of one request, in seconds.",
    {
        "connect": setting.seconds("To connect.", 10),
        "read": setting.seconds("Without a byte.", 60),
        "response": setting.seconds("For the whole response.", 600),
    },
)


class Timeout(msgspec.Struct, frozen=True):
    """Seconds."""

    connect: float = 10
    read: float = 60
    response: float = 600


RETRIES = setting.group(
    "What is done about rate limits, 5xx, 202, lost connections and cut bodies.",
    {
        "tries": setting.count("Requests for one page in all.", default=6, maximum=1000),
        "first_wait": setting.seconds(
            "First wait, in seconds; it doubles each time, with jitter. Where a rate limit is met, or a result is not ready (202), four times "
            "that, so that six tries last longer than a minute.",
            1,
        ),
        "longest_wait": setting.seconds("Longest single wait, in seconds, whatever an answer asks for.", 300),
        "total": setting.seconds("Give up a page after this many seconds.", 1800),
    },
)


class Retries(msgspec.Struct, frozen=True):
    """Tries in all, and seconds."""

    tries: int = 6
    first_wait: float = 1
    longest_wait: float = 300
    total: float = 1800


LIMITS = setting.group(
    "Limits against endless answers.",
    {
        "response_bytes": setting.count(
            "Bytes of one body after decompression. Default: 4 GiB of one that is read from disk, 256 MiB of one that is read as a "
            "whole, in memory."
        ),
        "pages": setting.count("Pages of one stream, or of one parent of it.", default=100_000),
        "redirects": {
            "type": "integer",
            "minimum": 0,
            "default": 5,
            "description": "Redirects of one request.",
        },
    },
)


class Limits(msgspec.Struct, frozen=True):
    """Bytes after decompression, pages, redirects."""

    response_bytes: int | None = None
    pages: int = 100_000
    redirects: int = 5


INFER = setting.group(
    "How far the schema of a stream without `schema` is inferred before it is first sent.",
    {
        "pages": setting.count("Pages read.", default=5),
        "records": setting.count("Records read.", default=5000),
        "format_values": setting.count(
            "So many values of a field have to be a date-time, date, time or uuid, and none anything else, before it is declared as one; "
            "with fewer it is text.",
            default=10,
        ),
        "keep_in": setting.text(
            "Where the inferred schemas are kept between runs: in the folder `schema_cache`, or in the state, for containers without a disk "
            "that stays. Default: in the folder, and in the state where the folder cannot be written, or does not have it any more in a later run.",
            enum=["folder", "state"],
        ),
    },
)


class InferSettings(msgspec.Struct, frozen=True):
    """How many pages and records a first inference reads, from how many values on a text has a format, and who remembers."""

    pages: int = 5
    records: int = 5000
    format_values: int = 10
    keep_in: str | None = None
