"""What the conformance suite must know of tap-files."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from singerkit_check.suite.drivers import OurTap
from singerkit_check.suite.known import KNOWN, Facts, Row
from singerkit_check.suite.sources import Source

__all__ = ["DRIVER", "FolderSource", "TapFiles"]

_FILES = 3
_LISTS = ("tags", "address")


class FolderSource(Source):
    """The known streams that need no parent, each in a few files of CSV: no file has lists or objects, and none is filtered."""

    filters = False

    def __init__(self, folder: Path) -> None:
        streams = {name: Facts(KNOWN[name].facts.key) for name in KNOWN if KNOWN[name].facts.parent is None}
        config = {
            "pipeline": "folder",
            "streams": [
                {
                    "name": name,
                    "path": f"{folder}/{name}/*.csv",
                    "primary_keys": list(facts.key),
                    "file_columns": [],
                    "schema": {"properties": dict(_properties(name))},
                }
                for name, facts in streams.items()
            ],
        }
        super().__init__(config, streams)
        self._folder = folder
        for name in streams:
            (folder / name).mkdir()
            rows = self.rows(name)
            size = -(-len(rows) // _FILES)
            for number in range(_FILES):
                self._file(name, number).write_text(
                    _written([*_properties(name)], rows[number * size : (number + 1) * size])
                )

    def _file(self, stream: str, number: int) -> Path:
        return self._folder / stream / f"{number}.csv"

    def rows(self, stream: str) -> list[Row]:
        fields = _properties(stream)
        return [{name: row.get(name) for name in fields} for row in KNOWN[stream].rows]

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        """Put bytes that are no text before the first row of each file."""
        files = [self._file(stream, number) for number in range(_FILES)]
        whole = [file.read_bytes() for file in files]
        for file, text in zip(files, whole, strict=True):
            file.write_bytes(text.replace(b"\n", b"\n\xff", 1))
        yield
        for file, text in zip(files, whole, strict=True):
            file.write_bytes(text)


def _properties(stream: str) -> Mapping[str, Any]:
    return {name: prop for name, prop in KNOWN[stream].properties.items() if name not in _LISTS}


def _written(fields: list[str], rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        values = [row[name] for name in fields]
        writer.writerow([value if isinstance(value, str) else _shown(value) for value in values])
    return text.getvalue()


def _shown(value: Any) -> str:
    """Return a number with the digits that it has, or nothing for null."""
    return "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


class TapFiles(OurTap):
    """tap-files on a folder of its own."""

    waivers: ClassVar[Mapping[str, str]] = {
        "C11": "a folder has no schemas and no views",
        "T06": "a file is opened, and nobody is told a user agent",
    }
    code_of_unreachable = 78

    @contextmanager
    def source(self) -> Iterator[Source]:
        with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
            yield FolderSource(Path(folder))

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        streams = [
            stream | {"path": stream["path"].replace(stream["name"], f"{stream['name']}-gone", 1)}
            for stream in config["streams"]
        ]
        return config | {"streams": streams}


DRIVER = TapFiles
