"""Random faults with each `load_method`: of a history the rows that hold now are checked as those of a table that is upserted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from faults.torture.cases import Case
from faults.torture.checker import Checker
from faults.torture.pipeline import Pipeline

__all__ = ["METHODS", "HistoryCase", "OverwriteCase"]

_BROKEN_RANGES = """
SELECT count(*) FROM (
    SELECT _sdc_valid_from AS begins, _sdc_valid_to AS ends,
        lead(_sdc_valid_from) OVER (PARTITION BY id ORDER BY _sdc_valid_from) AS next
    FROM public.{}
) AS one WHERE ends <= begins OR next < ends OR (next IS NOT NULL AND ends IS NULL)
"""


class _OverwritePipeline(Pipeline):
    methods: ClassVar[Mapping[str, str]] = {"customers": "overwrite"}


class _HistoryPipeline(Pipeline):
    methods: ClassVar[Mapping[str, str]] = {"orders": "history", "customers": "history"}


class OverwriteCase(Case):
    """Each run brings all customers, which take the place of those that were there, and commits once."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = _OverwritePipeline
    arguments = " ARGS='--method overwrite'"


class _HistoryChecker(Checker):
    now = "WHERE _sdc_valid_to IS NULL"

    def _read(self, cursor: Any) -> Any:
        for stream in _HistoryPipeline.methods:
            cursor.execute("SELECT to_regclass(%s)", [f"public.{stream}"])
            if cursor.fetchone()[0] is None:
                continue
            cursor.execute(_BROKEN_RANGES.format(stream))
            if cursor.fetchone() != (0,):
                self._find("wrong", f"{stream} has ranges that overlap, are empty or do not end")
        return super()._read(cursor)


class HistoryCase(Case):
    """The history of orders, by a bookmark, and of customers, which come as a whole."""

    pipeline_kind: ClassVar[type[Pipeline] | None] = _HistoryPipeline
    checker_kind: ClassVar[type[Checker]] = _HistoryChecker
    arguments = " ARGS='--method history'"


METHODS: Mapping[str, type[Case]] = {"upsert": Case, "overwrite": OverwriteCase, "history": HistoryCase}
