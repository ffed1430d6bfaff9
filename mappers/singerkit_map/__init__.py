"""Named operations on the records of a stream, between tap and target or inside a target; see docs/architecture.md."""
