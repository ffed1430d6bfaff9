"""What an executable ends with, whatever happens: an exit code of DESIGN 7 and one sentence on stderr.

Apart from singer-sdk's command, since that takes half a second to import and not every executable needs it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import click

from singerkit_shell.encoding import speak_utf8
from singerkit_shell.errors import SingerkitError, Stopped
from singerkit_shell.imports import end_importing
from singerkit_shell.secrets import redactor

__all__ = ["exit_code_of", "run_commands"]

_LONGEST_SENTENCE = 4000  # characters
_EX_USAGE, _EX_SOFTWARE, _EX_UNAVAILABLE, _EX_CONFIG = 64, 70, 69, 78


def run_commands(command: click.Group, name: str, arguments: Sequence[str], given: Any = None) -> NoReturn:
    """Run one of the commands of an executable and exit: warnings go to stderr, and no secret; ``given`` is handed to the commands."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(redactor)
    sys.exit(
        exit_code_of(
            lambda: command.main(args=list(arguments), prog_name=name, standalone_mode=False, obj=given),
            name,
            "--debug" in arguments,
        )
    )


def exit_code_of(run: Callable[[], Any], name: str, debug: bool) -> int:
    """Run and turn whatever happens into an exit code, with its sentence on stderr."""
    speak_utf8()
    try:
        end_importing()
        result = run()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else name
        return _fail(
            name, f"{error.format_message()} Run `{command} --help` for the options.", _EX_USAGE, debug
        )
    except click.ClickException as error:
        return _fail(name, error.format_message(), _EX_CONFIG, debug)
    except click.Abort:
        return _fail(name, "Stopped by SIGINT.", 128 + signal.SIGINT, debug)
    except Stopped as error:
        return _fail(name, str(error), error.exit_code, debug)
    except SingerkitError as error:
        return _fail(name, str(error), error.exit_code, debug, is_our_fault=error.exit_code == _EX_SOFTWARE)
    except BrokenPipeError:
        return _fail(
            name, "The reader of our output has gone; run again to continue.", _EX_UNAVAILABLE, debug
        )
    except KeyboardInterrupt:
        return _fail(name, "Stopped by SIGINT.", 128 + signal.SIGINT, debug)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0 if error.code is None else _EX_SOFTWARE
    except Exception as error:
        sentence = (
            f"A fault of {name} itself ({type(error).__name__}): {error}. What was committed is safe; "
            "please report the lines above."
        )
        return _fail(name, sentence, _EX_SOFTWARE, debug, is_our_fault=True)
    return result if isinstance(result, int) and not isinstance(result, bool) else 0


def _fail(name: str, sentence: str, code: int, debug: bool, *, is_our_fault: bool = False) -> int:
    if debug or is_our_fault:
        _say(redactor.mask(traceback.format_exc()))
    _say(f"CRITICAL {name}: {_on_one_line(redactor.mask(sentence))}")
    return code


def _on_one_line(sentence: str) -> str:
    # What others sent may stand in it: control characters would write to the terminal.
    words = "".join(char if char.isprintable() else " " for char in sentence).split()
    line = " ".join(words)
    return line if len(line) <= _LONGEST_SENTENCE else f"{line[: _LONGEST_SENTENCE - 3]}..."


def _say(text: str) -> None:
    """Print to stderr, if there is one: ``print(file=None)`` would print to stdout, which is the wire."""
    if sys.stderr is not None:
        with contextlib.suppress(
            OSError, ValueError
        ):  # closed, or nobody reads it: the exit code still tells
            print(text, file=sys.stderr, flush=True)
