"""The tap over SQLite that ``make bench`` compares with: the SDK's SQL classes as its template and docs write them.

Runs in an environment of its own; its config is ``{"path": ...}``.
"""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th
from singer_sdk.sql import SQLConnector, SQLStream, SQLTap


class SqliteConnector(SQLConnector):
    def get_sqlalchemy_url(self, config: dict[str, Any]) -> str:
        return f"sqlite:///{config['path']}"


class SqliteStream(SQLStream):
    connector_class = SqliteConnector


class TapSqlite(SQLTap):
    name = "tap-sqlite"
    default_stream_class = SqliteStream
    config_jsonschema = th.PropertiesList(th.Property("path", th.StringType, required=True)).to_dict()


if __name__ == "__main__":
    TapSqlite.cli()
