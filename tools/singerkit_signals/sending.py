"""Telling all of them: what goes wrong with one is a sentence, and nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

from singerkit_shell.errors import SingerkitError
from singerkit_signals import openlineage, prometheus, statsd
from singerkit_signals.settings import Signals, is_url
from singerkit_state.runs import Run, as_json, from_json

__all__ = ["send"]

_SECONDS = 10.0


class _Refused(Exception):
    """Whoever was told has answered with an error."""


def send(signals: Signals, run: Run) -> list[str]:
    """Tell what a run has come to; return a sentence for each who could not be told."""
    run = from_json(as_json(run))  # without a secret, as it is kept
    return [problem for name, tell in _tellers(signals, run) if (problem := _problem(name, tell))]


def _tellers(signals: Signals, run: Run) -> Iterator[tuple[str, Callable[[], None]]]:
    if (folder := signals.metrics_folder) is not None:
        yield "metrics_folder", lambda: prometheus.write(folder, run)
    if (address := signals.statsd) is not None:
        yield "statsd", lambda: statsd.send(address, run)
    if (webhook := signals.webhook) is not None:
        yield "webhook", lambda: _post(webhook, as_json(run))
    if (place := signals.openlineage) is not None:
        yield "openlineage", lambda: _tell_lineage(place, run)


def _problem(name: str, tell: Callable[[], None]) -> str:
    try:
        tell()
    except (OSError, SingerkitError, _Refused) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"was not told to `signals.{name}` ({reason}); nothing else is touched by that."
    return ""


def _tell_lineage(place: str, run: Run) -> None:
    lines = [json.dumps(event, ensure_ascii=False) for event in openlineage.events_of(run)]
    if is_url(place):
        for line in lines:
            _post(place, line)
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _post(url: str, text: str) -> None:
    """Post JSON; a redirect is refused, as it may lead anywhere."""
    import requests

    try:
        answer = requests.post(
            url,
            data=text.encode(),
            headers={"Content-Type": "application/json"},
            timeout=_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise _Refused(type(error).__name__) from None  # whose text shows the URL, and what is secret in it
    if not 200 <= answer.status_code < 300:
        raise _Refused(f"the answer was {answer.status_code}")
