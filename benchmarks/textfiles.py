"""A CSV file of texts alone, made with a seed: eight columns in ASCII, 154 bytes a row; one note of twenty is in quotes, with doubled ones."""

from __future__ import annotations

import csv
import json
import random
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from orders import SEED

__all__ = ["NAMES", "text_file", "text_schema", "wrong_text_records"]

NAMES = ("code", "name", "email", "street", "city", "status", "reference", "note")
_WORDS = re.findall(
    r"\S+",
    "please deliver after six the parcel is fragile thank you leave it with the neighbour at number twelve ring "
    "twice wrap in blue paper call before arrival discount promised by phone",
)
_PEOPLE = re.findall(
    r"\S+", "Anna Bjorn Chloe Dmitri Eszter Francois Gulsen Hakon Ivan Jose Keiko Lukasz Maria Nguyen Olga"
)
_CITIES = ("Berlin", "Lisbon", "London", "Lodz", "Madrid", "Osaka", "Paris", "Prague")
_STATES = ("new", "paid", "sent", "back")


def text_schema() -> dict[str, Any]:
    """Return the stream's JSON Schema: texts."""
    return {"type": "object", "properties": {name: {"type": ["null", "string"]} for name in NAMES}}


def text_file(folder: Path, count: int) -> Path:
    """Return the file of ``count`` rows, with the names in its first line; it is made if need be."""
    path = folder / f"texts-{SEED}-{count}.csv"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("w", encoding="utf-8", newline="") as to:
            to.write(",".join(NAMES) + "\n")
            to.writelines(_rows(count))
        unfinished.rename(path)
    return path


def _rows(count: int) -> Iterator[str]:
    rng = random.Random(SEED)
    notes = [_note(rng) for _ in range(4096)]
    people = [f"{rng.choice(_PEOPLE)} {rng.choice(_PEOPLE)}-{number}" for number in range(4096)]
    addresses = [f"{rng.choice(_PEOPLE).lower()}.{number}@example.com" for number in range(4096)]
    streets = [f"{rng.choice(_WORDS).title()} Street {number}" for number in range(512)]
    for number in range(count):
        dice = rng.getrandbits(64)
        yield (
            f"C-{dice & 0xFFFFFFFF:08x}-{number:08d},{people[dice >> 8 & 4095]},{addresses[dice >> 20 & 4095]},{streets[dice >> 30 & 511]},"
            f"{_CITIES[dice >> 40 & 7]},{_STATES[dice >> 44 & 3]},R{dice >> 32:010x},{notes[dice >> 50 & 4095]}\n"
        )


def _note(rng: random.Random) -> str:
    words = " ".join(rng.choices(_WORDS, k=rng.randint(4, 14)))
    return f'"{words}, ""{rng.choice(_WORDS)}"""' if rng.random() < 0.05 else words


def wrong_text_records(output: Path, path: Path) -> str:
    """Compare the RECORD messages in ``output`` with the rows that csv reads: ``same rows``, or what is different."""
    different = 0
    with output.open("rb") as lines, path.open(encoding="utf-8", newline="") as file:
        records = (message["record"] for message in map(json.loads, lines) if message["type"] == "RECORD")
        for record, row in zip_longest(records, csv.DictReader(file)):
            different += record != row
    return f"{different:,} rows differ" if different else "same rows"
