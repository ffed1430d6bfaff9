"""target-jsonl: one JSON Lines file per stream, committed by the atomic rename of a manifest that holds the state.

The path of a row: `target.py` (settings) -> `names.py` (file names) -> `rows.py` (a batch as lines) ->
`files.py` (appending) -> `loader.py` (units of commit) -> `singerkit_state/manifest.py` (what is committed).
"""

from singerkit_shell.imports import begin_importing

begin_importing("target-jsonl")
