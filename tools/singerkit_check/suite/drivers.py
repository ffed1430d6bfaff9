"""What the suite must know of an executable: how to make a config for it, and how to read back what it did.

`PlainTap` and `PlainTarget` know the command line only. A class of your own knows more, and less is waived:
``singerkit-check --tap tap-x --driver my_driver.py:MyTap``. A rule that cannot apply to an executable stands in its
``waivers`` with the reason; its tests are then skipped with that reason.

A tap's driver makes a `Source` (sources.py): a real thing to read from, with known rows. A target's driver makes
`Destination`s: each a fresh place, so that tests do not see each other's rows.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn

import pytest

from singerkit_check.suite.known import Facts, Row
from singerkit_check.suite.singer import parse
from singerkit_check.suite.sources import Source

__all__ = [
    "Destination",
    "Executable",
    "Facts",
    "OurTap",
    "PlainTap",
    "PlainTarget",
    "Row",
    "Services",
    "Source",
    "TapDriver",
    "TargetDriver",
]

Services = Mapping[str, Any]
"""The fixtures of the test session that a driver names in ``needs``."""


@dataclass(frozen=True)
class Executable:
    """A tap or target to test: ``name`` stands in the test ids, ``command`` starts it."""

    name: str
    command: tuple[str, ...]
    driver: Any

    @property
    def kind(self) -> str:
        return "tap" if isinstance(self.driver, TapDriver) else "target"


# Taps


class TapDriver:
    """Base of the drivers of taps. Settings that not every tap has raise the waiver of `cannot`."""

    waivers: ClassVar[Mapping[str, str]] = {}
    is_ours = True
    """Exit codes and the last line on stderr are those of DESIGN 7; for others non-zero is enough."""
    code_of_unreachable = 69
    """How ours ends when the source does not answer; a file that is not there is a matter of the config (78)."""
    needs: ClassVar[Sequence[str]] = ()
    """Names of the session's fixtures that `source` wants among its services."""
    services: Services = MappingProxyType({})
    """Those, given before `source` is called."""

    @contextmanager
    def source(self) -> Iterator[Source]:
        """Give a source with known rows, and the config for it."""
        raise AssertionError(f"{type(self).__name__} must say how its tap is configured: write source()")

    def unreachable(self, config: dict[str, Any]) -> dict[str, Any]:
        """Return the config changed so that the source does not answer."""
        self.cannot("a source that does not answer")

    def with_start_date(self, config: dict[str, Any], start: str) -> dict[str, Any]:
        self.cannot("start_date")

    def with_user_agent(self, config: dict[str, Any], user_agent: str) -> dict[str, Any]:
        self.cannot("user_agent")

    def with_select(self, config: dict[str, Any], rules: Sequence[str]) -> dict[str, Any]:
        self.cannot("select rules")

    def not_selected_by_default(self, config: dict[str, Any], stream: str) -> dict[str, Any]:
        self.cannot("a stream that is not selected by default")

    def with_states_often(self, config: dict[str, Any], records: int) -> dict[str, Any]:
        """Return the config changed so that a STATE comes after so many records."""
        self.cannot("how often a STATE comes")

    def cannot(self, what: str) -> NoReturn:
        pytest.skip(f"waived: {type(self).__name__} does not say how to configure {what}")


class OurTap(TapDriver):
    """Base of the drivers of our taps: the settings that `singerkit_tap.shell` gives to each."""

    def with_start_date(self, config: dict[str, Any], start: str) -> dict[str, Any]:
        return config | {"start_date": start}

    def with_select(self, config: dict[str, Any], rules: Sequence[str]) -> dict[str, Any]:
        return config | {"select": list(rules)}

    def with_states_often(self, config: dict[str, Any], records: int) -> dict[str, Any]:
        return config | {"state_every": records}


class PlainTap(TapDriver):
    """Anybody's tap, known by its command line only: rules that need to know the source are waived."""

    is_ours = False

    def __init__(self, configs: Sequence[Path]) -> None:
        self._configs = configs

    @contextmanager
    def source(self) -> Iterator[Source]:
        config: dict[str, Any] = {}
        for path in self._configs:
            config |= json.loads(path.read_text(encoding="utf-8"))
        yield Source(config)


# Targets


@dataclass
class Destination:
    """A fresh place to load into. ``read`` gives the rows of a stream as a user of the target sees them."""

    config: dict[str, Any]
    read: Callable[[str], list[Row]]
    state_file_option: str | None = None
    folder: Path | None = None
    """Where to start the target, if that matters."""
    environment: dict[str, str] = field(default_factory=dict)


class TargetDriver:
    """Base of the drivers of targets."""

    waivers: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[Sequence[str]] = ()
    """Names of the session's fixtures that `destination` wants among its services."""
    is_ours = True
    """Exit codes and the last line on stderr are those of DESIGN 7; for others non-zero is enough."""
    commits_often: ClassVar[Mapping[str, Any]] = {}
    """Settings with which each STATE is committed soon after it came."""
    replacing_nul: ClassVar[tuple[Mapping[str, Any], str]] = ({}, "\0")
    """Settings with which a text with NUL can be loaded, and what then stands in its place."""
    deletes = False
    """True for a target that follows ACTIVATE_VERSION, with the settings add_record_metadata and hard_delete."""
    refuses: ClassVar[Mapping[str, str]] = {}
    """Input that the store cannot hold, by its piece (`pieces.py`), with what the sentence that refuses it names."""
    scale: ClassVar[int | None] = None
    """How many digits after the point every stored decimal has, where the store does not keep that of each."""
    keeps_last_of_key = True
    """False for a target that appends: it keeps every version of a key, the last one last."""

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        """Give a fresh place; ``settings`` are config keys of ours that a rule asks for."""
        raise AssertionError(
            f"{type(self).__name__} must say how its target is configured: write destination()"
        )

    @contextmanager
    def without_config(self, folder: Path) -> Iterator[Destination]:
        """Give the place that is used when there is no --config, with the environment to start it in."""
        yield self.cannot("a run without --config")

    def decimal(self, text: str) -> str:
        """Return how the store shows a decimal that was sent so."""
        before, _, after = text.partition(".")
        return text if self.scale is None else f"{before}.{after:0<{self.scale}}"

    def cannot(self, what: str) -> NoReturn:
        pytest.skip(f"waived: {type(self).__name__} does not say how to make {what}")


class PlainTarget(TargetDriver):
    """Anybody's target, known by its command line, and by the command that prints a stream's rows as JSON lines.

    In that command ``{stream}`` stands for the stream's name; it is run by a shell.
    """

    is_ours = False

    def __init__(self, configs: Sequence[Path], read_rows: str | None, *, appends: bool = False) -> None:
        self._configs, self._read_rows = configs, read_rows
        self.keeps_last_of_key = not appends

    def destination(self, folder: Path, services: Services, **settings: Any) -> Destination:
        if settings:
            self.cannot(f"settings of ours ({', '.join(settings)})")
        config: dict[str, Any] = {}
        for path in self._configs:
            config |= json.loads(path.read_text(encoding="utf-8"))
        return Destination(config, self._read)

    def _read(self, stream: str) -> list[Row]:
        if self._read_rows is None:
            pytest.skip("waived: needs --read-rows, a command that prints the rows of {stream} as JSON lines")
        command = self._read_rows.replace("{stream}", shlex.quote(stream))
        done = subprocess.run(command, shell=True, capture_output=True, timeout=30, check=False)
        return [parse(line) for line in done.stdout.splitlines() if line.strip()]
