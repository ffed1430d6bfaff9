"""Named operations on the records of a stream, between tap and target or inside a target; see docs/architecture.md."""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit-map")
