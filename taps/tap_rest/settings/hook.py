"""`hook`: a class in a file of Python, for what no config says. Its file is looked through here, and not run."""

from __future__ import annotations

import ast
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from singerkit_shell.configfile import Referred, reason_of
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.validate import config_folder, nearest
from tap_rest.settings import setting

__all__ = [
    "HOOK",
    "METHODS",
    "HookSettings",
    "hook_problems",
    "literal_hooks",
    "refused_hooks",
    "text_of",
    "with_hook",
]

Group = Mapping[str, Any]

HOOK = setting.group(
    "A class `Hook` in a file of Python, for what no config says: it alters requests, reads bodies, finds the next page, or changes rows.",
    {
        "path": setting.name(
            "The file, from the folder of the config on; it stands in the config itself, and not in a variable.",
            minLength=1,
        ),
        "settings": {
            "type": "object",
            "description": "What `Hook` is made with, secrets among it: it is given nothing else of the config.",
        },
    },
    ["path"],
)
METHODS: Mapping[str, tuple[str, ...]] = {
    "prepare_request": ("request", "stream"),
    "parse_response": ("response", "stream"),
    "next_page": ("response", "rows", "stream"),
    "post_process": ("row", "stream"),
}
_CLASS = "Hook"
_LONGEST = 1 << 20
_BY_TOKEN = ("cursor", "next_url")
_PLACES = {"cursor": "cursor", "next_url": "next"}


class HookSettings(msgspec.Struct, frozen=True):
    """`hook` of a stream; ``file`` is the whole path, ``methods`` are those of it, ``digest`` tells its text. No config may say these."""

    path: str
    settings: dict[str, Any] = {}
    file: str = ""
    methods: tuple[str, ...] = ()
    digest: str = ""
    takes_settings: bool = False


@dataclass(frozen=True)
class _Looked:
    """What a file holds; ``problems`` follow the place of the setting."""

    methods: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    digest: str = ""
    takes_settings: bool = False


def with_hook(stream: Group) -> dict[str, Any]:
    """Return a stream with what there is to know of its hook; a pagination by it says so."""
    if "hook" not in stream:
        return dict(stream)
    looked, path = _looked_at(stream["hook"])
    told = {
        "file": path,
        "methods": looked.methods,
        "digest": looked.digest,
        "takes_settings": looked.takes_settings,
    }
    filled = {**stream, "hook": {**stream["hook"], **told}}
    if "next_page" in looked.methods:
        filled["pagination"] = {**stream.get("pagination", {}), "by_hook": True}
    return filled


def literal_hooks(config: Group) -> set[int]:
    """Return where hooks stand in a config itself, before it is filled in: -1 for the top level, the number of a stream."""
    streams = config.get("streams")
    places = {-1: config, **dict(enumerate(streams if isinstance(streams, list) else ()))}
    return {number for number, place in places.items() if _is_literal(place)}


def _is_literal(place: Any) -> bool:
    hook = place.get("hook") if isinstance(place, Mapping) else None
    if not isinstance(hook, Mapping) or isinstance(hook, Referred):
        return False
    return isinstance(hook.get("path"), str) and not isinstance(hook["path"], Referred)


def refused_hooks(config: Group, literal: set[int]) -> list[str]:
    """Return a sentence for each hook that came from elsewhere: what runs here stands in the config."""
    found = literal_hooks(config) - literal
    places = ("`hook`" if number < 0 else f"`streams[{number}].hook`" for number in sorted(found))
    return [
        f"Expected {place} in a config file itself, got one from an environment variable or from another file; nothing of it was run"
        for place in places
    ]


def hook_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what is wrong with the hook of a stream that has what it takes over from the top level, or lacks where it has none."""
    pagination = stream.get("pagination", {"type": "single"})
    looked = _looked_at(stream["hook"])[0] if "hook" in stream else _Looked()
    has_token = "cursor" in pagination or "next_page" in looked.methods or looked.problems
    if pagination["type"] == "cursor" and not has_token:
        yield f"Expected the key `{place}.pagination.cursor`, which `cursor` needs"
    if "hook" not in stream:
        return
    yield from (f"`hook.path` of stream {stream['name']}: {problem}" for problem in looked.problems)
    if stream["hook"].get("settings") and not looked.takes_settings and not looked.problems:
        yield f"`hook.settings` of stream {stream['name']} has no effect: class `{_CLASS}` has no `__init__(self, settings)`"
    if "next_page" in looked.methods:
        kind = pagination["type"]
        if kind not in _BY_TOKEN:
            yield (
                f"`next_page` of the hook of stream {stream['name']} needs `{place}.pagination.type` `cursor`, where it returns a token, or "
                f"`next_url`, where it returns a URL; got `{kind}`"
            )
        elif _PLACES[kind] in pagination:
            yield (
                f"`{place}.pagination.{_PLACES[kind]}` has no effect, since `next_page` of the hook says what comes next; take one of them out"
            )
    if "post_process" in looked.methods and pagination.get("continue_by") == "bookmark":
        yield f"`{place}.pagination.continue_by` `bookmark` does not go with `post_process` of a hook, whose rows are not those of a page"


def text_of(path: str) -> str:
    """Return the text of a hook.

    Raises:
        ConfigurationError: it is no plain file, somebody else may write to it, or it is no text.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigurationError(f"expected a plain file, got something else ({path})")
            if mode & stat.S_IWOTH:
                raise ConfigurationError(
                    f"everybody may write to {path}, so that anybody may say what runs here; `chmod o-w` takes that away"
                )
            data = file.read(_LONGEST + 1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read ({reason_of(error)})") from None
    if len(data) > _LONGEST:
        raise ConfigurationError(f"{path} is larger than {_LONGEST} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is not UTF-8") from None


def _looked_at(hook: Group) -> tuple[_Looked, str]:
    path = str(Path(config_folder()) / hook["path"])
    if not path.endswith(".py"):
        return _Looked(problems=(f"expected a file whose name ends with `.py`, got {path}",)), path
    try:
        return _look(text_of(path)), path
    except ConfigurationError as error:
        return _Looked(problems=(str(error),)), path


@lru_cache(64)
def _look(text: str) -> _Looked:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        return _Looked(
            problems=(f"it is no Python ({type(error).__name__}{f' at line {line}' if line else ''})",)
        )
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    hook = next((node for node in reversed(classes) if node.name == _CLASS), None)
    if hook is None:
        near = nearest(_CLASS, [node.name for node in classes])
        return _Looked(problems=(f"it has no class `{_CLASS}`" + (f", but one `{near}`" if near else ""),))
    functions = {
        node.name: node for node in hook.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    init = functions.get("__init__")
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    methods = tuple(name for name in METHODS if name in functions)
    takes_settings = init is not None and len(init.args.posonlyargs + init.args.args) > 1
    return _Looked(methods, tuple(_problems_of(hook, functions)), digest, takes_settings)


def _problems_of(
    hook: ast.ClassDef, functions: Mapping[str, ast.FunctionDef | ast.AsyncFunctionDef]
) -> Iterator[str]:
    if hook.bases or hook.keywords:
        yield f"class `{_CLASS}` has to stand by itself, without bases (line {hook.lineno})"
    for name, function in functions.items():
        where = f"(line {function.lineno})"
        if name in METHODS:
            yield from _problems_of_method(name, function, where)
        elif not name.startswith("_"):
            near = nearest(name, list(METHODS))
            known = f"did you mean `{near}`?" if near else f"there are {', '.join(METHODS)}"
            yield f"nobody calls the method `{name}` of class `{_CLASS}` {where}: {known}; one of your own begins with `_`"
    if not any(name in METHODS for name in functions):
        yield f"class `{_CLASS}` has none of the methods {', '.join(METHODS)}, so it has no effect"


def _problems_of_method(
    name: str, function: ast.FunctionDef | ast.AsyncFunctionDef, where: str
) -> Iterator[str]:
    if isinstance(function, ast.AsyncFunctionDef) or _yields(function):
        yield f"`{name}` has to be a function that returns, neither `async` nor with `yield` {where}"
        return
    wanted = ("self", *METHODS[name])
    taken = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    fits = len(taken) == len(wanted) or (function.args.vararg is not None and len(taken) <= len(wanted))
    if not fits or function.args.kwonlyargs or function.decorator_list:
        yield f"expected `def {name}({', '.join(wanted)})`, got `def {name}({', '.join(taken)})` {where}"


def _yields(function: ast.AST) -> bool:
    """Tell whether a function is a generator; those inside it do not count."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Yield | ast.YieldFrom) or _yields(node):
            return True
    return False
