"""Numbered pages of a sorted stream go on by the replication key: no row shifts out of sight (issue 9, B.4)."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, Table, dated, json_reply, page_of, serving
from taps.rest.test_incremental import SCHEMA


def stream(**more: Any) -> dict[str, Any]:
    return dated("orders", is_sorted=True, pagination={"type": "page"}, schema=SCHEMA) | more


def at(second: int) -> str:
    return f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}Z"


class Changing:
    """Rows in the order of their change, three a page; ``change`` strikes after each answer."""

    def __init__(self, count: int, change: Callable[[Changing], None] = lambda _: None) -> None:
        self.rows = {number: (number, "first") for number in range(1, count + 1)}
        self.clock = count
        self.change = change
        self._turn = threading.Lock()

    def touch(self, number: int, value: str, step: int = 1) -> None:
        self.clock += step
        self.rows[number] = (self.clock, value)

    def __call__(self, asked: Asked) -> Reply:
        with self._turn:
            return self._answer(asked)

    def _answer(self, asked: Asked) -> Reply:
        since = asked.param("since") or ""
        rows = [
            {"id": number, "at": at(second), "v": value}
            for number, (second, value) in sorted(self.rows.items(), key=lambda item: (item[1][0], item[0]))
            if at(second) >= since
        ]
        self.change(self)
        return json_reply(page_of(rows, asked, 3))


def newest(runs: list[Any]) -> dict[int, str]:
    return {record["id"]: record["v"] for run in runs for record in run.records("orders")}


def once() -> Callable[[Changing], None]:
    """A change after the first answer: the first row moves to the end, and every other one a place to the front."""
    left = [1]

    def change(table: Changing) -> None:
        if left:
            left.pop()
            table.touch(1, "second")

    return change


def test_a_row_that_shifts_to_a_page_already_read_is_not_missed(run_tap: Any) -> None:
    table = Changing(9, once())
    with serving({"/orders": table}) as api:
        first = run_tap(api.url, stream()).ended(0)
        assert Counter(record["id"] for record in first.records("orders")) == Counter([*range(1, 10), 1])
        assert newest([first]) == {1: "second", **dict.fromkeys(range(2, 10), "first")}
        assert "may be missed" not in first.stderr
        assert {asked.param("page") for asked in api.asked[:-2]} <= {
            "1",
            "2",
        }  # the last two: nothing stands behind, where a row has moved the page before is there
        again = run_tap(api.url, stream(), state=first.state).ended(0)
    assert again.records("orders") == []


def test_by_number_it_is_missed_and_the_first_run_says_that_it_may_be(run_tap: Any) -> None:
    """What the choice is worth."""
    by_number = stream(pagination={"type": "page", "continue_by": "number"})
    with serving({"/orders": Changing(9, once())}) as api:
        first = run_tap(api.url, by_number).ended(0)
    assert 4 not in newest([first])
    assert "may be missed" in first.stderr


@pytest.mark.parametrize("seed", range(8))
def test_whatever_changes_between_two_answers_arrives(seed: int, run_tap: Any) -> None:
    roll = random.Random(seed)
    left = [25]

    def change(table: Changing) -> None:
        for _ in range(roll.randrange(3)):
            if left[0]:
                left[0] -= 1
                number = roll.randrange(1, 15)
                table.touch(number, f"v{left[0]}", roll.choice([0, 1, 1, 2]))

    table = Changing(8, change)
    runs: list[Any] = []
    with serving({"/orders": table}) as api:
        for _ in range(12):
            state, at_a_time = runs[-1].state if runs else None, 1 + seed % 2
            runs.append(run_tap(api.url, stream(), state=state, concurrency=at_a_time).ended(0))
            if not left[0] and not runs[-1].records("orders"):
                break
    assert newest(runs) == {number: value for number, (_, value) in table.rows.items()}


@pytest.mark.parametrize("keys", [["id"], []])
def test_more_rows_of_one_moment_than_a_page_holds_go_on_by_number(keys: list[str], run_tap: Any) -> None:
    table = Changing(4)
    table.rows |= {number: (10, "tie") for number in range(5, 13)}
    table.rows |= {number: (number, "late") for number in range(13, 16)}
    with serving({"/orders": table}) as api:
        run = run_tap(api.url, stream(primary_keys=keys)).ended(0)
        assert Counter(record["id"] for record in run.records("orders")) == Counter(range(1, 16))
        assert run_tap(api.url, stream(primary_keys=keys), state=run.state).ended(0).records("orders") == []


@pytest.mark.parametrize(
    ("form", "more"),
    [("%Y-%m-%d", {"continue_by": "bookmark"}), ("%Y-%m-%d", {}), ("%Y-%m-%dT%H:%M:%SZ", {}), ("epoch", {})],
)
def test_a_question_that_holds_many_pages_of_values_is_read_to_its_end(
    form: str, more: dict[str, str], run_tap: Any
) -> None:
    rows = [{"id": n, "at": f"2026-01-01T00:00:{n // 30:02d}.{n:06d}Z", "v": "x"} for n in range(1, 100)]

    def reply(asked: Asked) -> Reply:
        since = asked.param("since") or ""
        moment = f"2026-01-01T00:00:{int(since) - 1767225600:02d}" if since.isdigit() else since.rstrip("Z")
        return json_reply(page_of([row for row in rows if row["at"] >= moment], asked, 3))

    with serving({"/orders": reply}) as api:
        config = stream(incremental={"param": "since", "format": form}, pagination={"type": "page"} | more)
        run = run_tap(api.url, config).ended(0)
    assert [record["id"] for record in run.records("orders")] == list(range(1, 100))


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_server_that_gives_later_rows_only_is_noticed_unless_the_row_has_gone(
    is_gone: bool, run_tap: Any
) -> None:
    rows = [{"id": n, "at": at(n // 2), "v": "x"} for n in range(2, 14)]

    def reply(asked: Asked) -> Reply:
        since = asked.param("since") or ""
        found = [row for row in rows if (row["at"] >= since if is_gone else row["at"] > since)]
        answer = json_reply(page_of(found, asked, 3))
        if is_gone and not since:
            rows[:] = [row for row in rows if row["at"] != found[2]["at"]]
        return answer

    with serving({"/orders": reply}) as api:
        run = run_tap(api.url, stream()).ended(0 if is_gone else 65)
    assert is_gone or "from the value on (`>=`)" in run.sentence


def test_a_server_that_ignores_the_parameter_is_noticed(run_tap: Any) -> None:
    rows = [{"id": number, "at": at(number)} for number in range(1, 10)]
    with serving({"/orders": lambda asked: json_reply(page_of(rows, asked, 3))}) as api:
        run = run_tap(api.url, stream())
    assert run.code == 65
    assert "ignores the parameter" in run.sentence


def test_rows_that_do_not_ascend_are_an_error(run_tap: Any) -> None:
    with serving({"/orders": lambda _: json_reply([{"id": 1, "at": at(2)}, {"id": 2, "at": at(1)}])}) as api:
        run = run_tap(api.url, stream()).ended(65)
    assert "ascending order of `at`" in run.sentence
    assert run.records("orders") == []


@pytest.mark.parametrize("pagination", [{"type": "page"}, {"type": "offset", "size": 3}])
@pytest.mark.parametrize("ties", [0, 3, 10])
def test_pages_that_descend_while_the_rows_of_each_ascend_are_an_error(
    ties: int, pagination: dict[str, Any], run_tap: Any
) -> None:
    """The newest page first, as chats have it; whoever goes on from its greatest value never asks for the others."""
    rows = [{"id": n, "at": at(min(n, 20 - ties)), "v": "x"} for n in range(1, 21)]

    def answer(asked: Asked) -> Reply:
        end = len(rows) - int(asked.param("offset") or 3 * int(asked.param("page") or 1) - 3)
        found = rows[max(end - 3, 0) : max(end, 0)]
        return json_reply([row for row in found if str(row["at"]) >= (asked.param("since") or "")])

    with serving({"/orders": answer}) as api:
        run = run_tap(api.url, stream(pagination=pagination)).ended(65)
        assert "in ascending order of `at`" in run.sentence
        assert "than on page 1" in run.sentence
        by_number = stream(pagination={**pagination, "continue_by": "number"})
        assert "Expected pages in ascending order" in run_tap(api.url, by_number).ended(65).sentence
        told = run_tap(api.url, stream(pagination=pagination, is_sorted=False)).ended(0)
    assert "bookmarks" not in run.state or not run.state["bookmarks"].get("orders")
    assert run.records("orders") == []
    assert sorted(record["id"] for record in told.records("orders")) == list(range(1, 21))


def test_it_needs_a_sorted_stream_that_can_be_asked_for(run_tap: Any) -> None:
    wish = {"type": "page", "continue_by": "bookmark"}
    for wrong in (stream(is_sorted=False, pagination=wish), {**stream(pagination=wish)}):
        wrong.pop("incremental")
        sentence = run_tap("http://127.0.0.1:1", wrong).ended(78).sentence
        assert "`streams[0].pagination.continue_by` `bookmark` needs" in sentence


def test_a_stop_rule_ends_it(run_tap: Any) -> None:
    table = Changing(7)

    def answer(asked: Asked) -> Reply:
        since, page = asked.param("since") or "", int(asked.param("page") or 1)
        rows = [{"id": n, "at": at(s)} for n, (s, _) in table.rows.items() if at(s) >= since]
        return json_reply({"rows": rows[3 * page - 3 : 3 * page], "more": len(rows) > 3 * page})

    rule = stream(records="$.rows[*]", pagination={"type": "page", "has_more": "$.more"})
    with serving({"/orders": answer}) as api:
        run = run_tap(api.url, rule).ended(0)
        assert [record["id"] for record in run.records("orders")] == [*range(1, 8)]
        assert_pages(api, 5)  # the second page shows that they ascend, the last that nothing stands behind


def assert_pages(api: Api, count: int) -> None:
    assert len(api.asked) == count


def test_the_last_rows_are_known_in_whatever_way_they_are_written(run_tap: Any) -> None:
    """Each answer has its own order of fields and a field of its own, which is not sent."""
    table = Changing(4)
    table.rows |= {number: (10, "tie") for number in range(5, 13)}
    roll = random.Random(1)

    def answer(asked: Asked) -> Reply:
        rows = json.loads(table(asked).body)
        shuffled = [roll.sample([*row.items(), ("asked", len(api.asked))], 4) for row in rows]
        return json_reply([dict(items) for items in shuffled])

    with serving({"/orders": answer}) as api:
        run = run_tap(api.url, stream(primary_keys=[])).ended(0)
    assert Counter(record["id"] for record in run.records("orders")) == Counter(range(1, 13))


def nulls_last(rows: list[dict[str, Any]], *, passes_nulls: bool = False, beyond: Reply | None = None) -> Any:
    """`WHERE at >= since ORDER BY at, id` of PostgreSQL, five a page; ``beyond``: the answer where no row of all is."""

    def answer(asked: Asked) -> Reply:
        since = asked.param("since")
        found = [row for row in rows if since is None or (row["at"] >= since if row["at"] else passes_nulls)]
        found.sort(key=lambda row: (row["at"] is None, row["at"] or "", row["id"]))
        page = page_of(found, asked, 5)
        return json_reply(page) if page or since or beyond is None else beyond

    return answer


def with_nulls(count: int, nulls: int) -> list[dict[str, Any]]:
    return [{"id": n, "at": at(n) if n <= count else None, "v": "x"} for n in range(1, count + nulls + 1)]


BY_OFFSET = {"type": "offset", "size": 5}


@pytest.mark.parametrize(
    ("pagination", "count", "nulls"),
    [
        (BY_OFFSET, 12, 4),
        (BY_OFFSET, 15, 11),
        (BY_OFFSET, 3, 13),
        ({"type": "page"}, 12, 9),
        ({"type": "page"}, 15, 6),
    ],
)
def test_rows_without_a_value_behind_all_others_are_read(
    pagination: dict[str, Any], count: int, nulls: int, run_tap: Any
) -> None:
    """No question from a value on gives them, and they were left out without a word."""
    with serving({"/orders": nulls_last(with_nulls(count, nulls))}) as api:
        config = stream(pagination=pagination, primary_keys=[])
        run = run_tap(api.url, config).ended(0)
        assert sorted(record["id"] for record in run.records("orders")) == list(range(1, count + nulls + 1))
        assert f"{nulls} rows of stream `orders` have no value" in run.stderr
        assert run_tap(api.url, config, state=run.state).ended(0).records("orders") == []


@pytest.mark.parametrize("passes_nulls", [False, True])
def test_rows_without_a_value_behind_many_of_one_value_are_read(passes_nulls: bool, run_tap: Any) -> None:
    rows = [{"id": n, "at": at(1) if n < 13 else None, "v": "x"} for n in range(1, 20)]
    with serving({"/orders": nulls_last(rows, passes_nulls=passes_nulls)}) as api:
        run = run_tap(api.url, stream(pagination=BY_OFFSET, primary_keys=[])).ended(0)
    assert sorted(record["id"] for record in run.records("orders")) == list(range(1, 20))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 12])
@pytest.mark.parametrize("is_first", [False, True])
@pytest.mark.parametrize("keys", [["id"], []])
def test_rows_without_a_value_that_each_question_gives_come_once(
    count: int, is_first: bool, keys: list[str], run_tap: Any
) -> None:
    """Two that say the same are two rows, where one question gives both and nothing tells them apart."""
    nulls: list[dict[str, Any]] = [{"id": 900 + n // 2 * 2, "at": None, "v": "x"} for n in range(6)]
    if keys:
        nulls = [row | {"id": 900 + n} for n, row in enumerate(nulls)]
    rows = with_nulls(count, 0)

    def answer(asked: Asked) -> Reply:
        found = [row for row in rows if row["at"] >= (asked.param("since") or "")]
        return json_reply(page_of([*nulls, *found] if is_first else [*found, *nulls], asked, 4))

    with serving({"/orders": answer}) as api:
        run = run_tap(api.url, stream(pagination={"type": "page"}, primary_keys=keys)).ended(0)
    came = sorted(record["id"] for record in run.records("orders"))
    assert came == sorted(row["id"] for row in [*rows, *nulls])


def test_rows_without_a_value_are_read_where_others_came_twice_or_left_meanwhile(run_tap: Any) -> None:
    rows = with_nulls(12, 8)
    answer = nulls_last(rows)

    def changing(asked: Asked) -> Reply:
        reply: Reply = answer(asked)
        if asked.param("since") == at(5):
            rows[0]["at"] = at(40)
            del rows[1]
        return reply

    with serving({"/orders": changing}) as api:
        run = run_tap(api.url, stream(pagination=BY_OFFSET)).ended(0)
    assert {record["id"] for record in run.records("orders") if record["at"] is None} == set(range(13, 21))


@pytest.mark.parametrize(("status", "is_told"), [(404, False), (416, False), (422, True)])
def test_an_api_without_pages_behind_its_rows_is_no_error(status: int, is_told: bool, run_tap: Any) -> None:
    beyond = json_reply({"detail": "Invalid page."}, status)
    with serving({"/orders": nulls_last(with_nulls(10, 0), beyond=beyond)}) as api:
        run = run_tap(api.url, stream(pagination={"type": "page"})).ended(0)
        assert len(run.records("orders")) == 10
    assert ("rows without a value in `at` stand behind" in run.stderr) == is_told


@pytest.mark.parametrize("rule", [{"total_count": "$.total"}, {"total_pages": "$.pages"}])
def test_a_last_answer_that_is_just_full_is_no_page_of_many(rule: dict[str, str], run_tap: Any) -> None:
    """Its total, that of the rows from the last value on, is what one page holds; the first total was above that."""
    rows = [{"id": n, "at": at(min(n, 7)), "v": "x"} for n in range(1, 10)]

    def answer(asked: Asked) -> Reply:
        found = [row for row in rows if str(row["at"]) >= (asked.param("since") or "")]
        page = page_of(found, asked, 3)
        return json_reply({"rows": page, "total": len(found), "pages": -(-len(found) // 3)})

    with serving({"/orders": answer}) as api:
        config = stream(records="$.rows[*]", pagination={"type": "page", "size": 3, **rule})
        run = run_tap(api.url, config).ended(0)
    assert [record["id"] for record in run.records("orders")] == list(range(1, 10))
    assert "would be the last" not in run.stderr


@pytest.mark.parametrize(
    ("form", "continue_by", "words"),
    [
        (None, None, None),
        (
            "%Y-%m-%d",
            None,
            'if `incremental.format` (`%Y-%m-%d`) had seconds: write them, if the API takes them, or set `"cont',
        ),
        ("%Y-%m-%d", "bookmark", None),
        (
            None,
            "number",
            'Without `"continue_by": "number"` in `pagination` it would go on by its replication key',
        ),
    ],
)
def test_a_sorted_stream_that_is_read_by_number_is_told_why(
    run_tap: Any, form: str | None, continue_by: str | None, words: str | None
) -> None:
    stream = dated(
        is_sorted=True, pagination={"type": "page"} | ({"continue_by": continue_by} if continue_by else {})
    )
    if form:
        stream["incremental"] = stream["incremental"] | {"format": form}
    with serving({"/rows": Table([{"id": 1, "at": "2026-01-01T00:00:00Z"}], 5)}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert ("is read by numbered pages" in run.stderr) == (words is not None)
    assert words is None or words in run.stderr
    assert "`keyset` and `cursor` have no such gap" not in run.stderr


def test_a_sorted_stream_that_is_read_by_number_for_its_filter_is_told_so(run_tap: Any) -> None:
    """Neither seconds in the format nor `continue_by`, which is refused there, would help."""
    stream = dated(is_sorted=True, pagination={"type": "page"}, records="$[?(@.id > 0)]")
    with serving({"/rows": Table([{"id": 1, "at": "2026-01-01T00:00:00Z"}], 5)}) as api:
        run = run_tap(api.url, stream).ended(0)
    assert "without the filter in `records` (`$[?(@.id > 0)]`)" in run.stderr
    assert "continue_by" not in run.stderr


class Heap:
    """Rows of one moment in an order that is another for each offset, and the same each time: as PostgreSQL sorts ties."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, asked: Asked) -> Reply:
        size = int(asked.param("per_page") or asked.param("limit") or 3)
        begin = int(asked.param("offset") or (int(asked.param("page") or 1) - 1) * size)
        rows: list[dict[str, Any]] = [{"id": row, "at": at(1), "v": "x"} for row in range(1, self.count + 1)]
        if asked.param("sort") != "at,id":
            random.Random(begin).shuffle(rows)
        rows.append({"id": 99, "at": at(2), "v": "later"})
        rows = [row for row in rows if row["at"] >= (asked.param("since") or "")]
        return json_reply(rows[begin : begin + size])


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_rows_of_one_value_in_another_order_on_each_page_are_noticed(kind: str, run_tap: Any) -> None:
    table = Heap(9)
    paging = {"type": kind, "size": 3}
    with serving({"/orders": table}) as api:
        failed = run_tap(api.url, stream(pagination=paging)).ended(65)
        sentence = failed.stderr.splitlines()[-1]
        assert "stood on two pages each time" in sentence
        assert '`"sort": "at,id"`' in sentence
        sorted_ = stream(pagination=paging, params={"sort": "at,id"})
        mended = run_tap(api.url, sorted_, state=failed.state).ended(0)
        ids = {record["id"] for run in (failed, mended) for record in run.records("orders")}
        assert ids == {*range(1, 10), 99}
        larger = run_tap(api.url, stream(pagination=paging | {"size": 20})).ended(0)
    assert len(larger.records("orders")) == 10


def test_without_a_key_rows_on_two_pages_are_told(run_tap: Any) -> None:
    with serving({"/orders": Heap(9)}) as api:
        paging = {"type": "page", "size": 3}
        told = run_tap(api.url, stream(pagination=paging, primary_keys=[])).ended(0)
        assert "stood on two pages each time" in told.stderr
        quiet = run_tap(api.url, stream(pagination=paging, primary_keys=[], params={"sort": "at,id"})).ended(
            0
        )
    assert "two pages" not in quiet.stderr
    assert len(quiet.records("orders")) == 10


def test_a_row_that_comes_in_while_rows_of_one_value_are_read_is_no_sign_of_an_order(run_tap: Any) -> None:
    """It shifts one onto the next page, which comes twice, once."""
    rows = list(range(10, 19))

    def orders(asked: Asked) -> Reply:
        page = page_of([{"id": number, "at": at(1), "v": "x"} for number in rows], asked, 3)
        if asked.param("page") == "2" and len(rows) < 11:
            rows.insert(0, 20 - len(rows) - 10)
        return json_reply(page)

    with serving({"/orders": orders}) as api:
        run = run_tap(api.url, stream()).ended(0)
    assert {record["id"] for record in run.records("orders")} == set(rows)


def test_a_row_that_goes_back_within_one_read_is_sent_again(run_tap: Any) -> None:
    """While rows of one moment are read twice, one of them becomes closed, and open again."""
    notes = iter(["open", "closed", "open"])
    note = ["open"]

    def orders(asked: Asked) -> Reply:
        if asked.param("page") == "1":
            note[0] = next(notes, "open")
        rows = [{"id": number, "at": at(1), "v": note[0] if number == 1 else "x"} for number in range(1, 8)]
        rows.append({"id": 8, "at": at(5), "v": "x"})
        return json_reply(
            page_of([row for row in rows if row["at"] >= (asked.param("since") or "")], asked, 3)
        )

    with serving({"/orders": orders}) as api:
        run = run_tap(api.url, stream()).ended(0)
    assert newest([run])[1] == "open"
    assert [record["v"] for record in run.records("orders") if record["id"] == 1][-2:] == ["closed", "open"]


def test_a_key_that_rows_of_one_value_share_is_no_sign_of_an_order(run_tap: Any) -> None:
    """Where the config says that more rows may have one key, they may stand on two pages."""
    rows = [{"id": number // 4, "at": at(1), "v": str(number)} for number in range(9)]
    with serving({"/orders": lambda asked: json_reply(page_of(rows, asked, 3))}) as api:
        run = run_tap(api.url, stream(duplicate_keys="warn")).ended(0)
    assert [record["v"] for record in run.records("orders")] == [row["v"] for row in rows]
