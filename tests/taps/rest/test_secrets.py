"""What a config takes from the environment or a file is seen nowhere, whatever its key and whatever happens (M20).

Every place of a config whose text is no part of the messages (as names are) holds a canary; what the runs print is searched by `canaries`.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import canaries
import pytest
from canaries import canary
from taps.rest.api_server import Asked, Reply, json_reply, serving

from singerkit_shell.configfile import read_config
from singerkit_shell.errors import ConfigurationError

STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}
PLACES = (
    "params.appid",
    "params.plain",
    "headers.X-Tenant",
    "user_agent",
    "streams.params.q",
    "streams.headers.X-Other",
    "streams.path",
    "base_url",
    "auth.token",
)


def echo(asked: Asked) -> dict[str, Any]:
    return {"asked": asked.raw_path, "headers": dict(asked.headers)}


OUTCOMES: dict[str, tuple[Any, int]] = {
    "refused, and told what was sent": (lambda asked: json_reply(echo(asked), 400), 65),
    "not found": (lambda asked: json_reply({"ok": False}, 404), 65),
    "not authorised": (lambda asked: json_reply(echo(asked), 401), 77),
    "no answer that helps": (lambda asked: json_reply(echo(asked), 503), 69),
    "not JSON": (lambda asked: Reply(json.dumps(echo(asked)).encode() + b"<html>"), 65),
    "no records": (lambda asked: json_reply(echo(asked)), 65),
    "no charset": (lambda asked: json_reply([], Content_Type=f"text/x; charset={asked.raw_path}"), 65),
    "no gzip": (lambda asked: Reply(b"x", headers={"Content-Encoding": "gzip"}), 65),
    "elsewhere": (
        lambda asked: Reply(status=302, headers={"Location": f"http://other.test{asked.raw_path}"}),
        77,
    ),
    "in a circle": (lambda asked: Reply(status=302, headers={"Location": asked.raw_path}), 65),
    "to nothing": (lambda asked: Reply(status=302, headers={"Location": f"http://[{asked.raw_path}"}), 65),
    "rows": (lambda asked: json_reply([{"id": 1}]), 0),
}


def planted(way: str, place: str) -> str:
    """A canary; what follows it has to be written differently in URLs and JSON."""
    secret = canary(f"{way} at {place}", awkward=place.split(".")[-1] in ("appid", "q"))
    return f"/bot{secret}/v1" if place == "streams.path" else secret


def filled(way: str, url: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """A config in which each of `PLACES` refers to the environment or to a file."""
    config: dict[str, Any] = {"auth": {"type": "bearer"}, "streams": STREAM}
    for number, place in enumerate(PLACES):
        secret = f"{url}/bot{planted(way, place)}" if place == "base_url" else planted(way, place)
        if way == "env":
            environment[f"PLANTED_{number}"] = secret
        else:
            canaries.holds_secrets(folder / f"planted{number}").write_text(secret + "\n")
        reference = (
            {"env": f"PLANTED_{number}"} if way == "env" else {"file": str(folder / f"planted{number}")}
        )
        *groups, key = place.split(".")
        here = config
        for group in groups:
            here[group] = here = dict(here.get(group, {}))
        here[key] = reference
    return config | {"streams": [config["streams"]]}


@pytest.mark.parametrize("way", ["env", "file"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_value_from_elsewhere_is_seen_nowhere(outcome: str, way: str, run_tap: Any, tmp_path: Path) -> None:
    answer, code = OUTCOMES[outcome]
    with serving({}) as api:
        environment: dict[str, str] = {}
        config = filled(way, api.url, tmp_path, environment)
        path = f"/bot{planted(way, 'base_url')}{planted(way, 'streams.path')}"
        api.routes[path] = answer
        streams = config.pop("streams")
        args = ("--debug",)
        run = run_tap(config.pop("base_url"), *streams, args=args, env=environment, **config)
        assert run.code == code, run.stderr
        assert api.asked
        assert planted(way, "auth.token") in api.asked[0].headers["Authorization"]
        assert api.asked[0].param("appid") == planted(way, "params.appid")


@pytest.mark.parametrize("way", ["env", "file"])
def test_a_value_from_elsewhere_is_seen_nowhere_when_nobody_answers(
    way: str, run_tap: Any, tmp_path: Path
) -> None:
    environment: dict[str, str] = {}
    config = filled(way, "http://127.0.0.1:9", tmp_path, environment)
    streams = config.pop("streams")
    run = run_tap(config.pop("base_url"), *streams, env=environment, **config).ended(69)
    assert "***" in run.sentence


def test_of_literal_parameters_an_error_shows_the_names(run_tap: Any) -> None:
    with serving({}) as api:
        params = {"customer": "acme-corp", "page": 7, "since": "2024-01-01"}
        headers = {"X-Tenant": "tenant-of-acme"}
        run = run_tap(api.url, STREAM, params=params, headers=headers).ended(65)
    assert "customer=***&page=***&since=***" in run.sentence
    assert "acme" not in run.stderr


def test_of_what_is_not_the_configs_an_error_shows_numbers_and_dates(run_tap: Any) -> None:
    pagination = {"type": "next_url", "next": "$.next"}
    more = "/gone?page=2&since=2024-01-01T00:00:00Z&cursor=abcdef"
    with serving({"/rows": lambda _: json_reply({"data": [{"id": 1}], "next": more})}) as api:
        run = run_tap(api.url, STREAM | {"pagination": pagination, "records": "$.data[*]"}).ended(65)
    assert "/gone?page=2&since=2024-01-01T00:00:00Z&cursor=*** answered 404" in run.sentence


@pytest.mark.parametrize("place", ["body", "charset", "challenge", "redirect", "next page"])
def test_a_piece_of_a_token_in_an_answer_is_not_shown(place: str, run_tap: Any) -> None:
    """An API that says which token it was, or less clearly, one that is not ours to trust."""
    token = "Zq7Wv9Kx2Lm4Np8Rt6Yb3Hd5Jf1Gs0Ca"
    answers = {
        "body": (400, json.dumps({"message": f"no such token: {token[:20]}..., {token[::-1]}"}), {}),
        "charset": (200, "[]", {"Content-Type": f"text/plain; charset={token[8:]}"}),
        "challenge": (401, "", {"WWW-Authenticate": f"{token[8:]} realm"}),
        "redirect": (302, "", {"Location": f"/rows/{token[:20]}"}),
        "next page": (200, "[]", {"Link": f'</rows/{token[:20]}>; rel="next"'}),
    }
    status, body, headers = answers[place]
    with serving({"/rows": lambda _: Reply(body.encode(), status, headers=headers)}) as api:
        stream = STREAM | {"pagination": {"type": "link_header"}}
        run = run_tap(api.url, stream, auth={"type": "bearer", "token": token})
    assert run.code in (65, 77), run.stderr
    assert "***" in run.sentence
    assert token[:9] not in run.stderr
    assert token[-9:] not in run.stderr
    assert token[:-9:-1] not in run.stderr


def test_a_piece_of_a_token_as_a_name_in_an_answer_is_not_shown(run_tap: Any) -> None:
    token = "Zq7Wv9Kx2Lm4Np8Rt6Yb3Hd5Jf1Gs0Ca"
    part = token[:20]
    answers: list[Any] = [
        {part: [{"id": 1}], "b": [{"id": 2}]},
        {part: {"b": [{"id": 1}]}},
        {part: [["id"], [1]]},
        {part: 5},
        {"data": [{"id": 1}], part + "_next_cursor": "abc", "next_page": part},
    ]
    for answer in answers:
        with serving({"/rows": lambda _, answer=answer: json_reply(answer)}) as api:
            run = run_tap(api.url, STREAM, auth={"type": "bearer", "token": token})
        assert token[:9] not in run.stderr, run.sentence
        assert run.code in (65, 78), run.stderr


HEADERS: dict[str, dict[str, Any]] = {
    "headers.X-Key": {"headers": {"X-Key": "{}\nX-Evil: 1"}},
    "streams[0].headers.X-Key": {"headers": {"X-Key": "\x01{}"}},
    "user_agent": {"user_agent": "me\r\n{}"},
    "auth.token": {"auth": {"type": "bearer", "token": "{}\n"}},
    "auth.api_key": {"auth": {"type": "api_key", "api_key": "{}\u4e2d"}},
    "auth.prefix": {"auth": {"type": "api_key", "api_key": "{}", "prefix": "Token\n"}},
    "auth.name": {"auth": {"type": "api_key", "api_key": "{}", "name": "X Key:"}},
    "headers": {"headers": {"X-Key\n": "{}"}},
}


@pytest.mark.parametrize("place", HEADERS)
def test_what_no_header_can_hold_is_refused_with_the_config(place: str, run_tap: Any) -> None:
    secret = canary(f"in the header {place}")
    filled_in = json.loads(json.dumps(HEADERS[place]).replace("{}", secret))
    stream = STREAM | (filled_in if place.startswith("streams") else {})
    with serving({"/rows": lambda _: json_reply([])}) as api:
        run = run_tap(api.url, stream, **({} if place.startswith("streams") else filled_in)).ended(78)
        assert not api.asked
    assert f"`{place}`" in run.sentence
    assert secret not in run.stderr


@pytest.mark.parametrize(
    ("stream", "config"),
    [
        ({"path": "/rows?access_token={secret}"}, {}),
        ({"path": "/rows?a=1&sig={secret}"}, {}),
        ({"path": "/rows?x={secret}"}, {}),  # by its look
        ({"params": {"api_key": "{secret}"}}, {}),
        ({}, {"auth": {"type": "basic", "username": "{secret}", "password": ""}}),  # Stripe
        ({}, {"headers": {"Authorization": "Basic {basic}"}, "auth": {"type": "none"}}),
        ({"headers": {"Authorization": "Basic {basic key}"}}, {"auth": {"type": "none"}}),
    ],
)
def test_a_literal_secret_that_the_api_repeats(stream: Any, config: Any, run_tap: Any) -> None:
    secret = "zQ7vK2pWx9LmT4bN8"
    texts = {
        "{secret}": secret,
        "{basic}": base64.b64encode(f"me:{secret}".encode()).decode(),
        "{basic key}": base64.b64encode(f"{secret}:".encode()).decode(),
    }

    def filled_in(part: Any) -> Any:
        text = json.dumps(part)
        for name, value in texts.items():
            text = text.replace(name, value)
        return json.loads(text)

    with serving({"/rows": lambda _: json_reply({"message": f"no such token: {secret}"}, 400)}) as api:
        run = run_tap(api.url, STREAM | filled_in(stream), **filled_in(config)).ended(65)
    assert "no such token: ***" in run.sentence
    assert secret not in run.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token", 9182736455463),
        ("api_key", -9182736455463),
        ("secret", 918273.6455463),
        ("token", [9182736455463]),
        ("sig", ["x", "zQ7vK2pWx9LmT4bN8"]),
        ("password", ["correct-horse-battery"]),
    ],
)
def test_a_secret_that_is_a_number_or_in_a_list_is_masked_where_the_api_repeats_it(
    name: str, value: Any, run_tap: Any
) -> None:
    last = str(value[-1] if isinstance(value, list) else value)

    def repeat(asked: Asked) -> Reply:
        assert f"{name}={last}&" in asked.raw_path
        return json_reply({"message": f"no such token: {last} of 2026, port 8080"}, 400)

    with serving({"/rows": repeat}) as api:
        params = {name: value, "key": 8080, "auth_year": 2026}
        run = run_tap(api.url, STREAM | {"params": params}).ended(65)
    assert "no such token: *** of 2026, port 8080" in run.sentence
    assert last.removeprefix("-")[:8] not in run.stderr


@pytest.mark.parametrize(
    "params",
    [{"sort_keys": ["updated_at", "id"]}, {"sort_key": "updated_at"}, {"partitionKey": "updated_at"}],
)
def test_words_whose_name_only_sounds_secret_are_shown(params: dict[str, Any], run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply({"message": "updated_at is no column"}, 400)}) as api:
        run = run_tap(api.url, STREAM | {"params": params}).ended(65)
    assert "updated_at is no column" in run.sentence


@pytest.mark.parametrize("name", ["key", "api_key", "access-key", "subscription_key", "secret_sort_key"])
def test_words_that_may_be_keys_are_not_shown(name: str, run_tap: Any) -> None:
    with serving({"/rows": lambda _: json_reply({"message": "letmeinplease is no key"}, 400)}) as api:
        run = run_tap(api.url, STREAM | {"params": {name: "letmeinplease"}}).ended(65)
    assert "letmeinplease" not in run.stderr


@pytest.mark.parametrize(
    "url", ["u:{}@api.example.com", "https//u:{}@api.example.com/v1", "u:{}@127.0.0.1:80/x"]
)
def test_a_login_in_a_url_without_its_scheme_is_not_shown(url: str, run_tap: Any) -> None:
    secret = "zQ7vK2pWx9LmT4bN8"
    run = run_tap(url.replace("{}", secret), STREAM).ended(78)
    assert "`base_url`" in run.sentence
    assert secret not in run.stderr


TOKENS = ["zQ7vK2pWx9LmT4bN8", "AKIAIOSFODNN7EXAMPLE", "sk_live_51H8zQ7vK2pWx9", "deadbeef0123456789abcdef"]


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("way", ["env", "file"])
def test_a_token_in_the_place_of_its_name_is_not_shown(way: str, token: str, run_tap: Any) -> None:
    run = run_tap("http://127.0.0.1:9", STREAM, auth={"type": "bearer", "token": {way: token}}).ended(78)
    assert "auth.token takes its value from" in run.sentence
    assert "looks like the value itself" in run.sentence
    assert token not in run.stderr


@pytest.mark.parametrize(
    "secret", ["S3cr3tZq9", "p@ss word", "/9j4AAQSkZJR", "/9j4/AAQ+SkZ=", "correct-h0rse"]
)
@pytest.mark.parametrize("way", ["env", "file"])
def test_a_short_secret_in_the_place_of_its_name_is_not_shown(way: str, secret: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"password": {way: secret}}))
    with pytest.raises(ConfigurationError, match="looks like the value itself") as caught:
        read_config(str(path))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("way", "name"),
    [
        *(
            ("env", name)
            for name in (
                "API_TOKEN",
                "token",
                "_X",
                "Stripe_Key_2",
                "shopToken",
                "MY_VERY_LONG_VARIABLE_NAME_2026",
            )
        ),
        *(
            ("file", name)
            for name in ("/run/secrets/a1b2c3d4e5f6a7b8", "./token", "secrets/token.txt", "token")
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_shown(way: str, name: str, run_tap: Any) -> None:
    run = run_tap("http://127.0.0.1:9", STREAM, auth={"type": "bearer", "token": {way: name}}).ended(78)
    assert name in run.sentence


@pytest.mark.parametrize("way", ["--config ENV", "env"])
def test_a_command_that_is_advised_names_what_comes_from_the_environment(way: str, run_tap: Any) -> None:
    """It said `--stream *** --pipeline ***`; parameters and headers stay masked."""
    shop, key = canary("a parameter in a variable"), canary("a header in a variable")
    given = {
        "name": "customers",
        "params": {"shop": shop},
        "headers": {"X-Tenant": {"env": "TENANT"}},
        "schema": {"properties": {"id": {"type": "integer"}, "changed_at": {"type": "string"}}},
        "replication_key": "changed_at",
        "primary_keys": ["id"],
    }
    env = {"TENANT": key, "NAME": "nightly_job"}
    top: dict[str, Any] = {"pipeline": {"env": "NAME"}}

    def read(path: str, state: Any = None) -> Any:
        stream = given | {"path": path}
        if way == "--config ENV":
            variables = {"TAP_REST_STREAMS": json.dumps([stream]), "TAP_REST_PIPELINE": "nightly_job"}
            variables["TAP_REST_AUTH"] = (
                '{"type": "none"}'  # the canary that stands there in every test is no JSON
            )
            return run_tap(api.url, STREAM, args=("--config", "ENV"), env=env | variables, state=state)
        return run_tap(api.url, stream, env=env, state=state, **top)

    rows = [{"id": 1, "changed_at": "2026-01-01T00:00:00Z"}]
    with serving({"/north": lambda _: json_reply(rows), "/south": lambda _: json_reply(rows)}) as api:
        first = read("/north").ended(0)
        told = read("/south", first.state).ended(0)
        assert api.asked[-1].headers["X-Tenant"] == key
        refused = read("/nowhere", first.state).ended(65)
    assert "--stream customers --pipeline nightly_job`" in told.stderr
    assert "customers" in refused.sentence
    for secret in (shop, key):
        assert secret not in told.stderr + refused.stderr


def test_a_token_in_a_variable_with_json_comes_from_elsewhere(run_tap: Any) -> None:
    token = canary("a token that a variable with JSON refers to")
    env = {"TAP_REST_AUTH": '{"type": "bearer", "token": {"env": "MYTOK"}}'}
    args = ("--config", "ENV")
    with serving({"/rows": lambda asked: json_reply(echo(asked), 400)}) as api:
        run = run_tap(api.url, STREAM, args=args, env=env | {"MYTOK": token}).ended(65)
        assert api.asked[0].headers["Authorization"] == f"Bearer {token}"
        assert token not in run.stderr
        missing = run_tap(api.url, STREAM, args=args, env=env).ended(78)
    assert (
        "auth.token takes its value from the environment variable MYTOK, which is not set."
        in missing.sentence
    )
