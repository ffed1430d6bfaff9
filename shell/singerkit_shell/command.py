"""The command line of every executable: singer-sdk's options, our exit codes and one-sentence errors."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

import click
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.plugin_base import SingerCommand, _ConfigInput

from singerkit_shell.arguments import see_none_empty
from singerkit_shell.configfile import read_config
from singerkit_shell.errors import CannotWriteError, ConfigurationError, UsageError
from singerkit_shell.exits import exit_code_of
from singerkit_shell.secrets import redactor
from singerkit_shell.trials import CHECK_CONFIG, CHECK_CONFIGS, try_each
from singerkit_shell.validate import CONFIG_PATHS
from singerkit_shell.words import ended

__all__ = ["ShellCommand", "adopt", "config_callback", "merged_config", "start"]


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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        see_none_empty(self, ctx, args)
        # Each of the two runs and exits as soon as it is seen, so that whichever is first would silence the other.
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        is_test = given.get("test") not in (None, "disabled")
        if given.get("discover") and is_test:
            raise UsageError(
                "Expected either --discover or --test, got both; nothing was read. Run one after the other."
            )
        if given.get("check_config") and (given.get("discover") or is_test):
            raise UsageError(
                "`--check-config` reads nothing, and goes with neither --discover nor --test; nothing was read."
            )
        if given.get("discover") or is_test:
            self._warn_of_idle(given, "--test" if is_test else "--discover")
        return super().parse_args(ctx, args)

    def _warn_of_idle(self, given: Mapping[str, Any], beside: str) -> None:
        """Say which options count for nothing beside one that runs by itself."""
        idle = [f"--{name}" for name in ("catalog", "state", "shard") if given.get(name) is not None]
        if idle:
            self.logger.warning(
                "%s %s no effect beside %s, which goes by the config.",
                " and ".join(idle),
                "has" if len(idle) == 1 else "have",
                beside,
            )

    def invoke(self, ctx: click.Context) -> Any:
        # Not SingerCommand.invoke: it answers a wrong config with exit code 1.
        return click.Command.invoke(self, ctx)

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        kwargs["standalone_mode"] = False
        _mask_all_logs()
        self.logger.addFilter(_is_news)
        if sys.stderr.isatty():
            _leave_metrics_out()
        _leave(exit_code_of(lambda: self._run(*args, **kwargs), self.name or "singerkit", _debug()))

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return click.Command.main(self, *args, **kwargs)
        except ConfigValidationError as error:
            sentences = "; ".join(error.errors) or str(error)
            raise ConfigurationError(ended(f"The config is not valid: {sentences}")) from error


def _debug() -> bool:
    return "--debug" in sys.argv[1:]


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
        if sys.stdout is not None:  # whoever started us may have closed it
            sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  the process ends with it
    sys.exit(code)


def start(plugin: Any) -> NoReturn:
    """Run the command line of a plugin class and exit: what a console script does.

    singer-sdk reads the level of the log before anything of ours runs, and trips over one that it does not know.
    """
    name: str = plugin.name
    variable = name.upper().replace("-", "_") + "_LOGLEVEL"

    is_deaf = sys.stdout is None
    _open_standard_streams()

    def run() -> None:
        if is_deaf:
            raise CannotWriteError("There is no stdout to write to; nothing was read, run again with one.")
        level = os.environ.get(variable, "")
        if level and level.upper() not in logging.getLevelNamesMapping():
            raise ConfigurationError(
                f"Expected a level like INFO in the environment variable {variable}, got something else."
            )
        plugin.cli()

    def main() -> NoReturn:
        sys.exit(exit_code_of(run, name, _debug()))

    if CHECK_CONFIGS in sys.argv[1:]:
        for answer in try_each(sys.stdin, main):
            print(answer, flush=True)
        sys.exit(0)
    main()


def _open_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed: the next file or connection would take its number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number is given out, so this one takes the place, unless something else has.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  for the process's life


def adopt(command: click.Command, name: str, logger: logging.Logger) -> ShellCommand:
    """Turn singer-sdk's command into ours: the same options plus ``-c`` and ``--debug``."""
    for param in command.params:
        if param.name == "config":
            param.opts = ["-c", "--config"]
            param.callback = config_callback  # type: ignore[assignment]
    command.params.append(
        click.Option(
            [CHECK_CONFIG],
            is_flag=True,
            help="See whether a run would take the config, and end: nothing is read, opened or asked.",
        )
    )
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
