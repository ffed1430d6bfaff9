"""Where a state is: one string that names it, one table of the kinds of places (DESIGN 5 "Resuming").

``--state`` of a tap, ``--adopt`` of a target and `singerkit-state` take the same strings: the path of a state file, the
folder of a target that keeps a manifest there, or a URL. A new kind of place is one entry of `SCHEMES` and one module::

    store_of(location) -> Store        taken apart, nothing is opened yet; ConfigurationError where the URL is wrong
    table_of(location) -> StateTable   the place of many pipelines, where the location names none of them; else None

No error shows a part of a location that is not understood: it may be a password.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from singerkit_shell.errors import ConfigurationError
from singerkit_state import store_files
from singerkit_state.store import StateTable, Store
from singerkit_state.urls import hide_passwords

__all__ = [
    "SCHEMES",
    "file_of",
    "is_beside_rows",
    "is_state_url",
    "open_store",
    "open_table",
    "read_start_state",
]


@dataclass(frozen=True)
class _Scheme:
    """One kind of place. ``module`` is imported when a location of it is met: a driver may be heavy, or an extra."""

    form: str
    module: str


_POSTGRESQL = _Scheme(
    "postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA",
    "singerkit_state.postgres.store",
)

SCHEMES: Mapping[str, _Scheme] = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "duckdb": _Scheme("duckdb:///PATH?pipeline=NAME&schema=SCHEMA", "singerkit_state.store_duckdb"),
    "file": _Scheme("file:///PATH", "singerkit_state.store_files"),
}

_LIKE_A_URL = re.compile(
    rf"""\s*(?:
        [a-z][a-z0-9+.-]+:/             # any scheme; one letter is a drive of Windows
        | [{{"]                           # the text of a config or a state in the place of its path
        | [a-z]+:[a-z]\w*:/              # `jdbc:postgresql://host`
        | (?:{"|".join(SCHEMES)})\w*\s*(?::|//)         # `postgresql//host`, `postgres:host`
        | (?:host|hostaddr|port|dbname|user|password|service)\s*=   # libpq's other form
        | .*[?&]pipeline=
        | [^/]*//[^/]*@ | [^/]*:[^/]*@  # user, password and host
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_AT_FIRST = re.compile(r"\s*(?:jdbc:)?([a-z]+)", re.IGNORECASE)


def is_state_url(location: str) -> bool:
    """Tell a state URL from the path of a state file."""
    name, slashes, _ = location.partition("://")
    return bool(slashes) and name in SCHEMES


def open_store(location: str) -> Store:
    """Return the place that ``location`` names; nothing is opened yet.

    Raises:
        ConfigurationError: the URL is wrong, or names no pipeline; the folder holds no manifest; what is no URL was meant
            as one.
    """
    store: Store = _module(location).store_of(location)
    return store


def open_table(location: str) -> StateTable | None:
    """Return the place of many pipelines that ``location`` names; None where it is one of a single pipeline.

    Raises:
        ConfigurationError: as `open_store`.
    """
    table: StateTable | None = _module(location).table_of(location)
    return table


def read_start_state(location: str, pipeline: str | None = None) -> dict[str, Any] | None:
    """Return the STATE value to start from; None when there is none yet, which is a first run.

    ``pipeline`` is the pipeline of this run when known.

    Raises:
        ConfigurationError: the file is empty, torn or of another pipeline, or its folder is missing; the URL is wrong.
        NotAuthorisedError: the database refuses user, password or the right to read.
        RetryableError: the database cannot be reached.
    """
    return open_store(location).read(pipeline)


def is_beside_rows(location: str) -> bool:
    """Tell whether ``location`` names a state that a target keeps with its rows, not a file that it writes besides."""
    return not open_store(location).is_file


def file_of(location: str) -> str:
    """Return the path of the state file that ``location`` names, as ``--state-file`` of a target needs one.

    Raises:
        ConfigurationError: it is the URL of another kind of place, or was meant as a URL.
    """
    if not is_state_url(location):
        _check_is_path(location)
        return location
    if location.startswith("file:"):
        return str(store_files.path_of(location))
    raise ConfigurationError(
        "`--state-file` takes the path of a file, and was given a URL; nothing was read: leave it out, a target that "
        "keeps its state in a database needs no file."
    )


def _module(location: str) -> Any:
    if is_state_url(location):
        return importlib.import_module(SCHEMES[location.partition("://")[0]].module)
    _check_is_path(location)
    return store_files


def _check_is_path(location: str) -> None:
    """See that what is no state URL was not meant as one: a mistyped URL would be the path of a first run.

    Raises:
        ConfigurationError: it looks like a URL, and there is no such file; the sentence shows no part of it. Or it is
            empty, as a variable of the shell that is not set.
    """
    if not location.strip():
        raise ConfigurationError(
            "The location of the state is empty; nothing was read or written: give the path of a file, or a state URL."
        )
    if _LIKE_A_URL.match(location) and not os.path.exists(location):
        hide_passwords(location)
        raise ConfigurationError(
            "The location of the state looks like a URL and is none, and there is no file of that name; nothing was read "
            f"or written: give the path of a file, or {_nearest_form(location)}."
        )


def _nearest_form(location: str) -> str:
    """What the location may have been meant as; all that there is, where its first word is like no scheme."""
    word = _AT_FIRST.match(location)
    near = difflib.get_close_matches(word[1].lower(), SCHEMES, 1, 0.7) if word else []
    forms = [SCHEMES[name].form for name in near] or dict.fromkeys(one.form for one in SCHEMES.values())
    return ", or ".join(forms)
