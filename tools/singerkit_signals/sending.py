"""Telling all of them: what goes wrong with one is a sentence, and nothing else, and no one of them holds a run for long."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from singerkit_shell.errors import SingerkitError
from singerkit_shell.signals import StopFlag
from singerkit_signals import openlineage, opentelemetry, prometheus, statsd
from singerkit_signals.settings import Signals, is_url
from singerkit_state.runs import Run, as_json, from_json

__all__ = ["Beside", "send"]

_SECONDS = 10.0
"""For each, whatever it does: a server may give a byte now and then, a name may not resolve, a file may be a pipe that nobody reads."""
_STOPPED_SECONDS = 1.0
_TURN = 0.1
_AS_JSON: Mapping[str, str] = {"Content-Type": "application/json"}


class _Refused(Exception):
    """Whoever was told has answered with an error."""


@dataclass(frozen=True)
class Beside:
    """What is told beside a run: when one before it was well, as a Unix time, 0 for never; how long it may be from one good run to the next, in seconds.

    ``env``: the variables of the run, those of `.env` among them.
    """

    success: float = 0.0
    late_after: float | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def send(signals: Signals, run: Run, stop: StopFlag, beside: Beside = Beside()) -> list[str]:
    """Tell that a run has begun, or what it has come to; return a sentence for each who could not be told. Where a signal has come each has a second."""
    run = from_json(as_json(run))  # without a secret, as it is kept
    return [
        f"was not told to `signals.{name}` ({reason}); nothing else is touched by that."
        for name, tell in _tellers(signals, run, beside)
        if (reason := _in_time(tell, stop))
    ]


def _tellers(signals: Signals, run: Run, beside: Beside) -> Iterator[tuple[str, Callable[[], None]]]:
    has_ended = run.result != "running"
    if (folder := signals.metrics_folder) is not None and not run.did_nothing:
        write = prometheus.ended if has_ended else prometheus.began
        yield "metrics_folder", lambda: write(folder, run, beside.success, beside.late_after)
    if (address := signals.statsd) is not None and has_ended:
        yield "statsd", lambda: statsd.send(address, run)
    if (webhook := signals.webhook) is not None and has_ended:
        yield "webhook", lambda: _post(webhook, as_json(run).encode())
    if (place := signals.openlineage) is not None and not run.did_nothing:
        yield "openlineage", lambda: _tell_lineage(place, run)
    if (collector := signals.opentelemetry) is not None and not run.did_nothing:
        yield "opentelemetry", lambda: _tell_collector(collector, run, beside)


def _in_time(tell: Callable[[], None], stop: StopFlag) -> str:
    """Return why somebody was not told; nobody waits any longer for one who takes too long."""
    reasons = ["it took too long"]
    teller = threading.Thread(target=lambda: reasons.append(_reason(tell)), daemon=True)
    teller.start()
    last, is_stopped = time.monotonic() + _SECONDS, False
    while teller.is_alive() and time.monotonic() < last:
        teller.join(_TURN)
        if stop and not is_stopped:
            last, is_stopped = min(last, time.monotonic() + _STOPPED_SECONDS), True
    return reasons[-1]


def _reason(tell: Callable[[], None]) -> str:
    try:
        tell()
    except (OSError, SingerkitError, _Refused) as error:
        return getattr(error, "strerror", None) or str(error) or type(error).__name__
    except Exception as error:  # a fault here stops no pipeline, and its text may show a URL
        return type(error).__name__
    return ""


def _tell_lineage(place: str, run: Run) -> None:
    lines = [json.dumps(event, ensure_ascii=False) for event in openlineage.events_of(run)]
    if is_url(place):
        for line in lines:
            _post(place, line.encode())
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def _tell_collector(url: str, run: Run, beside: Beside) -> None:
    headers = opentelemetry.headers_of(beside.env)
    for path, message in opentelemetry.messages_of(run, beside.success, beside.late_after, beside.env):
        _post(f"{url.rstrip('/')}/{path}", message, {**headers, "Content-Type": "application/x-protobuf"})


def _post(url: str, data: bytes, headers: Mapping[str, str] = _AS_JSON) -> None:
    """Post something; a redirect is refused, as it may lead anywhere, and of the answer no more is read than its status."""
    import requests

    try:
        with requests.post(
            url,
            data=data,
            headers=headers,
            timeout=_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as answer:
            status = answer.status_code
    except requests.RequestException as error:
        raise _Refused(type(error).__name__) from None  # whose text shows the URL, and what is secret in it
    if not 200 <= status < 300:
        raise _Refused(f"the answer was {status}")
