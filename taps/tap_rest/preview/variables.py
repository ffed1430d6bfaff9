"""Names of variables in a drafted config: what they are of, behind the name of the API."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["prefix_of", "variable"]

_DULL = ("api", "www", "com")


def prefix_of(url: str, title: str = "") -> str:
    """Return what names of variables begin with: the name of the host, else the first word of a title."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    labels = [label for label in host.split(".") if label not in _DULL and "$" not in label]
    names = (
        [*labels[-2:-1], *labels[:1], *title.split()[:1]]
        if len(labels) > 1 or "$" not in host
        else title.split()[:1]
    )
    plain = (re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") for name in names)
    return next((name for name in plain if name[:1].isalpha()), "API")


def variable(prefix: str, name: str) -> str:
    """Return how a config says that a variable stands in its place."""
    plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
    return f"${{{prefix}_{plain}}}"
