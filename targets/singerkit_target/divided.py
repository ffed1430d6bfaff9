"""Runs of shards (`tap --shard i/n`): each has a state of its own, and the rows of a stream that is divided are in one table."""

from __future__ import annotations

from collections.abc import Sequence

from singerkit_shell.errors import ConfigurationError
from singerkit_state.lineage import WaysOut
from singerkit_state.shards import Shard, are_of_one, pipeline_and_shard, way_to_divide
from singerkit_state.value import Mark
from singerkit_target.abilities import Abilities
from singerkit_target.contract import Loader
from singerkit_target.siblings import Siblings

__all__ = ["Divided", "check_set", "pipeline_of"]


def pipeline_of(given: str | None, mark: Mark | None) -> str:
    """Return the pipeline whose state a run uses; ``given`` is that of the config, of which a tap may read a shard."""
    if mark is None:
        return given or "default"
    if given is None:
        return mark.pipeline
    _, shard = pipeline_and_shard(mark.pipeline)
    return shard.called(given) if pipeline_and_shard(given)[1].of == 1 else given


def check_set(pipeline: str, with_state: Sequence[str], ways: WaysOut) -> None:
    """See that what begins here is not divided otherwise by now; ``with_state``: the pipelines that have a state here.

    Raises:
        ConfigurationError: it is, and rows that have no key would come again, from another shard.
    """
    name, shard = pipeline_and_shard(pipeline)
    others = [
        one for one in with_state if are_of_one(one, name) and pipeline_and_shard(one)[1].of != shard.of
    ]
    if not others:
        return
    of = pipeline_and_shard(others[0])[1].of
    raise ConfigurationError(
        f"The pipeline `{name}` has states here of {'one run of all rows' if of == 1 else f'{of} shards'} (`{others[0]}`{'' if len(others) == 1 else ' and others'}), and this run is of "
        f"{'all rows' if shard.of == 1 else f'the shard {shard}'}, which would begin anew; nothing was written: go on as before; or divide "
        f"the states with {way_to_divide(ways.location or 'STATE_URL', shard.of)}; or forget each of them, the first with {ways.start_over_as(others[0])}, "
        "and empty the tables of streams without a key, whose rows come again."
    )


class Divided:
    """The streams of which a run has a part: those that a tap of ours names, and all of a shard of others."""

    def __init__(self, pipeline: str, mark: Mark | None) -> None:
        _, self._shard = pipeline_and_shard(pipeline)
        self._streams = None if mark is None else mark.divided or {}
        self._name = pipeline_and_shard(pipeline)[0]
        self._moving = () if mark is None else mark.moving or ()

    def _has(self, stream: str) -> bool:
        return self._shard.of > 1 and (self._streams is None or stream in self._streams)

    def check_load(self, stream: str, abilities: Abilities, *, overwrites: bool, replaces: bool) -> None:
        """See that a shard does not put its part of a stream, or of a set of its rows, in the place of all, and no row in that of a newer one.

        Raises:
            ConfigurationError: it would, or might.
        """
        if (overwrites or replaces) and self._has(stream):
            what = "overwritten (`load_method`)" if overwrites else "replaced by sets of rows (`replace_by`)"
            raise ConfigurationError(
                f"Stream `{stream}` is {what}, and the run is of the shard {self._shard}, whose rows would take the place of those of all "
                "others; nothing of it was written: load it with `upsert`, or read it without `--shard`."
            )
        if (
            stream in self._moving
            and self._has(stream)
            and not abilities.appends(stream)
            and abilities.newest_by(stream) is None
        ):
            raise ConfigurationError(
                f"The shards of stream `{stream}` have spans of its replication key, so that a row which changes goes from one to another, and a shard that has read it before could "
                "write over it what it was; nothing of it was written: say which version is the newer "
                f'(`{{"newest_by": {{"{stream}": ...}}}}`, the replication key), or read it without `--shard`.'
            )

    def others_in(self, loader: Loader) -> Sequence[str]:
        """Return the other shards of this set that have a state, by the names of these."""
        if self._shard.of == 1:
            return ()
        own = self._shard.called(self._name)
        return [one for one in loader.pipelines(with_state=True) if one != own and are_of_one(one, own)]

    def likewise(self, stream: str) -> str:
        """Return what goes for the other shards of a stream, where its rows are read anew."""
        return ", and likewise in all other shards before one of them runs" if self._has(stream) else ""

    def siblings(self, stream: str) -> Siblings | None:
        """Return the other shards that have a part of a stream.

        Raises:
            ConfigurationError: they do not say which versions their rows carry, since their tap is none of ours.
        """
        if not self._has(stream):
            return None
        if self._streams is None:
            raise ConfigurationError(
                f"ACTIVATE_VERSION of stream `{stream}` is that of the shard {self._shard} alone, and would remove the rows of all others; "
                "none was touched: have the tap send none, or read the stream without shards."
            )
        others = [
            Shard(number, self._shard.of) for number in range(self._shard.of) if number != self._shard.number
        ]
        return Siblings([one.called(self._name) for one in others], stream, str(self._shard))
