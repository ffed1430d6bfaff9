"""tap-acme: what is read, from where, and how a row gets out.

The path of a row: `tap.py` (settings) -> `store.py` (the source) -> `streams.py` (pages) -> `singerkit_tap` (lines).
"""

from singerkit_shell.imports import begin_importing

begin_importing("tap-acme")
