"""JWTs that tap-rest signs, read by libraries of others: as the token, as what a token is given for, and as a client's proof."""

from __future__ import annotations

import base64
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import adopt, canary, holds_secrets
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.oauth_server import Client, Server, authorization_server
from taps.rest.refusals import refusal_of

from singerkit_shell.errors import ConfigurationError
from tap_rest.config import api_settings
from tap_rest.http.client import Client as RestClient

STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
SECRET = canary("shared secret of a jwt") + "0" * 40
ALGORITHMS = ("HS256", "HS512", "RS256", "PS384", "ES256", "ES512", "EdDSA")


@functools.cache
def pair_for(algorithm: str, number: int = 1) -> tuple[dict[str, Any], Key]:
    """What the config says, and the key that reads what it signs; another ``number`` is another key."""
    kinds: dict[str, Any] = {
        "R": lambda: RSAKey.generate_key(2048),
        "P": lambda: RSAKey.generate_key(2048),
        "E": lambda: ECKey.generate_key("P-256" if algorithm == "ES256" else "P-521"),
    }
    if algorithm.startswith("HS"):
        return {"algorithm": algorithm, "secret": SECRET}, OctKey.import_key(SECRET)
    key = OKPKey.generate_key("Ed25519") if algorithm == "EdDSA" else kinds[algorithm[0]]()
    pem = key.as_pem(private=True).decode()
    body = "".join(pem.splitlines()[1:-1])
    adopt(
        f"private key of {algorithm}", body[50:85] if len(body) > 100 else body[24:60]
    )  # behind what all keys begin with
    return {"algorithm": algorithm, "private_key": pem}, key


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")  # of `EdDSA`, which has a newer name
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_that_is_signed_here_is_read_by_others(algorithm: str, run_tap: Any) -> None:
    more, key = pair_for(algorithm)

    def rows(asked: Asked) -> Reply:
        text = asked.headers["Authorization"].removeprefix("Bearer ")
        token = jwt.decode(text, key, algorithms=[algorithm])
        jwt.JWTClaimsRegistry(iss={"essential": True, "value": "me"}, exp={"essential": True}).validate(
            token.claims
        )
        assert token.header["kid"] == "k1"
        assert token.header["x5t"] == "t"
        assert token.claims["deep"] == {"a": [1]}
        assert token.claims["exp"] - token.claims["iat"] <= 130
        return json_reply([{"id": 1}])

    claims = {"iss": "me", "deep": {"a": [1]}}
    auth = {
        "type": "jwt",
        "key_id": "k1",
        "claims": claims,
        "jwt_headers": {"x5t": "t"},
        "lifetime": 120,
    } | more
    with serving({"/rows": rows}) as api:
        assert run_tap(api.url, STREAM, auth=auth).ended(0).records("rows") == [{"id": 1}]


def test_secrets_that_are_written_in_other_ways(run_tap: Any) -> None:
    secret = bytes(range(40, 80))
    key = OctKey.import_key(secret)
    texts = {
        "hex": secret.hex(),
        "base64": base64.urlsafe_b64encode(secret).decode().rstrip("="),
    }

    def rows(asked: Asked) -> Reply:
        jwt.decode(asked.headers["Authorization"].removeprefix("Ghost "), key, algorithms=["HS256"])
        return json_reply([{"id": 1}])

    with serving({"/rows": rows}) as api:
        for encoding, text in texts.items():
            auth = {"type": "jwt", "algorithm": "HS256", "prefix": "Ghost ", "secret": text}
            run_tap(api.url, STREAM, auth=auth | {"key_encoding": encoding}).ended(0)


def test_a_key_in_a_variable_whose_line_ends_are_written_out(run_tap: Any) -> None:
    more, key = pair_for("ES256")

    def rows(asked: Asked) -> Reply:
        jwt.decode(asked.headers["Authorization"].removeprefix("Bearer "), key, algorithms=["ES256"])
        return json_reply([{"id": 1}])

    auth = {"type": "jwt", "algorithm": "ES256", "private_key": {"env": "SIGNING_KEY"}}
    with serving({"/rows": rows}) as api:
        env = {"SIGNING_KEY": more["private_key"].replace("\n", "\\n")}
        run_tap(api.url, STREAM, auth=auth, env=env).ended(0)


@pytest.fixture
def server() -> Iterator[Server]:
    with authorization_server() as server:
        server.users["ann"] = "unused"
        yield server
        for token in server.tokens:
            adopt("token of Authlib", token.answer["access_token"])


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
def test_a_token_is_given_for_what_is_signed(algorithm: str, run_tap: Any, server: Server) -> None:
    more, key = pair_for(algorithm)
    server.clients["tap"] = Client("tap", public_key=key)
    auth = {"type": "oauth2", "grant": "jwt_bearer", "token_url": server.token_url, "scopes": ["read"]} | more
    auth["claims"] = {"iss": "tap", "sub": "ann"}
    assert run_tap(server.url, STREAM, auth=auth).ended(0).records("rows") == [{"id": 1}]
    assert server.tokens[0].user == "ann"
    refused = run_tap(server.url, STREAM, auth=auth | {"claims": {"iss": "tap", "sub": "bob"}}).ended(77)
    assert "`invalid_grant`" in refused.sentence
    wrong, _ = pair_for(algorithm, 2)
    if algorithm != "HS256":
        assert "`invalid_grant`" in run_tap(server.url, STREAM, auth=auth | wrong).ended(77).sentence


@pytest.mark.parametrize("algorithm", ["HS256", "RS256"])
def test_a_client_shows_who_it_is_by_a_jwt(algorithm: str, run_tap: Any, server: Server) -> None:
    more, key = pair_for(algorithm)
    server.clients["tap"] = Client("tap", methods=("client_assertion_jwt",), public_key=key)
    auth = {
        "type": "oauth2",
        "token_url": server.token_url,
        "client_id": "tap",
        "client_auth": "jwt",
        "scopes": ["read"],
    }
    for _ in range(2):  # each has an id of its own, which the server takes once
        assert run_tap(server.url, STREAM, auth=auth | more).ended(0).records("rows") == [{"id": 1}]
    assert len(server.seen_ids) == 2


def account(server: Server) -> dict[str, Any]:
    more, key = pair_for("RS256")
    server.clients["tap@project"] = Client("tap@project", public_key=key)
    return {
        "type": "service_account",
        "client_email": "tap@project",
        "private_key": more["private_key"],
        "private_key_id": "k7",
        "token_uri": server.token_url,
    }


@pytest.mark.parametrize("way", ["object", "file"])
def test_a_service_account(way: str, run_tap: Any, server: Server, tmp_path: Path) -> None:
    key = account(server)
    file = holds_secrets(tmp_path / "account.json")
    given: Any = key
    if way == "file":
        file.write_text(json.dumps(key))
        given = {"file": str(file)}
    auth = {"type": "service_account", "account_key": given, "scopes": ["read", "write"], "subject": "ann"}
    assert run_tap(server.url, STREAM, auth=auth).ended(0).records("rows") == [{"id": 1}]
    ((status, asked),) = server.answered
    head, claims = (
        json.loads(base64.urlsafe_b64decode(part + "==")) for part in asked["assertion"].split(".")[:2]
    )
    assert (status, head["kid"], claims["scope"], claims["sub"]) == (200, "k7", "read write", "ann")
    assert claims["exp"] - time.time() <= 60


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"algorithm": "RS256"}, "Expected the key `auth.private_key`"),
        ({"algorithm": "HS256", "secret": SECRET, "private_key": "x"}, "`auth.private_key` has no effect"),
        ({"algorithm": "RS256", "private_key": "no key " + SECRET}, "Expected a private key in PEM"),
        ({"algorithm": "HS256", "secret": SECRET, "key_encoding": "hex"}, "Expected hex at `auth.secret`"),
        ({"algorithm": "HS256", "secret": SECRET, "claims": {"exp": 1}}, "`auth.claims.exp` is a moment"),
        ({"algorithm": "HS256", "secret": SECRET, "jwt_headers": {"alg": "none"}}, "`auth.algorithm` says"),
        ({"algorithm": "none", "secret": SECRET}, "`auth.algorithm`"),
    ],
)
def test_keys_that_sign_nothing(more: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal_of({"type": "jwt"} | more)


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ({"account_key": {"type": "authorized_user"}, "scopes": ["a"]}, "got one of another type"),
        ({"account_key": {"private_key": "x"}, "scopes": ["a"]}, "got something else"),
        ({"account_key": {}}, "Expected one of the keys `auth.scopes`"),
    ],
)
def test_keys_that_are_no_service_account(auth: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal_of({"type": "service_account"} | auth)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"secret": SECRET}, "`auth.secret` has no effect without `auth.grant` `jwt_bearer`"),
        ({"client_auth": "jwt"}, "Expected the key `auth.algorithm`"),
        (
            {"client_auth": "jwt", "algorithm": "HS256", "secret": SECRET, "client_secret": "x" * 9},
            "no effect with `auth.client_auth` `jwt`",
        ),
        ({"grant": "jwt_bearer"}, "Expected the key `auth.algorithm`, which `auth.grant` `jwt_bearer` needs"),
    ],
)
def test_signing_that_is_not_asked_for(more: dict[str, Any], sentence: str) -> None:
    auth = {"type": "oauth2", "token_url": "http://127.0.0.1:9/t", "client_id": "a"} | more
    assert sentence in refusal_of(auth)


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jwt", None)
    settings = {"type": "jwt", "algorithm": "HS256", "secret": SECRET}
    with pytest.raises(ConfigurationError, match=r"pip install 'singerkit\[auth\]'"):
        RestClient(api_settings({"base_url": "http://127.0.0.1:9", "streams": [STREAM], "auth": settings}))
