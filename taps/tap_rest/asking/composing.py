"""The requests of one stream: what its config says of them, with placeholders filled in, and what a step says of its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from singerkit_state.instants import zone_named
from singerkit_tap.contract import Context
from tap_rest.asking.moments import Moments
from tap_rest.asking.payloads import CONTENT_TYPES, payload_of, with_member
from tap_rest.asking.placeholders import BOOKMARKS, Values, as_text, filled
from tap_rest.asking.questions import OF_THE_BODY, Question
from tap_rest.asking.templates import Filled, Template, template_behind, template_of
from tap_rest.config import ApiSettings
from tap_rest.pages.placing import Placed, lanes_of, placed
from tap_rest.pages.steps import Step, role_of
from tap_rest.settings.incremental import Incremental
from tap_rest.settings.stream import StreamSettings

__all__ = ["Composer", "Frame"]


class Composer:
    """Makes the requests of one stream; ``values`` returns what placeholders stand for, ``began`` tells when the run began."""

    def __init__(
        self,
        api: ApiSettings,
        settings: StreamSettings,
        values: Callable[[Context | None], Mapping[str, Any]],
        began: Callable[[], datetime],
    ) -> None:
        self._base_url, self._settings, self._values = api.base_url, settings, values
        zone = None if settings.time_zone is None else zone_named(settings.time_zone)
        self._moments = Moments(began, zone)
        self._accept = (202,) if settings.partial_answers == "warn" else ()
        self._names_its_type = any(name.lower() == OF_THE_BODY for name in (*api.headers, *settings.headers))
        self._first, self._behind = template_of(settings), template_behind(settings)
        self._role, self._lanes = role_of(settings.pagination), lanes_of(settings.pagination)
        names = self._first.names
        self._is_filled = bool(names)
        self._fills_pages = not names.isdisjoint((self._role, "size"))

    def frame(self, context: Context | None, wanted: Mapping[str, Any]) -> Frame:
        """Return what the requests below one parent have in common.

        ``wanted``: the `bookmark` or the `token` behind which rows are asked for, and further `params`.

        Raises:
            BadDataError: a value has no place there.
            ConfigurationError: one that has to be there is missing.
        """
        asked = self._asked(wanted)
        if not self._is_filled and self._behind is None:
            return Frame(self, asked, {}, self._plain)
        values = self.values(context, wanted).by_name
        return Frame(self, asked, values, None if self._fills_pages else self._filled(self._first, values))

    def values(self, context: Context | None, wanted: Mapping[str, Any]) -> Values:
        """Return the values of placeholders that all requests of a read have."""
        found = {**self._values(context), **_named(wanted), **wanted.get("job", {})}
        return Values(self._moments, found)

    @cached_property
    def _plain(self) -> Filled:
        """What is asked where nothing is filled in."""
        return self._filled(self._first, {})

    def _filled(self, template: Template, by_name: Mapping[str, Any]) -> Filled:
        return template.filled(self._base_url, Values(self._moments, by_name))

    def wanted_at_first(self, context: Context | None) -> Mapping[str, Any]:
        """Return what is wanted as long as there is no token."""
        token = self._settings.token
        if token is None or not token.first_params:
            return {}
        values = Values(self._moments, self._values(context))
        return {"params": filled(token.first_params, values, "incremental.first_params", as_texts=True)}

    def question(self, frame: Frame, step: Step) -> Question:
        """Return the request that a step makes; one that has a URL needs no path and no parameters of the stream."""
        if self._behind is not None and (step.url is not None or self._role in step.sent):
            return self._question_behind(self._behind, frame, step)
        given = frame.settled or self._filled(self._first, {**frame.values, **step.sent})
        by_pages = placed(step.sent, self._lanes)
        return self._made(self._first, given, step, frame.asked, by_pages)

    def _question_behind(self, template: Template, frame: Frame, step: Step) -> Question:
        """Return the request for a page behind the first, which says itself what it takes besides the token."""
        given = self._filled(template, {**frame.values, **step.sent})
        tokens = {name: value for name, value in step.sent.items() if name != "size"}
        return self._made(template, given, step, Placed(), placed(tokens, self._lanes))

    def _made(
        self, template: Template, given: Filled, step: Step, asked: Placed, by_pages: Placed
    ) -> Question:
        params = {**given.params, **asked.params, **by_pages.params} if step.url is None else {}
        headers = {**given.headers, **asked.headers, **by_pages.headers}
        members = {**asked.members, **by_pages.members}
        body = _with_members(given.body, members, template.body_format) if members else given.body
        url = step.url or given.url
        if body is None:
            return Question(url, params, headers, self._accept, template.method)
        if not self._names_its_type:
            headers["Content-Type"] = CONTENT_TYPES[template.body_format]
        payload = payload_of(body, template.body_format)
        return Question(url, params, headers, self._accept, template.method, payload)

    def _asked(self, wanted: Mapping[str, Any]) -> Placed:
        """Return where what is wanted goes."""
        found, incremental, token = (
            Placed(dict(wanted.get("params", {}))),
            self._settings.incremental,
            self._settings.token,
        )
        if incremental is not None and incremental.param is not None and "bookmark" in wanted:
            found.put(
                incremental.place, incremental.param, _in_template(wanted["bookmark"], incremental.template)
            )
        if incremental is not None and incremental.until_param is not None and "until" in wanted:
            _put_until(found, incremental, _in_template(wanted["until"], incremental.until_template))
        if token is not None and token.param is not None and "token" in wanted:
            found.put(token.place, token.param, wanted["token"])
        return found


def _put_until(found: Placed, incremental: Incremental, until: Any) -> None:
    """Put the end of a window where the beginning goes; of one name in the query there are two then."""
    name = incremental.until_param or ""
    if incremental.place == "query" and name in found.params:
        found.params[name] = [found.params[name], until]
    else:
        found.put(incremental.place, name, until)


def _in_template(value: Any, template: str) -> Any:
    return value if template == "{value}" else template.replace("{value}", as_text(value, "value", template))


def _with_members(body: Any, members: Mapping[str, Any], body_format: str) -> Any:
    if body_format == "form":
        return {**(body or {}), **members}
    for path, value in members.items():
        body = with_member(body, path, value)
    return body


@dataclass(slots=True)
class Frame:
    """What the requests of one read have in common; ``settled``: all that the config says, where no page changes it."""

    composer: Composer
    asked: Placed
    values: Mapping[str, Any]
    settled: Filled | None = None

    def question(self, step: Step) -> Question:
        """Return the request that a step makes."""
        return self.composer.question(self, step)


def _named(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return behind what rows are asked for by the names of placeholders: `{value}`, `{bookmark}` and `{from}` are one."""
    found = [wanted[name] for name in ("bookmark", "token") if name in wanted]
    named = dict.fromkeys(BOOKMARKS, found[0]) if found else {}
    return named | ({"to": wanted["until"]} if "until" in wanted else {})
