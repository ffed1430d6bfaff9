"""Each operation on values: what comes out, with the edges; `BAD` is a value that it refuses."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema import Draft7Validator
from mappers.map.operating import BAD, made, value

from singerkit_map.operations import country
from singerkit_map.values.canonical import canonical_text
from singerkit_wire.jsonexact import ExactNumber

DAY = "2024-02-29"
BERLIN = {"assume": "Europe/Berlin"}
Case = tuple[str, dict[str, Any], Any, Any]

CASES: list[Case] = [
    # mask: the ends, and nothing of what is short
    ("mask", {"keep_last": 4}, "4111111111111111", "************1111"),
    ("mask", {"keep_last": 4}, "1234567", "***"),
    ("mask", {"keep_last": 4}, "12345678", "****5678"),
    ("mask", {"keep_last": 4, "shortest": 5}, "12345", "*2345"),
    ("mask", {"keep_first": 1, "keep_last": 1, "with": "x"}, "Müller", "Mxxxxr"),
    ("mask", {}, "anything", "***"),
    ("mask", {}, "", "***"),
    ("mask", {"keep_last": 2}, "", "***"),
    ("mask", {"keep_last": 2}, 123456, "****56"),
    ("mask", {"keep_last": 2}, ExactNumber("1.50e3"), "**00"),
    ("mask", {"keep_last": 1}, "😀😀😀", "**😀"),
    # hmac: golden values, by `openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef`
    ("hmac", {}, "", "796cd3078af14636753d26b3b5555422ff55a3e261cf847b48e95371b9bd0aa2"),
    ("hmac", {}, "a", "aa2187723645a252148bbf3aad0e20d4c3a2861235bb65a264967af9d46faec2"),
    ("hmac", {}, "Müller", "44dedecfb6c02d74bf96e1b49e58d7e76cfce5f000101a0fc06640c009dd9424"),
    ("hmac", {}, 1, "c2a56899f8e6dad8951a30d34b5be54bd457ff077c38b92b6eab206138e6dbbf"),
    ("hmac", {}, ExactNumber("1.0"), "c2a56899f8e6dad8951a30d34b5be54bd457ff077c38b92b6eab206138e6dbbf"),
    ("hmac", {}, ExactNumber("10e-1"), "c2a56899f8e6dad8951a30d34b5be54bd457ff077c38b92b6eab206138e6dbbf"),
    ("hmac", {}, ExactNumber("1.50"), "bb2dbd3a92bc6f39410d6ba9cdf158dca392f8d092a03166217018843f16025f"),
    ("hmac", {}, True, "2ebc4929adf1d9e0918cdc309ebf64bb0f49f05e520074573f5d108df2717ddd"),
    ("hmac", {"key_id": "k2"}, "a", "k2:aa2187723645a252148bbf3aad0e20d4c3a2861235bb65a264967af9d46faec2"),
    ("hmac", {}, ExactNumber("NaN"), BAD),
    # redact
    ("redact", {}, "no find here, 2024-01-31 10:30, v1.2.3, 192.168.100.200", "no find here, 2024-01-31 10:30, v1.2.3, 192.168.100.200"),
    ("redact", {}, "write to john.o'brien+x@mail.example.org, or <a@b.co>", "write to [email], or <[email]>"),
    ("redact", {}, "jose\u0301@x.org and 用户@例子.公司", "[email] and [email]"),
    ("redact", {}, "react@18.2.0, @5.30, foo@bar", "react@18.2.0, @5.30, foo@bar"),
    ("redact", {}, "https://x.org/?mail=john%40x.org&a=1", "https://x.org/?[email]&a=1"),
    ("redact", {}, "a@b.org@c.org", "[email]"),
    ("redact", {}, "a@b.org004111.0301, a@b.org.", "[email].0301, [email]."),
    ("redact", {}, "card 4111 1111 1111 1111.", "card [card]."),
    ("redact", {}, "card 4111-1111-1111-1112.", "card 4111-1111-1111-1112."),
    ("redact", {}, "no 1 4111111111111111 2", "no 1 [card] 2"),
    ("redact", {}, "４１１１　 ４１１１１１１１１１１１１１１１", "４１１１　 [card]"),
    ("redact", {}, "DE89 3704 0044 0532 0130 00 is mine", "[iban] is mine"),
    ("redact", {}, "iban:de89370400440532013000;", "iban:[iban];"),
    ("redact", {}, "DE89370400440532013000DE89370400440532013000, DE89370400440532013000x", "[iban][iban], DE89370400440532013000x"),
    ("redact", {"kinds": ["iban"]}, "DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
    ("redact", {}, "GB29 NWBK 6016 1331 9268 19 030 1234567", "[iban] [phone]"),
    ("redact", {}, "+49 (0)30 123456-78, 0049 30 1234567, 030/1234567", "[phone], [phone], [phone]"),
    ("redact", {}, "(555) 123-4567 or 555-123-4567 or 1-800-555-1234", "[phone] or [phone] or [phone]"),
    ("redact", {}, "0301234567 0301234567", "[phone] [phone]"),
    ("redact", {}, "01.02.2024, 0.12345678, order 1234567890", "01.02.2024, 0.12345678, order 1234567890"),
    ("redact", {"with": "***"}, "a@b.org 0301234567", "*** ***"),
    ("redact", {"kinds": ["phone"]}, "a@b.org +49301234567", "a@b.org [phone]"),
    ("redact", {}, "", ""),
    # truncate
    ("truncate", {"length": 3}, "abcdef", "abc"),
    ("truncate", {"length": 3}, "abc", "abc"),
    ("truncate", {"length": 1}, "e\u0301f", "e"),
    ("truncate", {"length": 2}, "ae\u0301f", "a"),
    ("truncate", {"length": 3}, "a👨\u200d👩\u200d👧", "a"),
    ("truncate", {"length": 2}, "a👍🏽", "a"),
    ("truncate", {"length": 3}, "🇩🇪🇫🇷", "🇩🇪"),
    ("truncate", {"length": 2}, "a\r\nb", "a"),
    ("truncate", {"length": 1}, "😀b", "😀"),
    ("truncate", {"length": 2}, "a\ud83d\ude00", "a"),
    ("truncate", {"length": 40}, "e" + "\u0301" * 99, "e" + "\u0301" * 39),
    ("truncate", {"to": "year"}, DAY, "2024-01-01"),
    ("truncate", {"to": "month"}, "2024-02-29T23:59:59.5+02:00", "2024-02-01T00:00:00+02:00"),
    ("truncate", {"to": "second"}, "2024-02-29T23:59:59.5Z", "2024-02-29T23:59:59Z"),
    ("truncate", {"to": "year"}, "2023-02-29", BAD),
    ("truncate", {"to": "year"}, "yesterday", BAD),
    # normalise
    ("normalise", {"form": "nfc"}, "e\u0301", "é"),
    ("normalise", {"form": "nfkc"}, "ﬁ１", "fi1"),
    ("normalise", {"form": "nfc"}, "ﬁ１", "ﬁ１"),
    ("normalise", {"trim": True}, "\u00a0 a  b\t\n", "a  b"),
    ("normalise", {"blanks": "one"}, " a \u2003\n b ", " a b "),
    ("normalise", {"case": "lower"}, "ÄÖ ", "äö "),
    ("normalise", {"case": "upper"}, "straße", "STRASSE"),
    ("normalise", {"case": "fold"}, "Straße", "strasse"),
    ("normalise", {"trim": True, "empty": "null"}, "  ", None),
    ("normalise", {"empty": "null"}, "  ", "  "),
    # default changes no value
    ("default", {"value": "x"}, "y", "y"),
    # json
    ("json", {}, '{"a": [1.10, null]}', {"a": [Decimal("1.10"), None]}),
    ("json", {}, "null", None),
    ("json", {}, '"\\ud800"', "\ud800"),
    ("json", {}, "", BAD),
    ("json", {"empty": "null"}, " ", None),
    ("json", {}, "{'a': 1}", BAD),
    ("json", {}, '{"a": 1, "a": 2}', BAD),
    ("json", {}, "[NaN]", BAD),
    ("json", {}, "[" * 100_000, BAD),
    ("json", {}, "[1] [2]", BAD),
    # date
    ("date", {"formats": ["%d.%m.%Y"]}, "29.02.2024", DAY),
    ("date", {"formats": ["%d.%m.%Y"]}, "29.02.2023", BAD),
    ("date", {"formats": ["%d.%m.%Y"]}, "9.2.2024", BAD),
    ("date", {"formats": ["%d.%m.%Y"]}, " 29.02.2024", BAD),
    ("date", {"formats": ["%d.%m.%Y"]}, "２９.02.2024", BAD),
    ("date", {"formats": ["%-d.%-m.%Y"]}, "9.2.2024", "2024-02-09"),
    ("date", {"formats": ["%-d.%-m.%Y"]}, "09.02.2024", "2024-02-09"),
    ("date", {"formats": ["%Y%m%d"]}, 20240229, DAY),
    ("date", {"formats": ["%d.%m.%y"], "pivot": 70}, "01.01.69", "2069-01-01"),
    ("date", {"formats": ["%d.%m.%y"], "pivot": 70}, "01.01.70", "1970-01-01"),
    ("date", {"formats": ["%d %b %Y"]}, "29 FEB 2024", DAY),
    ("date", {"formats": ["%-d. %B %Y"], "months": ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"]}, "1. März 2024", "2024-03-01"),
    ("date", {"formats": ["%A %d %B %Y"]}, "Thursday 29 February 2024", DAY),
    ("date", {"formats": ["%A %d %B %Y"]}, "Friday 29 February 2024", BAD),
    ("date", {"formats": ["%Y-%j"]}, "2024-060", DAY),
    ("date", {"formats": ["%Y-%j"]}, "2023-366", BAD),
    ("date", {"formats": ["%m/%d/%Y", "%d/%m/%Y"]}, "02/29/2024", DAY),
    ("date", {"formats": ["%m/%d/%Y", "%d/%m/%Y"]}, "02/03/2024", BAD),
    ("date", {"formats": ["%m/%d/%Y", "%d/%m/%Y"]}, "03/03/2024", "2024-03-03"),
    ("date", {"formats": ["%d.%m.%Y %H:%M:%S.%f%z"]}, "29.02.2024 23:59:59.123456789+0530", "2024-02-29T23:59:59.123456789+05:30"),
    ("date", {"formats": ["%m/%d/%Y %I:%M %p"]}, "02/29/2024 12:05 am", "2024-02-29T00:05:00"),
    ("date", {"formats": ["%m/%d/%Y %I:%M %p"]}, "02/29/2024 13:05 pm", BAD),
    ("date", {"formats": ["epoch"]}, 0, "1970-01-01T00:00:00Z"),
    ("date", {"formats": ["epoch"]}, "-1.5", "1969-12-31T23:59:58.5Z"),
    ("date", {"formats": ["epoch_ms"]}, 1709251199999, "2024-02-29T23:59:59.999Z"),
    ("date", {"formats": ["epoch_ns"]}, "1709251199000000001", "2024-02-29T23:59:59.000000001Z"),
    ("date", {"formats": ["epoch"]}, 10**15, BAD),
    ("date", {"formats": ["rfc2822"]}, "Thu, 29 Feb 2024 23:59:59 +0100", "2024-02-29T22:59:59Z"),
    ("date", {"formats": ["iso", "%d.%m.%Y"], "to": "date"}, "2024-02-29T23:59:59-08:00", DAY),
    ("date", {"formats": ["iso", "%d.%m.%Y"], "to": "date-time"}, "29.02.2024", "2024-02-29T00:00:00"),
    ("date", {"formats": ["iso"], "to": "date-time"}, "2024-02-29 24:00:00", BAD),
    ("date", {"formats": ["iso"], "to": "date"}, "", BAD),
    # timezone: the clocks went forward at 02:00 on 2024-03-31, and back at 03:00 on 2024-10-27
    ("timezone", BERLIN, "2024-01-01T12:00:00", "2024-01-01T12:00:00+01:00"),
    ("timezone", BERLIN, "2024-07-01 12:00:00.123456789", "2024-07-01T12:00:00.123456789+02:00"),
    ("timezone", BERLIN, "2024-07-01T12:00:00-08:00", "2024-07-01T12:00:00-08:00"),
    ("timezone", BERLIN | {"with_offset": "refuse"}, "2024-07-01T12:00:00Z", BAD),
    ("timezone", BERLIN | {"to": "UTC"}, "2024-07-01T12:00:00.5", "2024-07-01T10:00:00.5Z"),
    ("timezone", BERLIN | {"to": "UTC"}, "2024-07-01T12:00:00-08:00", "2024-07-01T20:00:00Z"),
    ("timezone", {"assume": "UTC", "to": "America/New_York"}, "2024-07-01T12:00", "2024-07-01T08:00:00-04:00"),
    ("timezone", BERLIN, "2024-03-31T02:30:00", BAD),
    ("timezone", BERLIN | {"gap": "earlier"}, "2024-03-31T02:30:00", "2024-03-31T01:30:00+01:00"),
    ("timezone", BERLIN | {"gap": "later"}, "2024-03-31T02:30:00", "2024-03-31T03:30:00+02:00"),
    ("timezone", BERLIN | {"gap": "null"}, "2024-03-31T02:30:00", None),
    ("timezone", BERLIN | {"gap": "null"}, "2024-03-31T03:00:00", "2024-03-31T03:00:00+02:00"),
    ("timezone", BERLIN, "2024-10-27T02:30:00", BAD),
    ("timezone", BERLIN | {"overlap": "earlier"}, "2024-10-27T02:30:00", "2024-10-27T02:30:00+02:00"),
    ("timezone", BERLIN | {"overlap": "later"}, "2024-10-27T02:30:00", "2024-10-27T02:30:00+01:00"),
    ("timezone", BERLIN | {"overlap": "null"}, "2024-10-27T02:30:00", None),
    ("timezone", BERLIN | {"overlap": "null"}, "2024-10-27T03:00:00", "2024-10-27T03:00:00+01:00"),
    ("timezone", BERLIN, "1890-01-01T00:00:00", BAD),
    ("timezone", BERLIN, "2024-07-01", BAD),
    ("timezone", BERLIN, "0001-01-01T00:00:00", BAD),
    ("timezone", {"assume": "America/New_York", "to": "UTC"}, "9999-12-31T23:00:00", BAD),
    # fix_text
    ("fix_text", {}, "MÃ¼nchen", "München"),
    ("fix_text", {}, "MÃƒÂ¼nchen", "München"),
    ("fix_text", {}, "donâ€™t", "don’t"),
    ("fix_text", {}, "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
    ("fix_text", {}, "“quoted” ﬁne — naïve façade, ĳ ｆｕｌｌ &amp; Ünïcödé", "“quoted” ﬁne — naïve façade, ĳ ｆｕｌｌ &amp; Ünïcödé"),
    ("fix_text", {}, "Ça va ? Ã", "Ça va ? Ã"),
    ("fix_text", {}, "日本語 😀", "日本語 😀"),
    # phone
    ("phone", {"region": "DE"}, "030 901820", "+4930901820"),
    ("phone", {"region": "DE"}, "+1 (650) 253-0000", "+16502530000"),
    ("phone", {}, "030 901820", BAD),
    ("phone", {}, "+49 30 901820", "+4930901820"),
    ("phone", {"region": "US"}, "555", BAD),
    ("phone", {"region": "US"}, "(650) 253-0000 ext. 5", BAD),
    ("phone", {"region": "US", "extension": "drop"}, "(650) 253-0000 ext. 5", "+16502530000"),
    ("phone", {"region": "US", "check": "possible"}, "200-000-0000", "+12000000000"),
    ("phone", {"region": "US"}, "200-000-0000", BAD),
    ("phone", {"region": "US"}, "call me", BAD),
    ("phone", {"region": "US"}, "6" * 300, BAD),
    # country
    ("country", {}, "Germany", "DE"),
    ("country", {}, " deu ", "DE"),
    ("country", {}, 276, "DE"),
    ("country", {}, "4", "AF"),
    ("country", {"to": "alpha3"}, "CÔTE D’IVOIRE", "CIV"),
    ("country", {"to": "name"}, "VN", "Vietnam"),
    ("country", {"to": "numeric"}, "Afghanistan", "004"),
    ("country", {}, "uk", "GB"),
    ("country", {}, "Korea", BAD),
    ("country", {}, "Congo", "CG"),
    ("country", {}, "Deutschland", BAD),
    ("country", {"names": {"Deutschland": "DE"}}, "deutschland", "DE"),
    ("country", {}, "", BAD),
    ("country", {}, "XX", BAD),
    # labels
    ("labels", {"labels": {"m": "male"}}, "m", "male"),
    ("labels", {"labels": {"m": "male"}}, "M", BAD),
    ("labels", {"labels": {"m": "male"}, "ignore_case": True}, "M", "male"),
    ("labels", {"labels": {"m": "male"}, "unknown": "keep"}, "x", "x"),
    ("labels", {"labels": {"m": "male"}, "unknown": "null"}, "x", None),
    ("labels", {"labels": {"m": "male"}, "unknown": "default", "default": "other"}, "x", "other"),
    ("labels", {"labels": {"1": "on", "false": "off"}}, 1, "on"),
    ("labels", {"labels": {"1": "on", "false": "off"}}, False, "off"),
    ("labels", {"labels": {"0.10": "x", "2.0": "two", "1e400": "much"}}, ExactNumber("0.1"), "x"),
    ("labels", {"labels": {"0.10": "x", "2.0": "two", "1e400": "much"}}, 2, "two"),
    ("labels", {"labels": {"0.10": "x", "2.0": "two", "1e400": "much"}}, ExactNumber("1E400"), "much"),
    ("labels", {"labels": {"0.10": "x", "2.0": "two"}}, "0.1", BAD),
    ("labels", {"labels": {"n/a": None}}, "n/a", None),
]  # fmt: skip


CANONICAL = {
    "0": "0", "-0": "0", "-0.0": "0", "0e5": "0", "100": "100", "1e2": "100", "-1.50": "-1.5", "0.0010": "0.001", "12e-1": "1.2", "123456789012345678901234567890": "123456789012345678901234567890",
    "1e40": "1" + "0" * 40, "1e41": "1e41", "1e-41": "0." + "0" * 40 + "1", "1e-42": "1e-42", "10e400": "1e401", "1e999999999": "1e999999999",
}  # fmt: skip


@pytest.mark.parametrize("op", list(dict.fromkeys(op for op, *_ in CASES)))
def test_what_becomes_of_values(op: str) -> None:
    found = [(said, given, value(made(op, **said), given)) for name, said, given, _ in CASES if name == op]
    assert found == [(said, given, expected) for name, said, given, expected in CASES if name == op]


def test_a_number_has_one_text_however_it_is_written() -> None:
    assert {text: canonical_text(ExactNumber(text)) for text in CANONICAL} == CANONICAL
    assert canonical_text(10**5000) == "1e5000"


URL = "https://ann:secret@Example.org:8080/a%20b?utm_source=news+letter&tag=1&tag=%C3%BC&x#top"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("scheme", "https"), ("user", "ann"), ("host", "example.org"), ("port", 8080), ("path", "/a%20b"), ("fragment", "top"),
        ("query", "utm_source=news+letter&tag=1&tag=%C3%BC&x"), ("query.utm_source", "news letter"), ("query.tag", "1"), ("query.tag[]", ["1", "ü"]), ("query.x", ""), ("query.y", None), ("query.y[]", None),
    ],
)  # fmt: skip
def test_parts_of_a_url(part: str, expected: Any) -> None:
    operation = made("parse_url", into={part: "it"})
    assert value(operation, URL) == (expected,)
    assert not list(Draft7Validator(operation.parts["it"]).iter_errors(expected))


@pytest.mark.parametrize(
    "text", ["", "example.org/a", "https://", "mailto:a@b.org", "https://a b/", "https://[::1", "https://a:99999/", "https://a/?q=%ff"]
)  # fmt: skip
def test_what_is_no_url(text: str) -> None:
    assert value(made("parse_url", into={"port": "port", "query.q": "q"}), text) is BAD


def test_a_url_without_a_scheme_has_the_one_that_is_said() -> None:
    operation = made("parse_url", into={"host": "h", "path": "p"}, scheme="https")
    assert value(operation, "example.org/a?u=http://x") == ("example.org", "/a")
    assert value(operation, "http://example.org") == ("example.org", None)


def test_a_name_that_two_countries_have_is_none_s() -> None:
    countries = [SimpleNamespace(alpha_2=code, alpha_3=f"{code}X", numeric=number, name="Congo") for code, number in (("CD", "180"), ("CG", "178"))]  # fmt: skip
    known = country.named(countries)
    assert known["cd"].alpha_2 == "CD"
    assert known["cgx"].alpha_2 == "CG"
    assert "congo" not in known
