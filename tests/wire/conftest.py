"""The example connector, for what of the wire shows only over two runs of a tap."""

from __future__ import annotations

from taps.shared.conftest import example

__all__ = ["example"]
