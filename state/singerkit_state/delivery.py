"""What a configuration promises about delivery, in one word and its reason, for ``--about`` (docs/guarantees.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from singer_sdk.about import AboutFormatter, AboutInfo

__all__ = ["Delivery", "Guarantee", "print_about"]


class Guarantee(StrEnum):
    """How often a row of the source is in the target, whatever was killed on the way."""

    EXACTLY_ONCE = "exactly_once"
    """Once, with or without a key."""
    EFFECTIVELY_ONCE = "effectively_once"
    """It may come again, and then replaces itself by its key."""
    AT_LEAST_ONCE = "at_least_once"
    """None is lost; one that comes again is there twice."""
    MAY_MISS = "may_miss"
    """One may be missed, where the reason says."""


@dataclass(frozen=True)
class Delivery:
    """A configuration, what it promises, and why. The texts complete "With ...: ..., because ..."."""

    configuration: str
    guarantee: Guarantee
    reason: str


def print_about(info: AboutInfo, output_format: str | None, deliveries: Sequence[Delivery]) -> None:
    """Print singer-sdk's ``--about`` in this format (text, json, markdown) with the deliveries added."""
    about = AboutFormatter.get_formatter(output_format or "text").format_about(info)
    print(_with_deliveries(about, deliveries, output_format))


def _with_deliveries(about: str, deliveries: Sequence[Delivery], output_format: str | None) -> str:
    match output_format:
        case "json":
            return json.dumps(
                json.loads(about) | {"delivery": [asdict(delivery) for delivery in deliveries]}, indent=2
            )
        case "markdown":
            rows = [f"| {each.configuration} | `{each.guarantee}` | {each.reason} |" for each in deliveries]
            head = ["", "## Delivery", "", "| configuration | guarantee | because |", "|---|---|---|"]
            return "\n".join([about.rstrip("\n"), *head, *rows])
        case _:
            lines = [
                f"  - {each.configuration}: {each.guarantee}, because {each.reason}" for each in deliveries
            ]
            return "\n".join([about.rstrip("\n"), "Delivery:", *lines])
