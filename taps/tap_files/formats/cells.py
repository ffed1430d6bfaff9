"""Rows as the bytes of their fields, in UTF-8 and in one list: whoever makes lines of them decodes nothing. Columns of texts for everybody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from singerkit_wire.columnlines import has_any

__all__ = ["CellColumns", "Cells"]

ESCAPED_QUOTE = b'\\"'


@dataclass(frozen=True, slots=True)
class Cells:
    """``width`` fields of each row, one row behind the other. None has a line end.

    ``is_escaped``: what JSON escapes is, which are quotes alone.
    """

    fields: list[bytes]
    width: int
    is_escaped: bool

    @property
    def count(self) -> int:
        return len(self.fields) // self.width

    def texts(self, number: int) -> list[str]:
        """Return a column, counted from 0, as text."""
        data = b"\n".join(self.fields[number :: self.width])
        if self.is_escaped:
            data = data.replace(ESCAPED_QUOTE, b'"')
        return data.decode().split("\n")


class CellColumns(Mapping[str, Sequence[str | None]]):
    """The columns of cells by name, decoded when they are asked for; ``nulls``: the fields that are null."""

    def __init__(self, names: Sequence[str], cells: Cells, nulls: frozenset[bytes]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self.cells, self.nulls = cells, nulls

    def fields(self, name: str) -> list[bytes]:
        """Return a column as it is written."""
        return self.cells.fields[self._numbers[name] :: self.cells.width]

    def __getitem__(self, name: str) -> Sequence[str | None]:
        texts = self.cells.texts(self._numbers[name])
        fields = self.fields(name)
        if not has_any(fields, self.nulls):
            return texts
        return [None if field in self.nulls else text for field, text in zip(fields, texts, strict=True)]

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
