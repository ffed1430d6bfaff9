"""How the first request of a read may differ from what the config says."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from tap_rest.asking.questions import Question
from tap_rest.pages.steps import Step, step_with
from tap_rest.settings.pagination import Pagination

__all__ = ["AS_CONFIGURED", "NOT_MODIFIED", "Beginning"]

NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True)
class Beginning:
    """``url`` stands in the place of the stream's own, ``headers`` are sent with the first request alone; ``cursor`` is sent as that of a page before.

    ``ends_with``: statuses of any page that end the read, which yields them without records; what they mean is the caller's.
    ``sends_token``: it is a token by which the read goes on, and that may have expired (`start_over`).
    """

    url: str | None = None
    cursor: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    ends_with: Collection[int] = ()
    sends_token: bool = False

    def step(self, first: Step, settings: Pagination) -> Step:
        """Return the first step of a read of which ``first`` would be that."""
        if self.cursor is not None:
            return step_with(first, settings, self.cursor)
        return first if self.url is None else replace(first, url=self.url)

    def asked(self, question: Question, *, is_first: bool) -> Question:
        """Return what one request of the read asks for."""
        rules = question.rules if self.sends_token else question.rules.without("start_over")
        if rules is question.rules and not (self.headers or self.ends_with):
            return question
        headers = {**question.headers, **(self.headers if is_first else {})}
        return replace(question, headers=headers, rules=rules, accept=(*question.accept, *self.ends_with))


AS_CONFIGURED = Beginning()
