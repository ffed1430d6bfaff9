"""Check a config against its JSON Schema and say what is wrong in one sentence per problem."""

from __future__ import annotations

import difflib
import itertools
import json
import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
from jsonschema import Draft202012Validator

from singerkit_shell.configfile import from_variable, is_same_file, read_text
from singerkit_shell.configlines import line_at
from singerkit_shell.configtext import kind_of
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import MASK, names_secret, redactor
from singerkit_shell.typed import take_as_typed

__all__ = [
    "CONFIG_PATHS",
    "MAP_CONVERTED",
    "check_no_input",
    "config_folder",
    "config_place",
    "config_problems",
    "environment_config",
    "expectation",
    "line_of",
    "nearest",
    "schema_problems",
    "unknown_keys",
    "warn_of_unread_environment",
]

CONFIG_PATHS = "singerkit.config_paths"
_LONGEST_CONFIG = 16 << 20  # bytes
_HIDDEN = ("env", "headers", "params")
"""Groups whose values are never shown: any of them may be a key."""

_logger = logging.getLogger(__name__)
_NOT_DONE: Mapping[str, str] = {
    "stream_maps": "no stream or field would be left out, renamed or changed",
    "stream_map_config": "no stream or field would be left out, renamed or changed",
    "faker_config": "no value would be replaced",
    "flattening_enabled": "records would stay nested",
    "flattening_max_depth": "records would stay nested",
    "flattening_max_key_length": "records would stay nested",
    "flattening_separator": "records would stay nested",
    "transformations": "no field would be hashed, masked or emptied",
    "batch_config": "records would come one by one",
    "batch_size_rows": "`commit_rows` says when a target commits",
    "process_activate_version_messages": "ACTIVATE_VERSION is always followed",
    "record_metadata": "a target says `add_record_metadata`",
}
"""Settings of other Singer plugins that have no effect here: what accepting them would hide."""
_OF_MAPS = ("stream_map", "faker_", "flattening_", "transformations")
MAP_CONVERTED = "`singerkit-map convert FILE` makes a map of ours of it, for `singerkit-map` in the pipe and for `map` of a target"
"""The way out for settings that say what `singerkit-map` does."""


def config_folder() -> str:
    """Return the folder of the config file, of several of the last; without one, that in which the run began."""
    ctx = click.get_current_context(silent=True)
    paths = ctx.meta.get(CONFIG_PATHS, ()) if ctx else ()
    return os.path.dirname(os.path.abspath(paths[-1])) if paths else os.getcwd()


def environment_config(schema: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the settings that the environment, or a file `.env`, holds; `config_problems` makes of each what it is.

    Raises:
        ConfigurationError: a variable names no setting, or is no text. Its value is not shown.
    """
    from singer_sdk.configuration._dict_config import parse_environment_config

    names = {_variable(prefix, key): key for key in schema.get("properties", {})}
    # Reads `.env` into the environment; of what it makes of the texts nothing is taken.
    parse_environment_config({"properties": {key: {"type": "string"} for key in names.values()}}, prefix)
    strange = [name for name in os.environ if _is_strange_variable(name, prefix, names)]
    if strange:
        sentences = (_unknown(name, name, list(names), "environment variable") for name in sorted(strange))
        raise ConfigurationError(f"{'; '.join(sentences)}. Nothing was read.")
    return {key: from_variable(name, key) for name, key in names.items() if name in os.environ}


def _variable(prefix: str, key: str) -> str:
    return prefix + key.upper().replace("-", "_")


def _is_strange_variable(name: str, prefix: str, known: Collection[str]) -> bool:
    """Tell whether a variable looks like a setting and is none. `__` after the prefix is Meltano's own."""
    return (
        name.startswith(prefix)
        and not name.startswith(f"{prefix}_")
        and name not in known
        and name != f"{prefix}LOGLEVEL"
    )


def warn_of_unread_environment(config: Mapping[str, Any], schema: Mapping[str, Any], prefix: str) -> None:
    """Name the variables that hold a setting which the config lacks, when `--config ENV` was not given."""
    unread = [
        name
        for key in schema.get("properties", {})
        if (name := _variable(prefix, key)) in os.environ and key not in config
    ]
    if unread:
        _logger.warning(
            "%s set and not read: environment variables count with `--config ENV` only.",
            f"{', '.join(unread)} {'is' if len(unread) == 1 else 'are'}",
        )


def config_problems(
    config: dict[str, Any], schema: Mapping[str, Any], refused: Mapping[str, str] | None = None
) -> list[str]:
    """Return a sentence for each problem; make of texts from elsewhere what they are, and fill in the defaults.

    ``refused`` are settings of others at the top, with what to do instead.

    Where a text is not what its setting takes, nothing else is looked at.
    """
    # Here, since it takes half a second, and who asks for `schema_problems` does without it.
    from singer_sdk.plugin_base import JSONSchemaValidator

    problems = schema_problems(config, schema, refused)
    # singer-sdk's validator sets defaults on its way, and trips over what is not valid.
    return problems or [sentence(error) for error in JSONSchemaValidator(schema).iter_errors(config)]


def schema_problems(
    config: dict[str, Any],
    schema: Mapping[str, Any],
    refused: Mapping[str, str] | None = None,
    at: Sequence[str | int] = (),
) -> list[str]:
    """Return a sentence for each problem; make of texts from elsewhere what they are. ``at``: where ``config`` stands in the whole of one."""
    wrong = take_as_typed(config, schema)
    if wrong:
        return wrong
    found = sorted(
        (
            error
            for error in Draft202012Validator(schema).iter_errors(config)
            if error.validator != "additionalProperties"  # `unknown_keys` says it better
        ),
        key=lambda error: error.json_path,
    )
    for error in found:
        error.path.extendleft(reversed(at))
    return [*unknown_keys(config, schema, refused, at), *(sentence(error) for error in found)]


def sentence(error: Any) -> str:
    """Expectation, finding, place: ``Expected `string`, got `5` at streams[0].path``."""
    error = _most_telling(error)
    place = _place(error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return f"Expected the key `{_join(place, missing)}`, which is missing{line_of(place)}"
    near = _misspelt(error)
    may_be_secret = near is None and _takes_secrets(error.schema)
    shown = MASK if may_be_secret else _shown(error.instance, () if near else error.absolute_path)
    hint = f"; did you mean `{near}`?" if near else ""
    return f"Expected {expectation(error)}, got `{shown}` at `{place}`{line_of(place)}{hint}"


def _takes_secrets(schema: Any) -> bool:
    """Tell whether a setting is a secret, or a group of which one is: what stands there by mistake may be that."""
    if not isinstance(schema, Mapping):
        return False
    return any(one.get("secret") is True for one in (schema, *(schema.get("properties") or {}).values()))


def _misspelt(error: Any) -> str | None:
    """Return the value of an enum that was meant: one that is only misspelt is no secret, wherever it stands."""
    value = error.instance
    if error.validator != "enum" or not isinstance(value, str):
        return None
    near = nearest(value, [item for item in error.validator_value if isinstance(item, str)])
    # `Bearer` and a token is near, too.
    return near if near is not None and abs(len(value) - len(near)) < 3 else None


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
        case "pattern" | "oneOf" | "anyOf" if "says" in error.schema:
            return str(error.schema["says"])
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


def line_of(place: str) -> str:
    """Name the line of a key in the config files of this command line, as in `` (line 7)``."""
    ctx = click.get_current_context(silent=True)
    for path in reversed(ctx.meta.get(CONFIG_PATHS, []) if ctx else []):
        try:
            text = read_text(path, _LONGEST_CONFIG)
        except (OSError, ValueError):
            continue  # a pipe, which is read once
        line = line_at(text, kind_of(path), place)
        if line is not None:
            return f" (line {line} of {path})"
    return ""


def check_no_input(path: str, option: str) -> None:
    """See that a file which is to be written, or read as something else, is none of the ``--config`` and ``--catalog``.

    Raises:
        ConfigurationError: it is one of them, by whatever name.
    """
    ctx = click.get_current_context(silent=True)
    if ctx is None:
        return
    given = [("--config", config) for config in ctx.meta.get(CONFIG_PATHS, [])]
    if ctx.params.get("catalog"):
        given.append(("--catalog", ctx.params["catalog"]))
    for other, known in given:
        if is_same_file(path, known):
            raise ConfigurationError(
                f"`{option} {path}` is the file that `{other} {known}` names; nothing was read or written: name two "
                "files."
            )


def unknown_keys(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    refused: Mapping[str, str] | None = None,
    at: Sequence[str | int] = (),
) -> list[str]:
    """Return a sentence for each key, at any depth, that no setting has, with the setting that may be meant.

    An object of the schema whose ``additionalProperties`` is a schema, or that names no properties, takes any key.
    """
    strange = list(_strange(config, schema, tuple(at)))
    of_maps = [key for path, key, _ in strange if _is_of_maps(key) and (path or key not in (refused or {}))]
    others = [
        (_of_others(key, refused or {}) if not path else None)
        or _not_done(key)
        or _unknown(_place([*path, key]), key, known, "setting", _elsewhere(key, path, schema))
        for path, key, known in strange
        if key not in of_maps
    ]
    return [*_maps_not_done(of_maps), *others]


def _is_of_maps(key: str) -> bool:
    return key in _NOT_DONE and key.startswith(_OF_MAPS)


def _maps_not_done(keys: Sequence[str]) -> list[str]:
    """One sentence about all settings of other programs that say what a map says."""
    if not keys:
        return []
    named, one = (
        " and ".join(filter(None, (", ".join(f"`{key}`" for key in keys[:-1]), f"`{keys[-1]}`"))),
        len(keys) == 1,
    )
    hidden = ", ".join(dict.fromkeys(_NOT_DONE[key] for key in keys))
    ctx = click.get_current_context(silent=True)
    files = [path for path in (ctx.meta.get(CONFIG_PATHS, ()) if ctx else ()) if path != "ENV"]
    converted = MAP_CONVERTED.replace("FILE", files[-1]) if len(files) == 1 else MAP_CONVERTED
    return [
        f"{named} {'has' if one else 'have'} no effect here and {'is' if one else 'are'} refused: {hidden}; {converted}; then remove "
        f"{'it' if one else 'them'} here"
    ]


def _strange(
    value: Any, schema: Mapping[str, Any], path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], str, list[str]]]:
    """Yield where an unknown key stands, the key, and the keys that there are."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strange(item, schema.get("items") or {}, (*path, index))
    if not isinstance(value, Mapping):
        return
    known, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        if key in known:
            yield from _strange(item, known[key], (*path, key))
        elif isinstance(others, Mapping):
            yield from _strange(item, others, (*path, key))
        elif known and others is not True:
            yield path, key, list(known)


def _of_others(key: str, refused: Mapping[str, str]) -> str | None:
    return f"There is no setting `{key}` here: {refused[key]}" if key in refused else None


def _not_done(key: str) -> str | None:
    if key not in _NOT_DONE:
        return None
    return f"`{key}` has no effect here and is refused: {_NOT_DONE[key]}; remove it"


def _unknown(place: str, key: str, known: Sequence[str], what: str, elsewhere: str | None = None) -> str:
    near = nearest(key, known)
    if elsewhere is not None:
        hint = f"; `{key}` stands in {elsewhere}"
    elif near is not None:
        hint = f"; did you mean `{near}`?"
    elif len(known) <= 12:
        hint = f"; there are {', '.join(f'`{name}`' for name in known)}"
    else:
        hint = "; `--about` lists those that there are"
    line = line_of(place) if what == "setting" else ""
    return f"There is no {what} `{place}`{line}{hint}"


def nearest(key: str, known: Sequence[str]) -> str | None:
    """Return the one of the names that ``key`` may be meant to be."""
    plain = {_plainly(name): name for name in known}
    near = difflib.get_close_matches(_plainly(key), plain, n=1)
    return plain[near[0]] if near else None


def _plainly(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _elsewhere(key: str, path: Sequence[str | int], schema: Mapping[str, Any]) -> str | None:
    """Return the place in ``schema``, as near as possible to ``path``, where ``key`` is a setting."""
    here = [part for part in path if isinstance(part, str)]
    places = [place for place in _objects(schema, ()) if key in place[1]]
    if not places:
        return None

    def shared(names: tuple[str, ...]) -> int:
        pairs = zip(here, names, strict=False)
        return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1].removesuffix("[]"), pairs)))

    names = max(places, key=lambda place: (shared(place[0]), -len(place[0])))[0]
    return f"`{'.'.join(names)}`" if names else "the top level"


def _objects(
    schema: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    properties = schema.get("properties") or {}
    if properties:
        yield path, properties
    for name, inner in properties.items():
        items = inner.get("items")
        yield from _objects(items, (*path, f"{name}[]")) if items else _objects(inner, (*path, name))


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
