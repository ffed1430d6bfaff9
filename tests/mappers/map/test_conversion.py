"""`singerkit-map convert`: what maps of other programs become, and that nothing of them is lost silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from singerkit_map.conversion.command import convert
from singerkit_map.conversion.converting import converted
from singerkit_shell.errors import ConfigurationError

KEY = {"env": "MAP_KEY"}
SETTINGS = {"where": "prod", "secret": "${OUT}", "mixed": "a $OUT b"}


def of_stream(said: dict[str, Any], **more: Any) -> Any:
    return converted({"stream_maps": {"users": said}, **more}, "map.json", "MAP_KEY")


EXPRESSIONS: list[tuple[str, list[dict[str, Any]]]] = [
    # what a field `out` becomes, and the operations that say the same
    ("mail", [{"op": "copy", "from": "mail", "to": "out"}]),
    ("record['mail']", [{"op": "copy", "from": "mail", "to": "out"}]),
    ("_.get('e-mail')", [{"op": "copy", "from": "e-mail", "to": "out"}]),
    ("address['city']", [{"op": "copy", "from": "address.city", "to": "out"}]),
    ("address.city if address else None", [{"op": "copy", "from": "address.city", "to": "out"}]),
    ("self", []),
    ("out", []),
    ("'a'", [{"op": "constant", "field": "out", "value": "a", "over": True}]),
    ("-1.5", [{"op": "constant", "field": "out", "value": -1.5, "over": True}]),
    ("None", [{"op": "constant", "field": "out", "value": None, "over": True}]),
    ("config['where']", [{"op": "constant", "field": "out", "value": "prod", "over": True}]),
    ("config['secret']", [{"op": "constant", "field": "out", "value": {"env": "OUT"}, "over": True}]),
    ("__stream_name__", [{"op": "constant", "field": "out", "value": "users", "over": True}]),
    ("int(self)", [{"op": "cast", "field": "out", "to": "integer"}]),
    ("float(out) if out is not None else None", [{"op": "cast", "field": "out", "to": "number"}]),
    ("None if out is None else str(out)", [{"op": "cast", "field": "out", "to": "text"}]),
    ("out if out is not None else 'x'", [{"op": "default", "field": "out", "value": "x"}]),
    ("self.lower()", [{"op": "normalise", "field": "out", "case": "lower"}]),
    (
        "mail.strip()[:10]",
        [
            {"op": "copy", "from": "mail", "to": "out"},
            {"op": "normalise", "field": "out", "trim": True},
            {"op": "truncate", "field": "out", "length": 10},
        ],
    ),
    ("json.loads(self)", [{"op": "json", "field": "out"}]),
    ("md5(self)", [{"op": "hmac", "field": "out", "key": KEY}]),
    (
        "sha256(config['where'] + str(id))",
        [
            {"op": "copy", "from": "id", "to": "out"},
            {"op": "cast", "field": "out", "to": "text"},
            {"op": "hmac", "field": "out", "key": KEY},
        ],
    ),
]
NOT_SAID = [
    ("mail +", "is no expression of Python"),
    ("first + ' ' + last", "is an expression that no operation stands for"),
    ("md5(first + last)", "hashes more than one field"),
    ("fake.name()", "makes up values by Faker"),
    ("self or 'x'", "is an expression that no operation stands for"),
    ("datetime.date.today()", "is an expression that no operation stands for"),
    ("config['gone']", "takes `gone` of `stream_map_config`"),
    ("config['mixed']", "takes `mixed` of `stream_map_config`, a text with a variable"),
    ("record", "is an expression that no operation stands for"),
    ("int(self) if other else None", "is an expression that no operation stands for"),
]


@pytest.mark.parametrize(("expression", "operations"), EXPRESSIONS, ids=[one for one, _ in EXPRESSIONS])
def test_an_expression_that_operations_say(expression: str, operations: list[dict[str, Any]]) -> None:
    made = of_stream({"out": expression}, stream_map_config=SETTINGS)
    assert made.streams == {"users": operations}
    assert made.problems == []


@pytest.mark.parametrize(("expression", "words"), NOT_SAID, ids=[one for one, _ in NOT_SAID])
def test_an_expression_that_they_do_not_say_is_named_with_its_place(expression: str, words: str) -> None:
    made = of_stream({"out": expression, "b": "c"}, stream_map_config=SETTINGS)
    [problem] = made.problems
    assert problem.startswith(f"`stream_maps.users.out` {words}")
    assert made.streams == {"users": [{"op": "copy", "from": "c", "to": "b"}]}


@pytest.mark.parametrize(
    ("said", "filters"),
    [
        ("a == 'x'", [{"field": "a", "is": "equal", "value": "x"}]),
        ("5 < a", [{"field": "a", "is": "greater", "value": 5}]),
        (
            "a <= 5 and b['c'] != 1",
            [{"field": "a", "is": "at_most", "value": 5}, {"field": "b.c", "is": "not_equal", "value": 1}],
        ),
        ("a in ['x', 'y']", [{"field": "a", "is": "in", "value": ["x", "y"]}]),
        ("not a in ('x',)", [{"field": "a", "is": "not_in", "value": ["x"]}]),
        ("a is None", [{"field": "a", "is": "null"}]),
        ("record['a'] is not None", [{"field": "a", "is": "not_null"}]),
        ("a >= config['least']", [{"field": "a", "is": "at_least", "value": 7}]),
        ("a.startswith('x')", [{"field": "a", "is": "starts_with", "value": "x"}]),
        ("'x' in a.b", [{"field": "a.b", "is": "contains", "value": "x"}]),
        ("a in []", None),
        ("a == 'x' or b == 'y'", None),
        ("a == b", None),
        ("a", None),
        ("1 < a < 5", None),
        ("not a > 5", None),
        ("a in [None, 1]", None),
    ],
)
def test_a_filter_of_comparisons(said: str, filters: list[dict[str, Any]] | None) -> None:
    made = of_stream({"__filter__": said}, stream_map_config={"least": 7})
    assert made.streams["users"] == [{"op": "filter", **one} for one in filters or []]
    assert [problem.split(" ")[0] for problem in made.problems] == (
        ["`stream_maps.users.__filter__`"] if filters is None else []
    )


def test_what_reads_a_field_stands_before_what_changes_it() -> None:
    made = of_stream({"a": "'hidden'", "b": "a", "c": "md5(b)", "x": "y", "y": None, "__else__": None})
    names = [(one["op"], one.get("from", one.get("field"))) for one in made.streams["users"]]
    assert names[0] == ("copy", "b"), "c is made of what b was"
    assert names.index(("copy", "a")) < names.index(("constant", "a")), "b is what a was"
    assert ("rename", "y") in names
    assert made.streams["users"][-1] == {"op": "keep", "fields": ["a", "b", "c", "x"]}
    [problem] = of_stream({"a": "b", "b": "a"}).problems
    assert problem.startswith("`stream_maps.users` takes `a`, `b` from each other")


def test_streams_are_renamed_and_dropped_and_the_last_that_matches_counts() -> None:
    maps = {
        "a": {"__alias__": "b"},
        "c": {"__alias__": "__stream_name__ + '_v2'"},
        "d": None,
        "e": "__NULL__",
        "f1": {"x": None},
        "f*": {"y": None},
        "g": {},
        "h*": {"__alias__": "__stream_name__ + '_old'"},
        "__else__": None,
    }
    made = converted({"stream_maps": maps}, "map.json")
    assert made.problems == []
    assert made.streams == {
        "a": [{"op": "rename_stream", "to": "b"}],
        "c": [{"op": "rename_stream", "to": "c_v2"}],
        "d": [{"op": "drop_stream"}],
        "e": [{"op": "drop_stream"}],
        "f*": [{"op": "drop", "fields": ["y"]}],
        "g": [],
        "h*": [{"op": "rename_stream", "to": "{stream}_old"}],
        "*": [{"op": "drop_stream"}],
    }
    assert made.notes == [
        "`stream_maps.f1` has no effect there, since `f*` stands behind it and matches it; it is left out"
    ]


def test_two_patterns_that_may_match_one_stream_are_told_of() -> None:
    made = converted({"stream_maps": {"a*": {"x": None}, "*b": {"y": None}}}, "map.json")
    assert made.problems == []
    assert made.notes[0].startswith(
        "`stream_maps.a*` and `*b`: of a stream that both match the last one counts there"
    )
    assert converted({"stream_maps": {"a*": {"x": None}, "ab*": {"y": None}}}, "map.json").notes == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"__source__": "other"}, "`stream_maps.users.__source__` makes a second stream of one"),
        ({"__key_properties__": []}, "`stream_maps.users.__key_properties__` takes a stream's key away"),
        ({"__key_properties__": ["id"]}, "`stream_maps.users.__key_properties__` makes a key of `id`"),
        ({"__else__": "x"}, "`stream_maps.users.__else__` is something else than null"),
        ({"__alias__": "fake.name()"}, "`stream_maps.users.__alias__` is no name"),
        ({"a": 5}, "`stream_maps.users.a` is no text"),
    ],
)
def test_what_a_stream_says_that_no_operation_does(said: dict[str, Any], words: str) -> None:
    [problem] = of_stream(said).problems
    assert problem.startswith(words)


def test_flattening_goes_to_the_end_of_every_stream() -> None:
    config = {"flattening_enabled": True, "flattening_max_depth": 2, "flattening_separator": "_"}
    flatten = {"op": "flatten", "depth": 2, "separator": "_"}
    maps = {"users": {"a": None}, "gone": None}
    made = converted({"stream_maps": maps, **config}, "map.json")
    drop = {"op": "drop", "fields": ["a"]}
    assert made.streams == {"users": [drop, flatten], "gone": [{"op": "drop_stream"}], "*": [flatten]}
    assert "texts of JSON" in made.notes[0]
    assert converted({**config, "flattening_max_depth": 0}, "map.json").streams == {}
    assert converted({"flattening_enabled": True}, "map.json").problems
    assert converted({**config, "flattening_max_key_length": 30}, "map.json").problems


TRANSFORMED: list[tuple[dict[str, Any], list[dict[str, Any]] | str]] = [
    ({"type": "SET-NULL"}, [{"op": "constant", "field": "f", "value": None, "over": True}]),
    ({"type": "MASK-NUMBER"}, [{"op": "constant", "field": "f", "value": 0, "over": True}]),
    ({"type": "MASK-HIDDEN"}, [{"op": "constant", "field": "f", "value": "hidden", "over": True}]),
    ({"type": "MASK-DATE"}, [{"op": "truncate", "field": "f", "to": "year"}]),
    (
        {"type": "MASK-STRING-SKIP-ENDS-3"},
        [{"op": "mask", "field": "f", "keep_first": 3, "keep_last": 3, "shortest": 7}],
    ),
    (
        {"type": "MASK-STRING-SKIP-ENDS-12"},
        [{"op": "mask", "field": "f", "keep_first": 2, "keep_last": 2, "shortest": 5}],
    ),
    ({"type": "MASK-STRING-SKIP-ENDS-0"}, [{"op": "mask", "field": "f"}]),
    ({"type": "HASH"}, [{"op": "hmac", "field": "f", "key": KEY}]),
    (
        {"type": "MASK-HIDDEN", "field_paths": ["a/b", "c"]},
        [{"op": "constant", "field": f"f.{path}", "value": "hidden", "over": True} for path in ("a.b", "c")],
    ),
    ({"type": "HASH-SKIP-FIRST-2"}, "`transformations[0]` shows the first 2 characters"),
    ({"type": "HASH", "when": [{"column": "a", "equals": "b"}]}, "`transformations[0].when` makes it depend"),
    ({"type": "MASK-HIDDEN", "field_paths": ["a/0"]}, "`transformations[0]` names `0` in `field_paths`"),
    ({"type": "ROT13"}, "`transformations[0]` has the type `ROT13`"),
    ({}, "`transformations[0]` lacks one of"),
]


@pytest.mark.parametrize(("said", "expected"), TRANSFORMED)
def test_transformations_of_pipelinewise(said: dict[str, Any], expected: list[dict[str, Any]] | str) -> None:
    config = {"transformations": [{"tap_stream_name": "s", "field_id": "f", **said}]}
    made = converted(config, "map.json", "MAP_KEY")
    if isinstance(expected, str):
        [problem] = made.problems
        assert problem.startswith(expected)
        assert not made.streams.get("s")
    else:
        assert made.streams == {"s": expected}
        assert made.problems == []
    assert "was sent as it was there" in made.notes[-1]


def test_a_hash_without_a_key_is_refused_unless_a_key_is_named() -> None:
    for config, place in (
        ({"stream_maps": {"s": {"f": "md5(f)"}}}, "`stream_maps.s.f` is md5"),
        (
            {"transformations": [{"tap_stream_name": "s", "field_id": "f", "type": "HASH"}]},
            "`transformations[0]` is sha256",
        ),
    ):
        [problem] = converted(config, "map.json").problems
        assert problem.startswith(f"{place} without a key")
        made = converted(config, "map.json", "MAP_KEY")
        assert made.streams == {"s": [{"op": "hmac", "field": "f", "key": KEY}]}
        assert "load the stream anew" in made.notes[0]


def test_the_command_prints_nothing_that_lacks_a_part_unless_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "meltano.yml"
    file.write_text(
        "plugins:\n  mappers:\n  - name: m\n    mappings:\n    - name: hide\n      config:\n"
        "        stream_maps: {users: {ssn: null, name: first + last}}\n"
    )
    done = CliRunner().invoke(convert, [str(file)], standalone_mode=False)
    assert done.stdout == ""
    assert isinstance(done.exception, ConfigurationError)
    assert "1 entry of" in str(done.exception)
    done = CliRunner().invoke(convert, [str(file), "--leave-out"], standalone_mode=False)
    assert json.loads(done.stdout) == {"streams": {"users": [{"op": "drop", "fields": ["ssn"]}]}}
    assert done.stderr.startswith("Left out: `stream_maps.users.name` is an expression")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "Expected one of `stream_maps`"),
        ("[]", "Expected an object with settings"),
        ("{", "is not JSON"),
        ('{"stream_maps": {}, "transformations": []}', "Expected either `transformations`"),
    ],
)
def test_a_file_without_a_map_is_told_in_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    done = CliRunner().invoke(convert, [str(tmp_path / "c.json")], standalone_mode=False)
    assert isinstance(done.exception, ConfigurationError)
    assert words in str(done.exception)
