"""`job` of a stream: what is asked for is made first (a report, an export), waited for, and then read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tap_rest.asking.placeholders import names_in
from tap_rest.settings import setting
from tap_rest.settings.errors import ErrorRule, test_problems
from tap_rest.settings.method import BODY_FORMAT, METHOD, REQUEST_BODY

__all__ = ["JOB", "JOB_STEPS", "Job", "JobRequest", "Poll", "Test", "job_problems", "with_job"]

Group = Mapping[str, Any]
JOB_STEPS = ("create", "poll", "result")
_TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
_ASKED = ("path", "params", "headers", "body")


def _request(description: str, more: dict[str, Any]) -> dict[str, Any]:
    return setting.group(
        description,
        {
            "path": setting.text(
                "Path below `base_url`, or a full URL. May hold placeholders, `{job.field}` among them."
            ),
            "method": METHOD,
            "params": _TEXTS | {"description": "Query parameters, besides those of the top level."},
            "headers": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "Request headers, besides those of the stream.",
            },
            "body": REQUEST_BODY,
            "body_format": BODY_FORMAT,
            **more,
        },
        ["path"],
    )


def _test(description: str) -> dict[str, Any]:
    return setting.group(
        description,
        {
            "path": setting.name("JSONPath of a value in the answer; alone: there is something."),
            "equals": {
                "type": ["string", "number", "boolean", "null", "array"],
                "items": {"type": ["string", "number", "boolean", "null"]},
                "minItems": 1,
                "secret": False,
                "description": "The value is this one, or one of these. A number equals its text.",
            },
            "contains": setting.name("The value has this text in it.", minLength=1),
            "matches": setting.name(
                "The value has something in it that this regular expression finds.", minLength=1
            ),
        },
        ["path"],
    )


JOB = setting.group(
    "The rows are made first, and read when they are ready: `create` asks for them, `poll` looks until they are, and the request of the "
    "stream itself (`path`, `params`, `body`) reads them. What the answers hold stands there as `{job.field}`, `{job.a.b}` or "
    "`{job.header:NAME}`.",
    {
        "create": _request("The request that makes a job. Default method `POST`.", {}),
        "poll": _request(
            "The request that tells whether it is done, made until `until` is so; by status 202 it is not, whatever it says.",
            {
                "until": _test("When it is done. Default: when the status is not 202."),
                "failed": _test(
                    "When it has failed: the stream ends with an error that shows what the answer says."
                ),
                "wait": setting.seconds(
                    "Seconds from one look to the next, where the answer does not say.", 5
                ),
                "longest": setting.seconds("Seconds after which a job that is not done is given up.", 3600),
            },
        ),
        "result": _request("One more request behind that, whose answer tells where the rows are.", {}),
    },
    ["create", "poll"],
)


class JobRequest(msgspec.Struct, frozen=True):
    """One of the requests of a job."""

    path: str
    method: str = "GET"
    params: dict[str, Any] = {}
    headers: dict[str, str] = {}
    body: Any = None
    body_format: str = "json"

    @property
    def asked(self) -> tuple[Any, ...]:
        """What it is made of, and may hold placeholders."""
        return self.path, self.params, self.headers, self.body


class Test(msgspec.Struct, frozen=True):
    """What an answer says; see `ErrorRule`."""

    path: str
    equals: Any = msgspec.UNSET
    contains: str | None = None
    matches: str | None = None

    @property
    def rule(self) -> ErrorRule:
        return ErrorRule("fail", None, self.path, self.equals, self.contains, self.matches)


class Poll(JobRequest, frozen=True):
    """`job.poll`."""

    until: Test | None = None
    failed: Test | None = None
    wait: float = 5
    longest: float = 3600


class Job(msgspec.Struct, frozen=True):
    """`job` of a stream."""

    create: JobRequest
    poll: Poll
    result: JobRequest | None = None

    @property
    def _steps(self) -> list[JobRequest]:
        return [self.create, self.poll, *([] if self.result is None else [self.result])]

    @property
    def asked(self) -> tuple[Any, ...]:
        """What its requests are made of."""
        return tuple(part for step in self._steps for part in step.asked)

    @property
    def paths(self) -> list[str]:
        """The paths that it asks for."""
        return [step.path for step in self._steps]

    @property
    def params(self) -> list[str]:
        """The names of the parameters that it sends."""
        return [name for step in self._steps for name in step.params]


def with_job(stream: Group, params: Group) -> dict[str, Any]:
    """Return a stream whose job says itself by which methods and parameters, and in which format it asks; ``params``: of the top level."""
    if "job" not in stream:
        return dict(stream)
    job = {
        name: {
            **step,
            "params": {**params, **step.get("params", {})},
            "method": step.get("method", "POST" if name == "create" else "GET"),
            "body_format": step.get("body_format", "text" if isinstance(step.get("body"), str) else "json"),
        }
        for name, step in stream["job"].items()
    }
    return {**stream, "job": job}


def job_problems(stream: Group, place: str) -> Iterator[str]:
    """Yield what does not go together in a job, and what does not go with one."""
    if "job" not in stream:
        return
    job, where = stream["job"], f"{place}.job"
    yield from _problems_of_steps(job, where)
    own = [name for key in _ASKED for name in names_in(stream.get(key))]
    variables = stream.get("graphql", {}).get("variables", {})
    if not any(name.startswith("job.") for name in (*own, *names_in(variables))):
        yield f"`{where}` has no effect, since no `{{job.field}}` stands in what the stream asks for: nothing says where the rows are"
    if stream.get("conditional"):
        yield f"`{where}` does not go with `{place}.conditional`: a job is made anew each time"
    if stream.get("pagination", {}).get("continue_by") == "bookmark":
        yield f"`{where}` does not go with `{place}.pagination.continue_by` `bookmark`, which would make a job for each page"


def _problems_of_steps(job: Group, where: str) -> Iterator[str]:
    for name in names_in([job["create"].get(key) for key in _ASKED]):
        if name.startswith("job."):
            yield f"`{{{name}}}` in `{where}.create` means nothing there: no answer has come yet"
    for step in JOB_STEPS:
        asked = job.get(step, {})
        if "body" in asked and asked.get("method", "POST" if step == "create" else "GET") == "GET":
            yield f'`{where}.{step}.body` needs `{where}.{step}.method`: say `"method": "POST"`, or as the API wants it'
        if "body_format" in asked and "body" not in asked:
            yield f"`{where}.{step}.body_format` has no effect without `{where}.{step}.body`"
        if asked.get("body_format") == "form" and not isinstance(asked.get("body", {}), dict):
            yield f"Expected an object at `{where}.{step}.body`, since `{where}.{step}.body_format` is `form`"
        if "#" in asked.get("path", ""):
            yield f"Expected `{where}.{step}.path` without `#`, which cuts off all behind it; write it as `%23`"
    for key in ("until", "failed"):
        if key in job["poll"]:
            yield from test_problems(job["poll"][key], f"{where}.poll.{key}")
