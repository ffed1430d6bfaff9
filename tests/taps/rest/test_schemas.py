"""Declared schemas stay, inferred ones are cached and grow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from taps.rest.api_server import Asked, Reply, Route, json_reply, repeatedly, serving
from taps.rest.in_process import run_here

from singerkit_state.readas import ReadAs
from tap_rest.config import api_settings
from tap_rest.schema.inferred import InferredSchema
from tap_rest.schema.kept import KeptSchema


def paged(pages: list[list[dict[str, Any]]]) -> Route:
    def route(asked: Asked) -> Reply:
        number = int(asked.param("page", "1") or 1)
        return json_reply(pages[number - 1] if number <= len(pages) else [])

    return route


EARLY = {"format_values": 1}
STREAM = {"name": "rows", "path": "/rows", "primary_keys": ["id"], "pagination": {"type": "page"}}


def test_a_declared_schema_inline_and_from_a_file(run_tap: Any, tmp_path: Path) -> None:
    schema = {
        "$defs": {"money": {"type": "number"}},
        "type": "object",
        "properties": {"id": {"type": "integer"}, "sum": {"$ref": "#/$defs/money"}},
    }
    (tmp_path / "rows.schema.json").write_text(json.dumps(schema))
    with serving({"/rows": paged([[{"id": 1, "sum": 1.5, "more": 2}]])}) as api:
        for declared in (schema, str(tmp_path / "rows.schema.json")):
            run = run_tap(api.url, STREAM | {"schema": declared}).ended(0)
            assert run.schemas("rows") == [
                {
                    "type": "object",
                    "properties": {"id": {"type": "integer"}, "sum": {"type": ["number", "null"]}},
                }
            ], "a record without it is completed"
            assert run.records("rows") == [{"id": 1, "sum": 1.5}]
            assert "`more`" in run.stderr


def test_declared_schemas_that_are_none(run_tap: Any, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[]")
    bad: list[Any] = [
        {"type": "strin"},
        {"type": "array"},
        {"properties": {"id": {"$ref": "https://example.com/x"}}},
        {"properties": {"other": {}}},
        str(tmp_path / "missing.json"),
        str(tmp_path / "list.json"),
    ]
    for schema in bad:
        run_tap("http://127.0.0.1:1", STREAM | {"schema": schema}).ended(78)


def test_inferred_over_pages_merged_and_cached(run_tap: Any, tmp_path: Path) -> None:
    pages = [
        [{"id": 1, "n": 1, "t": "2026-01-01T00:00:00Z", "d": "2026-01-01"}],
        [{"id": 2, "n": 1.5, "t": None, "late": {"x": [1]}}],
    ]
    with serving({"/rows": paged(pages)}) as api:
        first = run_tap(api.url, STREAM, args=("--discover",), infer=EARLY).ended(0)
        asked_first = len(api.asked)
        run = run_tap(api.url, STREAM, infer=EARLY).ended(0)
        assert len(api.asked) == asked_first + 3, "a run infers nothing that is known"
        pages.append([{"id": 3, "n": 2, "t": None, "new": True}])
        second = run_tap(api.url, STREAM, args=("--discover",), infer=EARLY).ended(0)
        assert len(api.asked) == 2 * asked_first + 4, "a discovery shows what the API has now"
        assert "(new: `new`); its schema grows" in second.stderr
        one, other = (json.loads(of.stdout)["streams"][0]["schema"]["properties"] for of in (first, second))
        assert other == one | {"new": {"type": ["null", "boolean"]}}
        pages.clear()
        pages.append([{"id": 3}])
        third = run_tap(api.url, STREAM, args=("--discover",), infer=EARLY).ended(0)
        assert third.stdout == second.stdout, "and forgets nothing"
        pages.clear()
    properties = json.loads(first.stdout)["streams"][0]["schema"]["properties"]
    assert properties["id"]["type"] == "integer"
    assert set(properties["n"]["type"]) == {"null", "number"}
    assert properties["t"]["format"] == "date-time"
    assert properties["d"]["format"] == "date"
    assert "object" in properties["late"]["type"]
    assert [row["n"] for row in run.records("rows")] == [1, 1.5]
    assert len(run.schemas("rows")) == 1
    assert len(list((tmp_path / "schemas").iterdir())) == 1


def test_what_comes_later_widens_the_schema_and_is_sent(run_tap: Any) -> None:
    pages: list[list[dict[str, Any]]] = [[{"id": n, "v": n}] for n in range(8)]
    pages[5] = [{"id": 5, "v": 5}, {"id": 55, "v": 1.5, "new": "x"}]
    pages[7] = [{"id": 7, "v": "text", "new": "y"}]
    with serving({"/rows": paged(pages)}) as api:
        run = run_tap(api.url, STREAM).ended(0)
        again = run_tap(api.url, STREAM).ended(0)
    known = [{**record, "new": record.get("new")} for page in pages[5:] for record in page]
    assert run.records("rows") == [*(record for page in pages[:5] for record in page), *known]
    assert len(run.schemas("rows")) == 3
    assert run.stderr.count("`new`") == 1
    assert len(again.schemas("rows")) == 1
    assert again.schemas("rows")[0] == run.schemas("rows")[-1]
    kinds = [(m["type"], m.get("record", {}).get("id")) for m in run.messages if m["type"] != "STATE"]
    assert kinds.index(("RECORD", 5)) == kinds.index(("RECORD", 4)) + 2, (
        "SCHEMA before the page that needs it"
    )


def test_deselected_fields_stay_away_when_the_schema_grows(run_tap: Any) -> None:
    pages = [[{"id": n, "secret": "s"}] for n in range(7)] + [[{"id": 7, "secret": "s", "new": 1}]]
    with serving({"/rows": paged(pages)}) as api:
        run = run_tap(api.url, STREAM, select=["rows", "!rows.secret"]).ended(0)
    assert all("secret" not in record for record in run.records("rows"))
    assert run.records("rows")[-1] == {"id": 7, "new": 1}
    assert "secret" not in json.dumps(run.schemas("rows"))


def test_a_cache_that_is_torn_or_cannot_be_written(run_tap: Any, tmp_path: Path) -> None:
    with serving({"/rows": paged([[{"id": 1}]])}) as api:
        run_tap(api.url, STREAM).ended(0)
        (file,) = (tmp_path / "schemas").iterdir()
        file.write_text(file.read_text()[:20])
        assert "made anew" in run_tap(api.url, STREAM).ended(0).stderr
        json.loads(file.read_text())
        nowhere = tmp_path / "config.json" / "x"
        run = run_tap(api.url, STREAM, schema_cache=str(nowhere)).ended(0)
    assert run.records("rows") == [{"id": 1}]
    assert "schema_cache" in run.stderr


def test_the_default_cache_is_the_users(run_tap: Any, tmp_path: Path) -> None:
    with serving({"/rows": paged([[{"id": 1}]])}) as api:
        run_tap(api.url, STREAM, schema_cache="", env={"XDG_CACHE_HOME": str(tmp_path / "xdg")}).ended(0)
    assert len(list((tmp_path / "xdg" / "singerkit" / "tap-rest").iterdir())) == 1


def test_an_empty_stream_is_not_cached(run_tap: Any, tmp_path: Path) -> None:
    pages: list[list[dict[str, Any]]] = []
    with serving({"/rows": paged(pages)}) as api:
        run = run_tap(api.url, STREAM).ended(0)
        assert run.records("rows") == []
        assert run.schemas("rows")[-1]["properties"] == {"id": {"type": ["null"]}}
        assert not (tmp_path / "schemas").exists()
        pages.append([{"id": "a"}])
        run = run_tap(api.url, STREAM).ended(0)
    assert run.records("rows") == [{"id": "a"}]
    assert run.schemas("rows")[-1]["properties"]["id"]["type"] == "string"


def test_only_selected_streams_are_asked_for(run_tap: Any) -> None:
    other = {"name": "other", "path": "/other"}
    with serving({"/rows": paged([[{"id": 1}]]), "/other": paged([[{"id": 1}]])}) as api:
        run_tap(api.url, STREAM, other, select=["rows"]).ended(0)
        run_tap(api.url, STREAM, other | {"selected": False}).ended(0)
        assert {asked.path for asked in api.asked} == {"/rows"}
        found = run_tap(api.url, STREAM, other | {"selected": False}, args=("--discover",)).ended(0)
    assert len(json.loads(found.stdout)["streams"]) == 2


def keyed(**more: Any) -> Any:
    return {"streams": [STREAM | more]}


@pytest.mark.parametrize(
    "changed",
    [
        keyed(replication_key="at"),
        keyed(primary_keys=["org", "id"]),
        {"streams": [STREAM], "select": ["*", "!rows.org"]},
        {"streams": [STREAM], "select": ["rows.a?"]},
        {"streams": [STREAM], "select": ["!*.in.x"]},
    ],
)
def test_what_the_config_names_and_the_cache_does_not_know_is_asked_for(run_tap: Any, changed: Any) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "in": {"y": 1}}]
    with serving({"/rows": paged([rows])}) as api:
        run_tap(api.url, STREAM).ended(0)
        rows[0] |= {"at": "2026-01-01", "org": 5, "in": {"x": 1, "y": 1}}
        del api.asked[:]
        config = {"select": changed["select"]} if "select" in changed else {}
        run = run_tap(api.url, *changed["streams"], **config).ended(0)
        assert len(api.asked) == 2
        assert len(run.schemas("rows")) == 1
        again = run_tap(api.url, *changed["streams"], **config).ended(0)
        assert len(api.asked) == 4
        assert again.records("rows") == run.records("rows")


def test_what_the_api_does_not_have_either_is_refused(run_tap: Any) -> None:
    rows = [{"id": 1, "updated_at": "2026-01-01"}]
    other = {"name": "other", "path": "/other"}
    with serving({"/rows": paged([rows]), "/other": paged([rows])}) as api:
        run_tap(api.url, STREAM, other).ended(0)
        del api.asked[:]
        wrong = run_tap(api.url, STREAM | {"replication_key": "updated"}, other).ended(78)
        assert {asked.path for asked in api.asked} == {"/rows"}
        assert (
            "The replication key `updated` of stream `rows` is a field of none of the 1 record that this run has asked for to "
            "find it; correct the key (`updated_at`?), or, if it comes on later pages only, raise `infer.pages`"
        ) in wrong.sentence
        del api.asked[:]
        wrong = run_tap(api.url, STREAM, other, select=["*", "!rows.secret"]).ended(78)
        assert {asked.path for asked in api.asked} == {"/rows"}
        assert "The rule `!rows.secret` in `select` matches no stream and no field" in wrong.sentence
        declared = {"schema": {"properties": {"id": {"type": "integer"}}}, "replication_key": "updated_at"}
        wrong = run_tap(api.url, STREAM | declared).ended(78)
        assert "is not a property of its schema; correct the key or add the property" in wrong.sentence
        # Of a stream that has no record now nobody can say.
        rows.clear()
        empty = run_tap(api.url, STREAM | {"replication_key": "at"}).ended(0)
        assert empty.schemas("rows")[-1]["properties"]["at"] == {"type": ["null"]}
        api.routes["/rows"] = repeatedly(json_reply([]), json_reply([{"id": 2}]), json_reply([]))
        asks = {"replication_key": "at", "incremental": {"param": "since"}}
        wrong = run_tap(api.url, STREAM | asks, start_date="2026-01-01T00:00:00Z").ended(78)
        assert "is a field of none of the 1 record" in wrong.sentence


def test_a_key_that_is_looked_for_takes_the_place_of_nothing_that_a_catalog_has(tmp_path: Path) -> None:
    config = {
        "base_url": "http://x",
        "schema_cache": str(tmp_path),
        "streams": [STREAM | {"primary_keys": ["org"], "replication_key": "at"}],
    }
    api = api_settings(config)
    kept = KeptSchema(api.streams[0], api, ReadAs())
    cached = InferredSchema(api.streams[0], kept, {}, (), api.infer)
    cached.learn([([b'{"id": 1}'], {})])
    catalog = {"properties": {"id": {"type": "integer"}, "org": {"type": "integer"}}}
    keeper = InferredSchema(api.streams[0], kept, {"schema": catalog}, (), api.infer)
    keeper.doubt({"org", "at"})
    assert not keeper.is_known
    assert keeper.schema["properties"]["org"] == {"type": "integer"}
    assert keeper.schema["properties"]["at"] == {"type": ["null"]}


def test_a_catalog_needs_no_inference(run_tap: Any, tmp_path: Path) -> None:
    pages = [[{"id": 1, "a": 1, "b": 2}]]
    with serving({"/rows": paged(pages)}) as api:
        catalog = json.loads(run_tap(api.url, STREAM, args=("--discover",)).ended(0).stdout)
        for item in catalog["streams"][0]["metadata"]:
            item["metadata"]["selected"] = item["breadcrumb"] != ["properties", "b"]
        for file in (tmp_path / "schemas").iterdir():
            file.unlink()
        del api.asked[:]
        run = run_tap(api.url, STREAM, catalog=catalog).ended(0)
        assert len(api.asked) == 2
    assert run.records("rows") == [{"id": 1, "a": 1}]


OLD_CATALOG = "The catalog is older than what was found of stream rows: it lacks, or has with fewer types, "


def discovered(run_tap: Any, url: str, *streams: dict[str, Any], **config: Any) -> Any:
    return json.loads(run_tap(url, *streams, args=("--discover",), **config).ended(0).stdout)


def properties(run: Any) -> Any:
    return run.schemas("rows")[-1]["properties"]


def test_what_was_found_since_the_catalog_was_made_is_sent_by_each_run(run_tap: Any) -> None:
    """Not only by the run that finds it: the cache knows it after that, and nothing grows any more."""
    rows: list[dict[str, Any]] = [{"id": 1, "a": 1, "at": "2026-01-01T00:00:00Z", "in": {"x": 1}}]
    with serving({"/rows": paged([rows])}) as api:
        catalog = discovered(run_tap, api.url, STREAM, infer=EARLY)
        rows += [
            {"id": 2, "a": 1.5, "new": 7, "at": None, "in": {"x": 1}},
            {"id": 3, "a": 1, "new": 8, "at": "n/a", "in": {"x": 2, "y": 3}},
        ]
        found, later, last = (
            run_tap(api.url, STREAM, catalog=catalog, infer=EARLY).ended(0) for _ in range(3)
        )
        assert "its schema grows" in found.stderr
        assert OLD_CATALOG not in found.stderr
        assert properties(found)["a"] == {"type": ["null", "number"]}
        assert properties(found)["at"] == {"type": ["null", "string"]}
        for run in (later, last):
            assert run.records("rows") == [rows[0] | {"new": None}, *rows[1:]] == found.records("rows")
            assert properties(run) == properties(found)
            assert OLD_CATALOG + "`a`, `at`, `in`, `new`, sent as found" in run.stderr
        anew = run_tap(api.url, STREAM, catalog=discovered(run_tap, api.url, STREAM, infer=EARLY)).ended(0)
    assert anew.records("rows") == last.records("rows")
    assert OLD_CATALOG not in anew.stderr


def test_what_a_catalog_chose_stays_beside_what_was_found_since(run_tap: Any) -> None:
    rows: list[dict[str, Any]] = [{"id": 1, "no": 1, "a": 1, "sum": "1.5", "at": "2026-01-01", "any": 1}]
    edited = {
        "no": {"type": ["integer", "null"], "minimum": 0},
        "sum": {"type": ["string", "null"], "format": "singer.decimal"},
        "at": {"type": ["null", "string"], "maxLength": 10},
        "a": {"type": ["null", "number"]},
        "any": {},
    }
    with serving({"/rows": paged([rows])}) as api:
        catalog = discovered(run_tap, api.url, STREAM)
        entry = catalog["streams"][0]
        entry["schema"]["properties"] |= edited
        for name in ("no", "secret"):
            breadcrumb = ["properties", name]
            entry["metadata"] = [item for item in entry["metadata"] if item["breadcrumb"] != breadcrumb]
            entry["metadata"].append({"breadcrumb": breadcrumb, "metadata": {"selected": False}})
        rows.append({"id": 2, "no": 2, "a": 2, "new": 7, "secret": 9})
        run_tap(api.url, STREAM).ended(0)  # finds the new fields
        for _ in range(2):
            run = run_tap(api.url, STREAM, catalog=catalog).ended(0)
            assert properties(run) == {"id": {"type": "integer"}, "new": {"type": ["null", "integer"]}} | {
                name: prop for name, prop in edited.items() if name != "no"
            }
            assert OLD_CATALOG + "`new`, sent as found" in run.stderr
        assert [row["new"] for row in run.records("rows")] == [None, 7]
        assert all("secret" not in row and "no" not in row for row in run.records("rows"))
        run = run_tap(api.url, STREAM, catalog=catalog, select=["rows", "!rows.new", "!rows.secret"]).ended(0)
    assert "new" not in properties(run)
    assert OLD_CATALOG not in run.stderr


def test_a_field_copied_from_the_parent_that_is_newer_than_the_catalog(run_tap: Any) -> None:
    parents = [{"id": 1, "team": "a"}]
    child = {"name": "rows", "path": "/p/{parent.id}", "primary_keys": ["pid", "no"]}
    older, newer = (
        child | {"parent": {"stream": "p", "copy": copy}}
        for copy in ({"pid": "id"}, {"pid": "id", "team": "team"})
    )
    parent = {"name": "p", "path": "/p"}
    with serving({"/p": lambda _: json_reply(parents), "/p/1": lambda _: json_reply([{"no": 1}])}) as api:
        catalog = discovered(run_tap, api.url, parent, older)
        for team in ("a", "b", "c"):
            parents[0]["team"] = team
            run = run_tap(api.url, parent, newer, catalog=catalog).ended(0)
            assert run.records("rows") == [{"pid": 1, "team": team, "no": 1}]


def test_a_stream_that_the_catalog_lacks_is_named(run_tap: Any) -> None:
    other = {"name": "other", "path": "/other"}
    words = "The catalog does not have stream `other` of the config: not read. Make the catalog again with --discover"
    with serving({"/rows": paged([[{"id": 1}]]), "/other": paged([[{"id": 1}]])}) as api:
        catalog = discovered(run_tap, api.url, STREAM)
        run = run_tap(api.url, STREAM, other, catalog=catalog).ended(0)
        assert run.records("other") == []
        assert run.stderr.count(words) == 1
        for streams, select in (([other | {"selected": False}], None), ([other], ["rows"])):
            rules = {"select": select} if select else {}
            assert words not in run_tap(api.url, STREAM, *streams, catalog=catalog, **rules).ended(0).stderr
        run = run_tap(api.url, STREAM, other, catalog=catalog, select=["*"]).ended(0)
        assert len(run.records("other")) == 1
        assert words not in run.stderr
        anew = run_tap(api.url, STREAM, other, catalog=discovered(run_tap, api.url, STREAM, other)).ended(0)
    assert len(anew.records("other")) == 1
    assert words not in anew.stderr


HALF = '[{"id":1,"v":"ok"},{"id":2,"w":"a\\ud800b"}]'


@pytest.mark.parametrize("target", ["target-postgres", "target-jsonl"])
def test_half_a_character_is_the_targets_matter(
    run_tap: Any, database: str, tmp_path: Path, target: str
) -> None:
    """Its record is inferred from like all others, and sent; no target holds it, and each says which field it is."""
    with serving({"/a": lambda _: Reply(body=HALF.encode())}) as api:
        lines = run_tap(api.url, {"name": "a", "path": "/a", "primary_keys": ["id"]}).ended(0).stdout

    def load(**policy: str) -> tuple[int, str]:
        place = (
            {"dsn": database} if target == "target-postgres" else {"destination_path": str(tmp_path / "out")}
        )
        config = tmp_path / "target.json"
        config.write_text(json.dumps(place | policy))
        command = [str(Path(sys.executable).with_name(target)), "--config", str(config)]
        run = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
        return run.returncode, run.stderr.decode()

    code, words = load()
    assert code == 65
    assert "got a lone surrogate at a.$.w (line 4)" in words
    assert load(on_invalid="quarantine")[0] == 0  # the advice


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ('[{"id":1,"\\ud800":1}]', 65, "stream a has a field whose name is no text (`\\ud800`, with half"),
        ('[{"id":1,"v":{"\\ud800":1}}]', 0, ""),
        ('[{"id":' + "9" * 5000 + "}]", 0, ""),
    ],
    ids=["a name", "a name inside", "a number of 5,000 digits"],
)
def test_fields_that_are_hard_to_read(run_tap: Any, body: str, code: int, words: str) -> None:
    stream = {"name": "a", "path": "/a", "primary_keys": ["id"]}
    with serving({"/a": lambda _: Reply(body=body.encode())}) as api:
        run = run_tap(api.url, stream).ended(code)
        assert words in run.stderr
        run_tap(api.url, stream | {"schema": {"properties": {"id": {}}}}).ended(0)  # the advice


def test_half_a_character_that_is_copied_to_children(run_tap: Any) -> None:
    child = {"name": "b", "path": "/b/{parent.id}", "parent": {"stream": "a", "copy": {"w": "w"}}}
    routes = {
        "/a": lambda _: Reply(body=b'[{"id":1,"w":["\\ud800"]}]'),
        "/b/1": lambda _: json_reply([{"n": 1}]),
    }
    with serving(routes) as api:
        run = run_tap(api.url, {"name": "a", "path": "/a"}, child).ended(65)
    assert "Expected whole characters as `w` of the parent, which stream b is read by" in run.sentence


def test_a_text_is_more_than_text_where_enough_values_show_it(tmp_path: Path) -> None:
    """Of few rows one that comes later may be anything; what a key, the bookmark and a copied field are, is compared or joined by."""
    rows = [
        {"id": n, "at": f"2026-01-0{n}T00:00:00Z", "day": "2026-01-01", "made": "2026-01-01T00:00:00Z"}
        for n in range(1, 5)
    ]
    parent = {
        "name": "rows",
        "path": "/rows",
        "primary_keys": ["id", "made"],
        "replication_key": "at",
        "pagination": {"type": "single"},
    }
    child = {
        "name": "below",
        "path": "/below/{parent.id}",
        "parent": {"stream": "rows", "copy": {"rows_id": "id", "made": "made", "day": "day"}},
        "pagination": {"type": "single"},
    }
    routes: Any = {f"/below/{n}": lambda _: json_reply([{"no": 1, "x": "2026-01-01"}]) for n in range(1, 5)}
    with serving({"/rows": lambda _: json_reply(rows), **routes}) as api:
        run = run_here(api, parent, child, cache=tmp_path / "a")
        early = run_here(api, parent, child, cache=tmp_path / "b", infer={"format_values": 4})
        again = run_here(api, parent, child, cache=tmp_path / "c", state=early.state)
    said = [m["schema"]["properties"] for r in (run, early, again) for m in r.all if m["type"] == "SCHEMA"]
    formats = [{name: prop.get("format") for name, prop in of.items()} for of in said]
    assert formats[0] == {"id": None, "at": "date-time", "day": None, "made": "date-time"}
    assert formats[1] == {"rows_id": None, "made": "date-time", "day": None, "no": None, "x": None}
    assert formats[2] == {"id": None, "at": "date-time", "day": "date", "made": "date-time"}
    assert formats[3] == {"rows_id": None, "made": "date-time", "day": "date", "no": None, "x": "date"}
    assert formats[4:] == formats[2:4], (
        "what was sent with a format is so without the cache, of few rows, too"
    )
