"""What a target promises about delivery, by how the next run finds out where to resume (DESIGN 5 "Resuming")."""

from __future__ import annotations

from collections.abc import Iterator

from singerkit_state.delivery import Delivery, Guarantee

__all__ = ["deliveries"]


def deliveries(*, replaces_by_key: bool, has_state_url: bool, state_file: str | None) -> list[Delivery]:
    """Return what holds for a config; without ``state_file`` it depends on where the tap's state comes from."""
    place = "the --state-file" + (" or a state URL" if has_state_url and state_file is None else "")
    kept = Delivery(
        f"the tap's --state names {place}"
        + ("" if state_file else ", or a singerkit tap's is saved from stdout"),
        Guarantee.EXACTLY_ONCE,
        "rows and state are committed together, and a run that would start from an older state is stopped",
    )
    return [kept] if state_file is not None else [kept, *_without_state_file(replaces_by_key)]


def _without_state_file(replaces_by_key: bool) -> Iterator[Delivery]:
    how = "the tap has no --state, or is by others and its state is saved from stdout"
    why = "rows come again, all of them or those after a saved state that a kill left behind"
    if replaces_by_key:
        yield Delivery(
            f"{how}, streams with a key",
            Guarantee.EFFECTIVELY_ONCE,
            f"{why}, and replace themselves by their key",
        )
    streams = "streams without a key" if replaces_by_key else "all streams, which are appended to"
    yield Delivery(f"{how}, {streams}", Guarantee.AT_LEAST_ONCE, why)
