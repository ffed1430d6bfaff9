"""A config of tap-rest-api-msdk: where it stands, what holds for a stream of it, and which of its settings were looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerkit_shell.configfile import read_of_others
from singerkit_shell.errors import ConfigurationError

__all__ = ["OldStream", "old_config"]

_NAMES = ("tap-rest-api-msdk", "tap_rest_api_msdk", "restful-api-tap")
Group = Mapping[str, Any]


def old_config(file: str) -> dict[str, Any]:
    """Return the config in a file: JSON or YAML, by itself or in a `meltano.yml`; its values are never told.

    Raises:
        ConfigurationError: there is none.
    """
    found = read_of_others(file)
    config = _of_meltano(found) if isinstance(found, Mapping) and "plugins" in found else found
    if (
        not isinstance(config, dict)
        or not isinstance(config.get("api_url"), str)
        or not _are_streams(config.get("streams"))
    ):
        raise ConfigurationError(
            f"Expected a config of tap-rest-api-msdk in {file}, with `api_url` and `streams` that have a `name` each, or a `meltano.yml` with one."
        )
    return config


def _of_meltano(project: Group) -> Any:
    plugins = project["plugins"]
    extractors = plugins.get("extractors") if isinstance(plugins, Mapping) else None
    for plugin in extractors if isinstance(extractors, list) else ():
        if (
            isinstance(plugin, Mapping)
            and _NAMES[0] in str(plugin.get("name", "")).replace("_", "-")
            and isinstance(plugin.get("config"), dict)
        ):
            return plugin["config"]
    return None


def _are_streams(streams: Any) -> bool:
    return (
        isinstance(streams, list)
        and bool(streams)
        and all(isinstance(one, Mapping) and isinstance(one.get("name"), str) for one in streams)
    )


class OldStream:
    """The settings of one stream; those that it does not have hold for all. What was asked for is remembered."""

    def __init__(self, stream: Group, whole: Group) -> None:
        self.name: str = stream["name"]
        self._stream, self._whole = stream, whole
        self._known = {"name", "streams", "api_url"}

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting; an empty one is none."""
        self._known.add(key)
        value = self._stream.get(key)
        value = self._whole.get(key) if value in (None, "", {}, []) else value
        return default if value in (None, "", {}, []) else value

    def own(self, key: str) -> Any:
        """Return what the stream itself says."""
        self._known.add(key)
        return self._stream.get(key)

    @property
    def known(self) -> set[str]:
        """The settings that were asked for."""
        return self._known

    def text(self, key: str, default: str = "") -> str:
        value = self.get(key, default)
        return value if isinstance(value, str) else default

    def merged(self, key: str) -> dict[str, Any]:
        """Return an object, the members of the stream over those of all."""
        self._known.add(key)
        parts = [one[key] for one in (self._whole, self._stream) if isinstance(one.get(key), Mapping)]
        return {name: value for part in parts for name, value in part.items()}

    def count(self, key: str) -> int | None:
        value = self.get(key)
        return int(value) if isinstance(value, int | str) and str(value).isdigit() else None

    def unknown(self) -> Iterator[str]:
        """Yield the settings of the stream that nobody has asked for."""
        yield from (key for key in self._stream if key not in self._known)
