"""The shell of every target: singer-sdk's `Target` outside, the block path inside.

singer-sdk's reader is the extension point: its ``process_lines`` is given the whole input, so none of the SDK's
per-record path runs, while the command line, ``--about``, config validation and its test suites stay as they are.
"""

from __future__ import annotations

import logging
import sys
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Target
from singer_sdk.exceptions import MissingKeyPropertiesError, RecordsWithoutSchemaException
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.singerlib.encoding.base import GenericSingerReader

from singerkit_map.settings import MAP
from singerkit_quality.judge import Judge
from singerkit_quality.rules import problems_of, rules_of
from singerkit_quality.settings import CHECKS, COMPARING
from singerkit_shell.command import adopt as adopted_by_shell
from singerkit_shell.errors import BadDataError, ConfigurationError, UsageError
from singerkit_shell.memory import calm_collector
from singerkit_shell.secrets import redactor
from singerkit_shell.signals import stop_flag
from singerkit_shell.validate import (
    CONFIG_PATHS,
    check_no_input,
    config_place,
    config_problems,
    environment_config,
    warn_of_unread_environment,
)
from singerkit_shell.words import ended
from singerkit_state.delivery import print_about
from singerkit_state.lineage import WaysOut
from singerkit_state.location import file_of
from singerkit_state.statefile import StateFileLock, check_replaceable
from singerkit_state.value import encode
from singerkit_target import pastruns
from singerkit_target.abilities import Abilities
from singerkit_target.byhand import Wish, by_hand, options
from singerkit_target.contract import Loader
from singerkit_target.delivery import Ways, deliveries
from singerkit_target.load import Limits, Load, SchemaMissing
from singerkit_target.mapping import MapOfTarget
from singerkit_target.pastruns import AskedRuns
from singerkit_target.publish import Publisher
from singerkit_target.runs import RunNotes
from singerkit_target.unnesting import Unnesting
from singerkit_wire.blocks import Judgement, KeyMissing
from singerkit_wire.unstorable import Policy

if TYPE_CHECKING:
    from singerkit_map.reading import MapConfig

__all__ = ["COMMON_SETTINGS", "SingerkitTarget"]

_POSITIVE = {"type": "integer", "minimum": 1}

COMMON_SETTINGS: Mapping[str, Any] = {
    "pipeline": {
        "type": "string",
        "minLength": 1,
        "secret": False,
        "description": "Name of the pipeline whose state and lock this run uses. Default: the name our taps send, "
        "else `default`.",
    },
    "on_invalid": {
        "type": "string",
        "enum": ["fail", "quarantine"],
        "default": "fail",
        "description": "What to do with a record that its schema, or the server of target-postgres, refuses: end the run, or set the "
        "record aside with its reason. `quarantine` holds for what `on_unstorable` would end the run with, too. Of a value that is not of the type "
        "of its column database targets ask `on_type_conflict`.",
    },
    "on_unstorable": {
        "type": "string",
        "enum": [policy.value for policy in Policy],
        "default": "fail",
        "description": "What to do with NUL characters, lone surrogates, NaN, and dates and numbers out of range, at "
        "any depth. Keys are never replaced or nulled: such a record is refused. Where it is not given, database targets store dates and numbers that a "
        "column does not hold as `on_type_conflict` says.",
    },
    "quarantine_limit": {
        **_POSITIVE,
        "default": 1000,
        "description": "The run fails when more records than this are set aside.",
    },
    "extra": {
        "type": "string",
        "enum": ["ignore", "load"],
        "default": "ignore",
        "description": "Fields that the schema does not name: ignore them with one warning, or add columns for them.",
    },
    "missing_fields": {
        "type": "string",
        "enum": ["keep", "null"],
        "description": "What a field of the schema means that a record leaves out: `keep` what is stored, or `null`. "
        "Default: `keep` for taps of singerkit, which send complete records, and `null` for others. target-jsonl leaves "
        "such a field out, unless this says `null`. A record with a value in `_sdc_deleted_at` says that its row is gone, and keeps the rest.",
    },
    "rows_gone": {
        "type": "string",
        "enum": ["refuse", "accept"],
        "default": "refuse",
        "description": "What to do when a table or file lacks rows that the state says were loaded (dropped, emptied, "
        "made anew, cut, moved away), or a file was changed since it was committed. `accept` is for landing places that somebody "
        "empties after each run: rows are appended to what is there.",
    },
    "end_of_input": {
        "type": "string",
        "enum": ["complete", "state"],
        "default": "complete",
        "description": "What the end of the input means where the tap does not mark it, as taps by others do not: the tap "
        "has finished, and what came is committed; or, with `state`, only if no row and no ACTIVATE_VERSION came after the "
        "last STATE: else what came after it is dropped, and the run ends with 65. `state` is for taps that end with a STATE, and keeps rows of streams "
        "without a key from coming twice when such a tap dies.",
    },
    "validate_records": {
        "type": "boolean",
        "default": True,
        "description": "Check records against the whole JSON Schema. Without it only the types are checked, and null "
        "is accepted everywhere but in keys.",
    },
    "checks": CHECKS,
    "add_record_metadata": {
        "type": "boolean",
        "default": False,
        "description": "Add the `_sdc_*` columns: when each row last came (extracted, received, loaded), and its version.",
    },
    "atomic": {
        "type": "string",
        "enum": ["unit", "run"],
        "default": "unit",
        "description": "What is seen together, and kept or given up together: what a STATE covers (`commit_rows` and the like say at which), or with `run` "
        "all of a run: it is committed once, at its end, and a run that fails or is ended by a signal leaves no row and no state.",
    },
    "commit_rows": {
        **_POSITIVE,
        "default": 500_000,
        "description": "Commit at the next STATE once this many rows were received; of STATEs that are read in one piece (up to 1 MiB) the last counts.",
    },
    "commit_bytes": {
        **_POSITIVE,
        "default": 256 << 20,
        "description": "Commit at the next STATE once this many bytes were received.",
    },
    "commit_seconds": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 10,
        "description": "Commit at the next STATE once this many seconds have passed since the last commit.",
    },
    "run_history_days": {
        "type": "number",
        "minimum": 0,
        "maximum": 36_500,
        "default": 90,
        "description": "How long what a run has come to is kept beside the state, for `singerkit history`; 0: this run is not noted there.",
    },
    "map": MAP,
    "max_line_bytes": {
        **_POSITIVE,
        "default": 64 << 20,
        "description": "The longest line that is accepted, in bytes.",
    },
}


_WHEN_TO_COMMIT = frozenset({"commit_rows", "commit_bytes", "commit_seconds"})


class BlockReader(GenericSingerReader[bytes]):
    """singer-sdk's reader, given the whole input at once."""

    def __init__(self) -> None:
        super().__init__()
        self.load: Callable[[IO[Any]], Counter[str]] | None = None

    default_input = property(lambda _self: sys.stdin.buffer)

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        raise NotImplementedError("The block path decodes whole blocks.")  # pragma: no cover

    def process_lines(
        self, file_input: IO[Any] | None, callbacks: Mapping[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        del callbacks  # the SDK's per-record path
        assert self.load is not None  # noqa: S101  set by the target that made this reader
        return self.load(file_input or self.default_input)


class SingerkitTarget(Target):
    """Base class: a target names itself, adds its settings, and makes a `Loader` from its config."""

    message_reader_class = BlockReader
    capabilities: ClassVar[Any] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.VALIDATE_RECORDS,
    ]
    package_name = "singerkit"
    state_file: str | None = None
    given_keys: frozenset[str] = frozenset()
    """The keys of the config as it was given, before defaults."""
    settings_of_others: ClassVar[Mapping[str, Any]] = {}
    """Settings of another loader that are taken, and no settings of this one: `take_over` says what becomes of them."""
    refused_settings: ClassVar[Mapping[str, str]] = {}
    """Settings of another loader that are not taken, each with what to do instead."""
    judges_sets: ClassVar[bool] = False
    """Whether rules of all rows of a stream can be asked."""
    always_exact = False  # tests compare both paths
    _reads_environment = False
    _map: MapConfig | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "setup_mapper": False})
        assert isinstance(self.message_reader, BlockReader)  # noqa: S101  ours, see message_reader_class
        self.message_reader.load = self._load

    @abstractmethod
    def make_loader(self) -> Loader:
        """Return the loader of this run; opens nothing yet."""

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        for name, setting in COMMON_SETTINGS.items():
            config_jsonschema["properties"].setdefault(name, dict(setting))

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        schema = self._taken_schema(self._config)
        redactor.add_from_config(self._config)
        self.given_keys = frozenset(self._config)
        problems = config_problems(self._config, schema, self.refused_settings)
        problems = problems or self._map_problems() or self.take_over()
        problems = problems or self._commits_without_effect() or self.further_problems()
        problems = problems or self._problems_of_checks()
        if problems and raise_errors:
            raise ConfigurationError(
                ended(f"The config{config_place()} is not valid: {'; '.join(problems)}")
                + " Nothing was read."
            )
        return problems

    @classmethod
    def _taken_schema(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The schema of a config, with the settings of another loader where ``given`` is one of that."""
        if cls.is_of_others(given):
            return cls._with_those_of_others()
        schema = cls.config_jsonschema
        cls.append_builtin_config(schema)
        return schema

    @classmethod
    def _with_those_of_others(cls) -> dict[str, Any]:
        schema = cls.config_jsonschema
        cls.append_builtin_config(schema)
        return {**schema, "properties": {**cls.settings_of_others, **schema["properties"]}}

    @classmethod
    def is_of_others(cls, _config: Mapping[str, Any]) -> bool:
        """Whether a config is one of the loader whose settings are taken."""
        return False

    def take_over(self) -> list[str]:
        """Put our settings in the place of those of another loader; return the problems."""
        return []

    def _map_problems(self) -> list[str]:
        if "map" not in self._config:
            return []
        from singerkit_map.reading import map_problems, read_map

        problems = map_problems(self._config["map"], "map")
        if not problems:
            self._map = read_map(self._config["map"])
        return problems

    def mapping(self) -> MapOfTarget:
        """What this run's config does to records before they are looked at."""
        if self._map is None:
            return MapOfTarget(None, self.logger)
        from singerkit_map.mapper import IN_TARGET, Mapper

        return MapOfTarget(Mapper(self._map, self.logger, IN_TARGET), self.logger)

    def _problems_of_checks(self) -> list[str]:
        checks = self._config.get("checks", {})
        if problems := problems_of(checks):
            return problems
        of_sets = [
            rule for rules in rules_of(checks).by_pattern.values() for rule in rules if not rule.is_of_rows
        ]
        if not self.judges_sets:
            return [
                f"Expected a rule of a record, got `{one.kind}` at `{one.place}`, which is one of all rows and asks a database"
                for one in of_sets
            ]
        return [
            f"Rule `{one.kind}` at `{one.place}` compares a run with those before it, of which nothing is kept with `run_history_days: 0`"
            for one in of_sets
            if one.kind in COMPARING and not self._config.get("run_history_days", 1)
        ]

    def _commits_without_effect(self) -> list[str]:
        names = sorted(_WHEN_TO_COMMIT & self.given_keys) if self.config["atomic"] == "run" else []
        return [
            f"`{name}` has no effect beside `atomic: run`, which commits once, at the end" for name in names
        ]

    def further_problems(self) -> list[str]:
        """Problems that a JSON Schema cannot tell, a sentence each without its full stop."""
        return []

    def _setup_signal_handlers(self) -> None:
        stop_flag.install()

    def judgement(self) -> Judgement:
        """How this run's config judges records."""
        config = self.config
        return Judgement(
            validate=config["validate_records"],
            extra=config["extra"],
            unstorable=Policy(config["on_unstorable"]),
            quarantine=config["on_invalid"] == "quarantine",
            with_metadata=config["add_record_metadata"],
        )

    def judge(self) -> Judge | None:
        """What holds rows against the rules of this run's config; None: there are none."""
        checks = self.config.get("checks")
        return Judge(rules_of(checks)) if checks else None

    def limits(self) -> Limits:
        """When this run's config commits."""
        config = self.config
        return Limits(
            commit_rows=config["commit_rows"],
            commit_bytes=config["commit_bytes"],
            commit_seconds=config["commit_seconds"],
            max_line_bytes=config["max_line_bytes"],
            max_rejects=config["quarantine_limit"],
            whole_run=config["atomic"] == "run",
            commits_early="commit_rows" not in self.given_keys,
        )

    def unnesting(self) -> Unnesting | None:
        """What this run's config says of nested data; None: it stays as it is."""
        return None

    def unmet(self) -> Sequence[str]:
        """What is to be warned of at the end of a complete run, as what the config says of streams that it did not have."""
        return ()

    def _load(self, source: IO[Any]) -> Counter[str]:
        calm_collector()
        loader = self.make_loader()
        self._notes = RunNotes(
            loader,
            self.logger,
            target=self.name,
            version=self.plugin_version,
            keep_days=self.config["run_history_days"],
        )
        load = Load(
            loader,
            self.judgement(),
            self.limits(),
            Publisher(self.state_file),
            stop_flag,
            self.logger,
            pipeline=self.config.get("pipeline"),
            always_exact=self.always_exact,
            missing_fields=self.config.get("missing_fields"),
            accepts_gone_rows=self.config["rows_gone"] == "accept",
            ends_with_state=self.config["end_of_input"] == "state",
            ways=self.ways_out,
            mapping=self.mapping(),
            unnesting=self.unnesting(),
            notes=self._notes,
            unmet=self.unmet,
            judge=self.judge(),
        )
        lock = (
            nullcontext()
            if self.state_file is None
            else StateFileLock(self.state_file, self.config.get("pipeline"))
        )
        try:
            with lock:
                summary = load.run(source)
        except BadDataError as error:
            raise _as_singer_sdk_error(error) from error
        return Counter({"RECORD": summary.received.total()})

    def ways_out(self, pipeline: str) -> WaysOut:
        """The commands by which somebody changes the committed state of a pipeline, with this run's config."""
        ctx = click.get_current_context(silent=True)
        paths = ctx.meta.get(CONFIG_PATHS, []) if ctx else []
        config = [argument for path in paths for argument in ("--config", path)]
        if self._reads_environment:
            config += ["--config", "ENV"]
        named = [] if self.config.get("pipeline") == pipeline else ["--pipeline", pipeline]
        return WaysOut((self.name, *config, *named), self.state_file)

    def check_state_file(self, path: str) -> None:
        """See that ``path`` is none of the files that this target writes rows into; ConfigurationError when it is."""

    def change_state(self, wish: Wish) -> None:
        """Change the committed state of a pipeline by hand, and print it; reads no input.

        Raises:
            UsageError: it is not said of which pipeline.
            ConfigurationError: there is no state to take over, or it is of another pipeline.
            LockHeldError: a run is at work.
        """
        loader = self.make_loader()
        file = nullcontext() if self.state_file is None else StateFileLock(self.state_file)
        try:
            with file:
                loader.open()
                text = by_hand(loader, wish, self.config.get("pipeline"))
                publisher = Publisher(self.state_file)
                publisher.forget(encode({"bookmarks": {}}) if text is None else text)
        finally:
            loader.close()

    def see_to_letters(self, wish: Wish) -> None:
        """List dead letters, or load them once more; reads no input.

        Raises:
            UsageError: they are none that could be.
        """
        del wish
        raise UsageError(
            f"{self.name} has no table of dead letters: they are the lines of `_singerkit_rejects.jsonl` in its folder."
        )

    def tell_tables(self, source: IO[Any]) -> None:
        """Print to which tables the streams go that the SCHEMA messages of ``source`` declare.

        Raises:
            UsageError: they are none.
        """
        del source
        raise UsageError(f"{self.name} loads into no tables; leave `--tables` out.")

    def judge_tables(self) -> None:
        """Print what came of the rules of the config, held against the tables that there are.

        Raises:
            UsageError: there can be none.
        """
        raise UsageError(f"{self.name} loads into no tables that could be asked; leave `--judge` out.")

    def tell_of_runs(self, asked: AskedRuns) -> None:
        """Print former runs; reads no input."""
        pastruns.tell(self.make_loader(), asked)

    def process_endofpipe(self) -> None:
        """Everything is committed when `_load` returns."""

    has_state_url: ClassVar[bool] = False
    """Whether a tap can read the state where this target keeps it (`--state postgresql://...`)."""

    @classmethod
    def ways_of_rows(cls, config: Mapping[str, Any]) -> Ways:  # noqa: ARG003  one way, whatever it says
        """Whether rows that come again replace themselves by their key, with this config; it may be empty, before defaults."""
        return Ways(replaces=False, appends=True)

    @classmethod
    @abstractmethod
    def abilities(cls, config: Mapping[str, Any]) -> Abilities:
        """What the target can do with this config; it may be empty, before defaults."""

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: Any = None,
        file_input: IO[str] | None = None,
        state_file: str | None = None,
        adopt: str | None = None,
        start_over: bool = False,
        last_state: bool = False,
        stream: Sequence[str] = (),
        pipeline: str | None = None,
        history: bool = False,
        since: str | None = None,
        last: int | None = None,
        at_least: int | None = None,
        rejects: bool = False,
        records: bool = False,
        replay_rejects: bool = False,
        over_stored: bool = False,
        schema: str | None = None,
        tables: bool = False,
        judge: bool = False,
        check_config: bool = False,
    ) -> None:
        """Run the target on the command line; see `byhand.options` for the settings that change a state instead."""
        if about:
            promises = deliveries(
                ways=cls.ways_of_rows({} if config is None else config.config),
                has_state_url=cls.has_state_url,
                state_file=state_file,
                ends_with_state=config is not None and config.config.get("end_of_input") == "state",
            )
            print_about(cls._get_about_info(), about_format, promises)
            return
        known = cls._with_those_of_others()
        given = {} if config is None else config.config
        if config is not None and config.parse_env:
            given = given | environment_config(known, cls._env_var_prefix)
        else:
            warn_of_unread_environment(given, known, cls._env_var_prefix)
        target = cls(config=given)
        if state_file is not None:
            state_file = _checked_state_file(state_file)
            target.check_state_file(state_file)
        target.state_file = state_file
        target._reads_environment = config is not None and config.parse_env
        wish = Wish(
            adopt=adopt,
            start_over=start_over,
            last_state=last_state,
            streams=tuple(stream),
            pipeline=pipeline,
            history=history,
            since=since,
            last=last,
            at_least=at_least,
            rejects=rejects,
            replay_rejects=replay_rejects,
            records=records,
            over_stored=over_stored,
            schema=schema,
        )
        if check_config:
            if wish.is_one or tables:
                raise UsageError("`--check-config` opens nothing, and goes with none of the options that do.")
            target.logger.info("The config%s is one that a run takes.", config_place())
            return
        if tables:
            if wish.is_one or state_file is not None:
                raise UsageError("`--tables` changes nothing, and goes with none of the options that do.")
            target.tell_tables(file_input or sys.stdin.buffer)
            return
        if judge:
            if wish.is_one or state_file is not None:
                raise UsageError("`--judge` changes nothing, and goes with none of the options that do.")
            target.judge_tables()
            return
        if wish.is_one and (wish.is_of_letters or wish.history):
            if state_file is not None:
                raise UsageError(
                    "`--state-file` has no effect beside `--history`, `--rejects` and `--replay-rejects`, which leave the state as it is."
                )
            if wish.history:
                target.tell_of_runs(AskedRuns.of(wish.pipeline, since, last, at_least))
                return
            target.see_to_letters(wish)
            return
        if wish.is_one:
            target.change_state(wish)
            return
        target._load(file_input or sys.stdin.buffer)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.help = (cls.__doc__ or "").strip().partition("\n")[0]
        command.params.append(
            click.Option(
                ["--state-file"],
                metavar="PATH",
                help="Write the STATE value to this file after each commit.",
            )
        )
        command.params.extend([*options(), *pastruns.options()])
        command.params.append(
            click.Option(
                ["--tables"],
                is_flag=True,
                help="Print the tables to which the streams of the SCHEMA messages of the input go, a line of JSON each, and end; nothing is loaded.",
            )
        )
        command.params.append(
            click.Option(
                ["--judge"],
                is_flag=True,
                help="Hold what is stored against the rules of the config (`checks`), print a line of JSON for each, and end; nothing is loaded.",
            )
        )
        return adopted_by_shell(command, cls.name, logging.getLogger(cls.name))


def _checked_state_file(location: str) -> str:
    path = file_of(location)
    check_no_input(path, "--state-file")
    check_replaceable(path)
    return path


class _MissingSchema(BadDataError, RecordsWithoutSchemaException):
    """What singer-sdk's test suite expects for a RECORD before its SCHEMA."""


class _MissingKey(BadDataError, MissingKeyPropertiesError):
    """What singer-sdk's test suite expects for a record without its key."""


def _as_singer_sdk_error(error: BadDataError) -> BadDataError:
    """Return an error of a kind that singer-sdk knows, by what `Load.run` says was its cause."""
    if isinstance(error.__cause__, SchemaMissing):
        return _MissingSchema(str(error))
    if isinstance(error.__cause__, KeyMissing):
        return _MissingKey(str(error))
    return error
