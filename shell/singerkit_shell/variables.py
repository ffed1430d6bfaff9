"""`${NAME}` in a config's texts: variables of the environment, else of the file `.env` beside the config.

`${NAME:-text}` stands for the text where the variable is not set or empty, `$${` for `${` itself. Keys are left alone. What a variable holds is a
secret until its setting says otherwise, as with `{"env": "NAME"}`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from singerkit_shell.errors import ConfigurationError

__all__ = ["StandIns", "Variables", "stand_ins"]

_USE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\})?")
_FILE = ".env"


class StandIns:
    """What stands for a value that a config takes from elsewhere and that is not there, where a run has no need of it.

    ``text`` None: there is none, and that is an error. ``used_for``: the variables and files that one stood for.
    """

    def __init__(self) -> None:
        self.text: str | None = None
        self.used_for: list[str] = []

    def take(self, name: str) -> str | None:
        """Return what stands for a variable or file."""
        if self.text is not None and name not in self.used_for:
            self.used_for.append(name)
        return self.text


stand_ins = StandIns()


class Variables:
    """What variables hold for the config at ``path``; ``read`` returns the text of a small file.

    ``left``: names that are left as they stand, for others to fill in.
    """

    def __init__(self, path: str, read: Callable[[str], str], left: Collection[str] = ()) -> None:
        self._left = left
        self._file = str(Path(path).absolute().with_name(_FILE))
        self._read = read
        self._beside: dict[str, str] | None = None

    def get(self, name: str) -> str | None:
        """Return what a variable holds, None where it is not set."""
        return os.environ[name] if name in os.environ else self.beside.get(name)

    def filled(self, text: str) -> tuple[str, list[str], str | None]:
        """Return ``text`` with its variables, the values that came from them, and what is wrong, in words that follow its place."""
        values: list[str] = []
        problems: list[str] = []

        def value_of(use: re.Match[str]) -> str:
            if use[0] == "$${":
                return "${"
            name = use["name"]
            if name is None:
                problems.append("has `${` without a name and `}` behind it; write `$${` if that is meant")
                return ""
            if name in self._left:
                return use[0]
            value = self.get(name)
            if not value and use["default"] is not None:
                return use["default"]
            if value is None:
                value = stand_ins.take(name)
            if value is None:
                problems.append(
                    f"uses the environment variable {name}, which is not set, neither in a file `.env` beside the config"
                )
                return ""
            values.append(value)
            return value

        return _USE.sub(value_of, text), values, problems[0] if problems else None

    @property
    def beside(self) -> Mapping[str, str]:
        """What the file `.env` beside the config holds.

        Raises:
            ConfigurationError: a line of it is none.
        """
        if self._beside is None:
            self._beside = {}
            if os.path.exists(self._file):
                self._beside = _parsed(self._read(self._file), self._file)
        return self._beside


def _parsed(text: str, path: str) -> dict[str, str]:
    # Imported here: few have such a file.
    from dotenv.parser import parse_stream

    found: dict[str, str] = {}
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            raise ConfigurationError(
                f"Expected `NAME=value` in line {binding.original.line} of {path}, got something else; nothing was read: mend it."
            )
        if binding.key is not None and binding.value is not None:
            found[binding.key] = binding.value
    return found
