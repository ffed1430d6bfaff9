"""tap-acme: settings, and which streams there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from singer_sdk.streams import Stream

from singerkit_tap.shell import SingerkitTap
from tap_acme.store import Store
from tap_acme.streams import AcmeStream

__all__ = ["TapAcme", "main"]


class TapAcme(SingerkitTap):
    """Read the tables of an Acme store."""

    name = "tap-acme"
    # TODO(acme): the settings of your source, each with a description: the reference page is made from it.
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "folder": {
                "type": "string",
                "minLength": 1,
                "secret": False,
                "title": "Folder",
                "description": "Folder of the store: `tables.json`, and a file of JSON lines for each table.",
            },
            "token": {
                "type": "string",
                "secret": True,
                "title": "Token",
                "description": "What the file `token` of the store says, where it has one.",
            },
            "page_rows": {
                "type": "integer",
                "minimum": 1,
                "default": 1000,
                "title": "Rows a page",
                "description": "How many rows are read from the store at once.",
            },
        },
        "required": ["folder"],
    }

    def discover_streams(self) -> list[Stream]:
        """Return a stream per table. Called once per process; nothing is read yet but what there is."""
        store = Store(Path(self.config["folder"]), self.config.get("token"))
        return [AcmeStream(self, store, table) for table in store.tables()]


main = TapAcme.cli_main

if __name__ == "__main__":
    main()
