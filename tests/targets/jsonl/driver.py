"""What the conformance suite must know of target-jsonl."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from singerkit_check.suite.drivers import Destination, Services, TargetDriver
from singerkit_check.suite.known import Row
from singerkit_check.suite.singer import parse

__all__ = ["DRIVER", "TargetJsonl", "read_lines"]


class TargetJsonl(TargetDriver):
    """target-jsonl into a folder of its own; one file per stream."""

    commits_often: ClassVar[Mapping[str, Any]] = {"commit_rows": 1}
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({"on_unstorable": "replace"}, "\ufffd")
    keeps_last_of_key = False

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """The folder it is started in."""
        place = folder / "without-config"
        place.mkdir()
        yield Destination({}, lambda stream: read_lines(place, stream), folder=place)

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        place = folder / f"jsonl-{uuid.uuid4().hex[:12]}"
        config = {"destination_path": str(place)} | settings
        return Destination(config, lambda stream: read_lines(place, stream), "--state-file")


def read_lines(folder: Path, stream: str) -> list[Row]:
    """Return the rows of the file of one stream, in file order; what is unsafe in its name stands as %XX."""
    path = folder / f"{quote(stream, safe=' ')}.jsonl"
    return [parse(line) for line in path.read_text("utf-8").split("\n") if line] if path.exists() else []


DRIVER = TargetJsonl
