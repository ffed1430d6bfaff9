"""Part of singerkit; see docs/architecture.md."""

from singerkit_shell.imports import begin_importing

begin_importing("tap-rest", asks_http=True)
