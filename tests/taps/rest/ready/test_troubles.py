"""Each ready config outlasts what its API answers where it is asked too often, or is busy, and ends at once where that cannot help."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.drive import Drive, drive
from taps.rest.ready.remote import REMOTES, Remote
from taps.rest.ready.test_ready import on_host, texts
from taps.rest.ready.troubles import LASTING, passing

from singerkit_shell.configfile import read_config
from singerkit_shell.typed import take_as_typed
from tap_rest.tap import TapRest

__all__ = ["drive"]


@dataclass(frozen=True)
class Ready:
    """Runs the first stream of a ready config, as it is printed but for its hosts."""

    drive: Callable[..., Drive]
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def run(
        self,
        remote: Remote,
        troubles: Iterable[Reply],
        also: Callable[[Asked], Reply | None] = lambda _: None,
    ) -> Drive:
        """Run it against an API that answers with each of ``troubles`` first, and as ``also`` says."""
        left = iter(troubles)

        def troubled(path: str, route: Route) -> Route:
            gives_tokens = path.endswith("/token")
            return route if gives_tokens else lambda asked: next(left, None) or also(asked) or route(asked)

        run = self.drive()
        remote.url = run.api.url
        run.api.routes.update({path: troubled(path, route) for path, route in remote.routes().items()})
        for name, text in remote.env.items():
            self.monkeypatch.setenv(name, text)
        file = self.folder / "config.yaml"
        file.write_text(on_host(texts()[remote.name], run.api.url))
        config = {"retries": {}, **read_config(str(file)), "select": [remote.streams[0]]}
        assert not take_as_typed(config, TapRest.config_jsonschema)
        return run.run(*config.pop("streams"), **config)


@pytest.fixture
def ready(drive: Callable[..., Drive], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ready:
    return Ready(drive, tmp_path, monkeypatch)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited for, which pass at once."""
    found: list[float] = []
    monkeypatch.setattr("tap_rest.http.retries.wall_time", SimpleNamespace(wait=found.append))
    return found


@pytest.mark.parametrize("name", sorted(REMOTES))
def test_what_passes_is_waited_for(name: str, ready: Ready, waits: list[float]) -> None:
    remote, troubles = REMOTES[name](), passing()[name]
    run = ready.run(remote, [one.reply for one in troubles])
    assert run.code == 0, run.sentence
    assert "check `records`" not in run.warnings
    assert sum(message["type"] == "RECORD" for message in run.messages) == remote.first_load
    assert len(waits) == len(troubles)
    for waited, trouble in zip(waits, troubles, strict=True):
        assert waited >= trouble.wait, trouble


@pytest.mark.parametrize("name", sorted(LASTING))
def test_what_does_not_pass_ends_the_run(name: str, ready: Ready, waits: list[float]) -> None:
    trouble = LASTING[name]
    run = ready.run(REMOTES[name](), [trouble.reply] * 9)
    assert (run.code, waits) == (trouble.code, [])
    assert trouble.says in run.sentence


def test_channels_that_a_bot_of_slack_is_not_in_are_passed_over(ready: Ready) -> None:
    remote = REMOTES["slack"]()
    not_in = json_reply({"ok": False, "error": "not_in_channel"})
    run = ready.run(remote, [], lambda asked: not_in if asked.param("channel") == "C02" else None)
    assert run.code == 0, run.sentence
    assert {message["record"]["channel"] for message in run.messages if message["type"] == "RECORD"} == {
        "C01",
        "C03",
    }
    assert "is skipped" in run.warnings
