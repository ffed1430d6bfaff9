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
from tap_rest.openapi.operations import operation_at, place_of_rows
from tap_rest.openapi.types import fields_of
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
    document = Document("x", {"openapi": "3.1.0", "components": {"schemas": schemas}})
    written_out = fields_of(document, schemas["T0"])
    assert list(written_out["properties"]) == names
    assert len(json.dumps(written_out)) < 500_000
    assert "a" in fields_of(document, schemas["Loop"])["properties"]


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


def test_a_document_is_read_anew_when_it_has_changed(tmp_path: Path) -> None:
    file = written(tmp_path)["openapi"]
    assert read_document(file) is read_document(file)
    written(tmp_path, SWAGGER)
    assert read_document(file).is_swagger
