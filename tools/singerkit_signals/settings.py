"""The section `signals` of a file of pipelines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from singerkit_shell.secrets import redactor
from singerkit_shell.validate import line_of

__all__ = ["SCHEMA", "Signals", "problems_of", "signals_of"]

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1, "secret": False}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "metrics_folder": {
            **_TEXT,
            "description": "A folder for files of metrics, one a pipeline, as the textfile collector of Prometheus' node_exporter reads them.",
        },
        "statsd": {**_TEXT, "description": "HOST:PORT to which metrics are sent by UDP."},
        "webhook": {
            "type": "string",
            "minLength": 1,
            "secret": True,
            "description": "A URL to which each run is posted, as JSON.",
        },
        "openlineage": {
            "type": "string",
            "minLength": 1,
            "secret": True,
            "description": "A URL to which the events of each run are posted, or a file to which they are appended, a line each.",
        },
        "opentelemetry": {
            "type": "string",
            "minLength": 1,
            "secret": True,
            "description": "The URL of a collector (`http://host:4318`) to which each run is posted as OTLP: a span, and metrics. Needs the extra `opentelemetry`.",
        },
    },
    "description": "Who is told what each run of a pipeline has come to.",
}
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Signals:
    """Who is told; None: not that one. Paths are absolute."""

    metrics_folder: str | None = None
    statsd: tuple[str, int] | None = None
    webhook: str | None = None
    openlineage: str | None = None
    opentelemetry: str | None = None


def problems_of(said: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a schema cannot say."""
    problems = []
    statsd = said.get("statsd")
    found = None if statsd is None else _ADDRESS.fullmatch(statsd)
    if statsd is not None and (found is None or not 0 < int(found["port"]) < 65536):
        problems.append(
            f"Expected `HOST:PORT` at `signals.statsd`{line_of('signals.statsd')}, got something else"
        )
    for place in ("webhook", "opentelemetry"):
        if (url := said.get(place)) is not None and not is_url(url):
            problems.append(
                f"Expected an http or https URL at `signals.{place}`{line_of(f'signals.{place}')}, got something else"
            )
    openlineage = said.get("openlineage")
    if openlineage is not None and "://" in openlineage and not is_url(openlineage):
        problems.append(
            f"Expected an http or https URL, or a file, at `signals.openlineage`{line_of('signals.openlineage')}, got another URL"
        )
    return problems


def is_url(text: str) -> bool:
    """Whether a text is a URL to which something can be posted."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def signals_of(said: Mapping[str, Any] | None, folder: str) -> Signals | None:
    """Return what a section without problems says; paths are meant from ``folder``."""
    if said is None:
        return None
    for url in map(said.get, ("webhook", "openlineage", "opentelemetry")):
        if url is not None and is_url(url):
            redactor.add(url)
    statsd, metrics, openlineage = said.get("statsd"), said.get("metrics_folder"), said.get("openlineage")
    found = _ADDRESS.fullmatch(statsd or "")
    return Signals(
        None if metrics is None else os.path.join(folder, metrics),
        None if found is None else (found["host"].strip("[]"), int(found["port"])),
        said.get("webhook"),
        openlineage if openlineage is None or is_url(openlineage) else os.path.join(folder, openlineage),
        said.get("opentelemetry"),
    )
