"""Slack and Zendesk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from requests.auth import _basic_auth_str
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.hosted_git import linked
from taps.rest.ready.remote import Refused, Remote, bearer, epoch, iso, only


class Slack(Remote):
    """https://docs.slack.dev/reference/methods/conversations.history, /conversations.list and /files.list."""

    name = "slack"
    env: ClassVar = {"SLACK_TOKEN": "xoxb-0123456789-abcdefghij"}
    streams = ("messages", "files")
    channels: ClassVar = ("C01", "C02", "C03")
    most_requests = 12
    changes_rows = False

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["SLACK_TOKEN"])

    def refusal(self, refused: Refused) -> Reply:
        return json_reply(
            {"ok": False, "error": "invalid_auth" if refused.status == 401 else "invalid_arguments"}
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        made = epoch(self.tables[stream].made[number])
        if stream == "files":
            return {"id": f"F{number:05}", "created": made, "timestamp": made, "name": f"{number}.txt"}
        message = {"type": "message", "user": "U1", "text": f"hello {number}", "ts": f"{made}.{number:06}"}
        return message | {"channel": self.channels[number % 3]}

    def routes(self) -> Mapping[str, Route]:
        return {
            "/api/conversations.list": self.checked(self._channels),
            "/api/conversations.history": self.checked(self._messages),
            "/api/files.list": self.checked(self._files),
        }

    def _channels(self, asked: Asked) -> Reply:
        only(asked, "cursor", "exclude_archived", "limit", "types")
        found = [{"id": channel, "name": channel.lower(), "is_channel": True} for channel in self.channels]
        return json_reply({"ok": True, "channels": found, "response_metadata": {"next_cursor": ""}})

    def _messages(self, asked: Asked) -> Reply:
        only(asked, "channel", "cursor", "inclusive", "limit", "oldest")
        oldest, is_inclusive = float(asked.param("oldest") or 0), asked.param("inclusive") in ("1", "true")
        rows = [self.record("messages", number) for number in reversed(self.tables["messages"].by_change())]
        rows = [row for row in rows if row.pop("channel") == asked.param("channel")]
        rows = [
            row for row in rows if float(row["ts"]) > oldest or (is_inclusive and float(row["ts"]) == oldest)
        ]
        begin = (
            int((asked.param("cursor") or "bmV4dF90czo0").removeprefix("bmV4dF90czo"))
            if asked.param("cursor")
            else 0
        )
        end = begin + min(int(asked.param("limit") or 100), 999) // 5  # fewer than asked for may come
        reply: dict[str, Any] = {
            "ok": True,
            "messages": rows[begin:end],
            "has_more": end < len(rows),
            "pin_count": 0,
        }
        if end < len(rows):
            reply["response_metadata"] = {"next_cursor": f"bmV4dF90czo{end}"}
        return json_reply(reply)

    def _files(self, asked: Asked) -> Reply:
        only(asked, "count", "page", "ts_from")
        rows = [self.record("files", number) for number in reversed(self.tables["files"].by_change())]
        rows = [row for row in rows if row["created"] >= float(asked.param("ts_from") or 0)]
        count, page = int(asked.param("count") or 100), int(asked.param("page") or 1)
        pages = max(1, -(-len(rows) // count))
        paging = {"count": count, "total": len(rows), "page": page, "pages": pages}
        return json_reply({"ok": True, "files": rows[(page - 1) * count : page * count], "paging": paging})


class Zendesk(Remote):
    """Incremental exports by cursor: https://developer.zendesk.com/documentation/ticketing/managing-tickets/using-the-incremental-export-api/."""

    name = "zendesk"
    env: ClassVar = {
        "ZENDESK_SUBDOMAIN": "obscura",
        "ZENDESK_USER": "jdoe@example.com/token",
        "ZENDESK_TOKEN": "6wiIBWbGkBMo1mRDMuVwkw1EPsNkeUj95PIz2akv",
    }
    streams = ("tickets", "users")
    first_load = 2300

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != _basic_auth_str(
            self.env["ZENDESK_USER"], self.env["ZENDESK_TOKEN"]
        ):
            raise Refused(401, "Couldn't authenticate you")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"error": str(refused)}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        about = {"id": number, "created_at": iso(rows.made[number]), "updated_at": iso(rows.changed[number])}
        more = (
            {"generated_timestamp": epoch(rows.changed[number]), "status": "open"}
            if stream == "tickets"
            else {}
        )
        return about | more

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/api/v2/incremental/{stream}/cursor.json": self.checked(
                lambda asked, stream=stream: self._export(stream, asked)
            )
            for stream in self.streams
        }

    def _export(self, stream: str, asked: Asked) -> Reply:
        only(asked, "cursor", "per_page", "start_time")
        rows, size = self.tables[stream], min(int(asked.param("per_page") or 1000), 1000)
        begin = asked.param("cursor") or asked.param("start_time")
        if begin is None:
            raise Refused(400, "start_time is required")
        since, _, past = begin.partition("-")
        if int(since) > epoch(datetime.now(UTC)) - 60:
            raise Refused(422, "Too recent start_time. Use a start_time older than 1 minute")
        found = rows.by_change(datetime.fromtimestamp(int(since), UTC))
        found = [
            number
            for number in found
            if not past or (epoch(rows.changed[number]), number) > (int(since), int(past))
        ]
        page = found[:size]
        cursor = f"{epoch(rows.changed[page[-1]])}-{page[-1]}" if page else begin
        after = {
            "after_cursor": cursor,
            "after_url": f"{self.url}{asked.path}?cursor={cursor}&per_page={size}",
        }
        reply = {stream: [self.record(stream, number) for number in page], **after, "before_cursor": None}
        return json_reply(reply | {"before_url": None, "end_of_stream": len(found) <= size})


class Freshdesk(Remote):
    """https://developers.freshdesk.com/api/#list_all_tickets and #list_all_contacts."""

    name = "freshdesk"
    env: ClassVar = {"FRESHDESK_DOMAIN": "acme", "FRESHDESK_KEY": "abcdefghij1234567890"}
    streams = ("tickets", "contacts")
    most_requests = 12

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != _basic_auth_str(self.env["FRESHDESK_KEY"], "X"):
            raise Refused(401, "You have to be logged in to perform this action.")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"code": "invalid", "message": str(refused)}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"created_at": iso(rows.made[number]), "updated_at": iso(rows.changed[number])}
        return {"id": 1000 + number, "description": None, "custom_fields": {"level": number}, **times}

    def routes(self) -> Mapping[str, Route]:
        return {
            "/api/v2/tickets": self.checked(self._tickets),
            "/api/v2/contacts": self.checked(self._contacts),
        }

    def _tickets(self, asked: Asked) -> Reply:
        only(asked, "order_by", "order_type", "page", "per_page", "updated_since")
        return self._listed("tickets", asked, asked.param("updated_since"))

    def _contacts(self, asked: Asked) -> Reply:
        only(asked, "_updated_since", "page", "per_page")
        return self._listed("contacts", asked, asked.param("_updated_since"))

    def _listed(self, stream: str, asked: Asked, since: str | None) -> Reply:
        if int(asked.param("page") or 1) > 300:
            raise Refused(400, "You cannot access tickets beyond the 300th page.")
        rows = self.tables[stream]
        found = rows.by_change(datetime.fromisoformat(since) if since else None)
        if asked.param("order_by", "created_at") != "updated_at":
            found.sort(key=lambda number: rows.made[number])
        if asked.param("order_type", "desc") == "desc":
            found.reverse()
        return linked(self, asked, [self.record(stream, number) for number in found])
