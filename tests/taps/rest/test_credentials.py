"""Where credentials are sent, and where they never are (H3, H11-H13, I7)."""

from __future__ import annotations

import base64
import socket
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving

from singerkit_shell.errors import ConfigurationError
from tap_rest.asking.questions import Question
from tap_rest.config import api_settings
from tap_rest.http.client import Client
from tap_rest.http.redirects import lost_parameters

CANARY = "canary-5f0e8a7b"
ROWS = [{"id": 1}, {"id": 2}]
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
SCHEMES: dict[str, dict[str, str]] = {
    "header": {"type": "api_key", "name": "X-Secret-Key", "api_key": CANARY},
    "prefixed header": {"type": "api_key", "name": "Authorization", "prefix": "Token ", "api_key": CANARY},
    "query": {"type": "api_key", "in": "query", "name": "key", "api_key": CANARY},
    "cookie": {"type": "api_key", "in": "cookie", "name": "session", "api_key": CANARY},
    "bearer": {"type": "bearer", "token": CANARY},
    "basic": {"type": "basic", "username": "ann", "password": CANARY},
}
BASIC = base64.b64encode(f"ann:{CANARY}".encode()).decode()


def has_credential(scheme: str, asked: Asked) -> bool:
    headers = asked.headers
    return {
        "header": headers.get("X-Secret-Key") == CANARY,
        "prefixed header": headers.get("Authorization") == f"Token {CANARY}",
        "query": asked.query.get("key") == [CANARY],
        "cookie": f"session={CANARY}" in headers.get("Cookie", ""),
        "bearer": headers.get("Authorization") == f"Bearer {CANARY}",
        "basic": headers.get("Authorization") == f"Basic {BASIC}",
    }[scheme]


def carries_secret(asked: Asked) -> bool:
    return any(secret in asked.raw_path + str(asked.headers) for secret in (CANARY, BASIC))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_scheme_is_sent_on_every_page_and_printed_nowhere(scheme: str, run_tap: Any) -> None:
    def route(asked: Asked) -> Reply:
        if not has_credential(scheme, asked):
            return json_reply({"error": f"no {CANARY} here"}, 401)
        more = {"Link": '</rows?key=old&p=2>; rel="next"'} if asked.param("p") is None else {}
        return json_reply(ROWS, Set_Cookie="server=1; Path=/", **more)

    with serving({"/rows": route}) as api:
        pagination = {"type": "link_header"}
        run = run_tap(api.url, STREAM | {"pagination": pagination}, auth=SCHEMES[scheme]).ended(0)
        assert run.records("rows") == ROWS + ROWS
        assert all(has_credential(scheme, asked) for asked in api.asked)
        assert "server=1" in api.asked[1].headers["Cookie"]
        wrong = SCHEMES[scheme] | {"name": "wrong"} if "api_key" in SCHEMES[scheme] else {"type": "none"}
        known = {"X-Known-Key": CANARY}  # the config holds it, and sends it elsewhere
        refused = run_tap(api.url, STREAM, auth=wrong, headers=known).ended(77)
    assert "answered 401" in refused.sentence
    assert '{"error": "no *** here"}' in refused.sentence
    for printed in (run, refused):
        assert CANARY not in printed.stdout + printed.stderr
        assert BASIC not in printed.stdout + printed.stderr


def test_a_secret_comes_from_the_environment(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        auth = {"type": "bearer", "token": {"env": "ORDERS_TOKEN"}}
        run_tap(api.url, STREAM, auth=auth, env={"ORDERS_TOKEN": CANARY}).ended(0)
        assert api.asked[0].headers["Authorization"] == f"Bearer {CANARY}"
        assert "ORDERS_TOKEN" in run_tap(api.url, STREAM, auth=auth).ended(78).sentence


class Renewing:
    """Pages of one row for whoever sends the token that is good by now; it is renewed before the second page."""

    def __init__(self, file: Path, to: str) -> None:
        self.file, self.to, self.good = file, to, "morning-1f9a7c22"
        file.write_text(self.good + "\n")

    def __call__(self, asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        if page == 2 and self.good != "noon-77d2be41":
            self.good = "noon-77d2be41"
            self.file.write_text(self.to)
        if asked.headers["Authorization"] != f"Bearer {self.good}":
            return json_reply({"error": f"{asked.headers['Authorization']} has expired"}, 401)
        return json_reply([{"id": page}] if page < 4 else [])


@pytest.mark.parametrize(
    ("to", "code", "requests"),
    [
        ("noon-77d2be41\n", 0, 5),
        ("nobody-d41e08b5", 77, 3),
        ("morning-1f9a7c22", 77, 2),
        ("", 77, 2),
        ("no\nheader", 77, 2),
    ],
)
def test_a_token_that_is_renewed_in_its_file_is_read_again(
    to: str, code: int, requests: int, run_tap: Any, tmp_path: Path
) -> None:
    route = Renewing(tmp_path / "token", to)
    with serving({"/rows": route}) as api:
        auth = {"type": "bearer", "token": {"file": str(tmp_path / "token")}}
        run = run_tap(api.url, STREAM | {"pagination": {"type": "page"}}, auth=auth).ended(code)
        assert len(api.asked) == requests
    assert run.records("rows") == [{"id": 1}, {"id": 2}, {"id": 3}][: 1 if code else 3]
    assert code == 0 or '{"error": "Bearer *** has expired"}' in run.sentence
    assert not any(token in run.stderr for token in ("morning-1f9a7c22", "noon-77d2be41", "nobody-d41e08b5"))


WAYS = ("redirect", "redirect with our query", "next url", "link header")


def leading_to(other: Api, way: str) -> dict[str, Any]:
    def route(asked: Asked) -> Reply:
        target = f"{other.url}/rows"
        match way:
            case "redirect":
                return Reply(status=302, headers={"Location": target})
            case "redirect with our query":
                query = asked.raw_path.partition("?")[2]
                return Reply(status=307, headers={"Location": f"{target}?{query}"})
            case "next url":
                return json_reply({"data": ROWS, "next": target})
            case _:
                return json_reply(ROWS, Link=f'<{target}>; rel="next"')

    return {"/rows": route}


def stream_for(way: str) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "next url": {"pagination": {"type": "next_url"}, "records": "data"},
        "link header": {"pagination": {"type": "link_header"}},
    }
    return STREAM | kinds.get(way, {})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_goes_to_another_port(scheme: str, way: str, run_tap: Any) -> None:
    answer = {"data": ROWS} if way == "next url" else ROWS
    with serving({"/rows": lambda _: json_reply(answer)}) as other, serving(leading_to(other, way)) as api:
        run = run_tap(api.url, stream_for(way), auth=SCHEMES[scheme]).ended(77)
        assert "allowed_hosts" in run.sentence
        assert other.asked == []
        headers = {"X-Custom-Key": CANARY}
        run = run_tap(
            api.url, stream_for(way), auth=SCHEMES[scheme], headers=headers, allowed_hosts=[other.url]
        )
        run.ended(0)
        assert len(other.asked) == 1
        assert not carries_secret(other.asked[0])
        assert "X-Custom-Key" not in other.asked[0].headers
        assert "Cookie" not in other.asked[0].headers
    assert CANARY not in run.stdout + run.stderr


def test_a_url_that_smuggles_the_secret_out(run_tap: Any) -> None:
    with serving({}) as other:

        def route(asked: Asked) -> Reply:
            return Reply(
                status=302, headers={"Location": f"{other.url}/x?stolen={asked.headers['X-API-Key']}"}
            )

        with serving({"/rows": route}) as api:
            auth = {"type": "api_key", "api_key": CANARY}
            run = run_tap(api.url, STREAM, auth=auth, allowed_hosts=[other.url]).ended(77)
        assert other.asked == []
    assert CANARY not in run.stderr


@pytest.mark.parametrize("joint", ["\\@", "\\\\@", "@", "%40", "#@", "?@", "\t@", " @"])
def test_urls_that_two_parsers_read_in_two_ways(joint: str, run_tap: Any) -> None:
    """`http://other\\@api/` has the host `api` for one parser and `other` for the next."""
    with serving({"/rows": lambda _: json_reply(ROWS)}) as other, serving({}) as api:
        url = f"{other.url}{joint}{api.url.removeprefix('http://')}/more"
        api.routes["/rows"] = lambda _: json_reply({"data": ROWS, "next": url})
        api.routes["/more"] = lambda _: json_reply({"data": ROWS, "next": None})
        stream = STREAM | {"pagination": {"type": "next_url"}, "records": "data"}
        run = run_tap(api.url, stream, auth=SCHEMES["header"])
        assert other.asked == []
    assert run.code in (0, 65, 77)
    assert CANARY not in run.stderr


def test_redirects_inside_keep_the_credential(run_tap: Any) -> None:
    routes = {
        "/rows": lambda asked: Reply(status=301, headers={"Location": "v2/rows"}),
        "/v2/rows": lambda asked: json_reply(ROWS),
    }
    with serving(routes) as api:
        run = run_tap(api.url, STREAM, auth=SCHEMES["query"]).ended(0)
        assert run.records("rows") == ROWS
        assert api.asked[1].param("key") == CANARY


def test_redirects_in_a_circle(run_tap: Any) -> None:
    with serving({"/rows": lambda _: Reply(status=302, headers={"Location": "/rows"})}) as api:
        assert "limits.redirects" in run_tap(api.url, STREAM).ended(65).sentence


METADATA = (
    "http://169.254.169.254",
    "http://2852039166",
    "http://[fd00:ec2::254]",
    "http://[::ffff:a9fe:a9fe]",
)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_addresses_are_refused(address: str, run_tap: Any) -> None:
    """2852039166 is a name that resolves to 169.254.169.254: the check is on what it resolves to."""
    run = run_tap(address, STREAM, timeout={"connect": 1}).ended(78)
    assert "allowed_addresses" in run.sentence
    with serving({"/rows": lambda _: Reply(status=302, headers={"Location": f"{address}/latest"})}) as api:
        run_tap(api.url, STREAM, allowed_hosts=[address], timeout={"connect": 1}).ended(78)


def test_a_name_is_resolved_once_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name of a test machine leads to a link-local address, so the resolver is a stand-in here."""
    asked: list[str] = []

    def resolver(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) > 1 else "169.254.169.254"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    client = Client(api_settings({"base_url": "http://metadata.test", "streams": [STREAM]}))
    with pytest.raises(ConfigurationError, match="allowed_addresses"):
        client.ask(Question("http://metadata.test/latest"))
    client.close()
    assert asked == ["metadata.test"]


def test_a_refused_address_may_be_configured(run_tap: Any) -> None:
    """Nothing is there, or not us; that it is tried is the point."""
    timeout = {"connect": 0.2, "read": 0.2}
    run = run_tap("http://169.254.1.1:9", STREAM, allowed_addresses=["169.254.0.0/16"], timeout=timeout)
    assert run.code in (65, 69, 77)


def test_the_netrc_of_the_user_is_left_alone(run_tap: Any, tmp_path: Any) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login ann password {CANARY}\n")
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        run_tap(api.url, STREAM, env={"NETRC": str(tmp_path / ".netrc")}).ended(0)
        assert not carries_secret(api.asked[0])


LEADS = {
    "a slash": ("/rows/?", 65),
    "a host that keeps nothing": ("http://localhost:PORT/rows", 65),
    "a version": ("/v2/rows", 65),
    "a suffix": ("/rows.json", 65),
    "a value less": ("/rows/?status=&page=1&since=2026", 65),
    "another parameter": ("/rows/?lang=en", 65),
    "a date": ("/rows/?created=2026-01-01T00:00:00Z", 65),
    "elsewhere": ("/found", None),
    "elsewhere, by one of them": ("/found?page=1", None),
    "the query is kept": ("/rows/?since=2026&page=1&status=paid", 0),
    "values that are written otherwise": ("/rows/?since=2026-01-01&page=1&status=PAID", 0),
    "other names": ("/rows/?from=2026&number=1&state=paid", 0),
    "in the path": ("/paid/since/2026/1", 0),
    "a signed one": ("/rows/?X-Signature=0123456789abcdef0123456789", 0),
}


@pytest.mark.parametrize("name", LEADS)
def test_a_redirect_that_leaves_out_what_was_asked_for(name: str, run_tap: Any) -> None:
    """What it leads to answers another question; where it leads elsewhere the server may know better."""
    target, code = LEADS[name]
    pagination = {"type": "page", "total_pages": "$.pages"}
    stream = STREAM | {
        "params": {"status": "paid", "since": "2026"},
        "records": "$.data[*]",
        "pagination": pagination,
    }
    body = {"data": [{"id": 1}], "pages": 1}
    with serving({}) as api:
        leads = target.replace("PORT", api.url.rpartition(":")[2])
        for path in ("/rows/", "/v2/rows", "/rows.json", "/found", "/paid/since/2026/1"):
            api.routes[path] = lambda _: json_reply(body)
        api.routes["/rows"] = lambda asked: (
            json_reply(body)
            if "localhost" in asked.headers["Host"]
            else Reply(status=301, headers={"Location": leads})
        )
        hosts = [api.url.replace("127.0.0.1", "localhost")]
        run = run_tap(api.url, stream, allowed_hosts=hosts).ended(code or 0)
    assert run.records("rows") == ([] if code == 65 else [{"id": 1}])
    if code == 65:
        assert "which leaves out `status`" in run.sentence
        assert "`page`" in run.sentence or name == "a value less"
        assert "as the redirect has them" in run.sentence
    left_out = "`status`, `since`" + (", `page`" if name == "elsewhere" else "")
    assert run.stderr.count(f"come by a redirect to another path, without {left_out} of") == (
        2 if code is None else 0
    )


@pytest.mark.parametrize(
    ("target", "lost"),
    [
        ("/a/?tag=x&tag=y&flag", []),
        ("/a/?tag=x,y&flag=", []),
        ("/a/?tag=x&flag=1", ["tag"]),
        ("/a/?tag=", ["tag", "flag"]),
        ("/a/x/y?flag", []),
        ("/x/a?tag=y", ["flag"]),
        ("/a/?tag=new&tag=names&flag", []),
    ],
)
def test_parameters_that_were_sent_several_times(target: str, lost: list[str]) -> None:
    assert lost_parameters("http://api/a?tag=x&tag=y&flag", f"http://api{target}") == lost


def test_a_redirect_to_another_thing_by_303_is_an_answer_to_the_question(run_tap: Any) -> None:
    routes = {
        "/rows": lambda _: Reply(status=303, headers={"Location": "/results/7"}),
        "/results/7": lambda _: json_reply([{"id": 1}]),
    }
    with serving(routes) as api:
        run = run_tap(api.url, STREAM | {"params": {"status": "paid"}}).ended(0)
    assert run.records("rows") == [{"id": 1}]
    assert "redirect" not in run.stderr


def test_a_scheme_in_capitals_is_one(run_tap: Any) -> None:
    """In `base_url`, in a path, and in a URL of the parent."""
    child = {
        "name": "more",
        "path": "{parent.link}",
        "parent": {"stream": "rows"},
        "schema": {"properties": {"no": {}}},
    }
    with serving({"/rows": lambda _: json_reply([])}) as api:
        capitals = api.url.replace("http", "HTTP")
        api.routes["/rows"] = lambda _: json_reply([{"id": 1, "link": f"{capitals}/more"}])
        api.routes["/more"] = lambda _: json_reply([{"no": 2}])
        for path in ("/rows", f"{capitals}/rows", f"{api.url}/rows"):
            run = run_tap(capitals, STREAM | {"path": path, "pagination": {"type": "single"}}, child).ended(0)
            assert run.records("more") == [{"no": 2}]
            assert api.asked[-1].headers["Authorization"], "it is our own origin"


def test_a_colon_in_the_user_of_basic_authentication_is_refused(run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        run = run_tap(api.url, STREAM, auth={"type": "basic", "username": "a:b", "password": CANARY}).ended(
            78
        )
        assert "without a colon at `auth.username`" in run.sentence
        assert api.asked == []
        run_tap(api.url, STREAM, auth={"type": "basic", "username": "ab", "password": f"{CANARY}:b"}).ended(0)


SIGNING: dict[str, tuple[dict[str, Any], str]] = {
    "digest": ({"type": "digest", "username": "ann", "password": CANARY}, "authorization"),
    "jwt": ({"type": "jwt", "algorithm": "HS256", "secret": CANARY + "0" * 40}, "authorization"),
    "jwt in the query": (
        {"type": "jwt", "algorithm": "HS256", "secret": CANARY + "0" * 40, "in": "query"},
        "access_token=",
    ),
    "login": ({"type": "login", "token_url": "LOGIN", "body": {"password": CANARY}}, "authorization"),
    "aws_sigv4": (
        {
            "type": "aws_sigv4",
            "access_key_id": "AK",
            "secret_access_key": CANARY,
            "session_token": CANARY + "-t",
            "region": "r",
            "service": "s",
        },
        "x-amz-security-token",
    ),
    "oauth1": ({"type": "oauth1", "consumer_key": "ck", "consumer_secret": CANARY}, "authorization"),
    "hmac": (
        {
            "type": "hmac",
            "secret": CANARY,
            "message": "{target}",
            "sign_headers": {"X-Signature": "{signature}"},
            "sign_params": {"nonce": "{nonce}", "sig": "{signature}"},
        },
        "x-signature",
    ),
}


@pytest.mark.parametrize("scheme", SIGNING)
def test_what_is_signed_or_given_goes_to_no_other_host(scheme: str, run_tap: Any) -> None:
    """The API sends us on with the query that we have sent, to a host that is listed."""
    auth, mark = SIGNING[scheme]
    with serving({"/rows": lambda _: json_reply(ROWS)}) as other, serving({}) as api:

        def rows(asked: Asked) -> Reply:
            if scheme == "digest" and "Authorization" not in asked.headers:
                return json_reply({}, 401, WWW_Authenticate='Digest realm="r", nonce="n", qop="auth"')
            assert mark in f"{asked.headers}{asked.raw_path}".lower()
            return Reply(
                status=307, headers={"Location": f"{other.url}/rows?{asked.raw_path.partition('?')[2]}"}
            )

        api.routes |= {"/rows": rows, "/login": lambda _: json_reply({"access_token": CANARY + "-given"})}
        told = {name: f"{api.url}/login" if text == "LOGIN" else text for name, text in auth.items()}
        run = run_tap(api.url, STREAM | {"params": {"a": "b"}}, auth=told, allowed_hosts=[other.url]).ended(0)
        assert run.records("rows") == ROWS
        assert other.asked[0].raw_path == "/rows?a=b"
        sent = str(other.asked[0].headers).lower()
    assert not any(name in sent for name in ("authorization", "x-amz", "x-signature", CANARY))
    assert CANARY not in run.stdout + run.stderr
