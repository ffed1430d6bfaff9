"""What taps and targets of pipelines say of themselves: streams at `--discover`, their tables at `--tables`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from singerkit_dbt.declared import unmarked_logs
from singerkit_dbt.tables import Table, table_of
from singerkit_run.asking import arguments_of
from singerkit_run.children import run_alone
from singerkit_run.commands import said_in
from singerkit_run.outcomes import stopped_by
from singerkit_run.pipe import sentence_in
from singerkit_run.planfile import Pipeline, Plan
from singerkit_run.programs import Found
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import BadDataError, ConfigurationError, RetryableError, SingerkitError, Stopped
from singerkit_shell.signals import StopFlag
from singerkit_wire.catalogued import schemas_of

__all__ = ["Asking", "Loaded"]

_SECONDS = 600.0


@dataclass(frozen=True)
class Loaded:
    """The tables into which a pipeline loads, and where these are; None: the target does not know before it runs."""

    pipeline: str
    database: str | None
    tables: tuple[Table, ...]


class Asking:
    """Asks the programs of a file of pipelines, one at a time; ``warn`` is told what a reader of the models has to know."""

    def __init__(
        self,
        plan: Plan,
        found: Mapping[str, Found],
        env: Mapping[str, str],
        stop: StopFlag,
        warn: Callable[[str], None],
    ) -> None:
        self._plan, self._found, self._env, self._stop, self._warn = plan, found, env, stop, warn

    def loaded(self, pipeline: Pipeline) -> Loaded:
        """Return the tables into which a pipeline loads.

        Raises:
            SingerkitError: its tap or target does not say, for the reason that it gives.
        """
        target = self._found[pipeline.target.exec]
        if not target.is_ours:
            raise ConfigurationError(
                f"The target of pipeline `{pipeline.name}`, `{pipeline.target.exec}`, is none of singerkit's, and does not say which tables and columns it makes; "
                "nothing was written: name the pipelines whose target does."
            )
        catalog, where, rules = self._catalog(pipeline)
        for stream in unmarked_logs(catalog, where):
            self._warn(
                f"Stream `{stream}` of pipeline `{pipeline.name}` is read from a log, and its catalog has no `_sdc_deleted_at`: its model keeps rows that are gone at the "
                "source, where the tap marks them."
            )
        schemas = list(schemas_of(catalog, where, rules))
        if not schemas:
            raise ConfigurationError(
                f"Expected a stream that is selected in {where}, got none; nothing was written: select one."
            )
        words = "\n".join([*schemas, ""]).encode()
        if pipeline.mapper is not None:
            words = self._said(pipeline, "mapper", [], words).encode()
        answer = f"what the target of pipeline `{pipeline.name}` says at --tables"
        said = list(_objects(self._said(pipeline, "target", ["--tables"], words), answer))
        databases = {one["database"] for one in said}
        return Loaded(pipeline.name, databases.pop(), tuple(map(table_of, said)))

    def _catalog(self, pipeline: Pipeline) -> tuple[Mapping[str, Any], str, Sequence[str]]:
        """Return the catalog of a pipeline, how it is named in errors, and the rules of `select` that go beside it: --discover knows them already."""
        tap = pipeline.tap
        file = tap.catalog or tap.properties
        if file is not None:
            rules = said_in(tap, "select") if self._found[tap.exec].is_ours else None
            return read_json_object(file, "catalog"), file, rules if isinstance(rules, list) else ()
        where = f"what the tap of pipeline `{pipeline.name}` says at --discover"
        found = next(_objects(self._said(pipeline, "tap", ["--discover"]), where), None)
        if not isinstance(found, Mapping):
            raise BadDataError(f"Expected a catalog in {where}, got something else; nothing was written.")
        return found, where, ()

    def _said(self, pipeline: Pipeline, side: str, options: Sequence[str], words: bytes | None = None) -> str:
        program = {"tap": pipeline.tap, "mapper": pipeline.mapper, "target": pipeline.target}[side]
        assert program is not None  # noqa: S101  that is asked which is there
        last: deque[str] = deque(maxlen=100)
        out: list[bytes] = []
        code = run_alone(
            [self._found[program.exec].path, *arguments_of(program, program.configs), *options],
            folder=self._plan.folder,
            env={**self._env, **program.env, "SINGERKIT_PIPELINE": pipeline.name},
            on_line=last.append,
            on_output=out.append,
            timeout=_SECONDS,
            stop=self._stop,
            words=words,
        )
        if code == 0:
            return b"".join(out).decode("utf-8", "replace")
        if self._stop:
            outcome = stopped_by(self._stop, "nothing was written")
            raise Stopped(outcome.code - 128, outcome.why)
        raise _failed(
            pipeline.name, side, code, sentence_in(last[-1] if last else "", f"{side} of `{pipeline.name}`")
        )


def _failed(pipeline: str, side: str, code: int | None, why: str) -> SingerkitError:
    error = RetryableError if code is None else SingerkitError
    failed = error(
        f"The {side} of pipeline `{pipeline}` {'did not answer' if code is None else f'ended with {code}'}; nothing was written: {why}"
    )
    if code is not None:
        failed.exit_code = code
    return failed


def _objects(text: str, where: str) -> Iterator[Any]:
    """Yield the values of JSON that stand one behind the other.

    Raises:
        BadDataError: something else stands there.
    """
    decoder = json.JSONDecoder()
    text = text.strip()
    at = 0
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            raise BadDataError(
                f"Expected JSON in {where}, got something else; nothing was written."
            ) from None
        yield value
        while at < len(text) and text[at].isspace():
            at += 1
