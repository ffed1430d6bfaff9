"""`auth` of type `oauth2`: one login per run, renewed in time and after a 401, sent where it belongs and printed nowhere."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import pytest
from canaries import canary
from taps.rest.api_server import Api, Asked, Reply, json_reply, serving
from taps.rest.refusals import refusal_of

STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
SECRET = canary("oauth2 client secret")


class Tokens:
    """Gives `token-N`, each good for ``uses`` requests of the API; ``expires_in`` is what it says of it."""

    def __init__(self, uses: int = 10**6, **answer: Any) -> None:
        self.uses, self.answer = uses, answer
        self.asked: list[Asked] = []
        self.left: dict[str, int] = {}

    def give(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        token = canary(f"access token {len(self.asked)}")
        self.left[token] = self.uses
        return json_reply({"access_token": token, "token_type": "Bearer"} | self.answer)

    def take(self, asked: Asked) -> Reply:
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.left.get(token, 0) < 1:
            return json_reply({"error": f"{token} is not good any more"}, 401)
        self.left[token] -= 1
        page = int(asked.param("page") or 1)
        return json_reply([{"id": page}] if page < 4 else [])


@contextmanager
def both(tokens: Tokens) -> Iterator[tuple[Api, Api, dict[str, Any]]]:
    """An API, the server that gives tokens for it, and the `auth` of the config."""
    with serving({"/token": tokens.give}) as login, serving({"/rows": tokens.take}) as api:
        auth = {
            "type": "oauth2",
            "token_url": f"{login.url}/token",
            "client_id": "tap",
            "client_secret": SECRET,
        }
        yield api, login, auth


PAGED = STREAM | {"pagination": {"type": "page"}}


def test_one_login_serves_all_streams_and_the_inference_of_schemas(run_tap: Any) -> None:
    tokens = Tokens(expires_in=3600)
    with both(tokens) as (api, login, auth):
        api.routes["/others"] = tokens.take
        other = {"name": "others", "path": "/others", "pagination": {"type": "page"}}
        run = run_tap(api.url, PAGED, other, auth=auth | {"scopes": ["a", "b"], "audience": "x"}).ended(0)
        assert len(login.asked) == 1
        assert login.asked[0].headers["Authorization"] not in str([asked.headers for asked in api.asked])
    assert run.records("rows") == run.records("others") == [{"id": 1}, {"id": 2}, {"id": 3}]
    (asked,) = tokens.asked
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["x"],
    }
    assert base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")) == f"tap:{SECRET}".encode()


def test_what_is_asked_is_said_by_the_config(run_tap: Any) -> None:
    tokens = Tokens()
    password = canary("oauth2 password")
    more = {
        "grant": "password",
        "username": "ann",
        "password": password,
        "client_auth": "body",
        "body_format": "json",
        "token_params": {"resource": "r"},
        "token_headers": {"X-Tenant": "t"},
        "in": "query",
        "name": "access",
    }
    with both(tokens) as (api, _, auth):
        api.routes["/rows"] = lambda asked: json_reply(
            [{"id": 1}] if asked.param("access") in tokens.left else [], 200
        )
        assert run_tap(api.url, STREAM, auth=auth | more).ended(0).records("rows") == [{"id": 1}]
    (asked,) = tokens.asked
    assert asked.json == {
        "grant_type": "password",
        "username": "ann",
        "password": password,
        "client_id": "tap",
        "client_secret": SECRET,
        "resource": "r",
    }
    assert asked.headers["X-Tenant"] == "t"


@pytest.mark.parametrize(
    ("tokens", "more", "logins", "requests", "code"),
    [
        (Tokens(uses=2), {}, 2, 5, 0),  # the third request is answered by 401, and made once more
        (Tokens(expires_in=0.0001), {}, 4, 4, 0),  # renewed before each request, without a 401
        (Tokens(), {"lifetime": 0.0001}, 4, 4, 0),
        (Tokens(expires_in=3600), {"lifetime": 0.0001}, 1, 4, 0),
        (Tokens(uses=0), {}, 2, 2, 77),  # a renewed token that is refused, too
        (Tokens(expires_in="3600"), {}, 1, 4, 0),
        (Tokens(expires_in=-1), {}, 1, 4, 0),
    ],
)
def test_a_token_is_renewed_in_time_and_once_on_401(
    tokens: Tokens, more: dict[str, Any], logins: int, requests: int, code: int, run_tap: Any
) -> None:
    with both(tokens) as (api, login, auth):
        run = run_tap(api.url, PAGED, auth=auth | more).ended(code)
        assert (len(login.asked), len(api.asked)) == (logins, requests)
    assert run.records("rows") == ([] if code else [{"id": 1}, {"id": 2}, {"id": 3}])
    assert code == 0 or '{"error": "*** is not good any more"}' in run.sentence


ANSWERS: dict[str, tuple[Reply, int, str]] = {
    "a wrong client": (
        json_reply({"error": "invalid_client", "error_description": f"no {SECRET}"}, 401),
        77,
        "gave no token (status 401, `invalid_client`)",
    ),
    "a wrong grant": (json_reply({"error": "invalid_grant"}, 400), 77, "`invalid_grant`"),
    "an error under 200": (json_reply({"error": "bad_verification_code"}), 77, "`bad_verification_code`"),
    "a wrong scope": (json_reply({"error": "invalid_scope"}, 400), 78, "compare the settings"),
    "nothing there": (Reply(b"<html>", 404), 78, "check `auth.token_url`"),
    "a redirect": (Reply(b"", 302, {"Location": "/other?token=x"}), 78, "a redirect to /other?token=***"),
    "another name": (json_reply({"jwt": canary("foreign token"), "ok": True}), 78, "it has `jwt`, `ok`"),
    "no JSON": (Reply(b"<html>sign in</html>", 200), 78, "it is no JSON object"),
    "no text": (json_reply({"access_token": {"a": 1}}), 78, "no token at `$.access_token`"),
    "two lines": (json_reply({"access_token": "a\nb"}), 78, "no header can hold"),
    "a failing server": (Reply(b"down", 503), 69, "after 3 tries: status 503, it says: `down`"),
    "a busy one": (json_reply({"error": "temporarily_unavailable"}, 400), 69, "`temporarily_unavailable`"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_no_token_is_told_with_what_to_do(name: str, run_tap: Any) -> None:
    reply, code, words = ANSWERS[name]
    with both(Tokens()) as (api, login, auth):
        login.routes["/token"] = lambda _: reply
        run = run_tap(api.url, STREAM, auth=auth).ended(code)
        assert api.asked == []
        assert len(login.asked) == (3 if code == 69 else 1)
    assert words in run.sentence
    assert f"{login.url}/token" in run.sentence


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"grant": "password"}, "Expected the key `auth.username`, which `auth.grant` `password` needs"),
        ({"username": "ann"}, "`auth.username` does not go with `auth.grant` `client_credentials`"),
        ({"token": "x"}, "`auth.token` does not go with `auth.type` `oauth2`"),
        ({"token_params": {"scope": "x"}}, "`auth.scopes` says"),
        ({"token_headers": {"authorization": "x"}}, "has no effect"),
        ({"token_path": "$.["}, "Expected a JSONPath at `auth.token_path`"),
        ({"token_url": "https://api.example.com/#/token"}, "without `#`"),
        ({"in": "query", "prefix": "x"}, "`auth.prefix` has no effect with `auth.in` `query`"),
    ],
)
def test_a_config_that_cannot_be_meant(more: dict[str, Any], sentence: str) -> None:
    auth = {"type": "oauth2", "token_url": "http://127.0.0.1:9/t", "client_id": "a", "client_secret": "b" * 9}
    assert sentence in refusal_of(auth | more)


@pytest.mark.parametrize("address", ["http://169.254.169.254", "http://2852039166"])
def test_no_token_is_asked_for_at_a_metadata_address(address: str, run_tap: Any) -> None:
    auth = {"type": "oauth2", "token_url": f"{address}/token", "client_id": "a", "client_secret": SECRET}
    with serving({}) as api:
        assert "allowed_addresses" in run_tap(api.url, STREAM, auth=auth).ended(78).sentence


def test_a_token_goes_to_no_other_host(run_tap: Any) -> None:
    with both(Tokens()) as (api, _, auth), serving({"/rows": lambda _: json_reply([{"id": 1}])}) as other:
        api.routes["/rows"] = lambda _: Reply(b"", 302, {"Location": f"{other.url}/rows"})
        run_tap(api.url, STREAM, auth=auth, allowed_hosts=[other.url]).ended(0)
        assert "Authorization" not in other.asked[0].headers

        def smuggling(asked: Asked) -> Reply:
            token = asked.headers["Authorization"].removeprefix("Bearer ")
            return Reply(b"", 302, {"Location": f"{other.url}/rows?t={token}"})

        api.routes["/rows"] = smuggling
        run_tap(api.url, STREAM, auth=auth, allowed_hosts=[other.url]).ended(77)
        assert len(other.asked) == 1


def test_a_secret_that_is_changed_in_its_file_is_read_again(run_tap: Any, tmp_path: Any) -> None:
    """The client has another secret by the time a new token is needed."""
    file = tmp_path / "secret"
    file.write_text("morning-1f9a7c22")
    tokens = Tokens(uses=2)

    def give(asked: Asked) -> Reply:
        pair = base64.b64decode(asked.headers["Authorization"].removeprefix("Basic ")).decode()
        if tokens.asked and pair != "tap:noon-77d2be41":
            file.write_text("noon-77d2be41")
            return json_reply({"error": "invalid_client"}, 401)
        return tokens.give(asked)

    with both(tokens) as (api, login, auth):
        login.routes["/token"] = give
        run = run_tap(api.url, PAGED, auth=auth | {"client_secret": {"file": str(file)}}).ended(0)
        assert len(login.asked) == 3
    assert run.records("rows") == [{"id": 1}, {"id": 2}, {"id": 3}]
    assert json.dumps("noon") not in run.stderr


@pytest.mark.parametrize("is_refused", [False, True])
def test_requests_at_a_time_have_one_login(is_refused: bool, run_tap: Any) -> None:
    """Some time later all of them find their token refused; or it is over, and no other is given: then none asks again, since accounts get locked."""
    tokens = Tokens(expires_in=0.0001) if is_refused else Tokens()

    def rows(asked: Asked) -> Reply:
        page = int(asked.param("page") or 1)
        good = tokens.asked[-1] if tokens.asked else None
        if page > 8 and len(tokens.asked) == 1:
            return json_reply({}, 401)
        is_new = (
            good is not None and canary(f"access token {len(tokens.asked)}") in asked.headers["Authorization"]
        )
        if not is_new:
            return json_reply({}, 401)
        return json_reply([{"id": page}] if page <= 30 else [])

    def give(asked: Asked) -> Reply:
        refused = json_reply({"error": "invalid_client"}, 401)
        return refused if tokens.asked and is_refused else tokens.give(asked)

    with both(tokens) as (api, login, auth):
        api.routes["/rows"], login.routes["/token"] = rows, give
        run = run_tap(api.url, PAGED, auth=auth, concurrency=6).ended(77 if is_refused else 0)
        assert len(login.asked) == 2
    assert is_refused or [row["id"] for row in run.records("rows")] == list(range(1, 31))
