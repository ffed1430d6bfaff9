"""Values of all kinds against schemas of all kinds, which change between units and within them, with kills: what is stored is what was sent.

`SINGERKIT_CONFLICTS=FIRST:COUNT` runs as many histories from a seed on.
"""

from __future__ import annotations

import io
import json
import os
import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from conftest import run_sql
from psycopg2.sql import SQL, Identifier
from targets.postgres.test_foreign_key_model import LOG, Cursor, Killed

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_sql_target.settings import Settings
from singerkit_target.load import Limits, Load
from singerkit_target.publish import Publisher
from singerkit_wire.blocks import Judgement
from singerkit_wire.conflicts import Conflicts, OnConflict

FIRST, COUNT = map(int, os.environ.get("SINGERKIT_CONFLICTS", "0:0").split(":"))
SEEDS = range(FIRST, FIRST + COUNT) if COUNT else range(4)
UNITS = 5
MOMENT = "timestamp with time zone"
FIELDS = ("a", "b", "c")
CONFLICTS = Conflicts(lambda _stream, _field: OnConflict.VARIANT, takes_unstorable=True)

SCHEMAS: list[dict[str, Any]] = [
    {"type": "integer"},
    {"type": ["integer", "null"], "minimum": -(10**30)},
    {"type": ["number", "null"]},
    {"type": "boolean"},
    {"type": ["string", "null"]},
    {"type": "string", "maxLength": 60},
    *({"type": ["string", "null"], "format": format_} for format_ in ("date", "date-time", "time", "uuid")),
    {"type": ["string", "null"], "contentEncoding": "base64"},
    {"type": ["string", "null"], "x-singer.decimal": True},
    {"type": ["integer", "string", "null"]},
    {"type": ["boolean", "number"]},
    {"type": "object"},
    {"type": ["array", "null"]},
    {"type": "null"},
    {},
]
VALUES = [
    *(
        [
            "0",
            "7",
            "-3",
            "7.0",
            "1e3",
            "9223372036854775807",
            "9223372036854775808",
            "1.5",
            "0.10000000000000000001",
            "2.50",
            "-0.0",
        ]
    ),
    *(["true", "false", "null", "null"]),
    *map(
        json.dumps,
        [
            "",
            "N/A",
            "7",
            "1.5",
            "true",
            "soon",
            "null",
            'é \\ " \n',
            "a" * 50,
            "aGVsbG8=",
            "12:30:00",
            "25:00",
            "2024-01-01",
            "2024-02-30",
            "0000-00-00",
            "2024-01-01T10:00:00Z",
            "2024-01-01T10:00:00.123456+02:00",
            "6c84fb90-12c4-11e1-840d-7b25c5ee775a",
            "6C84FB90-12C4-11E1-840D-7B25C5EE775A",
        ],
    ),
    *('{"a": 1.50}', "{}", '[1, "x"]', "[]"),
]


def is_sent(own: Any, type_: str, variant: str | None, wire: str | None) -> str | None:
    """Say what is wrong with what two columns hold of a value as it was sent; ``own`` is PostgreSQL's text of the value."""
    value = None if wire is None else json.loads(wire, parse_float=Decimal)
    if value is None:
        return None if own is None and variant is None else "a value where null was sent"
    if (own is None) == (variant is None):
        return "not in exactly one of the two"
    if variant is not None:
        return None if variant == (value if isinstance(value, str) else wire) else "another text"
    return None if _same(own, type_, value, wire) else f"another value in {type_}"


def _same(own: str, type_: str, value: Any, wire: str | None) -> bool:
    if type_ == "text":
        return own == (value if isinstance(value, str) else wire)
    if type_ == "jsonb":
        return bool(json.loads(own, parse_float=Decimal) == value)
    if type_ == "boolean":
        return value is (own == "true")
    if type_ in ("bigint", "numeric"):
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        return (is_number or isinstance(value, str)) and Decimal(own) == Decimal(value)
    if not isinstance(value, str):
        return False
    if type_ == "date":
        return own == value
    if type_ == MOMENT:
        moment = datetime.fromisoformat(value)
        return datetime.fromisoformat(own) == (moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return own == {"uuid": value.lower(), "bytea": None}.get(type_, value) or type_ == "bytea"


class History:
    """Units of messages, and after each of them what was sent last of each field of each key."""

    def __init__(self, chance: random.Random) -> None:
        self.units: list[list[str]] = []
        self.sent: list[dict[int, dict[str, str]]] = []
        rows: dict[int, dict[str, str]] = {}
        for _ in range(UNITS):
            lines: list[str] = []
            for _ in range(chance.choice([1, 1, 2])):
                chosen = {name: chance.choice(SCHEMAS) for name in FIELDS}
                properties = {"id": {"type": "integer"}, **chosen}
                lines.append(
                    json.dumps(
                        {
                            "type": "SCHEMA",
                            "stream": "s",
                            "schema": {"properties": properties},
                            "key_properties": ["id"],
                        }
                    )
                )
                for _ in range(chance.randrange(1, 9)):
                    fields = {name: chance.choice(VALUES) for name in FIELDS if chance.random() < 0.85}
                    id_ = chance.randrange(6)
                    rows = {**rows, id_: {**rows.get(id_, {}), **fields}}
                    told = "".join(f', "{name}": {wire}' for name, wire in fields.items())
                    lines.append(f'{{"type": "RECORD", "stream": "s", "record": {{"id": {id_}{told}}}}}')
            self.units.append(lines)
            self.sent.append(rows)


class Place:
    def __init__(self, dsn: str, seed: int) -> None:
        self.dsn, self.schema = dsn, f"conflicts_{os.getpid()}_{seed}"
        self.sql("CREATE SCHEMA {schema}")

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return run_sql(self.dsn, SQL(text).format(schema=Identifier(self.schema)))

    def state(self) -> int:
        if not run_sql(self.dsn, "SELECT to_regclass(%s)", [f"{self.schema}._singerkit_state"])[0][0]:
            return 0
        found = self.sql("SELECT state->'at' FROM {schema}._singerkit_state")
        return (found[0][0] or 0) if found else 0

    def faults(self, sent: dict[int, dict[str, str]]) -> list[str]:
        types = dict(
            run_sql(
                self.dsn,
                "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_schema = %s AND table_name = 's'",
                [self.schema],
            )
        )
        in_utc = " AT TIME ZONE 'UTC'"
        columns = [f'("{name}"{in_utc if types[name] == MOMENT else ""})::text' for name in types]
        found = self.sql(f"SELECT {', '.join(columns)} FROM {{schema}}.s")
        rows = {int(row["id"]): row for row in (dict(zip(types, one, strict=True)) for one in found)}
        assert rows.keys() == sent.keys()
        faults = []
        for id_, row in rows.items():
            for name in FIELDS:
                own = row.get(name)
                if own is not None and types[name] == MOMENT:
                    own += "+00:00"
                wire = sent[id_].get(name)
                wrong = is_sent(own, types.get(name, ""), row.get(f"{name}__text"), wire)
                if wrong:
                    faults.append(
                        f"{wrong}: {id_}.{name} sent {wire}, stored {own!r}, {row.get(f'{name}__text')!r}"
                    )
        return faults

    def run(self, lines: list[str], limits: Limits) -> SingerkitError | None:
        stop = StopFlag()
        loader = Killed(lambda: self.dsn, Settings(self.schema, conflicts=CONFLICTS), LOG, stop=stop)
        judged = Judgement(conflicts=CONFLICTS)
        load = Load(loader, judged, limits, Publisher(None, io.StringIO()), stop, LOG, missing_fields="keep")
        try:
            load.run(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
        except SingerkitError as error:
            return error
        return None


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_stored_is_what_was_sent(postgres_dsn: str, seed: int) -> None:
    chance = random.Random(seed)
    history, place = History(chance), Place(postgres_dsn, seed)
    for turn in range(20):
        at = place.state()
        lines = [json.dumps({"type": "STATE", "value": {"at": at}})] if at else []
        for number, unit in enumerate(history.units[at:], at + 1):
            lines += [*unit, json.dumps({"type": "STATE", "value": {"at": number}})]
        limits = Limits(
            chance.choice([1, 10, 10**9]),
            10**12,
            10**9,
            chunk_bytes=chance.choice([300, 1 << 20]),
            replay_bytes=chance.choice([0, 16 << 20]),
        )
        Cursor.left = chance.randrange(20, 300) if turn < 12 else None
        error = place.run(lines, limits)
        Cursor.left = None
        assert error is None or error.exit_code == 69, error
        at = place.state()
        if at:
            assert place.faults(history.sent[at - 1]) == [], f"after turn {turn}, at {at}"
        if error is None:
            assert at == UNITS
            break
    else:
        pytest.fail(f"no run ended with 0: {error}")
