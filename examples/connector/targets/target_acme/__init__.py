"""target-acme: what is loaded, into what, and what makes it exactly once.

The path of a row: `target.py` (settings) -> `singerkit_target` (wire, units of commit) -> `rows.py` (a batch as the store
takes it) -> `loader.py` (what the commit loop calls) -> `store.py` (the store).
"""

from singerkit_shell.imports import begin_importing

begin_importing("target-acme")
