"""What a config takes from elsewhere becomes what its setting takes, at any depth; else one sentence without the value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from singerkit_shell.configfile import read_config
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import config_problems

GROUP = {
    "type": "object",
    "properties": {
        "seconds": {"type": ["number", "null"]},
        "texts": {"type": "object", "additionalProperties": {}},
    },
}
SCHEMA: dict[str, Any] = {
    "properties": {
        "rows": {"type": "integer", "minimum": 1},
        "seconds": {"type": "number"},
        "flag": {"type": "boolean"},
        "text": {"type": "string"},
        "either": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
        "open": {},
        "names": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "group": GROUP,
        "groups": {"type": "array", "items": GROUP},
        "pin_token": {"type": "integer"},
        "name": {"type": "string", "secret": False},
        "token": {"type": "string", "secret": False},
        "kind": {"type": "string", "enum": ["bearer", "basic"]},
        "words": {"type": "array", "items": {"type": "string"}, "secret": False},
    }
}


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactor, "_needles", {})


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the config, with each `$text` taken from the environment, and what is wrong with it."""

    def made(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        def referring(node: Any) -> Any:
            if isinstance(node, str) and node.startswith("$"):
                name = f"PLACE_{len(list(tmp_path.iterdir()))}"
                (tmp_path / name).touch()
                monkeypatch.setenv(name, node[1:])
                return {"env": name}
            if isinstance(node, dict):
                return {key: referring(item) for key, item in node.items()}
            return [referring(item) for item in node] if isinstance(node, list) else node

        path = tmp_path / "config.json"
        path.write_text(json.dumps(referring(config)))
        found = read_config(str(path))
        return found, config_problems(found, SCHEMA)

    return made


@pytest.mark.parametrize(
    ("config", "taken"),
    [
        ({"rows": "$12"}, {"rows": 12}),
        ({"rows": "$ 12 "}, {"rows": 12}),
        ({"seconds": "$3"}, {"seconds": 3}),
        ({"seconds": "$-0.25e1"}, {"seconds": -2.5}),
        ({"flag": "$True"}, {"flag": True}),
        ({"flag": "$off"}, {"flag": False}),
        ({"text": "$12"}, {"text": "12"}),
        ({"text": "$true"}, {"text": "true"}),
        ({"either": "$12"}, {"either": 12}),
        ({"either": "$yes"}, {"either": True}),
        ({"open": "$12"}, {"open": "12"}),
        ({"names": '$["a", "b"]'}, {"names": ["a", "b"]}),
        ({"names": "$a,b"}, {"names": ["a", "b"]}),
        ({"names": ["$a,b"]}, {"names": ["a,b"]}),
        ({"sizes": ["$1", "$2"]}, {"sizes": [1, 2]}),
        ({"group": "$" + '{"seconds": 2}'}, {"group": {"seconds": 2}}),
        ({"group": {"seconds": "$2"}}, {"group": {"seconds": 2}}),
        (
            {"groups": [{"seconds": "$2", "texts": {"a": "$2"}}]},
            {"groups": [{"seconds": 2, "texts": {"a": "2"}}]},
        ),
    ],
)
def test_a_text_becomes_what_its_setting_takes(
    read: Any, config: dict[str, Any], taken: dict[str, Any]
) -> None:
    found, problems = read(config)
    assert problems == []
    assert found == taken
    assert json.dumps(found) == json.dumps(taken)  # True is not 1, and 2 is not 2.0


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        *(
            ({"rows": f"${text}"}, "a whole number")
            for text in ("", "x", "1.5", "1e3", "1_000", "\u0661", "9" * 5000)
        ),
        *(
            ({"seconds": f"${text}"}, "a number")
            for text in ("", "NaN", "inf", "1e999", "1,5", "0x10", "true")
        ),
        *(({"flag": f"${text}"}, "`true` or `false`") for text in ("", "maybe", "2", "null")),
        *(({"sizes": f"${text}"}, "JSON with a list") for text in ("1,2", "{}", "[NaN]", "[" * 9000)),
        *(
            ({"group": f"${text}"}, "JSON with an object")
            for text in ("x", "[]", '{"a":1,"a":2}', '{"a":"\\u0000"}')
        ),
    ],
)
def test_another_text_is_told_without_it(read: Any, config: dict[str, Any], sentence: str) -> None:
    place = next(iter(config))
    _, problems = read(config)
    assert problems == [
        f"Expected {sentence} in the environment variable PLACE_0, got something else, at `{place}`"
    ]


def test_the_place_of_a_nested_one_is_named(read: Any) -> None:
    _, problems = read({"groups": [{"seconds": 1}, {"seconds": "$soon"}], "rows": "$many"})
    assert [problem.partition("at ")[2] for problem in problems] == ["`groups[1].seconds`", "`rows`"]


def test_what_is_written_in_the_config_itself_is_not_made_anything_else(read: Any) -> None:
    _, problems = read({"rows": "12"})
    assert problems == ['Expected `integer`, got `"12"` at `rows`']


def test_a_whole_number_may_be_written_with_a_point(read: Any) -> None:
    """JSON Schema takes it for one, and `range` and slices of Python do not."""
    found, problems = read({"rows": 2.0, "sizes": [1.0], "group": {"seconds": 2.0}})
    assert (problems, json.dumps(found)) == ([], '{"rows": 2, "sizes": [1], "group": {"seconds": 2.0}}')


def test_what_a_number_must_be_is_still_checked(read: Any) -> None:
    _, problems = read({"rows": "$0"})
    assert problems == ["Expected a number of at least 1, got `0` at `rows`"]


def test_a_number_is_no_secret_and_a_text_is(read: Any) -> None:
    """Each `500` of the log would be masked."""
    read({"rows": "$500", "seconds": "$5000", "text": "$5000", "pin_token": "$7777", "open": "$word-9-word"})
    shown = redactor.mask("500 rows, 5000 bytes, 7777, word-9-word")
    assert shown == "500 rows, *** bytes, ***, ***"


@pytest.mark.parametrize(
    ("config", "shown"),
    [
        ({"name": "$shop env_production"}, "shop env_production"),
        ({"name": "$shop_env", "text": "$shop_env"}, "***"),  # by another setting it is a secret
        ({"text": "$shop_env", "name": "$shop_env"}, "***"),
        ({"name": "$shop_env", "token": "shop_env"}, "***"),
        ({"token": "$shop_env"}, "***"),  # what names a secret is one, whatever is said of it
        ({"name": "$postgresql://me:shop_env@host/x"}, "***"),
        ({"kind": "$bearer"}, "bearer"),
        ({"kind": "$shop_env"}, "***"),
        ({"words": "$shop_env,shop_old"}, "shop_env,shop_old"),
        ({"words": ["$shop_env"]}, "shop_env"),
        ({"words": '$["shop_env"]'}, "shop_env"),
        ({"group": "$" + '{"texts": {"a": "shop_env"}}'}, "***"),
        ({"group": {"texts": {"a": "$shop_env"}}}, "***"),
        ({"open": "$shop_env"}, "***"),
    ],
)
def test_a_name_is_shown_and_what_is_unknown_is_masked(read: Any, config: dict[str, Any], shown: str) -> None:
    """Statements that are to be copied said `ALTER TABLE "***"."t"`."""
    read(config)
    text = "shop_env" if shown == "***" else shown
    assert redactor.mask(f"`{text}`") == f"`{shown}`"


def test_json_from_a_variable_takes_its_values_from_elsewhere(
    read: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in a config file; `{"env": ...}` in it was refused as no string."""
    monkeypatch.setenv("INNER", "zzTok998877")
    monkeypatch.setenv("SECONDS", "2")
    (tmp_path / "inner").write_text("a1b2c3\n")
    inner = {"env": "INNER"}, {"file": str(tmp_path / "inner")}
    texts = {"a": inner[0], "b": inner[1], "limit": "limit"}
    found, problems = read({"group": "$" + json.dumps({"seconds": {"env": "SECONDS"}, "texts": texts})})
    assert problems == []
    assert found == {"group": {"seconds": 2, "texts": {"a": "zzTok998877", "b": "a1b2c3", "limit": "limit"}}}
    assert redactor.mask("zzTok998877 a1b2c3 2 limit") == "*** *** 2 limit"


@pytest.mark.parametrize("text", ['{"env": "NOT_SET"}', '{"seconds": 1, "texts": {"a": {"env": "NOT_SET"}}}'])
def test_json_from_a_variable_that_refers_to_nothing(read: Any, text: str) -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"takes its value from the environment variable NOT_SET, which is not set\.$",
    ) as caught:
        read({"group": f"${text}"})
    assert str(caught.value).startswith("group.texts.a" if "texts" in text else "group")


def test_a_variable_that_leads_back_to_itself_is_refused(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIRCLE", '{"env": "CIRCLE"}')
    with pytest.raises(ConfigurationError, match=r"variable CIRCLE, which leads back to itself\.$"):
        read({"group": '${"env": "CIRCLE"}'})
