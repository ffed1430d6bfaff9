"""Rows of the log that are made many at once are, byte for byte and in their order, those that are made one by one."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from taps.postgres.test_log_values import OIDS, TYPES
from taps.postgres.test_pgoutput import (
    OTHER,
    Log,
    aborted,
    begin,
    block,
    commit,
    committed,
    delete,
    insert,
    keepalive,
    sent,
    table,
    update,
    values,
)

from singerkit_shell.errors import BadDataError
from tap_postgres.log import rows as rows_module
from tap_postgres.log.pgoutput import ABSENT, Attribute, Relation
from tap_postgres.log.rows import Rows
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.values import as_it_is, maker

# Of each type texts that are usual, and others.
USUAL: dict[str, list[str]] = {
    "int8": ["0", "-5", "116", "9223372036854775807"],
    "numeric": ["1.50", "0.0000001", "-1", "12345678901234567890.5"],
    "float8": ["1e-07", "0.1"],
    "bool": ["t", "f"],
    "text": ["", "t", "tt", "n", "null", "NaN", "t" * 116, "u" * 300, 'say "hi" \\', "\x7f", "é 東京 😀"],
    "mood": ["o'k", 'o"k'],
    "date": ["2024-02-29", "infinity", "0044-03-15 BC"],
    "time": ["24:00:00"],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
    "interval": ["P1Y", "PT0S"],
    "timestamp": ["2024-02-29 12:00:00.5", "2024-02-29 12:00:00"],
    "timestamptz": ["2024-02-29 06:30:00+00", "2024-02-29 06:30:00.123456+00"],
    "bytea": ["\\x", "\\x00ff"],
    "json": ['{"a" : 1.50}', '"t\\u0000"'],
    "money": ["-$1,234.50"],
    "hstore": ['"a"=>"1", "b"=>NULL'],
    "int8[]": ["{1,NULL}", "[2:3]={1,2}"],
    "text[]": ['{a b,"c,d"}'],
    "part": ["(1,x,)"],
}
ODD: dict[str, list[str]] = {
    "text": ["line\nend", "\x01\x1f", "\r"],
    "timestamp": ["infinity", "0044-03-15 12:00:00 BC", "10000-01-01 00:00:00"],
    "timestamptz": ["-infinity", "0044-03-15 12:00:00+00 BC", "2024-02-29 06:30:00+05:30"],
    "json": ['{"a":\n1}', '{"a":\r1}'],
}
REFUSED: dict[str, list[Any]] = {
    "numeric": ["NaN", "-Infinity"],
    "float8": ["Infinity", "NaN"],
    "text": ["x" * 70_000, ABSENT],
}


def drawn(chance: Random) -> tuple[Rows, list[list[Any]], int]:
    """A table, of which some columns are sent, in an order of their own; rows of it; and the place of one that is not read at once, or -1."""
    kinds = chance.choices(sorted(USUAL), k=chance.choice([1, 3, 6, 116]))
    of = {f"%c{number}%%": kind for number, kind in enumerate(kinds)}
    sent_ones = chance.sample(sorted(of), chance.randint(1, len(of)))
    told = tuple(Attribute(name, OIDS[kind], -1, False) for name, kind in of.items())
    relation = Relation(b"t\0\0\0", "s", "t", "d", told)
    logged = LoggedTable("s-t", "s", "t", (), {name: OIDS[of[name]] for name in sent_ones})
    made = Rows(logged, relation, {name: maker(TYPES, OIDS[of[name]]) for name in sent_ones})
    pools = [[*USUAL[kind], *chance.choice([[], [None], ODD.get(kind, [])])] for kind in kinds]
    count = chance.randint(1, 20)
    found = [[chance.choice(pool) for pool in pools] for _ in range(count)]
    refused = [place for place, kind in enumerate(kinds) if kind in REFUSED and f"%c{place}%%" in sent_ones]
    row = -1
    if refused and chance.random() < 0.2:
        place, row = chance.choice(refused), chance.randrange(count)
        found[row][place] = chance.choice(REFUSED[kinds[place]])
    texts = [[one.encode() if isinstance(one, str) else one for one in each] for each in found]
    return made, texts, row


def made_ready(record: bytes) -> bytes:
    return record[:-1] + b',"_sdc_deleted_at":null}'


def test_rows_have_the_records_that_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "FEW", 1)
    chance = Random(82)
    for _ in range(400):
        made, found, refused = drawn(chance)
        texts = [values(*row) for row in found]
        ready, places = made.ready(texts)
        assert [*places] == [place for place in range(len(texts)) if place != refused]
        assert [*(ready or ())] == [made_ready(made.new(texts[place])) for place in places]
        if ready is not None:
            assert ready.block == b"".join(row + b"\n" for row in ready)
            assert ready.names == (*made.table.columns, "_sdc_deleted_at")


def test_a_row_that_is_cut_off_is_none_of_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "FEW", 1)
    chance = Random(82)
    for _ in range(200):
        made, found, _ = drawn(chance)
        texts = [values(*row) for row in found]
        at = chance.randrange(len(texts))
        size = chance.randrange(2, len(texts[at]))
        texts[at] = chance.choice(
            [texts[at][:size], texts[at] + b"n", texts[at][:size] + b"b" + texts[at][size + 1 :]]
        )
        try:
            ready, places = made.ready(texts)
        except UnicodeDecodeError:
            with pytest.raises(UnicodeDecodeError):
                made.new(texts[at])
            continue
        assert [*(ready or ())] == [made_ready(made.new(texts[place])) for place in places]


class TwoTables(Log):
    def _rows(self, relation: Relation) -> Rows:
        columns = dict.fromkeys(("id", "b", "a"), 25)
        made = LoggedTable(f"s-{relation.name}", "s", relation.name, ("id",), columns)
        return Rows(made, relation, {one.name: as_it_is for one in relation.attributes})


def came(messages: list[bytes], size: int) -> list[Any]:
    """What comes of messages that are read so many at once: pages, or that something cannot be read."""
    log = TwoTables()
    found: list[Any] = []
    try:
        for first in range(0, len(messages), size):
            pages = log.changes.pages(messages[first : first + size])
            found += [([*page.changes], page.position) for page in pages]
    except BadDataError:
        found.append("cannot be read")
    return found


def changes_of(chance: Random) -> list[bytes]:
    """Some changes of two tables, now and then with an odd one."""

    def row() -> list[Any]:
        return [b"%d" % chance.randrange(99), *chance.choices([None, b"5", b'"t"'] * 9 + [b"\n"], k=2)]

    def odd() -> bytes:
        return chance.choice(
            [
                update(*row(), old=(b"O", row())),
                update(*row()[:2], ABSENT),
                delete(b"K", row()[0], None, None),
                insert(*row())[:-1],
                b"T" + (1).to_bytes(4) + b"\0" + OTHER,
                table(names=("id", "b")),
            ]
        )

    usual = [lambda: insert(*row()), lambda: insert(*row(), oid=OTHER), lambda: update(*row())]
    return [chance.choice([*usual * 8, odd])() for _ in range(chance.randrange(20))]


def transaction(chance: Random) -> list[bytes]:
    some = changes_of(chance)
    if chance.random() < 0.3:
        return [*block(800, *some, parts=(800, 801, 801)), *aborted(800, 801), *committed(800)]
    return [*sent(begin(chance.randrange(700, 800)), *some, commit(90)), keepalive(60)]


def test_pages_have_the_changes_that_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(82)
    for _ in range(300):
        messages = sent(table(), table(oid=OTHER, name=b"o"))
        messages += [one for _ in range(chance.randint(1, 6)) for one in transaction(chance)]
        size = chance.randint(1, 60)
        found = []
        for few in (1, 1_000):
            monkeypatch.setattr(rows_module, "FEW", few)
            found.append(came(messages, size))
        assert found[0] == found[1]
