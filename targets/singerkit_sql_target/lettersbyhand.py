"""What somebody may do with dead letters through the target itself: `--rejects` and `--replay-rejects`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import msgspec

from singerkit_quality.judge import Judge
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import counted
from singerkit_sql_target.letters import Letter, Since
from singerkit_sql_target.listing import listed
from singerkit_sql_target.replaying import Replayed, ReplayingLoader, pipeline_of, replay
from singerkit_target.byhand import Wish
from singerkit_target.unnesting import Unnesting
from singerkit_wire.blocks import Judgement
from singerkit_wire.messages import Message

__all__ = ["see_to"]


def see_to(
    loader: ReplayingLoader,
    wish: Wish,
    pipeline: str | None,
    judgement: Judgement,
    missing_fields: str | None,
    unnesting: Unnesting,
    log: logging.Logger,
    judge: Judge | None = None,
) -> None:
    """List the letters that are meant, or load them once more, and say what became of them; ``unnesting`` takes SCHEMA messages of a file apart.

    Raises:
        BadDataError: some are refused still, or nothing tells whether they are newer than what is stored.
    """
    try:
        loader.open()
        named = wish.pipeline or pipeline
        said = {} if wish.schema is None else _schemas_in(Path(wish.schema), unnesting)
        letters = [
            replace(one, declared=said.get(one.stream, one.declared))
            for one in _read(loader, wish.streams)
            if named in (None, one.pipeline)
        ]
        if not letters:
            click.echo("There are no dead letters.")
            return
        if wish.rejects:
            since: Callable[[Letter], Since] = partial(loader.letters.since, ask=loader.ask)
            for line in listed(letters, since, with_records=wish.records):
                click.echo(line)
            return
        name = pipeline_of(letters, named)
        state = loader.begin(name)
        found = replay(
            loader,
            letters,
            state,
            judgement,
            missing_fields,
            log,
            stop_flag,
            over_stored=wish.over_stored,
            judge=judge,
        )
        _tell(found, log)
    except BaseException:
        loader.rollback()
        raise
    finally:
        loader.close()


def _read(loader: ReplayingLoader, streams: Sequence[str]) -> list[Letter]:
    none: list[Letter] = []
    return loader.ask(lambda runs: loader.letters.read(runs, streams), "reading the dead letters", none)


def _schemas_in(file: Path, unnesting: Unnesting) -> dict[str, str]:
    """Return the last SCHEMA message of each stream in a file, in which others may stand between, as letters have theirs.

    Raises:
        ConfigurationError: it cannot be read, or has none.
    """
    found: dict[str, str] = {}
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if "SCHEMA" in line:
                    message = msgspec.json.decode(line, type=_Said)
                    if message.type.upper() == "SCHEMA" and message.stream:
                        said = Message("SCHEMA", message.stream, line.strip().encode(), number)
                        found |= {str(one.stream): one.line.decode() for one in unnesting.messages(said)}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The SCHEMA messages in {file} cannot be read ({error}); nothing was changed."
        ) from None
    if not found:
        raise ConfigurationError(f"There is no SCHEMA message in {file}; nothing was changed.")
    return found


class _Said(msgspec.Struct):
    type: str
    stream: str | None = None


def _tell(found: Replayed, log: logging.Logger) -> None:
    for stream, count in sorted(found.loaded.items()):
        log.info("Stream `%s`: %s loaded, and no longer among the dead letters.", stream, _are(count))
    for counts, why in (
        (found.superseded, "superseded, since the table has a newer row of that key: they stay"),
        (
            found.overwritten,
            "of a stream that each load overwrites (`load_method`): they stay, and the next load has these rows",
        ),
        (found.without_schema, "of a run that kept no SCHEMA beside them: name a file with one (`--schema`)"),
    ):
        for stream, count in sorted(counts.items()):
            log.warning("Stream `%s`: %s %s.", stream, _are(count), why)
    left = found.refused.total(), found.undecided.total(), found.half_mapped.total()
    if not any(left):
        return
    parts = [f"{counted(left[0], 'dead letter')} refused again ({_by(found.refused)})"] if left[0] else []
    parts += (
        [
            f"{counted(left[1], 'dead letter')} passed over ({_by(found.undecided)}), since a row of that key is stored, or other elements of its list may have come, and nothing tells which is "
            "newer (`--over-stored` loads them all the same)"
        ]
        if left[1]
        else []
    )
    parts += (
        [
            f"{counted(left[2], 'dead letter')} set aside by `map` ({_by(found.half_mapped)}), of which some operations are done and others are not, so that only the source has the record as it "
            "was: mend the map or the data, and load the stream anew from there"
        ]
        if left[2]
        else []
    )
    raise BadDataError(
        f"{' and '.join(parts)}: they stay where they are, what was loaded is committed; `--rejects` lists them with their reasons."
    )


def _are(count: int) -> str:
    return f"{counted(count, 'row')} {'is' if count == 1 else 'are'}"


def _by(counts: Counter[str]) -> str:
    return ", ".join(f"`{stream}`" for stream in sorted(counts))
