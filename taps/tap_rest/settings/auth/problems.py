"""What a JSON Schema cannot say about `auth`: which keys go with which type, and what they may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.reach import configured_origin
from tap_rest.paths import parse_path
from tap_rest.settings import setting
from tap_rest.settings.auth.keys import KEYS, NEEDS, SECRET_ALGORITHMS, SIGNING
from tap_rest.settings.auth.templates import NAMES, SIGNATURE, names_in, template_problems

__all__ = ["auth_problems"]


def auth_problems(auth: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each of them."""
    kind = auth["type"]
    problems = setting.keys_for_type(auth, "auth", KEYS[kind], NEEDS.get(kind, ()))
    of_kind = {
        "oauth2": _of_oauth2,
        "jwt": _of_signing,
        "service_account": _of_service_account,
        "login": _of_login,
        "digest": _of_digest,
        "oauth1": _of_oauth1,
        "hmac": _of_hmac,
    }.get(kind)
    return [*problems, *_of_paths(auth), *(of_kind(auth) if of_kind else ())]


def _of_paths(auth: Mapping[str, Any]) -> Iterator[str]:
    try:
        if "token_url" in auth:
            configured_origin(auth["token_url"], "auth.token_url")
            if "#" in auth["token_url"]:
                yield "Expected `auth.token_url` without `#`, behind which nothing is sent"
        if "token_path" in auth:
            parse_path(auth["token_path"], "auth.token_path")
    except ConfigurationError as error:
        yield str(error).rstrip(".")


_OF_GRANTS: Mapping[str, Sequence[str]] = {
    "client_credentials": ("client_id",),
    "password": ("username", "password"),
    "refresh_token": ("refresh_token",),
    "jwt_bearer": ("algorithm",),
}
"""What each grant needs, and no other takes, but for `client_id`."""


def _of_oauth2(auth: Mapping[str, Any]) -> Iterator[str]:
    grant = auth.get("grant", "client_credentials")
    for key in _OF_GRANTS[grant]:
        if key not in auth:
            yield f"Expected the key `auth.{key}`, which `auth.grant` `{grant}` needs"
    signs = grant == "jwt_bearer" or auth.get("client_auth") == "jwt"
    of_others = {key for keys in _OF_GRANTS.values() for key in keys} - {"client_id", "algorithm"}
    of_others -= set(_OF_GRANTS[grant])
    if grant != "refresh_token":
        of_others.add("refresh_token_rotates")
    elif "token_file" not in auth and auth.get("refresh_token_rotates", True):
        yield (
            "Expected the key `auth.token_file`, a file that keeps the refresh token of the last answer, which may be the only one that is good then. "
            "Where this server never gives another one, say `auth.refresh_token_rotates` `false`"
        )
    for key in sorted(of_others & set(auth)):
        yield f"`auth.{key}` does not go with `auth.grant` `{grant}`"
    if auth.get("body_format") == "text":
        yield "`auth.body_format` `text` does not go with `auth.type` `oauth2`"
    if "client_secret" in auth and "client_id" not in auth:
        yield "`auth.client_secret` has no effect without `auth.client_id`"
    if signs:
        yield from _of_signing(auth)
    else:
        yield from (
            f"`auth.{key}` has no effect without `auth.grant` `jwt_bearer` or `auth.client_auth` `jwt`: nothing is signed"
            for key in SIGNING
            if key in auth
        )
    yield from _of_client(auth)


def _of_client(auth: Mapping[str, Any]) -> Iterator[str]:
    if auth.get("client_auth") != "jwt":
        if "client_auth" in auth and "client_secret" not in auth:
            yield "`auth.client_auth` has no effect without `auth.client_secret`"
        return
    if "client_id" not in auth:
        yield "Expected the key `auth.client_id`, which `auth.client_auth` `jwt` needs"
    if "client_secret" in auth:
        yield "`auth.client_secret` has no effect with `auth.client_auth` `jwt`, which is signed with `auth.secret` or `auth.private_key`"


def _of_signing(auth: Mapping[str, Any]) -> Iterator[str]:
    """Name what a JWT lacks, or has in vain."""
    algorithm = auth.get("algorithm")
    if algorithm is None:
        if auth.get("client_auth") == "jwt":  # of the others it is said already
            yield "Expected the key `auth.algorithm`, by which the JWT is signed"
        return
    needed, other = ("secret", "private_key") if algorithm in SECRET_ALGORITHMS else ("private_key", "secret")
    if needed not in auth:
        yield f"Expected the key `auth.{needed}`, which `auth.algorithm` `{algorithm}` signs with"
    for key in (other, *(("key_encoding",) if other == "secret" else ())):
        if key in auth:
            yield f"`auth.{key}` has no effect with `auth.algorithm` `{algorithm}`, which signs with `auth.{needed}`"
    for claim in ("iat", "exp"):
        if claim in auth.get("claims", {}):
            yield f"`auth.claims.{claim}` is a moment of each JWT, and set when it is signed; take it out"
    for name, fits in (("alg", "algorithm"), ("kid", "key_id")):
        if name in auth.get("jwt_headers", {}):
            yield f"`auth.jwt_headers.{name}` is what `auth.{fits}` says; say it there"


def _of_service_account(auth: Mapping[str, Any]) -> Iterator[str]:
    if ("scopes" in auth) == ("audience" in auth):
        yield "Expected one of the keys `auth.scopes` (for an access token) and `auth.audience` (for an ID token) with `auth.type` `service_account`"


def _of_login(auth: Mapping[str, Any]) -> Iterator[str]:
    """Name what a login says twice, or in vain."""
    place = auth.get("token_in", "body")
    needed, other = ("token_path", "token_name") if place == "body" else ("token_name", "token_path")
    if other in auth:
        yield f"`auth.{other}` has no effect with `auth.token_in` `{place}`"
    if needed == "token_name" and needed not in auth:
        yield f"Expected the key `auth.token_name`, the name of the {place} that holds the token"
    if place == "cookie":
        for key in ("in", "name", "prefix"):
            if key in auth:
                yield f"`auth.{key}` has no effect with `auth.token_in` `cookie`, which is sent as the cookie that it is"
    body, written = auth.get("body"), auth.get("body_format")
    if body is None and written is not None:
        yield "`auth.body_format` has no effect without `auth.body`"
    if body is not None and auth.get("method") == "GET":
        yield "`auth.body` does not go with `auth.method` `GET`"
    if body is not None and written is not None and isinstance(body, str) != (written == "text"):
        yield f"Expected {'a text' if written == 'text' else 'an object'} at `auth.body`, since `auth.body_format` is `{written}`"
    if written == "form" and isinstance(body, dict) and any(isinstance(part, dict) for part in body.values()):
        yield "Expected texts and numbers at `auth.body`, since `auth.body_format` is `form`"
    signs = "{jwt}" in json.dumps([body, auth.get("token_headers", {})])
    if signs and "algorithm" not in auth:
        yield "Expected the key `auth.algorithm`, by which `{jwt}` is signed"
    if signs:
        yield from _of_signing(auth)
    else:
        yield from (
            f"`auth.{key}` has no effect without `{{jwt}}` in `auth.body` or `auth.token_headers`: nothing is signed"
            for key in SIGNING
            if key in auth
        )


def _of_digest(auth: Mapping[str, Any]) -> Iterator[str]:
    if set('"\\') & set(auth.get("username", "")):
        yield "Expected a user without quotes and backslashes at `auth.username`, since digest authentication quotes it"


def _of_oauth1(auth: Mapping[str, Any]) -> Iterator[str]:
    method = auth.get("signature_method", "HMAC-SHA1")
    needed, other = (
        ("private_key", "consumer_secret") if method.startswith("RSA") else ("consumer_secret", "private_key")
    )
    if needed not in auth:
        yield f"Expected the key `auth.{needed}`, which `auth.signature_method` `{method}` signs with"
    if other in auth:
        yield f"`auth.{other}` has no effect with `auth.signature_method` `{method}`, which signs with `auth.{needed}`"
    if ("token" in auth) != ("token_secret" in auth) and not method.startswith("RSA"):
        yield "Expected `auth.token` and `auth.token_secret` both, or neither of them"


def _of_hmac(auth: Mapping[str, Any]) -> Iterator[str]:
    """Name what cannot be filled in, and a signature that is sent nowhere."""
    yield from template_problems(auth.get("message", ""), "auth.message")
    sent = [
        (f"auth.{group}.{name}", text)
        for group in ("sign_headers", "sign_params")
        for name, text in auth.get(group, {}).items()
    ]
    for place, text in sent:
        is_before = "sign_params" in place and SIGNATURE not in names_in(text)
        yield from template_problems(
            text, place, ("timestamp", "nonce") if is_before else (*NAMES, SIGNATURE)
        )
    if not any(SIGNATURE in names_in(text) for _, text in sent):
        yield "Expected `{signature}` in `auth.sign_headers` or `auth.sign_params`, so that it is sent"
    used = {
        name for text in (auth.get("message", ""), *(text for _, text in sent)) for name in names_in(text)
    }
    if "timestamp" in auth and "timestamp" not in used:
        yield "`auth.timestamp` has no effect without `{timestamp}` in `auth.message`, `auth.sign_headers` or `auth.sign_params`"
