"""Shards: a run that reads one of n parts of what a pipeline reads, and keeps a state of its own (docs/shards.md).

A row is of the shard that its key says, of n and nothing else: no boundary has to be computed, kept or agreed upon, and rows that come
meanwhile move none. The state of shard 3 of 8 is that of the pipeline `NAME#3/8`; one shard is all of it, and called as the pipeline.
"""

from __future__ import annotations

import re
import shlex
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_state.urls import parameters

__all__ = [
    "MOST",
    "WHOLE",
    "Shard",
    "are_of_one",
    "check_name",
    "file_problem",
    "is_of",
    "location_of",
    "owner_of",
    "part_of",
    "pipeline_and_shard",
    "way_to_divide",
    "without_pipeline",
]

MOST = 10_000
"""Shards of a set."""

_GOLDEN = 0x9E3779B97F4A7C15
_NAME = re.compile(r"(?s)(.*)#(\d{1,5})/(\d{1,5})")


@dataclass(frozen=True)
class Shard:
    """Part ``number``, from 0, of ``of``."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that `--shard` names.

        Raises:
            UsageError: it is none.
        """
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if 0 <= number < of <= MOST:
            return cls(number, of)
        raise UsageError(
            f"Expected a shard like `0/8` at `--shard`, of which the last is `7/8` and n at most {MOST}, got `{text[:50]}`; nothing was read: "
            "they are counted from 0, as Kubernetes (JOB_COMPLETION_INDEX) and Airflow (map_index) do."
        )

    def called(self, pipeline: str) -> str:
        """Return the name under which the state of this shard of a pipeline is kept."""
        return pipeline if self.of == 1 else f"{pipeline}#{self}"

    def file_of(self, path: str) -> str:
        """Return the state file of this shard, beside that of its pipeline."""
        return path if self.of == 1 else f"{path.removesuffix('.json')}{self._ending}"

    @property
    def _ending(self) -> str:
        return f".{self.number}-of-{self.of}.json"


WHOLE = Shard(0, 1)
"""All rows."""


def pipeline_and_shard(name: str) -> tuple[str, Shard]:
    """Return the pipeline that a state is of, and the shard: the only one where the name has none."""
    found = _NAME.fullmatch(name)
    if found is None or not int(found[2]) < int(found[3]) or int(found[3]) == 1:
        return name, WHOLE
    return found[1], Shard(int(found[2]), int(found[3]))


def are_of_one(pipeline: str, other: str) -> bool:
    """Tell whether two states are of one pipeline, all of it or a shard."""
    return pipeline_and_shard(pipeline)[0] == pipeline_and_shard(other)[0]


def part_of(key: Iterable[bytes | None], of: int) -> int:
    """Return the number of the shard of a row with this key.

    States and rows that are there go by it: another one is another set of shards.
    """
    found = 0
    for value in key:
        found = zlib.crc32(b"\0" if value is None else value, found * 31 & 0xFFFFFFFF)
    return (found * _GOLDEN >> 20 & 0xFFFFFFFF) % of


def is_of(shard: Shard, key: str) -> bool:
    """Tell whether what has this key, as text, is of a shard."""
    return owner_of(key, shard.of) == shard.number


def owner_of(name: str, of: int) -> int:
    """Return the number of the shard of what is called so: a stream that cannot be divided, say."""
    return part_of([name.encode("utf-8", "surrogatepass")], of)


def location_of(location: str, shard: Shard) -> str:
    """Return where the state of a shard is kept, from the `--state` that its pipeline has: of a URL, under its own name.

    Raises:
        ConfigurationError: a file is not called as one of that shard, so that the others would not find it, or would take it for theirs.
    """
    if shard.of == 1:
        return location
    address, _, query = location.partition("?")
    if "://" not in address or address.startswith("file:"):
        if problem := file_problem(location, shard):
            raise ConfigurationError(problem)
        return location
    said, _ = parameters(query, ("pipeline",))
    name = said.get("pipeline")
    if not name:
        return location  # the place says what is missing
    check_name(name, shard)
    called = quote(shard.called(pipeline_and_shard(name)[0]), safe="")
    rest = without_pipeline(location)
    return f"{rest}{'' if rest.endswith('?') else '&'}pipeline={called}"


def without_pipeline(location: str) -> str:
    """Return the URL of the whole table that a state URL names a row of."""
    address, mark, query = location.partition("?")
    kept = [pair for pair in query.split("&") if not pair.startswith("pipeline=")]
    return f"{address}{mark}{'&'.join(kept)}"


def way_to_divide(location: str, of: int) -> str:
    """Return the command by which states become those of another number of shards."""
    return f"`{shlex.join(['singerkit-state', 'divide', location, '--into', str(of)])}`"


def check_name(pipeline: str, shard: Shard) -> None:
    """See that a pipeline is not called as another shard of one.

    Raises:
        ConfigurationError: it is.
    """
    name, said = pipeline_and_shard(pipeline)
    if said.of != 1 and said != shard:
        raise ConfigurationError(
            f"The pipeline is called `{pipeline}`, which is the shard {said} of `{name}`, and this run is "
            f"{'of no shard' if shard.of == 1 else f'the shard {shard}'}; nothing was read: call it `{name}`, and name the shard by `--shard`."
        )


def file_problem(path: str, shard: Shard) -> str | None:
    """Return why a file cannot be the state of a shard."""
    if path.endswith(shard.file_of(".json")):
        return None
    return (
        f"Expected a state file of its own for the shard {shard}, which ends with `{shard.file_of('.json')}`, got {path}; nothing was read: "
        f"name {shard.file_of(path)}, here and at `--state-file` of the target, or give `--state` the URL of the database."
    )
