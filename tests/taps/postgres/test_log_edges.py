"""The log at its edges: what nobody has written out, columns that go while a run begins."""

from __future__ import annotations

from typing import Any

import pytest
from taps.postgres.conftest import Shop

from tap_postgres.log.chunks import ChunkReader
from tap_postgres.log.libpq import Replication
from tap_postgres.log.publications import Publication

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v text, w text); INSERT INTO t SELECT n, 'v', 'w' FROM generate_series(1, 40) n"


def test_a_quiet_server_writes_its_log_out_before_a_chunk_waits_for_it(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own process does so every ten seconds here: whoever waits for it gets nothing fifty times in each chunk."""
    logged.execute(TABLE)
    logged.config["log"]["chunk_rows"] = 10
    empty: list[float] = []
    receive, chunk = Replication.receive, ChunkReader.chunk

    def receives(self: Replication, seconds: float, most: int) -> list[bytes]:
        found = receive(self, seconds, most)
        empty.extend([seconds] * (bool(seconds) and not found))
        assert len(empty) < 40, "the run waits for the server's own process"
        return found

    def reads(self: ChunkReader, *arguments: Any) -> Any:
        logged.execute("SELECT pg_logical_emit_message(false, 'test', 'as what a look at old rows leaves')")
        return chunk(self, *arguments)

    monkeypatch.setattr(Replication, "receive", receives)
    monkeypatch.setattr(ChunkReader, "chunk", reads)
    assert len(logged.sync().rows()) == 40


def test_a_column_that_is_dropped_while_a_run_begins_is_not_missed_in_the_publication(
    logged: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged.execute(TABLE)
    state = logged.sync().state
    prepare = Publication.prepare

    def after_others(self: Publication, started: Any) -> bool:
        logged.execute("ALTER TABLE t DROP v; INSERT INTO t VALUES (50, 'new')")
        return prepare(self, started)

    monkeypatch.setattr(Publication, "prepare", after_others)
    (row,) = logged.sync(state).rows()
    assert (row["id"], row["w"]) == (50, "new")
