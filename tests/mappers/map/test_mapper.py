"""A map at work on the parts of the wire: order, exact texts, what is unknown, versions, what is replaced, the state."""

from __future__ import annotations

import json

import jsonschema
import pytest
from mappers.map.mapping import Mapped, mapped, record_line, schema_line
from mappers.map.operating import KEY

from singerkit_map.mapper import IN_PIPE, Mapper
from singerkit_map.reading import read_map
from singerkit_shell.errors import BadDataError, ConfigurationError
from singerkit_state.reached import reached
from singerkit_state.value import behind_map, read_mark

FIELDS = {"id": {"type": "integer"}, "mail": {"type": ["string", "null"]}, "n": {"type": ["number", "null"]}}
RENAME = {"op": "rename", "from": "mail", "to": "email"}
CAST = {"op": "cast", "field": "mail", "to": "integer"}


def test_a_stream_without_operations_goes_on_byte_by_byte():
    data = schema_line("t", FIELDS) + b' {"type": "RECORD",  "record":{"b\\/":1.10, "a":NaN}, "stream":"t"}\n'
    data += b'{"type":"ACTIVATE_VERSION","stream":"t","version":1}\n{"type":"LOG","text":1}\n'
    assert Mapped({"streams": {"s": [RENAME]}}, data).text == data


@pytest.mark.parametrize(
    "record",
    [
        b'{"id": 1, "mail":"\\u00e9\\/\\ud83d\\ude00", "n": 1.10}', b'{"id":1,"n":1E400}', b'{"id":1,"n":NaN}', b'{"mail":"\\ud800","id":-0}',
        b'{"id":123456789012345678901234567890,"odd \\" name":[1.0, {"x":NaN}]}', b'{"id":1,"mail":null}', b"{}",
    ],
)  # fmt: skip
def test_what_no_operation_works_on_keeps_its_text(record):
    data = (
        schema_line("s", FIELDS)
        + b'{"type":"RECORD","stream":"s","record":%b,"time_extracted":"2020","version":1,"odd":1.0}\n'
        % record
    )
    made = Mapped({"streams": {"s": [{"op": "constant", "field": "c", "value": 1}]}}, data)
    line = made.text.splitlines()[1]
    for text in (
        b"\\u00e9\\/\\ud83d\\ude00",
        b"1.10",
        b"1E400",
        b"NaN",
        b"\\ud800",
        b"123456789012345678901234567890",
        b"1.0",
        b"-0",
    ):
        assert (text in record) == (text in line[: line.rindex(b"},")])
    assert line.endswith(b',"time_extracted":"2020","version":1,"odd":1.0}')
    assert made.records[0]["c"] == 1


def test_records_and_messages_stay_in_their_order():
    data = schema_line("s", FIELDS, ["id"])
    state = b'{"type":"STATE","value":{"bookmarks":{"s":{"id":%d}}}}\n'
    for number in range(6):
        data += record_line("s", {"id": number, "mail": "m"}) + (state % number if number % 2 else b"")
    kinds = ["RECORD", "RECORD", "STATE"] * 3
    for lines in (1, 2, 100):
        made = Mapped({"streams": {"s": [RENAME]}}, data, lines)
        assert [message["type"] for message in made.messages] == ["SCHEMA", *kinds]
        assert [record["id"] for record in made.records] == list(range(6))


def test_the_state_goes_on_for_records_that_are_filtered_and_says_which_map_they_went_through():
    state = {"bookmarks": {"s": {"id": 1}}, "_singerkit": {"run": "r", "pipeline": "p", "complete": True}}
    data = (
        schema_line("s", FIELDS)
        + record_line("s", {"id": 1})
        + json.dumps({"type": "STATE", "value": state}).encode()
    )
    never = {"op": "filter", "field": "mail", "is": "equal", "value": "x"}
    made = Mapped({"streams": {"s": [never]}}, data + b"\n")
    assert [message["type"] for message in made.messages] == ["SCHEMA", "STATE"]
    value = made.messages[1]["value"]
    assert value["_singerkit"].pop("map") == read_map({"streams": {"s": [never]}}).fingerprint
    assert value == state


def test_a_state_of_others_says_so_too_and_an_empty_one_stays_empty():
    for text, says in (
        ('{"bookmarks":{"s":{"at":1.50}}}', True),
        ("{}", False),
        ('{"bookmarks":{}}', False),
        ("null", False),
        ("[1]", False),
    ):
        made = Mapped({"streams": {"s": [RENAME]}}, b'{"type":"STATE","value":%b}\n' % text.encode())
        assert (b"_singerkit" in made.text) == says
        assert text[:-1].encode() in made.text


def renamed_in(config, value, data=b""):
    made = Mapped({"streams": config}, data + json.dumps({"type": "STATE", "value": value}).encode() + b"\n")
    return made.messages[-1]["value"]


def test_the_state_says_what_renamed_streams_are_called():
    to = {"op": "rename_stream", "to": "people"}
    value = renamed_in({"users": [to], "t": []}, {"bookmarks": {"users": {"id": 1}, "t": {"id": 2}}})
    assert value["_singerkit"]["renamed"] == [["people", "users"]]
    assert behind_map(value)["bookmarks"] == {"t": {"id": 2}, "people": {"id": 1}}
    twice = renamed_in(
        {"people": [{"op": "rename_stream", "to": "folks"}]}, value, schema_line("people", FIELDS)
    )
    assert twice["_singerkit"]["renamed"] == [["folks", "users"]]
    no_longer = renamed_in(
        {}, value, schema_line("users", FIELDS)
    )  # a tap of others gives back what it was given
    assert "renamed" not in no_longer["_singerkit"]
    by_path = renamed_in(
        {"users": [to]}, {"bookmarks": {"public-users": {"id": 1}}}, schema_line("users", FIELDS)
    )
    assert by_path["_singerkit"]["renamed"] == [["people", "public-users"]]


@pytest.mark.parametrize("bookmarks", [{}, {"users": {"id": 1}}])
def test_a_stream_of_which_a_shard_is_read_is_not_renamed(bookmarks):
    """The first shard would have removed the rows of all others by its ACTIVATE_VERSION."""
    mark = {"run": "r", "pipeline": "p[0/2]", "complete": False, "divided": [["users", None]]}
    state = {"bookmarks": bookmarks, "_singerkit": mark}
    with pytest.raises(
        ConfigurationError, match="would be called `people` behind the map, and this run reads a shard"
    ):
        renamed_in({"users": [{"op": "rename_stream", "to": "people"}]}, state)
    assert renamed_in({"users": [RENAME]}, state)["_singerkit"]["divided"] == [["users", None]]


def test_the_mark_of_a_map_makes_a_state_of_others_none_of_ours():
    text = '{"bookmarks":{"public-users":{"id":1}},"_singerkit":{"map":"0123"}}'
    assert reached(text).names("users") is None
    assert (
        reached(text.replace('"map"', '"run":"r","pipeline":"p","complete":true,"map"')).names("users")
        is False
    )


def test_maps_that_do_the_same_have_one_fingerprint_and_others_another():
    def fingerprint(*operations, **more):
        return read_map({"streams": {"s": list(operations)}, **more}).fingerprint

    same = {"to": "email", "from": "mail", "op": "rename"}
    assert fingerprint(RENAME) == fingerprint(same) == fingerprint(RENAME, on_map_change="fail")
    assert (
        len(
            {
                fingerprint(RENAME),
                fingerprint(CAST),
                fingerprint(RENAME, CAST),
                fingerprint(CAST, RENAME),
                fingerprint(RENAME, on_error="null"),
            }
        )
        == 5
    )


@pytest.mark.parametrize(
    ("stored", "through"),
    [({}, None), ({"bookmarks": {"s": 1}}, "no map"), ("other", "another map"), ("same", None)],
)
def test_a_map_that_has_changed_is_told_of_or_refused(caplog, stored, through):
    said = {"streams": {"s": [RENAME]}}
    if isinstance(stored, str):
        name = read_map(said).fingerprint if stored == "same" else "0123"
        stored = {"bookmarks": {"s": 1}, "_singerkit": {"map": name}}
    mapper = Mapper(read_map(said), __import__("logging").getLogger("m"), IN_PIPE)
    mapper.check_state(stored)
    assert ("went through" in caplog.text) == (through is not None)
    if through is not None:
        with pytest.raises(ConfigurationError, match=through):
            Mapper(
                read_map(said | {"on_map_change": "fail"}), __import__("logging").getLogger("m"), IN_PIPE
            ).check_state(stored)


def test_each_of_two_maps_in_one_pipe_finds_itself_in_the_state():
    """A tap of others gives the mark of the last run back, which says nothing of the maps of this one."""
    first, second, changed = ({"streams": {"s": [one]}} for one in (RENAME, CAST, {**RENAME, "to": "e_mail"}))

    def behind(*maps, value):
        data = json.dumps({"type": "STATE", "value": value}).encode() + b"\n"
        for one in maps:
            data = Mapped(one, data).text
        return json.loads(data)["value"]

    def is_known(said, value):
        try:
            Mapped(said | {"on_map_change": "fail"}, b"").mapper.check_state(value)
        except ConfigurationError:
            return False
        return True

    stored = behind(first, second, value={"bookmarks": {"s": 1}})
    assert [is_known(one, stored) for one in (first, second, changed)] == [True, True, False]
    assert behind(first, second, value=stored) == stored
    stored = behind(changed, second, value=stored)
    assert [is_known(one, stored) for one in (first, second, changed)] == [False, True, True]
    ours = stored["_singerkit"] | {"run": "r", "pipeline": "p", "complete": True}
    assert read_mark({"_singerkit": ours}).map == stored["_singerkit"]["map"]


def test_unknown_fields_go_on_and_one_that_the_map_makes_is_bad():
    records = [
        {"id": 1, "mail": "a"},
        {"id": 2, "mail": "b", "new": [1]},
        {"id": 3, "email": "x"},
        {"new": 2, "more": 3},
    ]
    with pytest.raises(BadDataError, match=r"at s\.\$\.email \(line 4\)"):
        mapped([RENAME], FIELDS, records)
    made = mapped([RENAME], FIELDS, records, on_error="quarantine")
    assert made.records == [
        {"id": 1, "email": "a"},
        {"id": 2, "email": "b", "new": [1]},
        {"new": 2, "more": 3},
    ]
    assert [letter.line for letter in made.letters] == [4]


def test_what_is_set_aside_holds_nothing_that_was_dropped():
    records = [{"id": 1, "mail": "secret-1", "n": 1}, {"id": 2, "mail": "12", "n": 2}]
    operations = [CAST, {"op": "rename", "from": "n", "to": "m"}, {"op": "drop", "fields": ["mail"]}]
    made = mapped(operations, FIELDS, records, on_error="quarantine")
    (letter,) = made.letters
    assert json.loads(letter.record)["record"] == {"id": 1, "m": 1}
    assert (letter.path, letter.line) == ("$.mail", 2)
    assert made.records == [{"id": 2, "m": 2}]


def test_two_operations_are_as_two_maps_in_a_row():
    operations = [
        RENAME,
        {"op": "cast", "field": "n", "to": "text"},
        {"op": "copy", "from": "n", "to": "m"},
        {"op": "rename_stream", "to": "{stream}_x"},
    ]
    data = schema_line("s", FIELDS, ["id"]) + b"".join(
        record_line("s", {"id": i, "mail": "x", "n": i / 4}) for i in range(5)
    )
    once = Mapped({"streams": {"s": operations}}, data).text
    twice = Mapped(
        {"streams": {"s*": operations[2:]}}, Mapped({"streams": {"s": operations[:2]}}, data).text
    ).text
    assert once == twice


def test_renamed_streams_take_their_versions_with_them():
    data = (
        schema_line("s", FIELDS)
        + record_line("s", {"id": 1}, version=3)
        + b'{"type":"ACTIVATE_VERSION","stream":"s","version":3}\n'
    )
    made = Mapped({"streams": {"*": [{"op": "rename_stream", "to": "raw_{stream}"}]}}, data)
    assert {message["stream"] for message in made.messages} == {"raw_s"}
    assert [message.get("version") for message in made.messages] == [None, 3, 3]


def test_two_streams_never_become_one():
    data = schema_line("s", FIELDS) + schema_line("t", FIELDS)
    with pytest.raises(ConfigurationError, match="would both be called `t`"):
        Mapped({"streams": {"s": [{"op": "rename_stream", "to": "t"}]}}, data)


REPLACE = b'{"type":"REPLACE","stream":"s","where":%b}\n'


def test_rows_that_are_replaced_are_found_by_what_they_became():
    operations = [
        RENAME,
        {"op": "cast", "field": "n", "to": "text"},
        {"op": "filter", "field": "id", "is": "less", "value": 0},
    ]
    data = schema_line("s", FIELDS) + REPLACE % b'{"mail":"a","n":null}'
    with pytest.raises(ConfigurationError, match="which drops or changes it"):
        Mapped({"streams": {"s": [*operations, {"op": "drop", "fields": ["n"]}]}}, data)
    assert Mapped({"streams": {"s": operations}}, data).messages[1]["where"] == {"email": "a", "n": None}
    with pytest.raises(ConfigurationError, match="which drops or changes it"):
        Mapped({"streams": {"s": [CAST]}}, data)  # `12` and `012` would be one


def test_records_that_come_again_for_those_that_were_replaced_are_no_doubles():
    double = record_line("s", {"id": 1, "mail": "a"})
    data = schema_line("s", FIELDS) + double + double + REPLACE % b'{"mail":"a"}' + double
    made = Mapped({"streams": {"s": [{"op": "dedupe", "key": ["id"]}]}}, data)
    assert [message["type"] for message in made.messages] == ["SCHEMA", "RECORD", "REPLACE", "RECORD"]


def test_of_several_globs_the_most_exact_one_counts():
    streams = {"*": [{"op": "drop", "fields": ["n"]}], "s*": [RENAME], "s1": []}
    data = b"".join(
        schema_line(name, FIELDS) + record_line(name, {"id": 1, "mail": "m", "n": 1})
        for name in ("s1", "s2", "t")
    )
    assert Mapped({"streams": streams}, data).records == [
        {"id": 1, "mail": "m", "n": 1},
        {"id": 1, "email": "m", "n": 1},
        {"id": 1, "mail": "m"},
    ]


def test_a_glob_that_met_no_stream_is_told_of_and_so_are_values_that_became_null():
    made = mapped([CAST], FIELDS, [{"id": 1, "mail": "x"}, {"id": 2, "mail": "x"}], on_error="null")
    assert made.records == [{"id": 1, "mail": None}, {"id": 2, "mail": None}]
    assert made.mapper.nulls() == [
        "Stream `s`: 2 bad values of `mail` became null (`map.streams.s[0]`, `on_error`)."
    ]
    other = Mapped({"streams": {"users": [RENAME]}}, schema_line("s", FIELDS))
    assert "`users` at `map.streams` matched no stream" in other.mapper.unmet()[0]


def test_each_bad_value_inside_a_list_that_became_null_is_counted():
    fields = {"l": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}}}
    bad = {"l": [{"c": "x"}, {"c": "7"}, {"c": "y"}]}
    made = mapped(
        [{"op": "cast", "field": "l[].c", "to": "integer"}],
        fields,
        [bad, {"l": ["z"]}, bad, {}],
        on_error="null",
    )
    assert made.records == [
        {"l": [{"c": None}, {"c": 7}, {"c": None}]},
        {"l": [None]},
        {"l": [{"c": None}, {"c": 7}, {"c": None}]},
        {},
    ]
    assert made.mapper.nulls() == [
        "Stream `s`: 1 bad value of `l[]` became null (`map.streams.s[0]`, `on_error`).",
        "Stream `s`: 4 bad values of `l[].c` became null (`map.streams.s[0]`, `on_error`).",
    ]


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "cast", "field": "l[].in.c", "to": "text"},
        {"op": "constant", "field": "l[].in.c", "value": "x", "over": True},
        {"op": "drop", "fields": ["l[].in.c"]},
        {"op": "rename", "from": "l[].in.c", "to": "d"},
    ],
)
def test_what_is_no_object_on_the_way_of_a_path_becomes_null_where_the_schema_says_so(operation):
    """The whole field became null, of which the SCHEMA said that it never is."""
    inner = {"type": "object", "properties": {"c": {"type": "string"}}}
    element = {"type": "object", "properties": {"in": inner, "k": {"type": "integer"}}, "required": ["in"]}
    fields = {"l": {"type": "array", "items": element}}
    records = [{"l": "x"}, {"l": ["x", {"in": "x", "k": 1}, {"in": {"c": "y"}, "k": 2}]}]
    with pytest.raises(BadDataError, match=r"Expected a list, got a text at s\.\$\.l\[\]\.in\.c \(line 2\)"):
        mapped([operation], fields, records)
    made = mapped([operation], fields, records, on_error="null")
    assert made.records[0] == {"l": None}
    assert made.records[1]["l"][:2] == [None, {"in": None, "k": 1}]
    assert made.records[1]["l"][2]["k"] == 2
    for record in made.records:
        jsonschema.validate(record, made.schema["schema"])
    assert [one.split(" became ")[0] for one in made.mapper.nulls()] == [
        f"Stream `s`: 1 bad value of `{path}`" for path in ("l", "l[]", "l[].in")
    ]


def test_what_a_field_beside_is_made_of_stays_as_it_is_whatever_it_is():
    element = {"type": "object", "properties": {"c": {"type": "string"}}}
    fields = {"l": {"type": "array", "items": element}}
    mask = {"op": "mask", "field": "l[].c", "as": "d"}
    made = mapped([mask], fields, [{"l": "x"}, {"l": ["x", {"c": "y"}]}], on_error="null")
    assert made.records == [{"l": "x"}, {"l": ["x", {"c": "y", "d": "***"}]}]
    assert made.mapper.nulls() == [
        "Stream `s`: 2 bad values of `l[].c` became null (`map.streams.s[0]`, `on_error`)."
    ]
    made_so = made.schema["schema"]["properties"]["l"]
    assert (made_so["type"], made_so["items"]["type"]) == ("array", "object")
    assert made_so["items"]["properties"]["d"]["type"] == ["string", "null"]


def test_what_is_in_a_key_never_becomes_null():
    fields = {"k": {"type": "object", "properties": {"c": {"type": "string"}, "d": {"type": "string"}}}}
    for operation in ({"op": "drop", "fields": ["k.c"]}, {"op": "hmac", "field": "k.c", "key": KEY}):
        with pytest.raises(BadDataError, match=r"Expected an object that has `c`, got a text at s\.\$\.k\.c"):
            mapped([operation], fields, [{"k": "x"}], ["k"], on_error="null")


@pytest.mark.parametrize(
    "operation",
    [
        CAST,
        {"op": "cast", "field": "mail", "to": "text"},
        {"op": "filter", "field": "mail", "is": "equal", "value": "x"},
        {"op": "mask", "field": "mail"},
    ],
)
def test_bytes_that_are_not_utf_8_are_a_bad_value(operation):
    data = schema_line("s", FIELDS) + b'{"type":"RECORD","stream":"s","record":{"id":1,"mail":"\xff"}}\n'
    with pytest.raises(BadDataError, match="UTF-8"):
        Mapped({"streams": {"s": [operation]}}, data)
    assert (
        b"\xff" in Mapped({"streams": {"s": [{"op": "drop", "fields": ["n"]}]}}, data).text
    )  # the target judges it


@pytest.mark.parametrize(
    "more", [[{}, {}], [{"time_extracted": "2024"}] * 2, [{"time_extracted": "2024"}, {"version": 1}]]
)
def test_a_record_that_is_set_aside_keeps_what_stood_beside_it(more):
    lines = [
        record_line("s", {"id": 1, "mail": mail}, **one) for one, mail in zip(more, ("x", "7"), strict=True)
    ]
    made = Mapped(
        {"streams": {"s": [CAST]}, "on_error": "quarantine"}, schema_line("s", FIELDS) + b"".join(lines)
    )
    (letter,) = made.letters
    assert json.loads(letter.record) == {
        "type": "RECORD",
        "stream": "s",
        "record": {"id": 1, "mail": "x"},
        **more[0],
        "set_aside_by": "map.streams.s[0]",
    }
    assert made.messages[1] == {"type": "RECORD", "stream": "s", "record": {"id": 1, "mail": 7}, **more[1]}


@pytest.mark.parametrize("count", [1, 3])
def test_what_stands_before_the_record_goes_on(count):
    """Rows without their version stayed, or went with that of another."""
    line = b'{"type":"RECORD","version":7,"stream":"s","time_extracted":"2024-01-01T00:00:00Z","record":{"id":1}}\n'
    made = Mapped({"streams": {"s": [RENAME]}}, schema_line("s", FIELDS) + line * count)
    assert made.messages[1:] == [json.loads(line)] * count


@pytest.mark.parametrize("alike", [True, False])
def test_what_no_operation_works_on_is_left_out_where_values_are_hidden(caplog, alike):
    """It went on as it was, with whatever stood in it."""
    more = {"time_extracted": "2024-01-01T00:00:00Z", "before": {"mail": "SECRET"}}
    rows = [record_line("s", {"id": n, "mail": "x"}, **(more if n or alike else {})) for n in range(2)]
    activate = b'{"type":"ACTIVATE_VERSION","stream":"s","version":1,"note":"SECRET"}\n'
    data = schema_line("s", FIELDS) + b"".join(rows) + activate + b'{"type":"LOG","text":"SECRET"}\n'
    hiding = {"streams": {"s": [{"op": "drop", "fields": ["mail"]}]}}
    made = Mapped(hiding, data)
    assert b"SECRET" not in made.text
    assert [one["type"] for one in made.messages] == ["SCHEMA", "RECORD", "RECORD", "ACTIVATE_VERSION"]
    assert made.messages[2] == {"type": "RECORD", "stream": "s", "record": {"id": 1}, "time_extracted": more["time_extracted"]}  # fmt: skip
    for told in ("`before` stands beside", "`note` stands beside", "Messages of type `LOG`"):
        assert caplog.text.count(told) == 1
    assert Mapped({"streams": {"s": [RENAME]}}, data).text.count(b"SECRET") == 4 - (not alike)
    with pytest.raises(
        BadDataError, match=r"`CHANGE` at line 2 is of stream `s`, of which the map hides"
    ) as said:
        Mapped(hiding, schema_line("s", FIELDS) + b'{"type":"CHANGE","stream":"s","old":"SECRET"}\n')
    assert "SECRET" not in str(said.value)


def test_a_schema_that_comes_again_is_told_of_once(caplog):
    line = schema_line("s", FIELDS).replace(b'"properties"', b'"minProperties": 1, "properties"', 1)
    made = Mapped({"streams": {"s": [RENAME]}}, line * 3)
    assert [message["type"] for message in made.messages] == ["SCHEMA"] * 3
    assert caplog.text.count("judges records as a whole by `minProperties`") == 1


@pytest.mark.parametrize(
    ("operation", "more", "record"),
    [
        (RENAME, {"patternProperties": {"^x_": {"type": "string"}}}, {"id": 1, "x_1": "a"}),
        ({"op": "flatten", "field": "a"}, {}, {"id": 1, "a": {"b": "x", "c": 1}}),
    ],
)
def test_a_closed_schema_refuses_nothing_that_a_map_makes_of_what_it_admits(operation, more, record):
    inner = {"type": ["object", "null"], "properties": {"b": {"type": "string"}}}
    closed = {
        "type": "object",
        "properties": {**FIELDS, "a": inner},
        "additionalProperties": False,
        **more,
    }
    jsonschema.validate(record, closed)
    said = {"type": "SCHEMA", "stream": "s", "key_properties": [], "schema": closed}
    data = json.dumps(said).encode() + b"\n" + record_line("s", record)
    made = Mapped({"streams": {"s": [operation]}}, data)
    jsonschema.validate(made.records[0], made.schema["schema"])
    drop = Mapped({"streams": {"s": [{"op": "drop", "fields": ["n"]}]}}, json.dumps(said).encode() + b"\n")
    assert ("additionalProperties" in drop.schema["schema"]) == (not more)


@pytest.mark.parametrize("record", [b"null", b"[1]", b'"x"'])
def test_a_record_that_is_none_ends_the_run_with_its_line(record):
    with pytest.raises(
        BadDataError, match="Expected an object in `record` in the RECORD of stream `s` at line 2"
    ):
        Mapped(
            {"streams": {"s": [RENAME]}},
            schema_line("s", FIELDS) + b'{"type":"RECORD","stream":"s","record":%b}\n' % record,
        )


def test_a_record_before_its_schema_is_told_of_where_operations_need_it():
    with pytest.raises(BadDataError, match="Expected a SCHEMA before the first RECORD of stream `s`"):
        Mapped({"streams": {"s": [RENAME]}}, record_line("s", {"id": 1}))
    Mapped({"streams": {"s": [RENAME]}}, record_line("t", {"id": 1}))


def test_a_schema_that_changes_on_the_way_is_mapped_anew():
    more = FIELDS | {"city": {"type": "string"}}
    data = (
        schema_line("s", FIELDS)
        + record_line("s", {"id": 1, "mail": "a"})
        + schema_line("s", more)
        + record_line("s", {"id": 2, "mail": "b", "city": "c"})
    )
    made = Mapped({"streams": {"s": [RENAME]}}, data)
    assert made.records == [{"id": 1, "email": "a"}, {"id": 2, "email": "b", "city": "c"}]
    assert "city" in made.messages[2]["schema"]["properties"]
