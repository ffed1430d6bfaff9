"""`auth` of type `login`: a token or a cookie from an answer of the API's own making, sent until it is refused or over."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from canaries import canary
from joserfc import jwt
from joserfc.jwk import RSAKey
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.refusals import refusal_of

from tap_rest.answers.answer import Response
from tap_rest.auth.found import TokenFinder

STREAM = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {}}},
    "pagination": {"type": "page"},
}
ROWS = [{"id": 1}, {"id": 2}, {"id": 3}]
PASSWORD = canary("password of a login", awkward=True)


class Door:
    """Takes ``user`` with the password in a body of JSON or a form; answers ``answer`` with the pass, good for ``uses`` requests."""

    def __init__(self, answer: Any, sent: Any, uses: int = 10**6) -> None:
        self.answer, self.sent, self.uses = answer, sent, uses
        self.passes: list[str] = []
        self.left = 0

    def login(self, asked: Asked) -> Reply:
        if asked.headers["Content-Type"] == "application/json":
            given = asked.json
        else:
            given = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        if given != {"user": "ann", "password": PASSWORD}:
            return json_reply({"message": f"{given.get('password')} is wrong"}, 400)
        self.passes.append(canary(f"pass {len(self.passes)}"))
        self.left = self.uses
        reply: Reply = self.answer(self.passes[-1])
        return reply

    def rows(self, asked: Asked) -> Reply:
        if not self.passes or self.sent(asked) != self.passes[-1] or self.left < 1:
            return json_reply({"error": "who are you?"}, 401)
        self.left -= 1
        page = int(asked.param("page") or 1)
        return json_reply([{"id": page}] if page < 4 else [])


def in_body(token: str) -> Reply:
    return json_reply({"data": {"session": token, "expires_in": "7200"}})


def in_header(token: str) -> Reply:
    return Reply(b"", 201, {"X-Subject-Token": token})


def in_cookies(token: str) -> Reply:
    return Reply(
        b"", 302, {"Location": "/home", "Set-Cookie": [f"sid={token}; Path=/; HttpOnly", "theme=dark"]}
    )


def cookies_of(asked: Asked) -> str | None:
    pairs = dict(pair.partition("=")[::2] for pair in asked.headers.get("Cookie", "").split("; "))
    return pairs.get("sid")


def as_plain_text(token: str) -> Reply:
    return json_reply(f'"{token}"'.encode())


WAYS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "a member": (
        in_body,
        lambda asked: asked.headers.get("X-Session"),
        {"token_path": "$.data.session", "name": "X-Session"},
    ),
    "a header": (
        in_header,
        lambda asked: asked.headers.get("Authorization", "").removeprefix("Bearer "),
        {"token_in": "header", "token_name": "X-Subject-Token", "body_format": "form"},
    ),
    "a cookie": (in_cookies, cookies_of, {"token_in": "cookie", "token_name": "sid", "body_format": "form"}),
    "the whole body": (
        as_plain_text,
        lambda asked: asked.param("ticket"),
        {"token_path": "$", "in": "query", "name": "ticket"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("uses", [10**6, 2])
def test_a_login_is_made_once_and_again_when_it_is_over(way: str, uses: int, run_tap: Any) -> None:
    answer, sent, more = WAYS[way]
    door = Door(answer, sent, uses)
    body = {"user": "ann", "password": PASSWORD}
    with serving({"/login": door.login, "/rows": door.rows, "/others": door.rows}) as api:
        auth = {"type": "login", "token_url": f"{api.url}/login", "body": body} | more
        run = run_tap(api.url, STREAM, STREAM | {"name": "others", "path": "/others"}, auth=auth).ended(0)
        assert run.records("rows") == run.records("others") == ROWS
        assert len(door.passes) == (1 if uses > 2 else 4)
        wrong = auth | {"body": body | {"password": canary("wrong password")}}
        refused = run_tap(api.url, STREAM, auth=wrong).ended(77)
        assert api.paths()[-1] == "/login"
    assert '{"message": "*** is wrong"}' in refused.sentence


def test_an_answer_without_what_is_looked_for(run_tap: Any) -> None:
    with serving({"/login": lambda _: json_reply({"ok": True}, Set_Cookie="other=1")}) as api:
        for more, words in (
            ({"token_name": "sid", "token_in": "cookie"}, "no token in the cookie `sid`"),
            ({"token_name": "X-Token", "token_in": "header"}, "no token in the header `X-Token`"),
            ({"token_path": "$.a.b"}, "no token at `$.a.b`"),
        ):
            auth = {"type": "login", "token_url": f"{api.url}/login", "method": "GET"} | more
            run = run_tap(api.url, STREAM, auth=auth).ended(78)
            assert words in run.sentence
            assert f"say at `auth.{next(iter(more))}`" in run.sentence


@pytest.mark.parametrize(
    ("more", "ends"),
    [
        ({"expires_at": "2099-01-01T00:00:00Z"}, datetime(2099, 1, 1, tzinfo=UTC).timestamp()),
        ({"expires_at": 4e9}, 4e9),
        ({"expires_at": "2001-01-01T00:00:00"}, None),  # it is used until it is refused
        ({"expires_at": "soon"}, None),
    ],
)
def test_until_when_a_token_is_good(more: dict[str, Any], ends: float | None) -> None:
    finder = TokenFinder("$.access_token", None, str)
    body = json.dumps({"access_token": canary("ending token")} | more).encode()
    token = finder.token(Response("http://x", 200, {}, body), {}, 0)
    assert token.lifetime == (None if ends is None else pytest.approx(ends - time.time(), abs=600))


def test_an_app_shows_who_it_is_by_a_jwt(run_tap: Any) -> None:
    """As GitHub's apps do: signed for the login, which gives the token for all else."""
    key = RSAKey.generate_key(2048)

    def login(asked: Asked) -> Reply:
        signed = asked.headers["Authorization"].removeprefix("Bearer ")
        assert jwt.decode(signed, key, algorithms=["RS256"]).claims["iss"] == "app-7"
        return json_reply({"token": canary("installation token"), "expires_at": "2099-01-01T00:00:00Z"}, 201)

    def rows(asked: Asked) -> Reply:
        is_it = asked.headers["Authorization"] == f"Bearer {canary('installation token')}"
        return json_reply([{"id": 1}] if is_it else {}, 200 if is_it else 401)

    with serving({"/login": login, "/rows": rows}) as api:
        auth = {
            "type": "login",
            "token_url": f"{api.url}/login",
            "token_headers": {"Authorization": "Bearer {jwt}"},
            "token_path": "$.token",
            "algorithm": "RS256",
            "private_key": key.as_pem(private=True).decode(),
            "claims": {"iss": "app-7"},
        }
        one = STREAM | {"pagination": {"type": "single"}}
        assert run_tap(api.url, one, auth=auth).ended(0).records("rows") == [{"id": 1}]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            {"token_path": "$.a", "token_in": "header", "token_name": "b"},
            "`auth.token_path` has no effect with `auth.token_in`",
        ),
        (
            {"token_in": "cookie", "token_name": "a", "in": "query"},
            "`auth.in` has no effect with `auth.token_in`",
        ),
        ({"token_in": "cookie"}, "Expected the key `auth.token_name`"),
        ({"body_format": "form"}, "`auth.body_format` has no effect without `auth.body`"),
        ({"body": {"a": "b"}, "method": "GET"}, "`auth.body` does not go with `auth.method` `GET`"),
        ({"body": "a", "body_format": "json"}, "Expected an object at `auth.body`"),
        ({"body": {"a": {"b": "c"}}, "body_format": "form"}, "Expected texts and numbers at `auth.body`"),
        ({"body": {"a": "{jwt}"}}, "Expected the key `auth.algorithm`"),
        ({"algorithm": "HS256", "secret": "x" * 40}, "`auth.algorithm` has no effect without `{jwt}`"),
    ],
)
def test_a_login_that_cannot_be_meant(more: dict[str, Any], sentence: str) -> None:
    auth = {"type": "login", "token_url": "http://127.0.0.1:9/login"} | more
    assert sentence in refusal_of(auth)
