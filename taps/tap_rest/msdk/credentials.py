"""`auth` from tap-rest-api-msdk; what is secret becomes a variable, and is not told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from singerkit_shell.secrets import names_secret
from tap_rest.masking import is_secret_of_request
from tap_rest.preview.variables import variable
from tap_rest.preview.yamltext import literal

__all__ = ["VARIABLE", "Variables", "auth_of", "basic"]

VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
"""A text that is a variable already, as Meltano writes them."""
_LOOKS_SECRET = re.compile(r"(?=\S*[0-9])(?=\S*[A-Za-z])[\w+/=.~-]{16,}")
_DULL = ("accept", "accept-language", "content-type", "user-agent")


class Variables:
    """The variables that take the place of secrets: ``named`` says which setting each was."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.named: dict[str, str] = {}

    def of(self, value: Any, setting: str) -> str:
        """Return a variable for a secret; a text that names one already names it still."""
        said = VARIABLE.fullmatch(value) if isinstance(value, str) else None
        text = f"${{{said[1]}}}" if said else variable(self._prefix, setting.rpartition(".")[2])
        self.named.setdefault(text[2:-1], setting)
        return text

    def masked(self, group: Mapping[str, Any], setting: str) -> dict[str, Any]:
        """Return headers or parameters, with variables for what is a secret by its name or by its look."""
        return {name: self._masked(name, value, f"{setting}.{name}") for name, value in group.items()}

    def _masked(self, name: str, value: Any, setting: str) -> Any:
        is_named = is_secret_of_request(name, value) or names_secret(name)
        if not isinstance(value, str):
            return (
                self.of(value, setting)
                if is_named and isinstance(value, int | float) and not isinstance(value, bool)
                else value
            )
        scheme, blank, rest = value.partition(" ")
        if is_named and blank and scheme.lower() in ("bearer", "basic", "token"):
            return f"{scheme} {self.of(rest, setting)}"
        if (
            is_named
            or VARIABLE.fullmatch(value)
            or (_LOOKS_SECRET.fullmatch(value) and name.lower() not in _DULL)
        ):
            return self.of(value, setting)
        return literal(value)


def basic(user: str, password: str, variables: Variables, setting: str) -> dict[str, Any]:
    """Return `auth` with a user and a password; a user without one is a key."""
    place = f"{setting}." if setting else ""
    name = (
        literal(user) if password and not VARIABLE.fullmatch(user) else variables.of(user, f"{place}username")
    )
    return {
        "type": "basic",
        "username": name,
        "password": variables.of(password, f"{place}password") if password else "",
    }


def auth_of(
    old: Mapping[str, Any], variables: Variables, headers: dict[str, Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    """Return `auth`, and what has to be said about it; a header with a token moves there from ``headers``."""
    method = old.get("auth_method") or "no_auth"
    if method == "basic":
        return basic(str(old.get("username", "")), str(old.get("password", "")), variables, ""), []
    if method == "bearer_token":
        return {"type": "bearer", "token": variables.of(old.get("bearer_token"), "bearer_token")}, []
    if method == "api_key":
        return _of_keys(old.get("api_keys"), variables, headers)
    if method == "oauth":
        return _of_oauth(old, variables)
    if method == "aws":
        return _of_aws(old.get("aws_credentials"), variables)
    notes = (
        []
        if method == "no_auth"
        else [
            f"Its auth_method `{method}` is none that tap-rest-api-msdk knows: say in `auth` what the API takes."
        ]
    )
    for name, value in list(headers.items()):
        if name.lower() == "authorization" and str(value).startswith("Bearer ${"):
            return {"type": "bearer", "token": str(headers.pop(name)).removeprefix("Bearer ")}, notes
    return None, notes


def _of_keys(
    keys: Any, variables: Variables, headers: dict[str, Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    named = list(keys.items()) if isinstance(keys, Mapping) else []
    if not named:
        return None, [
            "Its auth_method is `api_key`, and there are no `api_keys`: say in `auth` what the API takes."
        ]
    name, value = named[-1]
    headers.pop(name, None)
    notes = [f"The old tap sent the last of its `api_keys` alone, {name}."] if len(named) > 1 else []
    return {
        "type": "api_key",
        "in": "header",
        "name": literal(name),
        "api_key": variables.of(value, f"api_keys.{name}"),
    }, notes


def _of_oauth(old: Mapping[str, Any], variables: Variables) -> tuple[dict[str, Any], list[str]]:
    grant = old.get("grant_type") or "client_credentials"
    auth: dict[str, Any] = {
        "type": "oauth2",
        "grant": grant,
        "token_url": literal(str(old.get("access_token_url", ""))),
    }
    auth["client_auth"] = "body"
    for key in ("client_id", "client_secret", "username", "password", "refresh_token"):
        if (
            old.get(key)
            and (key not in ("username", "password") or grant == "password")
            and (key != "refresh_token" or grant == key)
        ):
            is_secret = key not in ("client_id", "username") or VARIABLE.fullmatch(str(old[key]))
            auth[key] = variables.of(old[key], key) if is_secret else literal(str(old[key]))
    auth |= {"scopes": [literal(one) for one in str(old["scope"]).split()]} if old.get("scope") else {}
    extras = {key: str(value) for key, value in (old.get("oauth_extras") or {}).items()}
    extras |= {"redirect_uri": str(old["redirect_uri"])} if old.get("redirect_uri") else {}
    auth |= {"token_params": variables.masked(extras, "oauth_extras")} if extras else {}
    auth |= (
        {"lifetime": old["oauth_expiration_secs"]}
        if isinstance(old.get("oauth_expiration_secs"), int)
        else {}
    )
    notes = []
    if grant == "refresh_token":
        auth["token_file"] = "refresh.token"  # noqa: S105  a file
        notes.append(
            "`token_file` keeps the refresh token that takes the place of the one sent; with refresh_token_rotates: false there is none."
        )
    return auth, notes


def _of_aws(said: Any, variables: Variables) -> tuple[dict[str, Any], list[str]]:
    keys = said if isinstance(said, Mapping) else {}
    auth: dict[str, Any] = {"type": "aws_sigv4"}
    for ours, theirs in (
        ("access_key_id", "aws_access_key_id"),
        ("secret_access_key", "aws_secret_access_key"),
        ("session_token", "aws_session_token"),
    ):
        if theirs in keys or ours != "session_token":
            auth[ours] = variables.of(
                keys.get(theirs) or f"${{{theirs.upper()}}}", f"aws_credentials.{theirs}"
            )
    auth["region"] = literal(str(keys.get("aws_region") or "")) or "${AWS_REGION}"
    auth["service"] = literal(str(keys.get("aws_service") or "")) or "${AWS_SERVICE}"
    return auth, [
        "A profile of AWS is not read: its keys are set as variables."
    ] if "aws_profile" in keys else []
