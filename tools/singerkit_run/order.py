"""In which order pipelines run: each after those that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["problems_of_order"]


def problems_of_order(after: Mapping[str, Sequence[str]], line_of: Callable[[str], str]) -> Iterator[str]:
    """Yield a sentence for each name in ``after`` that no pipeline has, and for a circle; ``line_of`` names the line of one."""
    unknown = [(name, other) for name, others in after.items() for other in others if other not in after]
    for name, other in unknown:
        known = ", ".join(f"`{one}`" for one in list(after)[:20])
        yield f"There is no pipeline `{other}`, which `{name}` names in `after`{line_of(name)}; there are {known}"
    if not unknown and (circle := _circle(after)):
        way = " after ".join(f"`{name}`" for name in circle)
        yield f"Expected pipelines that can run one after the other, got the circle {way}{line_of(circle[0])}"


def _circle(after: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of a circle, the first one again at its end; none where there is none."""
    left = {name: set(others) for name, others in after.items()}
    while ready := [name for name, others in left.items() if not others & left.keys()]:
        for name in ready:
            del left[name]
    if not left:
        return []
    way = [min(left)]
    while way.count(way[-1]) < 2:
        way.append(min(left[way[-1]] & left.keys()))
    return way[way.index(way[-1]) :]
