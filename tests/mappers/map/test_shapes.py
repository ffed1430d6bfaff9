"""The operations that work on the shape of records: what they make of SCHEMA and records, and what they refuse before a record is read."""

from __future__ import annotations

import json

import pytest
from mappers.map.mapping import mapped

from singerkit_shell.errors import BadDataError, ConfigurationError

TEXT = {"type": "string"}
FIELDS = {
    "id": {"type": "integer"},
    "mail": {"type": ["string", "null"]},
    "at": {"type": ["string", "null"], "format": "date-time"},
    "n": {"type": ["number", "string", "null"]},
    "a": {
        "type": ["object", "null"],
        "properties": {"city": TEXT, "geo": {"type": "object", "properties": {"x": {"type": "number"}}}},
    },
    "l": {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": {"sku": TEXT, "q": {"type": "integer"}}},
    },
}
ROW = {"id": 1, "mail": "m", "a": {"city": "c", "geo": {"x": 1}}, "l": [{"sku": "s", "q": 1}, {"q": 2}]}


def without(record, *names):
    return {name: value for name, value in record.items() if name not in names}


def op(name, **said):
    return {"op": name, **said}


CASES = [
    (op("rename", **{"from": "mail", "to": "email"}), ROW, [{"id": 1, "email": "m", "a": ROW["a"], "l": ROW["l"]}]),
    (op("rename", **{"from": "l[].sku", "to": "code"}), ROW, [ROW | {"l": [{"code": "s", "q": 1}, {"q": 2}]}]),
    (op("rename", **{"from": "mail", "to": "email"}), {"id": 1}, [{"id": 1}]),
    (op("drop", fields=["mail", "a.geo.x", "l[].q"]), ROW, [{"id": 1, "a": {"city": "c", "geo": {}}, "l": [{"sku": "s"}, {}]}]),
    (op("drop", fields=["ssn", "mail"], if_there=True), ROW | {"ssn": "1"}, [without(ROW, "mail")]),
    (op("keep", fields=["id", "a"]), ROW | {"more": 1}, [{"id": 1, "a": ROW["a"]}]),
    (op("copy", **{"from": "a.city", "to": "city"}), ROW, [ROW | {"city": "c"}]),
    (op("copy", **{"from": "a.city", "to": "city"}), {"id": 1, "a": None}, [{"id": 1, "a": None, "city": None}]),
    (op("copy", **{"from": "a.city", "to": "city"}), {"id": 1, "a": {}}, [{"id": 1, "a": {}}]),
    (op("copy", **{"from": "mail", "to": "m2"}), {"id": 1}, [{"id": 1}]),
    (op("constant", field="source", value="shop"), {"id": 1}, [{"id": 1, "source": "shop"}]),
    (op("flatten", field="a"), ROW, [{"id": 1, "mail": "m", "a__city": "c", "a__geo": {"x": 1}, "l": ROW["l"]}]),
    (op("flatten", depth=2, separator="."), ROW, [{"id": 1, "mail": "m", "a.city": "c", "a.geo.x": 1, "l": ROW["l"]}]),
    (op("flatten"), {"id": 1, "a": None}, [{"id": 1, "a__city": None, "a__geo": None}]),
    (op("flatten"), {"id": 1}, [{"id": 1}]),
    (op("flatten"), {"id": 1, "a": {"new": 1}}, [{"id": 1, "a__new": 1}]),
    (op("explode", field="l", position="no"), ROW, [without(ROW, "l") | {"l": one, "no": no} for no, one in enumerate(ROW["l"])]),
    (op("explode", field="l", position="no", **{"as": "item"}), {"id": 1, "l": []}, []),
    (op("explode", field="l", position="no", empty="keep"), {"id": 1}, [{"id": 1, "l": None, "no": 0}]),
    (op("drop_stream"), ROW, []),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "record", "after"), CASES)
def test_what_an_operation_makes_of_a_record(operation, record, after):
    made = mapped([operation], FIELDS, [record], ["id"])
    assert made.records == after
    if after:
        named = made.schema["schema"]["properties"]
        unknown = {"more", "a__new"}
        assert {name for one in after for name in one} - unknown <= named.keys()


IMPOSSIBLE = [
    (op("rename", **{"from": "mial", "to": "x"}), "did you mean `mail`?, at `map.streams.s[0].from`"),
    (op("rename", **{"from": "mail", "to": "id"}), "There is a field `id` already, at `map.streams.s[0].to`"),
    (op("drop", fields=["id"]), "`id` is in the key of the stream"),
    (op("drop", fields=["ssn"]), "no field `ssn`, at `map.streams.s[0].fields`"),
    (op("keep", fields=["mail"]), "`id` is in the key of the stream"),
    (op("keep", fields=["a.city", "id"]), "`a.city` is no field at the top"),
    (op("copy", **{"from": "l[].sku", "to": "x"}), "`l[].sku` is in a list"),
    (op("constant", field="mail", value=1), "There is a field `mail` already"),
    (op("cast", field="a", to="integer"), "Expected a boolean or an integer or a number or text in `a`, the SCHEMA has an object there"),
    (op("cast", field="id", to="number"), "may make one key of two"),
    (op("filter", field="l[].sku", **{"is": "null"}), "is in a list"),
    (op("filter", field="id", **{"is": "equal"}, value="5"), "`id` is a number, and is compared with text, at `map.streams.s[0].value`"),
    (op("filter", field="id", **{"is": "not_in"}, value=[1, "5"]), "`id` is a number, and is compared with text"),
    (op("filter", field="id", **{"is": "equal"}, value=True), "`id` is a number, and is compared with a boolean"),
    (op("filter", field="mail", **{"is": "not_equal"}, value=5), "`mail` is text, and is compared with a number"),
    (op("filter", field="a", **{"is": "equal"}, value="x"), "`a` is an object, and is compared with text"),
    (op("filter", field="id", **{"is": "starts_with"}, value="1"), "`id` is a number, and is compared with text"),
    (op("filter", field="at", **{"is": "greater"}, value="yesterday"), "`at` is of the format `date-time`, and is compared with another text"),
    (op("flatten", field="mail"), "Expected an object in `mail`"),
    (op("flatten", field="nothing"), "no field `nothing`"),
    (op("explode", field="l"), "name a `position`"),
    (op("explode", field="a", position="p"), "Expected a list in `a`"),
    (op("dedupe", key=["nope"]), "no field `nope`, at `map.streams.s[0].key`"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "sentence"), IMPOSSIBLE)
def test_what_cannot_be_is_told_before_a_record_is_read(operation, sentence):
    with pytest.raises(ConfigurationError) as told:
        mapped([operation], FIELDS, [], ["id"])
    assert sentence in str(told.value)
    assert "of stream `s` (SCHEMA at line 1)" in str(told.value)


WRONG = [
    (op("renam", **{"from": "a"}), "There is no operation `renam` at `map.streams.s[0].op`; did you mean `rename`?"),
    (op("rename", frm="a", to="b"), "`map.streams.s[0].frm`"),
    (op("drop", fields="mail"), "Expected `array`, got `\"mail\"` at `map.streams.s[0].fields`"),
    (op("filter", field="n", **{"is": "in"}, value=1), "Expected a list at `value` beside `in`"),
    (op("filter", field="n", **{"is": "less"}), "Expected one value at `value`"),
    (op("filter", field="n", **{"is": "null"}, value=1), "Expected no `value` beside `null`"),
    (op("rename_stream", to="x_{schema}"), "Expected no braces"),
    (op("python", function="no_such_module:f"), "cannot be imported"),
    (op("python", function="json:no_such"), "has no function `no_such`"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "sentence"), WRONG)
def test_a_config_that_is_wrong_is_refused(operation, sentence):
    with pytest.raises(ConfigurationError) as told:
        mapped([operation], FIELDS, [], ["id"])
    assert sentence in str(told.value)


@pytest.mark.parametrize(
    ("operation", "setting"),
    [
        (op("keep", fields=["id"]), "fields"),
        (op("drop", fields=["_sdc_deleted_at"]), "fields"),
        (op("rename", **{"from": "_sdc_deleted_at", "to": "gone"}), "from"),
        *[
            (op(name, field="_sdc_deleted_at", **more), "field")
            for name, more in (
                ("constant", {"value": None, "over": True}),
                ("default", {"value": "2024-01-01"}),
                ("cast", {"to": "text"}),
                ("mask", {}),
                ("timezone", {"assume": "UTC", "gap": "null"}),
                ("labels", {"labels": {"x": "y"}, "unknown": "null"}),
            )
        ],
    ],
)
def test_what_tells_of_deleted_rows_stays_what_it_is(operation, setting):
    """Null in its place, and a value in the place of null: rows stayed that were gone, and went that were there."""
    fields = FIELDS | {"_sdc_deleted_at": {"type": ["string", "null"]}}
    with pytest.raises(
        ConfigurationError,
        match=rf"`_sdc_deleted_at` tells which rows are gone .* at `map.streams.s\[0\].{setting}`",
    ):
        mapped([operation], fields, [], ["id"])


@pytest.mark.parametrize(
    ("operation", "setting"),
    [
        (op("constant", field="_sdc_deleted_at", value="2024-01-01"), "field"),
        (op("constant", field="_sdc_deleted_at", value="2024-01-01", over=True), "field"),
        (op("copy", **{"from": "mail", "to": "_sdc_deleted_at"}), "to"),
        (op("rename", **{"from": "mail", "to": "_sdc_deleted_at"}), "to"),
        (op("normalise", field="mail", trim=True, **{"as": "_sdc_deleted_at"}), "as"),
        (op("explode", field="l", position="_sdc_deleted_at"), "position"),
        (op("parse_url", field="mail", into={"host": "_sdc_deleted_at"}), "into"),
        (op("flatten", field="_sdc", separator="_"), "separator"),
    ],
)
def test_no_operation_makes_rows_deleted(operation, setting):
    inner = {"type": ["object", "null"], "properties": {"deleted_at": {"type": "string"}}}
    sentence = rf"is made and changed by no operation, at `map.streams.s\[0\].{setting}`"
    with pytest.raises(ConfigurationError, match=sentence):
        mapped([operation], FIELDS | {"_sdc": inner}, [], ["id"])


def test_flatten_makes_no_row_deleted_by_a_field_that_the_schema_does_not_name():
    fields = FIELDS | {"_sdc": {"type": ["object", "null"], "properties": {"at": {"type": "string"}}}}
    record = {"id": 1, "_sdc": {"deleted_at": "2024-01-01"}}
    with pytest.raises(BadDataError, match="Expected no field that tells of a deleted row"):
        mapped([op("flatten", field="_sdc", separator="_")], fields, [record], ["id"])


@pytest.mark.parametrize("on_error", ["fail", "null", "quarantine"])
@pytest.mark.parametrize(
    "operation", [op("dedupe", key=["id"]), op("explode", field="tags", position="place", empty="drop")]
)
def test_a_deleted_row_of_which_no_schema_tells_is_a_bad_record_where_rows_are_made_or_left_out(
    operation, on_error
):
    """Targets take such records as if the SCHEMA named the field: the deletion was lost, or became some."""
    fields = {"id": {"type": "integer"}, "tags": {"type": ["array", "null"]}}
    alive = {"id": 1, "tags": ["x"], "_sdc_deleted_at": None}
    records = [alive, {"id": 1, "_sdc_deleted_at": "2024-01-01"}]
    if on_error == "quarantine":
        made = mapped([operation], fields, records, ["id"], on_error=on_error)
        assert [one["_sdc_deleted_at"] for one in made.records] == [None]
        assert [(one.line, one.path) for one in made.letters] == [(3, "$._sdc_deleted_at")]
        return
    sentence = r"Expected no record of a deleted row at s\.\$\._sdc_deleted_at \(line 3\)"
    with pytest.raises(BadDataError, match=sentence):
        mapped([operation], fields, records, ["id"], on_error=on_error)


def test_what_tells_of_a_deleted_row_stays_where_no_schema_names_it():
    deleted = {"id": 1, "mail": None, "_sdc_deleted_at": "2024-01-01", "other": 1}
    (record,) = mapped([op("keep", fields=["id"])], FIELDS, [deleted], ["id"]).records
    assert record == {"id": 1, "_sdc_deleted_at": "2024-01-01"}
    with pytest.raises(ConfigurationError, match="`_sdc_deleted_at` tells which rows are gone"):
        mapped([op("drop", fields=["_sdc_deleted_at"], if_there=True)], FIELDS, [deleted], ["id"])


@pytest.mark.parametrize("made", [None, {"id": 1}, {"id": 1, "_sdc_deleted_at": None}])
def test_a_function_leaves_out_no_deleted_row(monkeypatch, made):
    import types

    module = types.ModuleType("clean_gone")
    module.clean = lambda record: made if record["id"] == 1 else record
    monkeypatch.setitem(__import__("sys").modules, "clean_gone", module)
    records = [{"id": 1, "_sdc_deleted_at": "2024-01-01"}, {"id": 2, "_sdc_deleted_at": "2024-01-01"}]
    function = [op("python", function="clean_gone:clean")]
    with pytest.raises(BadDataError, match="The function left out that the row was deleted"):
        mapped(function, FIELDS, records, ["id"])
    assert mapped(function, FIELDS, records[1:], ["id"]).records == records[1:]
    assert len(mapped(function, FIELDS, [{"id": 1, "_sdc_deleted_at": None}], ["id"]).records) == (
        made is not None
    )


@pytest.mark.parametrize("code", [0, "secret"])
def test_a_function_that_ends_the_process_is_a_bad_value(monkeypatch, code):
    """Mapper and target ended with exit 0, and without the rows."""
    import types

    module = types.ModuleType("clean_exit")
    module.clean = lambda record: __import__("sys").exit(code)
    monkeypatch.setitem(__import__("sys").modules, "clean_exit", module)
    with pytest.raises(BadDataError, match="The function raised SystemExit") as told:
        mapped([op("python", function="clean_exit:clean")], FIELDS, [{"id": 1}])
    assert "secret" not in str(told.value)


def test_what_an_exception_of_a_function_says_is_shown_nowhere_and_what_it_prints_is_no_message(
    monkeypatch, capsys, caplog
):
    """`--debug` showed the traceback of what the function had raised, with the value; what it printed went to the target."""
    import logging
    import traceback
    import types

    caplog.set_level(logging.INFO)

    def look_up(record):
        print("seen")
        return {"id": {}[record["mail"]]}

    module = types.ModuleType("clean_lookup")
    module.clean = look_up
    monkeypatch.setitem(__import__("sys").modules, "clean_lookup", module)
    with pytest.raises(BadDataError) as told:
        mapped([op("python", function="clean_lookup:clean")], FIELDS, [{"id": 1, "mail": "SEC" + "RET"}])
    assert "SECRET" not in "".join(traceback.format_exception(told.value))
    assert "seen" not in capsys.readouterr().out
    assert any(said.endswith("prints: seen") for said in caplog.messages)


def test_a_module_that_ends_the_process_is_refused(monkeypatch, tmp_path):
    (tmp_path / "exits_at_once.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match="cannot be imported \\(SystemExit: 0\\)"):
        mapped([op("python", function="exits_at_once:clean")], FIELDS, [])


def test_flatten_overwrites_no_field_that_no_schema_names():
    fields = {"id": {"type": "integer"}, "o": {"type": "object", "properties": {"a": {"type": "string"}}}}
    record = {"id": 1, "o": {"a": "1", "zz": "X"}, "o__zz": "OTHER"}
    with pytest.raises(BadDataError, match=r"Expected one field of this name, got two at s\.\$\.o__zz"):
        mapped([op("flatten")], fields, [record])
    assert mapped([op("flatten")], fields, [record | {"o": {"a": "1"}}]).records == [
        {"id": 1, "o__a": "1", "o__zz": "OTHER"}
    ]


@pytest.mark.parametrize(
    ("record", "whole"),
    [
        ({"n": "x", "o": {"ssn": "secret"}}, None),  # bad before it is taken apart
        ({"n": "1", "o": "secret"}, "***"),
        ({"n": "1", "o": {"ssn": "secret", "zz": "1"}, "o__zz": "2"}, None),
    ],
)
def test_what_is_hidden_once_it_is_taken_apart_is_in_no_dead_letter(record, whole):
    inside = {"type": "object", "properties": {"ssn": {"type": "string"}}}
    fields = {"n": {"type": "string"}, "o": inside}
    operations = [op("cast", field="n", to="integer"), op("flatten"), op("mask", field="o__ssn")]
    made = mapped(operations, fields, [record], on_error="quarantine")
    (letter,) = made.letters
    assert b"secret" not in letter.record
    assert json.loads(letter.record)["record"].get("o") == whole


def test_keys_bookmarks_and_required_follow_a_field():
    from mappers.map.mapping import Mapped, schema_line

    line = schema_line("s", FIELDS, ["id"], bookmark_properties=["at"], inferred=["mail"])
    line = line.replace(
        b'"type": "object", "properties"', b'"required": ["id"], "type": "object", "properties"', 1
    )
    operations = [op("rename", **{"from": one, "to": f"new_{one}"}) for one in ("id", "at", "mail")]
    schema = Mapped({"streams": {"s": operations}}, line).schema
    assert (schema["key_properties"], schema["bookmark_properties"]) == (["new_id"], ["new_at"])
    assert (schema["inferred"], schema["schema"]["required"]) == (["new_mail"], ["new_id"])


def test_the_place_in_a_list_becomes_a_part_of_the_key():
    made = mapped([op("explode", field="l", position="no")], FIELDS, [], ["id"])
    assert made.schema["key_properties"] == ["id", "no"]


NUMBERS = [1, 2.5, None, "x", 3]
FILTERS = [
    ("n", "equal", 1, [1]), ("n", "not_equal", 1, [2.5, None, "x", 3]), ("n", "in", [1, "x"], [1, "x"]), ("n", "not_in", [1, "x"], [2.5, None, 3]),
    ("n", "null", ..., [None]), ("n", "not_null", ..., [1, 2.5, "x", 3]), ("n", "equal", True, []), ("n", "equal", 2.5, [2.5]),
]  # fmt: skip


@pytest.mark.parametrize(("field", "how", "value", "stay"), FILTERS)
def test_filters(field, how, value, stay):
    said = {"field": field, "is": how} | ({} if value is ... else {"value": value})
    """Of a field of which the SCHEMA says nothing: it may hold any of them."""
    records = [{"id": i, "n": n} for i, n in enumerate(NUMBERS)]
    made = mapped([op("filter", **said)], FIELDS | {"n": {}}, records, ["id"])
    assert [record["n"] for record in made.records] == stay


@pytest.mark.parametrize(
    ("how", "value", "stay"),
    [
        ("at_least", "2024-01-01T00:00:00Z", ["2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00"]),
        ("less", "2024-01-01T00:00:00Z", ["2024-01-01T00:30:00+01:00"]),
        ("equal", "2024-01-01T00:00:00Z", ["2024-01-01T01:00:00+01:00", "2024-01-01T00:00:00"]),
        ("starts_with", "2024-01-01T00:3", ["2024-01-01T00:30:00+01:00"]),
    ],
)
def test_points_in_time_compare_as_such(how, value, stay):
    times = ["2024-01-01T01:00:00+01:00", "2024-01-01T00:30:00+01:00", "2024-01-01T00:00:00", None]
    made = mapped(
        [op("filter", field="at", **{"is": how}, value=value)], FIELDS, [{"id": 1, "at": at} for at in times]
    )
    assert [record["at"] for record in made.records] == stay


def test_what_cannot_be_compared_is_a_bad_value_and_what_is_in_no_order_is_left_out():
    records = [{"id": 1, "n": 5}, {"id": 2, "n": "x"}, {"id": 3}]
    filters = [op("filter", field="n", **{"is": "greater"}, value=3)]
    with pytest.raises(BadDataError, match=r"Expected a number to compare at s\.\$\.n \(line 3\)"):
        mapped(filters, FIELDS, records)
    assert [one["id"] for one in mapped(filters, FIELDS, records, on_error="null").records] == [1]
    aside = mapped(filters, FIELDS, records, on_error="quarantine")
    assert ([one["id"] for one in aside.records], [one.line for one in aside.letters]) == ([1], [3])


def test_a_record_of_a_deleted_row_is_never_filtered():
    fields = FIELDS | {"_sdc_deleted_at": {"type": ["string", "null"]}}
    filters = [op("filter", field="mail", **{"is": "equal"}, value="m")]
    records = [
        {"id": 1, "_sdc_deleted_at": "2024-01-01"},
        {"id": 2, "mail": None, "_sdc_deleted_at": None},
        {"id": 3, "mail": "m"},
    ]
    assert [one["id"] for one in mapped(filters, fields, records, ["id"]).records] == [1, 3]
    with pytest.raises(BadDataError, match="which a change that leaves it out does not tell"):
        mapped(
            filters, fields, [{"id": 4, "_sdc_deleted_at": None}], ["id"]
        )  # a large value that has not changed


@pytest.mark.parametrize(("order_by", "stay"), [(None, ["a", "c", "f"]), ("at", ["a", "b", "c", "f"])])
def test_of_doubled_records_those_stay_that_are_newer(order_by, stay):
    rows = [
        (1, "2024-01-01", "a"),
        (1, "2024-01-02", "b"),
        (2, None, "c"),
        (1, "2024-01-01", "d"),
        (1.0, "2024-01-02", "e"),
        ("1", None, "f"),
        (2, None, "g"),
    ]
    fields = FIELDS | {"id": {}}
    records = [{"id": id_, "at": at, "mail": mail} for id_, at, mail in rows]
    said = {"key": ["id"]} | ({} if order_by is None else {"order_by": order_by})
    from mappers.map.mapping import Mapped, record_line, schema_line

    data = schema_line("s", fields) + b"".join(record_line("s", one) for one in records)
    for chunk in (1, 100):
        made = Mapped({"streams": {"s": [op("dedupe", **said)]}}, data, chunk)
        assert [one["mail"] for one in made.records] == stay


def test_a_function_of_a_module_is_the_way_out(monkeypatch):
    import types

    module = types.ModuleType("clean_rows")

    def clean(record):
        if record["id"] == 2:
            return None
        if record["id"] == 3:
            raise KeyError("secret")
        return {**record, "twice": record.get("n", 0) * 2}

    module.clean = clean
    monkeypatch.setitem(__import__("sys").modules, "clean_rows", module)
    said = op("python", function="clean_rows:clean", fields={"twice": {"type": "number"}})
    made = mapped(
        [said], FIELDS, [{"id": 1, "n": 1.10}, {"id": 2}, {"id": 3}, {"id": 4}], on_error="quarantine"
    )
    assert made.text.splitlines()[1].endswith(b'"record":{"id":1,"n":1.1,"twice":2.2}}')
    assert [one["id"] for one in made.records] == [1, 4]
    assert made.schema["schema"]["properties"]["twice"] == {"type": "number"}
    (letter,) = made.letters
    assert "KeyError" in letter.reason
    assert "secret" not in letter.reason
