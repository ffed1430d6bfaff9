"""`hook`: the four methods of a class, what they may return, and what a file may be that is run."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import re
import signal
import subprocess
import textwrap
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from canaries import canary
from taps.rest.api_server import Api, Asked, Reply, json_reply, page_of, serving
from taps.rest.conftest import TAP

from singerkit_shell.errors import ConfigurationError, SingerkitError
from singerkit_shell.signals import stop_flag
from tap_rest.hook.loading import Hooks
from tap_rest.tap import TapRest

ROWS = [{"id": number, "at": f"2026-01-0{number}T00:00:00Z", "price": 1.10} for number in range(1, 8)]
FAST = {"tries": 2, "first_wait": 0.01, "longest_wait": 0.05}
STREAM: dict[str, Any] = {
    "name": "rows",
    "path": "/rows",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
}
Run = Callable[..., "Ended"]


class Ended:
    """A run: its code and sentence, its messages as they were written."""

    def __init__(self, code: int, sentence: str, written: bytes) -> None:
        self.code, self.sentence = code, sentence
        self.lines = written.splitlines()
        self.messages = [json.loads(line) for line in self.lines]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [one["record"] for one in self.messages if one["type"] == "RECORD"]

    @property
    def state(self) -> Any:
        return [one["value"] for one in self.messages if one["type"] == "STATE"][-1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a stream whose hook has this text in its class."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.chdir(tmp_path)

    def run_it(
        api: Api, methods: str, state: Any = None, settings: Any = None, config: Any = None, **stream: Any
    ) -> Ended:
        (tmp_path / "my_api.py").write_text(
            f"import decimal, hashlib, hmac, json\nclass Hook:\n{textwrap.indent(textwrap.dedent(methods), '    ')}\n"
        )
        hook = {"path": "my_api.py"} | ({} if settings is None else {"settings": settings})
        given = {
            "base_url": api.url,
            "retries": FAST,
            "schema_cache": str(tmp_path / "cache"),
            "streams": [STREAM | stream],
            "hook": hook,
        } | (config or {})
        written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        code, sentence = 0, ""
        with redirect_stdout(written):
            try:
                TapRest(config=json.loads(json.dumps(given)), state=state, setup_mapper=False).sync()
            except SingerkitError as error:
                code, sentence = error.exit_code, str(error)
        return Ended(code, sentence, written.buffer.getvalue())  # type: ignore[attr-defined]

    return run_it


def paged(asked: Asked) -> Reply:
    return json_reply(
        {"data": page_of(ROWS, asked, 3), "left": max(7 - 3 * int(asked.param("page") or 1), 0)}
    )


def test_rows_are_changed_and_left_out_before_keys_and_bookmarks_are_judged(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with serving({"/rows": lambda _: json_reply([{"sku": row["id"], **row} for row in ROWS])}) as api:
        ended = run(
            api,
            """
            def post_process(self, row, stream):
                if row["id"] % 2 == 0:
                    return None
                row["key"] = f"{stream}-{row.pop('sku')}"
                row["changed"] = row["at"].replace("2026", "2025")
                return row
            """,
            primary_keys=["key"],
            replication_key="changed",
        )
    assert ended.code == 0
    assert [row["key"] for row in ended.rows] == ["rows-1", "rows-3", "rows-5", "rows-7"]
    assert "sku" not in ended.rows[0]
    assert ended.state["bookmarks"]["rows"]["replication_key_value"] == "2025-01-07T00:00:00Z"
    assert "`post_process` of the hook left out 3 rows of stream rows, of 7 that came." in caplog.text


def test_numbers_stay_what_they_are(run: Run) -> None:
    with serving(
        {"/rows": lambda _: json_reply(b'[{"id": 12345678901234567890123, "x": 1.10, "y": 1e-7}]')}
    ) as api:
        ended = run(
            api,
            """
            def post_process(self, row, stream):
                row["z"] = row["x"] + decimal.Decimal("0.005")
                return row
            """,
        )
    assert any(b'{"id":12345678901234567890123,"x":1.10,"y":1e-7,"z":1.105}' in line for line in ended.lines)


def test_all_rows_left_out_is_told(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        ended = run(
            api, "def post_process(self, row, stream): return None", schema={"properties": {"id": {}}}
        )
    assert (ended.code, ended.rows) == (0, [])
    assert "left out 7 rows of stream rows, which are all that came" in caplog.text
    assert "No row came at all" not in caplog.text


SIGNING = """
def __init__(self, settings):
    self._key = settings["key"].encode()
def prepare_request(self, request, stream):
    said = f"{request.method} {request.url}".encode() + (request.body or b"")
    request.headers["X-Sign"] = hmac.new(self._key, said, "sha256").hexdigest()
    request.url += "&signed=" + stream
    request.body = (request.body or b"") + b" "
    return request
"""


def test_a_request_is_signed(run: Run, tmp_path: Path) -> None:
    key = canary("the key of a hook")

    def signed(asked: Asked) -> Reply:
        url, _, name = f"{api.url}{asked.raw_path}".partition("&signed=")
        said = f"{asked.method} {url}".encode() + asked.body.removesuffix(b" ")
        fits = hmac.new(key.encode(), said, hashlib.sha256).hexdigest() == asked.headers["X-Sign"]
        is_whole = int(asked.headers["Content-Length"]) == len(asked.body) and asked.body.endswith(b" ")
        return paged(asked) if fits and is_whole and name == "rows" else json_reply({"no": key}, 400)

    with serving({"/rows": signed}) as api:
        pages = {"type": "page", "size": 3}
        for concurrency in (1, 4):
            ended = run(
                api,
                SIGNING,
                settings={"key": key},
                method="POST",
                body={"x": 1},
                records="$.data[*]",
                pagination=pages,
                config={"concurrency": concurrency},
            )
            assert (ended.code, [row["id"] for row in ended.rows]) == (0, [1, 2, 3, 4, 5, 6, 7])
        refused = run(
            api,
            SIGNING,
            settings={"key": "another"},
            method="POST",
            body={},
            records="$.data[*]",
            pagination=pages,
        )
    assert refused.code == 65


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ("return None", "has to return the request, got `NoneType`"),
        (
            "request.url = 'https://elsewhere.example/'; return request",
            "to the same host, got one to another",
        ),
        ("request.url = 7; return request", "got one to another, or no URL"),
        ("request.method = 'PUT'; return request", "a request of the same method, got another"),
        ("request.body = 'text'; return request", "whose `body` is bytes or None, got `str`"),
        ("request.headers['X'] = 'a\\nb'; return request", "headers of text that fits on one line"),
        ("request.headers['X'] = 5; return request", "headers of text that fits on one line"),
    ],
)
def test_a_request_that_is_none_is_refused(run: Run, changed: str, sentence: str) -> None:
    with serving({"/rows": paged}) as api:
        ended = run(api, f"def prepare_request(self, request, stream): {changed}")
        assert api.asked == []
    assert ended.code == 78
    assert "`prepare_request` of the hook my_api.py for stream rows" in ended.sentence
    assert sentence in ended.sentence


def test_a_body_is_read(run: Run) -> None:
    """Lines of `id|at`, packed, are what `records` and `pagination` go by."""

    def lines(asked: Asked) -> Reply:
        rows = page_of(ROWS, asked, 3)
        return Reply("\n".join(f"{row['id']}|{row['at']}" for row in rows).encode())

    with serving({"/rows": lines}) as api:
        ended = run(
            api,
            """
            def parse_response(self, response, stream):
                assert response.status == 200 and response.headers["content-length"]
                assert response.body == response.open().read()
                rows = [line.split("|") for line in response.body.decode().split()]
                return {"rows": [{"id": int(id), "at": at} for id, at in rows], "more": len(rows) == 3}
            """,
            records="$.rows[*]",
            pagination={"type": "page", "size": 3, "has_more": "$.more"},
        )
    assert (ended.code, [row["id"] for row in ended.rows]) == (0, [1, 2, 3, 4, 5, 6, 7])


def test_a_long_body_is_read_piece_by_piece(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_rest.http.storing.MEMORY", 50_000)
    body = b"".join(b"%d\n" % number for number in range(20_000))
    with serving({"/rows": lambda _: Reply(body)}) as api:
        ended = run(
            api,
            """
            def parse_response(self, response, stream):
                return [{"id": int(line)} for line in response.open() if line.endswith(b"999\\n")]
            """,
        )
    assert [row["id"] for row in ended.rows] == list(range(999, 20_000, 1000))


@pytest.mark.parametrize(("kind", "found"), [("cursor", "number"), ("next_url", "f'/rows?page={number}'")])
def test_the_next_page_is_found(run: Run, kind: str, found: str) -> None:
    """By the rows and by the answer; the guard against circles holds."""
    methods = f"""
    def next_page(self, response, rows, stream):
        number = rows[0]["id"] // 3 + 2
        return {found} if json.loads(response.body)["left"] else None
    """
    with serving({"/rows": paged}) as api:
        pages = {"type": kind} | ({"param": "page"} if kind == "cursor" else {})
        ended = run(api, methods, records="$.data[*]", pagination=pages)
        assert [asked.param("page") for asked in api.asked] == [None, "2", "3"]
        assert (ended.code, [row["id"] for row in ended.rows]) == (0, [1, 2, 3, 4, 5, 6, 7])
        circle = run(api, methods.replace("// 3 + 2", "* 0 + 2"), records="$.data[*]", pagination=pages)
        assert (circle.code, "leads back" in circle.sentence or "same" in circle.sentence) == (65, True)
        wrong = run(
            api,
            "def next_page(self, response, rows, stream): return 1.5",
            records="$.data[*]",
            pagination=pages,
        )
        assert (wrong.code, "got `float`" in wrong.sentence) == (78, True)


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ("{'id': 1, 'x': {1, 2}}", "`set` at `$.x`"),
        ("{'id': 1, 'x': [{'y': float('nan')}]}", "`float` at `$.x[0].y` (no finite number)"),
        ("{'id': 1, 2: 3}", "a name that is `int` at `$`"),
        ("{'id': b'x'}", "`bytes` at `$.id`"),
        ("{'id': decimal.Decimal('Infinity')}", "`Decimal` at `$.id`"),
        ("[row]", "a dict, or None to leave the row out, got `list`"),
        ("7", "a dict, or None to leave the row out, got `int`"),
    ],
)
def test_what_json_cannot_hold_is_refused(run: Run, row: str, place: str) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        ended = run(
            api, f"def post_process(self, row, stream): return {row}", schema={"properties": {"id": {}}}
        )
    assert (ended.code, ended.rows) == (78, [])
    assert f"has to return {'' if 'dict' in place else 'what JSON can hold, got '}{place}" in ended.sentence


TALKING = """
def __init__(self, settings):
    self._key = settings["key"]
    print("made with", settings)
def post_process(self, row, stream):
    import os, subprocess, sys, threading
    sys.stdout.write("on stdout " + self._key + "\\n")
    sys.stdout.buffer.write(b"in bytes\\n")
    sys.stderr.write("on stderr " + self._key)
    talker = threading.Thread(target=lambda: print("in a thread"))
    talker.start()
    talker.join()
    os.write(1, b"past Python\\n")
    subprocess.run(["echo", "by a program"])
    return row
"""


def test_what_a_hook_prints_is_logged_without_secrets_and_never_on_the_wire(run: Run, tmp_path: Path) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS[:1])}) as api:
        run(api, TALKING, settings={"key": canary("TALK")})  # which writes the hook, too
        config = {
            "base_url": api.url,
            "hook": {"path": "my_api.py", "settings": {"key": canary("TALK")}},
            "streams": [STREAM],
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        done = subprocess.run(
            [TAP, "--config", "config.json"], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines() if '"RECORD"' in line] == ["RECORD"]
    assert all(line.startswith("{") for line in done.stdout.splitlines())
    assert {line.rpartition("| ")[2] for line in done.stderr.splitlines() if "| Hook" in line} == {
        "Hook my_api.py: made with {'key': '***'}",
        "Hook my_api.py: on stdout ***",
        "Hook my_api.py: in bytes",
        "Hook my_api.py: on stderr ***",
        "Hook: in a thread",
    }
    assert {"past Python", "by a program"} <= {*done.stderr.splitlines()}
    assert canary("TALK") not in done.stderr


def test_an_error_is_a_sentence_without_data(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        methods = """
        def post_process(self, row, stream):
            print("seen", row["id"])
            raise KeyError(row["at"])
        """
        ended = run(api, methods, schema={"properties": {"id": {}}})
    assert ended.code == 78
    assert (
        "The hook my_api.py failed in `post_process` for stream rows: KeyError at line 6; what was written before is safe"
        in ended.sentence
    )
    assert "2026-01-01" not in ended.sentence
    assert "Hook my_api.py: seen 1" in caplog.messages


FILES: dict[str, tuple[str, str]] = {
    "a typo": ("class Hook:\n def postprocess(self, row, stream): ...", "did you mean `post_process`?"),
    "another name": (
        "class Hook:\n def transform(self, row): ...",
        "there are prepare_request, parse_response, next_page, post_process",
    ),
    "arguments": (
        "class Hook:\n def post_process(self, row): ...",
        "expected `def post_process(self, row, stream)`, got `def post_process(self, row)`",
    ),
    "async": (
        "class Hook:\n async def post_process(self, row, stream): ...",
        "neither `async` nor with `yield`",
    ),
    "generator": (
        "class Hook:\n def post_process(self, row, stream):\n  if row: yield row",
        "neither `async` nor with `yield`",
    ),
    "none": ("class Hook:\n def _own(self): ...", "has none of the methods"),
    "bases": ("class Hook(dict):\n def post_process(self, row, stream): ...", "has to stand by itself"),
    "no class": ("class Hooks:\n pass", "it has no class `Hook`, but one `Hooks`"),
    "no Python": ("class Hook:\n def", "it is no Python (SyntaxError at line 2)"),
    "fails": (
        "import nothing_at_all\nclass Hook:\n def post_process(self, row, stream): ...",
        "cannot be run: ModuleNotFoundError at line 1; nothing was asked",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_hook_is_refused(case: str, tmp_path: Path) -> None:
    text, sentence = FILES[case]
    file = tmp_path / "hook.py"
    file.write_text(text)
    assert sentence in refusal(file)


def refusal(file: Path, **stream: Any) -> str:
    config = {"base_url": "http://127.0.0.1:9", "streams": [STREAM | stream], "hook": {"path": str(file)}}
    with pytest.raises(ConfigurationError) as caught:
        loaded(config)
    assert caught.value.exit_code == 78
    return str(caught.value)


def loaded(config: Any) -> None:
    tap = TapRest(config=config, setup_mapper=False)
    Hooks().of(tap.api.streams[0])


def test_only_a_plain_file_that_nobody_else_writes_is_run(tmp_path: Path) -> None:
    file = tmp_path / "hook.py"
    assert "No such file" in refusal(file)
    file.mkdir()
    assert "Is a directory" in refusal(file)
    file.rmdir()
    file.write_text("class Hook:\n def post_process(self, row, stream): return row")
    file.chmod(0o666)
    assert "everybody may write to" in refusal(file)
    assert "whose name ends with `.py`" in refusal(tmp_path / "hook.txt")


def test_what_goes_with_next_page(tmp_path: Path) -> None:
    file = tmp_path / "hook.py"
    file.write_text("class Hook:\n def next_page(self, response, rows, stream): ...")
    assert "needs `streams[0].pagination.type` `cursor`" in refusal(file)
    assert "`streams[0].pagination.cursor` has no effect" in refusal(
        file, pagination={"type": "cursor", "cursor": "$.x"}
    )
    assert "`streams[0].pagination.next` has no effect" in refusal(
        file, pagination={"type": "next_url", "next": "$.x"}
    )
    file.write_text("class Hook:\n def post_process(self, row, stream): ...")
    assert "which `cursor` needs" in refusal(file, pagination={"type": "cursor"})
    for more in ({}, {"pagination": {"type": "cursor"}}):
        stream = (
            STREAM | {"pagination": {"type": "cursor"}} if not more else {"name": "rows", "path": "/rows"}
        )
        config = {"base_url": "http://127.0.0.1:9", "streams": [stream], **more}
        with pytest.raises(ConfigurationError, match="cursor`, which `cursor` needs"):
            loaded(config)


def test_no_hook_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its file nor a config that names one."""
    file = tmp_path / "hook.py"
    file.write_text("raise SystemExit('it was run')\nclass Hook:\n def post_process(self, row, stream): ...")
    hook = {"path": str(file)}
    monkeypatch.setenv("HOOK_FILE", str(file))
    monkeypatch.setenv("TAP_REST_HOOK", json.dumps(hook))
    monkeypatch.setenv("TAP_REST_STREAMS", json.dumps([STREAM | {"hook": hook}]))
    monkeypatch.setenv("TAP_REST_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("TAP_REST_AUTH", raising=False)  # a canary of every test
    config = tmp_path / "tap.json"
    given: dict[str, Any] = {"base_url": "http://127.0.0.1:9", "streams": [STREAM]}
    for text in (
        json.dumps(given | {"hook": {"path": {"env": "HOOK_FILE"}}}),
        json.dumps(given | {"hook": {"path": "${HOOK_FILE}"}}),
        json.dumps(given | {"hook": {"env": "TAP_REST_HOOK"}}),
        json.dumps({"base_url": "http://127.0.0.1:9", "streams": {"env": "TAP_REST_STREAMS"}}),
        "ENV",
    ):
        config.write_text(text)
        source = "ENV" if text == "ENV" else str(config)
        with pytest.raises(
            ConfigurationError, match="in a config file itself, got one from an environment variable"
        ):
            TapRest(config=TapRest._with_environment(merged(source)), setup_mapper=False)


def merged(source: str) -> Any:
    from singerkit_shell.command import merged_config

    return merged_config(source)


def test_a_change_of_the_hook_is_noticed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    keys = {"replication_key": "at", "incremental": {"param": "since"}}
    first = "def post_process(self, row, stream): return row"
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        then = run(api, first, **keys)
        run(api, first, state=then.state, **keys)
        assert "read otherwise" not in caplog.text
        run(api, first + "  # another", state=then.state, **keys)
    assert "read otherwise than by the run before" in caplog.text


def test_a_stream_has_a_hook_of_its_own(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One at the top is that of all others; an object serves all that name it alike."""
    (tmp_path / "own.py").write_text(
        "class Hook:\n def post_process(self, row, stream): return row | {'who': 'own'}"
    )
    counting = """
    def __init__(self):
        self._count = 0
    def post_process(self, row, stream):
        self._count += 1
        return row | {"who": self._count}
    """
    others = [STREAM | {"name": "others"}, STREAM | {"name": "more", "hook": {"path": "own.py"}}]
    with serving({"/rows": lambda _: json_reply(ROWS[:1])}) as api:
        ended = run(api, counting, config={"streams": [STREAM, *others]})
        found = {one["stream"]: one["record"]["who"] for one in ended.messages if one["type"] == "RECORD"}
        assert found.pop("more") == "own"
        assert sorted(found.values()) != [1, 1]
        run(api, counting, config={"streams": others[1:]})
    assert "`hook` of the top level has no effect" in caplog.text


def test_the_example_of_the_docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its config, wherever the run begins; the preview says what the hook does."""
    monkeypatch.setenv("NO_PROXY", "*")
    text = (Path(__file__).parents[3] / "docs" / "tap-rest" / "hook.md").read_text(encoding="utf-8")
    key = canary("the key of a shop")
    [config] = re.findall(r"^```json\n(.*?)^```", text, re.M | re.S)
    [hook] = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    lines = [
        f"{number}|{'draft' if number == 2 else 'paid'}|2026-01-01|00:{number % 60:02}:00"
        for number in range(1, 131)
    ]

    def shop(asked: Asked) -> Reply:
        if (
            asked.headers["X-Shop-Signature"]
            != hmac.new(key.encode(), f"{api.url}{asked.raw_path}".encode(), "sha256").hexdigest()
        ):
            return json_reply({}, 401)
        after = int(asked.param("after") or 0)
        return Reply("\n".join(["id|state|day|time", *lines[after : after + 100]]).encode())

    with serving({"/api/orders": shop}) as api:
        (tmp_path / "shop.json").write_text(config.replace("https://shop.example", api.url))
        (tmp_path / "shop_hook.py").write_text(hook)
        env = {**os.environ, "SHOP_KEY": key, "XDG_CACHE_HOME": str(tmp_path)}
        ended = subprocess.run(
            [str(TAP), "--config", str(tmp_path / "shop.json")],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        shown = subprocess.run(
            [str(TAP), "preview", "-c", str(tmp_path / "shop.json")],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    records = [json.loads(line)["record"] for line in ended.stdout.splitlines() if '"RECORD"' in line]
    assert len(records) == 129
    assert records[-1] == {"id": "130", "state": "paid", "changed": "2026-01-01T00:10:00Z"}
    assert "left out 1 row of stream orders, of 130 that came" in ended.stderr
    assert (
        "The hook shop_hook.py has `prepare_request`, `parse_response`, `next_page`, `post_process`"
        in shown.stdout
    )


def test_no_row_shares_anything_with_another(run: Run) -> None:
    """One object that is returned for all, and rows that `next_page` changes."""
    with serving(
        {"/rows": lambda asked: json_reply({"data": ROWS[:3] if not asked.param("after") else ROWS[3:4]})}
    ) as api:
        ended = run(
            api,
            """
            _one = {}
            def next_page(self, response, rows, stream):
                rows[0]["id"], found = 0, len(rows)
                rows.clear()
                return "x" if found == 3 else None
            def post_process(self, row, stream):
                self._one.update(row, n=self._one.get("n", 0) + 1)
                return self._one
            """,
            records="$.data[*]",
            pagination={"type": "cursor", "param": "after"},
            schema={"properties": {"id": {"type": "integer"}, "n": {"type": "integer"}}},
        )
    assert [(row["id"], row["n"]) for row in ended.rows] == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_page_that_the_answer_shows_is_asked_for(run: Run) -> None:
    """A hook that ends too early is no better than a config that does."""
    with serving({"/rows": lambda _: json_reply({"data": ROWS[:3], "next": "/rows?page=2"})}) as api:
        methods = "def next_page(self, response, rows, stream): return None"
        ended = run(api, methods, records="$.data[*]", pagination={"type": "cursor"})
    assert (ended.code, "next" in ended.sentence) == (65, True)


def test_no_two_calls_at_a_time(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with serving({"/rows": paged}) as api:
        methods = """
        _busy = False
        def prepare_request(self, request, stream):
            import time
            if self._busy:
                print("two at a time")
            self._busy = True
            time.sleep(0.01)
            self._busy = False
            return request
        """
        pages = {"type": "page", "size": 3}
        ended = run(api, methods, records="$.data[*]", pagination=pages, config={"concurrency": 4})
    assert (ended.code, len(ended.rows), capsys.readouterr().err) == (0, 7, "")


def test_two_rows_of_one_key_are_refused_behind_the_hook(run: Run) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        ended = run(api, "def post_process(self, row, stream): return row | {'id': 1}")
    assert ended.code == 65
    assert "`id`" in ended.sentence


def test_children_stand_below_what_the_hook_makes_of_their_parents(run: Run) -> None:
    child = {"name": "below", "path": "/up/{parent.key}", "parent": {"stream": "rows"}}
    with serving(
        {"/rows": lambda _: json_reply(ROWS[:2]), "/up/k2": lambda _: json_reply([{"x": 1}])}
    ) as api:
        methods = """
        def post_process(self, row, stream):
            if stream == "below":
                return row
            return {"key": f"k{row['id']}"} if row["id"] == 2 else None
        """
        ended = run(api, methods, config={"streams": [STREAM | {"primary_keys": ["key"]}, child]})
    assert (ended.code, [one for one in ended.rows if "x" in one]) == (0, [{"x": 1, "rows_key": "k2"}])


@pytest.mark.parametrize("ways_out", ["raise SystemExit(0)", "import sys; sys.exit(0)"])
def test_a_hook_that_leaves_is_a_failure(run: Run, ways_out: str) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        ended = run(
            api, f"def post_process(self, row, stream): {ways_out}", schema={"properties": {"id": {}}}
        )
    assert (ended.code, "SystemExit at line" in ended.sentence) == (78, True)


def test_a_signal_ends_a_hook_that_does_not_end(run: Run) -> None:
    with serving({"/rows": lambda _: json_reply(ROWS)}) as api:
        methods = """
        def post_process(self, row, stream):
            import os, signal
            os.kill(os.getpid(), signal.SIGTERM)
            while True: pass
        """
        stop_flag.install()
        try:
            ended = run(api, methods, schema={"properties": {"id": {}}})
        finally:
            stop_flag.signum, stop_flag.count = None, 0
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert (ended.code, ended.rows) == (143, [])
