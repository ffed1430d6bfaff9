"""`--rules`: records in the pipe are held against the rules that targets hold them against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from singerkit_check.command import cli
from singerkit_shell.errors import BadDataError, ConfigurationError

SCHEMA = {
    "type": "SCHEMA",
    "stream": "s",
    "schema": {
        "type": "object",
        "properties": {"id": {"type": "integer"}, "t": {"type": ["string", "null"]}},
    },
    "key_properties": ["id"],
}
MARK = {"_singerkit": {"run": "r1", "pipeline": "p", "complete": False}}


def records(*texts: Any) -> list[dict[str, Any]]:
    return [
        {
            "type": "RECORD",
            "stream": "s",
            "record": {"id": number} | ({} if text == "left out" else {"t": text}),
        }
        for number, text in enumerate(texts)
    ]


def state(**value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": {"bookmarks": {"s": {}}} | value}


def checked(folder: Path, messages: list[Any], *rules: dict[str, Any], options: tuple[str, ...] = ()) -> int:
    stream, file = folder / "s.singer", folder / "rules.json"
    stream.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in messages))
    file.write_text(json.dumps({"dsn": "a config may stand here", "checks": {"s": list(rules)}}))
    arguments = [str(stream), "--rules", str(file), "--no-pass-through", *options]
    return int(cli.main(arguments, prog_name="singerkit-check", standalone_mode=False))


SHORT = {"rule": "length", "field": "t", "max": 3}


def test_a_record_that_breaks_a_rule_is_told_with_line_and_key_and_not_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [SCHEMA, *records("abc", "secretive", None, "also-secret"), state()]
    with pytest.raises(BadDataError) as caught:
        checked(
            tmp_path,
            messages,
            SHORT,
            {"rule": "not_null", "field": "t", "on": "warn"},
            {"rule": "unique", "fields": ["t"]},
        )
    assert "those of quality, got one that breaks checks.s[0] in 2 places" in str(caught.value)
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith(
        "line 3: checks.s[0]: Expected a record of `s` that keeps rule `length` of `t` (`checks.s[0]`)"
    )
    assert "(key id = 1)" in said[0]
    assert said[1].startswith("line 4: checks.s[1] (warning)")
    assert "checks.s[0] (`length`) is broken by 2 of 4 records" in said[-1]
    assert "not judged: checks.s[2] (`unique`)" in said[-1]
    assert "secret" not in "".join(said)


def test_what_others_tell_of_is_passed_over_and_the_rest_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines that are no messages, records that their schema refuses, and what is too long to be looked at."""
    bad = [
        "{",
        {"type": "RECORD", "stream": "s", "record": {"id": "x", "t": "longer"}},
        {"type": "RECORD", "stream": "other", "record": {}},
    ]
    messages = [SCHEMA, *records("abcd"), *bad, *records("y" * 999), *records("abcde"), state()]
    assert checked(tmp_path, messages, SHORT, options=("--json", "--max-line-bytes", "500")) == 65
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    found = [
        (one["line"], one["rule"]) for one in said if one.get("check") == "length" and one["rule"] != "O01"
    ]
    assert found == [(2, "checks.s[0]"), (7, "checks.s[0]")]
    [quality] = said[-1]["quality"]
    assert (quality["verdict"], quality["judged"], quality["broken"]) == ("broken", 2, 2)


@pytest.mark.parametrize(("first", "code"), [([state(**MARK)], 0), ([], 65)], ids=["ours", "others"])
def test_a_field_that_is_left_out_is_null_as_targets_take_it(
    tmp_path: Path, first: list[Any], code: int
) -> None:
    """Our taps leave out what is unknown, and the stored value stays."""
    last = [state(_singerkit={"run": "r1", "pipeline": "p", "complete": True})] if first else [state()]
    messages = [*first, SCHEMA, *records("a", "left out"), *last]
    not_null = {"rule": "not_null", "field": "t"}
    if code:
        with pytest.raises(BadDataError):
            checked(tmp_path, messages, not_null)
    else:
        assert checked(tmp_path, messages, not_null) == 0


def test_what_would_end_no_run_ends_with_0_unless_it_is_strict(tmp_path: Path) -> None:
    messages = [SCHEMA, *records("abcd"), state()]
    assert checked(tmp_path, messages, {**SHORT, "on": "quarantine"}) == 0
    with pytest.raises(BadDataError):
        checked(tmp_path, messages, {**SHORT, "on": "warn"}, options=("--strict",))


def test_rules_that_are_wrong_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean `length`"):
        checked(tmp_path, [SCHEMA], {"rule": "lenght", "field": "t", "max": 1})
    with pytest.raises(ConfigurationError, match="`tt`, which its SCHEMA does not have"):
        checked(tmp_path, [SCHEMA, *records("a"), state()], {"rule": "not_null", "field": "tt"})
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="Expected `checks`"):
        cli.main(["x", "--rules", str(tmp_path / "none.json")], standalone_mode=False)
