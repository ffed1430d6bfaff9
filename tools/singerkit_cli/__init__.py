"""`singerkit`: one command with a verb for each thing that is no part of a pipe."""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit")
