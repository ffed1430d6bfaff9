"""Streams that are read once for each of several contexts: of a parent's records, or of a list."""
