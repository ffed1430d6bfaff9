"""How a target says that values of a batch do not fit where they are to go (`Loader.write`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["DoesNotFit", "Misfit"]


@dataclass(frozen=True)
class Misfit:
    """A value that the store cannot hold: the place of its row in the batch, its field, and why, without the value."""

    row: int
    field: str
    reason: str


class DoesNotFit(Exception):
    """Values of a batch cannot be held; nothing of the batch was written."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__(misfits[0].reason)
        self.misfits = misfits
