"""The executable `tap-files`: what lies in folders."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from singerkit_catalog.schema import properties_of
from singerkit_catalog.selection import may_be_selected
from singerkit_shell.command import ShellCommand
from singerkit_shell.errors import SingerkitError
from singerkit_shell.validate import config_problems
from singerkit_state.delivery import Delivery
from singerkit_state.readas import schema_of
from singerkit_tap.shell import SingerkitTap
from singerkit_tap.starts import former_read
from singerkit_tap.stream import BlockStream
from tap_files.config import CONFIG_SCHEMA, config_conflicts, streams_of
from tap_files.filecolumns import FILE_COLUMNS
from tap_files.inorder import InOrder
from tap_files.packed.archives import Archives
from tap_files.packed.placing import unpacking
from tap_files.places.addresses import Address, opened_place
from tap_files.places.contract import Place
from tap_files.promises import delivery_of, kinds_of_delivery
from tap_files.ready import Readiness
from tap_files.samples import learn_columns
from tap_files.settings.stream import StreamSettings
from tap_files.streams import FileStream
from tap_files.typing.columns import Columns

__all__ = ["TapFiles", "main"]


class TapFiles(SingerkitTap):
    """Reads the files of its config."""

    name = "tap-files"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    first_config = '{"streams": [{"name": "orders", "path": "in/orders/*.csv"}]}'

    def config_sentences(self, config: Mapping[str, Any]) -> Sequence[str]:
        """Return what a JSON Schema cannot say about the config."""
        return config_conflicts(config)

    @classmethod
    def get_singer_command(cls) -> ShellCommand:
        command = super().get_singer_command()
        command.epilog = (
            "tap-files preview PATH: what is in files, and a config for them; see it with --help."
        )
        return command

    @classmethod
    def deliveries(cls, config: Mapping[str, Any]) -> list[Delivery]:
        """Return what is promised about each stream of a config; without streams, about kinds of streams."""
        if not config.get("streams") or config_problems(dict(config), cls.config_jsonschema):
            return kinds_of_delivery()
        if config_conflicts(config):
            return kinds_of_delivery()
        return [delivery_of(stream) for stream in streams_of(config)]

    @cached_property
    def _places(self) -> dict[str, Place]:
        return {}

    def _place(self, address: Address) -> Place:
        """Return the place of an address: one for all streams that are read there."""
        if address.root not in self._places:
            self._places[address.root] = opened_place(address, self.config.get("storage", {}))
        return self._places[address.root]

    def _unpacking(self, settings: StreamSettings) -> Place:
        """Return the place of a stream, whose packed files are given unpacked, and archives as their members."""
        place, members = unpacking(settings, self._place(settings.address))
        self._archives.append(members)
        return place

    @cached_property
    def _archives(self) -> list[Archives]:
        return []

    def discover_streams(self) -> Sequence[BlockStream]:
        """Return the streams; files are looked into for columns that neither config, catalog nor state names."""
        streams = [self._stream(settings) for settings in streams_of(self.config)]
        return [one for stream in streams for one in (stream, stream.bad_rows) if one is not None]

    def _stream(self, settings: StreamSettings) -> FileStream:
        place = self._unpacking(settings)
        former = former_read(self.start_state, settings.name)
        entry = self.input_entries.get(settings.name, {})
        found = properties_of(entry.get("schema") or {})
        for name, kind in former.ever_sent.items():
            found.setdefault(name, schema_of(kind))
        known = {name: prop for name, prop in found.items() if name not in FILE_COLUMNS}
        columns = Columns(settings.name, settings.schema, known, settings.own_columns)
        listed, unreadable = None, None
        is_left_out = self._is_left_out(settings.name)
        if not (known or is_left_out):
            try:
                listed = InOrder(Readiness(settings, place).files(settings.pattern.files(place)))
                learn_columns(columns, settings, place, listed)
            except SingerkitError as error:
                unreadable = error
        columns.learn(dict.fromkeys(settings.pattern.partitions))
        is_empty = listed is not None and not listed
        if is_left_out or unreadable is not None or is_empty:  # nobody knows yet what they hold
            columns.learn({name: None for name in settings.primary_keys if name not in FILE_COLUMNS})
        stream = FileStream(self, settings, place, columns, listed)
        stream.unreadable = unreadable
        return stream

    def _is_left_out(self, stream: str) -> bool:
        """Tell whether this run does not read a stream, so that nothing is asked about its files; --discover shows all."""
        if self.input_entries:
            return stream not in self.input_entries
        rules = self.config.get("select", ())
        names_fields = any("." in rule for rule in rules)
        return bool(rules) and not (self._shows_all or names_fields or may_be_selected(rules, stream))

    _shows_all = False

    def run_discovery(self) -> str:
        """Print the catalog, with the columns of all streams."""
        self._shows_all = True
        return super().run_discovery()

    def sync(self) -> None:
        """Sync, and let go of the places in the end."""
        try:
            super().sync()
        finally:
            for archives in self._archives:
                archives.let_go()
            for place in self._places.values():
                place.close()


def main() -> NoReturn:
    """Run tap-files: `preview`, where it is the first argument, else the tap, as Singer has it."""
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        # Imported here: a run does not need it.
        from tap_files import command

        if sys.argv[1] in command.COMMANDS:
            command.main(sys.argv[1:], TapFiles)
    TapFiles.cli_main()
