"""What administrators do to the tables of a PostgreSQL while they are read: made anew, rewritten, partitions, publications, identities, slots.

The log says little of it, so each such transaction writes into it which rows came and went, and which streams have to look at the catalog
(`postgres_history`). What somebody has done and not undone yet is looked up in the catalog, since the answer to a COMMIT may be lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from faults.torture.postgres_history import MESSAGES
from faults.torture.postgres_tables import TABLES, Table
from psycopg2.sql import SQL, Composable, Identifier

if TYPE_CHECKING:
    from faults.torture.postgres_writers import Writer

__all__ = ["PUBLICATION", "Reshaper", "restore"]

PUBLICATION = "singerkit_torture"
"""Of the tap's pipeline; its slot has the same name."""
NORTH, VISIT = "parts_north", "parts_visit"
_MADE_ANEW = ("items", "pairs", "notes", "docs", "wholes", "parts")
_REWRITTEN = ("items", "docs", "wholes", "steps")
_IDENTIFIED = ("items", "docs", "wholes")
_ALL = tuple(TABLES)
_IDENTITY = "SELECT relreplident FROM pg_class WHERE oid = %s::regclass"
_PARENT = "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%s))"
_PUBLISHED = "SELECT tablename FROM pg_publication_tables WHERE pubname = %s"
_REFUSES = "SELECT FROM pg_publication_tables AS t JOIN pg_publication AS p USING (pubname) WHERE pubname = %s AND tablename = %s AND pubupdate AND pubdelete"
_NAMELESS = "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r' AND (relreplident = 'n' OR relname = 'notes' AND relreplident = 'd')"


class Reshaper:
    """What one writer does, each in a transaction or two of his own; others do the same at another time."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._kinds: dict[Callable[[Any], str], int] = {
            self._make_anew: 4,
            self._rewrite: 2,
            self._replace_column: 3,
            self._take_or_give_partition: 4,
            self._empty_partition: 2,
            self._let_visit: 4,
            self._change_identity: 4,
            self._take_out_or_put_back: 3,
            self._tell_less: 1,
            self._drop_publication: 1,
            self._drop_slot: 1,
        }

    def reshape(self, cursor: Any) -> str:
        """Do one of all that, and return what it was; nothing, if it cannot be done now."""
        dice = self._writer.dice
        [kind] = dice.choices([*self._kinds], [*self._kinds.values()])
        return kind(cursor)

    def _say(self, cursor: Any, unsure: Sequence[str] = (), **what: Any) -> None:
        content = json.dumps({"unsure": unsure, "at": time.monotonic(), **what})
        cursor.execute("SELECT pg_logical_emit_message(true, %s, %s)", [MESSAGES, content])

    def _lock(self, cursor: Any, *names: str) -> None:
        for name in names:
            cursor.execute(SQL("LOCK {} IN ACCESS EXCLUSIVE MODE").format(Identifier(name)))

    # --- tables ---------------------------------------------------------------------------------------------

    def _make_anew(self, cursor: Any) -> str:
        """Drop a table and make it again; now and then it is not there for a while."""
        dice, name = self._writer.dice, self._writer.dice.choice(_MADE_ANEW)
        cursor.execute(SQL("DROP TABLE {}").format(Identifier(name)))
        if name == "parts":
            cursor.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(NORTH)))
        self._say(cursor, [name], empty=[name], attached=[NORTH] if name == "parts" else [])
        is_away = dice.random() < 0.3
        if is_away:
            self._writer.commit()
            self._writer.pause(dice.choice([0.02, 0.1]))
        make(cursor, TABLES[name])
        self._say(cursor, [name])
        for _ in range(dice.choice([0, 1, 3])):
            self._writer.insert(cursor, TABLES[name])
        return f"made anew{', away for a while' * is_away}"

    def _rewrite(self, cursor: Any) -> str:
        """Have the file of a table written anew, as its key gets another type."""
        name = self._writer.dice.choice(_REWRITTEN)
        kind = self._writer.dice.choice(["bigint", "integer"])
        cursor.execute(SQL("ALTER TABLE {} ALTER id TYPE {}").format(Identifier(name), SQL(kind)))
        return f"key becomes {kind}"

    def _replace_column(self, cursor: Any) -> str:
        """Drop a column and add another one of its name; the rows that are there get its values in the same transaction."""
        table = self._writer.table()
        extras = self._writer.extras(cursor, table)
        if not extras:
            return ""
        names = Identifier(table.name), Identifier(self._writer.dice.choice(extras))
        cursor.execute(SQL("ALTER TABLE {0} DROP {1}, ADD {1} {2}").format(*names, SQL("integer")))
        self._writer.rewrite(cursor, table)
        return "column replaced"

    # --- partitions -----------------------------------------------------------------------------------------

    def _take_or_give_partition(self, cursor: Any) -> str:
        """Detach a partition with its rows, or attach it again with those that it has got meanwhile."""
        self._lock(cursor, "parts")
        cursor.execute(_PARENT, [NORTH])
        if cursor.fetchone()[0]:
            gone = self._keys(cursor, NORTH)
            cursor.execute(f"ALTER TABLE parts DETACH PARTITION {NORTH}")
            self._say(cursor, ["parts"], gone={"parts": gone}, detached=[NORTH])
            return "partition detached"
        self._attach(cursor)
        return "partition attached"

    def _attach(self, cursor: Any) -> None:
        dice = self._writer.dice
        self._lock(cursor, NORTH)
        self._same_columns(cursor)
        if dice.random() < 0.5:
            cursor.execute(f"DELETE FROM {NORTH} WHERE id % 2 = 0")
        columns = SQL(", ").join(map(Identifier, self._columns(cursor, "parts")))
        cursor.execute(f"DELETE FROM {NORTH} WHERE id IN (SELECT id FROM parts_rest WHERE region = 'north')")
        cursor.execute(
            SQL("INSERT INTO {} ({}) SELECT {} FROM parts_rest WHERE region = 'north'").format(
                Identifier(NORTH), columns, columns
            )
        )
        cursor.execute("DELETE FROM parts_rest WHERE region = 'north'")
        cursor.execute(f"SELECT id::text, region, seq FROM {NORTH}")
        come = [[[key, region], seq] for key, region, seq in cursor.fetchall()]
        cursor.execute(f"ALTER TABLE parts ATTACH PARTITION {NORTH} FOR VALUES IN ('north')")
        self._say(cursor, ["parts"], come={"parts": come}, attached=[NORTH])

    def _same_columns(self, cursor: Any) -> None:
        """Give the table that was a partition the columns that others have got since."""
        here = Identifier(NORTH)
        for name in self._columns(cursor, NORTH):
            if name.startswith("extra_"):
                cursor.execute(SQL("ALTER TABLE {} DROP {}").format(here, Identifier(name)))
        for name, kind in self._columns(cursor, "parts").items():
            if name.startswith("extra_"):
                cursor.execute(SQL("ALTER TABLE {} ADD {} {}").format(here, Identifier(name), SQL(kind)))

    @staticmethod
    def _columns(cursor: Any, name: str) -> dict[str, str]:
        cursor.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
            [name],
        )
        return dict(cursor.fetchall())

    @staticmethod
    def _keys(cursor: Any, leaf: str) -> list[list[str]]:
        cursor.execute(SQL("SELECT id::text, region FROM {}").format(Identifier(leaf)))
        return [[key, region] for key, region in cursor.fetchall()]

    def _empty_partition(self, cursor: Any) -> str:
        leaf = self._writer.dice.choice(["parts_south_0", "parts_rest"])
        self._lock(cursor, leaf)
        gone = self._keys(cursor, leaf)
        cursor.execute(SQL("TRUNCATE {}").format(Identifier(leaf)))
        self._say(cursor, ["parts"], gone={"parts": gone})
        return "partition emptied"

    def _let_visit(self, cursor: Any) -> str:
        """Let a partition come, empty or with rows; one that is there goes. Now and then it goes soon after it has come."""
        dice = self._writer.dice
        self._lock(cursor, "parts")
        cursor.execute(_PARENT, [VISIT])
        if cursor.fetchone()[0]:
            self._end_visit(cursor)
            return "partition dropped"
        if dice.random() < 0.4:
            cursor.execute(f"CREATE TABLE {VISIT} (LIKE parts INCLUDING ALL)")
            self._insert_visitors(cursor, VISIT)
            cursor.execute(f"ALTER TABLE parts ATTACH PARTITION {VISIT} FOR VALUES IN ('visit')")
            self._say(cursor, ["parts"])
            kind = "with rows"
        else:
            cursor.execute(f"CREATE TABLE {VISIT} PARTITION OF parts FOR VALUES IN ('visit')")
            kind = "empty"
        self._writer.commit()
        self._insert_visitors(cursor, "parts")
        if dice.random() < 0.5:
            self._writer.commit()
            self._writer.pause(dice.choice([0, 0.1]))
            self._lock(cursor, "parts")
            self._end_visit(cursor)
            kind += ", gone soon"
        return f"partition has come, {kind}"

    def _insert_visitors(self, cursor: Any, name: str) -> None:
        for _ in range(self._writer.dice.choice([1, 3])):
            key = {"id": 500 + next(self._writer.shared.columns), "region": "visit"}
            self._writer.insert(cursor, TABLES["parts"], key, into=name)

    def _end_visit(self, cursor: Any) -> None:
        gone = self._keys(cursor, VISIT)
        cursor.execute(f"ALTER TABLE parts DETACH PARTITION {VISIT}")
        cursor.execute(f"DROP TABLE {VISIT}")
        self._say(cursor, ["parts"], gone={"parts": gone})

    # --- what the log tells ---------------------------------------------------------------------------------

    def _change_identity(self, cursor: Any) -> str:
        """Have the log name rows by something else. The change of an unnamed row is refused to writers only while it is published."""
        dice = self._writer.dice
        name = dice.choice([*_IDENTIFIED, "notes"])
        setup = usual_identity(TABLES[name])
        cursor.execute(_IDENTITY, [name])
        if cursor.fetchone()[0] != setup[0]:
            identify(cursor, name, setup[1])
            return "replica identity as before"
        others = ["FULL", "DEFAULT", f"USING INDEX {name}_seq"] if name != "notes" else []
        others = [other for other in others if other != setup[1]]
        cursor.execute(_REFUSES, [PUBLICATION, name])
        if cursor.fetchall():
            others.append("NOTHING" if name != "notes" else "DEFAULT")
        if not others:
            return ""
        chosen = dice.choice(others)
        identify(cursor, name, chosen)
        return f"replica identity {chosen.split(maxsplit=1)[0]}"

    def _take_out_or_put_back(self, cursor: Any) -> str:
        missing, published = self._publication(cursor)
        if not published and not missing:
            return ""
        if missing:
            publish(cursor, missing)
            self._say(cursor, missing)
            return "put back into the publication"
        name = self._writer.dice.choice(published)
        cursor.execute(
            SQL("ALTER PUBLICATION {} DROP TABLE {}").format(Identifier(PUBLICATION), Identifier(name))
        )
        self._say(cursor, [name])
        if self._writer.dice.random() < 0.6:
            self._writer.commit()
            self._writer.pause(self._writer.dice.choice([0.02, 0.1]))
            publish(cursor, [name])
            self._say(cursor, [name])
            return "out of the publication for a while"
        return "out of the publication"

    def _publication(self, cursor: Any) -> tuple[list[str], list[str]]:
        """Return which tables it lacks, and which it has; none at all where a row without a name could change meanwhile, or it is not there."""
        cursor.execute(_NAMELESS, [list(TABLES)])
        nameless = cursor.fetchall()
        cursor.execute(_PUBLISHED, [PUBLICATION])
        published = [name for (name,) in cursor.fetchall()]
        if nameless or not published:
            return [], []
        logged = [name for name in TABLES if self._writer.shared.methods.get(name) == "log"]
        return [name for name in logged if name not in published], published

    def _tell_less(self, cursor: Any) -> str:
        if not self._publication(cursor)[1]:
            return ""
        options = self._writer.dice.choice(
            ["publish = 'insert'", "publish = 'insert, update'", "publish_via_partition_root = true"]
        )
        cursor.execute(SQL("ALTER PUBLICATION {} SET ({})").format(Identifier(PUBLICATION), SQL(options)))
        self._say(cursor, _ALL)
        return "publication altered"

    def _drop_publication(self, cursor: Any) -> str:
        if not self._publication(cursor)[1]:
            return ""
        cursor.execute(SQL("DROP PUBLICATION {}").format(Identifier(PUBLICATION)))
        self._say(cursor, _ALL)
        return "publication dropped"

    def _drop_slot(self, cursor: Any) -> str:
        cursor.execute(
            "SELECT slot_name FROM pg_replication_slots WHERE slot_name = %s AND NOT active", [PUBLICATION]
        )
        if cursor.fetchone() is None:
            return ""
        cursor.execute("SELECT pg_drop_replication_slot(%s)", [PUBLICATION])
        self._say(cursor, _ALL, slot="dropped")
        return "slot dropped"


# --- what is undone --------------------------------------------------------------------------------------------


def make(cursor: Any, table: Table) -> None:
    for statement in table.setup:
        cursor.execute(statement)


def usual_identity(table: Table) -> tuple[str, str]:
    """Return the letter and the words of the replica identity that a table has from the beginning."""
    return ("f", "FULL") if table.is_whole_in_log or not table.keys else ("d", "DEFAULT")


def identify(cursor: Any, name: str, words: str) -> None:
    cursor.execute(SQL("ALTER TABLE {} REPLICA IDENTITY {}").format(Identifier(name), SQL(words)))


def publish(cursor: Any, names: Sequence[str]) -> None:
    listed: Composable = SQL(", ").join(map(Identifier, names))
    cursor.execute(SQL("ALTER PUBLICATION {} ADD TABLE {}").format(Identifier(PUBLICATION), listed))


def restore_tables(cursor: Any) -> list[str]:
    """Make the tables that somebody was about to make again when the server went away; return their names."""
    made = []
    for name, table in TABLES.items():
        cursor.execute("SELECT to_regclass(%s) IS NULL", [name])
        if cursor.fetchone()[0]:
            make(cursor, table)
            made.append(name)
    return made


def restore(cursor: Any, methods: dict[str, str]) -> list[str]:
    """Undo what makes the tap refuse to go on: identities, and what the publication tells. Return what was done."""
    did = []
    for name, table in TABLES.items():
        letter, words = usual_identity(table)
        cursor.execute(_IDENTITY, [name])
        if cursor.fetchone()[0] != letter:
            identify(cursor, name, words)
            did.append(f"{name}: replica identity {words}")
    cursor.execute(
        "SELECT pubinsert AND pubupdate AND pubdelete AND pubtruncate FROM pg_publication WHERE pubname = %s",
        [PUBLICATION],
    )
    found = cursor.fetchone()
    logged = [name for name in TABLES if methods[name] == "log"]
    name = Identifier(PUBLICATION)
    if found is None:
        listed: Composable = SQL(", ").join(map(Identifier, logged))
        cursor.execute(
            SQL("CREATE PUBLICATION {} FOR TABLE {} WITH (publish_via_partition_root = true)").format(
                name, listed
            )
        )
        return [*did, "publication made again"]
    if not found[0]:
        cursor.execute(
            SQL("ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')").format(name)
        )
        did.append("publication tells all again")
    cursor.execute(_PUBLISHED, [PUBLICATION])
    published = {known for (known,) in cursor.fetchall()}
    missing = [known for known in logged if known not in published]
    if missing:
        publish(cursor, missing)
        did.append(f"{', '.join(missing)} put back into the publication")
    return did
