"""Operations on the schema of their field, configs that are refused, and what holds for any value."""

from __future__ import annotations

import hmac
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from mappers.map.operating import BAD, KEY, made, value
from sampling import IS_SAMPLE, tries

from singerkit_map.contract import Impossible
from singerkit_map.operations import fixtext
from singerkit_map.operations.table import OPERATIONS
from singerkit_map.values.keys import Key
from singerkit_map.values.redactions import KINDS, redacted
from singerkit_map.values.spelling import CASES, FORMS
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor

TEXT = {"type": ["string", "null"]}
MAIL = {
    "type": "string",
    "format": "email",
    "maxLength": 9,
    "enum": ["a@b.co"],
    "title": "Mail",
    "x-sql-datatype": "varchar(9)",
}
BERLIN = {"assume": "Europe/Berlin"}
SCHEMAS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("mask", {}, MAIL, {"type": "string", "title": "Mail"}),
    ("mask", {}, {"type": ["null", "integer"], "minimum": 3}, TEXT),
    ("hmac", {}, MAIL, {"type": "string", "title": "Mail"}),
    ("hmac", {}, {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}, TEXT),
    ("redact", {}, {}, TEXT),
    ("truncate", {"length": 5}, {"type": "string"}, {"type": "string", "maxLength": 5}),
    ("truncate", {"to": "year"}, {"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    ("normalise", {"trim": True}, {"type": "string"}, {"type": "string"}),
    ("normalise", {"empty": "null"}, {"type": "string"}, TEXT),
    ("default", {"value": 1}, {"type": ["integer", "null"], "minimum": 1}, {"type": ["integer", "null"], "minimum": 1}),
    ("json", {}, TEXT, {}),
    ("json", {"schema": {"type": "object"}}, TEXT, {"type": ["object", "null"]}),
    ("date", {"formats": ["%d.%m.%Y"]}, TEXT, TEXT | {"format": "date"}),
    ("date", {"formats": ["epoch"]}, {"type": "integer"}, {"type": "string", "format": "date-time"}),
    ("date", {"formats": ["%d.%m.%Y %H:%M"]}, {"type": "string"}, {"type": "string", "format": "date-time"}),
    ("date", {"formats": ["iso"], "to": "date"}, {"type": "string"}, {"type": "string", "format": "date"}),
    ("timezone", BERLIN, {"type": "string"}, {"type": "string", "format": "date-time"}),
    ("timezone", BERLIN | {"gap": "null"}, {"type": "string"}, TEXT | {"format": "date-time"}),
    ("fix_text", {}, {"type": "string"}, {"type": "string"}),
    ("phone", {}, {"type": "string"}, {"type": "string"}),
    ("country", {}, {"type": ["string", "integer"]}, {"type": "string"}),
    ("labels", {"labels": {"1": True}}, {"type": "integer"}, {"type": "boolean"}),
    ("labels", {"labels": {"1": None}}, {"type": "integer"}, {"type": "null"}),
    ("labels", {"labels": {"1": "a"}, "unknown": "null"}, {"type": "integer"}, TEXT),
    ("labels", {"labels": {"1": "a"}, "unknown": "keep"}, {"type": "integer"}, {"type": ["integer", "string"]}),
]  # fmt: skip


def test_what_becomes_of_the_schema_of_a_field() -> None:
    assert [made(op, **said).schema_of(schema) for op, said, schema, _ in SCHEMAS] == [
        out for *_, out in SCHEMAS
    ]
    for *_, schema in SCHEMAS:
        Draft202012Validator.check_schema(schema)


IMPOSSIBLE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("default", {"value": "x"}, {"type": "integer"}, "does not admit the default"),
    ("default", {"value": "2024-13-01"}, {"type": "string", "maxLength": 4}, "does not admit the default"),
    ("timezone", BERLIN, {"type": "string", "format": "date"}, "a date is no moment"),
]


@pytest.mark.parametrize(("op", "said", "schema", "words"), IMPOSSIBLE, ids=lambda part: str(part)[:30])
def test_what_a_schema_does_not_allow(
    op: str, said: dict[str, Any], schema: dict[str, Any], words: str
) -> None:
    with pytest.raises(Impossible, match=words):
        made(op, **said).schema_of(schema)


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("mask", {"keep_last": 4, "shortest": 4}, "shortest", "more than the 4 characters"),
    ("truncate", {}, "length", "got none"),
    ("truncate", {"length": 1, "to": "day"}, "length", "got both"),
    ("normalise", {}, "form", "Expected one of `form`"),
    ("normalise", {"trim": False}, "form", "Expected one of `form`"),
    ("date", {"formats": ["german"]}, "formats[0]", "there is no format `german`"),
    ("date", {"formats": ["%d.%m.%y"]}, "formats[0]", "say by `pivot`"),
    ("date", {"formats": ["%d.%m.%Y"], "pivot": 70}, "pivot", "years of two digits"),
    ("date", {"formats": ["%d.%m"]}, "formats[0]", "has to say one year"),
    ("date", {"formats": ["%-d%-m%Y"]}, "formats[0]", "nobody can tell where one ends"),
    ("date", {"formats": ["%d.%d.%Y"]}, "formats[0]", "twice"),
    ("date", {"formats": ["%Y-%m-%d %Z"]}, "formats[0]", "names of zones are not unique"),
    ("date", {"formats": ["%x"]}, "formats[0]", "depends on the locale"),
    ("date", {"formats": ["%Q"]}, "formats[0]", "there are %Y"),
    ("date", {"formats": ["%Y-%m-%d %"]}, "formats[0]", "is not read"),
    ("date", {"formats": ["%Y-%m-%d %I:%M"]}, "formats[0]", "`%I` of 12 with `%p`"),
    ("date", {"formats": ["%Y-%m-%d %M"]}, "formats[0]", "leaves out"),
    ("date", {"formats": ["iso"]}, "to", "which the formats leave open"),
    ("date", {"formats": ["%d.%m.%Y", "epoch"]}, "to", "which the formats leave open"),
    ("timezone", {"assume": "Berlin"}, "assume", "IANA name of a time zone, got `Berlin`"),
    ("timezone", {"assume": "UTC", "to": "../../etc/passwd"}, "to", "IANA name"),
    ("phone", {"region": "ZZ"}, "region", "a country with phone numbers, got `ZZ`"),
    ("country", {"names": {"Deutschland": "GER"}}, "names.Deutschland", "two letters, got `GER`"),
    ("labels", {"labels": {"a": 1}, "default": 2}, "default", "got `unknown: fail`"),
    ("labels", {"labels": {"a": 1}, "unknown": "default"}, "default", "got `unknown: default`"),
    ("labels", {"labels": {"a": 1, "A": 2}, "ignore_case": True}, "labels", "differ by more than case"),
    ("parse_url", {"into": {"hostname": "h"}}, "into", "got `hostname`"),
    ("parse_url", {"into": {"query.": "h"}}, "into", "the name of a parameter"),
    ("parse_url", {"into": {"host": "h", "path": "h"}}, "into", "got `h` for two"),
]  # fmt: skip


@pytest.mark.parametrize(("op", "said", "key", "words"), REFUSED, ids=lambda part: str(part)[:40])
def test_a_config_that_is_wrong_whatever_comes(op: str, said: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)) as caught:
        made(op, **said)
    assert f"`map.streams.s[0]({op}).{key}`; nothing was read" in str(caught.value)


@pytest.mark.parametrize("op", ["hmac"])
@pytest.mark.parametrize(
    "key",
    [
        "",
        "short",
        "0123456789abcdef0123456789abcde",
        "1" * 64,
        "abcdefghijklmnopqrst5",
        "1234567890" * 3 + "12345678",
    ],
)
def test_a_weak_key_is_refused_and_not_shown(op: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match="at least 128 bits") as caught:
        made(op, key=key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, "1234567890" * 3 + "123456789", "correct-horse-battery!"])
def test_a_key_is_masked_from_then_on(key: str) -> None:
    made("hmac", key=key)
    assert key not in redactor.mask(f"the key {key} and more")


@pytest.mark.parametrize("op", ["fix_text", "phone", "country"])
def test_an_operation_whose_package_is_missing_names_the_extra(
    op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ftfy", "ftfy.badness", "phonenumbers", "pycountry"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=re.escape(f"`{op}` at `map.streams.s[0]({op})`")) as caught:
        made(op)
    assert "pip install 'singerkit[clean]'" in str(caught.value)


def test_every_setting_is_described() -> None:
    for name, row in OPERATIONS.items():
        assert row.settings["description"], name
        for key, about in row.settings["properties"].items():
            assert about.get("description"), f"{name}.{key}"


# What holds for any value

ANY_TEXT = st.text(st.characters(codec=None), max_size=40)
FREE_TEXT = st.lists(
    st.sampled_from(
        ["a@b.org", "@c.org", "+", "(", ")", "00", "0301", "49", "4111", "1111", " ", "-", ".", "DE89", "370400440532013000", "x", "555", "1234", "%40", "ü", "\u0301", "/", "123"]
    ),
    max_size=14,
).map("".join)  # fmt: skip
ONCE: list[tuple[str, dict[str, Any], Any]] = [
    ("redact", {}, FREE_TEXT | ANY_TEXT),
    ("redact", {"with": "<x>"}, FREE_TEXT),
    ("truncate", {"length": 3}, ANY_TEXT),
    ("truncate", {"to": "day"}, st.datetimes().map(lambda moment: moment.isoformat())),
    *[("normalise", {"form": form, "case": case, "trim": True, "blanks": "one"}, ANY_TEXT) for form in FORMS for case in CASES],
    ("fix_text", {}, ANY_TEXT | st.text("aÃ¼â€™ÂƒÐŸ®", max_size=12)),
    ("phone", {"region": "DE"}, st.text("+490 12367()-", max_size=16)),
    ("timezone", BERLIN | {"gap": "later", "overlap": "earlier", "to": "Asia/Kolkata"}, st.datetimes().map(lambda moment: moment.isoformat())),
    ("country", {"to": "name"}, st.sampled_from(["DE", "deu", "276", "4", "Congo", "uk", "VN", "Korea", "Türkiye"])),
]  # fmt: skip


@pytest.mark.parametrize(("op", "said", "texts"), ONCE, ids=lambda part: str(part)[:40])
def test_twice_is_as_once(op: str, said: dict[str, Any], texts: Any) -> None:
    operation = made(op, **said)

    @settings(max_examples=tries(60), deadline=None, database=None, derandomize=IS_SAMPLE)
    @given(texts)
    def holds(text: str) -> None:
        once = value(operation, text)
        if once is not BAD and once is not None:
            assert value(operation, once) == once
            assert once.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass") == once

    holds()


@settings(max_examples=tries(60), deadline=None, database=None, derandomize=IS_SAMPLE)
@given(st.text(max_size=40), st.integers(1, 10))
def test_what_is_cut_fits_and_is_the_beginning(text: str, length: int) -> None:
    found = value(made("truncate", length=length), text)
    assert text.startswith(found)
    assert len(found) <= length
    assert bool(found) == bool(text)


def test_what_is_not_given_to_ftfy_is_what_it_finds_right() -> None:
    letters = "".join(re.sub(r"(.)-(.)", lambda ends: "".join(map(chr, range(ord(ends[1]), ord(ends[2]) + 1))), one) for one in MOJIBAKE_CATEGORIES.values())  # fmt: skip

    @settings(max_examples=tries(400), deadline=None, database=None, derandomize=IS_SAMPLE)
    @given(st.text(st.sampled_from(letters + " aZ.,?!$\n°"), max_size=6))
    def holds(text: str) -> None:
        assert fixtext.MAY_BE_BAD.search(text) or not is_bad(text)

    holds()
    assert not fixtext.MAY_BE_BAD.search("Müller, Café, naïve")


def test_a_key_hashes_as_hmac_does() -> None:
    for key in (KEY, KEY * 2, KEY * 2 + "x", "ü" * 9 + "abcdefghijklmnop", "k" * 30 + KEY * 9):
        [found] = Key(key, None, "here").hashed(["Müller".encode()])
        assert found == hmac.digest(key.encode(), "Müller".encode(), "sha256").hex()


# Patterns cannot backtrack


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every pattern of the values and operations that we have written."""
    import importlib
    import pkgutil

    import singerkit_map.operations
    import singerkit_map.values

    for package in (singerkit_map.values, singerkit_map.operations):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, one in vars(importlib.import_module(found.name)).items():
                if isinstance(one, re.Pattern) and found.name.startswith(package.__name__):
                    yield f"{found.name}.{name}", one


def open_repeats(nodes: Any, follows: Any = None) -> Iterator[Any]:
    """Yield each repeat of any length that may give back what it took: neither possessive, nor at the end, nor of fixed length."""
    from re import _constants as codes  # type: ignore[attr-defined]

    for place, (code, about) in enumerate(nodes):
        rest = list(nodes)[place + 1 :] or follows
        if code is codes.MAX_REPEAT and about[1] > about[0] and about[1] > 64:
            yield about
        if code is codes.SUBPATTERN:
            yield from open_repeats(about[3], rest)
        elif code is codes.BRANCH:
            for branch in about[1]:
                yield from open_repeats(branch, rest)
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
            yield from open_repeats(about[2], rest)


def test_no_pattern_of_ours_backtracks_without_end() -> None:
    from re import _parser as parser  # type: ignore[attr-defined]

    found = {
        name: list(open_repeats(parser.parse(pattern.pattern, pattern.flags))) for name, pattern in patterns()
    }
    assert len(found) > 10
    assert {name for name, repeats in found.items() if repeats} == set()


HOSTILE = [
    "a",
    "@",
    "a@",
    "a.",
    "a@b.",
    "%40",
    "a%40",
    "(",
    "+(",
    "1 ",
    "4 ",
    "41 ",
    "0 ",
    "00 1 ",
    "+1",
    "(1) ",
    "DE89",
    "DE89 ",
    "DE89370400440532013001 ",
    "-",
    "4111111111111111 ",
    "\u0301@",
]


class Counted(str):
    """Text that counts the characters that are cut out of it, and of what was cut."""

    __slots__ = ()
    taken = 0

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        Counted.taken += len(part)
        return Counted(part)


def steps(text: str) -> int:
    """Count the lines of Python that redacting a text takes, and the characters they cut out; a pattern walks once through what it is given."""
    Counted.taken = 0
    count = 0

    def trace(_frame: Any, event: str, _about: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        redacted(Counted(text), KINDS, dict.fromkeys(KINDS, "x"))
    finally:
        sys.settrace(before)
    return count + Counted.taken


def test_the_work_of_redacting_grows_with_the_text_and_not_with_its_square() -> None:
    counted = {piece: (steps(piece * 90), steps(piece * 180)) for piece in HOSTILE}
    assert [(piece, counts) for piece, counts in counted.items() if counts[1] > 2.3 * counts[0] + 100] == []
    assert max(once / len(piece * 90) for piece, (once, _) in counted.items()) < 450


def test_two_labels_of_one_number_are_refused_where_there_may_be_numbers() -> None:
    """The second one was never found."""
    labels = made("labels", labels={"1": "one", "1.0": "dec"})
    assert labels.schema_of({"type": "string"}) == {"type": "string"}
    with pytest.raises(Impossible, match=r"`1\.0` is the same number as another entry"):
        labels.schema_of({"type": ["integer", "null"]})
