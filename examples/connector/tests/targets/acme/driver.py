"""What the conformance suite must know of target-acme: a fresh store, and how its rows are read back."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from singerkit_check.suite.drivers import Destination, Services, TargetDriver
from singerkit_check.suite.known import Row
from singerkit_check.suite.singer import parse

__all__ = ["DRIVER", "TargetAcme", "read"]


class TargetAcme(TargetDriver):
    """target-acme into a store of its own. TODO(acme): as a user of yours makes one, and reads it."""

    commits_often: ClassVar[Mapping[str, Any]] = {"commit_rows": 1}
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({"on_unstorable": "replace"}, "\ufffd")

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        path = folder / f"acme-{uuid.uuid4().hex[:12]}.db"
        return Destination({"path": str(path)} | settings, lambda stream: read(path, stream), "--state-file")

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """The file of the default, in the folder it is started in."""
        place = folder / "without-config"
        place.mkdir()
        yield Destination({}, lambda stream: read(place / "acme.db", stream), folder=place)


def read(path: Path, stream: str) -> list[Row]:
    """Return the rows of a stream, in the order in which they came."""
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute(
            "SELECT document FROM documents WHERE stream = ? ORDER BY rowid", (stream,)
        )
        return [parse(document) for (document,) in found]


DRIVER = TargetAcme
