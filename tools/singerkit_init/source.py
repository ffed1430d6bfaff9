"""The source of the example: a small shop in a file of SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

__all__ = ["write_shop"]

_SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, updated_at TEXT NOT NULL);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), item TEXT NOT NULL,
    quantity INTEGER NOT NULL, price NUMERIC, updated_at TEXT NOT NULL
);
CREATE TABLE visits (page TEXT NOT NULL, at TEXT NOT NULL);
INSERT INTO customers VALUES
    (1, 'Ada', 'London', '2026-01-01T08:00:00Z'),
    (2, 'Grace', 'New York', '2026-01-01T09:00:00Z'),
    (3, 'Linus', NULL, '2026-01-02T07:30:00Z');
INSERT INTO orders VALUES
    (1, 1, 'pen', 2, 1.5, '2026-01-02T10:00:00Z'),
    (2, 1, 'ink', 1, 3, '2026-01-02T10:00:00Z'),
    (3, 2, 'paper', 500, 0.02, '2026-01-03T12:15:00Z'),
    (4, 3, 'desk', 1, 249.99, '2026-01-04T16:45:00Z');
INSERT INTO visits VALUES
    ('/', '2026-01-01T08:00:00Z'), ('/', '2026-01-01T08:00:00Z'), ('/pens', '2026-01-01T08:01:00Z'),
    ('/', '2026-01-04T16:40:00Z'), ('/desks', '2026-01-04T16:41:00Z');
"""


def write_shop(path: Path) -> None:
    """Make the file, which is not there yet."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(_SHOP)
