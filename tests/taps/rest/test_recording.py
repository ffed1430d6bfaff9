"""`tap-rest record` and `replay`: the same messages without network, and no secret in the recording."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import subprocess
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import canaries
import pytest
from canaries import canary
from taps.rest.api_server import (
    Api,
    Asked,
    Reply,
    Route,
    Table,
    dated,
    json_reply,
    page_of,
    repeatedly,
    serving,
)
from taps.rest.conftest import TAP

from singerkit_shell.configfile import resolved
from singerkit_shell.errors import SingerkitError
from tap_rest.recording.members import Members
from tap_rest.recording.runs import recorded, replayed
from tap_rest.recording.veil import PLACE_HOLDER, STAND_IN, Veil
from tap_rest.tap import TapRest

FAST = {"tries": 3, "first_wait": 0.01, "longest_wait": 0.05}
ROWS = [{"id": number, "at": f"2026-01-{number:02}T00:00:00Z", "price": 1.10} for number in range(1, 12)]
LIMIT = 1 << 20


def config(api: Api, *streams: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    written = json.dumps({"base_url": api.url, "retries": FAST, "streams": streams, **more})
    return json.loads(written)  # type: ignore[no-any-return]


def lines_of(kind: type[TapRest], given: Mapping[str, Any], **options: Any) -> list[bytes]:
    """Run once and return what was written, as it stands but for the time of each record."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with redirect_stdout(written):
        kind(config=json.loads(json.dumps(given)), setup_mapper=False, **options).sync()
    text = written.buffer.getvalue()  # type: ignore[attr-defined]
    return re.sub(rb'"time_extracted":"[^"]*"', b"", text).splitlines()


def ended(kind: type[TapRest], given: Mapping[str, Any], **options: Any) -> tuple[int, str]:
    try:
        lines_of(kind, given, **options)
    except SingerkitError as error:
        return error.exit_code, str(error)
    return 0, ""


def await_what_is_under_way() -> None:
    """Let the last questions that were asked ahead reach the API: a read does not wait for them."""
    for thread in threading.enumerate():
        if thread.name == "ahead":
            thread.join()


def exchanges(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "exchanges.ndjson").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def paged(asked: Asked) -> Reply:
    page = int(asked.param("page") or 1)
    following = page + 1 if page * 4 < len(ROWS) else None
    return json_reply({"data": page_of(ROWS, asked, 4), "next": following})


def failing_now_and_then() -> Route:
    """Every third answer is an error, each in its own way."""
    count = itertools.count()
    faults = itertools.cycle(
        [json_reply({}, 503, Retry_After="1"), Reply(hang_up=True), Reply(b"{}", length=900)]
    )
    return lambda asked: next(faults) if next(count) % 3 == 1 else paged(asked)


def logged_in(asked: Asked) -> Reply:
    """Take a token for one page, and the cookie that came with the one before."""
    token = f"Bearer {canary('recorded token')}-{logged_in.count}"  # type: ignore[attr-defined]
    if asked.headers["Authorization"] != token:
        return json_reply({"error": "expired"}, 401)
    if asked.param("page") == "2" and logged_in.count == 1:  # type: ignore[attr-defined]
        return json_reply({"error": "expired"}, 401)
    cookie = f"sid={canary('recorded cookie')}; Path=/; Expires=Wed, 01 Dec 2100 00:00:00 GMT"
    reply = paged(asked)
    return Reply(reply.body, headers={**reply.headers, "Set-Cookie": cookie})


def token(_asked: Asked) -> Reply:
    logged_in.count += 1  # type: ignore[attr-defined]
    given = {
        "access_token": f"{canary('recorded token')}-{logged_in.count}",  # type: ignore[attr-defined]
        "refresh_token": canary("recorded refresh"),
        "token_type": "bearer",
        "expires_in": 3600,
    }
    return json_reply(given)


def signed_links(asked: Asked) -> Reply:
    """Each page names the next one by a URL that is signed."""
    page = int(asked.param("page") or 1)
    signed = f"{asked.path}?page={page + 1}&X-Amz-Signature={canary('recorded signature')}"
    return json_reply({"data": page_of(ROWS, asked, 4), "next": signed if page < 3 else None})


PAGES = {"type": "cursor", "cursor": "$.next", "param": "page"}
STREAM = {
    "name": "rows",
    "path": "/rows",
    "records": "$.data[*]",
    "pagination": PAGES,
    "primary_keys": ["id"],
}
OAUTH = {
    "type": "oauth2",
    "client_id": "us",
    "client_secret": canary("recorded client secret"),
}
CHILDREN = [
    {"name": "shops", "path": "/shops", "primary_keys": ["id"]},
    {
        "name": "items",
        "path": "/shops/{parent.id}/items",
        "primary_keys": ["shop", "id"],
        "parent": {"stream": "shops", "copy": {"shop": "id"}},
    },
]
SHOPS = [{"id": number} for number in range(1, 9)]
BELOW: dict[str, Route] = {
    "/shops": lambda _: json_reply(SHOPS),
    **{f"/shops/{one['id']}/items": repeatedly(json_reply({}, 503), json_reply(ROWS)) for one in SHOPS},
}
TODAY = {
    "name": "rows",
    "path": "/rows",
    "params": {"day": "{today}", "now": "{now}"},
    "primary_keys": ["id"],
}
GONE = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "replication_key": "at",
    "deletes": {"field": "deleted"},
}
POSTED = {
    "name": "rows",
    "path": "/rows",
    "method": "POST",
    "body": {"from": "{today}", "page": 1},
    "records": "$.data[*]",
    "pagination": {"type": "page", "in": "body", "param": "page", "size": 4},
    "primary_keys": ["id"],
}


def posted(asked: Asked) -> Reply:
    return json_reply({"data": ROWS[4 * (asked.json["page"] - 1) :][:4]})


def digested(asked: Asked) -> Reply:
    if asked.headers.get("Authorization", "").startswith("Digest "):
        return paged(asked)
    challenge = f'Digest realm="x", nonce="{canary("recorded nonce")}", qop="auth"'
    return json_reply({}, 401, WWW_Authenticate=challenge)


def by_token(asked: Asked) -> Reply:
    """The token of the next page is no secret, though its parameter is called so."""
    page = int((asked.param("token") or "t1")[1:])
    return json_reply({"data": ROWS[4 * (page - 1) :][:4], "next": f"t{page + 1}" if page < 3 else None})


def job_made() -> dict[str, Route]:
    states = repeatedly(json_reply({"state": "new"}, Retry_After="0"), json_reply({"state": "done"}))
    return {
        "/jobs": lambda _: json_reply({"id": 7}),
        "/jobs/7": states,
        "/jobs/7/rows": lambda _: json_reply(ROWS),
    }


JOB = {
    "name": "rows",
    "path": "/jobs/{job.id}/rows",
    "primary_keys": ["id"],
    "job": {
        "create": {"path": "/jobs"},
        "poll": {"path": "/jobs/{job.id}", "wait": 0.01, "until": {"path": "$.state", "equals": "done"}},
    },
}
DIGEST = {"type": "digest", "username": "us", "password": canary("recorded password")}

CASES: dict[str, tuple[dict[str, Route], list[Any], dict[str, Any]]] = {
    "pages": ({"/rows": paged}, [STREAM], {}),
    "faults": ({"/rows": failing_now_and_then()}, [STREAM], {}),
    "faults, several at a time": ({"/rows": failing_now_and_then()}, [STREAM], {"concurrency": 4}),
    "numbered pages, several at a time": (
        {"/rows": paged},
        [{**STREAM, "pagination": {"type": "page", "size": 4}}],
        {"concurrency": 4},
    ),
    "children, several at a time": (BELOW, CHILDREN, {"concurrency": 4}),
    "logins": ({"/rows": logged_in, "/token": token}, [STREAM], {"auth": OAUTH}),
    "signed links": (
        {"/rows": signed_links},
        [{**STREAM, "pagination": {"type": "next_url", "next": "$.next"}}],
        {},
    ),
    "dates of the run": ({"/rows": lambda _: json_reply(ROWS)}, [TODAY], {}),
    "without a key": (
        {"/rows": lambda _: json_reply(ROWS)},
        [{**TODAY, "primary_keys": [], "activate_version": True}],
        {},
    ),
    "rows that are gone": ({"/rows": lambda _: json_reply([{**ROWS[0], "deleted": True}])}, [GONE], {}),
    "bodies": ({"/rows": posted}, [POSTED], {}),
    "credentials that are asked for": ({"/rows": digested}, [STREAM], {"auth": DIGEST}),
    "tokens of pages": ({"/rows": by_token}, [{**STREAM, "pagination": {**PAGES, "param": "token"}}], {}),
    "a job": (job_made(), [JOB], {}),
    "from a bookmark on": ({"/rows": Table(ROWS, 4)}, [dated(pagination={"type": "page", "size": 4})], {}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_replay_says_what_the_run_has_said(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    routes, streams, more = CASES[case]
    logged_in.count = 0  # type: ignore[attr-defined]
    folder = tmp_path / "recording"
    with serving(routes) as api:
        more = {"auth": {**OAUTH, "token_url": f"{api.url}/token"}} if more == {"auth": OAUTH} else more
        given = config(api, *streams, schema_cache=str(tmp_path / "cache"), **more)
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given)
        await_what_is_under_way()
        asked = len(api.asked)
    assert json.loads(then[-1])["value"]["_singerkit"]["complete"]
    given["schema_cache"] = str(tmp_path / "nothing")
    for name in {"client_secret", "password"} & given.get("auth", {}).keys():
        given["auth"][name] = "another"
    for _ in range(2):
        assert lines_of(replayed(TapRest, str(folder)), given) == then
    assert len(api.asked) == asked
    assert not (tmp_path / "nothing").exists()
    canaries.search(folder, case)
    for path in [folder, *folder.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0


def test_recording_asks_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    seen = []
    for kind in (TapRest, recorded(TapRest, str(tmp_path / "recording"), LIMIT)):
        with serving({"/rows": failing_now_and_then()}) as api:
            given = config(api, STREAM, schema_cache=str(tmp_path / "none" / str(len(seen))))
            lines_of(kind, given)
            seen.append([(asked.method, asked.raw_path, asked.body) for asked in api.asked])
    assert seen[0] == seen[1]
    assert len(seen[0]) > 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "recording"


DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "path": (
        {"path": "/others"},
        r"POST http://127.0.0.1:\d+/others with `q` is not in the recording: it differs in its path, which there is http://",
    ),
    "method": ({"method": "PUT"}, "it differs in its method, which there is POST"),
    "a new parameter": ({"params": {"q": "x", "new": "1"}}, "in its query: `new` was not sent then"),
    "one that is gone": ({"params": {}}, "in its query: `q` was sent then"),
    "another value": ({"params": {"q": "y"}}, "in its query: `q` had another value"),
    "body": ({"body": {"a": 1, "b": 3}}, "in its body, at `b`"),
}


@pytest.mark.parametrize("part", DIFFERENCES)
def test_what_is_not_recorded_is_told(part: str, folder: Path) -> None:
    stream = {
        "name": "rows",
        "path": "/rows",
        "method": "POST",
        "body": {"a": 1, "b": 2},
        "params": {"q": "x"},
        "pagination": {"type": "single"},
        "schema": {"properties": {"id": {"type": "integer"}}},
    }
    other, sentence = DIFFERENCES[part]
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        lines_of(recorded(TapRest, str(folder), LIMIT), config(api, stream))
    code, said = ended(replayed(TapRest, str(folder)), config(api, {**stream, **other}))
    assert code == 78
    assert re.search(sentence, said)


def test_a_request_more_than_was_recorded_is_told(folder: Path) -> None:
    one = {
        "name": "rows",
        "path": "/rows",
        "pagination": {"type": "single"},
        "schema": {"properties": {"id": {}}},
    }
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        lines_of(recorded(TapRest, str(folder), LIMIT), config(api, one))
    code, said = ended(replayed(TapRest, str(folder)), config(api, one, {**one, "name": "again"}))
    assert (code, "asked for 2 times, and the recording holds one answer" in said) == (78, True)


def test_a_recording_that_was_cut_off_is_noticed(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving({"/rows": paged}) as api:
        given = config(api, {**STREAM, "schema": {"properties": {"id": {}}}})
        lines_of(recorded(TapRest, str(folder), LIMIT), given)
    file = folder / "exchanges.ndjson"
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:-2]) + whole[-2][:50])
    code, said = ended(replayed(TapRest, str(folder)), given)
    assert code == 78
    assert "is not in the recording: it was cut off there, and all that it holds was replayed" in said
    file.write_bytes(b"".join([*whole[:-2], whole[-1].replace(b'"code":0', b'"code":143')]))
    assert (
        "the run ended there with 143, and all that it holds was replayed"
        in ended(replayed(TapRest, str(folder)), given)[1]
    )
    assert "was cut off: the run that it is of was killed" in caplog.text
    for begun in (
        whole[0][:20],
        whole[0].replace(b'"identity"', b'"other"'),
        whole[0] + b'{"request":7}\n',
        b"[]\n",
    ):
        file.write_bytes(begun)
        assert ended(replayed(TapRest, str(folder)), given)[0] == 65
    for member in (b'"answer"', b'"status"'):
        file.write_bytes(b"".join(whole).replace(member, b'"other"'))
        code, said = ended(replayed(TapRest, str(folder)), given)
        assert (code, "it was changed since" in said) == (65, True)
    file.write_bytes(b"")
    assert ended(replayed(TapRest, str(folder)), given)[0] == 65
    file.unlink()
    assert ended(replayed(TapRest, str(folder)), given)[0] == 78


def test_a_full_recording_leaves_the_run_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving({"/rows": paged}) as api:
        given = config(api, {**STREAM, "schema": {"properties": {"id": {}}}})
        assert lines_of(recorded(TapRest, str(folder), 1500), given)[-1] != b""
    assert "as many bytes as it may have after 1 exchange; the run goes on" in caplog.text
    assert exchanges(folder)[-1] == {"end": {"exchanges": 1, "code": 0, "is_full": True}}
    assert "nothing more was recorded there" in ended(replayed(TapRest, str(folder)), given)[1]
    assert "ended before its run did: what came after" in caplog.text
    assert list((folder / "bodies").iterdir()) == []


def test_a_failed_run_fails_again(folder: Path) -> None:
    routes = {"/rows": lambda _: json_reply({"message": "no access"}, 403)}
    stream = {**STREAM, "schema": {"properties": {"id": {}}}}
    with serving(routes) as api:
        failed = ended(recorded(TapRest, str(folder), LIMIT), config(api, stream))
    assert failed[0] == 77
    assert ended(replayed(TapRest, str(folder)), config(api, stream)) == failed
    assert exchanges(folder)[-1]["end"]["code"] == 77
    assert ended(recorded(TapRest, str(folder), LIMIT), config(api, stream))[0] == 78  # it is there already


def test_long_answers_have_files_and_secrets_in_them_stand_ins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A secret lies across two pieces of a long answer, and is written in another way."""
    monkeypatch.setattr("tap_rest.http.storing.MEMORY", 60_000)
    for module in ("storing", "transport"):
        monkeypatch.setattr(f"tap_rest.http.{module}.PIECE", 20_000)
    monkeypatch.setattr("tap_rest.recording.folder.MEMORY", 60_000)
    monkeypatch.setattr("tap_rest.recording.veil._OVERLAP", 4_000)
    secret = canary("in a long answer")
    rows = [{"id": number, "text": "x" * (1_500 + number % 7)} for number in range(60)]
    rows[11]["text"] = f"{secret}/" * 900
    rows[30]["text"] = "".join(f"\\u{ord(char):04x}" for char in secret)
    body = json.dumps(rows).replace("\\\\u", "\\u").encode()
    with serving({"/rows": lambda _: json_reply(body)}) as api:
        stream = {
            "name": "rows",
            "path": "/rows",
            "primary_keys": ["id"],
            "schema": {"properties": {"id": {}}},
        }
        given = config(
            api, {**stream, "pagination": {"type": "single"}}, auth={"type": "bearer", "token": secret}
        )
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given)
    canaries.search(folder, "a long answer")
    file = folder / "bodies" / "000001.json"
    kept = json.loads(file.read_bytes())
    assert [row["id"] for row in kept] == [row["id"] for row in rows]
    assert kept[11]["text"] == "masked-000001/" * 900
    assert STAND_IN.fullmatch(kept[30]["text"])
    assert kept[29] == rows[29]
    assert "In 901 places of answers stood what the config holds as a secret" in caplog.text
    assert lines_of(replayed(TapRest, str(folder)), given) == then
    file.unlink()
    assert ended(replayed(TapRest, str(folder)), given)[0] == 65


def test_the_command_line(tmp_path: Path) -> None:
    """Without the network, and without the variables that the config names."""
    given = tmp_path / "tap.json"
    state = tmp_path / "state.json"
    folder = tmp_path / "recording"
    with serving({"/rows": Table(ROWS)}) as api:
        stream = dated(is_sorted=True)
        auth = {"type": "bearer", "token": {"env": "RECORDED_TOKEN"}}
        given.write_text(json.dumps(config(api, stream, auth=auth, schema_cache=str(tmp_path / "cache"))))
        state.write_text(
            json.dumps(
                {"bookmarks": {"rows": {"replication_key": "at", "replication_key_value": ROWS[8]["at"]}}}
            )
        )
        env = os.environ | {"RECORDED_TOKEN": canary("recorded by a process")}
        then = tap("record", "--config", given, "--state", state, "--to", folder, env=env)
    now = tap("replay", "--config", given, "--from", folder, env=os.environ)
    assert (then.returncode, now.returncode) == (0, 0)
    assert "A stand-in is taken for RECORDED_TOKEN" in now.stderr
    assert without_times(then.stdout) == without_times(now.stdout)
    assert then.stdout.count('"type":"RECORD"') == 3
    assert tap("record", env=os.environ).returncode == 64
    canaries.search(folder, "record")


def tap(*words: object, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(TAP), *map(str, words)], capture_output=True, text=True, env=dict(env), timeout=60, check=False
    )


def without_times(text: str) -> str:
    return re.sub(r'"time_extracted":"[^"]*"', "", text)


def test_credentials_of_elsewhere_are_left_alone(folder: Path, tmp_path: Path) -> None:
    """A token that another run has kept is not sent, and its file not looked at; a key that has a form need not be there."""
    kept = canaries.holds_secrets(tmp_path / "token.json")
    logged_in.count = 0  # type: ignore[attr-defined]
    with serving({"/rows": paged, "/token": token}) as api:
        auth = {**OAUTH, "token_url": f"{api.url}/token", "token_file": str(kept)}
        given = config(api, {**STREAM, "schema": {"properties": {"id": {"type": "integer"}}}}, auth=auth)
        lines_of(TapRest, given)
        before = kept.read_bytes()
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given)
    canaries.search(folder, "a token of another run")
    assert logged_in.count == 1  # type: ignore[attr-defined]
    assert lines_of(replayed(TapRest, str(folder)), given) == then
    assert kept.read_bytes() == before
    signing = {"type": "jwt", "algorithm": "RS256", "private_key": PLACE_HOLDER}
    assert lines_of(replayed(TapRest, str(folder)), given | {"auth": signing}) == then


def test_a_refresh_token_that_rotates_does_so_again(folder: Path, tmp_path: Path) -> None:
    logged_in.count = 0  # type: ignore[attr-defined]
    kept = canaries.holds_secrets(tmp_path / "token.json")
    with serving({"/rows": logged_in, "/token": token}) as api:
        auth = {**OAUTH, "grant": "refresh_token", "refresh_token": canary("recorded first refresh")}
        auth |= {"token_url": f"{api.url}/token", "token_file": str(kept)}
        given = config(api, {**STREAM, "schema": {"properties": {"id": {"type": "integer"}}}}, auth=auth)
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given)
    before = kept.read_bytes()
    assert lines_of(replayed(TapRest, str(folder)), given) == then
    assert kept.read_bytes() == before


def test_secrets_that_are_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a URL, a header, a body, and an answer, where it is no text; what stands for it is a number, too."""
    monkeypatch.setenv("ACCOUNT", "9182736455")
    account = {"env": "ACCOUNT"}
    stream = {
        "name": "rows",
        "path": "/rows",
        "method": "POST",
        "params": {"of": resolved(account, "of")},
        "headers": {"X-Of": resolved(account, "of")},
        "body": {"of": 9182736455},
        "primary_keys": ["id"],
        "pagination": {"type": "single"},
        "schema": {"properties": {"id": {"type": "integer"}}},
    }
    with serving({"/rows": lambda _: json_reply([{"id": 9182736455}])}) as api:
        given = config(api, stream)
        lines_of(recorded(TapRest, str(folder), LIMIT), given)
    [kept] = [one for one in exchanges(folder) if "answer" in one]
    assert "9182736455" not in json.dumps(kept)
    assert isinstance(json.loads(kept["answer"]["body"])[0]["id"], int)
    assert ended(replayed(TapRest, str(folder)), given) == (0, "")


def test_what_a_run_begins_with_keeps_its_digits(folder: Path, tmp_path: Path) -> None:
    """The state of another stream, and a folder that takes no schema, so that the state has it."""
    part = {"replication_key": "n", "replication_key_value": Decimal("1.10")}
    state = {"bookmarks": {"others": {"partitions": [{"context": {"of": Decimal("2.50")}, **part}]}}}
    file = tmp_path / "file"
    file.touch()
    with serving({"/rows": paged}) as api:
        given = config(api, STREAM, schema_cache=str(file / "folder"))
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given, state=state)
    assert b'"of":2.50' in then[-1]
    assert b'"schema":[' in then[-1]
    assert lines_of(replayed(TapRest, str(folder)), given) == then


def test_a_hook_is_recorded_as_well(folder: Path, tmp_path: Path) -> None:
    """What it adds to a request is another thing each time, and no part of what is compared."""
    hook = tmp_path / "hook.py"
    hook.write_text(
        "import itertools\nclass Hook:\n"
        " def __init__(self, settings):\n  self._key, self._count = settings['key'], itertools.count()\n"
        " def prepare_request(self, request, stream):\n"
        "  request.headers['X-Key'] = self._key\n  request.url += f'?x={self._key}{next(self._count)}'\n  return request\n"
        " def post_process(self, row, stream):\n  return row | {'more': 1}\n"
    )
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        stream = {"name": "rows", "path": "/rows", "pagination": {"type": "single"}}
        settings = {"path": str(hook), "settings": {"key": canary("recorded hook")}}
        given = config(api, stream, hook=settings, schema_cache=str(tmp_path / "cache"))
        lines_of(TapRest, given)
        then = lines_of(recorded(TapRest, str(folder), LIMIT), given)
        assert api.asked[-1].headers["X-Key"] in api.asked[-1].raw_path
    assert lines_of(replayed(TapRest, str(folder)), given) == then
    assert exchanges(folder)[1]["request"]["masked"] == ["x"]
    canaries.search(folder, "a hook")


PEOPLE = [
    {
        "id": 1,
        "mail": "zoe@people.example",
        "tel": 4912345,
        "notes": {"mail": ["zoe@home.example", None]},
        "sum": 1.10,
    },
    {"id": 2, "mail": "jo@people.example", "tel": 4912345, "notes": {}, "sum": 2.50},
]


def test_members_that_are_masked_are_not_in_the_recording(folder: Path) -> None:
    """A child is asked for by such a value, in its path, in a parameter and in a body; a replay asks the same."""
    asked: list[str] = []

    def of_one(request: Asked) -> Reply:
        asked.append(request.path)
        link = f"<{request.path}?like=zoe%40people.example>; rel=self"
        return json_reply([{"id": asked.count(request.path), "mail": "other@people.example"}], Link=link)

    routes: dict[str, Route] = {f"/mails/{quote(one['mail'])}": of_one for one in PEOPLE}  # type: ignore[arg-type]
    with serving({"/people": lambda _: json_reply(PEOPLE), **routes}) as api:
        child = {
            "name": "mails",
            "path": "/mails/{parent.mail}",
            "parent": {"stream": "people"},
            "params": {"like": "{parent.mail}"},
            "primary_keys": ["id"],
        }
        given = config(api, {"name": "people", "path": "/people", "primary_keys": ["id"]}, child)
        lines_of(recorded(TapRest, str(folder), LIMIT, ["mail", "tel"]), given)
    assert len(asked) >= 2
    held = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert b"people.example" not in held
    assert b"rel=self" in held
    assert b"home.example" not in held
    assert b"4912345" not in held
    records = [
        json.loads(line.replace(b",}", b"}"))["record"]
        for line in lines_of(replayed(TapRest, str(folder)), given)
        if b'"people"' in line and b'"RECORD"' in line
    ]
    first, second = records
    assert STAND_IN.fullmatch(first["mail"])
    assert first["mail"] != second["mail"]
    assert first["tel"] == second["tel"] != PEOPLE[0]["tel"]
    assert isinstance(first["tel"], int)
    assert first["notes"]["mail"][1] is None
    assert (first["sum"], second["sum"]) == (1.10, 2.50)


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (
            b'{"tel": -12.50, "name": "Zo"}\n{"tel": "12"}\n',
            b'{"tel":1000001,"name":"Zo"}\n{"tel":"1000002"}',
        ),
        (b'{"tel": ["", null, true, {"a": "x"}]}', b'{"tel":["",null,true,{"a":"masked-000001"}]}'),
        (b'{"n": 1.10, "t\\u0065l": "\\u007a"}', b'{"n":1.10,"tel":"masked-000001"}'),
        (b" ", b" "),
    ],
)
def test_each_kind_of_value_has_a_stand_in(body: bytes, masked: bytes) -> None:
    assert Members(["tel"], Veil().stand_in).of_answer(body) == masked


@pytest.mark.parametrize(
    ("asked", "recorded_as"),
    [
        ('{"who": "z\\u006fe", "count":1.10}', '{"who": "masked-000001", "count":1.10}'),
        ("who=zoe&page=2", "who=masked-000001&page=2"),
        ('{"tel":  77}', '{"tel":  1000002}'),
    ],
)
def test_a_request_keeps_its_form(asked: str, recorded_as: str) -> None:
    members = Members(["mail"], Veil().stand_in)
    members.of_answer(b'{"mail": ["zoe", 77]}')
    assert members.of_request(asked) == recorded_as


def test_a_recording_with_members_masked_ends_where_there_is_no_json(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    routes = {
        "/rows": lambda _: Reply(b"id,mail\n1,zoe@people.example\n", headers={"Content-Type": "text/csv"})
    }
    with serving(routes) as api:
        given = config(api, {"name": "rows", "path": "/rows", "format": "csv"})
        assert b"zoe@people.example" in b"".join(
            lines_of(recorded(TapRest, str(folder), LIMIT, ["mail"]), given)
        )
    assert "no JSON, in which no members are masked, after 0 exchanges; the run goes on" in caplog.text
    assert b"people.example" not in b"".join(
        file.read_bytes() for file in folder.rglob("*") if file.is_file()
    )
