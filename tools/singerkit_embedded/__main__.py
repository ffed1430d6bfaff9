"""The command ``python -m singerkit_embedded``."""

from __future__ import annotations

import sys

from singerkit_embedded.server import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
