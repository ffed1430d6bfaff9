"""The messages of pgoutput, made here by hand, and the changes that come of them: each number, each place, each order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from singerkit_shell.errors import BadDataError
from tap_postgres.log import changes, pgoutput
from tap_postgres.log.changes import Changes, Hooks, joined
from tap_postgres.log.pgoutput import ABSENT, Attribute, Relation
from tap_postgres.log.rows import Rows
from tap_postgres.log.spool import Spool
from tap_postgres.log.tables import LoggedTable
from tap_postgres.log.values import as_it_is

OID, OTHER = b"\x01\0\0\x07", b"\0\0\0\x09"
AT = 1_000_001
MOMENT = "2000-01-01T00:00:01.000001Z"
NAMES = ("id", "a", "b")


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, signed=value < 0)


def table(
    identity: bytes = b"d", oid: bytes = OID, name: bytes = b"t", names: Sequence[str] = NAMES
) -> bytes:
    columns = b"".join(
        bytes([one == "id" or identity == b"f"]) + one.encode() + b"\0" + number(25, 4) + number(-1, 4)
        for one in names
    )
    return b"R" + oid + b"s\0" + name + b"\0" + identity + number(len(names), 2) + columns


def values(*given: bytes | object | None) -> bytes:
    made = [
        b"t" + number(len(one), 4) + one if isinstance(one, bytes) else b"n" if one is None else b"u"
        for one in given
    ]
    return number(len(made), 2) + b"".join(made)


def begin(xid: int = 700) -> bytes:
    return b"B" + number(1, 8) + number(AT, 8) + number(xid, 4)


def commit(end: int = 90) -> bytes:
    return b"C\0" + number(1, 8) + number(end, 8) + number(AT, 8)


def insert(*given: Any, oid: bytes = OID) -> bytes:
    return b"I" + oid + b"N" + values(*given)


def update(*given: Any, old: tuple[bytes, Sequence[Any]] | None = None) -> bytes:
    before = b"" if old is None else old[0] + values(*old[1])
    return b"U" + OID + before + b"N" + values(*given)


def delete(kind: bytes, *given: Any) -> bytes:
    return b"D" + OID + kind + values(*given)


def sent(*contents: bytes) -> list[bytes]:
    return [one if one[:1] == b"k" else b"w" + bytes(range(24)) + one for one in contents]


def keepalive(place: int) -> bytes:
    return b"k" + number(place, 8) + number(AT, 8) + b"\0"


def block(xid: int, *contents: bytes, parts: Sequence[int] = ()) -> list[bytes]:
    inner = [
        one[:1] + number(part, 4) + one[1:]
        for one, part in zip(contents, [*parts, *[xid] * len(contents)], strict=False)
    ]
    return sent(b"S" + number(xid, 4) + b"\1", *inner, b"E")


def committed(xid: int, end: int = 95) -> list[bytes]:
    return sent(b"c" + number(xid, 4) + b"\0" + number(1, 8) + number(end, 8) + number(AT, 8))


def aborted(xid: int, part: int) -> list[bytes]:
    return sent(b"A" + number(xid, 4) + number(part, 4))


class Log:
    """Decodes messages; what it was asked for and what came of it."""

    def __init__(
        self, *, key: Sequence[str] = ("id",), passes_truncate: bool = True, lacks: bytes = b"{}"
    ) -> None:
        self.table = LoggedTable("s-t", "s", "t", tuple(key), dict.fromkeys(NAMES, 25))
        self.described: list[Relation] = []
        self.lacking: list[tuple[str, Any, Sequence[str]]] = []
        self.lacks = lacks
        self.spool = Spool(None, 1 << 20, None)
        self.changes = Changes(10, self.spool, Hooks(self._rows, self._lacking, passes_truncate))

    def _rows(self, relation: Relation) -> Rows | None:
        self.described.append(relation)
        if relation.name != "t":
            return None
        return Rows(self.table, relation, {one.name: as_it_is for one in relation.attributes})

    def _lacking(self, rows: Rows, new: Any, columns: Sequence[str]) -> bytes:
        self.lacking.append((rows.stream, new, columns))
        return self.lacks

    def pages(self, *messages: bytes) -> list[tuple[list[Any], int | None]]:
        """What each page has: of each change the record, and when it was deleted, or that there is a doubt; and its position."""
        return [([*map(self._told, page.changes)], page.position) for page in self.changes.pages(messages)]  # type: ignore[arg-type]

    @staticmethod
    def _told(change: Any) -> tuple[Any, Any]:
        assert change.stream == "s-t"
        assert change.transaction in XIDS
        return change.record, change.deleted_at or bool(change.doubt) or None


XIDS = range(700, 999)
R1 = (b'{"id":1,"a":"x","b":null}', None)
R2 = (b'{"id":2,"a":null,"b":3}', None)


def test_a_table_is_as_it_was() -> None:
    assert pgoutput.relation(table(), 0) == Relation(
        OID, "s", "t", "d", tuple(Attribute(name, 25, -1, name == "id") for name in NAMES)
    )
    of_server = (
        b"R"
        + OTHER
        + b"\0pg_class\0n"
        + number(1, 2)
        + b"\0"
        + "größe".encode()
        + b"\0"
        + number(1 << 31, 4)
        + number(1 << 24 | 259, 4)
    )
    assert pgoutput.relation(b"..." + of_server, 3) == Relation(
        OTHER, "pg_catalog", "pg_class", "n", (Attribute("größe", 1 << 31, 1 << 24 | 259, False),)
    )


def test_a_point_in_time_of_the_log_counts_from_the_millennium() -> None:
    assert pgoutput.moment(AT) == MOMENT
    assert pgoutput.moment(-1) == "1999-12-31T23:59:59.999999Z"


def test_a_transaction_comes_with_its_end_and_number() -> None:
    log = Log()
    found = [*log.changes.pages(sent(begin(700), table(), insert(b"1", b'"x"', None), commit(90)))]
    assert [(page.position, [change.transaction for change in page.changes]) for page in found] == [
        (90, [700])
    ]
    assert (found[0].changes[0].stream, found[0].changes[0].record) == ("s-t", R1[0])
    assert (log.changes.position, log.changes.is_inside) == (90, False)


def test_a_transaction_that_has_not_ended_has_no_position_yet() -> None:
    log = Log()
    assert log.pages(*sent(begin(), table(), insert(b"1", b'"x"', None))) == [([R1], None)]
    assert log.changes.is_inside
    assert log.pages(*sent(keepalive(60))) == []
    assert log.changes.position == 10
    assert log.pages(*sent(insert(b"2", None, b"3"), commit(90))) == [([R2], 90)]
    assert log.pages(*sent(keepalive(85))) == []
    assert log.changes.position == 90
    log.pages(*sent(keepalive(91 << 56)))
    assert log.changes.position == 91 << 56


def test_a_page_ends_before_the_next_description_of_a_table() -> None:
    log = Log()
    messages = sent(
        begin(), table(), insert(b"1", b'"x"', None), table(names=("id", "b")), insert(b"2", b"3"), commit()
    )
    assert log.pages(*messages) == [([R1], None), ([(b'{"id":2,"b":3}', None)], 90)]
    assert len(log.described) == 2
    assert log.pages(*sent(table(names=("id", "b")))) == []
    assert len(log.described) == 2, "the same again is no news"


@pytest.mark.parametrize("limit", ["PAGE_CHANGES", "PAGE_BYTES"])
@pytest.mark.parametrize("is_old_told", [False, True])
def test_pages_of_a_transaction_that_was_kept_are_bounded(
    monkeypatch: pytest.MonkeyPatch, limit: str, is_old_told: bool
) -> None:
    row = (b"1", b'"x"', None)
    message = update(*row, old=(b"O", row)) if is_old_told else insert(*row)
    monkeypatch.setattr(changes, limit, 2 if limit == "PAGE_CHANGES" else 2 * len(message))
    found = Log().pages(*block(700, table(), *[message] * 7), *committed(700))
    assert [(len(page), place) for page, place in found] == [(2, None), (2, None), (2, None), (1, 95)]


def test_tables_that_nobody_reads_are_passed_by() -> None:
    log = Log()
    others = [
        insert(b"1", None, None, oid=OTHER),
        b"U" + OTHER + b"N" + values(b"1", None, None),
        b"D" + OTHER + b"K" + values(b"1", None, None),
    ]
    truncate = b"T" + number(1, 4) + b"\0" + OTHER
    assert log.pages(*sent(begin(), table(oid=OTHER, name=b"o"), *others, truncate, commit())) == []
    assert log.changes.position == 90


def test_other_messages_say_nothing_of_rows() -> None:
    log = Log()
    kinds = [
        b"O" + number(1, 8) + b"name\0",
        b"Y" + OTHER + b"s\0kind\0",
        b"M\0" + number(1, 8) + b"p\0" + number(1, 4) + b"x",
    ]
    assert log.pages(*sent(begin(), *kinds, commit())) == []
    with pytest.raises(BadDataError, match="a message of kind `Z`, which this tap does not know"):
        log.pages(*sent(b"Zzzz"))


GONE = (b'{"id":1}', MOMENT)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (update(b"1", b'"x"', None), [R1]),
        (update(b"1", ABSENT, None), [(b'{"id":1,"b":null}', None)]),
        (update(b"1", b'"x"', None, old=(b"K", (b"1", None, None))), [R1]),
        (update(b"2", None, b"3", old=(b"K", (b"1", None, None))), [GONE, R2]),
        (delete(b"K", b"1", None, None), [GONE]),
        (delete(b"O", b"1", b'"x"', b"3"), [GONE]),
    ],
)
def test_a_change_is_what_becomes_of_the_row(message: bytes, expected: list[Any]) -> None:
    log = Log()
    assert log.pages(*sent(begin(), table(), message, commit())) == [(expected, 90)]
    assert log.lacking == []


def test_what_the_log_lacks_of_a_new_key_is_asked_for() -> None:
    log = Log(lacks=b' {"a":"kept"} ')
    message = update(b"2", ABSENT, b"3", old=(b"K", (b"1", None, None)))
    assert log.pages(*sent(begin(), table(), message, commit())) == [
        ([GONE, (b'{"id":2,"b":3,"a":"kept"}', None)], 90)
    ]
    assert log.lacking == [("s-t", [b"2", ABSENT, b"3"], ["a"])]
    whole = update(b"2", ABSENT, b"3", old=(b"O", (b"1", b'"old"', None)))
    assert log.pages(*sent(begin(), table(b"f"), whole, commit())) == [
        ([GONE, (b'{"id":2,"a":"old","b":3}', None)], 90)
    ]
    assert len(log.lacking) == 1


def test_a_row_without_a_key_goes_as_all_that_it_was() -> None:
    log = Log(key=())
    message = update(b"2", ABSENT, b"3", old=(b"O", (b"1", b'"x"', None)))
    gone = (R1[0], MOMENT)
    assert log.pages(*sent(begin(), table(b"f"), message, commit())) == [
        ([gone, (b'{"id":2,"a":"x","b":3}', None)], 90)
    ]
    assert log.pages(*sent(begin(), delete(b"O", b"1", b'"x"', None), commit())) == [([gone], 90)]


def test_each_transaction_has_its_own_moment() -> None:
    log = Log()
    later = b"B" + number(1, 8) + number(AT + 1, 8) + number(701, 4)
    found = log.pages(
        *sent(
            begin(),
            table(),
            delete(b"K", b"1", None, None),
            commit(),
            later,
            delete(b"K", b"1", None, None),
            commit(91),
        )
    )
    assert found == [([GONE, (GONE[0], "2000-01-01T00:00:01.000002Z")], 91)]


DOUBT = (None, True)


@pytest.mark.parametrize("identity", [b"n", b"d"])
def test_changes_that_do_not_say_which_row_are_doubts(identity: bytes) -> None:
    log = Log(key=("a",))
    for message in (update(b"1", b"2", None), delete(b"K", b"1", b"2", None)):
        assert log.pages(*sent(begin(), table(identity), message, commit())) == [([DOUBT], 90)]


def test_an_old_row_without_its_key_is_a_doubt() -> None:
    log = Log()
    for message in (delete(b"K", None, None, None), update(b"2", None, None, old=(b"K", (None, None, None)))):
        assert log.pages(*sent(begin(), table(), message, commit())) == [([DOUBT], 90)]


def test_an_update_of_a_row_without_a_key_says_what_it_was() -> None:
    log = Log(key=())
    with pytest.raises(BadDataError, match="cannot be read"):
        log.pages(*sent(begin(), table(b"f"), update(b"1", None, None), commit()))


def test_a_moment_that_is_none_is_an_error() -> None:
    beyond = b"B" + number(1, 8) + number((1 << 63) - 1, 8) + number(700, 4)
    with pytest.raises(BadDataError, match="cannot be read"):
        Log().pages(*sent(beyond, table(), delete(b"K", b"1", None, None)))


def test_tables_that_are_emptied() -> None:
    log = Log()
    truncate = b"T" + number(2, 4) + b"\0" + OTHER + OID
    assert pgoutput.truncated(truncate, 0) == [OTHER, OID]
    assert log.pages(*sent(begin(), table(), truncate, commit())) == [([(None, None)], 90)]
    refusing = Log(passes_truncate=False)
    with pytest.raises(BadDataError, match=rf"Table `s.t` was emptied \(TRUNCATE\) at {MOMENT}"):
        refusing.pages(*sent(begin(), table(), truncate, commit()))


# --- transactions that come before they are committed -------------------------------------------------------------


def test_blocks_of_open_transactions_wait_for_their_end() -> None:
    log = Log()
    first, second = insert(b"1", b'"x"', None), insert(b"2", None, b"3")
    assert log.pages(*block(800, table(), first), *block(801, table(), second)) == []
    assert (log.changes.position, log.changes.is_inside) == (10, False)
    found = [*log.changes.pages(committed(801, 95))]
    assert [(one.record, one.transaction) for page in found for one in page.changes] == [(R2[0], 801)]
    assert log.changes.position == 95
    assert log.pages(*committed(800, 97)) == [([R1], 97)]
    assert log.pages(*block(802, table(), b"O", delete(b"K", b"1", None, None)), *committed(802, 98)) == [
        ([GONE], 98)
    ]


def test_what_was_rolled_back_does_not_come() -> None:
    log = Log()
    rows = [insert(str(n).encode(), None, None) for n in (1, 2, 3)]
    log.pages(*block(800, table(), *rows, parts=(801, 800, 801, 802)), *block(900, table(), rows[0]))
    log.pages(*aborted(800, 801), *aborted(900, 900))
    assert log.pages(*committed(800)) == [
        ([(b'{"id":1,"a":null,"b":null}', None), (b'{"id":3,"a":null,"b":null}', None)], 95)
    ]
    assert log.pages(*committed(900, 96)) == []


def test_a_description_within_an_open_transaction_ends_the_page_before_it() -> None:
    log = Log()
    messages = [table(), insert(b"1", b'"x"', None), table(names=("id", "b")), insert(b"2", b"3")]
    found = log.pages(*block(800, *messages), *committed(800))
    assert found == [([R1], None), ([(b'{"id":2,"b":3}', None)], 95)]


@pytest.mark.parametrize(
    "message",
    [
        b"", b"x", b"w", b"k", keepalive(99)[:-1], keepalive(99) + b"x", b"q" + bytes(17),
        *sent(b"", insert(b"1", None, None, oid=b"\0\0\0\1"), insert(b"1"), insert(b"1", None, None, None), insert(b"1", None, None) + b"x",
              insert(b"1", None, None)[:-1], b"I" + OID + b"K" + values(b"1", None, None), b"I" + OID + b"N" + number(3, 2) + b"nnb",
              delete(b"N", b"1", None, None), delete(b"K", b"1", None), delete(b"K", b"1", None, None) + b"n",
              update(b"1", None, old=(b"K", (b"1", None, None))), update(b"1", None, None, old=(b"X", (b"1", None, None))),
              update(b"1", None, None) + b"n", update(b"1", ABSENT, None) + b"n", b"D" + OID + b"K" + number(2, 2) + b"nnn", table()[:-1], table() + b"x", b"T" + number(2, 4) + b"\0" + OID,
              b"I" + number(9, 4) + b"N" + values(b"1", None, None), begin()[:-1], commit()[:12], b"S\0", b"A" + number(1, 4) + b"\0", b"c" + number(1, 4) + bytes(20)),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_error(message: bytes) -> None:
    log = Log()
    log.pages(*sent(table()))
    with pytest.raises(BadDataError, match="behind 0/A cannot be read"):
        log.pages(message)


@pytest.mark.parametrize("error", [KeyError("id"), ValueError("id"), IndexError("id")])
def test_what_fails_elsewhere_is_no_fault_of_the_message(error: Exception) -> None:
    def fails(*_: Any) -> Any:
        raise error

    asked = Log(lacks=b"{}")
    asked.changes = Changes(10, asked.spool, Hooks(fails, fails))
    with pytest.raises(type(error)):
        asked.pages(*sent(table()))
    asked.changes = Changes(10, asked.spool, Hooks(asked._rows, fails))
    with pytest.raises(type(error)):
        asked.pages(*sent(table(), begin(), update(b"2", ABSENT, b"3", old=(b"K", (b"1", None, None)))))


@pytest.mark.parametrize(
    "content", [begin(), commit(), b"S" + number(1, 4) + b"\1", b"I\0", b"c" + bytes(29)]
)
def test_a_block_has_nothing_else_than_changes(content: bytes) -> None:
    log = Log()
    log.pages(*sent(b"S" + number(800, 4) + b"\1"))
    with pytest.raises(BadDataError, match="cannot be read"):
        log.pages(*sent(content))


def test_what_the_log_does_not_have_is_shown_as_that() -> None:
    assert repr(ABSENT) == "ABSENT"


def test_a_table_may_be_emptied_unless_somebody_minds() -> None:
    assert Hooks(lambda _: None, lambda *_: b"").passes_truncate is True


def test_one_object_of_two() -> None:
    assert joined(b'{"a":1}', b" { } ") == b'{"a":1}'
    assert joined(b'{"a":1}', b"") == b'{"a":1}'
    assert joined(b"{}", b'{"b":2}') == b'{"b":2}'
    assert joined(b'{"a":1}', b'{"b":2, "c":{}}') == b'{"a":1,"b":2, "c":{}}'
