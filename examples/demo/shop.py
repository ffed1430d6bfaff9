"""The source of `make demo-log`: a shop in a PostgreSQL of its own, and clerks who work in it."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

from singerkit_embedded import server as embedded

__all__ = ["KEYS", "Clerks", "build", "rows_of", "serving"]

KEYS = {"customers": ("id",), "products": ("sku",), "orders": ("id",), "items": ("order_id", "sku")}
"""Table -> primary key."""

_BREATH_SECONDS = 0.005


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Start a server with `wal_level = logical` in ``folder``; yield its URI."""
    with embedded.start(folder, database="shop") as server, _connected(server.uri) as cursor:
        cursor.execute("ALTER SYSTEM SET wal_level = 'logical'")
    with embedded.start(folder, database="shop") as server:  # it had to be started anew
        yield server.uri


def build(uri: str, orders: int) -> None:
    with _connected(uri) as cursor:
        cursor.execute("SELECT set_config('shop.orders', %s, false)", (str(orders),))
        cursor.execute(Path(__file__).with_name("shop.sql").read_text("utf-8"))


def rows_of(uri: str, table: str) -> list[dict[str, Any]]:
    """Return the rows in the order of the key, numbers as Decimal, moments in UTC."""
    with _connected(uri) as cursor:
        cursor.execute("SET TimeZone = 'UTC'")
        order = ", ".join(f'{column} COLLATE "C"' if column == "sku" else column for column in KEYS[table])
        cursor.execute(f"SELECT * FROM shop.{table} ORDER BY {order}")
        return [dict(row) for row in cursor.fetchall()]


@contextlib.contextmanager
def _connected(uri: str) -> Iterator[Any]:
    with contextlib.closing(psycopg2.connect(uri)) as connection:
        connection.autocommit = True
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            yield cursor


class Clerks:
    """Threads that place, pay, ship and cancel orders, change prices, and sometimes roll back, until told to stop.

    `changed` counts the rows that they have inserted, updated and deleted and have committed, by table and kind.
    """

    def __init__(self, uri: str, clerks: int = 3, seed: int = 14) -> None:
        self.changed: Counter[tuple[str, str]] = Counter()
        self._uri = uri
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(random.Random(seed + n),), daemon=True)
            for n in range(clerks)
        ]
        self._error: BaseException | None = None

    def __enter__(self) -> Clerks:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _work(self, chance: random.Random) -> None:
        errands = (_place, _place, _place, _pay, _pay, _ship, _cancel, _reprice, _greet)
        try:
            with contextlib.closing(psycopg2.connect(self._uri)) as connection:
                while not self._closing.is_set():
                    done: Counter[tuple[str, str]] = Counter()
                    with connection.cursor() as cursor:
                        chance.choice(errands)(cursor, chance, done)
                    if chance.random() < 0.05:
                        connection.rollback()
                    else:
                        connection.commit()
                        with self._lock:
                            self.changed += done
                    time.sleep(_BREATH_SECONDS)
        except psycopg2.Error as error:
            self._error = error


def _place(cursor: Any, chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    cursor.execute(
        "INSERT INTO shop.orders (customer_id) VALUES (%s) RETURNING id", (chance.randint(1, 20_000),)
    )
    (order,) = cursor.fetchone()
    skus = sorted({f"sku-{chance.randint(1, 500)}" for _ in range(3)})  # in one order: no deadlocks
    for sku in skus:
        cursor.execute(
            "UPDATE shop.products SET stock = stock - 1 WHERE sku = %s RETURNING %s::bigint, sku, 1, price",
            (sku, order),
        )
        cursor.execute("INSERT INTO shop.items VALUES (%s, %s, %s, %s)", cursor.fetchone())
    done["orders", "inserted"] += 1
    done["items", "inserted"] += len(skus)
    done["products", "updated"] += len(skus)


def _pay(cursor: Any, chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    cursor.execute(
        "UPDATE shop.orders SET status = 'paid' WHERE id = %s AND status = 'placed'",
        (_order(cursor, chance),),
    )
    done["orders", "updated"] += cursor.rowcount


def _ship(cursor: Any, chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    parcel = psycopg2.extras.Json({"carrier": "post", "weight": chance.randint(100, 9_999) / 1000})
    cursor.execute(
        "UPDATE shop.orders SET status = 'shipped', shipping = %s WHERE id = %s",
        (parcel, _order(cursor, chance)),
    )
    done["orders", "updated"] += cursor.rowcount


def _cancel(cursor: Any, chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    order = _order(cursor, chance)
    cursor.execute("SELECT FROM shop.orders WHERE id = %s FOR UPDATE", (order,))
    cursor.execute("DELETE FROM shop.items WHERE order_id = %s", (order,))
    done["items", "deleted"] += cursor.rowcount
    cursor.execute("DELETE FROM shop.orders WHERE id = %s", (order,))
    done["orders", "deleted"] += cursor.rowcount


def _reprice(cursor: Any, chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    cursor.execute(
        "UPDATE shop.products SET price = price + 0.01 WHERE sku = %s", (f"sku-{chance.randint(1, 500)}",)
    )
    done["products", "updated"] += cursor.rowcount


def _greet(cursor: Any, _chance: random.Random, done: Counter[tuple[str, str]]) -> None:
    cursor.execute("INSERT INTO shop.customers (name) VALUES ('somebody new')")
    done["customers", "inserted"] += 1


def _order(cursor: Any, chance: random.Random) -> int:
    """Return the number of an order, of the newer ones above all; it may have been cancelled."""
    cursor.execute("SELECT last_value FROM shop.orders_id_seq")
    (last,) = cursor.fetchone()
    return chance.randint(last // 2, last)
