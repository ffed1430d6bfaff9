"""A stream of files: which of them are new, their pieces as pages, and the columns that they show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import Any, ClassVar

from singerkit_shell.errors import BadDataError, SingerkitError
from singerkit_shell.signals import stop_flag
from singerkit_shell.words import ended
from singerkit_tap.advice import Advice
from singerkit_tap.contract import Context, Page, Start
from singerkit_tap.stream import BlockStream, Owner
from singerkit_wire.encode import Record
from singerkit_wire.typedrows import RowMaker
from tap_files.filecolumns import FILE_COLUMNS, of_file
from tap_files.formats.contract import Piece, Reader, Spot, UnreadableFile
from tap_files.known import Known
from tap_files.opening import PlainBytes
from tap_files.places.contract import Found, Place
from tap_files.settings.stream import StreamSettings
from tap_files.turns import Memory, Turn
from tap_files.typing.columns import Columns, NoValue
from tap_files.typing.texts import Column, Misfit

__all__ = ["FileStream", "schema_with"]

_STATE_SHARE = 20
"""So many times the size of the state is read before another one is written."""
_LEAST_BYTES = 1 << 20


def schema_with(columns: Columns, settings: StreamSettings) -> dict[str, Any]:
    """Return the schema of a stream with these columns, and those that say where a row comes from."""
    own = {name: dict(FILE_COLUMNS[name]) for name in settings.file_columns}
    return {"type": "object", "properties": {**columns.properties, **own}}


class FileStream(BlockStream):
    """The files of one `path`, each read once."""

    goes_on_by_position = True
    advice: ClassVar[Advice] = Advice(
        leaves_out="the config or the catalog leaves {it} out, or no file has {it} any more"
    )

    def __init__(
        self,
        tap: Owner,
        settings: StreamSettings,
        place: Place,
        columns: Columns,
        listed: Sequence[Found] | None = None,
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
        self._since_safe = 0
        """Bytes of files that were read since the last page at which a STATE may be written."""

    @property
    def inferred_fields(self) -> Sequence[str]:
        return [name for name in self._columns.inferred if name not in self.primary_keys]

    def with_catalog(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of a catalog with the columns that were found since it was made."""
        return {**schema, "properties": {**self.schema["properties"], **schema.get("properties", {})}}

    def why_no_key(self, name: str) -> str:  # noqa: ARG002  of the contract
        return "is a column of no file that was looked at; correct `primary_keys`, or say in `schema` what it holds"

    def is_own_failure(self, error: SingerkitError) -> bool:  # noqa: ARG002  a place is of one stream, more or less
        return True

    def read_pages(self, context: Context | None, start: Start) -> Iterator[Page]:  # noqa: ARG002  there is none
        settings = self._settings
        memory = Known(
            start.position, self._place, settings.address.shown, settings.on_changed, self.way_to_start_over
        )
        self._lay_out()
        for turn in memory.turns(self._files()):
            yield from self._pages_of(memory, turn)
            if stop_flag:
                return
        yield Page((), position=memory.position())

    def _files(self) -> Iterator[Found]:
        listed, self._listed = self._listed, None
        count = 0
        for found in self._settings.pattern.files(self._place) if listed is None else listed:
            count += 1
            yield found
        if not count:
            self.tap.sync_run.warn(
                self,
                f"No file of stream `{self.name}` is there: nothing in its folder has a name like `{self._settings.pattern.text}`.",
            )

    def _pages_of(self, memory: Memory, turn: Turn) -> Iterator[Page]:
        """Yield the pages of a file; where it cannot be read on, one that covers what was sent of it, before the error."""
        spot: Spot | None = turn.start
        rows = turn.start.row
        content = PlainBytes(self._place, turn)
        try:
            reader = self._settings.format.reader(self._settings.format_settings, content, turn.start)
            self._take_fields(reader, turn)
            for piece in reader.pieces():
                for bad in piece.bad:
                    raise UnreadableFile(bad.reason)
                page = Page(self._records(piece), is_safe=False)
                before, spot = spot, piece.behind
                rows += piece.count
                self._since_safe += _bytes_of(before, spot, turn.found)
                if spot is not None and self._is_due(memory):
                    memory.reached(turn, spot, rows, content.ends(spot.byte))
                    page.is_safe, page.position = True, memory.position()
                yield page
                if stop_flag:
                    return
            memory.done(turn, spot, rows, None if spot is None else content.ends(spot.byte))
            if self._is_due(memory):
                yield Page((), position=memory.position())
        except BadDataError as error:
            if spot != turn.start:
                memory.reached(turn, spot, rows, None if spot is None else content.ends(spot.byte))
            yield Page((), position=memory.position())
            raise self._in_file(error, turn) from None
        finally:
            content.close()

    def _is_due(self, memory: Memory) -> bool:
        if self._since_safe < max(_LEAST_BYTES, _STATE_SHARE * memory.size):
            return False
        self._since_safe = 0
        return True

    def _in_file(self, error: BadDataError, turn: Turn) -> BadDataError:
        if not isinstance(error, UnreadableFile):
            return error
        sentence = ended(str(error)).removesuffix(".")
        return BadDataError(
            f"{sentence}, of the file {turn.file} of stream `{self.name}`; what comes before it is safe. Mend the file, or move it away, then run again."
        )

    # Columns

    def _take_fields(self, reader: Reader, turn: Turn) -> None:
        """Take the columns of a file, before its first row."""
        fields = reader.fields or {}
        own = [name for name in fields if name in self._settings.file_columns]
        partitions = self._settings.pattern.partitions
        if own:
            raise UnreadableFile(
                f"Expected no column `{own[0]}`, which says where a row comes from, got one; leave it out of `file_columns`"
            )
        both = [name for name in fields if name in partitions]
        if both:
            raise UnreadableFile(
                f"Expected no column `{both[0]}`, which a part of the path is called, got one"
            )
        if self._columns.learn({**fields, **dict.fromkeys(partitions)}):
            self._grow()
        self._typed = frozenset(name for name, schema in fields.items() if schema is not None)
        self._alike: dict[str, Any] = of_file(turn.file, turn.found)
        values = self._settings.pattern.values(turn.found.name)
        for name, value in self._converted({name: [value] for name, value in values.items()}).items():
            self._alike[name] = value[0]

    def _grow(self) -> None:
        """Go on with the columns as they are known now: a SCHEMA before the next row."""
        self.grow_schema(schema_with(self._columns, self._settings))
        self.tap.sync_run.renew_schema(self)
        self._lay_out()

    def _lay_out(self) -> None:
        properties = self.effective_schema.get("properties", {})
        self._names = [name for name in properties if self.mask["properties", name]]
        self._rows = RowMaker(self._names)

    def _records(self, piece: Piece) -> Sequence[Record]:
        """Return the records of a piece, as they are sent."""
        if piece.columns is None:
            raise NotImplementedError("records")
        sent = {*self._names}
        columns = {name: values for name, values in piece.columns.items() if name in sent}
        texts = {name: values for name, values in columns.items() if name not in self._typed}
        columns |= self._converted_of(piece, texts)
        values = [self._column(name, columns, piece) for name in self._names]
        return self._rows.rows(islice(zip(*values, strict=False), piece.count))

    def _column(self, name: str, columns: Mapping[str, Column], piece: Piece) -> Any:
        if name in columns:
            return columns[name]
        if name == "_row":
            return piece.numbers
        if name == "_line" and piece.lines is not None:
            return piece.lines
        return repeat(self._alike.get(name))

    def _converted_of(self, piece: Piece, texts: Mapping[str, Column]) -> dict[str, Column]:
        try:
            return self._converted(texts)
        except NoValue as error:
            line = f" (line {piece.lines[error.number]})" if piece.lines is not None else ""
            raise UnreadableFile(
                f"Expected `{error.kind}`, got a text that is none at {self.name}.$.{error.name}, record {piece.numbers[error.number]}{line}"
            ) from None

    def _converted(self, texts: Mapping[str, Column]) -> dict[str, Column]:
        """Return the values of columns of texts; a column that turns out to be of another type is widened before."""
        try:
            return self._columns.convert(texts)
        except Misfit:
            self._columns.look(texts)
            self._grow()
            return self._columns.convert(texts)


def _bytes_of(before: Spot | None, behind: Spot | None, found: Found) -> int:
    if before is not None and behind is not None:
        return behind.byte - before.byte
    return found.size or 0
