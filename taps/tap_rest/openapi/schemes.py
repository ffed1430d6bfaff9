"""`auth` of a config from the security schemes of a document; what is secret becomes a variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tap_rest.openapi.document import Document, Node, node_at
from tap_rest.preview.variables import variable
from tap_rest.preview.yamltext import literal

__all__ = ["Credentials", "credentials_of"]


@dataclass
class Credentials:
    """What a request carries: ``auth``, ``headers`` and ``params`` as settings; ``notes`` are sentences for people."""

    auth: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return bool(self.auth)


def credentials_of(document: Document, operations: list[Node], prefix: str) -> Credentials:
    """Return the first credentials that the document asks for and that a config can hold; ``prefix`` begins the names of variables."""
    schemes = document.named("securitySchemes", "securityDefinitions")
    said = document.root.get("security") or next(
        (one["security"] for one in operations if one.get("security")), None
    )
    asked = said if isinstance(said, list) else []
    found = Credentials()
    for requirement in asked or [{name: []} for name in schemes]:
        if not isinstance(requirement, Mapping):
            continue
        made = Credentials()
        for name, scopes in requirement.items():
            _add(made, document.resolved(schemes.get(name)), str(name), scopes, prefix)
        if made.is_whole:
            others = [
                " and ".join(map(str, one))
                for one in asked
                if isinstance(one, Mapping) and one and one is not requirement
            ]
            made.notes += [f"The document takes {' or '.join(others)} in its place, too."] if others else []
            return made
        found.notes += made.notes
    if not schemes:
        found.notes.append("The document names no credentials: say in `auth` what the API takes.")
    return found


def _add(made: Credentials, scheme: Node, name: str, scopes: Any, prefix: str) -> None:
    kind, way = str(scheme.get("type", "")), str(scheme.get("scheme", "")).lower()
    if kind == "basic" or (kind == "http" and way in ("basic", "digest")):
        _set(
            made,
            {
                "type": way or "basic",
                "username": variable(prefix, "USER"),
                "password": variable(prefix, "PASSWORD"),
            },
            name,
        )
    elif (kind == "http" and way == "bearer") or kind == "openIdConnect":
        _set(made, {"type": "bearer", "token": variable(prefix, "TOKEN")}, name)
    elif kind == "apiKey":
        _add_key(made, scheme, name, prefix)
    elif kind == "oauth2":
        _set(made, _of_oauth2(made, scheme, scopes, prefix), name)
    else:
        made.notes.append(
            f"The document names credentials `{name}` of a kind that cannot be drafted ({kind} {way}); see `auth`."
        )


def _set(made: Credentials, auth: dict[str, Any], name: str) -> None:
    if made.auth:
        made.notes.append(
            f"The document wants `{name}` besides, and a config has one `auth`; send it in `headers`."
        )
    else:
        made.auth = auth


def _add_key(made: Credentials, scheme: Node, name: str, prefix: str) -> None:
    place, key = str(scheme.get("in", "header")), str(scheme.get("name", "X-API-Key"))
    first = variable(prefix, "TOKEN" if key.lower() == "authorization" else "KEY")
    if not made.auth:
        made.auth = {"type": "api_key", "in": place, "name": literal(key), "api_key": first}
        if key.lower() == "authorization":
            made.notes.append(
                "The key is sent as `Authorization`, as it is: the API may want a word before it (`Bearer `, `Token `), see `auth.prefix`."
            )
        return
    second = variable(prefix, name)
    (made.params if place == "query" else made.headers)[key] = second


def _of_oauth2(made: Credentials, scheme: Node, scopes: Any, prefix: str) -> dict[str, Any]:
    flows = node_at(scheme, "flows") or {str(scheme.get("flow", "")): scheme}
    by_kind = {
        {"application": "clientCredentials", "accessCode": "authorizationCode"}.get(kind, kind): flow
        for kind, flow in flows.items()
    }
    client = {"client_id": variable(prefix, "CLIENT_ID"), "client_secret": variable(prefix, "CLIENT_SECRET")}
    wanted = [literal(str(scope)) for scope in scopes] if isinstance(scopes, list) else []
    more: dict[str, Any] = {"scopes": wanted} if wanted else {}
    for kind, grant in (
        ("clientCredentials", "client_credentials"),
        ("password", "password"),
        ("authorizationCode", "refresh_token"),
    ):
        url = node_at(by_kind, kind).get("tokenUrl")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            continue
        auth = {"type": "oauth2", "grant": grant, "token_url": literal(url), **client}
        if grant == "password":
            auth |= {"username": variable(prefix, "USER"), "password": variable(prefix, "PASSWORD")}
        if grant == "refresh_token":
            auth |= {
                "refresh_token": variable(prefix, "REFRESH_TOKEN"),
                "token_file": f"{prefix.lower()}.token",
            }
            made.notes.append(
                "A refresh token comes from a login in a browser; `token_file` keeps the one that takes its place."
            )
            return auth
        return auth | more
    made.notes.append(
        "The document wants a token of OAuth2, and tells no URL that gives one to a program: the token is taken from a variable."
    )
    return {"type": "bearer", "token": variable(prefix, "TOKEN")}
