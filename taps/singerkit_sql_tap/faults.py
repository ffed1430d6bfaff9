"""What goes wrong with any database, in sentences: ``where`` is what was asked, and while doing what."""

from __future__ import annotations

from pathlib import Path

from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, RetryableError

__all__ = [
    "SAFE",
    "could_not_read",
    "head_of_file",
    "locked",
    "may_not_open",
    "no_utf8",
    "refused",
    "took_too_long",
]

SAFE = "what was confirmed by the target is safe"


def locked(where: str, setting: str) -> RetryableError:
    """``setting``: how long it is waited for whoever has locked it."""
    return RetryableError(f"A writer keeps {where} locked; {SAFE}: run again later, or raise `{setting}`.")


def took_too_long(place: str, doing: str) -> RetryableError:
    """A query was ended by `query_timeout`."""
    return RetryableError(
        f"A query on {place} while {doing} took longer than `query_timeout`; {SAFE}: raise it, or select less."
    )


def no_utf8(where: str) -> BadDataError:
    """Text cannot be read, where no setting says what becomes of it."""
    return BadDataError(f"Some text of {where} is not UTF-8; {SAFE}: correct it at the source.")


def may_not_open(database: str, where: str, error: Exception) -> NotAuthorisedError:
    """The database refuses this user."""
    return NotAuthorisedError(f"{database} may not open {where} ({error}); {SAFE}.")


def could_not_read(database: str, where: str, error: Exception) -> RetryableError:
    """Another try may do."""
    return RetryableError(f"{database} could not read {where} ({error}); {SAFE}, run again later.")


def refused(database: str, where: str, error: Exception) -> BadDataError:
    """The query is wrong by now: a table was changed meanwhile."""
    return BadDataError(
        f"{database} refused a query on {where} ({error}); {SAFE}: if the table has been changed, make the catalog again "
        "with --discover and run again."
    )


def head_of_file(path: Path, size: int) -> bytes:
    """Return the first bytes of a database that is one file, which `path` of the config names.

    Raises:
        ConfigurationError: there is none.
        NotAuthorisedError, RetryableError: it cannot be read.
    """
    try:
        # Opening a pipe would wait for who writes to it.
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ConfigurationError(
                f"{path} is no file, but a pipe or a device; name a database file at `path`."
            )
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}, and none was made; correct `path`.") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{path} is a folder; name the database file in it at `path`.") from None
    except PermissionError:
        raise NotAuthorisedError(
            f"The file {path} may not be read by this user; give it the right to."
        ) from None
    except OSError as error:
        raise RetryableError(f"The file {path} cannot be read ({error.strerror}); run again later.") from None
