"""Records that say that their row is gone: they are sent with `_sdc_deleted_at`, and what they leave out stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.in_process import Messages, Run, warned

from singerkit_shell.errors import BadDataError, ConfigurationError

GONE = "_sdc_deleted_at"
NOTES: dict[str, Any] = {
    "name": "notes",
    "path": "/notes",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
    "deletes": {"field": "deleted", "equals": True},
}


def answering(*rows: Any) -> dict[str, Callable[[Asked], Reply]]:
    return {"/notes": lambda _: json_reply(list(rows))}


def schema_of(found: Messages) -> dict[str, Any]:
    schema: dict[str, Any] = [one["schema"] for one in found.all if one["type"] == "SCHEMA"][-1]
    return schema


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "schema": {
                "properties": {"id": {"type": "integer"}, "text": {"type": "string"}},
                "required": ["id", "text"],
            }
        },
    ],
    ids=["inferred", "declared"],
)
def test_a_deletion_that_knows_its_key_only(
    more: dict[str, Any], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}, {"id": 3, "text": None}]
    with serving({"/notes": lambda _: json_reply(rows)}) as api:
        first = run(api, NOTES | more)
        assert [(row["id"], row[GONE]) for row in first.rows] == [(1, None), (2, None), (3, None)]
        assert "has `deleted`, by which `deletes` knows" in warned(caplog)
        mark = schema_of(first)["properties"][GONE]
        assert (sorted(mark["type"]), mark["format"]) == (["null", "string"], "date-time")
        rows[1] = {"id": 2, "deleted": True}
        second = run(api, NOTES | more, state=first.state)
        gone = second.rows[1]
        assert gone.keys() - {"deleted"} == {"id", GONE}
        assert abs((datetime.now(UTC) - datetime.fromisoformat(gone[GONE])).total_seconds()) < 60
        # Rows that are there are complete.
        assert second.rows[2] | {"deleted": None} == {"id": 3, "text": None, GONE: None, "deleted": None}
        assert "fields that were not known" not in warned(caplog) or "`deleted`" in warned(caplog)
        assert set(schema_of(second).get("required", [])) <= {"id"}


def test_the_time_of_a_deletion(run: Run) -> None:
    stream = NOTES | {
        "deletes": {"field": "meta.gone_at"},
        "time_zone": "Asia/Tokyo",
        "replication_key": "at",
    }
    times: list[tuple[Any, str | None]] = [
        ("2026-01-02T03:04:05.5+02:00", "2026-01-02T01:04:05.5Z"),
        ("2026-01-02 09:00", "2026-01-02T00:00:00Z"),  # of the stream's time zone
        ("Wed, 21 Oct 2026 07:28:00 GMT", "2026-10-21T07:28:00Z"),
        (1767225600, "2026-01-01T00:00:00Z"),
        (1767225600123, "2026-01-01T00:00:00.123Z"),
        ("1767225600", "2026-01-01T00:00:00Z"),
        (1767225600123456, "2026-01-01T00:00:00.123456Z"),
        ("/Date(1767225600123+0100)/", "2026-01-01T00:00:00.123Z"),
        (True, "2026-05-01T00:00:00Z"),  # by the replication key
        (1, "2026-05-01T00:00:00Z"),
        (None, None),
        (False, None),
        ("", None),
        (0, None),
    ]
    rows = [
        {"id": number, "at": "2026-05-01T00:00:00Z", "meta": {"gone_at": value}}
        for number, (value, _) in enumerate(times)
    ]
    with serving(answering(*rows)) as api:
        assert [row[GONE] for row in run(api, stream).rows] == [text for _, text in times]


def test_an_object_says_it_and_the_token_of_a_delta_link_goes_on(run: Run) -> None:
    """Microsoft Graph's way."""
    stream = {
        "name": "notes",
        "path": "/notes",
        "records": "$.value[*]",
        "primary_keys": ["id"],
        "incremental": {"token": "$.@odata.deltaLink"},
        "deletes": {"field": "@removed"},
    }

    def answer(asked: Asked) -> Reply:
        rows = (
            [{"id": "b", "@removed": {"reason": "deleted"}}]
            if asked.query
            else [{"id": "a"}, {"id": "b", "t": 1}]
        )
        return json_reply({"value": rows, "@odata.deltaLink": "/notes?$deltatoken=1"})

    with serving({"/notes": answer}) as api:
        first = run(api, stream)
        second = run(api, stream, state=first.state)
        assert [(row["id"], row[GONE] is not None, "t" in row) for row in second.rows] == [("b", True, False)]


def test_the_format_of_the_replication_key_is_that_of_deletions(run: Run) -> None:
    stream = NOTES | {
        "replication_key": "at",
        "replication_key_format": "%d.%m.%Y",
        "deletes": {"field": "gone"},
    }
    with serving(answering({"id": 1, "at": "03.02.2026", "gone": "04.02.2026"})) as api:
        assert [row[GONE] for row in run(api, stream).rows] == ["2026-02-04T00:00:00Z"]


def test_values_that_mean_deleted(run: Run) -> None:
    stream = NOTES | {"deletes": {"field": "status", "equals": ["archived", 7], "at": "changed"}}
    rows = [
        {"id": n, "status": status, "changed": "2026-02-03"}
        for n, status in enumerate(["archived", "7", 7, "open", None])
    ]
    with serving(answering(*rows, {"id": 9})) as api:
        marks = [row[GONE] for row in run(api, stream).rows]
        assert marks == [*["2026-02-03T00:00:00Z"] * 3, None, None, None]


def test_a_bookmark_knows_deletions_again(run: Run) -> None:
    """Kinto's way: from a time on, deleted records come as their key, the time and `deleted`."""
    rows = [{"id": n, "last_modified": 1767225600000 + n, "text": "a"} for n in (1, 2, 3)]

    def since(asked: Asked) -> Reply:
        return json_reply([row for row in rows if row["last_modified"] >= int(asked.param("_since") or 0)])

    stream = NOTES | {
        "replication_key": "last_modified",
        "replication_key_format": "epoch_ms",
        "incremental": {"param": "_since"},
        "bookmark": {"signpost": "none"},
    }
    with serving({"/notes": since}) as api:
        first = run(api, stream)
        rows[1] = {"id": 2, "last_modified": 1767225600004, "deleted": True}
        second = run(api, stream, state=first.state)
        assert [(row["id"], row[GONE], "text" in row) for row in second.rows] == [
            (2, "2026-01-01T00:00:00.004Z", False)
        ]
        assert run(api, stream, state=second.state).rows == []
        # One that comes back is there again, with all that it has.
        rows[1] = {"id": 2, "last_modified": 1767225600005, "text": "b"}
        third = run(api, stream, state=second.state)
        assert [(row["id"], row["text"], row[GONE]) for row in third.rows] == [(2, "b", None)]


@pytest.mark.parametrize(("form", "asked"), [("epoch_ms", "0"), (None, "1970-01-01T00:00:00Z")])
def test_what_goes_before_there_is_a_bookmark(form: str | None, asked: str, run: Run) -> None:
    """A first run may set none, since its rows are too new; what is deleted then is told to who asks from a value on."""
    now = datetime.now(UTC).timestamp()

    def at(seconds: float) -> Any:
        moment = datetime.fromtimestamp(now + seconds, UTC)
        return int((now + seconds) * 1000) if form else moment.isoformat().replace("+00:00", "Z")

    rows: list[dict[str, Any]] = [{"id": n, "at": at(n)} for n in (1, 2)]

    def answer(one: Asked) -> Reply:
        is_asked = one.param("since") is not None
        return json_reply([row for row in rows if is_asked or "deleted" not in row])

    more = {"replication_key": "at", "incremental": {"param": "since"}} | (
        {"replication_key_format": form} if form else {}
    )
    with serving({"/notes": answer}) as api:
        first = run(api, NOTES | more)
        assert "replication_key_value" not in first.state["bookmarks"]["notes"]
        rows[0] = {"id": 1, "at": at(3), "deleted": True}
        second = run(api, NOTES | more, state=first.state)
        assert api.asked[-1].param("since") == asked
        assert [(row["id"], row[GONE] is not None) for row in second.rows] == [(1, True)]


def test_nothing_is_read_below_what_is_gone(run: Run) -> None:
    child = {"name": "parts", "path": "/notes/{parent.id}", "parent": {"stream": "notes"}}
    routes = answering({"id": 1}, {"id": 2, "deleted": True}) | {"/notes/1": lambda _: json_reply([{"x": 1}])}
    with serving(routes) as api:
        found = run(api, NOTES, child)
        assert [row for row in found.rows if "x" in row] == [{"x": 1, "notes_id": 1}]
        assert [asked.path for asked in api.asked].count("/notes/2") == 0


def test_selected_fields_and_whole_marks(run: Run) -> None:
    with serving(answering({"id": 1, "a": 1}, {"id": 2, "a": 1, "deleted": True})) as api:
        found = run(api, NOTES, select=["notes.a"])
        assert [sorted(row) for row in found.rows] == [[GONE, "a", "id"], [GONE, "a", "id"]]
        with pytest.raises(ConfigurationError, match="is always sent"):
            run(api, NOTES, select=["notes", f"!notes.{GONE}"])
        partial = run(api, NOTES | {"partial_records": True})
        # One that comes back loses its mark though the stream leaves fields out.
        assert partial.rows[0][GONE] is None
        api.routes["/notes"] = lambda _: json_reply(
            [{"id": 1, GONE: None}, {"id": 2}, {"id": 3, GONE: "2026-01-01T00:00:00Z"}]
        )
        own = run(api, NOTES | {"deletes": {"field": GONE}})
        assert [row[GONE] for row in own.rows] == [None, None, "2026-01-01T00:00:00Z"]
        with pytest.raises(BadDataError, match="has a field `_sdc_deleted_at` of its own"):
            run(api, NOTES)


def test_what_does_not_say_it(run: Run) -> None:
    with serving(answering({"id": 1, "deleted": "no"})) as api:
        with pytest.raises(
            BadDataError, match="Expected a time, true, an object, false or null at `deleted`"
        ):
            run(api, NOTES | {"deletes": {"field": "deleted"}})
        assert run(api, NOTES).rows[0][GONE] is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"primary_keys": []}, "`streams[0].deletes` needs `streams[0].primary_keys`"),
        ({"deletes": {"field": "a..b"}}, "`streams[0].deletes.field`, or the names down to it"),
        ({"deletes": {"field": "a.b", "at": "$.a.b"}}, "`streams[0].deletes.at` has no effect"),
    ],
)
def test_what_is_refused(more: dict[str, Any], said: str, run: Run) -> None:
    with serving(answering()) as api, pytest.raises(ConfigurationError) as error:
        run(api, NOTES | more)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("equals", "value", "is_told"),
    [
        (True, 1, True),
        (True, "True", True),
        ("deleted", "Deleted", True),
        (True, False, False),
        ("a", "b", False),
    ],
)
def test_a_value_that_is_near_to_what_means_deleted_is_told(
    equals: Any, value: Any, is_told: bool, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(answering({"id": 1, "deleted": value}, {"id": 2, "deleted": equals})) as api:
        found = run(api, NOTES | {"deletes": {"field": "deleted", "equals": equals}})
    assert [row[GONE] is None for row in found.rows] == [True, False]
    assert ("it is taken for a row that is there" in warned(caplog)) == is_told


def test_a_row_that_moves_to_another_parent_needs_a_key_that_says_where_it_is(run: Run) -> None:
    below = {"path": "/folders/{parent.id}/notes", "parent": {"stream": "folders", "copy": {"folder": "id"}}}
    folders = {"name": "folders", "path": "/folders", "primary_keys": ["id"]}
    routes: dict[str, Any] = {"/folders": lambda _: json_reply([{"id": 1}, {"id": 2}])}
    notes: dict[int, list[dict[str, Any]]] = {1: [], 2: [{"id": 7}]}
    routes |= {f"/folders/{n}/notes": lambda _, n=n: json_reply(notes[n]) for n in notes}
    with serving(routes) as api:
        with pytest.raises(ConfigurationError, match="needs `folder` among its `primary_keys`"):
            run(api, folders, NOTES | below)
        notes[1], notes[2] = [{"id": 7}], [{"id": 7, "deleted": True}]
        moved = run(api, folders, NOTES | below | {"primary_keys": ["folder", "id"]})
    rows = [(row["folder"], row[GONE] is None) for row in moved.rows if "folder" in row]
    assert rows == [(1, True), (2, False)]
