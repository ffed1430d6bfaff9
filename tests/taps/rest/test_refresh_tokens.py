"""Refresh tokens that are good once: kept in `token_file`, whoever is killed, and however many runs there are at once."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import adopt, canary
from taps.rest.conftest import TAP
from taps.rest.oauth_server import Client, Server, authorization_server
from waiting import wait_until

from singerkit_shell.errors import LockHeldError
from tap_rest.auth.tokenfile import Kept, TokenFile

STREAM = {
    "name": "rows",
    "path": "/rows",
    "schema": {"properties": {"id": {}}},
    "pagination": {"type": "page"},
}
ROWS = [{"id": 1}, {"id": 2}, {"id": 3}]
SECRET = canary("refreshing client", awkward=True)


@pytest.fixture
def server() -> Iterator[Server]:
    with authorization_server() as server:
        server.clients["tap"] = Client("tap", SECRET)
        yield server
        for token in server.tokens:
            for member in ("access_token", "refresh_token"):
                if member in token.answer:
                    adopt(f"{member} of Authlib", token.answer[member])


@pytest.fixture
def auth(server: Server, tmp_path: Path) -> dict[str, Any]:
    first = server.first_refresh_token(server.clients["tap"], canary("first refresh token"))
    return {
        "type": "oauth2",
        "grant": "refresh_token",
        "token_url": server.token_url,
        "client_id": "tap",
        "client_secret": SECRET,
        "refresh_token": first,
        "token_file": str(tmp_path / "keep" / "tokens.json"),
    }


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()


def test_each_run_goes_on_with_the_token_of_the_one_before(
    run_tap: Any, server: Server, auth: dict[str, Any]
) -> None:
    for is_void, logins in ((False, 1), (False, 1), (True, 2), (True, 3)):
        server.tokens[-1].is_void = is_void
        assert run_tap(server.url, STREAM, auth=auth).ended(0).records("rows") == ROWS
        assert server.logins == logins
    file = Path(auth["token_file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in file.parent.iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_runs_at_once_use_no_token_twice(server: Server, auth: dict[str, Any], tmp_path: Path) -> None:
    """With a refresh token that was used the server answers `invalid_grant`; a refresh makes the access token before void, too."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": server.url, "streams": [STREAM], "auth": auth}))
    for logins in (1, 2):
        runs = [
            subprocess.Popen([TAP, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(4)
        ]
        for run in runs:
            out, errors = run.communicate(timeout=60)
            assert run.returncode == 0, errors
            assert out.count(b'"RECORD"') == 3
        assert [status for status, _ in server.answered] == [200] * logins
        server.tokens[-1].is_void = True


def test_a_token_that_cannot_be_kept_is_not_asked_for(
    run_tap: Any, server: Server, auth: dict[str, Any], tmp_path: Path
) -> None:
    missing = str(tmp_path / "nowhere" / "tokens.json")
    assert (
        "cannot be written"
        in run_tap(server.url, STREAM, auth=auth | {"token_file": missing}).ended(74).sentence
    )
    folder = tmp_path / "taken"
    folder.mkdir()
    run_tap(server.url, STREAM, auth=auth | {"token_file": str(folder)}).ended(78)
    Path(auth["token_file"]).write_text('{"tokens": {"x": ')
    assert "torn" in run_tap(server.url, STREAM, auth=auth).ended(78).sentence
    assert server.answered == []


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", ["before it is asked for", "before it is in place", "in place"])
def test_a_kill_loses_no_token_that_has_come(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = TokenFile(str(tmp_path / "keep" / "tokens.json"), "me", 5)
    with file.locked():
        file.rewritten(lambda: Kept("a", "first"), lambda kept: kept)

    def give() -> Kept:
        if at == "before it is asked for":
            raise Killed
        real = os.replace

        def replace(*paths: str) -> None:
            if at == "in place":
                real(*paths)
            raise Killed

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(os, "unlink", lambda _: None)  # nobody tidies up behind a kill
        return Kept("b", "second")

    with pytest.raises(Killed), file.locked():
        file.rewritten(give, lambda kept: kept)
    monkeypatch.undo()
    with file.locked():
        assert file.read().refresh_token == ("first" if at == "before it is asked for" else "second")
    assert sorted(path.name for path in (tmp_path / "keep").iterdir()) == ["tokens.json", "tokens.json.lock"]


def test_a_refresh_token_that_is_not_said_to_rotate_and_does_is_no_silent_loss(
    run_tap: Any, server: Server, auth: dict[str, Any]
) -> None:
    del auth["token_file"]
    assert "`auth.token_file`" in run_tap(server.url, STREAM, auth=auth).ended(78).sentence
    run = run_tap(server.url, STREAM, auth=auth | {"refresh_token_rotates": False}).ended(78)
    assert "gave another refresh token" in run.sentence
    assert run.records("rows") == []


def test_a_new_first_token_takes_the_place_of_one_that_is_void(
    run_tap: Any, server: Server, auth: dict[str, Any]
) -> None:
    run_tap(server.url, STREAM, auth=auth).ended(0)
    for token in server.tokens:
        token.is_used = token.is_void = True
    assert "`invalid_grant`" in run_tap(server.url, STREAM, auth=auth).ended(77).sentence
    again = server.first_refresh_token(server.clients["tap"], canary("second refresh token"))
    run_tap(server.url, STREAM, auth=auth | {"refresh_token": again}).ended(0)


def test_a_run_that_waits_for_another_one_ends_with_a_signal(
    server: Server, auth: dict[str, Any], tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"base_url": server.url, "streams": [STREAM], "auth": auth}))
    with TokenFile(auth["token_file"], "me", 5).locked():
        run = subprocess.Popen([TAP, "--config", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wait_until(lambda: _opens(run.pid, f"{auth['token_file']}.lock"), "it looks at the lock")
        run.terminate()
        _, errors = run.communicate(timeout=60)
    assert run.returncode == 143, errors
    assert server.answered == []


def _opens(process: int, path: str) -> bool:
    folder = Path(f"/proc/{process}/fd")
    with contextlib.suppress(OSError):
        return any(os.path.realpath(file) == path for file in folder.iterdir())
    return False


def test_another_run_that_never_ends_is_told(tmp_path: Path) -> None:
    file = TokenFile(str(tmp_path / "keep" / "tokens.json"), "me", 0.1)
    with file.locked(), pytest.raises(LockHeldError, match="Another run holds"), file.locked():
        pass


def test_other_grants_keep_their_token_where_a_file_is_named(
    run_tap: Any, server: Server, auth: dict[str, Any]
) -> None:
    """An hour's token serves all runs of it: some providers count logins."""
    own = {name: auth[name] for name in ("type", "token_url", "client_id", "client_secret", "token_file")}
    for _ in range(2):
        assert run_tap(server.url, STREAM, auth=own | {"scopes": ["read"]}).ended(0).records("rows") == ROWS
    assert server.logins == 1
    run_tap(server.url, STREAM, auth=own | {"scopes": ["read", "write"]}).ended(0)
    assert server.logins == 2
    assert kept_entries(auth) == 2


def kept_entries(auth: dict[str, Any]) -> int:
    return len(json.loads(Path(auth["token_file"]).read_text())["tokens"])
