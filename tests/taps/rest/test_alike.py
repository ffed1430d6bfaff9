"""What a page has in common with the one before is not looked at again; what it has not is."""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import urlencode

import pytest
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.test_following import at, stream

from tap_rest.asking.urls import with_params

ROWS = [{"id": number, "at": at(number), "v": "x"} for number in range(1, 30)]
BEFORE = '</orders>; rel="prev"'


def paged(size: int, said: dict[int, dict[str, Any]], links: dict[int, str]) -> Any:
    """Pages of ``size``, each asked for by the value before; what the so-manieth answer says beside its rows, and in its header Link."""
    count = [0]

    def route(asked: Asked) -> Reply:
        count[0] += 1
        page, since = int(asked.param("page") or 1), asked.param("since") or ""
        found = [row for row in ROWS if row["at"] >= since]
        body = {"data": found[(page - 1) * size : page * size], "kind": "list", **said.get(count[0], {})}
        link = links.get(count[0])
        return json_reply(body, **({} if link is None else {"Link": link}))

    return route


@pytest.mark.parametrize(
    ("said", "links", "problem"),
    [
        ({}, {}, None),
        ({}, dict.fromkeys(range(1, 9), '</orders>; rel="self"'), None),
        ({}, {4: BEFORE}, "rel `prev`"),
        ({}, {1: '</orders>; rel="self"', 2: '</orders>; rel="self"', 3: '</orders>; rel="self"', 4: BEFORE}, "rel `prev`"),
        ({4: {"has_previous": True}}, {}, "has_previous"),
        ({3: {"kind": "part"}, 4: {"error": "two shards do not answer"}}, {}, "two shards"),
        ({1: {"ok": True}, 2: {"ok": True}, 3: {"ok": True}, 4: {"ok": False}}, {}, "`ok` beside them"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_a_page_like_those_before_is_taken_and_one_that_says_more_is_not(
    said: dict[int, dict[str, Any]], links: dict[int, str], problem: str | None, run_tap: Any
) -> None:
    with serving({"/orders": paged(5, said, links)}) as api:
        run = run_tap(api.url, stream(records="$.data[*]")).ended(0 if problem is None else 65)
    assert problem is None or problem in run.sentence
    assert len(run.records("orders")) == (len(ROWS) if problem is None else 9), "all rows before the odd page"


@pytest.mark.parametrize("seed", range(5))
def test_parameters_are_written_as_ever(seed: int) -> None:
    dice = random.Random(seed)
    texts = [
        "".join(map(chr, dice.choices([*range(128), 0xE9, 0x20AC, 0x1F600], k=dice.randint(0, 9))))
        for _ in range(200)
    ]
    for name, text in zip(texts, [*map(chr, range(128)), *texts[128:]], strict=True):
        assert with_params("http://api/rows", {name: text}) == f"http://api/rows?{urlencode({name: text})}"
