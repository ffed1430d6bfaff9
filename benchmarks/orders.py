"""Orders made with a seed: one pass writes them as a Singer file, as CSV for ``\\copy``, and as JSON rows.

An order has 12 columns: ids, strings, nullable integers, two-decimal numbers, booleans, two timestamps, a
text with non-ASCII. The nested variant adds an object and an array. ``updated_at`` ascends with ``id``, so
that the same rows serve as an incremental REST source.
"""

from __future__ import annotations

import json
import random
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

__all__ = ["COLUMNS", "NESTED_COLUMNS", "Files", "json_schema", "make", "offsets", "orders"]

SEED = 20261122
ROWS_PER_STATE = 100_000
COLUMNS = {
    "id": "bigint",
    "order_no": "text",
    "customer": "text",
    "note": "text",
    "quantity": "bigint",
    "coupon_id": "bigint",
    "price": "numeric",
    "total": "numeric",
    "paid": "boolean",
    "gift": "boolean",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
NESTED_COLUMNS = {"shipping": "jsonb", "items": "jsonb"}
_JSON_TYPES = {
    "bigint": {"type": ["null", "integer"]},
    "text": {"type": ["null", "string"]},
    "numeric": {"type": ["null", "number"]},
    "boolean": {"type": ["null", "boolean"]},
    "timestamptz": {"type": ["null", "string"], "format": "date-time"},
}
_SHIPPING = {
    "type": ["null", "object"],
    "properties": {
        "carrier": {"type": ["null", "string"]},
        "weight_kg": {"type": ["null", "number"]},
        "address": {
            "type": ["null", "object"],
            "properties": {"city": {"type": ["null", "string"]}, "zip": {"type": ["null", "string"]}},
        },
    },
}
_ITEMS = {
    "type": ["null", "array"],
    "items": {
        "type": "object",
        "properties": {
            "sku": {"type": ["null", "string"]},
            "qty": {"type": ["null", "integer"]},
            "price": {"type": ["null", "number"]},
        },
    },
}
_WORDS = re.findall(
    r"\S+",
    "please deliver after six the parcel is fragile thank you für Grüße an Zoë naïve café crème brûlée "
    "leave it with the neighbour at number twelve ring twice señor jalapeño東京 倉庫 привет спасибо "
    "gift wrap in blue paper call before arrival ✓ 😀 łódź smörgåsbord αβγ discount promised by phone",
)
_NAMES = re.findall(
    r"\S+",
    "Anna Björn Chloë Dmitri Eszter François Gülşen Håkon Ivan José Keiko Łukasz Mária Nguyễn Olga",
)


@dataclass(frozen=True)
class Files:
    """The same rows three times; ``rows`` are JSON objects with ``,\\n`` between them.

    Where something has ``changed``, it has in each row of so many.
    """

    count: int
    nested: bool
    singer: Path
    csv: Path
    rows: Path
    bytes_per_line: int
    changed: int = 0

    @property
    def columns(self) -> dict[str, str]:
        return COLUMNS | NESTED_COLUMNS if self.nested else COLUMNS


def json_schema(*, nested: bool) -> dict[str, Any]:
    """The stream's JSON Schema, as a tap would declare it: everything but the key may be null."""
    properties: dict[str, object] = {name: _JSON_TYPES[kind] for name, kind in COLUMNS.items()}
    properties["id"] = {"type": "integer"}
    if nested:
        properties |= {"shipping": _SHIPPING, "items": _ITEMS}
    return {"type": "object", "properties": properties}


def make(folder: Path, count: int, *, nested: bool = False, changed: int = 0) -> Files:
    """Write the files into ``folder``, unless they are there already from an earlier run."""
    stem = (
        folder
        / f"orders-{SEED}-{count}{'-nested' if nested else ''}{f'-changed-{changed}' if changed else ''}"
    )
    singer, csv, rows = (stem.with_suffix(suffix) for suffix in (".singer", ".csv", ".rows"))
    if not rows.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = rows.with_suffix(".unfinished")
        _write(singer, csv, unfinished, count, nested=nested, changed=changed)
        unfinished.rename(rows)
    return Files(count, nested, singer, csv, rows, round(singer.stat().st_size / max(count, 1)), changed)


def offsets(files: Files) -> array[int]:
    """Where each row of ``files.rows`` begins; one more entry for the end (of a comma that is not there)."""
    found = array("Q", [0])
    position = 0
    with files.rows.open("rb") as lines:
        for line in lines:
            position += len(line)
            found.append(position)
    found[-1] += 2
    return found


def _write(singer: Path, csv: Path, rows: Path, count: int, *, nested: bool, changed: int) -> None:
    schema = {
        "type": "SCHEMA",
        "stream": "orders",
        "schema": json_schema(nested=nested),
        "key_properties": ["id"],
        "bookmark_properties": ["updated_at"],
    }
    head, tail = (
        '{"type":"RECORD","stream":"orders","record":',
        ',"time_extracted":"2026-11-22T12:00:00.000000Z"}\n',
    )
    with (
        singer.open("w", encoding="utf-8", newline="") as to_singer,
        csv.open("w", encoding="utf-8", newline="") as to_csv,
        rows.open("w", encoding="utf-8", newline="") as to_rows,
    ):
        to_singer.write(json.dumps(schema) + "\n")
        separator = ""
        for number, (record, line, updated_at) in enumerate(orders(count, nested=nested, changed=changed), 1):
            to_singer.write(f"{head}{record}{tail}")
            to_csv.write(line)
            to_rows.write(f"{separator}{record}")
            separator = ",\n"
            if number % ROWS_PER_STATE == 0 or number == count:
                to_singer.write(_state(updated_at))


def _state(updated_at: str) -> str:
    bookmark = {"replication_key": "updated_at", "replication_key_value": updated_at}
    return json.dumps({"type": "STATE", "value": {"bookmarks": {"orders": bookmark}}}) + "\n"


def orders(count: int, *, nested: bool, changed: int = 0) -> Iterator[tuple[str, str, str]]:
    """Yield each order as JSON text, as a CSV line and its ``updated_at``.

    Texts are drawn from pools that are rendered once: a million rows in some ten seconds.
    """
    rng = random.Random(SEED)
    notes = [_rendered(_note(rng)) for _ in range(4096)]
    names = [_rendered(f"{rng.choice(_NAMES)} {rng.choice(_NAMES)}-{n}") for n in range(8192)]
    first = date(2021, 1, 1)
    days = [(first + timedelta(days=n)).isoformat() for n in range(4096)]
    bits = rng.getrandbits
    for id_ in range(1, count + 1):
        dice = bits(64)
        note_json, note_csv = notes[dice & 4095]
        name_json, name_csv = names[dice >> 12 & 8191]
        quantity = str(dice >> 25 & 63) if dice >> 31 & 7 else ""
        coupon = str(dice >> 34 & 0xFFFFF) if dice >> 34 & 1 else ""
        cents = dice >> 25 & 0xFFFFF
        price = f"{cents // 100}.{cents % 100:02d}"
        cents *= 1 + (dice >> 25 & 63)
        total = f"{cents // 100}.{cents % 100:02d}"
        paid = "true" if dice >> 60 & 1 else "false"
        gift = "true" if dice >> 61 & 1 else "false"
        created = _timestamp(days[dice >> 20 & 1023], dice >> 30 & 0xFFFF, dice >> 40 & 0xFFFFF)
        updated = _timestamp(days[1024 + id_ // 8640 % 3072], id_ % 8640 * 10, id_ % 999_983)
        kind = "SX" if changed and id_ % changed == 0 else "SO"
        order_no = f"{kind}-{dice & 0xFFFFFFFF:08x}-{id_:09d}"
        record = (
            f'{{"id":{id_},"order_no":"{order_no}","customer":{name_json},"note":{note_json},'
            f'"quantity":{quantity or "null"},"coupon_id":{coupon or "null"},"price":{price},"total":{total},'
            f'"paid":{paid},"gift":{gift},"created_at":"{created}","updated_at":"{updated}"'
        )
        line = (
            f"{id_},{order_no},{name_csv},{note_csv},{quantity},{coupon},{price},{total},{paid},{gift},"
            f"{created},{updated}"
        )
        if nested:
            shipping, items = _shipping(dice, price), _items(dice, price)
            record += f',"shipping":{shipping},"items":{items}'
            line += f",{_csv(shipping)},{_csv(items)}"
        yield f"{record}}}", f"{line}\n", updated


def _note(rng: random.Random) -> str:
    words = rng.choices(_WORDS, k=rng.randint(3, 14))
    if rng.random() < 0.05:
        words[0] = f'"{words[0]}",'
    return " ".join(words)


def _rendered(text: str) -> tuple[str, str]:
    return json.dumps(text, ensure_ascii=False), _csv(text)


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _timestamp(day: str, second: int, microsecond: int) -> str:
    minute, second = divmod(second, 60)
    hour, minute = divmod(minute, 60)
    return f"{day}T{hour:02d}:{minute:02d}:{second:02d}.{microsecond % 1_000_000:06d}Z"


def _shipping(dice: int, price: str) -> str:
    carrier = ("post", "courier", "køkken express", "pickup")[dice & 3]
    city = ("København", "Łódź", "Paris", "東京")[dice >> 2 & 3]
    return (
        f'{{"carrier":"{carrier}","weight_kg":{price},'
        f'"address":{{"city":"{city}","zip":"{dice >> 4 & 0xFFFF:05d}"}}}}'
    )


def _items(dice: int, price: str) -> str:
    count = 1 + (dice >> 8) % 3
    return (
        "["
        + ",".join(
            f'{{"sku":"A-{dice >> 8 * n & 0xFFFF:04x}","qty":{1 + n},"price":{price}}}' for n in range(count)
        )
        + "]"
    )
