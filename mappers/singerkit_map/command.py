"""`singerkit-map`: singer-sdk's `InlineMapper` outside, the block path inside."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import IO, Any, ClassVar, NoReturn

import click
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper_base import InlineMapper

from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.pipe import LetterFile, Pipe
from singerkit_map.reading import map_problems, read_map
from singerkit_map.settings import CONFIG_SCHEMA
from singerkit_shell.command import adopt, start
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.memory import calm_collector
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import (
    check_no_input,
    config_place,
    config_problems,
    environment_config,
    warn_of_unread_environment,
)
from singerkit_shell.words import counted, ended
from singerkit_wire.output import Output, reader_watched

__all__ = ["SingerkitMap", "main"]


class SingerkitMap(InlineMapper):
    """Named operations on the records between a tap and a target."""

    name = "singerkit-map"
    package_name = "singerkit"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    capabilities: ClassVar[Any] = [PluginCapabilities.ABOUT, PluginCapabilities.STRUCTURED_LOGGING]

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """singer-sdk's `stream_maps` and `flattening` are no settings here."""

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        redactor.add_from_config(self._config)
        problems = config_problems(self._config, self.config_jsonschema)
        problems = problems or map_problems(self._config, "") or self._further_problems()
        if problems and raise_errors:
            raise ConfigurationError(
                ended(f"The config{config_place()} is not valid: {'; '.join(problems)}")
                + " Nothing was read."
            )
        return problems

    def _further_problems(self) -> list[str]:
        sets_aside = self.config["on_error"] == "quarantine"
        if sets_aside and "dead_letters" not in self.config:
            return ["`on_error: quarantine` needs a file for what is set aside, which `dead_letters` names"]
        if not sets_aside and "dead_letters" in self.config:
            return ["`dead_letters` has no effect without `on_error: quarantine`"]
        return []

    def _setup_signal_handlers(self) -> None:
        stop_flag.install()

    def pass_on(self, source: IO[Any], state: str | None = None) -> None:
        """Read messages from ``source`` and write what becomes of them to stdout; ``state``: where the state is that the tap continues from.

        Raises:
            BadDataError: the input is malformed, or a record bad; all that stands before was written.
            ConfigurationError: an operation is wrong, or cannot be done to a stream.
            Stopped: a signal came; what was written ends with a whole message.
            ReaderGone, CannotWriteError: stdout cannot be written.
        """
        calm_collector()
        stop_flag.install()
        mapper = Mapper(read_map(self.config, ""), self.logger, IN_PIPE)
        if state is not None:
            _check_state(mapper, state)
        letters = self._letter_file()
        output = Output()
        pipe = Pipe(mapper, output, letters, stop_flag, self.config["max_line_bytes"])
        try:
            with reader_watched(), output:
                pipe.run(source)
            for sentence in mapper.unmet():
                self.logger.warning("%s", sentence)
        finally:
            set_aside = [] if letters is None else letters.told()
            for sentence in [*mapper.nulls(), *set_aside]:
                self.logger.warning("%s", sentence)
            for sentence in _summary(pipe):
                self.logger.info("%s", sentence)
            if letters is not None:
                letters.close()

    def _letter_file(self) -> LetterFile | None:
        path = self.config.get("dead_letters")
        if path is None:
            return None
        check_no_input(path, "dead_letters")
        return LetterFile(path, self.config["quarantine_limit"])

    def map_schema_message(self, message_dict: dict[str, Any]) -> Iterable[Any]:
        """The block path maps whole blocks."""
        raise NotImplementedError  # pragma: no cover

    map_record_message = map_state_message = map_activate_version_message = map_schema_message

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        file_input: str | None = None,
        state: str | None = None,
        check_config: bool = False,
    ) -> None:
        """Run the mapper on the command line."""
        if about:
            cls.print_about(output_format=about_format)
            return
        given = {} if config is None else config.config
        if config is not None and config.parse_env:
            given = given | environment_config(cls.config_jsonschema, cls._env_var_prefix)
        else:
            warn_of_unread_environment(given, cls.config_jsonschema, cls._env_var_prefix)
        mapper = cls(config=given)
        if check_config:
            read_map(mapper.config, "")
            mapper.logger.info("The config%s is one that a run takes.", config_place())
            return
        if file_input is None:
            mapper.pass_on(sys.stdin.buffer, state)
            return
        with _opened(file_input) as source:
            mapper.pass_on(source, state)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.help = (cls.__doc__ or "").strip().partition("\n")[0]
        command.params = [param for param in command.params if param.name != "file_input"]
        command.params.append(
            click.Option(
                ["--input", "file_input"],
                metavar="PATH",
                help="Read messages from this file in the place of stdin.",
            )
        )
        command.params.append(
            click.Option(
                ["-s", "--state"],
                metavar="PLACE",
                help="Where the state is that the tap continues from, as the tap is told: whether its rows went through this map is looked up there.",
            )
        )
        return adopt(command, cls.name, logging.getLogger(cls.name))


def _opened(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise ConfigurationError(f"The input {path} cannot be read ({error.strerror}).") from None


def _check_state(mapper: Mapper, location: str) -> None:
    # Imported here: a place may need a driver.
    from singerkit_state.location import read_start_state

    check_no_input(location, "--state")
    mapper.check_state(read_start_state(location))


def _summary(pipe: Pipe) -> list[str]:
    return [
        f"Stream `{stream}`: {counted(came, 'record')} came, {went:,} went on."
        for stream, (came, went) in pipe.records.items()
    ]


def main() -> NoReturn:
    """Run singerkit-map: a command, where it is the first argument, else the mapper, as Singer has it."""
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        # Imported here: a run does not need it.
        from singerkit_map import commands

        if sys.argv[1] in commands.COMMANDS:
            commands.main(sys.argv[1:])
    start(SingerkitMap)
