"""The events of a run as OpenLineage has them: that it began, and what it came to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from singerkit_state.runs import Run, StreamRun, time_text

__all__ = ["events_of"]

_NAMESPACE = "singerkit"
_PRODUCER = "https://pypi.org/project/singerkit/"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_ENDS = {"complete": "COMPLETE", "failed": "FAIL", "killed": "ABORT", "stopped": "ABORT", "skipped": "ABORT"}


def events_of(run: Run) -> Sequence[dict[str, Any]]:
    """Return a START of a run that is at work, and of one that has ended the event of its end."""
    end = _ENDS.get(run.result)
    if end is None:
        return [_event("START", run.started, run, with_datasets=False)]
    return [_event(end, run.ended or run.started, run, with_datasets=True)]


def _event(kind: str, at: datetime, run: Run, *, with_datasets: bool) -> dict[str, Any]:
    streams = sorted(run.streams.items()) if with_datasets else []
    return {
        "eventType": kind,
        "eventTime": time_text(at),
        "producer": _PRODUCER,
        "schemaURL": _EVENT,
        "run": {"runId": _uuid(run.id), "facets": _facets(run) if with_datasets else {}},
        "job": {"namespace": _NAMESPACE, "name": run.pipeline},
        "inputs": [{"namespace": f"{_NAMESPACE}:{run.tap or 'tap'}", "name": name} for name, _ in streams],
        "outputs": [_output(run, name, one) for name, one in streams],
    }


def _uuid(run_id: str) -> str:
    """Ours are UUIDs already, without their hyphens."""
    try:
        return str(uuid.UUID(run_id))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, run_id))


def _facets(run: Run) -> dict[str, Any]:
    if not run.reason:
        return {}
    said = {"message": run.reason, "programmingLanguage": "Python"}
    return {"errorMessage": _facet("1-0-1/ErrorMessageRunFacet", said)}


def _output(run: Run, name: str, stream: StreamRun) -> dict[str, Any]:
    known = {"rowCount": stream.rows, "size": stream.bytes}
    counts = {name: count for name, count in known.items() if count is not None}
    facets = {"outputStatistics": _facet("1-0-2/OutputStatisticsOutputDatasetFacet", counts)}
    return {"namespace": f"{_NAMESPACE}:{run.target or 'target'}", "name": name, "outputFacets": facets}


def _facet(schema: str, said: dict[str, Any]) -> dict[str, Any]:
    name = schema.partition("/")[2]
    return {"_producer": _PRODUCER, "_schemaURL": f"{_SPEC}/facets/{schema}.json#/$defs/{name}", **said}
