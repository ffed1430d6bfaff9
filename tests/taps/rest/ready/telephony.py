"""Twilio."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from typing import Any, ClassVar

from requests.auth import _basic_auth_str
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, only


class Twilio(Remote):
    """https://www.twilio.com/docs/messaging/api/message-resource and /docs/voice/api/call-resource."""

    name = "twilio"
    env: ClassVar = {
        "TWILIO_ACCOUNT": "AC0123456789abcdef",
        "TWILIO_TOKEN": "f2ca1bb6c7e907d06dafe4687e579fce",
    }
    streams = ("messages", "calls")
    first_load = 2100
    changes_rows = False
    step = timedelta(hours=2)
    asked_again = 50
    filters: ClassVar = {"messages": ("date_sent", "DateSent>"), "calls": ("start_time", "StartTime>")}

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != _basic_auth_str(*self.env.values()):
            raise Refused(401, "Authenticate")

    def refusal(self, refused: Refused) -> Reply:
        reply = {"code": 20003, "message": str(refused), "status": refused.status}
        return json_reply(reply | {"more_info": "https://www.twilio.com/docs/errors/20003"}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        made = self.tables[stream].made[number]
        kind = {"messages": "SM", "calls": "CA"}[stream]
        return {
            "sid": f"{kind}{number:032x}",
            "status": "delivered",
            self.filters[stream][0]: format_datetime(made),
        }

    def routes(self) -> Mapping[str, Route]:
        folder = f"/2010-04-01/Accounts/{self.env['TWILIO_ACCOUNT']}"
        return {
            f"{folder}/{stream.title()}.json": self.checked(
                lambda asked, stream=stream: self._list(stream, asked)
            )
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        rows, (_, param) = self.tables[stream], self.filters[stream]
        only(asked, "Page", "PageSize", "PageToken", param)
        since, size = asked.param(param), min(int(asked.param("PageSize") or 50), 1000)
        page = int(asked.param("Page") or 0)
        if page and not asked.param("PageToken"):
            raise Refused(400, "Page number requested without a page token")
        begin = date.fromisoformat(since) if since else datetime.min.date()
        found = [number for number in reversed(rows.by_change()) if rows.made[number].date() >= begin]
        shown = found[page * size : (page + 1) * size]
        more = f"&{param.replace('>', '%3E')}={since}" if since else ""
        following = f"{asked.path}?PageSize={size}&Page={page + 1}&PageToken=PA{kind_of(shown)}{more}"
        is_last = (page + 1) * size >= len(found)
        reply = {stream: [self.record(stream, number) for number in shown], "page": page, "page_size": size}
        return json_reply(
            reply | {"next_page_uri": None if is_last else following, "previous_page_uri": None}
        )


def kind_of(shown: list[int]) -> str:
    return f"SM{shown[-1]:032x}" if shown else ""
