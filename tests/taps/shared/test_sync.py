"""The sync loop: what is sent, and which bookmark is written when, over several runs."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft7Validator

from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError

DAY = "2024-01-{:02}T00:00:00Z"


def order(number: int, day: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": number, "at": DAY.format(day), **more}


def bookmark(state: dict[str, Any], stream: str = "orders") -> Any:
    return state["bookmarks"][stream].get("replication_key_value")


def incremental(example, **settings: Any) -> dict[str, Any]:
    return example.config(example.stream(replication_key="at", **settings))


# Ties


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("keys", [["id"], []])
@pytest.mark.parametrize("filters", [True, False])
def test_rows_at_the_boundary_are_sent_once_over_all_runs(example, is_sorted, keys, filters):
    config = incremental(example, is_sorted=is_sorted, key_properties=keys, server_filters=filters)
    example.pages([order(1, 1), order(2, 2)], [order(3, 2)])
    first = example.sync(config)
    assert first.ids == [1, 2, 3]
    example.pages([order(1, 1), order(2, 2)], [order(3, 2), order(4, 2)], [order(5, 3)])
    second = example.sync(config, first.state)
    assert second.ids == [4, 5]
    third = example.sync(config, second.state)
    assert third.ids == []
    assert bookmark(third.state) == DAY.format(3), "what was there before this read began"
    fourth = example.sync(config, third.state)
    assert fourth.ids == []
    assert fourth.state["bookmarks"] == third.state["bookmarks"]


def test_a_row_that_changed_without_its_replication_key_is_sent_again(example):
    config = incremental(example)
    example.pages([order(1, 1, price=1)])
    first = example.sync(config)
    example.pages([order(1, 1, price=2)])
    assert example.sync(config, first.state).records() == [order(1, 1, price=2, note=None)]


def told(*versions: str) -> list[list[dict[str, Any]]]:
    """One page per version of row 1, all under one value of the replication key; row 2 does not change."""
    return [[order(1, note=version), order(2)] for version in versions]


@pytest.mark.parametrize("is_sorted", [True, False])
@pytest.mark.parametrize("filters", [True, False])
@pytest.mark.parametrize("signpost", ["auto", "none"])
def test_a_row_that_goes_back_to_what_it_said_before_is_sent_again(example, is_sorted, filters, signpost):
    config = incremental(example, is_sorted=is_sorted, server_filters=filters, signpost=signpost)
    state: dict[str, Any] = {}
    sent = []
    for page in told("open", "closed", "open", "open", "closed"):
        example.pages(page)
        run = example.sync(config, state)
        sent.append([(row["id"], row["note"]) for row in run.records()])
        state = run.state
    assert sent == [[(1, "open"), (2, None)], [(1, "closed")], [(1, "open")], [], [(1, "closed")]]
    (seen,) = [state["bookmarks"]["orders"]["_singerkit_seen"]["rows"]]
    assert len(seen) == 2, "each row is remembered once"


def test_within_one_read_the_version_that_was_sent_last_counts(example):
    config = incremental(example)
    example.pages(*told("open"))
    first = example.sync(config)
    example.pages(*told("open", "closed", "open"))
    second = example.sync(config, first.state)
    assert [row["note"] for row in second.records()] == ["closed", "open"]
    example.pages(*told("closed", "open"))
    third = example.sync(config, second.state)
    assert [row["note"] for row in third.records()] == ["closed", "open"]
    assert example.sync(config, third.state).ids == [1, 1], "as the pages have it"


@pytest.mark.parametrize("away", [{"at": None}, {"at": DAY.format(3)}], ids=str)
def test_a_row_that_was_sent_at_another_value_or_at_none_meanwhile_is_not_recognised(example, away):
    """What is not remembered itself ends what was remembered of the same row."""
    config = incremental(example, server_filters=False, signpost="none")
    example.pages([order(1, 5), order(2, 5)])
    state = example.sync(config).state
    example.pages([order(1, 5) | away, order(2, 5)])
    state = example.sync(config | {}, state).state
    example.pages([order(1, 5), order(2, 5)])
    last = example.sync(config, state)
    assert last.ids == ([1] if away["at"] is None else []), "rows below the bookmark are not sent at all"


@pytest.mark.parametrize("shared", [True, False])
def test_a_child_that_goes_back_is_sent_again(example, shared):
    schema = {"properties": {**ITEM_SCHEMA["properties"], "note": {"type": ["null", "string"]}}}
    config = example.config(
        example.stream(),
        example.stream(
            name="items",
            schema=schema,
            key_properties=["order", "id"],
            replication_key="at",
            parent="orders",
            parent_key="order",
            partition_bookmarks=not shared,
        ),
    )
    example.pages([order(7), order(8)])
    state: dict[str, Any] = {}
    sent = []
    for note in ("open", "closed", "open", "open"):
        rows = [order(1, order=7, note=note), order(1, order=8, note="open")]
        example.pages(rows, name="items")
        run = example.sync(config, state)
        sent.append([(row["order"], row["note"]) for row in run.records("items")])
        state = run.state
    assert sent == [[(7, "open"), (8, "open")], [(7, "closed")], [(7, "open")], []]


def test_a_parent_that_goes_back_has_its_children_read_again(example):
    config = example.config(
        example.stream(replication_key="at", selected_by_default=False),
        example.stream(
            name="items",
            schema={"properties": {"id": {"type": "integer"}, "order": {"type": "integer"}}},
            parent="orders",
            parent_key="order",
            key_properties=[],  # such a child is read for parents that have changed, not for those that may have
        ),
    )
    example.pages([{"id": 1, "order": 1}], name="items")
    state: dict[str, Any] = {}
    read = []
    for page in told("open", "closed", "open", "open"):
        example.pages(page)
        run = example.sync(config, state)
        read.append(run.records("items") != [])
        state = run.state
    assert read == [True, True, True, False]


def test_changes_told_by_partial_records_are_counted_as_they_come(example):
    config = incremental(example, sends_partial_records=True)
    example.pages(*told("open", "closed", "open"))
    first = example.sync(config)
    assert example.sync(config, first.state).ids == []


def test_what_an_older_version_remembers_of_rows_with_a_key_comes_once_more(example):
    """It does not say which of two versions was sent last."""
    config = incremental(example)
    example.pages([order(1), order(2)])
    state = example.sync(config).state
    seen = state["bookmarks"]["orders"]["_singerkit_seen"]
    seen["rows"] = [name[:8] + "abc" for name in seen["rows"]]
    again = example.sync(config, state)
    assert again.ids == [1, 2]
    assert example.sync(config, again.state).ids == []


def test_rows_that_were_sent_with_a_key_are_known_without_one(example):
    example.pages([order(1), order(2)], [order(3, 2)])
    first = example.sync(incremental(example))
    second = example.sync(incremental(example, key_properties=[]), first.state)
    assert second.ids == []
    assert example.sync(incremental(example, key_properties=[]), second.state).ids == []


def test_equal_rows_of_a_stream_without_a_key_are_counted(example):
    config = incremental(example, key_properties=[])
    example.pages([order(1), order(1)])
    first = example.sync(config)
    assert first.ids == [1, 1]
    example.pages([order(1), order(1), order(1)])
    second = example.sync(config, first.state)
    assert second.ids == [1]
    assert example.sync(config, second.state).ids == []


def test_beyond_the_limit_the_boundary_is_sent_again(example):
    config = incremental(example, memory_rows=2)
    example.pages([order(1), order(2), order(3)])
    first = example.sync(config)
    assert first.state["bookmarks"]["orders"]["_singerkit_seen"] == {"at": DAY.format(1), "again": 3}
    assert example.sync(config, first.state).ids == [1, 2, 3]


# Which bookmark, when


def test_a_sorted_stream_advances_page_by_page(example):
    config = incremental(example, is_sorted=True) | {"state_every": 1}
    example.pages([order(1, 1)], [order(2, 2)], [order(3, 3)])
    result = example.sync(config)
    assert [bookmark(message["value"]) for message in result.of_type("STATE")[1:]] == [
        DAY.format(1),
        DAY.format(2),
        DAY.format(3),
        DAY.format(1),  # the read is complete: back to what was certain when it began
        DAY.format(1),
    ]
    assert bookmark(example.sync(config, result.state).state) == DAY.format(3)


def test_a_first_load_that_is_killed_again_and_again_goes_on_and_comes_back_to_its_signpost(example):
    config = incremental(example, is_sorted=True, key_properties=[]) | {"state_every": 1}
    state: dict[str, Any] = {}
    sent = []
    for end in (2, 3):
        example.pages(*[[order(day, day)] for day in range(1, end + 1)], "fail")
        with pytest.raises(RetryableError):
            example.sync(config, state)
        run = example.what_was_written()
        sent += run.ids
        state = run.state
    assert bookmark(state) == DAY.format(3), "where it goes on"
    # Behind the reading point a row has come in meanwhile, later than the first answer.
    example.pages([order(1, 1)], [order(2, 2), order(9, 2)], [order(3, 3)], [order(4, 4)])
    last = example.sync(config, state)
    sent += last.ids
    assert bookmark(last.state) == DAY.format(1)
    sent += example.sync(config, last.state).ids
    assert sorted(sent) == [1, 2, 3, 4, 9]


def test_rows_without_a_key_beyond_the_memory_move_the_bookmark_up_and_the_run_says_so(example, caplog):
    config = incremental(example, key_properties=[], memory_rows=3)
    example.pages([order(1, 1)], [order(day, day) for day in range(2, 9)])
    with caplog.at_level("WARNING"):
        first = example.sync(config)
    assert first.ids == [*range(1, 9)]
    assert bookmark(first.state) == DAY.format(6)
    warnings = [record.getMessage() for record in caplog.records if "More than 3 rows" in record.getMessage()]
    assert len(warnings) == 2, "once when it happens, once at the end"
    assert "moved up to `2024-01-06T00:00:00Z`" in warnings[0]
    assert example.sync(config, first.state).ids == []


def test_rows_with_a_key_beyond_the_memory_are_sent_again(example, caplog):
    config = incremental(example, memory_rows=3)
    example.pages([order(1, 1)], [order(day, day) for day in range(2, 9)])
    with caplog.at_level("INFO"):
        first = example.sync(config)
    assert bookmark(first.state) == DAY.format(1)
    (told,) = [record for record in caplog.records if "More than 3 rows" in record.getMessage()]
    assert told.levelname == "INFO", "they replace themselves by their key"
    assert "the next run asks for 8 rows again" in told.getMessage()
    assert again(first.state) == 8
    second = example.sync(config, first.state)
    assert second.ids == [*range(1, 9)]
    assert again(second.state) is None


def again(state: dict[str, Any]) -> Any:
    return state["bookmarks"]["orders"].get("_singerkit_seen", {}).get("again")


def test_a_window_that_each_run_sends_again_is_told_in_the_state(example):
    config = incremental(example, lookback=86400)
    example.pages([order(1, 1), order(2, 2)])
    assert again(example.sync(config).state) is True


@pytest.mark.parametrize("memory", [3, 1000])
def test_a_read_that_is_stopped_does_not_forget_that_rows_come_again(example, memory: int):
    config = incremental(example, is_sorted=True, memory_rows=memory) | {"state_every": 1}
    example.pages([order(1, 1)], *[[order(day, day)] for day in range(2, 9)], "fail")
    with pytest.raises(RetryableError):
        example.sync(config)
    stopped = example.what_was_written()
    example.pages([order(8, 8)], [order(9, 9)])
    last = example.sync(config, stopped.state)
    assert bookmark(last.state) == DAY.format(1)
    example.pages([order(day, day) for day in range(1, 10)])
    sent = [*stopped.ids, *last.ids, *example.sync(config, last.state).ids]
    twice = len(sent) - len({*sent})
    assert twice <= (again(last.state) or 0)
    assert (twice > 0) == (memory == 3)


def test_a_user_may_say_that_the_greatest_value_is_safe(example):
    config = incremental(example, signpost="none")
    example.pages([order(1, 1)], [order(2, 2)])
    assert bookmark(example.sync(config).state) == DAY.format(2)


def test_an_unsorted_stream_advances_at_its_end(example):
    config = incremental(example) | {"state_every": 1}
    example.pages([order(3, 3)], [order(1, 1)])
    result = example.sync(config)
    states = [message["value"]["bookmarks"].get("orders", {}) for message in result.of_type("STATE")]
    assert [state.get("replication_key_value") for state in states] == [None, DAY.format(3), DAY.format(3)]


def test_a_full_table_stream_with_a_key_may_be_committed_in_parts(example):
    example.pages([order(1)], [order(2)], [order(3)])
    kinds = [message["type"] for message in example.sync(example.config(state_every=2)).messages]
    assert kinds == ["STATE", "SCHEMA", "RECORD", "RECORD", "STATE", "RECORD", "STATE", "STATE"]


@pytest.mark.parametrize(
    "settings",
    [
        {"replication_key": "at", "key_properties": []},
        {"key_properties": []},
        {"replication_key": "at"},
    ],
)
def test_rows_that_no_bookmark_covers_get_no_state_before_the_end(example, settings):
    # A target commits at each STATE: such rows, committed and read again, would be there twice, in a target that only
    # appends those with a key too.
    config = example.config(example.stream(**settings), state_every=1)
    example.pages([order(1)], [order(2)], [order(3)])
    kinds = [message["type"] for message in example.sync(config).messages]
    assert kinds == ["STATE", "SCHEMA", "RECORD", "RECORD", "RECORD", "STATE", "STATE"]


def test_an_interrupted_sorted_stream_without_a_key_goes_on_where_it_stopped(example):
    config = incremental(example, is_sorted=True, key_properties=[])
    example.pages([order(1, 1)], [order(2, 1)], "fail", [order(3, 2)])
    with pytest.raises(RetryableError):
        example.sync(config)
    first = example.what_was_written()
    assert first.ids == [1, 2]
    assert bookmark(first.state) == DAY.format(1)
    example.pages([order(1, 1)], [order(2, 1)], [order(3, 2)])
    assert example.sync(config, first.state).ids == [3]


def test_rows_of_the_boundary_that_an_interrupted_run_did_not_reach_stay_remembered(example):
    config = incremental(example, is_sorted=True, key_properties=[])
    example.pages([order(1, 1)])
    first = example.sync(config)
    # The source gives equal values in another order this time.
    example.pages([order(2, 1)], "fail", [order(1, 1)])
    with pytest.raises(RetryableError):
        example.sync(config, first.state)
    second = example.what_was_written()
    example.pages([order(2, 1)], [order(1, 1)])
    assert example.sync(config, second.state).ids == []


def test_an_interrupted_unsorted_stream_keeps_the_old_bookmark(example):
    config = incremental(example)
    example.pages([order(1, 1)])
    first = example.sync(config)
    example.pages([order(9, 9)], "fail")
    with pytest.raises(RetryableError):
        example.sync(config, first.state)
    assert bookmark(example.what_was_written().state) == DAY.format(1)


def test_a_stream_declared_sorted_that_is_not_loses_nothing(example):
    config = incremental(example, is_sorted=True) | {"state_every": 1}
    example.pages([order(5, 5)], [order(1, 1)])
    with pytest.raises(BadDataError, match="declared sorted; declare the stream unsorted"):
        example.sync(config)
    assert bookmark(example.what_was_written().state) is None


def test_a_bookmark_never_goes_back(example):
    config = incremental(example, server_filters=False)
    example.pages([order(5, 5)])
    first = example.sync(config)
    example.pages([order(1, 1)])
    second = example.sync(config, first.state)
    assert second.ids == []
    assert second.state["bookmarks"] == first.state["bookmarks"]


def test_offsets_and_fractions_are_compared_as_instants(example):
    config = incremental(example, server_filters=False)
    late = "2024-01-01T23:30:00-01:00"
    example.pages([{"id": 1, "at": late}, {"id": 2, "at": "2024-01-02T00:29:59.999999999Z"}])
    first = example.sync(config)
    assert bookmark(first.state) == late
    example.pages([{"id": 3, "at": "2024-01-02T00:30:00.000000001Z"}, {"id": 4, "at": "2024-01-02T00:29Z"}])
    assert example.sync(config, first.state).ids == [3]


def test_numbers_are_compared_as_numbers(example):
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "n": {"type": "number"}}}
    config = example.config(example.stream(schema=schema, replication_key="n"))
    example.pages(b'[{"id":1,"n":9},{"id":2,"n":10.000000000000000000001},{"id":3,"n":10.0}]')
    first = example.sync(config)
    assert '"replication_key_value":10.000000000000000000001' in first.out
    example.pages(b'[{"id":4,"n":10.000000000000000000002},{"id":5,"n":10}]')
    assert example.sync(config, first.state).ids == [4]


def test_a_replication_key_of_another_kind_is_an_error(example):
    example.pages([{"id": 1, "at": "soon"}])
    with pytest.raises(BadDataError, match=r"Expected a date-time, got something else at orders\.\$\.at"):
        example.sync(incremental(example))
    state = {"bookmarks": {"orders": {"replication_key": "at", "replication_key_value": "soon"}}}
    with pytest.raises(ConfigurationError, match="as bookmark of stream `orders` in the state"):
        example.sync(incremental(example), state)


def test_rows_without_a_value_are_sent_and_told_about(example, caplog):
    example.pages([{"id": 1}, {"id": 2, "at": None}, order(3, 3)])
    with caplog.at_level("WARNING"):
        result = example.sync(incremental(example))
    assert result.ids == [1, 2, 3]
    assert bookmark(result.state) == DAY.format(3)
    assert "2 rows of stream `orders` have no value in the replication key `at`" in caplog.text


# Start date, lookback, others' states


def test_start_date_counts_when_there_is_no_bookmark(example):
    config = incremental(example, server_filters=False) | {"start_date": DAY.format(3)}
    example.pages([order(1, 1), order(3, 3), order(4, 4)])
    first = example.sync(config)
    assert first.ids == [3, 4]
    later = config | {"start_date": DAY.format(20)}
    example.pages([order(5, 5)])
    assert example.sync(later, first.state).ids == [5]


def test_a_lookback_reads_the_window_again_and_moves_no_bookmark_back(example):
    config = incremental(example, lookback=2 * 86400)
    example.pages([order(1, 1), order(5, 5)])
    first = example.sync(config)
    example.pages([order(1, 1), order(2, 3), order(5, 5)])
    second = example.sync(config, first.state)
    assert second.ids == [2, 5]
    assert bookmark(second.state) == DAY.format(5)


def test_a_state_of_singer_sdk_is_continued(example):
    state = {
        "bookmarks": {
            "orders": {
                "starting_replication_value": DAY.format(1),
                "replication_key_signpost": DAY.format(9),
                "progress_markers": {
                    "Note": "Progress is not resumable if interrupted.",
                    "replication_key": "at",
                },
                "replication_key": "at",
                "replication_key_value": DAY.format(3),
            }
        }
    }
    example.pages([order(1, 1), order(3, 3), order(4, 4)])
    result = example.sync(incremental(example), state)
    assert result.ids == [3, 4]
    assert set(result.state["bookmarks"]["orders"]) == {
        "replication_key",
        "replication_key_value",
        "_singerkit_seen",
        "_singerkit_read",
    }
    # ... and its own reader takes ours: the bookmark stands where it looks.
    assert bookmark(result.state) == DAY.format(4)


def test_a_state_that_others_moved_on_does_not_use_our_hashes(example):
    config = incremental(example)
    example.pages([order(1, 1)])
    state = example.sync(config).state
    state["bookmarks"]["orders"]["replication_key_value"] = DAY.format(2)
    example.pages([order(1, 2)])
    assert example.sync(config, state).ids == [1]


def test_a_bookmark_of_another_replication_key_is_refused(example):
    state = {"bookmarks": {"orders": {"replication_key": "id", "replication_key_value": 100}}}
    example.pages([order(1, 1)])
    with pytest.raises(
        ConfigurationError, match=r"`orders` .* its bookmark is by `id`, the config says `at`"
    ):
        example.sync(incremental(example), state)


# Pages and chunks


def test_a_page_of_any_size_is_cut_into_chunks(example, monkeypatch):
    monkeypatch.setattr("singerkit_tap.sync.CHUNK_RECORDS", 3)
    config = incremental(example, is_sorted=True)
    example.pages([order(number, number) for number in range(10, 0, -1)], [], [order(11, 11)])
    first = example.sync(config)
    assert first.ids == [*range(10, 0, -1), 11]
    assert bookmark(first.state) == DAY.format(10)


def test_only_properties_of_the_schema_are_sent_and_missing_ones_are_null(example):
    """DESIGN 6: our taps send complete records; of a field that was emptied at the source nothing stays."""
    example.pages([{"id": 1, "price": None, "other": 5}])
    result = example.sync(example.config())
    assert result.records() == [{"id": 1, "at": None, "price": None, "note": None}]


def test_the_schema_admits_the_nulls_that_are_sent(example):
    kinds = {
        "id": {"type": "integer"},
        "plain": {"type": "string", "maxLength": 5},
        "known": {"type": ["string", "null"], "enum": ["a"]},
        "any": {},
        "must": {"type": "string"},
    }
    stream = example.stream(schema={"type": "object", "properties": kinds, "required": ["must"]})
    example.pages([{"id": 1, "must": "x"}])
    result = example.sync(example.config(stream))
    assert result.records() == [{"id": 1, "plain": None, "known": None, "any": None, "must": "x"}]
    (schema,) = [message["schema"] for message in result.messages if message["type"] == "SCHEMA"]
    Draft7Validator(schema).validate(result.records()[0])
    assert schema["properties"]["id"] == {"type": "integer"}
    assert schema["properties"]["must"] == {"type": "string"}


def test_partial_records_leave_out_what_they_do_not_tell(example):
    example.pages([{"id": 1, "price": None, "other": 5}])
    config = example.config(example.stream(sends_partial_records=True))
    result = example.sync(config)
    assert result.records() == [{"id": 1, "price": None}]


def test_a_schema_without_properties_sends_records_whole(example):
    config = example.config(example.stream(schema={}, key_properties=[]))
    example.pages([{"a": {"b": 1}}])
    assert example.sync(config).records() == [{"a": {"b": 1}}]


# Parents and children


ITEM_SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "order": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
    },
}


def item(number: int, parent: int, day: int = 1) -> dict[str, Any]:
    return {"id": number, "order": parent, "at": DAY.format(day)}


def family(
    example, parent: dict[str, Any] | None = None, child: dict[str, Any] | None = None, **settings: Any
) -> Any:
    return example.config(
        example.stream(**(parent or {})),
        example.stream(
            name="items", schema=ITEM_SCHEMA, parent="orders", parent_key="order", **(child or {})
        ),
        **settings,
    )


def test_children_are_read_for_each_parent_after_its_page(example):
    example.pages([order(1), order(2)], [order(3)])
    example.pages([item(11, 1), item(31, 3), item(21, 2), item(12, 1)], name="items")
    result = example.sync(family(example))
    sequence = [(message["stream"], message["record"]["id"]) for message in result.of_type("RECORD")]
    assert sequence == [
        ("orders", 1),
        ("orders", 2),
        ("items", 11),
        ("items", 12),
        ("items", 21),
        ("orders", 3),
        ("items", 31),
    ]


def test_a_parent_that_comes_twice_is_read_for_its_children_once(example):
    example.pages([order(1)], [order(1)])
    example.pages([item(11, 1)], name="items")
    assert [record["id"] for record in example.sync(family(example)).records("items")] == [11]


def test_a_child_works_when_its_parent_is_not_selected(example):
    example.pages([order(1)])
    example.pages([item(11, 1)], name="items")
    result = example.sync(family(example, select=["items"]))
    assert result.records() == []
    assert [record["id"] for record in result.records("items")] == [11]
    assert [message["stream"] for message in result.of_type("SCHEMA")] == ["items"]


def test_an_incremental_parent_drives_the_child(example):
    config = family(example, {"replication_key": "at"})
    example.pages([order(1, 1), order(2, 2)])
    example.pages([item(11, 1), item(21, 2)], name="items")
    first = example.sync(config)
    example.pages([order(1, 1), order(2, 2), order(3, 3)])
    example.pages([item(11, 1), item(21, 2), item(31, 3)], name="items")
    second = example.sync(config, first.state)
    assert [record["id"] for record in second.records("items")] == [31, 21], "order 2 may have changed since"


def test_a_child_that_changes_by_itself_is_read_for_all_parents(example):
    config = family(example, {"replication_key": "at"}, {"reads_all_parents": True})
    example.pages([order(1, 1), order(2, 2)])
    example.pages([item(11, 1)], name="items")
    first = example.sync(config)
    example.pages([item(11, 1), item(12, 1)], name="items")
    second = example.sync(config, first.state)
    assert second.ids == []
    assert [record["id"] for record in second.records("items")] == [11, 12]


def test_a_child_selected_later_sees_the_old_parents_too(example):
    parent = {"replication_key": "at", "is_sorted": True}
    example.pages([order(1, 1)], [order(2, 2)])
    example.pages([item(11, 1), item(21, 2)], name="items")
    first = example.sync(family(example, parent, select=["orders"]))
    example.pages([order(1, 1)], "fail", [order(2, 2)])
    with pytest.raises(RetryableError):
        example.sync(family(example, parent), first.state)
    interrupted = example.what_was_written()
    example.pages([order(1, 1)], [order(2, 2)])
    second = example.sync(family(example, parent), interrupted.state)
    assert second.ids == []
    assert [record["id"] for record in second.records("items")] == [11, 21]
    third = example.sync(family(example, parent), second.state)
    assert [record["id"] for record in third.records("items")] == [21], "of the newest order alone"


@pytest.mark.parametrize("way", ["select", "config"])
@pytest.mark.parametrize("incremental", [False, True])
def test_a_child_that_was_left_out_while_its_parent_went_on_sees_all_parents_again(
    example, way, incremental, caplog
):
    parent, child = {"replication_key": "at"}, {"replication_key": "at"} if incremental else {}
    whole = family(example, parent, child)
    without = (
        {**whole, "streams": whole["streams"][:1]} if way == "config" else {**whole, "select": ["orders"]}
    )
    example.pages([order(1, 1), order(2, 2)])
    example.pages([item(11, 1, 1), item(21, 2, 2)], name="items")
    state = example.sync(whole).state
    state = example.sync(without, state).state
    caplog.clear()
    of_newest = [record["id"] for record in example.sync(whole, state).records("items")]
    assert of_newest == ([] if incremental else [21]), "the parent had no news"
    assert "is read for all rows" not in caplog.text
    example.pages([order(2, 2), order(1, 5)])
    example.pages([item(12, 1, 5), item(21, 2, 2)], name="items")
    state = example.sync(without, state).state
    state = example.sync(without, state).state
    with caplog.at_level("INFO"):
        again = example.sync(whole, state)
    assert "Stream `items` is read for all rows of `orders` this time" in caplog.text
    assert again.ids == []
    assert 12 in [record["id"] for record in again.records("items")]
    of_newest = [record["id"] for record in example.sync(whole, again.state).records("items")]
    assert of_newest == ([] if incremental else [12]), "once"


@pytest.mark.parametrize("middle", [{}, {"replication_key": "at"}])
def test_a_grandchild_that_was_left_out_sees_what_stands_below_parents_that_do_not_come(example, middle):
    below = {"schema": ITEM_SCHEMA, "parent_key": "order"}
    config = example.config(
        example.stream(replication_key="at"),
        example.stream(name="items", parent="orders", **below, **middle),
        example.stream(name="parts", parent="items", **below),
    )
    example.pages([order(1, 1), order(2, 2)])
    example.pages([item(11, 1, 1), item(21, 2, 2)], name="items")
    example.pages([item(111, 11), item(211, 21)], name="parts")
    without = {**config, "select": ["orders", "items"]}
    state = example.sync(without).state
    added = example.sync(config, state)
    assert [record["id"] for record in added.records("parts")] == [111, 211]
    assert [record["id"] for record in example.sync(config, added.state).records("parts")] == [211]
    example.pages([order(2, 2), order(1, 5)])
    example.pages([item(11, 1, 5), item(21, 2, 2)], name="items")
    example.pages([item(112, 11), item(211, 21)], name="parts")
    state = example.sync(without, added.state).state
    again = example.sync(config, state)
    assert 112 in [record["id"] for record in again.records("parts")]
    assert [record["id"] for record in example.sync(config, again.state).records("parts")] == [112]


def test_a_parent_selected_later_is_read_from_its_own_start(example):
    parent = {"replication_key": "at"}
    example.pages([order(1, 1), order(2, 2)])
    example.pages([item(11, 1)], name="items")
    first = example.sync(family(example, parent, select=["items"]))
    assert bookmark(first.state) is None
    again = example.sync(family(example, parent, select=["items"]), first.state)
    assert again.records("items") == []
    second = example.sync(family(example, parent), first.state)
    assert second.ids == [1, 2]


def test_each_partition_has_its_bookmark(example):
    config = family(example, None, {"replication_key": "at"})
    example.pages([order(1), order(2)])
    example.pages([item(11, 1, 5), item(21, 2, 3)], name="items")
    first = example.sync(config)
    partitions = first.state["bookmarks"]["items"]["partitions"]
    assert [(entry["context"], entry["replication_key_value"]) for entry in partitions] == [
        ({"order": 1}, DAY.format(5)),
        ({"order": 2}, DAY.format(3)),
    ]
    example.pages([item(11, 1, 5), item(12, 1, 4), item(21, 2, 3), item(22, 2, 4)], name="items")
    second = example.sync(config, first.state)
    assert [record["id"] for record in second.records("items")] == [22]


def test_partition_bookmarks_are_bounded(example, monkeypatch, caplog):
    monkeypatch.setattr("singerkit_state.bookmarks.PARTITION_LIMIT", 2)
    config = family(example, None, {"replication_key": "at"})
    example.pages([order(1), order(2), order(3)])
    example.pages([item(11, 1), item(21, 2), item(31, 3)], name="items")
    with caplog.at_level("WARNING"):
        result = example.sync(config)
    contexts = [entry["context"] for entry in result.state["bookmarks"]["items"]["partitions"]]
    assert contexts == [{"order": 1}, {"order": 2}]
    second = example.sync(config, result.state)
    assert [record["id"] for record in second.records("items")] == [31]
    # A partition that is no longer read makes room.
    example.pages([order(2), order(3)])
    third = example.sync(config, second.state)
    contexts = [entry["context"] for entry in third.state["bookmarks"]["items"]["partitions"]]
    assert contexts == [{"order": 2}, {"order": 3}]
    assert "more partitions than bookmarks are kept for (2)" in caplog.text


def test_one_bookmark_for_all_contexts(example):
    config = family(example, None, {"replication_key": "at", "partition_bookmarks": False})
    example.pages([order(1), order(2)])
    example.pages([item(11, 1, 5), item(21, 2, 3)], name="items")
    first = example.sync(config)
    assert bookmark(first.state, "items") is None, "nothing was certain before the first parent was read"
    assert "partitions" not in first.state["bookmarks"]["items"]
    example.pages([item(11, 1, 5), item(21, 2, 3), item(22, 2, 5)], name="items")
    second = example.sync(config, first.state)
    assert [record["id"] for record in second.records("items")] == [22]
    assert bookmark(second.state, "items") == DAY.format(5)
    example.pages([item(11, 1, 5), item(21, 2, 3), item(22, 2, 5), item(23, 2, 6)], name="items")
    third = example.sync(config, second.state)
    assert [record["id"] for record in third.records("items")] == [23]


def test_the_context_is_added_where_the_record_lacks_it(example):
    example.pages([order(1)])
    schema = ITEM_SCHEMA | {"properties": {**ITEM_SCHEMA["properties"], "parent": {"type": "integer"}}}
    child = example.stream(name="items", schema=schema, parent="orders", parent_key="parent")
    example.pages([{"id": 5, "parent": 1}], name="items")
    assert example.sync(example.config(example.stream(), child)).records("items") == [
        {"id": 5, "order": None, "at": None, "parent": 1}
    ]


def test_a_sorted_parent_lets_a_target_commit_between_its_pages(example):
    parent = {"replication_key": "at", "is_sorted": True}
    example.pages([order(1, 1)], [order(2, 2)], [order(3, 3)])
    example.pages([item(11, 1), item(21, 2)], name="items")
    result = example.sync(family(example, parent, {"key_properties": []}, state_every=1))
    kinds = [message["type"] for message in result.messages if message["type"] != "SCHEMA"]
    assert kinds == [
        "STATE",
        "RECORD",
        "RECORD",
        "STATE",
        "RECORD",
        "RECORD",
        "STATE",
        "RECORD",
        "STATE",
        "STATE",
        "STATE",
    ]


def test_equal_rows_of_different_parents_are_different_rows(example):
    properties = {**ITEM_SCHEMA["properties"], "parent": {"type": "integer"}}
    child = example.stream(
        name="items",
        schema={"type": "object", "properties": properties},
        key_properties=[],
        replication_key="at",
        partition_bookmarks=False,
        parent="orders",
        parent_key="parent",
    )
    config = example.config(example.stream(), child)
    example.pages([order(1), order(2)])
    example.pages([{"id": 5, "at": DAY.format(1)}], name="items")
    first = example.sync(config)
    assert [record["parent"] for record in first.records("items")] == [1, 2]
    example.pages([order(3), order(1), order(2)])
    second = example.sync(config, first.state)
    assert [record["parent"] for record in second.records("items")] == [3]
