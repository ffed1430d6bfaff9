"""What is in the folder: files of `project/` with names filled in, and a source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files

__all__ = ["SOURCE", "WAREHOUSES", "Warehouse", "texts_of"]

SOURCE = "shop.db"
_NAMED = {
    "env.example": ".env.example",
    "gitignore": ".gitignore",
    "ci.yaml": ".github/workflows/pipelines.yaml",
}
"""Files that have another name in `project/`, where no tool takes them for its own."""
_TEXTS = (
    "README.md",
    "singerkit.yaml",
    "config/customers.yaml",
    "config/orders.yaml",
    "config/visits.yaml",
    "Makefile",
    "requirements.txt",
    *_NAMED,
)


@dataclass(frozen=True)
class Warehouse:
    """Where the rows go: ``words`` name it in a sentence, ``look`` shows rows, ``ignored`` is what git leaves out."""

    words: str
    extra: str
    look: str
    ignored: str
    is_serial: bool = False


WAREHOUSES: Mapping[str, Warehouse] = {
    "postgres": Warehouse(
        "a PostgreSQL that comes along",
        "[embedded]",
        "python3 -m singerkit_embedded --folder @POSTGRES@ sql 'SELECT * FROM @SCHEMA@.orders ORDER BY id'",
        "/postgres/",
    ),
    "duckdb": Warehouse(
        "a file of DuckDB",
        "[duckdb]",
        "python3 -c \"import duckdb; print(duckdb.connect('warehouse.duckdb').sql('SELECT * FROM @SCHEMA@.orders ORDER BY id'))\"",
        "/warehouse.duckdb*",
        is_serial=True,
    ),
    "jsonl": Warehouse("files of JSON lines", "", "cat rows/orders/orders.jsonl", "/rows/"),
}
_SERIAL = "# One process at a time may write a file of DuckDB: -j is of no use here, and does no harm.\n.NOTPARALLEL:"


def texts_of(name: str, kind: str, postgres_folder: str) -> Iterator[tuple[str, str]]:
    """Yield each file of the folder ``name`` with its text; ``postgres_folder`` is where an embedded server keeps its data."""
    warehouse = WAREHOUSES[kind]
    words = {
        "LOOK": warehouse.look,  # first, as there are words in it
        "NAME": name,
        "TARGET": f"target-{kind}",
        "SCHEMA": schema_name(name),
        "POSTGRES": postgres_folder,
        "IGNORED": warehouse.ignored,
        "SERIAL": _SERIAL if warehouse.is_serial else "",
        "EXTRA": warehouse.extra,
        "VERSION": version("singerkit"),
        "WAREHOUSE": warehouse.words,
    }
    for path in _TEXTS:
        yield _NAMED.get(path, path), _filled(path, words)
    yield "config/warehouse.yaml", _filled(f"warehouse/{kind}.yaml", words)
    yield "state/.gitkeep", ""


def schema_name(name: str) -> str:
    """Return a name of a schema that needs no quotes in SQL."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:50]
    return plain if plain[:1].isalpha() else f"shop_{plain}".rstrip("_")


def _filled(path: str, words: Mapping[str, str]) -> str:
    text = (files("singerkit_init") / "project" / path).read_text("utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text.rstrip("\n") + "\n"
