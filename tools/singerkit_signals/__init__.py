"""What a run has come to, told to those who watch: Prometheus, StatsD, a webhook, OpenLineage."""

from singerkit_shell.imports import begin_importing

begin_importing("singerkit")
