"""``tap-rest | target-postgres`` as an operator runs it, over and over, against one source and one database."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from faults.torture.inject import Counts
from faults.torture.modes import MAP, UPSERT, Mode
from faults.torture.processes import Process, Zygote
from faults.torture.proxy import Proxy, SqlFault
from faults.torture.server import PASSWORD, Server, scratch_folder
from faults.torture.source import HttpFault, Source, serving

__all__ = ["Bench", "Outcome", "Pair", "Pipeline"]

PIPELINE = "torture"
SOURCE_SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "logical_decoding_work_mem": "64kB",
    "wal_writer_delay": "10s",
}
"""Of a server that is read from: its transactions are soon too large to be decoded in memory, and whoever waits for its log to be
written out by itself waits too long."""
SECONDS = 60.0
"""How long a run may take before it counts as hung (I8)."""


@dataclass
class Outcome:
    """How both processes of a run ended, and what they and the faults around them did."""

    tap: int | None
    """Exit codes; negative (-9) where a signal ended the process, None when it hung and was killed."""
    target: int | None
    tap_words: str
    """Last line on stderr."""
    target_words: str
    printed: bytes
    """What the target wrote to stdout."""
    stderr: str
    """Of both."""
    maxrss: int
    """KiB, of the larger one."""
    calls: dict[str, dict[str, int]]
    """Calls seen by program (``tap``, ``target``) and class of `inject`; by ``sql`` the proxy's events."""
    requests: int
    strikes: dict[str, int]
    """How often a fault struck, by where it was: ``tap``, ``mapper``, ``target``, ``http``, ``sql``."""
    began: float
    ended: float
    """Of the whole run, monotonic."""

    @property
    def struck(self) -> int:
        """How often a fault of any kind struck."""
        return sum(self.strikes.values())

    @property
    def holds_back(self) -> bool:
        """Whether the tap says that it leaves rows that are gone where they are, since of this load it is not sure."""
        return "that are gone at the source stay in the target this time" in self.stderr

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def codes(self) -> str:
        return f"{self.tap}|{self.target}"

    def __str__(self) -> str:
        return f"exit {self.codes} after {self.seconds:.2f} s; tap: {self.tap_words}; target: {self.target_words}"


@dataclass
class Pair:
    """A run under way."""

    tap: Process
    target: Process
    folder: Path
    mapper: Process | None = None
    began: float = field(default_factory=time.monotonic)


class Bench:
    """What one worker needs for any number of cases: server, proxy, zygote. Use as a context manager."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        try:
            self.folder = scratch_folder()
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.server = self._stack.enter_context(Server(self.folder))
            self.proxy = self._stack.enter_context(Proxy(self.server.socket_path))
            self.zygote = self._stack.enter_context(Zygote())
        except BaseException:
            self._stack.close()
            raise

    @contextlib.contextmanager
    def pipeline(
        self, source: Source, kind: type[Pipeline] | None = None, **options: Any
    ) -> Iterator[Pipeline]:
        """A pipeline over ``source`` into a database of its own; ``kind``: one that loads otherwise, maybe into its folder."""
        folder = Path(tempfile.mkdtemp(prefix="case-", dir=self.folder))
        try:
            has_database = kind is None or kind.is_in_server
            place = self.server.database() if has_database else contextlib.nullcontext("")
            with place as database, serving(source.serve_connection) as url:
                self.proxy.arm()
                yield (kind or Pipeline)(self, source, url, database, folder, **options)
        finally:
            source.close()
            self.proxy.arm()
            shutil.rmtree(folder, ignore_errors=True)

    @functools.cached_property
    def source_server(self) -> Server:
        """A second server, which is read from; it is started when it is asked for."""
        (self.folder / "source").mkdir(mode=0o711)
        return self._stack.enter_context(Server(self.folder / "source", SOURCE_SETTINGS))

    @functools.cached_property
    def source_proxy(self) -> Proxy:
        """The proxy before `source_server`."""
        return self._stack.enter_context(Proxy(self.source_server.socket_path))

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Pipeline:
    """One pipeline. ``resume`` is ``url`` (the tap reads the state row) or ``file`` (``--state``/``--state-file``).

    ``chunk_bytes`` is how much the target reads at a time: 1 MiB in real life, less of a slow pipe; small chunks keep
    the units of commit apart. ``commit_rows`` is the target's setting.
    """

    is_in_server: ClassVar[bool] = True
    tap, target = "tap-rest", "target-postgres"

    def __init__(
        self,
        bench: Bench,
        source: Source,
        url: str,
        database: str,
        folder: Path,
        *,
        resume: str = "url",
        chunk_bytes: int | None = 8192,
        commit_rows: int = 1,
        forked: bool = True,
        mode: Mode = UPSERT,
    ) -> None:
        self.bench = bench
        self.source = source
        self.database = database
        self.folder = folder
        self.resume = resume
        self.chunk_bytes = chunk_bytes
        self.commit_rows = commit_rows
        self.forked = forked
        self.mode = mode
        """How the target is told to load."""
        self.mapper_rules: Sequence[str] = ()
        """Of the mapper of the next run, where the mode has one in the pipe."""
        self.on_invalid = "fail"
        """The target's setting, from the next run on."""
        self._url = url
        self._runs = 0
        (folder / "state").mkdir()

    @property
    def state_file(self) -> Path:
        return self.folder / "state" / "state.json"

    def start(
        self, *, tap_rules: Sequence[str] = (), target_rules: Sequence[str] = (), proxied: bool = True
    ) -> Pair:
        """Start a run. The rules are `inject.rule`s of either process; ``proxied=False`` goes around the proxy."""
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        self._write_configs(folder, proxied=proxied)
        if self.resume == "url":
            uri = self.bench.server.uri(self.database, pipeline=PIPELINE)
            resume_tap, resume_target = ["--state", uri], []
        else:
            resume_tap = ["--state", str(self.state_file)]
            resume_target = ["--state-file", str(self.state_file)]
        tap_arguments = ["--config", str(folder / "tap.json"), *resume_tap]
        target_arguments = ["--config", str(folder / "target.json"), *resume_target]
        read_end, write_end = os.pipe()
        mapper, read_end = self.mapped(folder, read_end)
        nothing = os.open(os.devnull, os.O_RDONLY)
        printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        start = self.bench.zygote.start
        try:
            target = start(
                self.target,
                target_arguments,
                stdin=read_end,
                stdout=printed,
                stderr=folder / "target.err",
                counts=Counts(folder),
                rules=target_rules,
                chunk_bytes=self.chunk_bytes if self.forked else None,
                forked=self.forked,
            )
            tap = start(
                self.tap,
                tap_arguments,
                stdin=nothing,
                stdout=write_end,
                stderr=folder / "tap.err",
                counts=Counts(folder),
                rules=tap_rules,
                forked=self.forked,
            )
        finally:
            for descriptor in (read_end, write_end, nothing, printed):
                os.close(descriptor)
        return Pair(tap, target, folder, mapper)

    def mapped(self, folder: Path, read_end: int) -> tuple[Process | None, int]:
        """Return the mapper of a run that has one, and what the target reads in the place of ``read_end``."""
        if not self.mode.is_piped:
            return None, read_end
        (folder / "map.json").write_text(json.dumps(MAP))
        rules, self.mapper_rules = self.mapper_rules, ()
        behind, write_end = os.pipe()
        try:
            mapper = self.bench.zygote.start(
                "singerkit-map",
                ["--config", str(folder / "map.json")],
                stdin=read_end,
                stdout=write_end,
                stderr=folder / "map.err",
                counts=Counts(folder),
                rules=rules,
                forked=self.forked,
            )
        finally:
            os.close(read_end)
            os.close(write_end)
        return mapper, behind

    def forget_schemas(self) -> None:
        """Throw the tap's schema cache away, as with the disk of a container."""
        shutil.rmtree(self.folder / "schemas", ignore_errors=True)

    def tap_config(self) -> dict[str, Any]:
        """Return the tap's config."""
        config = self.source.config(self._url, pipeline=PIPELINE, schema_cache=str(self.folder / "schemas"))
        return self.mode.tap_config(config)

    def target_settings(self) -> dict[str, Any]:
        """Return what the target's config has besides."""
        return {}

    def _write_configs(self, folder: Path, *, proxied: bool) -> None:
        server, proxy = self.bench.server, self.bench.proxy
        dsn = proxy.uri(self.database, PASSWORD) if proxied else server.uri(self.database)
        tap = self.tap_config()
        target = {
            "dsn": dsn,
            "pipeline": PIPELINE,
            **({} if self.mode.commits_once else {"commit_rows": self.commit_rows}),
            "on_invalid": self.on_invalid,
            "lock_timeout_seconds": 5,
            "connect_timeout": 5,
            "reconnect_seconds": 1,
            **self.target_settings(),
            **self.mode.settings,
        }
        (folder / "tap.json").write_text(json.dumps(tap))
        (folder / "target.json").write_text(json.dumps(target))

    def finish(self, pair: Pair, seconds: float = SECONDS) -> Outcome:
        """Wait for the end of a run; what hangs is killed, and its code stays None."""
        end = time.monotonic() + seconds
        mapper = [] if pair.mapper is None else [pair.mapper]
        codes = [
            process.wait(max(0.0, end - time.monotonic())) for process in (pair.tap, pair.target, *mapper)
        ]
        for process in (pair.tap, pair.target, *mapper):
            if process.code is None:
                process.signal(9)  # type: ignore[arg-type]
                process.wait(10)
        tap, target = pair.tap, pair.target
        source, proxy = self.source, self.bench.proxy
        outcome = Outcome(
            codes[0],
            codes[1],
            tap.last_words,
            target.last_words,
            (pair.folder / "printed").read_bytes(),
            tap.stderr + target.stderr,
            max(tap.maxrss, target.maxrss),
            {"tap": tap.counts.all(), "target": target.counts.all(), "sql": dict(proxy.counts)},
            source.requests,
            {
                "tap": tap.counts.struck(),
                "target": target.counts.struck(),
                "mapper": sum(process.counts.struck() for process in mapper),
                "http": source.struck,
                "sql": proxy.struck,
            },
            pair.began,
            max(tap.ended, target.ended),
        )
        tap.counts.close()
        target.counts.close()
        for process in mapper:
            process.counts.close()
        return outcome

    def run(
        self,
        *,
        tap_rules: Sequence[str] = (),
        target_rules: Sequence[str] = (),
        http: Sequence[HttpFault] = (),
        sql: Sequence[SqlFault] = (),
        proxied: bool = True,
        seconds: float = SECONDS,
    ) -> Outcome:
        """Run once with these faults, to the end of both processes."""
        self.source.arm(*http)
        self.bench.proxy.arm(*sql)
        pair = self.start(tap_rules=tap_rules, target_rules=target_rules, proxied=proxied)
        outcome = self.finish(pair, seconds)
        self.source.arm()
        self.bench.proxy.arm()
        return outcome
