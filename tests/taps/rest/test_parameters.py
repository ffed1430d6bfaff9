"""A query parameter that two settings send: none replaces or doubles the other in silence."""

from __future__ import annotations

from typing import Any

import pytest

from tap_rest.config import config_conflicts

INCREMENTAL = {"replication_key": "at", "incremental": {"param": "q", "template": "at ge {value}"}}
KEY = {"type": "api_key", "in": "query", "name": "key", "api_key": "x"}
KEYSET = {"type": "keyset", "field": "id", "param": "q"}


def problems(stream: dict[str, Any], **config: Any) -> list[str]:
    whole = {"base_url": "https://api.example", "streams": [{"name": "s", "path": "/s"} | stream]}
    return config_conflicts(whole | config)


@pytest.mark.parametrize(
    ("stream", "config", "words"),
    [
        (INCREMENTAL | {"params": {"q": "a"}}, {}, '`"template": "(the filter) and at ge {value}"`'),
        (INCREMENTAL, {"params": {"q": "a"}}, "`params.q` is lost as soon as there is a bookmark"),
        (INCREMENTAL | {"path": "/s?q=a"}, {}, "which `streams[0].incremental.param` sends, too"),
        (INCREMENTAL | {"pagination": KEYSET}, {}, "takes its place from the second page on"),
        (INCREMENTAL, {"pagination": KEYSET}, "takes its place from the second page on"),
        (
            INCREMENTAL | {"incremental": {"param": "key"}},
            {"auth": KEY},
            "which `auth` sends, too, in its place",
        ),
        ({"path": "/s?q=1", "params": {"q": "2"}}, {}, "which `streams[0].params.q` sends, too"),
        ({"path": "/s?q=1"}, {"params": {"q": "2"}}, "which `params.q` sends, too"),
        ({"path": "/s?q="}, {"params": {"q": "2"}}, "which `params.q` sends, too"),
        ({"path": "/s?page=1", "pagination": {"type": "page"}}, {}, "which `pagination.start` sends, too"),
        ({"path": "/s?cursor=*", "pagination": {"type": "cursor", "cursor": "$.n"}}, {}, "sends, too"),
        (
            {"path": "/s?limit=5"},
            {"pagination": {"type": "offset", "size": 5}},
            "which `pagination.size` sends",
        ),
        (
            {"path": "/s?key=1"},
            {"auth": KEY},
            "`streams[0].path` sends the parameter `key`, which `auth` sends",
        ),
        ({"params": {"key": "1"}}, {"auth": KEY}, "`streams[0].params.key` sends the parameter `key`"),
        ({}, {"params": {"key": "1"}, "auth": KEY}, "`params.key` sends the parameter `key`"),
        (
            {"pagination": {"type": "page", "param": "key"}},
            {"auth": KEY},
            "`pagination.start` sends the parameter `key`",
        ),
        (
            {"pagination": {"type": "offset", "param": "limit", "size": 5}},
            {},
            "`streams[0].pagination.size` has no effect, since `streams[0].pagination.param` sends",
        ),
    ],
)
def test_what_is_sent_twice_is_refused(stream: dict[str, Any], config: dict[str, Any], words: str) -> None:
    assert words in "; ".join(problems(stream, **config))


@pytest.mark.parametrize(
    ("stream", "config"),
    [
        ({"params": {"q": "2"}}, {"params": {"q": "1"}}),  # that of the stream counts, as documented
        ({"path": "/s?a=1&a=2", "params": {"q": "2"}}, {}),
        ({"path": "//[s?a=1", "params": {"q": "2"}}, {}),
        ({"path": "/s?q={parent.id}&x=1", "parent": {"stream": "p"}}, {}),
        ({"params": {"cursor": "*"}, "pagination": {"type": "cursor", "cursor": "$.n"}}, {}),  # Crossref
        ({"params": {"q": "0"}, "pagination": KEYSET}, {}),  # since_id=0
        (INCREMENTAL | {"pagination": KEYSET | {"field": "at"}}, {}),  # the same question by either
        (INCREMENTAL | {"params": {"x": "a"}, "path": "/s?y=q"}, {"auth": KEY}),
    ],
)
def test_what_is_not(stream: dict[str, Any], config: dict[str, Any]) -> None:
    others = {"streams": [{"name": "s", "path": "/s"} | stream, {"name": "p", "path": "/p"}]}
    assert problems(stream, **config | others) == []
