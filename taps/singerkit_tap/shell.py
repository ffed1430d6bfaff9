"""The shell of a tap: singer-sdk's `Tap` outside (options, --about, --discover, --test), our loop inside."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import Any, ClassVar, NoReturn

import click
from singer_sdk.configuration._dict_config import merge_missing_config_jsonschema
from singer_sdk.helpers._util import dump_json
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import _ConfigInput
from singer_sdk.singerlib import Catalog
from singer_sdk.streams.core import Stream
from singer_sdk.tap_base import CliTestOptionValue, Tap

from singerkit_catalog.selection import apply_rules, known_rules, unknown_field
from singerkit_shell.command import ShellCommand, adopt, start
from singerkit_shell.configfile import read_json_object
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.memory import calm_collector
from singerkit_shell.progress import Progress
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import (
    check_no_input,
    config_place,
    config_problems,
    environment_config,
    nearest,
    warn_of_unread_environment,
)
from singerkit_shell.words import ended
from singerkit_state.delivery import Delivery, print_about
from singerkit_state.instants import NoInstantError, check_calendar
from singerkit_state.shardfiles import check_set_beside
from singerkit_state.shards import WHOLE, Shard, check_name, location_of, pipeline_and_shard
from singerkit_state.store import Store
from singerkit_state.value import Mark, read_mark, without_mark
from singerkit_tap.delivery import Reading, delivery
from singerkit_tap.log_contract import LogReader
from singerkit_tap.log_settings import LogSettings
from singerkit_tap.sharding import Division, check_divided, divided
from singerkit_tap.stream import BlockStream, read_input_entries, root_metadata
from singerkit_tap.sync import SyncRun
from singerkit_tap.ways import start_over
from singerkit_wire.output import Output, reader_watched

__all__ = ["COMMON_SETTINGS", "SingerkitTap"]

COMMON_SETTINGS: dict[str, Any] = {
    "properties": {
        "pipeline": {
            "type": "string",
            "minLength": 1,
            "secret": False,
            "title": "Pipeline",
            "description": "Names this pipeline in the state, so that no other pipeline continues from it. "
            "Default: the name of the tap.",
        },
        "start_date": {
            "type": "string",
            "format": "date-time",
            "secret": False,
            "title": "Start date",
            "description": "Streams whose replication key is a point in time begin here on their first run "
            "(RFC 3339; without an offset: UTC).",
        },
        "select": {
            "type": "array",
            "items": {"type": "string", "pattern": "^!?[^!]"},
            "secret": False,
            "title": "Select",
            "description": "What to sync: globs over `stream` and `stream.field`, `!` "
            "excludes, later rules win. Beside a catalog they have the last word. Default: what the catalog selects, or all "
            "that is selected by default.",
        },
        "state_every": {
            "type": "integer",
            "minimum": 1,
            "default": 10000,
            "title": "State every",
            "description": "Write a STATE message at most once in so many records within a stream; one is "
            "always written at its end.",
        },
    }
}


class SingerkitTap(Tap):
    """A tap on the block path. See `singerkit_tap.contract` for what a connector adds."""

    package_name = "singerkit"
    first_config: ClassVar[str] = ""
    """A config that works as it stands, for those who have none yet."""
    skips_unknown_entries: ClassVar[bool] = True
    """Whether a stream that a catalog selects, and that there is none of, is skipped with a warning; else the run ends."""
    dynamic_catalog = True
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(
        self,
        *,
        config: Any = None,
        catalog: Any = None,
        state: Any = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        setup_mapper: bool = True,
        message_writer: Any = None,
    ) -> None:
        """Take the arguments of singer-sdk's `Tap`; ``config``, ``catalog`` and ``state`` are dicts.

        Raises:
            ConfigurationError: config or catalog is not valid.
        """
        entries = catalog.to_dict() if isinstance(catalog, Catalog) else catalog
        if isinstance(entries, str | PurePath):
            entries = read_json_object(str(entries), "catalog")
        self.input_entries = {} if entries is None else read_input_entries(entries, _catalog_place())
        """The entries of the catalog by ``tap_stream_id``."""
        self.output = Output()
        self._run_id = uuid.uuid4().hex
        self.start_state: dict[str, Any] = {}
        self._formerly_divided: tuple[str, ...] = ()
        """The state to continue, without its mark."""
        self._sync_run: SyncRun | None = None
        self._progress = Progress(self.logger)
        self._pipeline_of_state: str | None = None
        self._resumes: str | None = None
        self._store: Store | None = None
        self.shard = WHOLE
        """The part of all rows that this run reads."""
        self._division: Division | None = None
        self.state_location: str | None = None
        """What ``--state`` names, without a password."""
        super().__init__(
            config=config,
            catalog=None if entries is None else {"streams": list(self.input_entries.values())},
            state=state,
            parse_env_config=parse_env_config,
            validate_config=validate_config,
            setup_mapper=setup_mapper,
            message_writer=message_writer,
        )

    # What a connector may override

    def default_pipeline(self) -> str:
        """Return the pipeline's name when the config gives none."""
        return self.name

    def config_sentences(self, config: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002  for overriding
        """Return what is wrong with a config that its JSON Schema allows, a sentence each without a full stop.

        Called once, before any connection.
        """
        return ()

    def config_warnings(self, config: Mapping[str, Any]) -> Sequence[str]:  # noqa: ARG002  for overriding
        """Return what somebody should know of a config that is valid, a sentence each."""
        return ()

    def warn_without_catalog(self) -> None:
        """Say what a run would be refused for unless its catalog mends it; called by --discover and --test, which know none."""

    def show_streams(self) -> None:
        """Show people what --test finds, on stderr; called before it writes messages."""

    def log_reader(self, streams: Sequence[BlockStream]) -> LogReader:
        """Return what reads the log of ``streams``, all log-based ones of this run; called once, and nothing is read yet."""
        raise NotImplementedError(f"{type(self).__name__} has to implement log_reader for {streams[0].name}")

    @classmethod
    def deliveries(cls, config: Mapping[str, Any]) -> list[Delivery]:  # noqa: ARG003  for overriding
        """Return what is promised about delivery, for `--about`: by kind of stream, or by the streams of a config."""
        kinds = {
            "incremental streams": (True, False, False),
            "incremental with lookback, with a key": (True, True, True),
            "full-table streams with a key": (False, True, False),
            "full-table streams without a key": (False, False, False),
        }
        return [
            delivery(name, Reading(is_incremental=is_incremental, has_key=has_key, has_lookback=has_lookback))
            for name, (is_incremental, has_key, has_lookback) in kinds.items()
        ]

    # Config

    @property
    def pipeline(self) -> str:
        """The name of the pipeline this run belongs to."""
        name = str(self.config.get("pipeline") or self._pipeline_of_state or self.default_pipeline())
        return self.shard.called(pipeline_and_shard(name)[0])

    def divide(self) -> Division:
        """Leave what others read to them, and have streams that can be divided read their part."""
        if self._division is None:
            self._division = divided(self.block_streams, self.shard, self.logger)
        return self._division

    def take_shard(self, shard: Shard) -> None:
        """Read one shard; called before anything is read.

        Raises:
            ConfigurationError: the config calls the pipeline as another shard.
        """
        check_name(self.pipeline, shard)
        self.shard = shard

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add the settings that all taps have; not those of singer-sdk's mapper, which would have no effect."""
        merge_missing_config_jsonschema(COMMON_SETTINGS, config_jsonschema)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        redactor.add_from_config(self._config)
        problems = config_problems(self._config, schema)
        if not problems:
            problems = [*_start_date_problems(self._config), *self.config_sentences(self._config)]
        if problems and raise_errors:
            if not self._config and self.first_config:
                names = [f"`{self._env_var_prefix}{key.upper()}`" for key in schema.get("required", ())]
                raise ConfigurationError(
                    f"There is no config{config_place()}; name the file of one with `--config`, which holds for a first try "
                    f"{self.first_config}, or set {' and '.join(names)} (objects and arrays as JSON) for `--config ENV`."
                )
            raise ConfigurationError(ended(f"The config{config_place()} is not valid: {'; '.join(problems)}"))
        return problems

    # Catalog

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams by name, with catalog and ``select`` rules applied."""
        is_first = self._streams is None
        streams = super().streams
        if is_first:
            for sentence in self.config_warnings(self.config):
                self.logger.warning("%s", sentence)
            self._tell_of_unknown_entries(streams)
            if self.apply_rules(streams):
                for stream in streams.values():
                    stream._mask = None
            elif self.input_catalog is not None:
                self._warn_of_missing_entries()
            self._check_entries()
        return streams

    def apply_rules(self, streams: Mapping[str, Stream]) -> bool:
        """Apply the ``select`` rules, and tell whether there are any; a stream that could not be read has no fields that one could name."""
        rules = self.config.get("select")
        if not rules:
            return False
        metadata = {name: stream.metadata for name, stream in streams.items()}
        unreadable = [
            name for name, stream in streams.items() if isinstance(stream, BlockStream) and stream.unreadable
        ]
        apply_rules(known_rules(rules, metadata, unreadable) if unreadable else rules, metadata)
        return True

    @property
    def block_streams(self) -> list[BlockStream]:
        """The streams, typed."""
        return [stream for stream in self.streams.values() if isinstance(stream, BlockStream)]

    def _tell_of_unknown_entries(self, streams: Mapping[str, Stream]) -> None:
        known = {stream.tap_stream_id for stream in streams.values()}
        for name, entry in self.input_entries.items():
            root = root_metadata(entry)
            if name not in known and root.get("selected", root.get("selected-by-default")):
                near = nearest(name, sorted(known))
                if not self.skips_unknown_entries:
                    again = "make the catalog again with --discover."
                    hint = f"did you mean `{near}`? Else {again}" if near else again
                    raise ConfigurationError(
                        f"The catalog selects stream `{name}`, which does not exist (any more); nothing was read: {hint}"
                    )
                self.logger.warning(
                    "The catalog selects stream `%s`, which does not exist%s",
                    name,
                    f"; did you mean `{near}`? It is skipped." if near else "; it is skipped.",
                )

    def _warn_of_missing_entries(self) -> None:
        missing = [
            f"`{stream.name}`"
            for stream in self.block_streams
            if stream.selected_by_default and stream.tap_stream_id not in self.input_entries
        ]
        if missing:
            self.logger.warning(
                "The catalog does not have %s of the config: not read. Make the catalog again with --discover to have %s.",
                f"stream{'' if len(missing) == 1 else 's'} {', '.join(missing)}",
                "it" if len(missing) == 1 else "them",
            )

    def _check_entries(self) -> None:
        """See that what the catalog says of fields has an effect, as it is seen of `select`."""
        kept = []
        for stream in self.block_streams:
            entry = self.input_entries.get(stream.tap_stream_id)
            if entry is None or not stream.selected:
                continue
            problem = unknown_field(entry, stream.effective_schema)
            if problem is not None:
                raise ConfigurationError(problem)
            deselected = {
                tuple(item["breadcrumb"])
                for item in entry["metadata"]
                if item["metadata"].get("selected") is False
            }
            keys = dict.fromkeys([*stream.primary_keys, *filter(None, [stream.bookmark_key])])
            kept += [f"`{stream.name}.{key}`" for key in keys if ("properties", key) in deselected]
        if kept:
            self.logger.warning(
                "The catalog deselects %s: keys and the replication key are sent all the same; a stream that must not have "
                "them needs others.",
                ", ".join(kept),
            )

    @property
    def catalog_dict(self) -> dict[str, Any]:
        """What --discover prints; ``selected`` is in it when ``select`` rules say something."""
        return {"streams": [self._catalog_entry(stream) for stream in self.block_streams]}

    def _catalog_entry(self, stream: BlockStream) -> dict[str, Any]:
        entry = stream.own_catalog_entry
        if self.config.get("select"):
            for item in entry["metadata"]:
                selected = stream.metadata[tuple(item["breadcrumb"])].selected
                if selected is not None:
                    item["metadata"]["selected"] = selected
        return entry

    def run_discovery(self) -> str:
        """Print the catalog and return it."""
        self.warn_without_catalog()
        text = dump_json(self.catalog_dict, indent=2)
        self.output.text(text + "\n")
        return text

    # State and sync

    def load_state(self, state: dict[str, Any]) -> None:
        """Keep the state to continue: whatever is in it, less the mark of the run that wrote it."""
        mark = read_mark(state)
        self._formerly_divided = () if mark is None else tuple(mark.divided or ())
        self.start_state = without_mark(state)  # before the streams are made, which may look into it
        super().load_state({})

    def continue_from(self, location: str) -> None:
        """Read the state to continue from where ``location`` says: a file (missing: a first run), a folder, a state URL.

        Raises:
            ConfigurationError: the state is torn, or of another pipeline.
            RetryableError, NotAuthorisedError: the database of a state URL cannot be read.
        """
        # Imported here: a place may need a driver, --help does not.
        from singerkit_state.location import open_store

        store = self._store = open_store(location_of(location, self.shard))
        check_set_beside(store, self.shard)
        if store.pipeline is not None:
            check_name(store.pipeline, self.shard)
        self._pipeline_of_state = store.pipeline
        found = store.read(self.pipeline)
        if store.is_file:
            self._resumes = "missing" if found is None else "file"
        else:
            self._resumes = "url"
        self.state_location = store.location
        self.load_state(found or {})

    @property
    def identity(self) -> dict[str, Any]:
        """What the STATEs of this run say of it; who sets it makes another run say the same."""
        return {
            "run": self._run_id,
            "pipeline": self.pipeline,
            "resumes": self._resumes,
            "location": self.state_location,
        }

    @identity.setter
    def identity(self, said: Mapping[str, Any]) -> None:
        self._run_id, self._pipeline_of_state = said["run"], said["pipeline"]
        self._resumes, self.state_location = said["resumes"], said["location"]

    def committed_state(self) -> dict[str, Any] | None:
        """Return the state that ``--state`` names as it is now, with its mark; None where there is none."""
        return None if self._store is None else self._store.read(self.pipeline)

    @property
    def sync_run(self) -> SyncRun:
        """The run over the streams; one per tap object."""
        if self._sync_run is None:
            check_divided(
                self._formerly_divided, self.divide(), partial(start_over, self.state_location, self.pipeline)
            )
            self._sync_run = SyncRun(
                self.output,
                self.start_state,
                Mark(
                    self._run_id,
                    self.pipeline,
                    False,
                    self._resumes,
                    self.state_location,
                    dict.fromkeys(self.divide().divided) or None,
                    self.divide().moving or None,
                ),
                self._progress,
                state_every=int(self.config.get("state_every", 10_000)),
                start_date=self.config.get("start_date"),
                log=LogSettings.of(self.config),
                log_reader=self.log_reader,
                committed=None if self._store is None else self.committed_state,
            )
        return self._sync_run

    def sync(self) -> None:
        """Sync what is selected, from the start state to the mark of a finished run.

        Raises:
            ConfigurationError: nothing is selected.
            SingerkitError: as said in `singerkit_tap.contract`.
        """
        streams = self.block_streams
        self.divide()
        if not any(stream.selected for stream in streams) and not self.divide().left:
            raise ConfigurationError(
                "No stream is selected, so there is nothing to sync; select one in the catalog or in `select`."
            )
        with self.output, self._progress_line():
            self.sync_run.run(streams)

    @contextmanager
    def _progress_line(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # The sentence about it must not be written into a half-drawn line.
            self._progress.clear()
            raise

    # Command line

    def _setup_signal_handlers(self) -> None:
        """Leave signals alone: an object in a test must not take them over; `invoke` does."""

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: str | None = None,
        catalog: str | None = None,
        shard: str | None = None,
        check_config: bool = False,
    ) -> None:
        """Run the command line; ``state`` is a path or a state URL, ``catalog`` a path, ``shard`` like `0/8`."""
        if about:
            print_about(cls._get_about_info(), about_format, cls.deliveries(config.config if config else {}))
            return
        part = WHOLE if shard is None else Shard.parse(shard)
        stop_flag.install()
        config = config or _ConfigInput()
        with reader_watched():
            tap = cls(
                config=cls._with_environment(config),
                catalog=None if catalog is None else read_json_object(catalog, "catalog"),
                setup_mapper=False,
            )
            if check_config:
                tap.logger.info("The config%s is one that a run takes.", config_place())
                return
            tap.print_version(print_fn=tap.logger.info)
            tap.take_shard(part)
            if state is not None:
                check_no_input(state, "--state")
                tap.continue_from(state)
            calm_collector()
            tap.sync()

    @classmethod
    def _with_environment(cls, config: _ConfigInput) -> dict[str, Any]:
        schema = cls.config_jsonschema
        cls.append_builtin_config(schema)
        if config.parse_env:
            return config.config | environment_config(schema, cls._env_var_prefix)
        warn_of_unread_environment(config.config, schema, cls._env_var_prefix)
        return config.config

    @classmethod
    def cb_discover(cls, ctx: click.Context, param: click.Option, value: bool) -> None:  # noqa: ARG003
        """Run --discover. The config is checked first; what is wrong with it is an error here too."""
        if not value:
            return
        stop_flag.install()
        config: _ConfigInput = ctx.params.get("config") or _ConfigInput()
        cls(config=cls._with_environment(config), setup_mapper=False).run_discovery()
        ctx.exit()

    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:  # noqa: ARG003
        """Run --test."""
        if value == CliTestOptionValue.Disabled.value:
            return
        stop_flag.install()
        # Each stream ends at its first record, which singer-sdk counts as a failure.
        logging.getLogger("singer_sdk.metrics").addFilter(lambda _: False)
        config: _ConfigInput = ctx.params.get("config") or _ConfigInput()
        tap = cls(config=cls._with_environment(config))
        tap.warn_without_catalog()
        if value == CliTestOptionValue.Schema.value:
            tap.write_schemas()
        else:
            tap.show_streams()
            tap.run_connection_test()
        ctx.exit()

    @classmethod
    def get_singer_command(cls) -> ShellCommand:
        """Return singer-sdk's command with our exit codes, short options and kinds of state."""
        command = adopt(super().get_singer_command(), cls.name, cls.logger)
        command.params.insert(
            -2,
            click.Option(
                ["--shard"],
                metavar="i/n",
                help="Read one of n parts, counted from 0, with a state of its own; n runs read all (docs/shards.md).",
            ),
        )
        for param in command.params:
            match param.name:
                case "discover":
                    param.opts = ["-d", "--discover"]
                case "test":
                    param.type = click.Choice([option.value for option in CliTestOptionValue])
                    param.help = (
                        "Read one record of each stream and write it, or say what is wrong; --test=schema writes "
                        "the schemas alone."
                    )
                case "catalog":
                    param.opts = ["-p", "--catalog", "--properties"]
                    param.type = click.STRING
                case "state":
                    param.opts = ["-s", "--state"]
                    param.type = click.STRING
                    param.help = (
                        "Continue from this state: a file (missing: a first run), the folder of a "
                        "target-jsonl, or a state URL, as of the database of a target-postgres or a target-duckdb."
                    )
        return command

    @classmethod
    def cli_main(cls) -> NoReturn:
        """Run the command line and exit: the console script of a tap."""
        start(cls)


def _start_date_problems(config: Mapping[str, Any]) -> list[str]:
    start_date = config.get("start_date")
    if start_date is None:
        return []
    try:
        check_calendar(start_date)
    except NoInstantError:
        return [f"Expected a date-time like `2024-01-01T00:00:00Z`, got `{start_date}` at `start_date`"]
    return []


def _catalog_place() -> str:
    ctx = click.get_current_context(silent=True)
    path = ctx.params.get("catalog") if ctx else None
    return f"the catalog {path}" if path else "the catalog"
