"""The value table (DESIGN 6) of DuckDB, and what else it calls its types."""

from __future__ import annotations

from singerkit_sql_target.types import Types
from singerkit_wire.kinds import Kind

__all__ = ["TYPES"]

TYPES = Types(
    store="DuckDB",
    table={
        Kind.INTEGER: "BIGINT",
        Kind.BIG_INTEGER: "DECIMAL(38,0)",
        Kind.NUMBER: "DECIMAL(38,9)",
        Kind.BOOLEAN: "BOOLEAN",
        Kind.STRING: "VARCHAR",
        Kind.DATE_TIME: "TIMESTAMP WITH TIME ZONE",
        Kind.DATE: "DATE",
        Kind.TIME: "TIME",
        Kind.UUID: "UUID",
        Kind.BINARY: "BLOB",
        Kind.JSON: "JSON",
        Kind.ANY_TEXT: "VARCHAR",
    },
    integers={"TINYINT": 2, "SMALLINT": 4, "INTEGER": 9, "BIGINT": 18, "HUGEINT": 38},
    clocks={
        "TIMESTAMP WITH TIME ZONE": Kind.DATE_TIME,
        "TIMESTAMP": Kind.DATE_TIME,
        "DATE": Kind.DATE,
        "TIME": Kind.TIME,
    },
    double="DOUBLE",
    single="FLOAT",
    most_digits=38,
    unsaid=(15, 3),
    aliases={
        "INT1": "TINYINT",
        "INT2": "SMALLINT",
        "SHORT": "SMALLINT",
        "INT": "INTEGER",
        "INT4": "INTEGER",
        "INT8": "BIGINT",
        "LONG": "BIGINT",
        "INT128": "HUGEINT",
        "FLOAT4": "FLOAT",
        "REAL": "FLOAT",
        "FLOAT8": "DOUBLE",
        "DOUBLE PRECISION": "DOUBLE",
        "BOOL": "BOOLEAN",
        "LOGICAL": "BOOLEAN",
        "TEXT": "VARCHAR",
        "STRING": "VARCHAR",
        "CHAR": "VARCHAR",
        "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
        "DATETIME": "TIMESTAMP",
        "BYTEA": "BLOB",
        "BINARY": "BLOB",
        "VARBINARY": "BLOB",
    },
)
