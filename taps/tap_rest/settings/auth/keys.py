"""The keys of `auth` as JSON Schema, and which of them go with which `type`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tap_rest.settings import setting
from tap_rest.settings.auth.templates import NAMES

__all__ = ["AUTH", "KEYS", "NEEDS", "SECRET_ALGORITHMS", "SIGNING", "TYPES"]

SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

TYPES = (
    "none",
    "api_key",
    "bearer",
    "basic",
    "oauth2",
    "jwt",
    "service_account",
    "login",
    "digest",
    "aws_sigv4",
    "hmac",
    "oauth1",
)

_KNOWN = ", ".join(f"`{{{name}}}`" for name in NAMES)
AUTH = setting.group(
    "Credentials. They are sent to the origin (scheme, host, port) of `base_url`, those of a login to `token_url`, and nowhere else.",
    {
        "type": setting.text("The scheme.", enum=list(TYPES)),
        "in": setting.text(
            "Where the key or the token is sent. Default `header`.", enum=["header", "query", "cookie"]
        ),
        "name": setting.name(
            "Name of the header, query parameter or cookie that holds it. Default `X-API-Key` for `api_key`; for tokens `Authorization`, outside of "
            "headers `access_token`."
        ),
        "api_key": setting.text(
            '`api_key`: the key. Any value may be written as `{"env": "NAME"}`.', minLength=1
        ),
        "prefix": setting.text(
            "In a header: text before the key or the token, for instance `Token `. Default for tokens in `Authorization`: `Bearer `."
        ),
        "token": setting.text("`bearer`, `oauth1`: the token.", minLength=1),
        "username": setting.text("`basic`, `digest`, `oauth2` with `grant` `password`: the user."),
        "password": setting.text(
            "`basic`, `digest`, `oauth2` with `grant` `password`: the password; may be empty."
        ),
        "grant": setting.text(
            "`oauth2`: what the token is asked for with. Default `client_credentials`.",
            enum=["client_credentials", "password", "refresh_token", "jwt_bearer"],
        ),
        "token_url": setting.text(
            "`oauth2`, `service_account`, `login`: URL that gives tokens; it may be on another host than `base_url`. Default for `service_account`: "
            "what its key says.",
            pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^/]+",
        ),
        "client_id": setting.text("`oauth2`: the client.", minLength=1),
        "client_secret": setting.text("`oauth2`: its secret.", minLength=1),
        "client_auth": setting.text(
            "`oauth2`: how the client shows who it is to `token_url`: by HTTP basic authentication (`header`), as `client_id` and `client_secret` "
            "in the `body`, or by a `jwt` that it signs. Default `header`.",
            enum=["header", "body", "jwt"],
        ),
        "algorithm": setting.text(
            "How a JWT is signed (`jwt`, `oauth2` with `grant` `jwt_bearer` or `client_auth` `jwt`, `login` with `{jwt}`): `HS256` with a `secret`; `RS256`, "
            "`PS256`, `ES256`, `EdDSA` and their longer ones with a `private_key`.",
            enum=[*SECRET_ALGORITHMS, *KEY_ALGORITHMS],
        ),
        "private_key": setting.text(
            "For a JWT, and `oauth1` with `RSA-SHA1` and the like: the private key in PEM, without a password.",
            minLength=1,
        ),
        "secret": setting.text("For a JWT, and `hmac`: the shared secret.", minLength=1),
        "key_encoding": setting.text(
            "How `secret` is written. Default `text`.", enum=["text", "base64", "hex"]
        ),
        "key_id": setting.name("For a JWT: which key it is signed with (`kid`)."),
        "claims": {
            "type": "object",
            "secret": False,
            "description": "For a JWT: what it says besides `iat` and `exp`, for instance `iss`, `sub` and `aud`. Default for `oauth2`: `iss` and "
            "`sub` are `client_id`, `aud` is `token_url`.",
        },
        "jwt_headers": {
            "type": "object",
            "secret": False,
            "description": "For a JWT: other members of its header.",
        },
        "account_key": {
            "type": "object",
            "description": '`service_account`: the JSON key of the account, as Google gives it: `{"file": "key.json"}`.',
        },
        "subject": setting.name(
            "`service_account`: the user in whose name it asks, where an administrator allows that."
        ),
        "scopes": setting.names("`oauth2`, `service_account`: what the token is to allow.") | {"minItems": 1},
        "refresh_token": setting.text(
            "`oauth2` with `grant` `refresh_token`: the refresh token, or the first one.", minLength=1
        ),
        "refresh_token_rotates": setting.flag(
            "`oauth2` with `grant` `refresh_token`: whether `token_url` may answer with another refresh token that takes the place of the one "
            "sent. If so, `token_file` is needed. Default `true`."
        ),
        "token_file": setting.name(
            "`oauth2`, `service_account`, `login`: file that keeps the token, and the refresh token of the last answer, from one run to the next; only its owner may read it. "
            "Runs that share it ask one after the other. Default: tokens end with the run.",
            minLength=1,
        ),
        "audience": setting.name(
            "`oauth2`: what the token is for, where `token_url` wants to know (`audience`)."
        ),
        "token_params": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "`oauth2`: other parameters of the request for a token.",
        },
        "token_headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "`oauth2`, `login`: other headers of the request for a token. `login`: may hold `{jwt}`, one that is signed for it.",
        },
        "body_format": setting.text(
            "`oauth2`, `login`: how what is asked for a token with is written. Default `form`, of `login` `json`, of a text `text`.",
            enum=["form", "json", "text"],
        ),
        "method": setting.text("`login`: the method. Default `POST`.", enum=["GET", "POST", "PUT"]),
        "body": {
            "type": ["object", "string"],
            "description": "`login`: what is sent, for instance a user and a password: an object, or a text as it is. May hold `{jwt}`, as `token_headers`.",
        },
        "token_in": setting.text(
            "`login`: where the answer has the token: in the `body`, in a `header`, or as a `cookie`, which is sent from then on as the cookie that "
            "it is. A redirect is an answer with `cookie`. Default `body`.",
            enum=["body", "header", "cookie"],
        ),
        "token_name": setting.name("`login`: name of that header or cookie.", minLength=1),
        "token_path": setting.name(
            "`oauth2`, `login`: JSONPath of the token in the answer. Default `$.access_token`.", minLength=1
        ),
        "lifetime": setting.seconds(
            "`oauth2`, `login`: seconds that a token is good for, where the answer has no `expires_in` or `expires_at`. Without both it is used until the API "
            "answers 401. `jwt`: seconds that each is good for, 300 by default."
        ),
        "access_key_id": setting.text("`aws_sigv4`: the access key.", minLength=1),
        "secret_access_key": setting.text("`aws_sigv4`: its secret.", minLength=1),
        "session_token": setting.text("`aws_sigv4`: the token of temporary credentials.", minLength=1),
        "region": setting.name("`aws_sigv4`: the region, for instance `eu-west-1`.", minLength=1),
        "service": setting.name(
            "`aws_sigv4`: the service by its signing name, for instance `execute-api`.", minLength=1
        ),
        "consumer_key": setting.text("`oauth1`: the key of the client.", minLength=1),
        "consumer_secret": setting.text("`oauth1`: its secret.", minLength=1),
        "token_secret": setting.text("`oauth1`: the secret of the token.", minLength=1),
        "signature_method": setting.text(
            "`oauth1`: how it signs. Default `HMAC-SHA1`.",
            enum=[
                "HMAC-SHA1",
                "HMAC-SHA256",
                "HMAC-SHA512",
                "RSA-SHA1",
                "RSA-SHA256",
                "RSA-SHA512",
                "PLAINTEXT",
            ],
        ),
        "realm": setting.name("`oauth1`: the realm, where the API wants to know."),
        "message": setting.name(
            "`hmac`: what is signed, for instance `{timestamp}{method}{target}{body}`. Known are "
            + _KNOWN
            + ".",
            minLength=1,
        ),
        "hash": setting.text(
            "`hmac`: the hash. Default `sha256`.", enum=["md5", "sha1", "sha256", "sha384", "sha512"]
        ),
        "signature_encoding": setting.text(
            "`hmac`: how the signature, and digests of the body, are written. Default `hex`.",
            enum=["hex", "base64"],
        ),
        "timestamp": setting.text(
            "`hmac`: how `{timestamp}` is written: seconds or milliseconds since 1970, RFC 3339, or the date of HTTP. Default `epoch`.",
            enum=["epoch", "epoch_ms", "iso", "http"],
        ),
        "sign_headers": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "`hmac`: headers that are added, as `{signature}` and what `message` may hold.",
        },
        "sign_params": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "`hmac`: query parameters that are added: those without `{signature}` before it is signed, and may hold `{timestamp}` and "
            "`{nonce}`; the others behind.",
        },
    },
    ["type"],
)

_PLACE = ("in", "name", "prefix")
SIGNING = ("algorithm", "private_key", "secret", "key_encoding", "key_id", "claims", "jwt_headers")
"""What a JWT is made of."""
KEYS: Mapping[str, Sequence[str]] = {
    "none": (),
    "api_key": (*_PLACE, "api_key"),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "jwt": (*_PLACE, *SIGNING, "lifetime"),
    "digest": ("username", "password"),
    "aws_sigv4": ("access_key_id", "secret_access_key", "session_token", "region", "service"),
    "oauth1": (
        "consumer_key",
        "consumer_secret",
        "token",
        "token_secret",
        "signature_method",
        "private_key",
        "realm",
    ),
    "hmac": (
        "secret",
        "key_encoding",
        "hash",
        "message",
        "signature_encoding",
        "timestamp",
        "sign_headers",
        "sign_params",
    ),
    "login": (
        *_PLACE,
        *SIGNING,
        "token_url",
        "method",
        "body",
        "body_format",
        "token_headers",
        "token_path",
        "token_in",
        "token_name",
        "token_file",
        "lifetime",
    ),
    "service_account": (
        *_PLACE,
        "account_key",
        "token_url",
        "scopes",
        "audience",
        "subject",
        "token_file",
    ),
    "oauth2": (
        *_PLACE,
        *SIGNING,
        "grant",
        "token_url",
        "client_id",
        "client_secret",
        "client_auth",
        "scopes",
        "audience",
        "token_params",
        "token_headers",
        "body_format",
        "token_path",
        "lifetime",
        "token_file",
        "refresh_token",
        "refresh_token_rotates",
        "username",
        "password",
    ),
}
NEEDS: Mapping[str, Sequence[str]] = {
    "api_key": ("api_key",),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "oauth2": ("token_url",),
    "jwt": ("algorithm",),
    "service_account": ("account_key",),
    "login": ("token_url",),
    "digest": ("username", "password"),
    "aws_sigv4": ("access_key_id", "secret_access_key", "region", "service"),
    "oauth1": ("consumer_key",),
    "hmac": ("secret", "message"),
}
