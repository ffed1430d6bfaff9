"""Check a config against its JSON Schema and say what is wrong in one sentence per problem."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from singer_sdk.plugin_base import JSONSchemaValidator
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import MASK, names_secret, redactor

__all__ = [
    "CONFIG_PATHS",
    "check_environment",
    "config_place",
    "config_problems",
    "expectation",
    "unknown_keys",
]

CONFIG_PATHS = "singerkit.config_paths"
_HIDDEN = ("headers", "params")
"""Groups whose values are never shown: any of them may be a key."""


def check_environment(schema: Mapping[str, Any], prefix: str) -> None:
    """See that the variables that `--config ENV` reads can be read; singer-sdk would trip over them.

    Raises:
        ConfigurationError: one holds no number, or no JSON, where its setting is one. Its value is not shown.
    """
    for key, setting in schema.get("properties", {}).items():
        name = prefix + key.upper().replace("-", "_")
        types = setting.get("type", [])
        types = {types} if isinstance(types, str) else set(types)
        if name not in os.environ or types & {"string", "boolean"}:
            continue
        if types == {"array"} and "string" in str(setting.get("items", {}).get("type")):
            continue  # a list of texts may stand there without brackets
        try:
            int(os.environ[name]) if "integer" in types else json.loads(os.environ[name])
        except ValueError:
            wanted = "a number" if types & {"integer", "number"} else "JSON"
            raise ConfigurationError(
                f"Expected {wanted} in the environment variable {name}, got something else; nothing was read."
            ) from None


def config_problems(config: dict[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each problem; fill in the defaults when there is none."""
    found = sorted(
        DEFAULT_JSONSCHEMA_VALIDATOR(schema).iter_errors(config), key=lambda error: error.json_path
    )
    if not found:
        # singer-sdk's validator sets defaults on its way, and trips over what is not valid.
        found = list(JSONSchemaValidator(schema).iter_errors(config))
    return [sentence(error) for error in found]


def sentence(error: Any) -> str:
    """Expectation, finding, place: ``Expected `string`, got `5` at streams[0].path``."""
    error = _most_telling(error)
    place = _place(error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f"Expected the key `{_join(place, missing)}`, which is missing"
    if error.validator == "additionalProperties" and isinstance(error.schema, dict):
        known = list(error.schema.get("properties", {}))
        extra = [key for key in error.instance if key not in known]
        return " and ".join(_unknown(_join(place, key), key, known) for key in extra)
    return f"Expected {expectation(error)}, got `{_shown(error.instance, error.absolute_path)}` at `{place}`"


def _most_telling(error: Any) -> Any:
    """Go down into oneOf/anyOf as long as one branch clearly is the one that was meant."""
    while error.context:
        deepest = max(error.context, key=lambda sub: len(sub.absolute_path))
        if len(deepest.absolute_path) <= len(error.absolute_path):
            return error
        error = deepest
    return error


def expectation(error: Any) -> str:
    """Word what the failed keyword expects."""
    value = error.validator_value
    match error.validator:
        case "type":
            return " or ".join(f"`{name}`" for name in ([value] if isinstance(value, str) else value))
        case "enum":
            return "one of " + ", ".join(f"`{_plain(item)}`" for item in value)
        case "const":
            return f"`{_plain(value)}`"
        case "minimum" | "exclusiveMinimum":
            return f"a number {'above' if error.validator == 'exclusiveMinimum' else 'of at least'} {value}"
        case "maximum" | "exclusiveMaximum":
            return f"a number {'below' if error.validator == 'exclusiveMaximum' else 'of at most'} {value}"
        case "pattern":
            return f"text that matches `{value}`"
        case "format":
            return f"a {value}"
        case "minLength" | "minItems" | "minProperties":
            return "something that is not empty" if value == 1 else f"a length of at least {value}"
        case "maxLength" | "maxItems" | "maxProperties":
            return f"a length of at most {value}"
        case _:
            return f"what `{error.validator}` allows"


def config_place() -> str:
    """Name the config files of this command line, as in `` in a.json and b.json``."""
    ctx = click.get_current_context(silent=True)
    paths = ctx.meta.get(CONFIG_PATHS, []) if ctx else []
    return f" in {' and '.join(paths)}" if paths else ""


def unknown_keys(config: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """Return a sentence for each key of ``config`` that no setting has, with the nearest name."""
    names = list(known)
    return [_unknown(key, key, names) for key in config if key not in names]


def _unknown(place: str, key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return f"There is no setting `{place}`{hint}"


def _place(path: Iterable[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the top level"


def _join(place: str, key: str) -> str:
    return key if place == "the top level" else f"{place}.{key}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _shown(value: Any, path: Iterable[Any]) -> str:
    if any(isinstance(part, str) and (part in _HIDDEN or names_secret(part)) for part in path):
        return MASK
    text = redactor.mask(json.dumps(value, default=str))  # before it is cut: half a secret is not recognised
    return text if len(text) <= 60 else text[:57] + "..."
