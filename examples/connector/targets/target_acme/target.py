"""target-acme: settings, and how a run is put together from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from singerkit_shell.command import start
from singerkit_target.abilities import Abilities
from singerkit_target.contract import Loader
from singerkit_target.shell import SingerkitTarget
from target_acme.domain import ABILITIES

__all__ = ["TargetAcme", "main"]


class TargetAcme(SingerkitTarget):
    """Load Singer streams into an Acme store, exactly once."""

    name = "target-acme"
    # TODO(acme): the settings of your store, each with a description: the reference page is made from it.
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "secret": False,
                "title": "Path",
                "default": "acme.db",
                "description": "The file of the store; made if missing. Its folder must exist.",
            },
        },
    }

    @classmethod
    def abilities(cls, config: Mapping[str, Any]) -> Abilities:  # noqa: ARG003  the same with every config
        """What the store can do."""
        return ABILITIES

    def make_loader(self) -> Loader:
        from target_acme.loader import AcmeLoader

        return AcmeLoader(
            Path(self.config["path"]), self.logger, add_metadata=self.config["add_record_metadata"]
        )


def main() -> None:
    """Entry point of the executable."""
    start(TargetAcme)


if __name__ == "__main__":
    main()
