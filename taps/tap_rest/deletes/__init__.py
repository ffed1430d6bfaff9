"""Rows that are gone at the source."""
