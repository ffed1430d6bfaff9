"""A config of another program, whichever it is, as our map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from singerkit_map.conversion.converted import Converted
from singerkit_map.conversion.flattenings import take_flattening
from singerkit_map.conversion.hashes import Hashing
from singerkit_map.conversion.streammaps import take_stream_maps
from singerkit_map.conversion.transformfield import take_transformations
from singerkit_shell.errors import ConfigurationError

__all__ = ["OF_OTHERS", "converted"]

OF_OTHERS = (
    "stream_maps",
    "stream_map_config",
    "faker_config",
    "flattening_enabled",
    "flattening_max_depth",
    "flattening_max_key_length",
    "flattening_separator",
    "transformations",
)
"""Settings that are looked at; a config of a tap or a target of others has more."""


def converted(config: Mapping[str, Any], place: str, key_variable: str | None = None) -> Converted:
    """Return what the config at ``place`` says as operations; ``key_variable`` holds the key for what was hashed without one.

    Raises:
        ConfigurationError: it has no map of another program, or those of two.
    """
    found = [name for name in OF_OTHERS if name in config]
    if not found:
        raise ConfigurationError(
            f"Expected one of `{'`, `'.join(OF_OTHERS)}` in {place}, which has none of them; nothing was converted."
        )
    if "transformations" in found and len(found) > 1:
        raise ConfigurationError(
            f"Expected either `transformations` of pipelinewise-transform-field or settings of singer-sdk in {place}, got both; "
            "nothing was converted: give them in two files."
        )
    made, hashing = Converted(), Hashing(key_variable)
    take_stream_maps(config, hashing, made)
    take_flattening(config, made)
    take_transformations(config, hashing, made)
    if config.get("faker_config"):
        made.note("`faker_config` has no effect without Faker in `stream_maps`, and is left out")
    left = [name for name in config if name not in OF_OTHERS]
    if left:
        made.note(
            f"`{'`, `'.join(sorted(left))}` {'is' if len(left) == 1 else 'are'} no part of a map, and not looked at"
        )
    return made
