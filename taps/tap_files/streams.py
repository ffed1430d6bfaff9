"""A stream of files: which of them are to be read, and their pieces as pages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, ClassVar

from singerkit_catalog.admitted import types_of
from singerkit_shell.errors import BadDataError, ConfigurationError, NotAuthorisedError, SingerkitError
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import counted
from singerkit_state.readas import ReadAs
from singerkit_state.shards import is_of
from singerkit_tap.advice import Advice
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.stream import BlockStream, Owner
from singerkit_wire.encode import Record
from tap_files.badrows import BadRows, TooManyBadRows
from tap_files.beforehand import look_through
from tap_files.copies import copied
from tap_files.entries import has_rows
from tap_files.failures import FailedFiles
from tap_files.filecolumns import FILE_COLUMNS
from tap_files.formats.contract import (
    PIECE_BYTES,
    BadRowFound,
    OtherSettings,
    Piece,
    Reader,
    Spot,
    UnreadableFile,
)
from tap_files.inorder import InOrder
from tap_files.known import Known
from tap_files.opening import PlainBytes, digest
from tap_files.packed.packing import archive_kind, archive_of
from tap_files.places.contract import FileChanged, FileGone, Found, Place
from tap_files.ready import Readiness
from tap_files.rotation import Trails
from tap_files.rows import Rows
from tap_files.settings.stream import StreamSettings
from tap_files.sharedkeys import are_shared, late_sentence, shards_sentence, taken_sentence
from tap_files.telling import Seen, moved_sentence, others_of, settings_sentence
from tap_files.turns import Memory, Turn
from tap_files.typing.columns import Columns

__all__ = ["FileStream", "schema_with"]

_SETTINGS = "settings"
_STATE_SHARE = 20
"""So many times the size of the state is read before another one is written."""
_LEAST_BYTES = 1 << 20
_LOOKS = 3
"""So often a file is begun that changes while it is read."""


def schema_with(columns: Columns, settings: StreamSettings) -> dict[str, Any]:
    """Return the schema of a stream with these columns, and those that say where a row comes from."""
    own = {name: dict(FILE_COLUMNS[name]) for name in settings.file_columns}
    properties = {**columns.properties, **own}
    keys = {name: _never_null(properties[name]) for name in settings.primary_keys if name in properties}
    return {"type": "object", "properties": {**properties, **keys}}


def _never_null(prop: Mapping[str, Any]) -> dict[str, Any]:
    types = [name for name in types_of(prop) if name != "null"]
    return {**prop, "type": types[0] if len(types) == 1 else sorted(types)} if types else dict(prop)


class FileStream(BlockStream):
    """The files of one `path`, each read once."""

    goes_on_by_position = True
    is_divided_by_key = False
    advice: ClassVar[Advice] = Advice(
        leaves_out="the config or the catalog leaves {it} out, or no file has {it} any more", places={}
    )
    _others: Sequence[str] = ()
    """The settings by which files are read otherwise than by the run before."""

    def __init__(
        self,
        tap: Owner,
        settings: StreamSettings,
        place: Place,
        columns: Columns,
        listed: InOrder | None = None,
    ) -> None:
        """``listed``: the files that were listed in this run already; None: none were."""
        self._settings, self._place, self._columns, self._listed = settings, place, columns, listed
        super().__init__(
            tap,
            settings.name,
            schema_with(columns, settings),
            key_properties=settings.primary_keys,
            accepts_duplicate_keys=True,
            is_key_unique={"_file", "_row"} <= {*settings.primary_keys},
        )
        self.bad_rows = self._bad_rows(tap) if settings.sets_aside else None
        """Where bad rows go; None: the first one ends its file."""
        self._is_torn = False
        """Whether rows were sent, or taken away, of the file in hand that nothing in a state would say."""
        self._since_safe = 0
        """Bytes of files that were read since the last page at which a STATE may be written."""

    def _bad_rows(self, tap: Owner) -> BadRows:
        keeps_versions = self._settings.on_changed == "append"
        return BadRows(tap, self, self._settings.bad_row_limit, keeps_versions=keeps_versions)

    @property
    def divider(self) -> BlockStream | None:
        """Files are divided into shards, by their paths; logs that rotate have another path each time, and one shard reads all of them."""
        return None if self._settings.follows_rotation else self

    def _is_of_shard(self, file: str) -> bool:
        return self.shard is None or is_of(self.shard, file)

    @property
    def inferred_fields(self) -> Sequence[str]:
        return [name for name in self._columns.inferred if name not in self.primary_keys]

    @property
    def property_metadata(self) -> dict[str, dict[str, Any]]:
        """What takes rows of a file away names them by `_file`."""
        return {"_file": {"inclusion": "automatic"}} if "_file" in self._settings.file_columns else {}

    def asks_of(self) -> Mapping[str, Any]:
        """Return how files are read, a digest of each setting."""
        return {_SETTINGS: {name: digest(said) for name, said in self._settings.read_by.items()}}

    def recall(self, former: ReadAs) -> None:
        """See which settings are others than those of the run before."""
        self._others = others_of(former.source.get(_SETTINGS), self.asks_of()[_SETTINGS])

    def has_read(self, position: Any) -> bool:
        return has_rows(position)

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a catalog with the columns that were found since it was made."""
        return {**schema, "properties": {**self.schema["properties"], **schema.get("properties", {})}}

    def why_no_key(self, name: str) -> str:  # noqa: ARG002  of the contract
        return "is a column of no file that was looked at; correct `primary_keys`, or say in `schema` what it holds"

    def is_own_failure(self, error: SingerkitError) -> bool:  # noqa: ARG002  a place is of one stream, more or less
        return True

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  there is none
        if self.bad_rows is not None:
            self.bad_rows.check_selected()
        self._rows = Rows(self.name, self._settings, self._columns, self._names, self._grow)
        self._has_read = bool(start.position)
        self._count, self._seen = 0, Seen()
        ready = Readiness(self._settings, self._place)
        remembered = Trails if self._settings.follows_rotation else Known
        memory = remembered(
            start.position,
            self._place,
            self._settings,
            ready.is_ready,
            self.way_to_start_over,
            self._is_of_shard,
        )
        failures = FailedFiles(self)
        try:
            yield from self._pages_of_files(memory, ready, failures)
        except SingerkitError:
            self._tell(memory, ready, is_cut_off=True)
            raise
        if stop_flag:
            self._tell_settings(ready, is_cut_off=True)
            return
        self._tell(memory, ready)
        failures.raise_any(self._seen.count)

    def _pages_of_files(
        self, memory: Known | Trails, ready: Readiness, failures: FailedFiles
    ) -> Iterator[Page]:
        for turn in memory.turns(self._files(ready)):
            self._seen.take(turn)
            try:
                yield from self._pages_of(memory, turn)
            except (BadDataError, NotAuthorisedError) as error:
                if self._is_torn:
                    raise
                if self._settings.on_error == "fail" or isinstance(error, TooManyBadRows):
                    yield Page((), position=memory.position())
                    raise
                memory.leave(turn.found)
                failures.note(turn, error)
            if stop_flag:
                return
        yield from self._removals(memory, failures.archives)
        yield Page((), position=memory.position())

    def _files(self, ready: Readiness) -> Iterator[Found]:
        listed, self._listed = self._listed, None
        for found in ready.files(self._settings.pattern.files(self._place) if listed is None else listed):
            self._count += 1
            if self._is_of_shard(self._settings.address.shown + found.name):
                self._seen.count += 1
                yield found
        if not self._count:
            self._check_one_file()
            self.tap.sync_run.warn(
                self,
                f"No file of stream `{self.name}` is there: nothing in its folder has a name like `{self._settings.pattern.text}`"
                f"{'' if self._settings.start_date is None else ', and was modified since `start_date`'}.",
            )

    def _check_one_file(self) -> None:
        """See that the one file that `path` names is there, or was when it was read.

        Raises:
            ConfigurationError: it is not, and no run has read it.
        """
        pattern = self._settings.pattern
        if pattern.is_folder(self._place):
            raise ConfigurationError(
                f"`path` of stream `{self.name}` names a folder, {self._settings.address.shown}{pattern.text}; nothing was read. Name the files in it: `{pattern.text}/*.csv`."
            )
        may_lack = self._has_read or self._settings.follows_rotation or archive_kind(pattern.text) is not None
        if may_lack or not pattern.is_one_file:
            return
        if self._place.look(pattern.text) is None:
            raise ConfigurationError(
                f"The file {self._settings.address.shown}{pattern.text} of stream `{self.name}` is not there, or is none; nothing was read. Correct `path` (of a folder it names the files: `in/*.csv`), or name it with a wildcard, if it may come later."
            )

    def _removals(self, memory: Known | Trails, unread: Collection[str]) -> Iterator[Page]:
        """Yield what takes the rows of files away that are not there any more, as a listing to its end has shown."""
        gone = memory.missing() if self._settings.on_removed == "delete" else ()
        gone = [file for file in gone if self._is_of_shard(file) and archive_of(file) not in unread]
        left_out = {file for file in gone if self._is_left_out(file)}
        if left_out:
            self.logger.info(
                "Rows of %s stay that are there still, and left out by `path` or `start_date`.",
                counted(len(left_out), "file"),
            )
        gone = [file for file in gone if file not in left_out]
        if not gone:
            return
        if not self._count:
            self.tap.sync_run.warn(
                self,
                f"All {counted(len(gone), 'file')} of stream `{self.name}` that were read are gone, which looks like a folder that is not mounted: no row is taken from the target. "
                "If they are meant to be gone, empty its table by hand.",
            )
            return
        for file in gone:
            yield self._replacing(file)
            memory.forget(file)
        self.logger.info(
            "The rows of %s that are not there any more go from the target.", counted(len(gone), "file")
        )

    def _is_left_out(self, file: str) -> bool:
        """Tell whether a file that was read and is not listed is there all the same."""
        shown, pattern = self._settings.address.shown, self._settings.pattern
        name = file.removeprefix(shown)
        if not file.startswith(shown) or name.startswith("/"):
            return False
        may_be = self._settings.start_date is not None or not pattern.fits(archive_of(name))
        return may_be and self._place.look(name) is not None

    def _tell_settings(self, ready: Readiness, *, is_cut_off: bool) -> None:
        sentence = settings_sentence(
            self, self._others, self._seen.anew, self._seen.kept(ready.waiting), is_cut_off=is_cut_off
        )
        if sentence is not None:
            self.tap.sync_run.warn(self, sentence)

    def _tell(self, memory: Known | Trails, ready: Readiness, *, is_cut_off: bool = False) -> None:
        """Say what a run left and set aside, and what nobody knows any more. ``is_cut_off``: it ends with an error."""
        self._tell_settings(ready, is_cut_off=is_cut_off)
        aside = None if self.bad_rows is None else self.bad_rows.summary()
        if aside is not None:
            self.tap.sync_run.warn(self, aside)
        if are_shared(self.primary_keys, self._settings.pattern):
            if memory.late:
                self.tap.sync_run.warn(self, late_sentence(self, memory.late, memory.first_late))
            if self.shard is not None:
                self.tap.sync_run.warn(self, shards_sentence(self))
        if memory.moved and self._settings.on_removed == "keep":
            self.tap.sync_run.warn(self, moved_sentence(self.name, memory.moved))
        for file in memory.lost:
            self.tap.sync_run.warn(
                self,
                f"The log {file} of stream `{self.name}` was rotated, and the file that it was is not there any more: lines that were written to it after the run before are missing. "
                "Let `path` name rotated files, too (`app.log*`), and have runs more often than they are removed.",
            )
        self.logger.info("%s", self._seen.sentence(self.name, ready.waiting, is_cut_off))
        if memory.forgotten:
            self.logger.info(
                "The state of stream `%s` keeps the names of %s, and %s fell off: a file that comes later with an older time than theirs is taken for one of them.",
                self.name,
                counted(self._settings.remembered_files, "file"),
                counted(memory.forgotten, "older one"),
            )
        if memory.has_forgotten and self._settings.on_removed == "delete":
            self.tap.sync_run.warn(
                self,
                f"Rows of files of stream `{self.name}` whose names fell off stay in the target when those files are removed, since nobody knows any more that they were there (`on_removed`): set "
                f"`remembered_files` above the number of files, which is {counted(self._settings.remembered_files, 'file')} now.",
            )
        if memory.unsure:
            self.tap.sync_run.warn(
                self,
                f"Of {counted(memory.unsure, 'file')} of stream `{self.name}` nobody knows any more whether it is new, or one that was read long ago and has changed: it was taken for new. "
                "Set `remembered_files` higher than the number of files, or `on_changed` to `replace`.",
            )

    def _pages_of(self, memory: Memory, turn: Turn) -> Iterator[Page]:
        """Yield the pages of a file, once more where it changes meanwhile."""
        since = self._changed_since(memory, turn)
        if since is None:
            return
        turn = since
        for look in range(_LOOKS):
            if turn.problem is not None:
                raise turn.problem
            try:
                yield from self._pages_of_version(memory, turn)
                return
            except FileChanged as error:
                found = self._place.look(turn.found.name)
                if found is None and self._settings.follows_rotation:
                    return  # it is called otherwise by now, as the next run finds
                if found is None or look == _LOOKS - 1:
                    raise self._in_motion(error, turn, is_gone=found is None) from None
                again = memory.again(found)
                if again is None:
                    return
                turn = replace(again, start=Spot(), replaces=True) if self._is_torn else again
                self.logger.info("The file %s changes while it is read, and is read again.", turn.file)

    def _changed_since(self, memory: Memory, turn: Turn) -> Turn | None:
        """Return how to read a file of this machine that was written to since it was listed, maybe long ago; None: nothing is new of it any more."""
        if (
            turn.problem is not None
            or self._settings.follows_rotation
            or self._place.path_of(turn.found) is None
        ):
            return turn
        now = self._place.look(turn.found.name)
        return turn if now is None or now.version == turn.found.version else memory.again(now)

    def _in_motion(self, error: FileChanged, turn: Turn, *, is_gone: bool) -> BadDataError:
        if is_gone or isinstance(error, FileGone):
            return FileGone(
                f"The file {turn.file} of stream `{self.name}` was listed, and went away before it was read to its end; what comes before it is safe. Run again to go on with the others: files should stay "
                "until a run has read them."
            )
        return FileChanged(
            f"The file {turn.file} of stream `{self.name}` changes as often as it is read; no part of a version is taken for the whole, and what comes before it is safe. "
            "Run again when nobody writes it, or have files read that are older than `minimum_age`."
        )

    def _pages_of_version(self, memory: Memory, turn: Turn) -> Iterator[Page]:
        """Yield the pages of a file as it was listed."""
        with ExitStack() as held:
            place = self._place
            if turn.replaces:
                if not self._is_torn:
                    is_small = not self._is_worth_a_state(memory, turn.found.size or 0)
                    if self._settings.on_error == "continue" or (self._since_safe and is_small):
                        place = self._looked_through(turn, held)
                    if self._since_safe and place is self._place:
                        yield self._safe_page(memory)
                if stop_flag:
                    return
                self._is_torn = True
                yield self._replacing(turn.file)
            yield from self._pages_of_content(memory, turn, self._opened(turn, place))

    def _pages_of_content(self, memory: Memory, turn: Turn, content: PlainBytes) -> Iterator[Page]:
        """Yield the pages of what was opened; where it cannot be read on, the memory has what was sent of it, before the error."""
        spot: Spot | None = turn.start
        rows = turn.start.row
        try:
            reader = self._reader(content, turn)
            self._rows.begin_file(reader, turn)
            for piece in reader.pieces():
                is_bare = piece.behind is None and self._settings.on_changed != "replace"
                if is_bare and not self._is_torn and self._settings.on_error == "continue":
                    with ExitStack() as held:
                        self._looked_through(turn, held)
                page = Page(self._good_rows(piece, turn), is_safe=False)
                before, spot = spot, piece.behind
                rows += piece.count
                self._since_safe += _bytes_of(before, spot, turn.found)
                if spot is not None and not turn.replaces and self._is_due(memory):
                    memory.reached(turn, spot, rows, content.ends(spot.byte), content.up_to(spot.byte))
                    page.is_safe, page.position = True, memory.position()
                self._is_torn = turn.replaces or is_bare
                yield page
                if stop_flag:
                    return
            if content.may_grow:
                content.check_same()
            memory.done(turn, spot, rows, None if spot is None else content.ends(spot.byte), content.whole)
            self._is_torn = False
            if self._is_due(memory):
                yield self._safe_page(memory)
        except BadDataError as found:
            error = _of_version(found, content)
            if rows > turn.start.row and not turn.replaces:
                ends, whole = (
                    (None, "") if spot is None else (content.ends(spot.byte), content.up_to(spot.byte))
                )
                memory.reached(turn, spot, rows, ends, whole)
            raise self._in_file(error, turn) from None
        finally:
            content.close()

    def _reader(self, content: PlainBytes, turn: Turn) -> Reader:
        try:
            return self._settings.format.reader(self._settings.format_settings, content, turn.start)
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            if turn.start == Spot():
                raise
            raise ConfigurationError(
                f"What the state says of the file {turn.file} of stream `{self.name}` cannot be understood, the place where to go on ({type(error).__name__}); nothing more was read. Bring back a state of this stream, or read all files again: run {self.way_to_start_over}."
            ) from None

    def _opened(self, turn: Turn, place: Place) -> PlainBytes:
        try:
            return PlainBytes(place, turn)
        except BadDataError as error:
            raise self._in_file(error, turn) from None

    def _safe_page(self, memory: Memory) -> Page:
        self._since_safe = 0
        return Page((), position=memory.position())

    def _looked_through(self, turn: Turn, held: ExitStack) -> Place:
        """See that a file can be read to its end before rows are sent that no STATE covers until then: one that cannot is left as the target has it.

        Returns where to read it from then: a copy, in which nobody writes, and which goes with ``held``; the place itself where there is none.

        Raises:
            BadDataError: it cannot.
        """
        rows = Rows(self.name, self._settings, self._columns.copy(), self._names, lambda: self._names)
        place = self._place
        try:
            copy = copied(place, turn.found) if turn.replaces else None
            if copy is not None:
                held.callback(copy.close)
                place = copy
            look_through(self._settings, place, rows, turn)
        except BadDataError as error:
            raise self._in_file(error, turn, "what was loaded of it stays as it was") from None
        return place

    def _replacing(self, file: str) -> Page:
        """Return what has the rows of a file go, those that were set aside, too."""
        if self.bad_rows is not None:
            self.bad_rows.replace(file)
        if are_shared(self.primary_keys, self._settings.pattern):
            self.tap.sync_run.warn(self, taken_sentence(self))
        return Page((), replaces={"_file": file}, is_safe=False)

    def _good_rows(self, piece: Piece, turn: Turn) -> Sequence[Record]:
        """Return the rows of a piece that are good; the others end the file, or are set aside."""
        records, bad = self._rows.sifted(piece)
        if self.bad_rows is not None:
            self.bad_rows.take(turn.file, turn.found.version, bad)
        return records

    def _is_due(self, memory: Memory) -> bool:
        if not self._is_worth_a_state(memory, self._since_safe):
            return False
        self._since_safe = 0
        return True

    @staticmethod
    def _is_worth_a_state(memory: Memory, size: int) -> bool:
        return size >= max(_LEAST_BYTES, _STATE_SHARE * memory.size)

    def _in_file(
        self, error: BadDataError, turn: Turn, safe: str = "what comes before it is safe"
    ) -> BadDataError:
        if not isinstance(error, UnreadableFile):
            return error
        return BadDataError(
            f"{str(error).removesuffix('.')}, of the file {turn.file} of stream `{self.name}`; {safe}. {self._way_on(error)}"
        )

    def _way_on(self, error: UnreadableFile) -> str:
        """Return what to do about a file that cannot be read on."""
        others = (
            ""
            if self._settings.on_error == "continue"
            else " (`on_error` `continue` has the other files read)"
        )
        if isinstance(error, OtherSettings):
            return f"Correct the setting, or the file if the setting is right{others}, then run again."
        if not isinstance(error, BadRowFound):
            return f"Mend the file, or move it away{others}, then run again."
        form, said = self._settings.format.name, str(error)
        allowed = ""
        if form == "csv" and " fields, got " in said:
            allowed = ", or allow it by `short_rows` or `long_rows` in `csv`"
        if form == "xlsx" and "Expected a value in cell" in said:
            allowed = ", or have it sent as null by `errors` in `xlsx`"
        return f"Mend the row, or the setting if that is what is wrong; or set `on_bad_row` to `set_aside`, which has bad rows go to a stream of their own{allowed}{others}; then run again."

    def _grow(self) -> Sequence[str]:
        """Go on with the columns as they are known now: a SCHEMA before the next row."""
        self.grow_schema(schema_with(self._columns, self._settings))
        self.tap.sync_run.renew_schema(self)
        return self._names

    @property
    def _names(self) -> Sequence[str]:
        """The columns that are sent, in their order."""
        properties = self.effective_schema.get("properties", {})
        return [name for name in properties if self.mask["properties", name]]


def _of_version(error: BadDataError, content: PlainBytes) -> BadDataError:
    """Return an error, or that the file was changed meanwhile, so that it may be one of no version."""
    try:
        if not isinstance(error, FileChanged):
            content.check_same()
    except FileChanged as changed:
        return changed
    return error


def _bytes_of(before: Spot | None, behind: Spot | None, found: Found) -> int:
    if before is not None and behind is not None:
        return behind.byte - before.byte or PIECE_BYTES  # of formats whose records have no places in bytes
    return found.size or 0
