"""Runs of shards (`tap --shard i/n`): each has a state of its own, and the rows of a stream that is divided are in one table."""

from __future__ import annotations

from singerkit_shell.errors import ConfigurationError
from singerkit_state.shards import pipeline_and_shard
from singerkit_state.value import Mark

__all__ = ["Divided", "pipeline_of"]


def pipeline_of(given: str | None, mark: Mark | None) -> str:
    """Return the pipeline whose state a run uses; ``given`` is that of the config, of which a tap may read a shard."""
    if mark is None:
        return given or "default"
    if given is None:
        return mark.pipeline
    _, shard = pipeline_and_shard(mark.pipeline)
    return shard.called(given) if pipeline_and_shard(given)[1].of == 1 else given


class Divided:
    """The streams of which a run has a part: those that a tap of ours names, and all of a shard of others."""

    def __init__(self, pipeline: str, mark: Mark | None) -> None:
        _, self._shard = pipeline_and_shard(pipeline)
        self._streams = None if mark is None else mark.divided or ()

    def _has(self, stream: str) -> bool:
        return self._shard.of > 1 and (self._streams is None or stream in self._streams)

    def check_load(self, stream: str, *, overwrites: bool, replaces: bool) -> None:
        """See that a shard does not put its part of a stream, or of a set of its rows, in the place of all.

        Raises:
            ConfigurationError: it would.
        """
        if (overwrites or replaces) and self._has(stream):
            what = "overwritten (`load_method`)" if overwrites else "replaced by sets of rows (`replace_by`)"
            raise ConfigurationError(
                f"Stream `{stream}` is {what}, and the run is of the shard {self._shard}, whose rows would take the place of those of all "
                "others; nothing of it was written: load it with `upsert`, or read it without `--shard`."
            )

    def check_version(self, stream: str) -> None:
        """See that no version of a shard takes away the rows of others.

        Raises:
            ConfigurationError: it would.
        """
        if self._has(stream):
            raise ConfigurationError(
                f"ACTIVATE_VERSION of stream `{stream}` is that of the shard {self._shard} alone, and would remove the rows of all others; "
                "none was touched: set `activate_version` to false in the config of the tap, or read the stream without `--shard`."
            )
