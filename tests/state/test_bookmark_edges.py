"""Edges of the bookmarks."""

from __future__ import annotations
