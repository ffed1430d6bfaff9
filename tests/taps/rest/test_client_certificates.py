"""Mutual TLS: a certificate is shown where the config says, and to nobody else."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import requests
from canaries import canary
from taps.rest.api_server import Asked, json_reply, serving
from taps.rest.certificates import Authority

from singerkit_shell.errors import NotAuthorisedError
from tap_rest.http.faults import failure_of

STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
PASSWORD = canary("password of a private key")


def name_of(asked: Asked) -> str | None:
    if not asked.certificate:
        return None
    return str(dict(part[0] for part in asked.certificate["subject"])["commonName"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.mark.parametrize("way", ["two files", "one file", "encrypted"])
def test_a_client_shows_its_certificate(way: str, run_tap: Any, tmp_path: Path, authority: Authority) -> None:
    server, client = authority.pair("server"), authority.pair("tap", PASSWORD if way == "encrypted" else None)
    config = {
        "ca_file": str(authority.file),
        "client_cert": str(client.certificate),
        "client_key": str(client.key),
    }
    if way == "one file":
        client.certificate.write_bytes(client.certificate.read_bytes() + client.key.read_bytes())
        del config["client_key"]
    if way == "encrypted":
        config["client_key_password"] = PASSWORD
    files = {"certificate": server.certificate, "key": server.key, "clients": authority.file}
    with serving({"/rows": lambda _: json_reply([{"id": 1}])}, **files) as api:
        assert run_tap(api.url, STREAM, **config).ended(0).records("rows") == [{"id": 1}]
        assert name_of(api.asked[0]) == "tap"


def test_a_server_that_does_not_know_the_client(run_tap: Any, tmp_path: Path, authority: Authority) -> None:
    server, stranger = authority.pair("server"), Authority(tmp_path, "others").pair("stranger")
    files = {"certificate": server.certificate, "key": server.key, "clients": authority.file}
    identity = {"client_cert": str(stranger.certificate), "client_key": str(stranger.key)}
    with serving({}, **files) as api:
        for more in ({}, identity):
            run = run_tap(api.url, STREAM, ca_file=str(authority.file), **more)
            # The server may be gone before what it says of the client is read.
            assert run.ended(run.code).code in (69, 77)
            assert "`client_cert`" in run.sentence or "connection was lost" in run.sentence
        assert api.asked == []


@pytest.mark.parametrize("alert", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA"])
def test_what_a_server_says_of_a_client_is_no_reason_to_ask_again(alert: str) -> None:
    said = ssl.SSLError(1, f"[SSL: {alert}]")
    said.reason = alert
    failure = failure_of(requests.exceptions.SSLError(said), "https://api.example.com")
    assert isinstance(failure, NotAuthorisedError)
    assert "see to `client_cert`" in str(failure)


def test_it_goes_to_the_api_and_to_the_login_and_nowhere_else(
    run_tap: Any, tmp_path: Path, authority: Authority
) -> None:
    server, client = authority.pair("server"), authority.pair("tap")
    files: dict[str, Any] = {"certificate": server.certificate, "key": server.key, "clients": authority.file}
    files["needs_client"] = False
    token = {"/token": lambda _: json_reply({"access_token": canary("token over mutual tls")})}
    last = {"/rows": lambda _: json_reply([{"id": 2}])}
    with serving(token, **files) as login, serving(last, **files) as other, serving({}, **files) as api:
        api.routes["/rows"] = lambda _: json_reply([{"id": 1}], Link=f'<{other.url}/rows>; rel="next"')
        run = run_tap(
            api.url,
            STREAM | {"pagination": {"type": "link_header"}},
            auth={"type": "oauth2", "token_url": f"{login.url}/token", "client_id": "tap"},
            ca_file=str(authority.file),
            client_cert=str(client.certificate),
            client_key=str(client.key),
            allowed_hosts=[other.url],
        ).ended(0)
        assert run.records("rows") == [{"id": 1}, {"id": 2}]
        shown = [name_of(server.asked[0]) for server in (login, api, other)]
    assert shown == ["tap", "tap", None]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"client_key": "KEY"}, "`client_key` has no effect without `client_cert`"),
        ({"client_cert": "nowhere.pem"}, "`nowhere.pem`: it cannot be read"),
        ({"client_cert": "CERT"}, "there is no certificate with a private key"),
        ({"client_cert": "CERT", "client_key": "OTHER"}, "that of another certificate"),
        ({"client_cert": "CERT", "client_key": "LOCKED"}, "the private key is encrypted"),
        (
            {"client_cert": "CERT", "client_key": "LOCKED", "client_key_password": "wrong-pass"},
            "not with this password",
        ),
        (
            {"client_cert": "CERT", "client_key": "KEY", "client_key_password": "no-pass"},
            "the private key is not encrypted",
        ),
        (
            {"client_cert": "CERT", "client_key": "KEY", "base_url": "http://127.0.0.1:9"},
            "is read without TLS",
        ),
    ],
)
def test_files_that_show_nobody(
    more: dict[str, str], sentence: str, run_tap: Any, tmp_path: Path, authority: Authority
) -> None:
    """OpenSSL does not ask for a password at the terminal meanwhile."""
    pair, other, locked = (authority.pair("one"), authority.pair("two"), authority.pair("three", PASSWORD))
    names = {"CERT": pair.certificate, "KEY": pair.key, "OTHER": other.key, "LOCKED": locked.key}
    if "LOCKED" in more.values():
        names["CERT"] = locked.certificate
    config = {key: str(names.get(text, text)) for key, text in more.items()}
    url = config.pop("base_url", "https://127.0.0.1:9")
    assert sentence in run_tap(url, STREAM, **config).ended(78).sentence
