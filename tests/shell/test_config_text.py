"""Configs in JSON, YAML and TOML, and the variables in their texts: one value, or one sentence that names the place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from conformance.processes import run

from singerkit_shell.configfile import read_config
from singerkit_shell.configlines import line_at, lines_of
from singerkit_shell.errors import ConfigurationError
from singerkit_shell.secrets import redactor
from singerkit_shell.validate import config_problems


@pytest.fixture(autouse=True)
def no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactor, "_needles", {})


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def made(text: str, ending: str = "json") -> dict[str, Any]:
        file = tmp_path / f"config.{ending}"
        file.write_text(text)
        return read_config(str(file))

    return made


SAME = {
    "a": "x",
    "n": 1,
    "f": 1.5,
    "yes": True,
    "none": None,
    "list": [{"b": "0123"}],
    "t": {"when": "2026-01-31"},
}


@pytest.mark.parametrize(
    ("ending", "text"),
    [
        (
            "yaml",
            "a: x\nn: 1\nf: 1.5\nyes: true\nnone: ~\nlist:\n  - {b: 0123}\nt: {when: 2026-01-31} # a date is a text\n",
        ),
        (
            "yml",
            '{"a": "x", "n": 1, "f": 1.5, "yes": true, "none": null, "list": [{"b": "0123"}], "t": {"when": "2026-01-31"}}',
        ),
        ("toml", 'a = "x"\nn = 1\nf = 1.5\nyes = true\nlist = [{b = "0123"}]\n[t]\nwhen = 2026-01-31\n'),
    ],
)
def test_one_config_in_three_spellings(ending: str, text: str, read: Any) -> None:
    expected = {key: value for key, value in SAME.items() if ending != "toml" or key != "none"}
    assert read(text, ending) == expected


@pytest.mark.parametrize(
    "text",
    ["on", "no", "Yes", "0123", "1_000", "0x1f", "12:30", "2026-01-31T00:00:00Z", ".inf", "1.", "=", "+1"],
)
def test_what_is_no_word_of_json_is_text_in_yaml(text: str, read: Any) -> None:
    assert read(f"a: {text}\non: [{text}]", "yaml") == {"a": text, "on": [text]}


@pytest.mark.parametrize(
    ("ending", "text", "sentence"),
    [
        ("yaml", "a: 1\na: 2", "has the key `a` twice"),
        ("yaml", "a: [1", "is not YAML: "),
        ("yaml", "a: !!python/object:os.system x", "has the tag `python/object"),
        ("yaml", "a: !x 1", "has the tag `!x` at line 1"),
        ("yaml", "a: 1\n---\nb: 2", "more than one document"),
        ("yaml", "b: &x {c: 1}\na:\n  <<: *x", "merges by `<<` at line 3"),
        ("yaml", "? [1]\n: 2", "has a key at line 1 that is no text"),
        ("yaml", "- a", "holds a YAML array"),
        ("yaml", "", "holds a YAML null"),
        (
            "yaml",
            "\n".join(
                ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))]
            ),
            "by its aliases",
        ),
        ("yaml", "a: &a [*a]", "nested too deeply"),
        ("toml", "a = 1\na = 2", "is not TOML: "),
        ("toml", "a = inf", "holds a number that JSON has not"),
        (
            "yaml",
            "b: 1\na: 1.10",
            "holds `1.10` at line 2, which is the number 1.1; write that, or put it in quotes",
        ),
        ("toml", "a = 1.10", "holds `1.10`, which is the number 1.1"),
        ("json", '{"a": 1, "a": 2}', "has the key `a` twice"),
        ("json", '{"a": 1,}', "is not JSON: "),
    ],
)
def test_what_json_cannot_say_is_one_sentence(
    ending: str, text: str, sentence: str, read: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(text, ending)
    assert f"config.{ending} " in str(refused.value)
    assert sentence in str(refused.value)


def test_variables_stand_in_any_text(read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "candles")
    monkeypatch.setenv("EMPTY", "")
    config = read(
        '{"u": "https://${SHOP}.example/$.data[*]", "d": ["${NONE:-x}", "${EMPTY:-y}", "${EMPTY}"], "l": "$${SHOP} $1", "${SHOP}": 1}'
    )
    assert config == {
        "u": "https://candles.example/$.data[*]",
        "d": ["x", "y", ""],
        "l": "${SHOP} $1",
        "${SHOP}": 1,
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${NOT_SET}", "uses the environment variable NOT_SET, which is not set"),
        ("${}", "has `${` without a name"),
        ("${a b}", "without"),
    ],
)
def test_a_variable_that_is_not_set_is_named(text: str, sentence: str, read: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"config.json: a\.b\[0\] ") as refused:
        read(f'{{"a": {{"b": ["{text}"]}}}}')
    assert sentence in str(refused.value)


def test_what_a_file_beside_holds_counts_where_the_environment_has_nothing(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("# ours\nONE='first value'\nexport TWO=second$ONE\nTHREE=of-the-file\n")
    monkeypatch.setenv("THREE", "of-the-environment")
    config = read('{"a": "${ONE}", "b": {"env": "TWO"}, "c": "${THREE}"}')
    assert config == {"a": "first value", "b": "second$ONE", "c": "of-the-environment"}
    assert redactor.mask("first value, second$ONE, of-the-environment") == "***, ***, ***"


def test_a_value_is_masked_unless_its_setting_holds_no_secret(
    read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "a-very-secret-key")
    monkeypatch.setenv("NAME", "orders-of-today")
    monkeypatch.setenv("ROWS", "25")
    schema = {
        "properties": {
            "header": {"type": "string"},
            "name": {"type": "string", "secret": False},
            "rows": {"type": "integer"},
        }
    }
    config = read('{"header": "Token ${KEY}", "name": "my ${NAME}", "rows": "${ROWS}"}')
    assert config_problems(config, schema) == []
    assert config == {"header": "Token a-very-secret-key", "name": "my orders-of-today", "rows": 25}
    assert redactor.mask("a-very-secret-key orders-of-today 25") == "*** orders-of-today 25"


TEXTS = {
    "JSON": '{\n\t"a": [\n\t\t{"b": "}",\n\t\t "c": 2}\n\t],\n"d": {"e": []}, "f": [1,\n2]\n}',
    "YAML": "\na:\n- b: 1\n  c: 2\n\nd: {e: []}\nf: [1,\n 2]\n",
    "TOML": '# a comment = 1\n[[a]]\nb = """\nd = 1\n"""\nl = [ # [\n  "]",\n]\nc = 2\n[d]\ne = []\n[x.y]\n"z 1".w = 1\n',
}
LINES = {
    "JSON": {"a": 2, "a[0]": 3, "a[0].b": 3, "a[0].c": 4, "d": 6, "d.e": 6, "f": 6, "f[0]": 6, "f[1]": 7},
    "YAML": {"a": 2, "a[0]": 3, "a[0].b": 3, "a[0].c": 4, "d": 6, "d.e": 6, "f": 7, "f[0]": 7, "f[1]": 8},
    "TOML": {
        "a[0]": 2,
        "a[0].b": 3,
        "a[0].l": 6,
        "a[0].c": 9,
        "d": 10,
        "d.e": 11,
        "x.y": 12,
        "x.y.z 1": 13,
        "x.y.z 1.w": 13,
    },
}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_line_of_a_key(kind: str) -> None:
    assert lines_of(TEXTS[kind], kind) == LINES[kind]
    assert line_at(TEXTS[kind], kind, "a[0].c.x[3]") == LINES[kind]["a[0].c"]
    assert line_at(TEXTS[kind], kind, "nothing") is None
    assert line_at(TEXTS[kind].replace("\n", " "), kind, "a") is None


@pytest.mark.parametrize(
    "executable", ["tap-rest", "tap-sqlite", "target-postgres", "target-duckdb", "target-jsonl"]
)
def test_every_executable_names_the_line_of_what_is_wrong(executable: str, tmp_path: Path) -> None:
    program = str(Path(sys.executable).with_name(executable))
    texts = {
        "yaml": "\npipelne: x\npipeline: 5\n",
        "toml": '\npipelne = "x"\npipeline = 5\n',
        "json": '{\n"pipelne": "x",\n"pipeline": 5}',
    }
    for ending, text in texts.items():
        path = tmp_path / f"c.{ending}"
        path.write_text(text)
        words = run([program, "--config", str(path)]).expect(78).last_words
        assert f"There is no setting `pipelne` (line 2 of {path}); did you mean `pipeline`?" in words
        assert f"Expected `string`, got `5` at `pipeline` (line 3 of {path})" in words
