"""A secret is masked in whatever way it is written, and so is every value that a config takes from elsewhere."""

from __future__ import annotations

import base64
import html
import json
import re
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from singerkit_shell.configfile import read_config
from singerkit_shell.secrets import MASK, Redactor
from singerkit_shell.secrets import redactor as the_redactor
from singerkit_shell.validate import config_problems

SECRET = "p@ss /w+é\"'\\x&<ü🎉%41,z"
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": quote,
    "percent-encoded, all of it": lambda text: quote(text, safe=""),
    "percent-encoded in lower case": lambda text: quote(text).lower(),
    "percent-encoded in Latin-1": lambda text: quote(text.replace("🎉", ""), encoding="latin-1"),
    "a form": quote_plus,
    "percent-encoded twice": lambda text: quote(quote(text)),
    "JSON": json.dumps,
    "JSON without escapes": lambda text: json.dumps(text, ensure_ascii=False),
    "JSON with escaped slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps({"a": json.dumps(text)}),
    "a URL in JSON": lambda text: json.dumps({"url": "http://h/?a=" + quote(text)}),
    "repr": repr,
    "ascii": ascii,
    "repr of bytes": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "HTML, in ASCII": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
    "wrapped": lambda text: f"{text[:7]}\n    {text[7:]}",
    "wrapped with a backslash": lambda text: f"{text[:7]}\\\n{text[7:]}",
    "UTF-8 taken for Latin-1": lambda text: text.encode().decode("latin-1"),
    "UTF-8 taken for Latin-1, in JSON": lambda text: json.dumps(text.encode().decode("latin-1")),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64 after a user": lambda text: base64.b64encode(f"ann:{text}".encode()).decode(),
    "base64 after two letters": lambda text: base64.b64encode(f"xy{text}z".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(b"u" * 50 + text.encode()).decode(),
    "base64, percent-encoded": lambda text: quote(base64.b64encode(text.encode()), safe=""),
    "hex": lambda text: text.encode().hex(),
    "capital hex": lambda text: text.encode().hex().upper(),
}
LATIN = ("percent-encoded in Latin-1",)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_masked_in_any_form(form: str) -> None:
    redactor = Redactor()
    secret = SECRET.replace("🎉", "") if form in LATIN else SECRET
    redactor.add(secret)
    written = FORMS[form](secret)
    masked = redactor.mask(f"before {written} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    left = masked.removeprefix("before ").removesuffix(" after")
    assert MASK in left
    # What is left are the quotes around it, or what stood in base64 beside it.
    whole = written.strip()
    assert not [
        whole[at : at + 6] for at in range(len(whole) - 5) if whole[at : at + 6] in left and "ss" in form
    ]
    assert "ss" not in left.replace("ssss", "")
    assert len(left) < max(20, len(whole) / 2) or form == "base64 in lines"


def test_a_secret_that_is_a_number_is_masked_and_a_port_is_not() -> None:
    redactor = Redactor()
    redactor.add_from_config(
        {
            "token": 918273,
            "password": [4711.25, True],
            "secret": 5432,
            "auth": {"api_key": 1.5e300},
            "port": 123456,
        }
    )
    assert redactor.mask("918273 4711.25 1.5e+300") == f"{MASK} {MASK} {MASK}"
    assert redactor.mask("True 5432 at 123456") == "True 5432 at 123456"
    redactor.add_reference('{"client": 918273645, "port": 54321}')
    assert redactor.mask("918273645 at 54321") == f"{MASK} at 54321"


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    redactor = Redactor()
    redactor.add("-----BEGIN KEY-----\nabcdef-one\r\nghijkl-two\n-----END KEY-----\n")
    assert redactor.mask("got `ghijkl-two`, then abcdef-one") == f"got `{MASK}`, then {MASK}"


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("Bearer tok-123456", "token tok-123456", "token ***"),
        ("Basic " + base64.b64encode(b"ann:pass-word").decode(), "got pass-word", "got ***"),
        ("https://h.example/bot7654321/x?k=abcdef#frag", "GET /bot7654321/rows abcdef", "GET /***/rows ***"),
        ("https://ann:p%40ss@h.example", "p@ss", "***"),
        ("host=h password='a b' user=u", "got a b", "got ***"),
        ("host=h user=u password=a\\'b", "got a'b of u at h", "got *** of u at h"),
        ("postgresql://ann:p/s?s@h.example/db", "p/s?s, p/s?s@h.example", "***, ***@h.example"),
        ("postgresql://ann:p[ss:1@h.example/db", "p[ss:1 of ann", "*** of ann"),
        (
            "postgresql:///db?sslpassword=open-me&host=/run/sock1234",
            "open-me /run/sock1234",
            "*** /run/sock1234",
        ),
        ("jdbc:postgresql://h.example/sales?user=ann&password=letmein", "letmein ann sales", "*** ann sales"),
        ("https://tok12345@h.example", "tok12345 at h.example", "*** at h.example"),
        (
            "https://h.example/customer/salesOrders/2024-01/v2.json?k=Qq1",
            "Qq1 salesOrders v2.json",
            "*** salesOrders v2.json",
        ),
        ("https://h.example/x?abc-123", "abc-123 of x", "*** of x"),
        ("https://h.example/qwmzkxhvjtplrbncd/", "/qwmzkxhvjtplrbncd/", "/***/"),
        ("https://h.example/AbCdEfGhIjKl", "AbCdEfGhIjKl", "***"),
        ("user=abcdefgh; session=klmnopqr", "session=klmnopqr", "***"),
        ("user=abcdefgh", "user=abcdefgh", "***"),
        ('{"private_key": "abc\\ndefghi"}', "key abc\ndefghi", "key ***"),
        ("7", "after 7 tries", "after 7 tries"),
        ("42", "after 42 tries of 420", "after *** tries of 420"),
    ],
)
def test_parts_of_a_value_from_elsewhere(value: str, text: str, masked: str) -> None:
    redactor = Redactor()
    redactor.add_reference(value)
    assert redactor.mask(text) == masked


ADVICE = (
    'PostgreSQL refused a value of warehouse (connection to server on socket "/tmp/sock/.s.PGSQL.5432" failed); run '
    "`target-postgres --config warehouse.json --state-file pg.json --start-over`, then `singerkit-state reset`"
)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://postgres:postgres@localhost:5432/warehouse",
        "postgresql:///warehouse?host=/tmp/sock&port=5432&user=postgres",
        "postgresql://warehouse:config@/singerkit?host=/tmp/sock",
        "host=/tmp/sock port=5432 dbname=warehouse user=postgres password=state connect_timeout=5",
        "jdbc:postgresql://localhost/warehouse?user=postgres&password=target",
        "https://api.example.com/warehouse/config",
        "postgres",
        "singerkit",
    ],
)
def test_an_advice_can_be_followed_whatever_a_dsn_is_made_of(value: str) -> None:
    redactor = Redactor()
    redactor.add_reference(value)
    masked = redactor.mask(ADVICE)
    assert (
        masked.replace("state.json", "***.json") == ADVICE.replace("state.json", "***.json")
        or "state" in value
    )


def test_an_address_that_holds_a_secret_is_masked_as_a_whole_one_that_holds_none_is_shown() -> None:
    redactor = Redactor()
    open_one, closed = "https://api.example.com/v1/customers", "https://api.example.com/v1/x7Kd9q"
    for value in (open_one, closed):
        redactor.add_reference(value)
    assert redactor.mask(f"{open_one}, {closed}/rows") == f"{open_one}, ***/rows"


def test_a_word_that_is_a_secret_is_masked_as_a_word_in_any_writing() -> None:
    redactor = Redactor()
    redactor.add("postgres")
    text = "Postgres, postgres. =postgres& %22postgres%22 postgresql cG9zdGdyZXM= 706f737467726573"
    assert redactor.mask(text) == "***, ***. =***& %22***%22 postgresql *** ***"


def test_all_options_are_known_to_the_redactor() -> None:
    references = Path(__file__).parents[2] / "docs" / "reference"
    text = " ".join(path.read_text() for path in references.glob("*.md"))
    options = sorted(set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text)))
    assert len(options) > 20
    redactor = Redactor()
    for option in options:
        redactor.add(option[2:])
        assert redactor.mask(option) == option


def test_values_from_environment_and_file_are_secrets_whatever_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_ID", "id-of-the-app")
    (tmp_path / "file").write_text("first line\nsecond line\n")
    config = {"params": {"appid": {"env": "SOME_ID"}}, "streams": [{"x": {"file": str(tmp_path / "file")}}]}
    (tmp_path / "config").write_text(json.dumps(config))
    read_config(str(tmp_path / "config"))
    assert the_redactor.mask("id-of-the-app, second line") == "***, ***"


def test_a_password_is_masked_in_a_url_that_is_none() -> None:
    redactor = Redactor()
    for url in ("postgresql//ann:p@ss:w/rd@host/db", "postgresql://ann:p@ss:w/rd@host:5432/db?a=b"):
        assert "ss" not in redactor.mask(f"cannot open {url} at all").replace("postgresql", "")


def test_a_long_secret_is_masked_before_a_value_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    the_redactor.add("long-secret-" * 8)
    schema = {
        "properties": {"name": {"type": "integer"}, "params": {"additionalProperties": {"type": "null"}}}
    }
    (problem,) = config_problems({"name": "long-secret-" * 8}, schema)
    assert "long-secret" not in problem
    (problem,) = config_problems({"params": {"id": "abc"}}, schema)
    assert "abc" not in problem, "any parameter may be a key"


TOKEN = "Zq7Wv9Kx2Lm4Np8Rt6Yb3Hd5Jf1Gs0Ca"
PIECES: dict[str, str] = {
    "the first 20": TOKEN[:20],
    "the last 24": TOKEN[8:],
    "eight in the middle": TOKEN[11:19],
    "backwards": TOKEN[::-1],
    "a part, backwards": TOKEN[20:5:-1],
    "a part in small letters": TOKEN[4:20].lower(),
    "a part, percent-encoded": "".join(f"%{ord(char):02x}" for char in TOKEN[:12]),
    "a part in JSON escapes": "".join(f"\\u{ord(char):04x}" for char in TOKEN[:12]),
    "groups of eight": " ".join(TOKEN[at : at + 8] for at in range(0, 32, 8)),
    "groups of four": "-".join(TOKEN[:16].partition(TOKEN[8])[::2]),
    "something unseen inside": TOKEN[:6] + "\u200b" + TOKEN[6:12],
    "UTF-16": TOKEN.encode("utf-16-le").decode(),
    "hex": TOKEN[3:15].encode().hex(),
    "hex, backwards": TOKEN.encode().hex()[::-1],
    "base32": base64.b32encode(TOKEN.encode()).decode(),
    "base32 after a word": base64.b32encode(b"Bearer " + TOKEN.encode()).decode(),
    "base32, backwards": base64.b32encode(TOKEN.encode()).decode()[::-1],
    "base64 of a part": base64.b64encode(b"Bearer " + TOKEN[:20].encode()).decode(),
}


@pytest.mark.parametrize("way", PIECES)
def test_a_piece_of_a_secret_is_masked_in_what_others_write(way: str) -> None:
    redactor = Redactor()
    redactor.add(TOKEN)
    masked = redactor.mask_foreign(f"token {PIECES[way]}... is not valid")
    assert masked.startswith("token ")
    assert masked.endswith("... is not valid")
    left = masked.removeprefix("token ").removesuffix("... is not valid")
    assert MASK in left
    assert len(left) < 20, "what is left holds too little of it"


def test_what_looks_like_a_piece_of_a_secret_and_is_none() -> None:
    redactor = Redactor()
    for secret in ("my-production-password-1", "https://api.example.com/v1/orders", "short-one"):
        redactor.add(secret)
    text = "the Production password of https://api.example.com/v1 is too short-on"
    assert redactor.mask_foreign(text) == text
    redactor.add(TOKEN)
    assert redactor.mask(f"our own words say {TOKEN[:20]}") == f"our own words say {TOKEN[:20]}"


def test_masking_takes_little_time() -> None:
    redactor = Redactor()
    for number in range(50):
        redactor.add_reference(f"https://ann:pw{number}@h/{'x' * 20}{number}/")
    began = time.process_time()
    redactor.mask("%20\\u0041&amp;" * 7000)
    redactor.mask("\\" * 90_000)
    redactor.mask("x" * 1_000_000)
    redactor.mask_foreign("%20\\u0041&amp;" * 7000)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("turn", [1, 2])
def test_a_secret_of_one_test_is_none_of_the_next(turn: int) -> None:
    assert the_redactor.mask("no state of the pipeline") == "no state of the pipeline", turn
    the_redactor.add("state")
    assert the_redactor.mask("no state of the pipeline") == f"no {MASK} of the pipeline"


@pytest.mark.parametrize(
    "secret",
    [
        'pA&9<w\u00e9>"x/Y+z=k%41',
        "m\u00fcller-geheim-2026",
        "Passwort/\u00df-stra\u00dfe-1",
        "ab-12-cd-34-ef",
    ],
)
@pytest.mark.parametrize(
    "way",
    [
        str.upper,
        str.lower,
        str.title,
        str.swapcase,
        str.casefold,
        lambda text: "".join(filter(str.isalnum, text)),
        lambda text: "".join(filter(str.isalnum, text)).upper(),
        lambda text: text.encode("ascii", "ignore").decode(),
        lambda text: text.encode("ascii", "replace").decode(),
        lambda text: text.encode().decode("cp1252", "replace"),
        lambda text: unicodedata.normalize("NFD", text.upper()),
    ],
    ids=[
        "upper",
        "lower",
        "title",
        "swapped",
        "folded",
        "bare",
        "bare upper",
        "less",
        "marks",
        "cp1252",
        "apart",
    ],
)
def test_a_secret_in_other_letters(secret: str, way: Callable[[str], str]) -> None:
    """Capitals beyond ASCII are other characters, and sometimes more of them."""
    redactor = Redactor()
    redactor.add(secret)
    assert redactor.mask(f"bad key {way(secret)} sorry") == "bad key *** sorry"


@pytest.mark.parametrize("size", [3, 4, 5, 6, 8])
def test_a_secret_in_groups_is_masked(size: int) -> None:
    redactor = Redactor()
    for secret in ("tok_9f86d081884c7d659a2feaa0", "9f86d081884c7d65"):
        redactor.add(secret)
        for text in {secret, secret.replace("_", "")}:
            groups = "-".join(text[at : at + size] for at in range(0, len(text), size))
            assert redactor.mask(f"key {groups.upper()} is bad") == f"key {MASK} is bad"
    assert redactor.mask("9f86-d081-884c-7d66") == "9f86-d081-884c-7d66"


def test_what_is_like_a_secret_without_its_signs_stays() -> None:
    redactor = Redactor()
    redactor.add("a-b-c-1-2")
    redactor.add("my_db")
    assert redactor.mask("abc12 mydb MY_DB") == "abc12 mydb MY_DB"
