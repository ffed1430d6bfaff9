"""From the beginning of a path, `s3://bucket` or `sftp://host`, to the place that it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_files.places.contract import Place
from tap_files.settings.storage import patience_of

__all__ = ["SCHEMES", "place_of", "taken_apart"]

SCHEMES = ("s3", "gs", "az", "sftp", "http", "https", "hdfs")


def taken_apart(path: str) -> tuple[str, str] | None:
    """Return the address of the place of a path, and what stands behind its `/`; None: it is a path of this machine.

    `?`, `#` and `%` are letters of names here, so that nothing is taken apart as a URL is.

    Raises:
        ValueError: no place here has such a scheme, or a password stands in it; the text says so.
    """
    scheme, found, rest = path.partition("://")
    if not found or not scheme.isalnum() or scheme.lower() == "file":
        return None
    if scheme.lower() not in SCHEMES:
        known = ", ".join(f"`{one}://`" for one in SCHEMES)
        raise ValueError(
            f"Expected a path of this machine or one that begins with {known}, got `{scheme}://`"
        )
    host, _, name = rest.partition("/")
    _check_shows_no_secret(scheme.lower(), host)
    return f"{scheme.lower()}://{host}", name


def _check_shows_no_secret(scheme: str, host: str) -> None:
    user, _, _ = host.rpartition("@")
    if user and scheme in ("http", "https"):
        raise ValueError(
            "Expected a path without user and password, which would be shown: write them at `storage.http`"
        )
    if ":" in user:
        raise ValueError(
            f"Expected `{scheme}://user@host`, got a path with a password, which would be shown: write it at `storage.{scheme}`"
        )


def place_of(address: str, storage: Mapping[str, Any]) -> Place:
    """Return the place at the first half of `taken_apart`; nothing is asked of it yet.

    Raises:
        ConfigurationError: it cannot be such a place, or a package of it is not installed.
        NotAuthorisedError: there are no credentials for it.
    """
    scheme, _, host = address.partition("://")
    patience = patience_of(storage)
    if scheme in ("s3", "gs", "az"):
        from tap_files.places import objectstores

        section, make = {
            "s3": ("s3", objectstores.s3_place),
            "gs": ("gcs", objectstores.gcs_place),
            "az": ("azure", objectstores.azure_place),
        }[scheme]
        return make(host, storage.get(section, {}), patience)
    if scheme == "sftp":
        from tap_files.places.sftp import sftp_place

        return sftp_place(host, storage.get("sftp", {}), patience)
    if scheme in ("http", "https"):
        from tap_files.places.http import Http

        return Http(address, storage.get("http", {}), patience)
    from tap_files.places.hdfs import hdfs_place

    return hdfs_place(host, storage.get("hdfs", {}), patience)
