"""One spelling for texts that are the same to a reader: composed letters, blanks, case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = ["CASES", "FORMS", "Case", "Form", "Spelling"]

Form = Literal["nfc", "nfkc"]
Case = Literal["lower", "upper", "fold"]
FORMS: Mapping[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}
CASES: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "fold": str.casefold}
_BLANKS = re.compile(r"\s++")
_ROUNDS = 4
"""How often the steps are taken at most; a text that changes a third time is not known."""


class Spelling:
    """What is done to each text; what is not said is left as it is."""

    def __init__(
        self, form: Form | None, case: Case | None, *, trims: bool, one_blank: bool, empty_is_null: bool
    ) -> None:
        self._form, self._case, self._trims, self._one_blank, self._empty_is_null = (
            form,
            case,
            trims,
            one_blank,
            empty_is_null,
        )

    def of(self, text: str) -> str | None:
        """Return the spelling of a text, which is its own spelling; None of one that is empty, where that is asked for."""
        for _ in range(_ROUNDS):
            before, text = text, self._once(text)
            if text == before:
                break
        return None if not text and self._empty_is_null else text

    def _once(self, text: str) -> str:
        if self._one_blank:
            text = _BLANKS.sub(" ", text)
        if self._trims:
            text = text.strip()
        if self._case:
            text = CASES[self._case](text)
        return unicodedata.normalize(FORMS[self._form], text) if self._form else text
