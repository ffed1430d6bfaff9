"""A schema by an OpenAPI document: what it says of records, and that no value is lost where it is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from taps.rest.api_server import json_reply, serving
from taps.rest.in_process import run_here, warned

from singerkit_shell.errors import ConfigurationError
from tap_rest.openapi.document import Document, read_document
from tap_rest.openapi.joining import joined
from tap_rest.openapi.operations import operation_at, place_of_rows
from tap_rest.openapi.types import fields_of
from tap_rest.openapi.yamltree import tree_of
from tap_rest.tap import TapRest

INVOICE: dict[str, Any] = {
    "allOf": [
        {"$ref": "#/components/schemas/Base"},
        {"properties": {"lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}}}},
    ],
    "required": ["id", "total"],
    "properties": {
        "total": {"type": "number", "format": "double"},
        "state": {"type": "string", "enum": ["open", "paid"]},
        "due": {"type": "string", "format": "date", "nullable": True},
        "customer": {"$ref": "#/components/schemas/Customer"},
        "password": {"type": "string", "writeOnly": True},
        "ref": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "anything": {},
    },
}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "x", "version": "1.10"},
    "servers": [{"url": "https://api.example.com/v1"}],
    "paths": {
        "/invoices": {"get": {"responses": {"200": {"$ref": "#/components/responses/Invoices"}}}},
        "/{kind}": {"get": {"responses": {"200": {"description": "none"}}}},
        "/users/{user_id}/notes": {
            "get": {
                "responses": {
                    "default": {"description": "failed"},
                    "2XX": {
                        "content": {
                            "application/vnd.x+json": {
                                "schema": {
                                    "type": "array",
                                    "items": {"type": "object", "properties": {"text": {"type": "string"}}},
                                }
                            }
                        }
                    },
                }
            }
        },
    },
    "components": {
        "responses": {
            "Invoices": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Page"}}}}
        },
        "schemas": {
            "Page": {
                "properties": {
                    "data": {"type": "array", "items": {"$ref": "#/components/schemas/Invoice"}},
                    "errors": {"type": "array", "items": {"type": "object"}},
                }
            },
            "Invoice": INVOICE,
            "Base": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer", "format": "int64"},
                    "updated_at": {"type": "string", "format": "date-time"},
                },
            },
            "Line": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "of": {"$ref": "#/components/schemas/Invoice"}},
            },
            "Customer": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "friend": {"$ref": "#/components/schemas/Customer"},
                },
            },
        },
    },
}
STREAM: dict[str, Any] = {
    "name": "invoices",
    "path": "/v1/invoices",
    "records": "$.data[*]",
    "primary_keys": ["id"],
    "pagination": {"type": "single"},
}


def of(*types: str, **more: Any) -> dict[str, Any]:
    return {"type": ["null", *types], **more}


def written(folder: Path, document: Any = DOCUMENT) -> dict[str, Any]:
    (folder / "api.json").write_text(json.dumps(document))
    return {"openapi": str(folder / "api.json")}


def test_what_the_document_says_is_sent_also_where_there_is_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving({"/v1/invoices": lambda _: json_reply({"data": []})}) as api:
        run = run_here(api, STREAM | {"schema": written(tmp_path)}, cache=tmp_path)
    properties = run.schema["properties"]
    inner = properties.pop("lines")["items"]["properties"]
    friend = properties.pop("customer")["properties"]
    assert properties == {
        "id": {"type": "integer"},
        "updated_at": of("string", format="date-time"),
        "total": of("number"),
        "state": of("string"),
        "due": of("string", format="date"),
        "ref": of("string", "integer") | {"type": ["null", "integer", "string"]},
        "labels": of("object"),
    }
    assert inner["sku"] == of("string")
    assert inner["of"]["properties"]["total"] == of("number")
    assert friend["id"] == of("string", format="uuid")
    assert friend["friend"]["properties"]["friend"]["type"] == ["null", "object"]
    assert "nothing can be inferred" not in warned(caplog)


def test_no_value_is_lost_where_the_document_is_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A value of another type, a state that is new, a field that it lacks, one that is missing: on the first page, and later."""
    pages = [
        [
            {
                "id": 1,
                "total": "12.50",
                "state": "void",
                "due": None,
                "more": {"a": 1},
                "customer": {"id": "x"},
            }
        ],
        [{"id": 2, "total": "1", "due": "soon", "customer": 7, "late": True, "updated_at": "2026-01-01"}],
    ]
    stream = STREAM | {"schema": written(tmp_path), "pagination": {"type": "page", "param": "page"}}
    routes = {"/v1/invoices": lambda asked: json_reply({"data": [*pages, []][int(asked.param("page")) - 1]})}
    with serving(routes) as api:
        run = run_here(api, stream, cache=tmp_path, infer={"pages": 1})
        told = warned(caplog)
        caplog.clear()
        again = run_here(api, stream, cache=tmp_path, infer={"pages": 1})
    for one in (run, again):
        assert [{name: value for name, value in row.items() if value is not None} for row in one.rows] == [
            {name: value for name, value in row.items() if value is not None}
            for page in pages
            for row in page
        ]
        properties = one.schema["properties"]
        assert properties["total"] == properties["due"] == properties["updated_at"] == of("string")
        assert properties["customer"]["type"] == ["null", "integer", "object"]
        assert properties["more"] == of("object", properties={"a": of("integer")})
        assert properties["late"] == of("boolean")
        assert properties["ref"]["type"] == ["null", "integer", "string"], "no record has it yet"
        said = [message["inferred"] for message in one.all if message["type"] == "SCHEMA"][-1]
        assert {*said} == {*properties}, "so that a target changes a column which turns out to be more"
    assert (
        "invoices are not what its OpenAPI document says, and count in its place: `total` is string there, number in the document."
        in told
    )
    assert "new: `late`" in told
    assert warned(caplog) == ""


def test_what_records_show_and_the_document_leaves_open_counts(tmp_path: Path) -> None:
    document = {
        **DOCUMENT,
        "components": {
            "schemas": {
                "Row": {
                    "properties": {
                        "id": {"type": "number"},
                        "at": {"type": "string"},
                        "n": {"type": "number"},
                    }
                }
            }
        },
    }
    stream = STREAM | {"schema": written(tmp_path, document) | {"component": "Row"}, "replication_key": "at"}
    rows = [{"id": 1, "at": "2026-01-01T00:00:00Z", "n": 1}]
    with serving({"/v1/invoices": lambda _: json_reply({"data": rows})}) as api:
        run = run_here(api, stream, cache=tmp_path)
    assert run.schema["properties"] == {
        "id": {"type": "number"},
        "at": of("string", format="date-time"),
        "n": of("number"),
    }


def test_a_key_that_is_null_may_be_null() -> None:
    document = {**DOCUMENT, "components": {"schemas": {"Row": {"properties": {"id": {"type": "integer"}}}}}}
    found, said = (
        {"properties": {"id": {"type": ["null"]}}},
        fields_of(Document("x", document), document["components"]["schemas"]["Row"], ["id"]),
    )
    assert joined(found, said)["properties"] == {"id": of("integer")}


def test_a_document_that_is_found_later_fills_what_is_known(tmp_path: Path) -> None:
    rows = [{"id": 1, "total": 1, "due": None}]
    with serving({"/v1/invoices": lambda _: json_reply({"data": rows})}) as api:
        run_here(api, STREAM, cache=tmp_path)
        run = run_here(api, STREAM | {"schema": written(tmp_path)}, cache=tmp_path)
    properties = run.schema["properties"]
    assert properties["total"] == of("integer"), "the table has it so"
    assert properties["due"] == of("string", format="date")
    assert properties["state"] == of("string")


def test_fields_from_inside_and_of_exploded_lists(tmp_path: Path) -> None:
    stream = STREAM | {"schema": written(tmp_path), "primary_keys": ["customer.id"]}
    lines = {"explode": {"path": "$.lines[*]"}, "primary_keys": ["sku"], "name": "lines"}
    with serving({"/v1/invoices": lambda _: json_reply({"data": []})}) as api:
        run = run_here(api, stream, cache=tmp_path)
        exploded = run_here(api, stream | lines, cache=tmp_path)
    assert run.schema["properties"]["customer_id"]["format"] == "uuid"
    assert list(exploded.schema["properties"]) == ["sku", "of"]


SWAGGER = {
    "swagger": "2.0",
    "basePath": "/v1",
    "paths": {
        "/invoices": {
            "get": {"responses": {200: {"schema": {"type": "array", "items": {"$ref": "#/definitions/I"}}}}}
        }
    },
    "definitions": {
        "I": {
            "properties": {
                "id": {"type": "integer"},
                "on": {"type": ["string", "null"]},
                "v": {"enum": [1, 2, None]},
                "x": {"type": "file"},
            }
        }
    },
}


def test_swagger_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(yaml.safe_dump(SWAGGER).replace("'on'", "on").replace("'2.0'", "2.0"))
    stream = STREAM | {"schema": {"openapi": str(tmp_path / "api.yaml")}, "records": "$[*]"}
    with serving({"/v1/invoices": lambda _: json_reply([])}) as api:
        run = run_here(api, stream, cache=tmp_path)
    assert run.schema["properties"] == {"id": {"type": "integer"}, "on": of("string"), "v": of("integer")}


@pytest.mark.parametrize(
    ("stream", "document", "sentence"),
    [
        ({"path": "/v1/invoicing"}, DOCUMENT, "has no `GET /v1/invoicing`"),
        ({"path": "/notes"}, DOCUMENT, "(it has `/users/{user_id}/notes`)"),
        ({"method": "POST"}, DOCUMENT, "has no `POST /v1/invoices`"),
        ({"records": "$.rows[*]"}, DOCUMENT, "does not say what stands at `$.rows[*]`"),
        ({"schema": {"component": "Invoces"}}, DOCUMENT, "did you mean `Invoice`?"),
        ({}, {**DOCUMENT, "openapi": "4.0"}, "got version `4.0`"),
        ({}, {"paths": {}}, "neither `openapi` nor `swagger`"),
        ({}, [], "got no object"),
        ({"schema": {"openapi": "/nowhere/api.json"}}, DOCUMENT, "cannot be read (No such file"),
        (
            {"schema": {"component": "Empty"}},
            {**DOCUMENT, "components": {"schemas": {"Empty": {"$ref": "other.yaml#/x"}}}},
            "names no fields",
        ),
        ({"schema": {"type": "object"}}, DOCUMENT, "`streams[0].schema.type` does not go with"),
        ({"jmespath": "[].{id: id}"}, DOCUMENT, "Expected the key `streams[0].schema.component`"),
        ({"format": "csv"}, DOCUMENT, "no JSON objects"),
    ],
)
def test_what_a_document_does_not_say_is_one_sentence(
    stream: Any, document: Any, sentence: str, tmp_path: Path
) -> None:
    schema = written(tmp_path, document) | stream.get("schema", {})
    config = {"base_url": "https://x.example", "streams": [STREAM | stream | {"schema": schema}]}
    with pytest.raises(ConfigurationError) as error:
        TapRest(config=config, setup_mapper=False).unread_streams()
    assert sentence in str(error.value)
    assert error.value.exit_code == 78


def test_schemas_that_refer_to_each_other_without_end_are_written_out_as_far_as_there_is_room() -> None:
    names = [f"T{number}" for number in range(60)]
    schemas = {
        name: {
            "type": "object",
            "properties": {other: {"$ref": f"#/components/schemas/{other}"} for other in names},
        }
        for name in names
    }
    schemas["Loop"] = {
        "allOf": [{"$ref": "#/components/schemas/Loop"}],
        "anyOf": [{"$ref": "#/components/schemas/Loop"}, {"type": "string"}],
        "properties": {"a": {"$ref": "#/components/schemas/Loop"}},
    }
    either = [f"U{number}" for number in range(14)]
    for name in either:
        others = [{"$ref": f"#/components/schemas/{other}"} for other in either]
        schemas[name] = {"anyOf": others, "type": "object", "properties": {name: {"type": "string"}}}
    document = Document("x", {"openapi": "3.1.0", "components": {"schemas": schemas}})
    written_out = fields_of(document, schemas["T0"])
    assert list(written_out["properties"]) == names
    assert len(json.dumps(written_out)) < 500_000
    assert "a" in fields_of(document, schemas["Loop"])["properties"]
    assert "U0" in fields_of(document, schemas["U0"])["properties"], "in a moment, though there are 14! ways"


def test_a_schema_that_is_nested_too_deeply_is_one_sentence() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(1000):
        deep = {"anyOf": [deep]}
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        fields_of(Document("x", {"openapi": "3.1.0"}), deep)


def test_an_operation_is_found_by_the_end_of_the_url() -> None:
    document = Document("x", DOCUMENT)
    assert operation_at(document, "https://x.example/v1/users/{parent.id}/notes?a=b", "GET") is not None
    assert operation_at(document, "https://x.example/v1/users/12/notes", "get") is not None
    assert operation_at(document, "https://x.example/v1/other", "GET") is None, (
        "a name in braces alone says nothing"
    )
    page = {
        "properties": {
            "meta": {"properties": {"n": {"type": "integer"}}},
            "result": {"properties": {"rows": {"type": "array", "items": {"type": "object"}}}},
        }
    }
    found = place_of_rows(document, page)
    assert found is not None
    assert found.names == ("result", "rows")


@pytest.mark.parametrize(
    "text",
    [
        "openapi: 3.0.0\npaths: " + "[" * 100_000,
        '{"openapi": "3.0.0", "paths": ' + "[" * 100_000,
        "a: *b",
        "? [a]\n: b",
        "a: [",
    ],
)
def test_a_broken_document_is_one_sentence(text: str, tmp_path: Path) -> None:
    """Also one that is nested so deeply that PyYAML would end the process."""
    (tmp_path / "api.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"is nested too deeply|is neither JSON nor YAML \(.*\)\."):
        read_document(str(tmp_path / "api.yaml"))


def test_parts_of_yaml_that_are_named_again_are_there_once() -> None:
    found = tree_of("a: &x {on: no, 200: '1'}\nb: [*x, *x]\nc: &k key\n*k : 1.5\nd: 2026-01-01\ne: ~\n")
    assert found == {
        "a": {"on": "no", "200": "1"},
        "b": [{"on": "no", "200": "1"}] * 2,
        "c": "key",
        "key": 1.5,
        "d": "2026-01-01",
        "e": None,
    }
    assert found["b"][0] is found["a"]
    many = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert len(tree_of(f"a0: &a0 x\n{many}")) == 30


def test_a_document_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    file = written(tmp_path)["openapi"]
    assert read_document(file) is read_document(file)
    written(tmp_path, SWAGGER)
    assert read_document(file).is_swagger
