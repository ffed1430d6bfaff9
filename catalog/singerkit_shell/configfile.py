"""Read ``--config`` files: JSON objects, merged left to right, with secrets taken from elsewhere when asked.

A value ``{"env": "NAME"}`` is replaced by the environment variable, ``{"file": "path"}`` by the file's text
without its last newline, so that secrets need not stand in the config file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from singerkit_shell.errors import ConfigurationError

__all__ = ["read_config", "read_json_object"]


def read_config(path: str) -> dict[str, Any]:
    """Return the JSON object in ``path`` with its references resolved.

    Raises:
        ConfigurationError: the file is missing, unreadable, not JSON, not an object, or refers to nothing.
    """
    config = read_json_object(path, "config")
    return {key: _resolve(value, f"{path}: {key}") for key, value in config.items()}


def read_json_object(path: str, what: str) -> dict[str, Any]:
    """Return the JSON object in ``path``; ``what`` names the kind of file in errors.

    Raises:
        ConfigurationError: the file is missing, unreadable, not JSON or not an object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(
            f"The {what} file {path} does not exist; nothing was read, check the path."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The {what} file {path} cannot be read ({error}).") from None
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"The {what} file {path} is not JSON: {error.msg} at line {error.lineno} column {error.colno}."
        ) from None
    except RecursionError:
        raise ConfigurationError(f"The {what} file {path} is nested too deeply.") from None
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"The {what} file {path} holds a JSON {_json_name(value)}; a JSON object is expected."
        )
    return value


def _json_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names[type(value)]


def _resolve(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {"env"} and isinstance(value["env"], str):
            return _from_environment(value["env"], where)
        if set(value) == {"file"} and isinstance(value["file"], str):
            return _from_file(value["file"], where)
        return {key: _resolve(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, f"{where}[{index}]") for index, item in enumerate(value)]
    return value


def _from_environment(name: str, where: str) -> str:
    try:
        return os.environ[name]
    except KeyError:
        raise ConfigurationError(
            f"{where} takes its value from the environment variable {name}, which is not set."
        ) from None


def _from_file(path: str, where: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{where} takes its value from the file {path}, which cannot be read ({error})."
        ) from None
