"""Garbage from outside at every border of tap-rest: answers, headers, config, catalog, state, environment (F.22).

The table holds what was found or feared; random changes of it follow, SINGERKIT_FUZZ of them from
SINGERKIT_FUZZ_SEED (as in `test_fuzz.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fuzz.border import Answers, answering, end_of, judged
from fuzz.mutate import mutations

COUNT = int(os.environ.get("SINGERKIT_FUZZ", "0")) or 12
WHOLE = "SINGERKIT_FUZZ" in os.environ
"""Whether every case of the larger tables is tried, or a sample."""
SEED = int(os.environ.get("SINGERKIT_FUZZ_SEED", "1"))
FAST = {"tries": 2, "first_wait": 0.001, "longest_wait": 0.001}
STREAM = {"name": "rows", "path": "/rows", "schema": {"properties": {"id": {}}}}


def reply(body: bytes | str = b'[{"id":1}]', status: str = "200 OK", **headers: str | bytes) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    named = {"content_type": "application/json", "content_length": str(len(data)), **headers}
    lines = [
        name.replace("_", "-").encode()
        + b": "
        + (text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
        for name, text in named.items()
        if text != "-"
    ]
    return b"HTTP/1.1 " + status.encode("latin-1") + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + data


def redirect(location: str | bytes) -> bytes:
    return reply("", "302 Found", location=location)


LOCATIONS = [
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:x/",
    "http://127.0.0.1:-1/",
    "http://[::1",
    "http://[::1]:0/",
    "http://[fe80::1%25eth0]/",
    "//",
    "///",
    "http://",
    "http:///x",
    "?",
    "#",
    "#a",
    " /rows",
    "/a b c",
    "/\u00e9\u4e2d",
    "/%",
    "/%zz",
    "http://\u00e9.test/",
    "http://xn--/",
    "http://xn--a.test/",
    "http://" + "a" * 300 + ".test/",
    "http://a..b/",
    "ftp://127.0.0.1/",
    "javascript:1",
    "http://127.0.0.1:PORT\\@x/",
    "http://\uff0fx/",
    "http://u:p@127.0.0.1:PORT/",
    "/" + "a" * 70000,
    "..",
    "../../..",
    "http://127.0.0.1:PORT/%00",
    b"/\xff\xfe",
    b"/\x01",
    "http://2130706433/",
]
RESPONSES: dict[str, list[bytes]] = {
    "nothing": [b""],
    "no HTTP": [b"hello\r\n\r\n"],
    "a bad status line": [b"HTTP/1.1\r\n\r\n"],
    "a bad version": [b"HTTP/9.9 200 OK\r\n\r\n[]"],
    "a status of letters": [b"HTTP/1.1 abc OK\r\n\r\n[]"],
    "a status of 99": [b"HTTP/1.1 99 X\r\n\r\n[]"],
    "a status of 1000": [b"HTTP/1.1 1000 X\r\n\r\n[]"],
    "a negative status": [b"HTTP/1.1 -1 X\r\n\r\n[]"],
    "HTTP/0.9": [b'[{"id":1}]'],
    "early hints": [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + reply()],
    "continue": [b"HTTP/1.1 100 Continue\r\n\r\n" + reply()],
    "endless continue": [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
    "switching": [b"HTTP/1.1 101 Switching\r\n\r\n"],
    "a flood of headers": [b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n[]"],
    "an endless header": [b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200_000 + b"\r\n\r\n[]"],
    "a header without a colon": [b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n[]"],
    "bytes as header": [b"HTTP/1.1 200 OK\r\n\xff\xfe\x00: \x01\r\n\r\n[]"],
    "a bare CR": [b"HTTP/1.1 200 OK\rA: b\r\r[]"],
    "a folded header": [b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n[]"],
    "a length of letters": [reply(content_length="abc")],
    "a negative length": [reply(content_length="-5")],
    "a huge length": [reply(content_length="9" * 5000)],
    "two lengths": [reply(content_length="10, 11")],
    "chunks of letters": [reply("xyz\r\n", transfer_encoding="chunked", content_length="-")],
    "a negative chunk": [reply("-5\r\nabcde\r\n0\r\n\r\n", transfer_encoding="chunked", content_length="-")],
    "a huge chunk": [
        reply("F" * 30 + "\r\n[]\r\n0\r\n\r\n", transfer_encoding="chunked", content_length="-")
    ],
    "no last chunk": [reply("2\r\n[]\r\n", transfer_encoding="chunked", content_length="-")],
    "an endless chunk line": [reply("2;" + "a" * 100_000, transfer_encoding="chunked", content_length="-")],
    "an unknown transfer": [reply(transfer_encoding="nonsense")],
    "gzip that is none": [reply(content_encoding="gzip")],
    "deflate that is none": [reply(content_encoding="deflate")],
    "gzip cut": [reply(b"\x1f\x8b\x08\x00", content_encoding="gzip")],
    "gzip in gzip": [reply(content_encoding="gzip, gzip, gzip, gzip, gzip, gzip, gzip")],
    "brotli": [reply(content_encoding="br")],
    "zstd": [reply(content_encoding="zstd")],
    "an unknown encoding": [reply(content_encoding="nonsense")],
    **{
        f"charset {name}": [reply(content_type=f"application/json; charset={name}")]
        for name in (
            "unknown",
            "",
            "hex",
            "base64",
            "zlib",
            "rot13",
            "idna",
            "punycode",
            "unicode_escape",
            "undefined",
            "utf-7",
            "utf-16",
            "utf-32",
            "a\x00b",
            "x" * 5000,
            '"utf-8"',
            "utf-8;",
            "mbcs",
            "\u00e9",
            "../../etc",
        )
    },
    "UTF-16": [reply('[{"id":1}]'.encode("utf-16"), content_type="application/json; charset=utf-16")],
    "a lone surrogate": [reply('[{"id":"\\ud800"}]')],
    "NUL": [reply('[{"id":"\\u0000"}]')],
    "keys twice": [reply('[{"id":1,"id":2}]')],
    "a number of 10,000 digits": [reply('[{"id":' + "9" * 10_000 + "}]")],
    "a number of 1,000,000 digits": [reply('[{"id":' + "9" * 1_000_000 + "}]")],
    "a huge exponent": [reply('[{"id":1e999999999999}]')],
    "an exponent beyond all": [reply('[{"id":1e1000000000000000000000,"a":-1e-1000000000000000000000}]')],
    "a fraction of 100,000 digits": [reply('[{"id":0.' + "1" * 100_000 + "}]")],
    "NaN": [reply('[{"id":NaN}]')],
    "deep arrays": [reply("[" * 200_000)],
    "deep records": [reply('[{"id":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}]")],
    "a scalar": [reply("1")],
    "null": [reply("null")],
    "invalid UTF-8": [reply(b'[{"id":"\xff"}]')],
    "nothing but blanks": [reply(" " * 1000)],
    "an odd Retry-After": [reply("", "503 X", retry_after="9" * 500)],
    "a Retry-After of dates": [reply("", "429 X", retry_after="Thu, 99 Foo 99999 99:99:99 +9999")],
    "a Retry-After of bytes": [reply("", "429 X", retry_after=b"\xb2\xff", date="nonsense")],
    "odd cookies": [reply(set_cookie=b"a=\xff\x01; path=\x7f; expires=nonsense; domain=[::1"), reply()],
    "a cookie and a redirect": [reply("", "302 X", location="/rows2", set_cookie=b"a=\xc3\xa9\x0b"), reply()],
    "odd WWW-Authenticate": [reply("", "401 X", www_authenticate=b"\xff\x00 ")],
    "no content": [b"HTTP/1.1 204 X\r\n\r\n"],
    "not modified": [b"HTTP/1.1 304 X\r\n\r\n"],
    "redirects in a circle": [redirect("/rows")],
    **{f"to {str(location)[:40]}": [redirect(location), reply()] for location in LOCATIONS},
}
TOKENS = [
    "a\\r\\nX: 1",
    "\\u4e2d",
    "\\ud800",
    "\\u0000",
    " ",
    "",
    "9" * 10_000,
    "\\u0085",
    "%",
    "http://[::1",
    "//",
    "http://127.0.0.1:99999/x",
    "\\ud83c\\udf89",
    "a" * 100_000,
    "http://\\uff0fx/",
    "\\u2028",
]
PAGINATIONS: dict[str, dict[str, Any]] = {
    "cursor": {"type": "cursor", "cursor": "$.next"},
    "cursor in a header": {"type": "cursor", "cursor": "$.next", "request_header": "X-Next"},
    "next_url": {"type": "next_url", "next": "$.next"},
    "hateoas": {"type": "hateoas", "links": "$.links"},
}


def raw_values() -> list[str]:
    texts = [f'"{token}"' for token in TOKENS]
    return [
        *texts,
        "9" * 10_000,
        "1e999999",
        "1e1000000000000000000000",
        "1.5",
        "true",
        "[]",
        "{}",
        "[1]",
        "NaN",
        "-0",
    ]


@pytest.fixture(scope="module")
def server() -> Any:
    with answering() as answers:
        yield answers


class Tap:
    def __init__(self, folder: Path, answers: Answers) -> None:
        self.folder, self.answers = folder, answers

    def run(
        self, replies: list[bytes], environment: Mapping[str, str] | None = None, **config: Any
    ) -> str | None:
        """What is wrong with the end of a run; None when nothing is."""
        self.answers.replies, self.answers.asked = replies, 0
        base = {"base_url": f"http://127.0.0.1:{self.answers.port}", "streams": [STREAM], "retries": FAST}
        base |= {"schema_cache": str(self.folder), "timeout": {"connect": 2, "read": 2, "response": 4}}
        return self.run_config(json.dumps(base | config).encode(), environment)

    def run_config(self, text: bytes, environment: Mapping[str, str] | None = None, *more: str) -> str | None:
        path = self.folder / "config.json"
        path.write_bytes(text)
        return judged(end_of("tap-rest", ["--config", str(path), *more], environment=environment))


@pytest.fixture
def tap(tmp_path: Path, server: Answers) -> Tap:
    return Tap(tmp_path, server)


def wrong(found: Mapping[str, str | None]) -> dict[str, str]:
    for name, what in found.items():
        if what is not None:
            print("WRONG", ascii(name[:150]), "->", ascii(what[:250]))
    # In ASCII: what a surrogate stands in, pytest-xdist cannot report, and ends.
    return {ascii(name): ascii(what) for name, what in found.items() if what is not None}


def test_answers(tap: Tap) -> None:
    assert wrong({name: tap.run(replies) for name, replies in RESPONSES.items()}) == {}


@pytest.mark.parametrize("kind", PAGINATIONS)
def test_tokens_of_the_next_page(kind: str, tap: Tap) -> None:
    stream = STREAM | {"pagination": PAGINATIONS[kind], "records": "$.data[*]"}
    found = {}
    for value in raw_values():
        inside = f'{{"next":{{"href":{value}}}}}' if kind == "hateoas" else value
        name = "links" if kind == "hateoas" else "next"
        first = reply(f'{{"data":[{{"id":1}}],"{name}":{inside}}}')
        found[value[:50]] = tap.run([first, reply('{"data":[],"next":null,"links":{}}')], streams=[stream])
    assert wrong(found) == {}


def test_headers_of_the_next_page(tap: Tap) -> None:
    found = {}
    for location in [
        *LOCATIONS,
        "<",
        "<>; rel=next",
        "</a>; rel",
        '</a>; rel="',
        "\u00e9" * 100,
        ",;=" * 500,
    ][:: 1 if WHOLE else 4]:
        text = location if isinstance(location, bytes) else location.encode()
        link = text if text.startswith(b"<") else b"<" + text + b'>; rel="next"'
        for kind in (
            {"type": "link_header"},
            {"type": "header_cursor", "header": "Link", "request_header": "X-N"},
        ):
            stream = STREAM | {"pagination": kind}
            found[f"{kind['type']} {link[:50]!r}"] = tap.run(
                [reply(link=link), reply("[]")], streams=[stream]
            )
    assert wrong(found) == {}


def test_values_of_a_parent(tap: Tap) -> None:
    child = {"name": "kids", "parent": {"stream": "rows"}, "schema": {"properties": {"id": {}}}}
    found = {}
    for path, header in (("/x/{parent.id}", {}), ("{parent.id}", {}), ("/x?i={parent.id}", {})):
        for value in raw_values()[:: 1 if WHOLE else 3]:
            streams = [STREAM, child | {"path": path, "headers": header}]
            found[f"{path} {value[:50]}"] = tap.run(
                [reply(f'[{{"id":{value}}}]'), reply("[]")], streams=streams
            )
    assert wrong(found) == {}


def test_random_changes_of_answers(tap: Tap) -> None:
    heads = [
        reply(),
        reply('{"data":[{"id":1}],"next":"/x"}'),
        redirect("/a?b=c"),
        reply("2\r\n[]\r\n0\r\n\r\n", transfer_encoding="chunked", content_length="-"),
    ]
    found = {}
    stream = STREAM | {"pagination": {"type": "link_header"}}
    for data in mutations(heads, COUNT, SEED):
        found[repr(data)] = tap.run([data, reply("[]")], streams=[stream])
    assert wrong(found) == {}


# --- config, catalog, state ------------------------------------------------------------------------------------

GOOD = {
    "base_url": "http://127.0.0.1:9",
    "streams": [STREAM | {"replication_key": "id"}],
    "retries": FAST,
    "headers": {"A": "b"},
    "params": {"a": 1, "b": [1, "x"]},
    "timeout": {"connect": 1},
    "limits": {"pages": 5},
    "start_date": "2024-01-01T00:00:00Z",
    "auth": {"type": "bearer", "token": "abc"},
    "select": ["rows"],
    "allowed_hosts": ["https://x.test"],
    "allowed_addresses": ["10.0.0.0/8"],
    "pagination": {"type": "page", "size": 10, "start": 1},
    "state_every": 5,
    "pipeline": "p",
}
ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    1.5,
    "",
    "\x00",
    "\ud800",
    "x" * 100_000,
    "\u4e2d",
    [],
    {},
    [None],
    {"a": None},
    {"env": "NOT_SET"},
    {"env": "A=B\x00"},
    {"env": "\ud800"},
    {"file": "/nowhere"},
    {"file": "a\x00b"},
    {"file": "/dev/zero"},
    {"file": "/"},
    {"file": "/proc/self/mem"},
    "http://[::1",
    "http://\uff0fx",
    "9999-99-99",
    "0000-01-01T00:00:00Z",
]
FILES = [
    b"",
    b"\xff",
    b"{",
    b"null",
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a":' + b"9" * 10_000 + b"}",
    b'{"a":1e999999}',
    b'{"a":NaN}',
    b'{"a":"\\ud800"}',
    b'{"a":"\xed\xa0\x80"}',
    b'{"\\u0000":1}',
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    b'{"a":1,"a":2}',
    b"{}x",
    b'{"streams":[{}]}',
    b'{"streams":[{"stream":"rows","schema":' + b'{"properties":{"id":' * 400 + b"{}" + b"}}" * 400 + b"}]}",
    b'{"streams":[{"stream":"rows","tap_stream_id":"rows","schema":{"properties":{"id":{"$ref":"#/x/y"}}}}]}',
    b'{"streams":[{"stream":"rows","tap_stream_id":"rows","schema":5,"metadata":5}]}',
    b'{"streams":[{"stream":"rows","tap_stream_id":"rows","schema":{},"metadata":[{"breadcrumb":["properties"],"metadata":5}]}]}',
    b'{"streams":[{"stream":"rows","tap_stream_id":"rows","schema":{"properties":5},"metadata":[{"breadcrumb":[1,{}],"metadata":{"selected":{}}}]}]}',
    b'{"streams":[{"stream":"rows","tap_stream_id":"rows","schema":{},"key_properties":5,"replication_key":{},"metadata":[{"breadcrumb":[],"metadata":{"selected":true,"replication-key":5}}]}]}',
    b'{"bookmarks":5}',
    b'{"bookmarks":{"rows":5}}',
    b'{"bookmarks":{"rows":{"replication_key":5,"replication_key_value":{}}}}',
    b'{"bookmarks":{"rows":{"replication_key":"id","replication_key_value":' + b"9" * 10_000 + b"}}}",
    b'{"bookmarks":{"rows":{"partitions":[5]}}}',
    b'{"_singerkit":5}',
    b'{"_singerkit":{"run":5,"pipeline":[],"complete":"x"}}',
]


def changed() -> dict[str, bytes]:
    """Every setting of a good config with every odd value."""
    configs = {}
    for key in GOOD:
        for number, value in enumerate(ODD_VALUES):
            configs[f"{key} = {str(value)[:30]!r} ({number})"] = json.dumps(GOOD | {key: value}).encode()
    for key, group in GOOD.items():
        if isinstance(group, dict):
            for inner in group:
                for value in ODD_VALUES:
                    text = json.dumps(GOOD | {key: group | {inner: value}}).encode()
                    configs[f"{key}.{inner} = {str(value)[:30]!r}"] = text
    return configs


def test_settings(tap: Tap) -> None:
    configs = changed()
    step = 1 if WHOLE else 12
    found = {name: tap.run_config(text) for name, text in list(configs.items())[SEED % step :: step]}
    assert wrong(found) == {}


@pytest.mark.parametrize("option", ["--config", "--catalog", "--state"])
def test_files(option: str, tap: Tap) -> None:
    tap.answers.replies = [reply()]
    good = json.dumps(
        {"base_url": f"http://127.0.0.1:{tap.answers.port}", "streams": GOOD["streams"], "retries": FAST}
    ).encode()
    found = {}
    changes = list(mutations([data for data in FILES if len(data) < 2000], COUNT, SEED))
    for data in [*FILES, *changes]:
        file = tap.folder / "odd"
        file.write_bytes(data)
        if option == "--config":
            found[repr(data[:80])] = tap.run_config(data)
        else:
            found[repr(data[:80])] = tap.run_config(good, None, option, str(file))
    assert wrong(found) == {}


ENVIRONMENTS: dict[str, dict[str, str]] = {
    "HTTP_PROXY=garbage": {"HTTP_PROXY": "garbage", "NO_PROXY": ""},
    "HTTP_PROXY=http://[": {"HTTP_PROXY": "http://[", "NO_PROXY": ""},
    "HTTP_PROXY=://": {"HTTP_PROXY": "://", "NO_PROXY": ""},
    "HTTP_PROXY=socks5": {"HTTP_PROXY": "socks5://127.0.0.1:9", "NO_PROXY": ""},
    "HTTP_PROXY=ftp": {"HTTP_PROXY": "ftp://127.0.0.1:9", "NO_PROXY": ""},
    "HTTP_PROXY with a bad port": {"HTTP_PROXY": "http://127.0.0.1:99999", "NO_PROXY": ""},
    "HTTP_PROXY with letters as port": {"HTTP_PROXY": "http://127.0.0.1:abc", "NO_PROXY": ""},
    "HTTP_PROXY with odd credentials": {"HTTP_PROXY": "http://\u4e2d:%zz%ff@127.0.0.1:9", "NO_PROXY": ""},
    "ALL_PROXY": {"ALL_PROXY": "nonsense://x", "NO_PROXY": ""},
    "NO_PROXY": {"NO_PROXY": "[::1,/,999.1.1.1/99,*.*,\u4e2d,,,"},
    "REQUESTS_CA_BUNDLE": {"REQUESTS_CA_BUNDLE": "/nowhere"},
    "SSL_CERT_FILE": {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/dev/null"},
    "SSLKEYLOGFILE": {"SSLKEYLOGFILE": "/nowhere/x"},
    "TZ": {"TZ": "Nonsense/Nowhere\x7f"},
    "LANG": {"LANG": "xx_YY.nonsense", "LC_ALL": "xx_YY.nonsense", "PYTHONIOENCODING": "ascii"},
    "HOME": {"HOME": "/nowhere", "XDG_CACHE_HOME": "/dev/null", "XDG_CONFIG_HOME": "/dev/null"},
    "TMPDIR": {"TMPDIR": "/nowhere"},
    "LOGLEVEL": {"TAP_REST_LOGLEVEL": "nonsense"},
}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_environments(scheme: str, tap: Tap) -> None:
    found = {}
    url = f"{scheme}://127.0.0.1:{tap.answers.port}"
    for name, environment in ENVIRONMENTS.items():
        more = {key.replace("HTTP_", "HTTPS_"): value for key, value in environment.items()}
        found[name] = tap.run(
            [reply()], environment | more, base_url=url, streams=[{"name": "rows", "path": "/rows"}]
        )
    assert wrong(found) == {}
