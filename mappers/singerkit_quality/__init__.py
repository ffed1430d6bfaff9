"""Rules that a unit is held against before it is committed; see docs/architecture.md."""
