"""What a target promises about delivery, by how the next run finds out where to resume (DESIGN 5 "Resuming")."""

from __future__ import annotations

from collections.abc import Iterator

from singerkit_state.delivery import Delivery, Guarantee

__all__ = ["deliveries"]

_TOGETHER = "rows and state are committed together, and a run that would start from an older state is stopped"
_SENT_AGAIN = "rows that the tap sends again are appended, too, and are there twice (a run warns where the state says that some are)"
_COMES_AGAIN = "rows come again, all of them or those after a saved state that a kill left behind"
_LOOKS_COMPLETE = (
    "a tap that dies between two lines looks like one that has finished: rows after the last STATE are committed at the end of "
    "the input, and come again, those of a tap that always ends so, too (not with `end_of_input` as `state`)"
)


def deliveries(
    *, replaces_by_key: bool, has_state_url: bool, state_file: str | None, ends_with_state: bool = False
) -> list[Delivery]:
    """Return what holds for a config; without ``state_file`` it depends on where the tap's state comes from."""
    place = "the --state-file" + (" or a state URL" if has_state_url and state_file is None else "")
    from_stdout = "" if state_file else ", or is saved from stdout"
    ours = f"a singerkit tap, whose --state names {place}{from_stdout}"
    found = [Delivery(ours, Guarantee.EXACTLY_ONCE, _TOGETHER)]
    if not replaces_by_key:
        sent_again = f"{ours}, streams that its --about calls {Guarantee.EFFECTIVELY_ONCE}"
        found.append(Delivery(sent_again, Guarantee.AT_LEAST_ONCE, _SENT_AGAIN))
    others = "a tap by others, whose --state names the --state-file"
    if ends_with_state:
        why = f"{_TOGETHER}, and so is one that ends behind its last STATE"
        found.append(Delivery(others, Guarantee.EXACTLY_ONCE, why))
    else:
        found += _again(others, _LOOKS_COMPLETE, replaces_by_key)
    if state_file is None:
        how = "the tap has no --state, or is by others and its state is saved from stdout"
        found += _again(how, _COMES_AGAIN, replaces_by_key)
    return found


def _again(how: str, why: str, replaces_by_key: bool) -> Iterator[Delivery]:
    if replaces_by_key:
        yield Delivery(
            f"{how}, streams with a key",
            Guarantee.EFFECTIVELY_ONCE,
            f"{why}, and replace themselves by their key",
        )
    streams = "streams without a key" if replaces_by_key else "all streams, which are appended to"
    yield Delivery(f"{how}, {streams}", Guarantee.AT_LEAST_ONCE, why)
