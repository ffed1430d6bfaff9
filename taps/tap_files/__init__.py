"""The executable `tap-files`: what lies in folders and buckets, as streams.

`docs/architecture.md` says which file does what.
"""

from singerkit_shell.imports import begin_importing

begin_importing("tap-files")
