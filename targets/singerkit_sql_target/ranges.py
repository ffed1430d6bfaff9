"""The table of a stream whose history is kept: what it has to have, and when it is refused, as where the history is kept no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singerkit_shell.errors import ConfigurationError
from singerkit_sql_target.dialect import Existing
from singerkit_sql_target.fitting import VALID_FROM, VALID_TO, Fitting

__all__ = ["key_with_range", "lacks_ranges", "own_ranges", "refuse_ranges", "refuse_without_ranges"]


def key_with_range(fitting: Fitting, columns: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns by which the rows of a history are told apart.

    Raises:
        ConfigurationError: the stream has no key.
    """
    stream = fitting.stream
    if not stream.key_properties:
        raise ConfigurationError(
            f"The history of stream `{stream.name}` is to be kept (`load_method`), and it has no key by which one row is the next version of "
            "another; nothing of this stream was written: give it a key (tap-rest: `primary_keys`), or set its `load_method` to `append`, "
            "then run again."
        )
    return (*(columns[key] for key in stream.key_properties), columns[VALID_FROM])


def lacks_ranges(existing: Existing, columns: Mapping[str, str]) -> bool:
    """Tell whether rows are there that were loaded in another way, and say not since when they hold."""
    return not existing.is_empty and columns[VALID_FROM] not in existing.columns


def refuse_without_ranges(fitting: Fitting, first: str, statement: str) -> ConfigurationError:
    """What a run ends with where rows lack a range; ``statement`` gives them one, ``first`` says what goes before."""
    return ConfigurationError(
        f"The history of stream `{fitting.stream.name}` is to be kept (`load_method`), and the rows of its table {fitting.where} have no range in "
        f"which they held; none was touched: to have them begin now {first}run `{statement}`, then run again."
    )


def own_ranges(fitting: Fitting, existing: Existing) -> Sequence[str]:
    """Return the columns of ranges that a table has, which nobody would begin and end; none where it is no history."""
    ranges = [fitting.column(name) for name in (VALID_FROM, VALID_TO)]
    is_history = all(
        name not in fitting.stream.fields and column in existing.columns
        for name, column in zip((VALID_FROM, VALID_TO), ranges, strict=True)
    )
    return ranges if is_history else ()


def refuse_ranges(fitting: Fitting, statement: str) -> ConfigurationError:
    """What a run ends with whose table is that of a history; ``statement`` leaves what holds now."""
    return ConfigurationError(
        f"The table {fitting.where} of stream `{fitting.stream.name}` has its history (`load_method: history`), and its rows are to go there in another "
        "way now; none was touched: set `load_method` back to `history`, or, to go on with the rows that hold now and without those that held before, run "
        f"`{statement}`, then run again."
    )
