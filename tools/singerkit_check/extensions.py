"""ACTIVATE_VERSION, BATCH and REPLACE: what singer-sdk, others and singerkit send beside the messages of the specification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_check.findings import Findings, shown
from singerkit_check.records import Stream
from singerkit_check.values import kind_of

__all__ = ["check_activate", "check_batch", "check_replace"]

_FORMATS = ("jsonl", "parquet", "arrow")
_COMPRESSIONS = (None, "none", "gzip", "gz", "zstd", "snappy")


def check_activate(message: Mapping[str, Any], stream: Stream, line: int, findings: Findings) -> None:
    """Check an ACTIVATE_VERSION of ``stream``."""
    version = message.get("version")
    if isinstance(version, bool) or not isinstance(version, int):
        found = kind_of(version) if "version" in message else "none"
        findings.add(
            "activate-shape",
            line,
            f"Expected `version`, an integer, got {found} in ACTIVATE_VERSION of {shown(stream.name)}",
            stream.name,
        )
        return
    if not stream.rows:
        findings.add(
            "activate-early",
            line,
            f"Expected ACTIVATE_VERSION of {shown(stream.name)} after the rows of its version, got it before any: a "
            "target that deletes would be left with none if the run is cut",
            stream.name,
        )
    elif version not in stream.versions:
        found = "another one" if any(known is not None for known in stream.versions) else "none"
        findings.add(
            "activate-other",
            line,
            f"Expected the version of ACTIVATE_VERSION in the rows of {shown(stream.name)}, got {found}: a target that "
            "follows it would remove them",
            stream.name,
        )


def check_batch(message: Mapping[str, Any], stream: Stream, line: int, findings: Findings) -> None:
    """Check a BATCH of ``stream``; its files are not opened."""

    def add(check: str, sentence: str) -> None:
        findings.add(check, line, f"{sentence} in a BATCH of {shown(stream.name)}", stream.name)

    if stream.declared is None:
        add("batch-early", "Expected a SCHEMA before it, got none")
    encoding, manifest = message.get("encoding"), message.get("manifest")
    form = encoding.get("format") if isinstance(encoding, dict) else None
    if not isinstance(form, str):
        add("batch-shape", "Expected `encoding`, an object with a `format`, got something else")
    elif isinstance(encoding, dict):
        if form not in _FORMATS:
            add("batch-format", f"Expected one of {', '.join(_FORMATS)} as `format`, got {shown(form)}")
        compression = encoding.get("compression")
        if compression not in _COMPRESSIONS:
            found = shown(compression) if isinstance(compression, str) else kind_of(compression)
            add("batch-compression", f"Expected a `compression` that readers know, got {found}")
    if not isinstance(manifest, list) or not all(isinstance(path, str) for path in manifest):
        add("batch-shape", "Expected `manifest`, a list of texts, got something else")


def check_replace(message: Mapping[str, Any], stream: Stream, line: int, findings: Findings) -> None:
    """Check a REPLACE of ``stream``, which targets of singerkit know."""

    def add(check: str, sentence: str) -> None:
        findings.add(check, line, f"{sentence} in a REPLACE of {shown(stream.name)}", stream.name)

    declared = stream.declared
    if declared is None:
        add("replace-early", "Expected a SCHEMA before it, got none")
    where = message.get("where")
    if not isinstance(where, dict) or not where:
        found = "an empty one" if where == {} else kind_of(where) if "where" in message else "none"
        add("replace-shape", f"Expected `where`, an object of one or more properties, got {found}")
        return
    for name, value in where.items():
        if declared is not None and name not in declared.properties:
            add("replace-shape", "Expected properties of the schema at `where`, got another one")
        elif isinstance(value, dict | list):
            add(
                "replace-shape",
                f"Expected a text, a number, a boolean or null at `where.{name}`, got {kind_of(value)}",
            )
