"""Requests that are signed, checked by what others have written: Flask-HTTPAuth, Authlib, botocore, published examples."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import re
from typing import Any
from urllib.parse import quote

import oauthlib.oauth1
import pytest
from authlib.integrations.flask_oauth1 import ResourceProtector
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from canaries import canary
from flask import Flask, jsonify, request
from flask_httpauth import HTTPDigestAuth
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from requests import Request
from sampling import tries
from taps.rest.api_server import Asked, Reply, json_reply, serving
from taps.rest.refusals import refusal_of
from taps.rest.wsgi import serving_app

from tap_rest.auth.digest import Digest
from tap_rest.auth.hmacs import Hmac
from tap_rest.auth.oauth1 import OAuth1
from tap_rest.auth.sigv4 import aws_sigv4
from tap_rest.settings.auth.types import AwsSettings, HmacSettings

STREAM = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {}}},
    "params": {"q": "a b+ü/*", "filter[x]": "1"},
    "pagination": {"type": "page"},
}
POSTED = STREAM | {"method": "POST", "body": {"since": "2026-01-01", "ü": [1, 2]}}
ROWS = [{"id": 1}, {"id": 2}, {"id": 3}]
SECRET = canary("secret of a signature", awkward=True)


def page_of(number: Any) -> list[dict[str, int]]:
    page = int(number or 1)
    return [{"id": page}] if page < 4 else []


@functools.cache
def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048)


# HTTP digest


@pytest.mark.parametrize("algorithm", ["MD5", "MD5-Sess"])
def test_a_challenge_is_answered_once_for_many_pages(algorithm: str, run_tap: Any) -> None:
    app = Flask("digest")
    app.config["SECRET_KEY"] = "of-the-session"
    auth = HTTPDigestAuth(realm='a, "b"'.replace('"', ""), algorithm=algorithm)
    auth.get_password({"ann": SECRET}.get)
    nonces: list[str] = []

    def new() -> str:
        nonces.append(f"nonce-{len(nonces)}")
        return nonces[-1]

    auth.generate_nonce(new)
    auth.verify_nonce(lambda nonce: nonce == nonces[-1])
    auth.generate_opaque(lambda: "opaque")
    auth.verify_opaque(lambda opaque: opaque == "opaque")
    answered: list[int] = []

    @app.get("/rows")
    @auth.login_required
    def rows() -> Any:
        if request.args.get("page") == "2" and len(nonces) == 1:
            nonces.append("stale")
            return jsonify([{"id": 2}])
        return jsonify(page_of(request.args.get("page")))

    @app.after_request
    def note(answer: Any) -> Any:
        answered.append(answer.status_code)
        return answer

    with serving_app(app) as url:
        config = {"type": "digest", "username": "ann", "password": SECRET}
        assert run_tap(url, STREAM, auth=config).ended(0).records("rows") == ROWS
        assert answered == [401, 200, 200, 401, 200, 200]  # a nonce that is void by now is another challenge
        answered.clear()
        refused = run_tap(url, STREAM, auth=config | {"password": canary("another password")}).ended(77)
        assert answered == [401, 401]
    assert "it asks for Digest" in refused.sentence


CHALLENGE = 'Digest realm="r", nonce="n", qop="auth-int, auth"'


@pytest.mark.parametrize(
    ("header", "algorithm"),
    [
        (f'Basic realm="b, c", {CHALLENGE}, algorithm=SHA-256', "SHA-256"),
        (
            f"{CHALLENGE}, algorithm=SHA-512-256, {CHALLENGE}, algorithm=SHA-256, {CHALLENGE}, algorithm=MD5",
            "SHA-256",
        ),
        (f'{CHALLENGE}, Basic realm="b"', "MD5"),
        (CHALLENGE.replace("auth-int, auth", "auth-int"), None),
        (f"{CHALLENGE}, algorithm=SHA-512-256", None),
        ('Basic realm="b"', ""),
    ],
)
def test_challenges_of_other_servers(header: str, algorithm: str | None, run_tap: Any) -> None:
    """Checked by hand, as RFC 7616 has it: the servers at hand know MD5 alone."""

    def rows(asked: Asked) -> Reply:
        sent = asked.headers.get("Authorization", "")
        if not sent:
            return Reply(b"", 401, {"WWW-Authenticate": header})
        said = dict(re.findall(r'(\w+)="?([^",]*)"?', sent.removeprefix("Digest ")))

        def digest(text: str) -> str:
            return hashlib.new((algorithm or "MD5").replace("-", ""), text.encode()).hexdigest()

        own = digest(f"GET:{asked.raw_path}")
        whole = f"{digest(f'ann:r:{SECRET}')}:n:{said['nc']}:{said['cnonce']}:auth:{own}"
        return json_reply(page_of(asked.param("page")), 200 if said["response"] == digest(whole) else 403)

    with serving({"/rows": rows}) as api:
        config = {"type": "digest", "username": "ann", "password": SECRET}
        run = run_tap(api.url, STREAM, auth=config).ended(0 if algorithm else 77)
    if algorithm is None:
        assert "in a way that tap-rest does not know" in run.sentence
    assert run.records("rows") == (ROWS if algorithm else [])


# AWS


AWS = {
    "access_key_id": "AKIDEXAMPLE",
    "secret_access_key": canary("secret access key") + "/+x",
    "region": "eu-west-1",
    "service": "execute-api",
}


def by_botocore(method: str, url: str, headers: Any, body: bytes, aws: dict[str, str]) -> str:
    """Return the Authorization that botocore would send with the same request."""
    told = {
        name: text
        for name, text in headers.items()
        if name.lower().startswith("x-amz-") or name.lower() in ("content-type", "host")
    }
    asked = AWSRequest(method, url, told, body)
    asked.context["timestamp"] = headers["x-amz-date"]
    keys = Credentials(aws["access_key_id"], aws["secret_access_key"], aws.get("session_token"))
    signer = SigV4Auth(keys, aws["service"], aws["region"])
    canonical = signer.canonical_request(asked)
    text = signer.string_to_sign(asked, canonical)
    parts = [
        f"AWS4-HMAC-SHA256 Credential={signer.scope(asked)}",
        f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(asked))}",
        f"Signature={signer.signature(text, asked)}",
    ]
    return ", ".join(parts)


@pytest.mark.parametrize("stream", [STREAM, POSTED])
@pytest.mark.parametrize("token", [None, canary("session token of aws")])
def test_aws_would_take_each_request(stream: dict[str, Any], token: str | None, run_tap: Any) -> None:
    aws = AWS | ({"session_token": token} if token else {})
    urls: list[str] = []

    def rows(asked: Asked) -> Reply:
        whole = f"http://{asked.headers['Host']}{asked.raw_path}"
        own = by_botocore(asked.method, whole, asked.headers, asked.body, aws)
        is_same = asked.headers["Authorization"] == own
        urls.append(asked.raw_path)
        return json_reply(
            page_of(asked.param("page")) if is_same else {"message": own}, 200 if is_same else 403
        )

    with serving({"/rows": rows}) as api:
        assert run_tap(api.url, stream, auth={"type": "aws_sigv4"} | aws).ended(0).records("rows") == ROWS
        wrong = aws | {"secret_access_key": canary("another access key")}
        run_tap(api.url, stream, auth={"type": "aws_sigv4"} | wrong).ended(77)
    assert not any("+" in url for url in urls)


SIGNER = aws_sigv4(AwsSettings(**AWS), None)  # type: ignore[arg-type]
TEXTS = st.text(st.sampled_from("aZ09-_.~ +/ü%&=[]:;@,'"), max_size=8)


@settings(max_examples=tries(50), deadline=None)
@given(st.lists(TEXTS, max_size=3), st.lists(st.tuples(TEXTS, TEXTS), max_size=4), st.booleans())
@example(["a b", "..", "c"], [("a", "1"), ("a", "0"), ("A", "")], True)
@example([], [], False)
def test_any_request_is_signed_as_botocore_signs_it(
    path: list[str], params: list[tuple[str, str]], is_posted: bool
) -> None:
    url = "https://api.example.com/" + "/".join(quote(part, safe="") for part in path)
    body = b'{"a": 1}' if is_posted else b""
    headers = {"Content-Type": "application/json"} if is_posted else {}
    made = Request("POST" if is_posted else "GET", url, params=params, data=body, headers=headers).prepare()
    signed = SIGNER(made)
    told = {**signed.headers, "Host": "api.example.com"}
    assert signed.headers["Authorization"] == by_botocore(str(made.method), str(signed.url), told, body, AWS)


# OAuth 1


def test_the_example_of_the_specification() -> None:
    """OAuth Core 1.0 Revision A, A.5; that of RFC 5849 is the same without `oauth_version`, which the library always sends."""
    client = oauthlib.oauth1.Client(
        "dpf43f3p2l4k3l03",
        client_secret="kd94hf93k423kf44",
        resource_owner_key="nnch734d00sl2jdk",
        resource_owner_secret="pfkkdhi9sl3r4s00",
        realm="Photos",
        timestamp="1191242096",
        nonce="kllo9940pd9333jh",
    )
    made = Request("GET", "http://photos.example.net/photos?file=vacation.jpg&size=original").prepare()
    sent = OAuth1(client)(made).headers["Authorization"]
    assert 'oauth_signature="tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D"' in sent
    assert 'realm="Photos"' in sent


class Owner:
    def __init__(self, secret: str, key: Any = None) -> None:
        self.secret, self.rsa_public_key = secret, key

    def get_client_secret(self) -> str:
        return self.secret

    def get_oauth_token_secret(self) -> str:
        return self.secret

    def get_rsa_public_key(self) -> Any:
        return self.rsa_public_key


@pytest.mark.parametrize("method", ["HMAC-SHA1", "RSA-SHA1", "PLAINTEXT"])
@pytest.mark.parametrize(
    "stream", [STREAM, POSTED, POSTED | {"body_format": "form", "body": {"a": "b c", "d": "ü"}}]
)
def test_authlib_takes_each_request_once(
    method: str, stream: dict[str, Any], run_tap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")
    stream = stream | {"params": {"q": "a b", "r": "x/*"}}  # Authlib takes no escaped letters from Flask
    key = rsa_key()
    app = Flask("oauth1")
    app.config["OAUTH1_SUPPORTED_SIGNATURE_METHODS"] = [method]
    seen: set[str] = set()

    def is_known(nonce: str, *_: Any) -> bool:
        return nonce in seen or bool(seen.add(nonce))

    client, token = Owner(SECRET, key.as_pem(private=False).decode()), Owner(canary("token secret"))
    protector = ResourceProtector(
        app, {"tap": client}.get, lambda _, name: token if name == "of-ann" else None, is_known
    )

    @app.route("/rows", methods=["GET", "POST"])
    @protector()
    def rows() -> Any:
        return jsonify(page_of(request.args.get("page")))

    auth = {"type": "oauth1", "consumer_key": "tap", "token": "of-ann", "token_secret": token.secret}
    auth |= {"signature_method": method}
    auth |= (
        {"private_key": key.as_pem(private=True).decode()}
        if method == "RSA-SHA1"
        else {"consumer_secret": SECRET}
    )
    with serving_app(app) as url:
        assert run_tap(url, stream, auth=auth).ended(0).records("rows") == ROWS
        if method != "RSA-SHA1":
            run_tap(url, stream, auth=auth | {"token_secret": canary("another token secret")}).ended(77)


# HMAC


def test_the_example_of_binance() -> None:
    """Its documentation has this secret, query and signature."""
    said = HmacSettings(
        secret="NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
        message="{query}",
        sign_params={"signature": "{signature}"},
    )
    query = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    made = Hmac(said)(Request("GET", f"https://api.binance.com/api/v3/order?{query}").prepare())
    signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert str(made.url).endswith(f"{query}&signature={signature}")


@pytest.mark.parametrize("stream", [STREAM, POSTED])
def test_what_is_signed_is_what_is_sent(stream: dict[str, Any], run_tap: Any) -> None:
    key = bytes(range(32))
    nonces: set[str] = set()

    def rows(asked: Asked) -> Reply:
        moment, nonce = asked.headers["X-Time"], asked.param("nonce") or ""
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
        assert nonce not in nonces
        nonces.add(nonce)
        body = base64.b64encode(hashlib.sha256(asked.body).digest()).decode()
        text = f"{asked.method}\n{asked.headers['Host']}\n{asked.raw_path}\n{moment}\n{body}"
        own = base64.b64encode(hmac.new(key, text.encode(), "sha512").digest()).decode()
        is_it = asked.headers["Authorization"] == f"HMAC id:{own}"
        return json_reply(page_of(asked.param("page")), 200 if is_it else 401)

    auth = {
        "type": "hmac",
        "secret": base64.b64encode(key).decode(),
        "key_encoding": "base64",
        "hash": "sha512",
        "message": "{method}\n{host}\n{target}\n{timestamp}\n{body_sha256}",
        "signature_encoding": "base64",
        "timestamp": "iso",
        "sign_headers": {"Authorization": "HMAC id:{signature}", "X-Time": "{timestamp}"},
        "sign_params": {"nonce": "{nonce}"},
    }
    with serving({"/rows": rows}) as api:
        assert run_tap(api.url, stream, auth=auth).ended(0).records("rows") == ROWS


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        (
            {"type": "hmac", "message": "{pat}", "secret": "s" * 9},
            "`{pat}` in `auth.message` is nothing that a request has; did you mean `{path}`?",
        ),
        (
            {"type": "hmac", "message": "{path}", "secret": "s" * 9},
            "Expected `{signature}` in `auth.sign_headers`",
        ),
        (
            {
                "type": "hmac",
                "message": "{path}",
                "secret": "s" * 9,
                "timestamp": "iso",
                "sign_headers": {"X": "{signature}"},
            },
            "`auth.timestamp` has no effect",
        ),
        (
            {
                "type": "hmac",
                "message": "{path}",
                "secret": "s" * 9,
                "sign_params": {"a": "{body}", "b": "{signature}"},
            },
            "`{body}` in `auth.sign_params.a`",
        ),
        ({"type": "oauth1", "consumer_key": "a"}, "Expected the key `auth.consumer_secret`"),
        (
            {"type": "oauth1", "consumer_key": "a", "consumer_secret": "b" * 9, "token": "c" * 9},
            "`auth.token_secret` both",
        ),
        (
            {
                "type": "oauth1",
                "consumer_key": "a",
                "signature_method": "RSA-SHA1",
                "private_key": "no key " + SECRET,
            },
            "Expected a private key in PEM",
        ),
        ({"type": "digest", "username": 'a"b', "password": SECRET}, "without quotes"),
        ({"type": "aws_sigv4", "access_key_id": "a"}, "Expected the key `auth.region`"),
    ],
)
def test_signatures_that_cannot_be_made(auth: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal_of(auth)


def test_a_count_of_a_nonce_grows() -> None:
    scheme = Digest("ann", SECRET)
    scheme._state.chal = {"realm": "r", "nonce": "n", "qop": "auth"}
    made = [scheme(Request("GET", "http://x/").prepare()).headers["Authorization"] for _ in range(2)]
    assert [re.findall(r"nc=(\w+)", text) for text in made] == [["00000001"], ["00000002"]]
    assert json.dumps(SECRET) not in str(made)
