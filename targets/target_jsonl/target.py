"""target-jsonl: settings, and how a run is put together from them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from singerkit_shell.command import start
from singerkit_shell.errors import ConfigurationError
from singerkit_target.abilities import Abilities
from singerkit_target.contract import Loader
from singerkit_target.shell import COMMON_SETTINGS, SingerkitTarget
from target_jsonl.domain import ABILITIES

__all__ = ["TargetJsonl", "main"]


class TargetJsonl(SingerkitTarget):
    """Load Singer streams into JSON Lines files, one per stream, exactly once."""

    name = "target-jsonl"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "destination_path": {
                "type": "string",
                "minLength": 1,
                "secret": False,
                "default": ".",
                "description": "Folder for the files; created if missing. It belongs to one pipeline.",
            },
            "on_unstorable": {
                **COMMON_SETTINGS["on_unstorable"],
                "description": "What to do with NUL characters, lone surrogates, NaN, and numbers out of range, at any depth. "
                "Keys are never replaced or nulled: such a record is refused. Dates and times are text in a file, and stay "
                "what was sent, whatever it is.",
            },
        },
    }

    @classmethod
    def abilities(cls, config: Mapping[str, Any]) -> Abilities:  # noqa: ARG003  the same with every config
        """A file is only appended to."""
        return ABILITIES

    def make_loader(self) -> Loader:
        from target_jsonl.loader import JsonlLoader

        config = self.config
        return JsonlLoader(
            Path(config["destination_path"]), self.logger, add_metadata=config["add_record_metadata"]
        )

    def check_state_file(self, path: str) -> None:
        """A name in the folder that a stream may have, or the manifest: rows and states would replace each other."""
        from singerkit_state import manifest

        place = Path(os.path.realpath(path))  # `resolve` raises for links in a circle
        is_ours = place.name.endswith(".jsonl") or place.name.startswith(manifest.NAME)
        if is_ours and place.parent == Path(os.path.realpath(self.config["destination_path"])):
            raise ConfigurationError(
                f"The state file {path} has the name of a file that this target writes itself into its folder; nothing "
                "was read: give it another name, such as one that ends in `.json`."
            )


def main() -> None:
    """Entry point of the executable."""
    start(TargetJsonl)


if __name__ == "__main__":
    main()
