"""A run as a span and as metrics of OpenTelemetry, as OTLP over HTTP takes them. Its packages come with the extra `opentelemetry`."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from singerkit_signals.metrics import HELP, samples_of
from singerkit_state.runs import Run

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = ["headers_of", "is_installed", "messages_of"]

_SERVICE = "singerkit"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HALF = (1 << 64) - 1


def is_installed() -> bool:
    """Tell whether the packages of the extra are there."""
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.common") is not None
    except ModuleNotFoundError:
        return False


def headers_of(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers that OpenTelemetry's own variable names, as in `authorization=Bearer%20abc,x-scope=shop`."""
    from opentelemetry.util.re import parse_env_headers

    return dict(parse_env_headers(env.get("OTEL_EXPORTER_OTLP_HEADERS", ""), liberal=True))


def messages_of(
    run: Run, success: float, late_after: float | None, env: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Yield what is posted, each with its path: metrics, as `samples_of` has them, and the span of a run that has ended."""
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.resources import Resource

    resource = Resource.create({"service.name": env.get("OTEL_SERVICE_NAME", _SERVICE)})
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], resource, shutdown_on_exit=False).get_meter(_SERVICE)
    gauges = {name: meter.create_gauge(f"singerkit_{name}", description=said) for name, said in HELP.items()}
    for name, labels, value in samples_of(run, success, run.started.timestamp(), late_after):
        gauges[name].set(value, {"pipeline": run.pipeline, **labels})
    found = reader.get_metrics_data()
    if found is not None:
        yield "v1/metrics", encode_metrics(found).SerializeToString()
    if run.ended is not None:
        yield "v1/traces", encode_spans([_span(run, run.ended, resource)]).SerializeToString()


def _span(run: Run, ended: datetime, resource: Resource) -> ReadableSpan:
    """Return a span that is a trace of its own, whose id is that of the run in the history."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

    number = _number(run.id)
    told = {
        "pipeline": run.pipeline,
        "result": run.result,
        "exit_code": run.exit_code,
        "tries": run.tries,
        "tap": run.tap,
        "target": run.target,
        "commits": run.commits,
        "warnings": run.warned,
        "rows": run.total("rows") if run.streams else None,
    }
    is_bad = run.result in ("failed", "killed")
    return ReadableSpan(
        f"run {run.pipeline}",
        SpanContext(number, number & _HALF or 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)),
        resource=resource,
        attributes={f"singerkit.{name}": value for name, value in told.items() if value is not None},
        status=Status(StatusCode.ERROR, run.reason) if is_bad else Status(StatusCode.UNSET),
        start_time=_nanoseconds(run.started),
        end_time=_nanoseconds(ended),
        instrumentation_scope=InstrumentationScope(_SERVICE),
    )


def _number(run_id: str) -> int:
    try:
        return uuid.UUID(run_id).int
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_OID, run_id).int


def _nanoseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000
