"""The example connector, for what of the wire shows only over two runs of a tap; and which lines the exact path has judged."""

from __future__ import annotations

from typing import Any

import pytest
from taps.shared.conftest import example

from singerkit_wire.exact import ExactDecoder

__all__ = ["example", "judged_exactly"]


@pytest.fixture
def judged_exactly(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that have taken the exact path."""
    lines: list[bytes] = []
    decode = ExactDecoder.decode

    def counted(self: ExactDecoder, line: bytes) -> Any:
        lines.append(line)
        return decode(self, line)

    monkeypatch.setattr(ExactDecoder, "decode", counted)
    return lines
