"""Part of singerkit; see docs/architecture.md."""
