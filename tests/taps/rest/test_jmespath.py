"""A JMESPath makes the rows of the records: no digit is lost, pages go by the records, and what is wrong is told."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, page_of, serving
from taps.rest.in_process import Run, warned

from singerkit_shell.errors import BadDataError, ConfigurationError

LONG = "12345678901234567890.10"
ORDERS = (
    f'[{{"id": 1, "state": "open", "total": {LONG}, "who": {{"name": "A"}}, "parts": [0.1, 0.2]}},'
    ' {"id": 2, "state": "draft", "total": 1.0},'
    ' {"id": 3, "state": "paid", "total": 0.1, "parts": []}]'
).encode()
STREAM: dict[str, Any] = {
    "name": "orders",
    "path": "/orders",
    "jmespath": "[?state != 'draft'].{id: id, total: total, who: who.name}",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
}


def answering(body: bytes = ORDERS) -> dict[str, Callable[[Asked], Reply]]:
    return {"/orders": lambda _: json_reply(body)}


def test_records_are_filtered_and_mapped(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with serving(answering()) as api:
        found = run(api, STREAM)
    assert [(row["id"], row["who"]) for row in found.rows] == [(1, "A"), (3, None)]
    assert f'"total":{LONG},' in found.text
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("[?total == `0.1`].{id: id, v: total}", ["0.1"]),
        ("[?total > `1e19`].{id: id, v: to_string(total)}", [f'"{LONG}"']),
        ("[?parts].{id: id, v: sum(parts)}", ["0.3"]),
        ("[?id == `1`].{id: id, v: to_number('1.10')}", ["1.10"]),
        ("[?id == `2`].{id: id, v: type(total)}", ['"number"']),
        ("[?parts].{id: id, v: avg(parts)}", ["0.15"]),
        ("[?id == `1`].{id: id, v: max([total, `1`])}", [LONG]),
        ("[?id == `1`].{id: id, v: `1.10`}", ["1.1"]),
        ("[?id == `1`].{id: id, v: sort_by(@.[{n: total}, {n: id}], &n)[0].n}", ["1"]),
    ],
)
def test_numbers_are_exact(run: Run, expression: str, values: list[str]) -> None:
    with serving(answering()) as api:
        text = run(api, STREAM | {"jmespath": expression}).text
    lines = [line for line in text.splitlines() if '"type":"RECORD"' in line]
    assert [line.partition('"v":')[2].partition("}")[0] for line in lines] == values


def test_pages_go_by_the_records(run: Run) -> None:
    """An offset moves by what came, and a page of which nothing is left does not end the stream."""
    rows = [{"id": number, "state": "draft" if 2 <= number < 6 else "open"} for number in range(9)]

    def paged(asked: Asked) -> Reply:
        return json_reply(page_of(rows, asked, 2))

    stream = STREAM | {
        "pagination": {"type": "offset", "size": 2, "size_param": "limit"},
        "jmespath": "[?state=='open']",
    }
    with serving({"/orders": paged}) as api:
        assert [row["id"] for row in run(api, stream).rows] == [0, 1, 6, 7, 8]


def test_nothing_left_is_told_once(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with serving(answering()) as api:
        assert not run(api, STREAM | {"jmespath": "[?sate == 'open']"}).rows
    told = [one.getMessage() for one in caplog.records if "leaves none of the 3 records" in one.getMessage()]
    assert told


def test_another_expression_is_noticed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with serving(answering()) as api:
        first = run(api, STREAM)
        assert "is read otherwise" not in warned(caplog)
        run(api, STREAM | {"jmespath": "[].{id: id}"}, state=first.state)
    assert "is read otherwise than by the run before" in warned(caplog)


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("[?state = 'open']", "Expected a JMESPath at `streams[0].jmespath`"),
        ("[?state ==", "Expected a JMESPath"),
        ("[].{id: uppercase(state)}", "There is no function `uppercase` in JMESPath"),
        ("[].{id: length(state, id)}", "`jmespath` of stream orders"),
    ],
)
def test_what_is_no_expression(run: Run, expression: str, says: str) -> None:
    with serving(answering()) as api, pytest.raises(ConfigurationError, match=says.replace("[", r"\[")):
        run(api, STREAM | {"jmespath": expression})


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("id", "Expected an array of objects.*got `null`"),
        ("[].id", "Expected objects in the array that it gives, got `number`"),
        ("[].{id: length(id)}", "its function `length` got another kind of value"),
        ("[].{id: contains(state, id)}", "cannot be applied to a record"),
    ],
)
def test_what_cannot_be_applied(run: Run, expression: str, says: str) -> None:
    with serving(answering()) as api, pytest.raises(BadDataError, match=says) as raised:
        run(api, STREAM | {"jmespath": expression})
    assert "draft" not in str(raised.value)


def test_a_key_that_goes_on_by_records_is_refused(run: Run) -> None:
    paged = STREAM | {
        "pagination": {"type": "page", "continue_by": "bookmark"},
        "replication_key": "at",
        "is_sorted": True,
        "incremental": {"param": "since"},
    }
    with serving(answering()) as api, pytest.raises(ConfigurationError, match="does not go with"):
        run(api, paged)


def test_the_package_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", nothing)
    with serving(answering()) as api, pytest.raises(ConfigurationError, match=r"singerkit\[jmespath\]"):
        run(api, STREAM)
    assert not api.asked
