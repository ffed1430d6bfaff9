"""Fixed width: columns by their place, in characters and in bytes, and lines that are shorter or longer."""

from __future__ import annotations

from typing import Any

import pytest
from taps.files.reading_bytes import pieces_of, rows_of

from singerkit_shell.errors import ConfigurationError
from tap_files.formats import blocks, fixedwidth, textreader
from tap_files.formats.contract import BadRow
from tap_files.settings.fixedwidth import fixed_width_problems, fixed_width_settings

TWO = [{"name": "id", "width": 3}, {"name": "a", "width": 4}]


def opener(**said: Any) -> Any:
    settings = fixed_width_settings({"columns": TWO} | said, "a.txt")
    return lambda content, start: fixedwidth.reader_of(settings, content, start)


def values(data: bytes, **said: Any) -> list[Any]:
    rows = rows_of(pieces_of(opener(**said), data))
    return [row.reason if isinstance(row, BadRow) else tuple(row.values()) for _, _, row in rows]


GAPS = [{"name": "id", "from": 1, "to": 2}, {"name": "a", "from": 4, "width": 3}]


@pytest.mark.parametrize(
    ("data", "said", "expected"),
    [
        (b"  1x   \n002 y z\r\n   \xc3\xbc   ", {}, [("1", "x"), ("002", "y z"), (None, "ü")]),
        (b"1  x   \r2  y   \r", {}, [("1", "x"), ("2", "y")]),
        (b" 1  x  \n", {"trim": "left"}, [("1 ", "x  ")]),
        (b" 1  x  \n", {"trim": "right"}, [(" 1", " x")]),
        (b" 1  x  \n", {"trim": "none"}, [(" 1 ", " x  ")]),
        (b"12-abc\n34-def\n", {"columns": GAPS}, [("12", "abc"), ("34", "def")]),
        (
            b"1  x   \n2  y\n\n3  z   !\n4  z     \n",
            {},
            [
                ("1", "x"),
                "Expected a line of 7 characters, got 4 in line 2",
                "Expected nothing behind 7 characters, got 8 in line 4",
                ("4", "z"),
            ],
        ),
        (
            b"1  x\n2\n3  z   !\n",
            {"short_rows": "pad", "long_rows": "cut"},
            [("1", "x"), ("2", None), ("3", "z")],
        ),
        (b"head\n1  x   \nend", {"skip_lines": 1, "footer_lines": 1}, [("1", "x")]),
        ("1  ü  \n2  xx  \n".encode(), {"measure": "bytes"}, [("1", "ü"), ("2", "xx")]),
        (
            "12ü   \n".encode(),
            {"measure": "bytes"},
            ["Expected columns that end where a character does, got half of one in line 1"],
        ),
        (
            "1  表 \n2  xy  \n".encode("shift_jis"),
            {"measure": "bytes", "encoding": "shift_jis"},
            ["Expected a line of 7 bytes, got 6 in line 1", ("2", "xy")],
        ),
        (
            "1  表 \n".encode("iso2022_jp"),
            {"measure": "bytes", "encoding": "iso2022_jp", "long_rows": "cut"},
            ["Expected columns that end where a character does, got half of one in line 1"],
        ),
        ("1  ä   \x852  x   ".encode("cp273"), {"measure": "bytes", "encoding": "cp273"}, [("1", "ä"), ("2", "x")]),
        (
            b"1  \xe4   \n2  x   \n",
            {},
            ["Expected `utf-8`, got bytes that are not in line 1 (byte 3)", ("2", "x")],
        ),
        (b"1  1,5 \n", {"decimal_comma": ["a"]}, [("1", "1.5")]),
    ],
)  # fmt: skip
def test_what_becomes_of_lines(data: bytes, said: dict[str, Any], expected: list[Any]) -> None:
    reasons = [one.partition("; say")[0] if isinstance(one, str) else one for one in values(data, **said)]
    assert reasons == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "shift_jis"])
def test_a_later_run_reads_the_rest(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    for module in (blocks, textreader):
        monkeypatch.setattr(module, "BLOCK_BYTES", 40)
    data = "".join(
        f"{number:3}{'表x  ' if number % 3 else 'x'}{' ' * (number % 2)}\r\n" for number in range(40)
    ).encode(encoding)
    open_reader = opener(encoding=encoding)
    pieces = list(pieces_of(open_reader, data))
    assert len(pieces) > 5
    assert [row[0] for row in rows_of(pieces)] == list(range(1, 41))
    for number, piece in enumerate(pieces, 1):
        assert rows_of(pieces_of(open_reader, data, piece.behind)) == rows_of(pieces[number:])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ([{"name": "a"}], "Expected `width`, `from` and `to`, or `from` and `width` at `x.columns[0]`, got none"),
        ([{"name": "a", "width": 1, "to": 1}], "got to and width"),
        ([{"name": "a", "width": 1}, {"name": "a", "width": 1}], "got `a` twice"),
        ([{"name": "a", "width": 3}, {"name": "b", "from": 3, "to": 5}], "got `b` from 3 to 5 behind one that ends at 3"),
        ([{"name": "a", "from": 3, "to": 2}], "got `a` from 3 to 2"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_are_refused(columns: list[dict[str, Any]], sentence: str) -> None:
    assert sentence in " ".join(fixed_width_problems({"columns": columns}, "x"))


def test_the_tap_reads_fixed_width(folder: Any) -> None:
    folder.write("in/a.txt", "001x   \n002y   \n")
    with pytest.raises(ConfigurationError, match=r"Expected the key `streams\[0\].fixed_width`"):
        folder.sync(path="in/*.txt", format="fixed_width")
    rows = folder.sync(path="in/*.txt", format="fixed_width", fixed_width={"columns": TWO}).rows()
    assert [(row["id"], row["a"], row["_row"]) for row in rows] == [("001", "x", 1), ("002", "y", 2)]
