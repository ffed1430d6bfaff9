"""The source of a tap that reads HTTP: `source_server.Server`, and what a rule may do to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from singerkit_check.suite.known import KNOWN, Row
from singerkit_check.suite.singer import instant, parse, written
from singerkit_check.suite.source_server import PAGE, TOKEN, Server
from singerkit_check.suite.sources import Held, Read, Source, key_of

__all__ = ["HttpSource"]


class HttpSource(Source):
    """The known streams at the paths of their names, and the items of each shop at ``shops/{id}/items``."""

    def __init__(self, server: Server, config: dict[str, Any]) -> None:
        super().__init__(config, {name: known.facts for name, known in KNOWN.items()}, secret=TOKEN)
        self._server = server

    def rows(self, stream: str) -> list[Row]:
        if self.streams[stream].is_top:
            return self._server.rows(stream)
        shops = [shop["id"] for shop in self._server.rows("shops")]
        return [{"shop_id": shop} | row for shop in shops for row in self._server.rows(f"shops/{shop}/items")]

    def put(self, stream: str, *rows: Row) -> None:
        facts, texts = self.streams[stream], self._server.texts[stream]
        for row in rows:
            places = {key_of(parse(text), facts): place for place, text in enumerate(texts)}
            place = places.get(key_of(row, facts), len(texts))
            texts[place : place + 1] = [written(row)]
        if (field := facts.replication_key) and facts.ascends:
            texts.sort(key=lambda text: instant(parse(text)[field]))

    @contextmanager
    def held(self, stream: str, rows: int) -> Iterator[Held]:
        """Hold the answer to the page that begins after so many rows."""
        page = rows // PAGE + 1
        with self._server.held(stream, page) as asked:
            yield Held(
                (page - 1) * PAGE,
                lambda _running: asked.wait(30),
                lambda: self._server.release(stream, page),
            )

    @contextmanager
    def ailing(self, stream: str) -> Iterator[None]:
        self._server.answers_first[stream] = [(500, {}), (503, {})]
        yield
        assert not self._server.answers_first[stream], f"{stream} was not asked for once more"

    @contextmanager
    def broken(self, stream: str) -> Iterator[None]:
        self._server.broken.add(stream)
        yield
        self._server.broken.remove(stream)

    @contextmanager
    def spoilt(self, stream: str, row: Row) -> Iterator[None]:
        place = self.rows(stream).index(row)
        self._server.spoilt.add(self._server.texts[stream][place])
        yield
        self._server.spoilt.clear()

    @property
    def reads(self) -> list[Read]:
        return [
            Read(re.sub(r"^shops/.*/items$", "items", asked.path), asked.params.get("since"))
            for asked in self._server.asked
        ]

    def http(self, stream: str) -> tuple[Server, str]:
        return self._server, stream
