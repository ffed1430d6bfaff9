"""`singerkit-state`: look at the state of a pipeline, change it, and go back."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from singerkit_shell.arguments import Commands
from singerkit_shell.configfile import read_bytes, reason_of
from singerkit_shell.errors import CannotWriteError, ConfigurationError, UsageError
from singerkit_shell.exits import run_commands
from singerkit_shell.secrets import redactor
from singerkit_state import report
from singerkit_state.ahead import ahead_of_now
from singerkit_state.diff import compare, reads_again
from singerkit_state.edit import given_part, given_value, part_of, replaced, with_stream, without_streams
from singerkit_state.history import Entry
from singerkit_state.location import open_store, open_table
from singerkit_state.shards import MOST
from singerkit_state.statefile import LONGEST, state_object
from singerkit_state.store import Change, Edit, Holder, Snapshot, Store
from singerkit_state.urls import hide_passwords
from singerkit_state.value import encode

__all__ = ["command", "main"]

NAME = "singerkit-state"

_FILE_NOTE = (
    "A target that keeps the state itself (target-postgres, target-jsonl) has the last word: if it has never had this "
    "state, the next run is refused (69) and names the commands that decide. There, change the state in the target."
)
_ROWS_NOTE = (
    "Rows that are loaded stay. What the next run reads again is updated by key; it comes twice in streams without one, and "
    "where rows are only appended (target-jsonl, `load_method: append-only`)."
)
_FILES_NOTE = (
    "Rows that are loaded stay, and rows are only appended to files: what the next run reads again is there twice, with a key "
    "too, unless you move the files of those streams away before it."
)

_GONE_NOTE = (
    "A run with this file as `--state` and as `--state-file` starts over. Without `--state-file`, a target that keeps the "
    "state itself refuses it (69): there, use its `--start-over`."
)
_RESET_NOTE = "A tap that starts from a state file: reset it too, or its next run ends with 69 and brings the file up to date."
_START_NOTE = (
    "A tap that starts from a state file: bring the file up to date with the target's `--last-state --state-file FILE "
    "--pipeline {}`, or its next run ends with 69 and does so, unless the tap refuses what the file holds (78)."
)

_location = click.argument("location")
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(None, "--version", package_name="singerkit", message="singerkit-state %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
def command() -> None:
    """Look at the state of a pipeline, change it, and go back.

    LOCATION is a state file, the folder of target-jsonl (or the manifest in it), or a state URL, which names the row
    that target-postgres or target-duckdb keeps, or a file:

    \b
        postgresql://user:password@host:port/database?pipeline=NAME&schema=SCHEMA
        duckdb:///PATH?pipeline=NAME&schema=SCHEMA
        file:///PATH

    Every change keeps the former value: see `history`. Exit codes: 0 done, 1 `diff` found differences, 64 usage,
    69 the database is away, 74 cannot write, 75 a run is at work, 77 not authorised, 78 not a state.
    """


@command.command(short_help="How far a pipeline is, and who is at work.")
@_location
@_as_json
def show(location: str, as_json: bool) -> None:
    """Show how far a pipeline is, and who is at work.

    A state URL without a pipeline shows all pipelines of the table.
    """
    table = open_table(location)
    if table is not None:
        found = table.snapshots()
        shown = {"pipelines": [report.show_json(one) for one in found]}
        _print(encode(shown) if as_json else report.table_text(found))
        if not found:
            raise ConfigurationError(f"There is no state in {table.where}; check the URL.")
        return
    one = open_store(location).snapshot()
    _print(encode(report.show_json(one)) if as_json else report.show_text(one))
    _see_that_it_is_there(one)


@command.command(short_help="Print the STATE value, or the part of a stream.")
@_location
@click.argument("stream", required=False)
def get(location: str, stream: str | None) -> None:
    """Print the STATE value, or the part of one STREAM, as one line of JSON.

    What is printed can be given to `set`, and to `--state` of a tap in a file.
    """
    found = open_store(location).snapshot()
    value = found.value
    if value is None:
        raise _no_state(found)
    _print(encode(value if stream is None else part_of(value, stream)))


@command.command("set", short_help="Replace the state, or the part of a stream.")
@_location
@click.argument("value", required=False, metavar="VALUE|-|@FILE")
@click.option("--stream", help="Replace the part of this stream only (what stands under `bookmarks`).")
@click.option(
    "--from-history", "number", type=int, metavar="N", help="Take entry N of the history as the value."
)
@click.option("--adopt", is_flag=True, help="Take over the value of another pipeline.")
@click.option("--new", "is_new", is_flag=True, help="With --stream: the state does not have it yet.")
@_as_json
def set_(
    location: str,
    value: str | None,
    stream: str | None,
    number: int | None,
    adopt: bool,
    is_new: bool,
    as_json: bool,
) -> None:
    """Set the state: a JSON object as it is, `-` to read it from stdin, `@FILE` to read it from a file.

    A run that is at work on a database cannot undo it: its next commit is refused (it ends with 76), and what it has
    not committed is rolled back. While a run works with a file, the file cannot be changed (75).
    """
    store = open_store(location)
    if (value is None) == (number is None):
        raise UsageError("Expected either a value or `--from-history N`; see `singerkit-state set --help`.")
    if number is not None:
        if stream is not None:
            raise UsageError(
                "`--from-history` takes the whole value back, so it cannot be used with `--stream`."
            )
        _restore(store, number, as_json)
        return
    assert value is not None  # noqa: S101  one of the two is given
    text, source = _given(value)
    if stream is None:
        edit: Edit = replaced(given_value(text, source), store.pipeline, adopt=adopt)
    else:
        edit = with_stream(stream, given_part(text, source), is_new=is_new)
    _tell(store.change(edit, "set"), as_json)


@command.command(short_help="Forget the state, or some streams of it.")
@_location
@click.option(
    "--stream", "streams", multiple=True, help="Forget this stream only; may be given several times."
)
@_yes
@_as_json
def reset(location: str, streams: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Forget the state, or that of some streams: the next run reads them from the beginning.

    Rows that are loaded stay.
    """
    store = open_store(location)
    found = store.snapshot()
    _see_that_it_is_there(found)
    what = f"the streams {', '.join(f'`{name}`' for name in streams)}" if streams else "everything"
    if not _confirmed(f"Forget {what} in {_place(found)}?", yes):
        return
    edit: Edit = without_streams(streams) if streams else lambda _: None
    change = store.change(edit, "reset")
    notes = []
    if found.kind == "file" and change.after.text is None:
        notes.append(_GONE_NOTE)
    _tell(change, as_json, *notes)


@command.command(short_help="Former values, and the way back to them.")
@_location
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show the newest N entries only.")
@click.option("--restore", "number", type=int, metavar="N", help="Set the state to entry N.")
@_as_json
def history(location: str, limit: int | None, number: int | None, as_json: bool) -> None:
    """Show former values: when they were replaced or begun with, why and by whom. The newest 100 are kept."""
    store = open_store(location)
    if number is not None:
        _restore(store, number, as_json)
        return
    entries = list(store.entries())[:limit]
    if not entries:
        _see_that_it_is_there(store.snapshot())
    _print(encode({"entries": report.history_json(entries)}) if as_json else report.history_text(entries))


@command.command(short_help="Compare two states, or a state with a former value.")
@click.argument("a")
@click.argument("b", required=False)
@click.option(
    "--history", "number", type=int, metavar="N", help="Compare entry N of the history of A with A."
)
@_as_json
def diff(a: str, b: str | None, number: int | None, as_json: bool) -> int:
    """Show what differs from location A to location B, stream by stream; exit code 1 when something does.

    Without B: from the newest entry of the history of A, or the one that --history names, to A.
    """
    if b is not None and number is not None:
        raise UsageError("Expected a second location or `--history`, not both.")
    store = open_store(a)
    if b is not None:
        one, other = store.snapshot(), open_store(b).snapshot()
        _see_that_it_is_there(one)
        _see_that_it_is_there(other)
        found = compare(one.value, other.value)
    else:
        found = compare(_value_of(_entry(store, number)), store.snapshot().value)
    if as_json:
        _print(encode(report.diff_json(found)))
    elif found:
        _print(report.diff_text(found))
    return 1 if found else 0


@command.command(short_help="Free the lock of a run that is stuck or dead.")
@_location
@_yes
@_as_json
def unlock(location: str, yes: bool, as_json: bool) -> None:
    """Free the lock of a run that is stuck, or has died without a word.

    In a database the session that holds the lock is ended and its run fenced. The lock of a file is freed by the
    kernel when its process dies: remains are removed, and a living process is named and left alone (75).
    """

    def confirm(holder: Holder) -> bool:
        click.echo(redactor.mask(f"The lock is held by {holder}."), err=True)
        return _confirmed("End its session? What it has not committed is rolled back.", yes)

    ended = open_store(location).unlock(confirm)
    if as_json:
        _print(encode({"ended": None if ended is None else report.holder_json(ended)}))
    elif ended is None:
        click.echo("The lock is free." if _is_free(location) else "Nothing was changed.", err=True)
    else:
        click.echo(redactor.mask(f"Ended and fenced: {ended}. The lock is free."), err=True)


@command.command(short_help="Make the states of a pipeline those of n shards.")
@_location
@click.option(
    "--into",
    type=click.IntRange(1, MOST),
    required=True,
    metavar="N",
    help="So many shards; 1: all rows in one run.",
)
@_yes
def divide(location: str, into: int, yes: bool) -> None:
    """Make the states of a pipeline, of all rows or of any number of shards, those of N shards.

    LOCATION is that of the pipeline: a state URL with its name, or its state file, beside which those of shards are. All of them have to be complete.
    """
    from singerkit_state.dividing import division_of

    division = division_of(location, into)
    for name in division.again:
        click.echo(
            f"Stream `{name}` is read from the beginning: not all shards have a bookmark of one order.",
            err=True,
        )
    of = len(division.former)
    if _confirmed(f"Divide the states of `{division.pipeline}` ({of}) into {into}?", yes):
        division.carry_out()
        click.echo(
            f"The states of `{division.pipeline}` are those of {into} shard{'' if into == 1 else 's'} now.",
            err=True,
        )


def _is_free(location: str) -> bool:
    return open_store(location).snapshot().holder is None


# what the commands share


def _place(found: Snapshot) -> str:
    return f"{found.where}, pipeline `{found.pipeline}`" if found.pipeline else found.where


def _see_that_it_is_there(found: Snapshot) -> None:
    """A misspelt name is no pipeline that has not run yet; a script must be able to tell."""
    if not found.is_there:
        raise _no_state(found)


def _no_state(found: Snapshot) -> ConfigurationError:
    others = f" (there are {', '.join(f'`{name}`' for name in found.others)})" if found.others else ""
    return ConfigurationError(
        f"There is no state yet in {_place(found)}; if a run has been, check the name{others}, else the next run is a "
        "first run."
    )


def _given(value: str) -> tuple[str, str]:
    """Return the text of a value, and what to call it in errors."""
    try:
        if value == "-":
            return _from_stdin().decode("utf-8-sig"), "value on stdin"
        if value == "@":
            raise UsageError("Expected the path of a file behind `@`, got nothing; nothing was changed.")
        if value.startswith("@"):
            return read_bytes(value[1:], LONGEST).decode("utf-8-sig"), f"file {value[1:]}"
    except UnicodeDecodeError:
        raise ConfigurationError("The value is not UTF-8 text; nothing was changed.") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The file {value[1:]} cannot be read ({reason_of(error)}); nothing was changed."
        ) from None
    return value, "value"


def _from_stdin() -> bytes:
    data = sys.stdin.buffer.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ConfigurationError(f"The value on stdin is larger than {LONGEST} bytes; nothing was changed.")
    return data


def _entry(store: Store, number: int | None) -> Entry:
    entries = store.entries()
    found = [entry for entry in entries if number in (None, entry.number)]
    if not found:
        which = "no entry yet" if number is None else f"no entry {number}"
        raise UsageError(f"The history has {which}; see `singerkit-state history`.")
    return found[0]


def _value_of(entry: Entry) -> dict[str, Any] | None:
    if entry.text is None:
        return None
    return state_object(entry.text, f"entry {entry.number} of the history", None, "take another entry")


def _restore(store: Store, number: int, as_json: bool) -> None:
    value = _value_of(_entry(store, number))
    text = None if value is None else encode(value)
    _tell(store.change(lambda _: text, "restore"), as_json)


def _tell(change: Change, as_json: bool, *notes: str) -> None:
    """Say what was changed: JSON on stdout, or text for people on stderr."""
    old, new = (_if_readable(found) for found in (change.before, change.after))
    difference = compare(old, new)
    if as_json:
        _print(encode(report.change_json(change, difference)))
        return
    if change.after.text is None or reads_again(difference):
        notes = (_FILES_NOTE if change.after.kind == "manifest" else _ROWS_NOTE, *notes)
    if change.after.kind == "file" and change.after.text is not None:
        notes = (*notes, _FILE_NOTE)
    elif change.after.kind != "file":
        name = shlex.quote(change.after.pipeline or "NAME")
        notes = (*notes, _RESET_NOTE if change.after.text is None else _START_NOTE.format(name))
    if ahead := ahead_of_now(new):
        notes = (*notes, ahead)
    click.echo(redactor.mask("\n".join([report.change_text(change, difference), *notes])), err=True)


def _if_readable(found: Snapshot) -> dict[str, Any] | None:
    with contextlib.suppress(ConfigurationError):
        return found.value
    return None


def _confirmed(question: str, yes: bool) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked here; give `--yes` to do it without asking. Nothing was changed."
        )
    if click.confirm(redactor.mask(question), err=True):
        return True
    click.echo("Nothing was changed.", err=True)
    return False


def _print(text: str) -> None:
    """Print to stdout now, so that a reader that has gone or a full disk ends with a sentence."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is written at exit
        if isinstance(error, BrokenPipeError):
            raise
        raise CannotWriteError(
            f"The answer cannot be printed ({error.strerror}); make room for it."
        ) from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the executable."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    for argument in given:  # whatever complains about it
        hide_passwords(argument)
    run_commands(command, NAME, given)


if __name__ == "__main__":
    main()
