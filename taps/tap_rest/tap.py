"""The executable `tap-rest`: any JSON API, from a config file alone."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from singerkit_catalog.selection import may_be_selected, unmatched_rules
from singerkit_shell.errors import RetryableError, SingerkitError
from singerkit_shell.validate import config_problems
from singerkit_shell.walltime import wall_time
from singerkit_shell.words import beginning
from singerkit_state.delivery import Delivery
from singerkit_state.tracker import Signpost
from singerkit_tap.delivery import Reading, delivery
from singerkit_tap.failing import STREAMS_IN_A_ROW
from singerkit_tap.shell import SingerkitTap
from singerkit_tap.starts import former_read
from tap_rest.asking.urls import parameters_in_path
from tap_rest.config import CONFIG_SCHEMA, ApiSettings, api_settings, config_conflicts
from tap_rest.hook.loading import Hooks
from tap_rest.http.client import Client
from tap_rest.incremental import is_of_creation
from tap_rest.masking import register_secrets, register_secrets_inside
from tap_rest.recording.tape import Tape
from tap_rest.schema.firstpages import Room
from tap_rest.schema.keepers import keeper_of
from tap_rest.settings.api import api_problems
from tap_rest.settings.effects import idle_settings
from tap_rest.settings.hook import literal_hooks, refused_hooks
from tap_rest.settings.lineage import parents_first
from tap_rest.settings.stream import StreamSettings
from tap_rest.streams import RestStream

__all__ = ["TapRest", "main"]

_WARNINGS = 5
_SHOWN = 5


_START_DATE = (
    "Streams whose replication key is a point in time begin here on their first run (RFC 3339; without an offset: in `time_zone`, else "
    "UTC)."
)


class TapRest(SingerkitTap):
    """Reads the streams of its config over HTTP."""

    name = "tap-rest"
    config_jsonschema: ClassVar[dict[str, Any]] = CONFIG_SCHEMA
    first_config = (
        '{"base_url": "https://api.github.com", "pagination": {"type": "link_header"}, "streams": [{"name": "releases", '
        '"path": "/repos/simonw/datasette/releases", "primary_keys": ["id"]}]}'
    )

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add the settings of all taps, with what `time_zone` does to them."""
        super().append_builtin_config(config_jsonschema)
        properties = config_jsonschema["properties"]
        properties["start_date"] = {**properties["start_date"], "description": _START_DATE}

    def config_sentences(self, config: Mapping[str, Any]) -> Sequence[str]:
        """Return what a JSON Schema cannot say about the config."""
        return [*refused_hooks(config, self._literal_hooks), *config_conflicts(config), *api_problems(config)]

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._literal_hooks = literal_hooks(self._config)
        return super()._validate_config(raise_errors=raise_errors)

    def config_warnings(self, config: Mapping[str, Any]) -> Sequence[str]:
        """Return what in the config does nothing."""
        return idle_settings(config)

    @classmethod
    def deliveries(cls, config: Mapping[str, Any]) -> list[Delivery]:
        """Return what is promised about each stream of a config; without streams, about kinds of streams."""
        if not config.get("streams") or config_problems(dict(config), cls.config_jsonschema):
            return super().deliveries(config)
        return [
            delivery(
                f"stream `{stream.name}`",
                Reading(
                    has_key=bool(stream.primary_keys),
                    is_incremental=stream.replication_key is not None,
                    has_lookback=stream.incremental is not None and stream.incremental.lookback > 0,
                    signpost=Signpost(stream.bookmark.signpost),
                    memory=stream.bookmark.memory,
                    shifts=stream.pages_shift,
                    may_shift=stream.may_be_numbered and not stream.may_follow_key,
                    shares=stream.shares_bookmark,
                    partitions=stream.bookmark.partitions if stream.parent or stream.for_each else None,
                    follows=stream.follows_key,
                    filters=stream.incremental is not None,
                    created=_key_of_creation(stream),
                    removes=stream.activate_version,
                    sweeps=stream.sweep is not None,
                    asks_onward=stream.token is not None,
                ),
            )
            for stream in api_settings(config).streams
        ]

    tape: Tape | None = None
    """What records this run, or stands in for the API."""

    @cached_property
    def api(self) -> ApiSettings:
        """The config, typed."""
        return api_settings(self.config)

    @cached_property
    def client(self) -> Client:
        """The one client of all streams: connections, cookies and waits are shared."""
        for stream in self.api.streams:
            register_secrets(stream.params)
            register_secrets(stream.token.first_params if stream.token is not None else {})
            register_secrets_inside(stream.asked[3:])
            for path in (stream.path, *(() if stream.job is None else stream.job.paths)):
                for name, value in parameters_in_path(path):
                    register_secrets({name: value})
            register_secrets(stream.headers)
        return Client(self.api, self.tape)

    @cached_property
    def hooks(self) -> Hooks:
        """The hooks of the config, each made once."""
        return Hooks()

    @cached_property
    def room(self) -> Room:
        """The room that the first pages of all streams share."""
        return Room()

    @cached_property
    def began(self) -> datetime:
        """When this run began: the `now` of all its requests."""
        return datetime.fromtimestamp(wall_time.now(), UTC)

    def warn_once(self, stream: str, sentence: str) -> None:
        """Warn of a stream at the first occasion, children of many parents included, and again at the end, by its beginning.

        Sentences that differ in their numbers only are one, and a stream has five at most.
        """
        kind = re.sub(r"\d+", "", sentence)
        told = self._warnings.setdefault(stream, {})
        if kind not in told and len(told) < _WARNINGS:
            self.logger.warning("%s", sentence)
            told[kind] = sentence

    @cached_property
    def _warnings(self) -> dict[str, dict[str, str]]:
        """The sentences of each stream, by what is left of them without numbers."""
        return {}

    def _repeat_warnings(self) -> None:
        for told in self._warnings.values():
            for sentence in told.values():
                self.logger.warning("To be seen to: %s", beginning(sentence))

    def _warn_of_nothing(self) -> None:
        """Warn when a run without bookmarks was given no row at all: so looks a page number that begins elsewhere."""
        streams = [stream for stream in self.block_streams if isinstance(stream, RestStream)]
        asked = [self.client.shown(stream.first_url) for stream in streams if stream.first_url is not None]
        if not asked or self.start_state.get("bookmarks"):
            return
        if any(stream.had_rows for stream in streams):
            for stream in streams:
                if stream.parent is not None and stream.first_url is not None and not stream.had_rows:
                    self.warn_once(
                        stream.name,
                        f"No row of stream {stream.name} came below any parent: the first answer, of "
                        f"{self.client.shown(stream.first_url)}, has none; if there should be some, check its `path` and what that says.",
                    )
            return
        others = f" and of {len(asked) - 1} other stream{'' if len(asked) == 2 else 's'}" * (len(asked) > 1)
        self.warn_once(
            "",
            f"No row came at all: the first answer, of {asked[0]}{others}, has none; if there should be some, check `path`, "
            "`params`, and where `pagination` starts.",
        )

    keeps_failures = False
    """Whether an error of one stream waits for the end, and others are read: in a sync, not where a config is looked at."""

    def sync(self) -> None:
        """Sync, and say in the end what was doubtful, and how often the API was asked."""
        self.keeps_failures = True
        for stream in self.api.streams:
            if stream.parent is not None and stream.parent.read == "changed" and self._may_be_read(stream):
                self.logger.info(
                    "Stream %s is read for changed records of stream %s only (`parent.read`): what changes below a record "
                    "that does not change itself is not seen.",
                    stream.name,
                    stream.parent.stream,
                )
                if not stream.primary_keys and stream.replication_key is None:
                    self.warn_once(
                        stream.name,
                        f"Where a record of stream {stream.parent.stream} changes twice within one unit of its `replication_key` (a second, a "
                        f"day), stream {stream.name} may lack what the second change brought below it: rows without a key would be doubled, "
                        "so they are not read once more. Give the stream `primary_keys`.",
                    )
        try:
            super().sync()
            self._warn_of_nothing()
            for read in self.block_streams:
                if isinstance(read, RestStream):
                    read.tell_at_end()
        finally:
            self._repeat_warnings()
            client = self.client
            for metric, value in (
                ("http_request_count", client.request_count),
                ("http_retry_count", client.retry_count),
            ):
                self.metrics_logger.info(
                    "METRIC: %s",
                    json.dumps({"type": "counter", "metric": metric, "value": value, "tags": {}}),
                )
            client.close()

    def discover_streams(self) -> list[RestStream]:
        """Return the streams, parents first.

        The API is asked only for schemas that neither config, catalog nor cache holds, or that lack a field which is named
        by them, and only for streams that may be read in this run.
        """
        streams = self.unread_streams()
        read = [stream for stream in streams.values() if self._may_be_read(stream.settings)]
        in_vain = 0
        for stream in streams.values():
            if any(stream in below.lineage() for below in read):
                stream.expect(former_read(self.start_state, stream.name))
                in_vain = self._learn(stream, in_vain, is_alone=len(read) == 1)
        self._look_for_fields(streams)
        return list(streams.values())

    def _learn(self, stream: RestStream, in_vain: int, *, is_alone: bool) -> int:
        """Let a stream learn its schema, or say why it cannot be read; return how many were asked for in vain now, one after the other.

        Raises:
            SingerkitError: the error is one of all streams, or ``is_alone``: there are no others.
        """
        try:
            stream.learn_schema()
        except SingerkitError as error:
            in_vain = in_vain + 1 if isinstance(error, RetryableError) else 0
            if is_alone or not stream.may_pass(error) or in_vain >= STREAMS_IN_A_ROW:
                raise
            stream.unreadable = error
            return in_vain
        return 0

    def unread_streams(self) -> dict[str, RestStream]:
        """Return the streams by name, parents first, before anything is asked of the API."""
        streams: dict[str, RestStream] = {}
        for settings in parents_first(self.api.streams):
            entry = self.input_entries.get(settings.name, {})
            former = former_read(self.start_state, settings.name)
            parent = streams[settings.parent.stream] if settings.parent else None
            keeper = keeper_of(settings, self.api, entry, former, parent.keeper if parent else None)
            streams[settings.name] = RestStream(self, settings, keeper, parent, streams)
        return streams

    def show_streams(self) -> None:
        """Show the first page of each stream; its rows on a terminal only, since logs hold none."""
        # Imported here: a run does not need it.
        from singerkit_shell.previews import print_look
        from tap_rest.preview.looking import look_at

        for stream in self.block_streams:
            if isinstance(stream, RestStream):
                print_look(look_at(stream, _SHOWN), err=True, shows_rows=sys.stderr.isatty())

    def _look_for_fields(self, streams: Mapping[str, RestStream]) -> None:
        """Ask the API anew for a stream that `select` names a field of which its cache does not know."""
        metadata = {name: stream.metadata for name, stream in streams.items()}
        for _, name in unmatched_rules(self.config.get("select", ()), metadata):
            if self._may_be_read(streams[name].settings) and streams[name].unreadable is None:
                streams[name].learn_schema(anew=True)

    def _may_be_read(self, settings: StreamSettings) -> bool:
        """Tell whether catalog, rules or defaults may select a stream; selection itself needs its schema."""
        if self.input_entries:
            return settings.name in self.input_entries
        rules = self.config.get("select")
        return may_be_selected(rules, settings.name) if rules else settings.selected

    def apply_select_rules(self) -> None:
        """Apply `select` again, to fields that were found after the streams had been made."""
        if self._streams:  # empty while they are being made
            self.apply_rules(self._streams)

    @property
    def catalog_dict(self) -> dict[str, Any]:
        """What --discover prints: all streams, those that this config does not select included, as the API shows them now."""
        for stream in self.streams.values():
            if isinstance(stream, RestStream):
                stream.learn_schema(anew=True)
        return super().catalog_dict


def _key_of_creation(stream: StreamSettings) -> str | None:
    key = stream.replication_key
    return key if key is not None and stream.primary_keys and is_of_creation(key) else None


def main() -> NoReturn:
    """Run tap-rest: one of its commands, if the first argument names one, else the tap, as Singer has it."""
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        # Imported here: a run does not need it.
        from tap_rest import command

        if sys.argv[1] in command.COMMANDS:
            command.main(sys.argv[1:], TapRest)
    TapRest.cli_main()
