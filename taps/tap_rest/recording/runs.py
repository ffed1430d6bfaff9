"""The two runs: one whose exchanges are kept, and one that is given them again."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Collection, Mapping
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from singerkit_shell.errors import SingerkitError
from singerkit_shell.secrets import redactor
from singerkit_shell.variables import stand_ins
from singerkit_shell.walltime import wall_time
from singerkit_shell.words import counted
from singerkit_state.value import encode
from tap_rest.config import ApiSettings, api_settings
from tap_rest.recording.folder import FolderReader, FolderWriter
from tap_rest.recording.recorder import Recorder
from tap_rest.recording.replayer import Replayer
from tap_rest.recording.veil import PLACE_HOLDER, Veil
from tap_rest.schema.cache import cache_file
from tap_rest.settings.auth import AuthSettings, NoneSettings

__all__ = ["recorded", "replayed"]

_logger = logging.getLogger("tap-rest")
_OUR_FAULT = 70


def recorded(tap: type[Any], folder: str, limit: int, masked: Collection[str] = ()) -> type[Any]:
    """Return ``tap`` (`tap_rest.tap.TapRest`) as one whose run is recorded in ``folder``, in ``limit`` bytes at most.

    ``masked``: the members of answers whose values are not recorded.
    """

    class Recorded(tap):  # type: ignore[misc]  # it is handed in, since it is what starts this
        @cached_property
        def tape(self) -> Recorder:
            return Recorder(FolderWriter(folder, limit), Veil(), masked)

        def sync(self) -> None:
            """Sync as always, and say in the end what the recording holds."""
            tape, code = self.tape, _OUR_FAULT
            tape.begin(
                {
                    "of": f"tap-rest {metadata.version('singerkit')}",
                    "identity": self.identity,
                    # As texts, in which every digit stays.
                    "state": encode(self.start_state),
                    "catalog": encode({"streams": [*self.input_entries.values()]})
                    if self.input_entries
                    else None,
                    "schemas": _cached_schemas(self.api),
                    "keeps_schemas": _keeps_schemas(self.api),
                }
            )
            try:
                with wall_time.replaced(tape.now, waits=True):
                    super().sync()
                code = 0
            except SingerkitError as error:
                code = error.exit_code
                raise
            finally:
                tape.end(code)
                _logger.warning("%s", _told(folder, tape))

    return Recorded


def _told(folder: str, tape: Recorder) -> str:
    said = f"The recording in {folder} holds {counted(tape.count, 'exchange')}, with the rows as the API gave them: look through it before others have it."
    if tape.veil.count:
        said += f" In {counted(tape.veil.count, 'place')} of answers stood what the config holds as a secret; a stand-in is there now."
    return said


def replayed(tap: type[Any], folder: str) -> type[Any]:
    """Return ``tap`` (`tap_rest.tap.TapRest`) as one that asks nobody: all answers are those of the recording in ``folder``."""

    class Replayed(tap):  # type: ignore[misc]  # see above
        def __init__(self, *, catalog: Any = None, **given: Any) -> None:
            """Take what a tap takes; without a catalog, that of the recorded run."""
            self.tape = Replayer(FolderReader(folder), Veil())
            super().__init__(catalog=catalog or self.tape.catalog, **given)

        @cached_property
        def api(self) -> ApiSettings:
            """The config, with nothing in it that reads or writes beside the recording."""
            return _apart(api_settings(self.config), self.tape, self._schemas.name)

        @cached_property
        def _schemas(self) -> tempfile.TemporaryDirectory[str]:
            """The folder of the inferred schemas, as long as the run lasts."""
            return tempfile.TemporaryDirectory(prefix="tap-rest-replay-")

        def sync(self) -> None:
            """Sync from the recording."""
            tape = self.tape
            _tell_of_parts(folder, tape)
            if self._store is None:  # no other state is given
                self.identity = tape.identity
                self.load_state(tape.state)
            try:
                with wall_time.replaced(tape.now, waits=False):
                    super().sync()
            finally:
                self._schemas.cleanup()

    return Replayed


def _apart(settings: ApiSettings, tape: Replayer, cache: str) -> ApiSettings:
    """Return settings with which one request is made at a time, and no file is read or written but those of schemas in ``cache``."""
    settings = msgspec.structs.replace(settings, concurrency=1, schema_cache=cache)
    schemas = tape.begun.get("schemas") or {}
    if not tape.begun.get("keeps_schemas", True):
        file = Path(cache) / "no folder"
        file.touch()
        settings = msgspec.structs.replace(settings, schema_cache=str(file))
    for stream in settings.streams:
        if stream.name in schemas:
            cache_file(stream, settings).write_text(schemas[stream.name], encoding="utf-8")
    if not tape.has_logins or _lacks_key(settings.auth):
        tape.is_without_logins = True
        return msgspec.structs.replace(settings, auth=NoneSettings())
    if getattr(settings.auth, "token_file", None) is not None:
        in_memory = msgspec.structs.replace(settings.auth, token_file=None)
        return msgspec.structs.replace(settings, auth=in_memory)
    return settings


def _lacks_key(auth: AuthSettings) -> bool:
    """Tell whether a stand-in stands for a key that has to have a form: nothing can be signed by it."""
    keys = (getattr(auth, name, None) for name in ("private_key", "account_key", "secret"))
    return any(PLACE_HOLDER in str(key) for key in keys)


def _tell_of_parts(folder: str, tape: Replayer) -> None:
    """Say what of the recorded run there is not."""
    if stand_ins.used_for:
        _logger.info(
            "A stand-in is taken for %s, which the config refers to and which is not there; if it is no secret, set it.",
            redactor.mask_foreign(", ".join(stand_ins.used_for)),
        )
    if tape.end is None:
        _logger.warning(
            "The recording in %s was cut off: the run that it is of was killed, or is not over. What it holds is replayed.",
            folder,
        )
    elif tape.end.get("is_full"):
        _logger.warning("The recording in %s ended before its run did: what came after is not in it.", folder)


def _keeps_schemas(api: ApiSettings) -> bool:
    """Tell whether schemas can be kept in the folder for them, as far as it is seen without trying."""
    folder = cache_file(api.streams[0], api).parent
    there = next(place for place in (folder, *folder.parents) if os.path.exists(place))
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _cached_schemas(api: ApiSettings) -> Mapping[str, str]:
    found = {}
    for stream in api.streams:
        file = cache_file(stream, api)
        if file.exists():
            found[stream.name] = file.read_text(encoding="utf-8")
    return found
