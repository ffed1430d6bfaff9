"""Records of one stream in columns of JSON texts, as a map leaves them: whoever wants lines has them written, and a decoder needs none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

__all__ = ["Columns", "joined_columns"]


@dataclass(frozen=True, eq=False)
class Columns:
    """``fields``: for each field a `msgspec.Raw` of each record, or `UNSET` where it leaves the field out.

    What stands beside the records (`time_extracted`, `version`) is in ``beside``, in columns too, or the same for all in ``common``, as JSON with
    its comma. ``write`` makes RECORD lines of them, ``size`` is about how many bytes those are.
    """

    fields: Mapping[str, Sequence[Any]]
    count: int
    size: int
    write: Callable[[], bytes]
    common: bytes = b""
    beside: Mapping[str, Sequence[Any]] | None = None

    @cached_property
    def data(self) -> bytes:
        """The records as RECORD lines, each ended by a newline; written once."""
        return self.write()

    @cached_property
    def _lines(self) -> list[bytes]:
        return [line + b"\n" for line in self.data.split(b"\n")[:-1]]

    def part(self, start: int, end: int) -> Columns:
        """Return some of the records, that follow each other."""
        return Columns(
            {name: texts[start:end] for name, texts in self.fields.items()},
            end - start,
            self.size * (end - start) // self.count,
            lambda: b"".join(self._lines[start:end]),
            self.common,
            {name: texts[start:end] for name, texts in (self.beside or {}).items()},
        )


def joined_columns(parts: Sequence[Columns | None]) -> Columns | None:
    """Return records of one stream that follow each other as one; None: some are lines, or have other fields, or something else beside them."""
    first, *others = parts
    if first is None or first.beside:
        return None
    alike = [part for part in others if part is not None and _is_alike(part, first)]
    if len(alike) < len(others):
        return None
    all_parts = [first, *alike]
    return Columns(
        {name: list(chain.from_iterable(part.fields[name] for part in all_parts)) for name in first.fields},
        sum(part.count for part in all_parts),
        sum(part.size for part in all_parts),
        lambda: b"".join(part.data for part in all_parts),
        first.common,
    )


def _is_alike(part: Columns, other: Columns) -> bool:
    return not part.beside and part.common == other.common and part.fields.keys() == other.fields.keys()
