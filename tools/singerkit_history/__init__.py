"""`singerkit history`: what former runs have come to."""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit")
