"""What a run has come to, told to those who watch: Prometheus, StatsD, a webhook, OpenLineage."""
