"""The fuzz targets over their corpus and over seeded random changes of it; what they find is made small and shown.

`make fuzz` looks further, guided by coverage (docs/fuzzing.md). Here SINGERKIT_FUZZ is the number of changes for
each target, SINGERKIT_FUZZ_SEED where they begin.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faults.loads import connected
from fuzz import fuzz_encoder, fuzz_names, fuzz_pgoutput, fuzz_wire
from fuzz.mutate import mutations, smallest
from fuzz.seeds import CORPUS, TARGETS, corpus_of
from psycopg2.sql import SQL, Identifier

from singerkit_shell.errors import BadDataError
from singerkit_sql_target.names import place_of
from target_postgres.rows import COPY_OPTIONS, as_csv
from target_postgres.words import WORDS

MUTATIONS = int(os.environ.get("SINGERKIT_FUZZ", "0"))
SEED = int(os.environ.get("SINGERKIT_FUZZ_SEED", "1"))
COUNTS = {"wire": 400, "names": 2000, "encoder": 4000, "pgoutput": 2000}
"""How many changes are tried where SINGERKIT_FUZZ does not say: some seconds each."""


def check_of(name: str) -> Callable[[bytes], None]:
    check: Callable[[bytes], None] = importlib.import_module(f"fuzz.fuzz_{name}").check
    return check


def inputs_of(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def failure_of(check: Callable[[bytes], None], data: bytes) -> Exception | None:
    try:
        check(data)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name: str) -> None:
    for path in sorted((CORPUS / name).iterdir()):
        failure = failure_of(check_of(name), path.read_bytes())
        assert failure is None, f"{path.name}: {failure}"


@pytest.mark.parametrize("name", TARGETS)
def test_random_changes_of_the_corpus_hold(name: str) -> None:
    check = check_of(name)
    for data in mutations(inputs_of(name), MUTATIONS or COUNTS[name], SEED):
        if (failure := failure_of(check, data)) is not None:
            kind = type(failure)
            small = smallest(data, lambda shorter, kind=kind: type(failure_of(check, shorter)) is kind)
            pytest.fail(f"{name} fails for {small!r}: {kind.__name__}: {failure_of(check, small)}")


@pytest.mark.parametrize("member", [b'"\x9c": 1', b'"time_extracted": "\xff"', b'"other": {"a": "\xff"}'])
def test_bytes_of_members_that_nobody_reads_do_not_matter(member: bytes) -> None:
    """The block path skips such members, the exact path would refuse the line: nothing of them is stored."""
    fuzz_wire.check(b'\x40{"type":"RECORD","stream":"a",' + member + b',"record":{}}\n')


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds_every_seed(name: str) -> None:
    committed = {path.name: path.read_bytes() for path in (CORPUS / name).iterdir()}
    assert corpus_of(name).items() <= committed.items(), "run `python -m fuzz.seeds` in tests/"


def test_a_message_of_the_log_that_is_cut_off_is_no_row() -> None:
    """Wherever it is cut: an error, or, where it had said all already, the same changes."""
    for data in inputs_of("pgoutput"):
        messages = fuzz_pgoutput.frames(data)
        for place, message in enumerate(messages):
            whole = fuzz_pgoutput.outcome(messages[: place + 1])
            for size in range(len(message)):
                found = fuzz_pgoutput.outcome([*messages[:place], message[:size]])
                assert found in (None, whole), (data, place, size)


def test_postgres_reads_the_rows_as_they_were(database: str) -> None:
    """The reader in `fuzz_encoder.py` is ours; this one is not."""
    several = [fuzz_encoder.rows_in(data) for data in mutations(inputs_of("encoder"), 1500, SEED)]
    rows = [row for some in several for row in some]
    columns = [f"c{number}" for number in range(fuzz_encoder.COLUMNS)]
    with connected(database) as cursor:
        cursor.execute(
            "CREATE TABLE rows (n bigint GENERATED ALWAYS AS IDENTITY, c0 text, c1 text, c2 text, c3 text)"
        )
        cursor.copy_expert(
            f"COPY rows ({', '.join(columns)}) FROM STDIN {COPY_OPTIONS}", io.BytesIO(as_csv(rows))
        )
        cursor.execute("SELECT c0, c1, c2, c3 FROM rows ORDER BY n")
        found = [list(row) for row in cursor.fetchall()]
    assert len(found) == len(rows)
    for row, read in zip(rows, found, strict=True):
        assert read == fuzz_encoder.expected(row), row


def test_postgres_takes_the_identifiers_as_they_are(database: str) -> None:
    names = {name for data in mutations(inputs_of("names"), 300, SEED) for name in fuzz_names.names_in(data)}
    with connected(database) as cursor:
        for name in sorted(names, key=ascii):
            try:
                short = place_of(name, fuzz_names.SETTINGS, WORDS)[1]
            except BadDataError:
                continue
            cursor.execute(SQL("SELECT 1 AS {}").format(Identifier(short)))
            assert [column.name for column in cursor.description] == [short]


def test_a_failure_is_found_and_made_small(tmp_path: Path) -> None:
    def check(data: bytes) -> None:
        assert b"NaN" not in data

    found = next(
        data for data in mutations([b'{"a": 1}'], 10_000, SEED) if failure_of(check, data) is not None
    )
    assert smallest(found, lambda data: failure_of(check, data) is not None) == b"NaN"
