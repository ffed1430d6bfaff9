"""`singerkit-map convert`: the map of another program as ours, on stdout; what is otherwise, and what is left out, on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from singerkit_map.conversion.converted import Converted
from singerkit_map.conversion.converting import OF_OTHERS, converted
from singerkit_shell.configfile import read_of_others
from singerkit_shell.errors import ConfigurationError

__all__ = ["convert"]


@click.command()
@click.argument("file")
@click.option(
    "--hmac-key-env",
    metavar="NAME",
    help="Write `hmac`, with the key in this variable of the environment, for what was hashed without a key.",
)
@click.option("--leave-out", is_flag=True, help="Print what can be said even where something cannot.")
def convert(file: str, hmac_key_env: str | None, leave_out: bool) -> None:
    """Convert singer-sdk's stream_maps and flattening, or pipelinewise-transform-field's transformations, to a map.

    FILE is a config (JSON, YAML, TOML) or a meltano.yml. What cannot be said is named on stderr with its place, and
    nothing is printed (exit 78), unless --leave-out is given.
    """
    made = converted(_config_in(file), file, hmac_key_env)
    for sentence in made.notes:
        click.echo(f"Note: {sentence}.", err=True)
    for sentence in made.problems:
        click.echo(f"Left out: {sentence}.", err=True)
    if made.problems and not leave_out:
        one = len(made.problems) == 1
        raise ConfigurationError(
            f"{len(made.problems)} {'entry' if one else 'entries'} of {file} {'has' if one else 'have'} no operation that says the same, as the "
            "lines above tell; nothing was printed: change them, or give `--leave-out` for a map without them, in which what they "
            "protect is not protected."
        )
    click.echo(_text(made))


def _text(made: Converted) -> str:
    """The map as JSON, an operation a line."""
    streams = []
    for name, operations in made.streams.items():
        lines = ",\n".join(f"      {json.dumps(one, ensure_ascii=False)}" for one in operations)
        inside = f"\n{lines}\n    " if lines else ""
        streams.append(f"    {json.dumps(name, ensure_ascii=False)}: [{inside}]")
    return '{\n  "streams": {\n' + ",\n".join(streams) + "\n  }\n}"


def _config_in(file: str) -> Mapping[str, Any]:
    found = read_of_others(file)
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"Expected an object with settings in {file}; nothing was converted.")
    if "plugins" not in found:
        return found
    configs = [one for one in _configs_of_meltano(found["plugins"]) if any(name in one for name in OF_OTHERS)]
    if len(configs) != 1:
        raise ConfigurationError(
            f"Expected one plugin or mapping in {file} that has a map, got {len(configs)}; nothing was converted: put the `config` of one "
            "into a file of its own, and give that."
        )
    return configs[0]


def _configs_of_meltano(plugins: Any) -> list[Mapping[str, Any]]:
    """Return the `config` of each plugin, and of each of a mapper's mappings."""
    groups = plugins.values() if isinstance(plugins, Mapping) else ()
    found = [one for group in groups if isinstance(group, list) for one in group if isinstance(one, Mapping)]
    for one in list(found):
        mappings = one.get("mappings")
        found += (
            [each for each in mappings if isinstance(each, Mapping)] if isinstance(mappings, list) else []
        )
    return [one["config"] for one in found if isinstance(one.get("config"), Mapping)]
