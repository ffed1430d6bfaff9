"""What an executable ends with, whatever happens: an exit code of DESIGN 7 and one sentence on stderr.

Apart from singer-sdk's command, since that takes half a second to import and not every executable needs it.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from singerkit_shell.errors import SingerkitError, Stopped
from singerkit_shell.secrets import redactor

__all__ = ["exit_code_of"]

_EX_USAGE, _EX_SOFTWARE, _EX_UNAVAILABLE, _EX_CONFIG = 64, 70, 69, 78


def exit_code_of(run: Callable[[], Any], name: str, debug: bool) -> int:
    """Run and turn whatever happens into an exit code, with its sentence on stderr."""
    try:
        result = run()
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        return _fail(name, f"{error.format_message()} Run `{name} --help` for the options.", _EX_USAGE, debug)
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
        print(redactor.mask(traceback.format_exc()), file=sys.stderr)
    one_line = " ".join(redactor.mask(sentence).split())
    print(f"CRITICAL {name}: {one_line}", file=sys.stderr)
    return code
