"""What a target promises about delivery, by how the next run finds out where to resume (DESIGN 5 "Resuming")."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from singerkit_state.delivery import Delivery, Guarantee

__all__ = ["Ways", "deliveries"]

_TOGETHER = "rows and state are committed together, and a run that would start from an older state is stopped"
_SENT_AGAIN = "rows that the tap sends again are appended, too, and are there twice (a run warns where the state says that some are)"
_COMES_AGAIN = "rows come again, all of them or those after a saved state that a kill left behind"
_LOOKS_COMPLETE = (
    "a tap that dies between two lines looks like one that has finished: rows after the last STATE are committed at the end of "
    "the input, and come again, those of a tap that always ends so, too (not with `end_of_input` as `state`)"
)


@dataclass(frozen=True)
class Ways:
    """What becomes of rows that come again: ``replaces`` those with their key, of some streams; ``appends``: not, of some."""

    replaces: bool
    appends: bool

    def named(self, *, replaces: bool) -> str:
        """Which streams with a key have rows that replace themselves, or not."""
        if self.replaces and self.appends:
            return f"streams that `load_method` {'upserts, with a key' if replaces else 'appends'}"
        return "streams with a key" if replaces else "all streams, which are appended to"


def deliveries(
    *, ways: Ways, has_state_url: bool, state_file: str | None, ends_with_state: bool = False
) -> list[Delivery]:
    """Return what holds for a config; without ``state_file`` it depends on where the tap's state comes from."""
    place = "the --state-file" + (" or a state URL" if has_state_url and state_file is None else "")
    from_stdout = "" if state_file else ", or is saved from stdout"
    ours = f"a singerkit tap, whose --state names {place}{from_stdout}"
    found = [Delivery(ours, Guarantee.EXACTLY_ONCE, _TOGETHER)]
    if ways.appends:
        among = f"those of the {ways.named(replaces=False)}" if ways.replaces else "streams"
        sent_again = f"{ours}, {among} that its --about calls {Guarantee.EFFECTIVELY_ONCE}"
        found.append(Delivery(sent_again, Guarantee.AT_LEAST_ONCE, _SENT_AGAIN))
    others = "a tap by others, whose --state names the --state-file"
    if ends_with_state:
        why = f"{_TOGETHER}, and so is one that ends behind its last STATE"
        found.append(Delivery(others, Guarantee.EXACTLY_ONCE, why))
    else:
        found += _again(others, _LOOKS_COMPLETE, ways)
    if state_file is None:
        how = "the tap has no --state, or is by others and its state is saved from stdout"
        found += _again(how, _COMES_AGAIN, ways)
    return found


def _again(how: str, why: str, ways: Ways) -> Iterator[Delivery]:
    if ways.replaces:
        yield Delivery(
            f"{how}, {ways.named(replaces=True)}",
            Guarantee.EFFECTIVELY_ONCE,
            f"{why}, and replace themselves by their key",
        )
        yield Delivery(f"{how}, streams without a key", Guarantee.AT_LEAST_ONCE, why)
    if ways.appends:
        yield Delivery(f"{how}, {ways.named(replaces=False)}", Guarantee.AT_LEAST_ONCE, why)
