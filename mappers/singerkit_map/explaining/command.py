"""`singerkit-map explain`: the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from singerkit_map.explaining.looking import Looking
from singerkit_map.explaining.printing import print_look
from singerkit_map.reading import read_map
from singerkit_map.settings import CONFIG_SCHEMA, MAP
from singerkit_shell.command import merged_config
from singerkit_shell.configfile import read_json_object, reason_of
from singerkit_shell.errors import ConfigurationError, UsageError
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import CONFIG_PATHS, schema_problems
from singerkit_wire.catalogued import schemas_of
from singerkit_wire.lines import Chunk, read_chunks
from singerkit_wire.messages import Message, Run, Splitter

__all__ = ["explain"]

_CHUNK_BYTES, _MOST_OF_A_LINE = 1 << 20, 256 << 20


@click.command()
@click.option(
    "-c",
    "--config",
    "paths",
    multiple=True,
    required=True,
    help="The map, or the config of a target that has one in `map`.",
)
@click.option("--stream", "file", help="Singer messages, as a tap writes them: shows rows of each stream.")
@click.option("--catalog", help="A catalog, as `--discover` writes it: shows schemas alone.")
@click.option(
    "-n",
    "--rows",
    default=5,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="So many rows of each stream.",
)
def explain(paths: tuple[str, ...], file: str | None, catalog: str | None, rows: int) -> None:
    """Show what a map makes of each stream: the schema and rows before and after, and which operation changes what.

    What a protecting operation works on, and what is dropped, is not shown as it was. Nothing is written anywhere.
    """
    if (file is None) == (catalog is None):
        raise UsageError("Expected one of `--stream FILE` and `--catalog FILE`; nothing was read.")
    click.get_current_context().meta[CONFIG_PATHS] = list(paths)
    said, at = _map_of(merged_config(*paths).config)
    parts = _of_file(file) if file is not None else _of_catalog(str(catalog))
    looking = Looking(read_map(said, at), said, rows)
    for part in parts:
        looking.take(part)
    for look in looking.looks.values():
        print_look(look)
    for sentence in looking.unmet():
        click.secho(f"! {sentence}", fg="red", err=True)


def _map_of(config: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the map, and the key in which it stands."""
    at = "map" if "map" in config and "streams" not in config else ""
    said = config[at] if at else config
    if not isinstance(said, dict):
        raise ConfigurationError("Expected an object at `map`; nothing was read.")
    problems = schema_problems(said, MAP if at else CONFIG_SCHEMA, at=(at,) if at else ())
    if problems:
        raise ConfigurationError(f"{'; '.join(problems)}. Nothing was read.")
    return said, at


def _of_file(path: str) -> Iterator[Run | Message]:
    splitter = Splitter()
    try:
        with open(path, "rb") as file:
            chunks = read_chunks(
                file, chunk_bytes=_CHUNK_BYTES, max_line_bytes=_MOST_OF_A_LINE, wait_seconds=1, stop=stop_flag
            )
            for chunk in chunks:
                yield from splitter.split(chunk)
    except OSError as error:
        raise ConfigurationError(f"The file {path} cannot be read ({reason_of(error)}).") from None


def _of_catalog(path: str) -> Iterator[Run | Message]:
    splitter = Splitter()
    for line in schemas_of(read_json_object(path, "catalog"), path):
        yield from splitter.split(Chunk(line.encode() + b"\n", 1, 1, 0))
