"""Whether keys are greater than all that came before, as those of most streams are: then none of them has to be looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

__all__ = ["KeyBounds"]


class KeyBounds:
    """The greatest of the keys noted, of each length: numbers of one length compare as their texts do, and of any other keys it is an order, too."""

    def __init__(self) -> None:
        self._greatest: dict[int, bytes] = {}
        self._are_any = True
        """Whether bounds may tell anything: not of keys of several parts, nor of such as come in no order."""

    def note(self, keys: Sequence[bytes | tuple[bytes, ...]]) -> None:
        """Note keys that may come again, of one kind."""
        self._are_any = self._are_any and isinstance(keys[0], bytes)
        if not self._are_any:
            return
        texts = cast("Sequence[bytes]", keys)
        lengths = set(map(len, texts))
        for length in lengths:
            own = texts if len(lengths) == 1 else [text for text in texts if len(text) == length]
            self._greatest[length] = max(self._greatest.get(length, b""), max(own))

    def are_passed(self, keys: Sequence[bytes | tuple[bytes, ...]]) -> bool:
        """Tell whether all ``keys`` are certainly none of those noted."""
        lengths = set(map(len, keys)) if self._are_any else set()
        if len(lengths) != 1:
            return False
        greatest = self._greatest.get(lengths.pop())
        self._are_any = greatest is None or min(cast("Sequence[bytes]", keys)) > greatest
        return self._are_any
