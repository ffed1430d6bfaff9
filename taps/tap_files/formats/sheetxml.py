"""The rows of a sheet of an .xlsx: read as a stream, so that a sheet of a million rows takes no memory, each number with the digits that
the file has.

Nothing is taken from the file but its numbers, texts and styles: no entity, no other file, no formula is followed.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from xml.parsers import expat

from tap_files.formats.contract import OtherSettings, UnreadableFile
from tap_files.formats.sheetplain import Unusual, plain_rows
from tap_files.formats.sheetvalues import Broken, Date, Look, Moment, dated, looks_of, number
from tap_files.settings.xlsx import MOST_COLUMNS, MOST_ROWS, column_letters, column_number

__all__ = ["Book", "Row"]

Row = tuple[int, list[Any]]
"""The number of a row of the sheet, from 1, and its values from its first column on."""

_READ = 1 << 18
_LARGEST_PART = 1 << 31
"""Bytes of texts, styles or a list of sheets, unpacked."""
_LONGEST_TEXT = 1 << 20
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


@dataclass
class _Sheet:
    name: str
    relation: str


@dataclass
class Book:
    """An opened .xlsx.

    Raises:
        UnreadableFile: it is none.
    """

    path: str
    _sheets: list[_Sheet] = field(default_factory=list)
    _strings: list[str] = field(default_factory=list)
    _looks: list[Look] = field(default_factory=list)
    _is_1904: bool = False

    def __post_init__(self) -> None:
        self._file = open(self.path, "rb")  # noqa: SIM115  `close` closes it
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._names = {name.lower(): name for name in self._zip.namelist()}
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            self._file.close()
            raise UnreadableFile(
                f"Expected an .xlsx, which is a zip, got a damaged one ({error}): it is cut; have it written or copied anew."
            ) from None
        try:
            self._workbook = self._part_of(
                self._relations("_rels/.rels", "officeDocument"), "xl/workbook.xml"
            )
            if not self.is_binary:
                self._read_workbook()
        except UnreadableFile:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()
        self._file.close()

    @property
    def is_binary(self) -> bool:
        """Whether it is an .xlsb, which is not read here."""
        return self._workbook.endswith(".bin")

    @property
    def sheets(self) -> list[str]:
        return [sheet.name for sheet in self._sheets]

    def rows(self, sheet: int) -> Iterator[Row]:
        """Yield the rows of a sheet, which has this place in `sheets`, that are not empty; what is before them in a row is None.

        Raises:
            UnreadableFile: the file is damaged.
        """
        last = 0
        try:
            for last, values in self._parser().plain_rows(self._chunks(self._sheet_part(sheet))):
                yield last, values
        except Unusual:
            for row, values in self.exact_rows(sheet):
                if row > last:
                    yield row, values

    def exact_rows(self, sheet: int) -> Iterator[Row]:
        """Yield the same rows by way of the parser alone."""
        name = self._sheet_part(sheet)
        yield from self._parser().rows(self._chunks(name), name)

    def _parser(self) -> _SheetParser:
        if not self._looks:
            self._read_styles()
            self._read_strings()
        return _SheetParser(self._strings, self._looks, self._is_1904)

    def merged(self, sheet: int) -> list[str]:
        """Return the merged areas of a sheet: `A1:B2`."""
        found: list[str] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            if tag == "mergeCell":
                found.append(attributes["ref"])

        self._parse(self._sheet_part(sheet), start)
        return found

    def _sheet_part(self, sheet: int) -> str:
        targets = self._relations(_relations_of(self._workbook), None)
        name = targets.get(self._sheets[sheet].relation, "")
        if name.lower() not in self._names or "worksheets" not in name.lower():
            raise OtherSettings(
                f"Expected cells in sheet `{self._sheets[sheet].name}`, got a sheet without any (a chart, or one that lies elsewhere); name "
                "another in `sheet`."
            )
        return name

    def _read_workbook(self) -> None:
        def start(tag: str, attributes: dict[str, str]) -> None:
            if tag == "workbookPr":
                self._is_1904 = attributes.get("date1904", "0") in ("1", "true", "on")
            elif tag == "sheet":
                relation = next((value for name, value in attributes.items() if name.endswith(":id")), "")
                self._sheets.append(_Sheet(attributes["name"], relation))

        self._parse(self._workbook, start)

    def _read_styles(self) -> None:
        codes: dict[int, str] = {}
        formats: list[int] = []
        inside = ""

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if tag == "numFmt" and inside != "dxfs":
                codes[int(attributes["numFmtId"])] = attributes["formatCode"]
            elif tag in ("cellXfs", "cellStyleXfs", "dxfs"):
                inside = tag
            elif tag == "xf" and inside == "cellXfs":
                formats.append(int(attributes.get("numFmtId", "0")))

        name = self._beside_workbook("styles")
        if name is not None:
            self._parse(name, start)
        self._looks = looks_of(formats, codes) or [Look.NUMBER]

    def _read_strings(self) -> None:
        name = self._beside_workbook("sharedStrings")
        if name is None:
            return
        parts: list[str] = []
        is_text = is_phonetic = False

        def start(tag: str, _attributes: dict[str, str]) -> None:
            nonlocal is_text, is_phonetic
            if tag == "si":
                parts.clear()
            elif tag == "rPh":
                is_phonetic = True
            is_text = tag == "t" and not is_phonetic

        def end(tag: str) -> None:
            nonlocal is_text, is_phonetic
            is_text = False
            if tag == "si":
                self._strings.append(_unescaped("".join(parts)))
            elif tag == "rPh":
                is_phonetic = False

        def text(data: str) -> None:
            if is_text:
                parts.append(data)

        self._parse(name, start, end, text)

    def _beside_workbook(self, kind: str) -> str | None:
        targets = self._relations(_relations_of(self._workbook), kind)
        return next((name for name in targets.values() if name.lower() in self._names), None)

    def _part_of(self, targets: dict[str, str], usual: str) -> str:
        name = next(iter(targets.values()), usual)
        if name.lower() not in self._names:
            raise OtherSettings(
                "Expected an .xlsx, got a zip without a workbook; name what its files are in `format`, and which of them in `members`."
            )
        return name

    def _relations(self, name: str, kind: str | None) -> dict[str, str]:
        """Return the parts that a part refers to, by the names that it has for them; ``kind``: only those."""
        found: dict[str, str] = {}
        base = PurePosixPath(name).parent.parent

        def start(tag: str, attributes: dict[str, str]) -> None:
            of_kind = kind is None or attributes.get("Type", "").endswith(f"/{kind}")
            if tag == "Relationship" and of_kind and attributes.get("TargetMode") != "External":
                target = attributes["Target"]
                found[attributes["Id"]] = (
                    target.lstrip("/") if target.startswith("/") else _joined(base, target)
                )

        if name.lower() in self._names:
            self._parse(name, start)
        return found

    def _parse(
        self,
        name: str,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str], None] | None = None,
        text: Callable[[str], None] | None = None,
    ) -> None:
        parser = _parser()
        prefix: str | None = None

        def local(tag: str) -> str:
            """Return the name of an element, with a prefix only where it is of another vocabulary than the part."""
            nonlocal prefix
            own = tag.rpartition(":")[0]
            if prefix is None:
                prefix = own
            return tag.rpartition(":")[2] if own == prefix else tag

        parser.StartElementHandler = lambda tag, attributes: start(local(tag), attributes)
        if end is not None:
            parser.EndElementHandler = lambda tag: end(local(tag))
        if text is not None:
            parser.CharacterDataHandler = text
        size = 0
        for chunk in self._chunks(name):
            size += len(chunk)
            if size > _LARGEST_PART and name != "":
                raise UnreadableFile(
                    f"Expected at most {_LARGEST_PART} bytes in `{name}` of the workbook, got more: it may be a zip bomb."
                )
            _fed(parser, chunk, name)

    def _chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a part, and b"" at its end."""
        try:
            with closing(self._zip.open(self._names[name.lower()])) as part:
                while chunk := part.read(_READ):
                    yield chunk
        except RuntimeError:
            raise UnreadableFile(
                "Expected a workbook without a password, got one whose parts are encrypted; have it saved without."
            ) from None
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
            raise UnreadableFile(
                f"Expected `{name}` in the workbook, got damage ({error}); have it written or copied anew."
            ) from None
        except Exception as error:
            if type(error).__module__ != "zlib":
                raise
            raise UnreadableFile(
                f"Expected `{name}` in the workbook, got damage ({error}); have it written or copied anew."
            ) from None
        yield b""


class _SheetParser:
    """From the XML of a sheet to its rows."""

    def __init__(self, strings: list[str], looks: list[Look], is_1904: bool) -> None:
        self._strings, self._looks, self._is_1904 = strings, looks, is_1904
        self._rows: list[Row] = []
        self._prefix: str | None = None

    def plain_rows(self, chunks: Iterator[bytes]) -> Iterator[Row]:
        """Yield the rows as `rows` does, where the XML is plain; see `sheetplain.py`."""
        is_number = [look is Look.NUMBER for look in self._looks]
        return plain_rows(
            chunks, self._strings, is_number, self._convert, lambda letters: _column(letters, letters)
        )

    def rows(self, chunks: Iterator[bytes], name: str) -> Iterator[Row]:
        parser = _parser()
        parser.StartElementHandler = self._root(parser)
        for chunk in chunks:
            _fed(parser, chunk, name)
            yield from self._rows
            self._rows.clear()

    def _root(self, parser: Any) -> Callable[[str, dict[str, str]], None]:
        def start(tag: str, _attributes: dict[str, str]) -> None:
            prefix, colon, _ = tag.rpartition(":")
            self._set_handlers(parser, prefix + colon)

        return start

    def _set_handlers(self, parser: Any, prefix: str) -> None:
        c, v, f, t, row, ph = (prefix + tag for tag in ("c", "v", "f", "t", "row", "rPh"))
        convert = self._convert
        columns: dict[str, int] = {}
        values: list[Any] = []
        parts: list[str] = []
        row_number = column = 0
        is_text = is_phonetic = has_value = has_formula = False
        kind = style = ""

        def start(tag: str, attributes: dict[str, str]) -> None:
            nonlocal row_number, column, is_text, is_phonetic, has_value, has_formula, kind, style
            if tag == c:
                place = attributes.get("r")
                if place is None:
                    column += 1
                else:
                    letters = place.rstrip("0123456789")
                    found = columns.get(letters)
                    if found is None:
                        found = columns[letters] = _column(letters, place)
                    if found <= column:
                        raise _Damage(f"cell {place} behind column {column_letters(column)}")
                    column = found
                kind, style = attributes.get("t", "n"), attributes.get("s", "0")
                has_value = has_formula = False
                parts.clear()
            elif tag == v or (tag == t and not is_phonetic):
                is_text = has_value = True
            elif tag == f:
                has_formula = True
            elif tag == row:
                found = int(attributes.get("r", row_number + 1))
                if not row_number < found <= MOST_ROWS:
                    raise _Damage(f"row {found} behind row {row_number}")
                row_number, column = found, 0
                values.clear()
            elif tag == ph:
                is_phonetic = True

        def end(tag: str) -> None:
            nonlocal is_text, is_phonetic
            if tag == c:
                text = "".join(parts)
                if text or (has_value and kind in _TEXTS):
                    value = convert(text, kind, style)
                else:
                    value = Broken("a formula without a stored value") if has_formula else None
                if value is not None:
                    values.extend([None] * (column - 1 - len(values)))
                    values.append(value)
            elif tag in (v, t):
                is_text = False
            elif tag == row:
                if values:
                    self._rows.append((row_number, list(values)))
            elif tag == ph:
                is_phonetic = False

        def text(data: str) -> None:
            if is_text:
                parts.append(data)

        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text

    def _convert(self, text: str, kind: str, style: str) -> Any:
        if kind == "s":
            return self._strings[int(text)]
        if kind == "n":
            look = self._looks[int(style)]
            return number(text) if look is Look.NUMBER else dated(float(text), look, self._is_1904)
        if kind in _TEXTS:
            return _unescaped(text)
        if kind == "b":
            return text.strip() in ("1", "true")
        if kind == "e":
            return Broken(f"the error {text}"[:40])
        if kind == "d":
            return Moment(text) if "T" in text else Date(text)
        raise _Damage(f"a cell of the type `{kind[:20]}`")


_TEXTS = frozenset({"inlineStr", "str"})


class _Damage(ValueError):
    """What stands in a sheet is not what a sheet has."""


def _column(letters: str, place: str) -> int:
    if (
        not letters.isascii()
        or not letters.isalpha()
        or not 1 <= (found := column_number(letters)) <= MOST_COLUMNS
    ):
        raise _Damage(f"a cell with the name `{place[:20]}`")
    return found


def _parser() -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_: Any) -> None:
    raise _Damage("a document type, which may stand for anything")


def _fed(parser: Any, chunk: bytes, name: str) -> None:
    try:
        parser.Parse(chunk, not chunk)
    except (expat.ExpatError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        raise UnreadableFile(
            f"Expected `{name}` in the workbook as Excel writes it, got {error} at line {parser.CurrentLineNumber}, byte {parser.CurrentByteIndex}; have it "
            "saved anew."
        ) from None


def _unescaped(text: str) -> str:
    """Return a text in which characters that XML does not have stand as `_x000D_`."""
    if "_x" not in text:
        return text
    plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    try:
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:  # half of a character
        return text


def _relations_of(part: str) -> str:
    path = PurePosixPath(part)
    return str(path.parent / "_rels" / f"{path.name}.rels")


def _joined(base: PurePosixPath, target: str) -> str:
    parts: list[str] = []
    for part in (base / target).parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
