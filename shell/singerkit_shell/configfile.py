"""Read ``--config`` files: JSON objects, merged left to right, with secrets taken from elsewhere when asked.

A value ``{"env": "NAME"}`` is replaced by the environment variable, ``{"file": "path"}`` by the file's text
without its last newline, so that secrets need not stand in the config file. Such a value is taken for a secret
and masked wherever it comes out. It is a text at first; `typed.py` makes of it what its setting takes, and knows which
settings hold none.
"""

from __future__ import annotations

import errno
import os
import re
import select
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from singerkit_shell.addresses import secrets_of_address
from singerkit_shell.configtext import ConfigTextError, kind_of, value_of, without_repeats
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.variables import Variables, stand_ins

__all__ = [
    "Referred",
    "does_not_answer",
    "from_variable",
    "is_same_file",
    "read_bytes",
    "read_config",
    "read_json_object",
    "read_of_others",
    "read_text",
    "reason_of",
    "renewed",
    "resolved",
    "variables_beside",
]

_LONGEST_CONFIG = 16 << 20  # bytes
_LONGEST_FILE = 256 << 20  # bytes of a catalog
_LONGEST_VALUE = 1 << 20  # bytes of a file that holds one value
_SECONDS = 10.0  # how long a pipe may be silent
_PIECE = 1 << 20
_LEVELS = 200  # what walks a config after this may recurse


_NO_ANSWER = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT)


class _NotText(ValueError):
    """Why a file cannot be read, in a few words."""


class Referred(str):
    """A text that a config takes from elsewhere; ``origin`` says from where, ``parts`` are what of it came from there.

    ``written``: the text as the config has it, with `${NAME}` in it, where it has it so.
    """

    origin: str
    parts: tuple[str, ...]
    written: str | None

    def __new__(
        cls, text: str, origin: str, parts: Iterable[str] = (), written: str | None = None
    ) -> Referred:
        made = super().__new__(cls, text)
        made.origin, made.parts, made.written = origin, tuple(parts), written
        return made


def read_config(path: str, left: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON object in ``path`` with its references resolved; their values are masked from now on.

    ``left``: variables whose names stay in their texts.

    Raises:
        ConfigurationError: the file is missing, unreadable, not JSON, not an object, or refers to nothing.
    """
    config = _json_object(path, "config", _LONGEST_CONFIG, without_repeats, kind_of(path))
    variables = Variables(path, _read_variables, left)
    return {
        _text(key, path, "a key"): resolved(value, f"{path}: {key}", 1, variables)
        for key, value in config.items()
    }


def variables_beside(path: str) -> Mapping[str, str]:
    """Return what the file `.env` beside a config holds; what its names tell to be secret is masked from now on.

    Raises:
        ConfigurationError: it cannot be read.
    """
    found = Variables(path, _read_variables).beside
    redactor.add_from_config(dict(found))
    return found


def _read_variables(path: str) -> str:
    try:
        return read_text(path, _LONGEST_VALUE)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The file {path} cannot be read ({reason_of(error)}).") from None


def _filled(value: str, where: str, variables: Variables | None) -> str:
    """Return a text with the variables that it uses (`${NAME}`); what they hold is masked from now on."""
    if variables is None or "${" not in value:
        return value
    text, used, problem = variables.filled(value)
    if problem is not None:
        raise ConfigurationError(f"{where} {problem}; nothing was read.")
    if not used:
        return text
    text = _text(text, where, "a variable with a text")
    redactor.add_reference(text)
    if secrets_of_address(text) is None:
        for part in used:
            redactor.add_reference(part)
    return Referred(text, "an environment variable", used, value)


_MAY_BE_DATA = re.compile(r"""[{"@=]|:/""")
"""What people give in the place of a path: the text of a config, a URL."""


def read_json_object(path: str, what: str) -> dict[str, Any]:
    """Return the JSON object in ``path``; ``what`` names the kind of file in errors.

    Raises:
        ConfigurationError: the file is missing, unreadable, not JSON or not an object.
    """
    return _json_object(path, what, _LONGEST_FILE, without_repeats)


def _json_object(path: str, what: str, limit: int, object_of: Any, kind: str = "JSON") -> dict[str, Any]:
    if _MAY_BE_DATA.search(path) and not os.path.exists(path):
        raise ConfigurationError(
            f"Expected the path of a {what} file, got what looks like its content or a URL, which may hold a secret and is "
            "not shown; nothing was read: put it into a file, and give the path of that."
        )
    try:
        text = read_text(path, limit).removeprefix("\ufeff")
    except FileNotFoundError:
        raise ConfigurationError(
            f"The {what} file {path} does not exist; nothing was read, check the path."
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The {what} file {path} cannot be read ({reason_of(error)}).") from None
    try:
        value = value_of(text, kind, object_of)
    except ConfigTextError as error:
        raise ConfigurationError(f"The {what} file {path} {error}.") from None
    if not isinstance(value, dict):
        raise ConfigurationError(
            f"The {what} file {path} holds a {kind} {_json_name(value)}; {'a table' if kind == 'TOML' else f'a {kind} object'} is expected."
        )
    return value


def read_of_others(path: str) -> Any:
    """Return what a file of another program says, JSON, YAML or TOML: nothing in it is resolved, and no value of it is ever told.

    Raises:
        ConfigurationError: it cannot be read, or is none of these.
    """
    try:
        return value_of(read_text(path, _LONGEST_CONFIG).removeprefix("\ufeff"), kind_of(path), dict)
    except ConfigTextError as error:
        raise ConfigurationError(f"The file {path} {error}.") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The file {path} cannot be read ({reason_of(error)}).") from None


def read_text(path: str, limit: int) -> str:
    """Return the UTF-8 text in a file or pipe of at most ``limit`` bytes; line ends become newlines.

    Raises:
        OSError: it cannot be opened or read, or a pipe was silent for too long.
        ValueError: it is larger, or not UTF-8, or there is a NUL in its path.
    """
    return read_bytes(path, limit).decode("utf-8").replace("\r\n", "\n")


def read_bytes(path: str, limit: int) -> bytes:
    """Return what is in a file or pipe of at most ``limit`` bytes; a signal is heard meanwhile.

    Raises:
        OSError, ValueError: as `read_text`.
    """
    # Not blocking: a pipe that nobody writes to, or a device, must not hold the run.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    pieces: list[bytes] = []
    size = 0
    until = time.monotonic() + _SECONDS
    try:
        while size <= limit:
            ready, _, _ = select.select([descriptor], [], [], 0.2)
            if ready:
                piece = os.read(descriptor, _PIECE)
                if not piece:
                    return b"".join(pieces)
                pieces.append(piece)
                size += len(piece)
                continue
            # Only where it waits: what is there is read in no time, and a target that is stopping reads its own files.
            stop_flag.raise_if_set("nothing was read.")
            if time.monotonic() > until:
                raise TimeoutError(f"nothing came for {_SECONDS:g} seconds")
    finally:
        os.close(descriptor)
    raise _NotText(f"it is larger than {limit} bytes")


def is_same_file(one: str, other: str) -> bool:
    """Tell whether two paths, of which either may lead nowhere, name one file."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def does_not_answer(error: Exception) -> bool:
    """Tell whether a disk, or the server of a mounted one, fails to give what is there: nobody's setting is wrong, and it may be read later."""
    return isinstance(error, OSError) and error.errno in _NO_ANSWER


def reason_of(error: Exception) -> str:
    """Say in a few words why `read_text` failed."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    if isinstance(error, _NotText):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return "there is a NUL in its name"


def _json_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names[type(value)]


def resolved(value: Any, where: str, level: int = 1, variables: Variables | None = None) -> Any:
    """Return a value of JSON with its references resolved; what they lead to is masked from now on.

    Raises:
        ConfigurationError: one leads to nothing, or the value is nested too deeply.
    """
    if level > _LEVELS:
        raise ConfigurationError(
            f"{where.partition(':')[0]} is nested too deeply, in more than {_LEVELS} levels."
        )
    if isinstance(value, dict):
        if set(value) == {"env"} and isinstance(value["env"], str):
            return _from_environment(_filled(value["env"], f"{where}.env", variables), where, variables)
        if set(value) == {"file"} and isinstance(value["file"], str):
            return _from_file(_filled(value["file"], f"{where}.file", variables), where)
        return {
            _text(key, where, "a key"): resolved(item, f"{where}.{key}", level + 1, variables)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [resolved(item, f"{where}[{index}]", level + 1, variables) for index, item in enumerate(value)]
    return _text(_filled(value, where, variables), where, "a text") if isinstance(value, str) else value


def _text(value: str, where: str, what: str) -> str:
    """Return a text that can be written as UTF-8 and handed to C.

    Raises:
        ConfigurationError: it holds a NUL or half of a surrogate pair.
    """
    if "\0" in value or not _is_utf8(value):
        raise ConfigurationError(
            f"Expected {what} of whole characters without NUL at {where}, got something else."
        )
    return value


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_WORD = r"(?:[A-Z]{1,20}|[a-z]{1,20}(?:[A-Z][a-z]{2,12}){0,5}|(?:[A-Z][a-z]{2,12}){1,5})[0-9]{0,4}"
_NAME = re.compile(rf"_*{_WORD}(?:_+(?:{_WORD}|[0-9]{{1,4}}))*_*")
_NOT_A_NAME = "an environment variable whose name is not shown, since it looks like the value itself (`env` takes the name); it"
_NOT_A_PATH = (
    "a file whose path is not shown, since it looks like the value itself (`file` takes the path); it"
)


def _is_name(text: str) -> bool:
    """Tell whether a text reads like the name of a variable, and not like a token."""
    return len(text) <= 100 and _NAME.fullmatch(text) is not None


def _is_path(text: str) -> bool:
    """Tell whether a text reads like a path, and not like a secret, which may begin with a slash, too."""
    is_led = text.startswith(("./", "../", "~")) or (text.startswith("/") and "/" in text[1:])
    if is_led and not set("+=") & set(text):
        return True
    return all(map(_is_name, filter(None, re.split(r"[/.-]", text))))


def _from_environment(name: str, where: str, variables: Variables | None) -> Referred:
    beside = variables.get(name) if variables is not None and name not in os.environ else None
    if beside is not None:
        redactor.add_reference(beside)
        return Referred(
            _text(beside, where, "a variable with a text"),
            f"the variable {name} of the file .env",
            written=f"${{{name}}}",
        )
    value = from_variable(name, where)
    redactor.add_reference(value)
    return value


def from_variable(name: str, where: str) -> Referred:
    """Return the value of an environment variable, for the setting at ``where``.

    Raises:
        ConfigurationError: it is not set, or is no UTF-8 text.
    """
    try:
        # In the locale C Python takes every byte beyond ASCII for none of UTF-8.
        value = os.fsencode(os.environ[name]).decode("utf-8", "surrogateescape")
    except (KeyError, UnicodeEncodeError):
        if (stand_in := stand_ins.take(name)) is not None:
            return Referred(stand_in, f"the environment variable {name}")
        shown = f"the environment variable {name}, which" if _is_name(name) else _NOT_A_NAME
        raise ConfigurationError(f"{where} takes its value from {shown} is not set.") from None
    if not _is_utf8(value):
        redactor.add_reference(value)
        raise ConfigurationError(
            f"{where} takes its value from the environment variable {name}, which is not UTF-8 text."
        )
    return Referred(value, f"the environment variable {name}", written=f"${{{name}}}")


def _from_file(path: str, where: str) -> Referred:
    try:
        value = read_text(path, _LONGEST_VALUE).removesuffix("\n")
    except (OSError, ValueError) as error:
        if (stand_in := stand_ins.take(path)) is not None:
            redactor.add_reference(stand_in)
            return Referred(stand_in, f"the file {path}")
        shown = f"the file {path}, which" if _is_path(path) else _NOT_A_PATH
        raise ConfigurationError(
            f"{where} takes its value from {shown} cannot be read ({reason_of(error)})."
        ) from None
    redactor.add_reference(value)
    _files[value] = path
    return Referred(_text(value, where, "a file with a text"), f"the file {path}")


_files: dict[str, str] = {}
"""Which file a value of a config has come from: programs run for longer than tokens are good."""


def renewed(value: str) -> str | None:
    """Return what the file that a value of a config has come from holds by now; it is masked from now on.

    None: the value has come from no file, or nothing else is there.
    """
    try:
        text = _from_file(_files[value], "a value")
    except (KeyError, ConfigurationError):
        return None
    return str(text) if text != value else None
