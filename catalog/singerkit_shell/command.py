"""The command line of every executable: singer-sdk's options, our exit codes and one-sentence errors."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand, _ConfigInput

from singerkit_shell.configfile import read_config
from singerkit_shell.errors import SingerkitError, Stopped
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import CONFIG_PATHS

__all__ = ["ShellCommand", "adopt", "config_callback", "merged_config"]

_EX_USAGE, _EX_DATA, _EX_SOFTWARE, _EX_UNAVAILABLE, _EX_CONFIG = 64, 65, 70, 69, 78


def merged_config(*paths: str) -> _ConfigInput:
    """Merge config files left to right; the word ``ENV`` stands for the environment (singer-sdk's rule)."""
    merged: dict[str, Any] = {}
    parse_env = False
    for path in paths:
        if path == "ENV":
            parse_env = True
        else:
            merged |= read_config(path)
    redactor.add_from_config(merged)
    return _ConfigInput(config=merged, parse_env=parse_env)


def config_callback(ctx: click.Context, _param: click.Option, value: tuple[str, ...]) -> _ConfigInput:
    """Click callback of ``--config``; the paths are remembered for messages (`validate.config_place`)."""
    ctx.meta[CONFIG_PATHS] = [path for path in value if path != "ENV"]
    return merged_config(*value)


class ShellCommand(SingerCommand):
    """singer-sdk's command: the last line on stderr is one sentence, the exit code is of DESIGN 7."""

    def invoke(self, ctx: click.Context) -> Any:
        # Not SingerCommand.invoke: it answers a wrong config with exit code 1.
        return click.Command.invoke(self, ctx)

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        _mask_all_logs()
        self.logger.addFilter(_is_news)
        if sys.stderr.isatty():
            _leave_metrics_out()
        code = exit_code_of(
            lambda: click.Command.main(self, *args, **kwargs), self.name or "singerkit", _debug()
        )
        _leave(code)


def _debug() -> bool:
    return "--debug" in sys.argv[1:]


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
    except ConfigValidationError as error:
        sentences = "; ".join(error.errors) or str(error)
        return _fail(name, f"The config is not valid: {sentences}.", _EX_CONFIG, debug)
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


def _mask_all_logs() -> None:
    for handler in logging.getLogger().handlers:
        if redactor not in handler.filters:
            handler.addFilter(redactor)


def _leave_metrics_out() -> None:
    """Metrics are for machines: on a terminal the progress lines say the same to people."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not str(record.msg).startswith("METRIC"))


def _is_news(record: logging.LogRecord) -> bool:
    """singer-sdk tells at each start whether it looks at the environment; nobody asked."""
    return "parse of env var" not in str(record.msg) and "Parsing env var" not in str(record.msg)


def _leave(code: int) -> NoReturn:
    """Exit without a second complaint when stdout is gone: the sentence about it has been printed."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  the process ends with it
    sys.exit(code)


def adopt(command: click.Command, name: str, logger: logging.Logger) -> ShellCommand:
    """Turn singer-sdk's command into ours: the same options plus ``-c`` and ``--debug``."""
    for param in command.params:
        if param.name == "config":
            param.opts = ["-c", "--config"]
            param.callback = config_callback  # type: ignore[assignment]
    command.params.append(
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, help="Print a traceback with every error."
        )
    )
    return ShellCommand(
        name=name,
        callback=command.callback,
        params=command.params,
        help=command.help,
        context_settings=command.context_settings,
        logger=logger,
    )
