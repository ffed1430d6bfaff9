"""Texts of the log to JSON, without a server: one row a form. That a server writes and reads them so is in test_values_by_property.py."""

from __future__ import annotations

import pytest

from tap_postgres.log.values import as_it_is, maker
from tap_postgres.types import PgType, Types

_BASE = {
    "bool": 16, "bytea": 17, "int8": 20, "text": 25, "json": 114, "float4": 700, "float8": 701, "box": 603, "money": 790,
    "date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184, "interval": 1186, "numeric": 1700, "uuid": 2950,
}  # fmt: skip
FOUND = {oid: PgType(oid, name, "pg_catalog", "b", 0, 0) for name, oid in _BASE.items()}
FOUND |= {
    30_000 + oid: PgType(30_000 + oid, f"_{name}", "pg_catalog", "b", oid, 0) for name, oid in _BASE.items()
}
FOUND |= {
    40_000: PgType(40_000, "hstore", "public", "b", 0, 0),
    40_001: PgType(40_001, "geometry", "public", "b", 0, 0),
    40_002: PgType(40_002, "mood", "public", "e", 0, 0),
    40_003: PgType(40_003, "part", "public", "c", 0, 0, (("a", 20), ('say "b"', 25), ("c", 30_020))),
    40_004: PgType(40_004, "of_parts", "public", "b", 40_003, 0),
    40_005: PgType(40_005, "box", "public", "c", 0, 0, (("x", 17), ("y", 790))),
    40_006: PgType(40_006, "of_our_boxes", "public", "b", 40_005, 0),
    40_007: PgType(40_007, "positive", "public", "d", 0, 20),
    40_008: PgType(40_008, "one", "public", "c", 0, 0, (("only", 40_003),)),
}
OIDS = _BASE | {f"{name}[]": 30_000 + oid for name, oid in _BASE.items()}
OIDS |= {
    "hstore": 40_000,
    "geometry": 40_001,
    "mood": 40_002,
    "part": 40_003,
    "part[]": 40_004,
    "ours": 40_005,
}
TYPES = Types(FOUND, local_is_utc=True, admits_text=False)
OIDS |= {"ours[]": 40_006, "positive": 40_007, "one": 40_008}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("int8", "-5", "-5"),
        ("positive", "5", "5"),
        ("numeric", "1.50", "1.50"),
        ("numeric", "NaN", '"NaN"'),
        ("float8", "-Infinity", '"-Infinity"'),
        ("float4", "1e-07", "1e-07"),
        ("bool", "t", "true"),
        ("bool", "f", "false"),
        ("text", 'a "b" \\ \n\x01 é', '"a \\"b\\" \\\\ \\n\\u0001 é"'),
        ("mood", 'o"k', '"o\\"k"'),
        ("geometry", "0101", '"0101"'),
        ("date", "2024-02-29", '"2024-02-29"'),
        ("time", "24:00:00", '"24:00:00"'),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", '"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"'),
        ("interval", "P1Y", '"P1Y"'),
        ("timestamp", "2024-02-29 12:00:00.5", '"2024-02-29T12:00:00.5"'),
        ("timestamp", "0044-03-15 12:00:00 BC", '"0044-03-15T12:00:00 BC"'),
        ("timestamp", "-infinity", '"-infinity"'),
        ("timestamptz", "2024-02-29 06:30:00+00", '"2024-02-29T06:30:00+00:00"'),
        ("timestamptz", "0044-03-15 12:00:00+00 BC", '"0044-03-15T12:00:00+00:00 BC"'),
        ("timestamptz", "infinity", '"infinity"'),
        ("bytea", "\\x00ff", '"AP8="'),
        ("json", '{"a" : 1.50}', '{"a" : 1.50}'),
        ("json", '{"a":\n\r1}', '{"a":  1}'),
        ("money", "-$1,234.50", "-1234.50"),
        ("hstore", "", "{}"),
        ("hstore", r'"a"=>"1", "b"=>NULL, "c \" \\"=>"say \"hi\"\\"', r'{"a": "1", "b": null, "c \" \\": "say \"hi\"\\"}'),
        ("hstore", '"a\n"=>"b\nc"', '{"a\\n": "b\\nc"}'),
        ("int8[]", "{}", "[]"),
        ("int8[]", "{1,NULL,3}", "[1,null,3]"),
        ("int8[]", "[2:3]={1,2}", "[1,2]"),
        ("int8[]", "[-1:0][+1:2]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
        ("text[]", r'{a b,"c,d","NULL",null,"say \"hi\" \\","{x}"}', r'["a b","c,d","NULL",null,"say \"hi\" \\","{x}"]'),
        ("text[]", r'{"",a\"b,"line' + "\n" + 'end"}', r'["","a\"b","line\nend"]'),
        ("text[]", r'{{a},{"b"}}', '[["a"],["b"]]'),
        ("bool[]", "{t,f}", "[true,false]"),
        ("numeric[]", "{NaN,1.0}", '["NaN",1.0]'),
        ("timestamptz[]", '{"2024-02-29 06:30:00+00"}', '["2024-02-29T06:30:00+00:00"]'),
        ("bytea[]", r'{"\\x00ff"}', '["\\\\x00ff"]'),
        ("money[]", "{$1.00}", '["$1.00"]'),
        ("json[]", r'{"{\"a\": 1}",2}', '[{"a": 1},2]'),
        ("box[]", "{(1,1),(0,0);(2,2),(1,1)}", '["(1,1),(0,0)","(2,2),(1,1)"]'),
        ("part", '(1,"a b","{1,2}")', '{"a":1,"say \\"b\\"":"a b","c":[1,2]}'),
        ("part", "(,,)", '{"a":null,"say \\"b\\"":null,"c":null}'),
        ("part", r'(7,"say ""hi"" \\ (x,y)",{1})', r'{"a":7,"say \"b\"":"say \"hi\" \\ (x,y)","c":[1]}'),
        ("part", '(7,"",)', '{"a":7,"say \\"b\\"":"","c":null}'),
        ("part", r'(7,a\,b\)"c ""d",)', r'{"a":7,"say \"b\"":"a,b)c \"d","c":null}'),
        ("part", '(7,"line\nend\\\n",)', '{"a":7,"say \\"b\\"":"line\\nend\\n","c":null}'),
        ("part", "(7,short", '{"a":7}'),
        ("part[]", r'{"(1,\"a b\",)","(2,,{3})"}', '[{"a":1,"say \\"b\\"":"a b","c":null},{"a":2,"say \\"b\\"":null,"c":[3]}]'),
        ("ours", r'("\\x01",$2.00)', '{"x":"\\\\x01","y":"$2.00"}'),
        ("ours[]", r'{"(,)","(a,b)"}', '[{"x":null,"y":null},{"x":"a","y":"b"}]'),
        ("one", '("(1,b,)")', '{"only":{"a":1,"say \\"b\\"":"b","c":null}}'),
    ],
)  # fmt: skip
def test_a_text_of_the_log_is_this_json(kind: str, text: str, expected: str) -> None:
    assert maker(TYPES, OIDS[kind])(text.encode()) == expected.encode()


def test_what_stands_as_it_is_is_not_touched() -> None:
    """By which it is known, so that it costs no call."""
    assert [kind for kind in _BASE if maker(TYPES, _BASE[kind]) is as_it_is] == ["int8"]


@pytest.mark.parametrize(
    ("digits", "text", "json_"),
    [
        (2, b"-$1,234.50", b"-1234.50"),
        (2, b"$0.05", b"0.05"),
        (3, b"$1,234.50", b"123.450"),
        (0, b"$1,234.50", b"123450"),
        (3, b"-$0.07", b"-0.007"),
        (0, b"$0.00", b"0"),
    ],
)
def test_money_has_the_point_of_its_database(digits: int, text: bytes, json_: bytes) -> None:
    """`lc_monetary` of a database says how many digits stand behind it; the session of the log has that of C."""
    money = PgType(790, "money", "pg_catalog", "b", 0, 0)
    types = Types({790: money}, local_is_utc=True, admits_text=False, money_digits=digits)
    assert maker(types, 790)(text) == json_
