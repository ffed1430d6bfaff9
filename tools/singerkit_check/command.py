"""The command line of `singerkit-check`."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from singerkit_check.checker import MAX_LINE_BYTES, Checker
from singerkit_check.findings import Finding, Findings
from singerkit_check.pipe import pump
from singerkit_check.quality import Quality, read_rules
from singerkit_check.report import Outcome, Writer
from singerkit_check.rules import RULES
from singerkit_shell.arguments import Command
from singerkit_shell.configfile import is_same_file, read_json_object
from singerkit_shell.errors import BadDataError, CannotWriteError, ConfigurationError, UsageError
from singerkit_shell.exits import exit_code_of
from singerkit_shell.memory import calm_collector

__all__ = ["main"]

NAME = "singerkit-check"

_EPILOG = """\b
Exit codes: 0 no required rule is broken, 65 one is, 64 usage, 74 cannot
write, 78 config, 130 stopped by SIGINT.

\b
tap-x --config x.json | singerkit-check | target-y --config y.json
singerkit-check --strict orders.singer
singerkit-check --tap "tap-x --config x.json"
singerkit-check --target "target-y --config y.json" \\
    --read-rows "cat out/{stream}.jsonl" --appends
"""


def main() -> NoReturn:
    """Run the command line and exit."""
    debug = "--debug" in sys.argv[1:]
    code = exit_code_of(lambda: cli.main(prog_name=NAME, standalone_mode=False), NAME, debug)
    sys.exit(code)


def _rule_ids(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> tuple[str, ...]:
    ids = tuple(name.upper() for name in given)
    if strange := [name for name in ids if name not in RULES]:
        raise click.BadParameter(f"there is no rule {strange[0]}; the rules are {', '.join(RULES)}.")
    return ids


@click.command(NAME, cls=Command, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--state", metavar="FILE", help="The STATE value that the run began with: makes ST07 exact.")
@click.option(
    "--rules",
    metavar="FILE",
    help="Hold records against the rules of quality in this file, too: `checks`, as the config of a target has them.",
)
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option("--waive", metavar="RULE", multiple=True, callback=_rule_ids, help="Do not count this rule.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Tell so many findings of one kind in one stream, count the rest; 0 tells all.",
)
@click.option("--json", "as_json", is_flag=True, help="Write findings and summary as JSON, an object a line.")
@click.option("--report", metavar="FILE", help="Write the JSON to this file; stderr keeps the text.")
@click.option(
    "--pass-through/--no-pass-through",
    "passes",
    default=None,
    help="Write the stream to stdout. Default: when it comes from a pipe and stdout is no terminal.",
)
@click.option(
    "--max-line-bytes",
    type=click.IntRange(min=1),
    default=MAX_LINE_BYTES,
    show_default=True,
    help="Longer lines are passed on and not checked, which is an error.",
)
@click.option("--tap", "taps", metavar="COMMAND", multiple=True, help="Test this tap, with its --config.")
@click.option(
    "--target", "targets", metavar="COMMAND", multiple=True, help="Test this target, with its --config."
)
@click.option("--read-rows", metavar="COMMAND", help="Prints the rows of {stream} as JSON lines.")
@click.option("--appends", is_flag=True, help="The target keeps every version of a key, the last one last.")
@click.option("--driver", metavar="FILE:CLASS", help="A driver for the executable: less is waived.")
@click.option("--rule", metavar="RULE", multiple=True, callback=_rule_ids, help="Test only this rule.")
@click.option("--details", is_flag=True, help="Show pytest's own report of each failure.")
@click.option("--debug", is_flag=True, expose_value=False, help="Print a traceback with every error.")
@click.version_option(version("singerkit"), prog_name=NAME)
def cli(**given: Any) -> int:
    """Check a Singer stream, a tap or a target against the rules of Singer.

    Without --tap or --target the stream in FILE, or on stdin, is checked: a line on stderr for each finding, a
    summary at the end. A stream from a pipe passes through to stdout unchanged and without delay.

    With --tap or --target the executable is run against the black-box suite, which prints a table of the rules. It
    needs pytest: pip install 'singerkit[check]'.
    """
    if given["taps"] or given["targets"]:
        if given["rules"]:
            raise UsageError("--rules is for a stream; leave it out beside --tap and --target.")
        return _run_suite(given)
    for name in ("read_rows", "appends", "driver", "rule", "details"):
        if given[name]:
            raise UsageError(f"--{name.replace('_', '-')} needs --tap or --target beside it.")
    return _check_stream(given)


# A stream


def _check_stream(given: dict[str, Any]) -> int:
    path = given["file"]
    start = _read_state(given["state"])
    rules = None if given["rules"] is None else read_rules(given["rules"])
    is_piped = path is None or path == "-"
    if is_piped and sys.stdin.isatty():
        raise UsageError(
            "Expected a stream on stdin or a file, got neither: tap-x | singerkit-check, or name a FILE."
        )
    passes = given["passes"] if given["passes"] is not None else is_piped and not sys.stdout.isatty()
    calm_collector()
    with _opened(path) as source, _writers(given, source) as writers, _patience(passes) as interrupted:
        if passes and _is_file(source, sys.stdout.fileno()):
            raise UsageError(
                "The stream would be written into the file that it is read from; nothing was written."
            )
        findings = Findings(
            lambda finding: _tell(writers, finding), limit=given["limit"], waived=given["waive"]
        )
        quality = (
            None if rules is None else Quality(rules, lambda finding: _tell(writers, finding), given["limit"])
        )
        checker = Checker(findings, max_line_bytes=given["max_line_bytes"], quality=quality)
        if given["state"] is not None:
            checker.begins_at(start)
        began = time.monotonic()
        is_whole = pump(source, sys.stdout.fileno() if passes else None, checker.feed)
        if is_whole:
            checker.end()
        outcome = Outcome(checker, findings, given["strict"], time.monotonic() - began, is_whole, passes)
        for writer in writers:
            writer.summary(outcome)
    if given["report"] is not None and (failure := writers[-1].failure) is not None:
        raise CannotWriteError(
            f"The report {given['report']} is not whole ({failure.strerror}); the stream was read to its end."
        )
    if quality is not None and quality.problem is not None:
        raise quality.problem
    return _verdict(outcome, given["as_json"], bool(interrupted))


def _tell(writers: Sequence[Writer], finding: Finding) -> None:
    for writer in writers:
        writer.finding(finding)


def _verdict(outcome: Outcome, as_json: bool, was_interrupted: bool) -> int:
    if was_interrupted:
        return 128 + signal.SIGINT
    if outcome.broken and as_json:
        return BadDataError.exit_code
    if outcome.broken:
        raise BadDataError(outcome.verdict)
    return 0


def _read_state(path: str | None) -> Any:
    """Return the state a run began with; a file that does not exist is a first run, as for taps."""
    return {} if path is None or not Path(path).exists() else read_json_object(path, "state")


@contextlib.contextmanager
def _writers(given: dict[str, Any], source: int) -> Iterator[list[Writer]]:
    """Give what findings and summary are written by: stderr, and the report if there is one."""
    on_stderr = Writer(sys.stderr, given["as_json"])
    if given["report"] is None:
        yield [on_stderr]
        return
    _see_that_it_is_no_input(given, source)
    try:
        report = Path(given["report"]).open("w", encoding="utf-8")  # noqa: SIM115  closed below, where its failure is no news
    except OSError as error:
        raise CannotWriteError(
            f"The report {given['report']} cannot be written ({error.strerror}); nothing was read."
        ) from None
    try:
        yield [on_stderr, Writer(report, is_json=True)]
    finally:
        with contextlib.suppress(OSError):  # told by its writer
            report.close()


def _see_that_it_is_no_input(given: dict[str, Any], source: int) -> None:
    """UsageError when the report is a file that is read: opening it would empty it."""
    report = given["report"]
    if _is_file(source, report):
        raise UsageError(
            f"The report {report} is the stream that is to be checked; nothing was written: name another file."
        )
    if given["state"] is not None and is_same_file(report, given["state"]):
        raise UsageError(
            f"The report {report} is the file that `--state` names; nothing was written: name another file."
        )


def _is_file(source: int, other: str | int) -> bool:
    """Tell whether a descriptor and another, or a path, are one regular file."""
    try:
        found = os.fstat(source)
        return stat.S_ISREG(found.st_mode) and os.path.samestat(found, os.stat(other))
    except OSError:
        return False


@contextlib.contextmanager
def _opened(path: str | None) -> Iterator[int]:
    """Give the descriptor to read from."""
    if path is None or path == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise ConfigurationError(f"The stream {path} cannot be read ({error.strerror}).") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _patience(passes: bool) -> Iterator[list[int]]:
    """Between a tap and a target, let the first SIGINT be theirs.

    A terminal sends it to all three: the tap may still write a last STATE, and ends the stream. Gives the list that
    holds the signal when it has come; a second one stops us too.
    """
    received: list[int] = []
    if not passes:
        yield received
        return

    def on_signal(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, before)


# An executable


def _run_suite(given: dict[str, Any]) -> int:
    if given["file"] is not None:
        raise UsageError(
            "Expected either a stream or executables to test, got both a FILE and --tap or --target."
        )
    try:
        import pytest  # noqa: F401  asked for here, so that a missing extra is one sentence
    except ImportError:
        raise ConfigurationError(
            "The black-box suite needs pytest, which is not installed: pip install 'singerkit[check]'."
        ) from None
    from singerkit_check.suite.run import run_commands

    return run_commands(
        given["taps"],
        given["targets"],
        read_rows=given["read_rows"],
        appends=given["appends"],
        driver=given["driver"],
        rules=given["rule"],
        details=given["details"],
    )
