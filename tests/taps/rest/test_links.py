"""The Link header as RFC 8288 has it, by itself and through a server."""

from __future__ import annotations

from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, serving

from tap_rest.pages.links import parse_links, without_values

NEXT = [
    '<{u}>; rel="next"',
    "<{u}>; rel=next",
    "<{u}>;rel=next",
    '<{u}> ; rel = "next"',
    '<{u}&x=a;b,c>; rel="next"',
    '<{u}>; title="a=b"; rel="next"',
    '<{u}>; title="a, <b>; rel=prev"; rel="next"',
    r'<{u}>; title="say \"hi\", \\"; rel="next"',
    '<{u}>; crossorigin; rel="next"',
    '<{u}>; REL="next"',
    '<{u}>; Rel="NEXT"',
    '<{u}>; rel="first next"; rel="prev"',
    "<{u}>; title*=UTF-8''%e2%82%ac; rel=next",
    '</x>; rel="prev", <{u}>; rel="next"',
    '</x>; rel="prev",<{u}>; rel="next",',
    ', ,</x>; rel=prev; , <{u}>; rel="next";',
    '<>; rel="self", <{u}>; rel="next"',
    '</x>; rel="nextish", <{u}>; rel="next"',
]
BROKEN = [
    "{u}; rel=next",
    "<{u}; rel=next",
    '<{u}>; rel="next',
    '<{u}> rel="next"',
    "<{u}>; rel=a b",
    "<{u}>; =next",
]


def route(links: list[str]) -> Any:
    def answer(asked: Asked) -> Reply:
        number = int(asked.param("page") or 1)
        url = f"http://{asked.headers['Host']}/rows?page={number + 1}"
        headers: dict[str, Any] = {"Link": [link.replace("{u}", url) for link in links]} if number < 3 else {}
        return Reply(b'[{"id": %d}]' % number, headers=headers)

    return answer


STREAM = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {}}},
    "pagination": {"type": "link_header"},
}


@pytest.mark.parametrize("link", NEXT)
def test_a_next_link_however_it_is_written(link: str, run_tap: Any) -> None:
    with serving({"/rows": route([link])}) as api:
        run = run_tap(api.url, STREAM).ended(0)
    assert run.records("rows") == [{"id": 1}, {"id": 2}, {"id": 3}]


def test_several_headers(run_tap: Any) -> None:
    with serving({"/rows": route(['</x>; rel="prev"', '<{u}>; rel="next"', "</y>; rel=last"])}) as api:
        assert len(run_tap(api.url, STREAM).ended(0).records("rows")) == 3


@pytest.mark.parametrize("link", BROKEN)
def test_a_header_that_cannot_be_read_is_an_error(link: str, run_tap: Any) -> None:
    with serving({"/rows": route([link])}) as api:
        run = run_tap(api.url, STREAM).ended(65)
    assert "The Link header on page 1 of stream rows cannot be read" in run.sentence


def test_no_next_among_others(run_tap: Any) -> None:
    with serving({"/rows": route(['</x?rel=next>; rel="prev"; title="next"'])}) as api:
        assert run_tap(api.url, STREAM).ended(0).records("rows") == [{"id": 1}]


def test_the_parts() -> None:
    first, second = parse_links('<a;b>; A="1\\"2"; a=3; B, <c,d>')
    assert (first.url, dict(first.params)) == ("a;b", {"a": '1"2', "b": ""})
    assert (second.url, dict(second.params)) == ("c,d", {})
    assert parse_links("") == []


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("http://x/a?page=1&size=10{&sort}", "http://x/a?page=1&size=10"),
        ("/a{?page,size:3,sort*}", "/a"),
        ("/a{/name}?x=1{&y}{#part}", "/a?x=1"),
        ('/a?filter={"a":1}', '/a?filter={"a":1}'),
        ("/a/{0b1f-22}?x={?}", "/a/{0b1f-22}?x={?}"),
        ("/a/{id}", "/a/{id}"),
    ],
)
def test_what_a_template_leaves_to_the_caller_is_not_asked_for(template: str, url: str) -> None:
    assert without_values(template) == url


@pytest.mark.parametrize("template", ["/a/{id}", "/a{;x}", "{+base}/a", "/a{.format}?page=2{&sort}"])
def test_a_template_that_leaves_a_part_of_the_path_open_is_none_to_go_to(template: str) -> None:
    with pytest.raises(ValueError, match=r"^\{.*\}$"):
        without_values(template, is_template=True)
