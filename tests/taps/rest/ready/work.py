"""Jira, Notion, Airtable, Linear and PagerDuty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from requests.auth import _basic_auth_str
from taps.rest.api_server import Asked, Reply, Route, json_reply
from taps.rest.ready.remote import Refused, Remote, bearer, epoch, has_only, iso, only


class Jira(Remote):
    """https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-issue-search/ and /api-group-issue-worklogs/."""

    name = "jira"
    env: ClassVar = {
        "JIRA_SITE": "acme",
        "JIRA_USER": "ada@example.com",
        "JIRA_TOKEN": "ATATT3xFfGF0abcdefghij",
    }
    streams = ("issues", "worklogs")
    first_load = 1100
    most_requests = 16

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != _basic_auth_str(
            self.env["JIRA_USER"], self.env["JIRA_TOKEN"]
        ):
            raise Refused(401, "Client must be authenticated to access this resource.")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"errorMessages": [str(refused)], "errors": {}}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        if stream == "worklogs":
            return {"worklogId": number, "updatedTime": epoch(rows.changed[number]) * 1000, "properties": []}
        times = {"created": rows.made[number], "updated": rows.changed[number]}
        fields = {name: iso(moment).replace("Z", ".000+0000") for name, moment in times.items()}
        return {
            "id": str(10000 + number),
            "key": f"ACME-{number}",
            "fields": {"summary": f"issue {number}", **fields},
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            "/rest/api/3/search/jql": self.checked(self._search),
            "/rest/api/3/worklog/updated": self.checked(self._worklogs),
        }

    def _search(self, asked: Asked) -> Reply:
        only(asked, "fields", "jql", "maxResults", "nextPageToken")
        jql = re.fullmatch(
            r'updated >= "(\d{4}[-/]\d\d[-/]\d\d \d\d:\d\d)" ORDER BY updated ASC', asked.param("jql") or ""
        )
        if jql is None:
            raise Refused(400, f"Error in the JQL Query: {asked.param('jql')}")
        since = datetime.strptime(jql[1].replace("/", "-"), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
        found = self.tables["issues"].by_change(since)
        size = min(int(asked.param("maxResults") or 50), 100)
        begin = int((asked.param("nextPageToken") or "Ch0jU3RyaW5n0").removeprefix("Ch0jU3RyaW5n"))
        reply: dict[str, Any] = {"issues": [self.record("issues", n) for n in found[begin : begin + size]]}
        reply["isLast"] = begin + size >= len(found)
        if not reply["isLast"]:
            reply["nextPageToken"] = f"Ch0jU3RyaW5n{begin + size}"
        return json_reply(reply)

    def _worklogs(self, asked: Asked) -> Reply:
        only(asked, "since")
        since = int(asked.param("since") or 0)
        rows = [self.record("worklogs", number) for number in self.tables["worklogs"].by_change()]
        found = [row for row in rows if row["updatedTime"] >= since]
        page = found[:1000]
        until = page[-1]["updatedTime"] if page else since
        reply: dict[str, Any] = {
            "values": page,
            "since": since,
            "until": until,
            "lastPage": len(found) <= 1000,
        }
        address = f"{self.url}{asked.path}"
        reply["self"] = f"{address}?since={since}"
        if not reply["lastPage"]:
            reply["nextPage"] = f"{address}?since={until + 1}"
        return json_reply(reply)


class Notion(Remote):
    """https://developers.notion.com/reference/post-database-query: times are cut to the minute."""

    name = "notion"
    env: ClassVar = {
        "NOTION_TOKEN": "ntn_0123456789abcdefghij",
        "NOTION_TASKS": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "NOTION_PROJECTS": "1f1e2d3c4b5a69788796a5b4c3d2e1f1",
    }
    streams = ("tasks", "projects")
    step = timedelta(seconds=30)

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["NOTION_TOKEN"])
        if asked.method != "POST" or asked.headers.get("Notion-Version") != "2022-06-28":
            raise Refused(400, "Notion-Version header failed validation")

    def refusal(self, refused: Refused) -> Reply:
        reply = {
            "object": "error",
            "status": refused.status,
            "code": "validation_error",
            "message": str(refused),
        }
        return json_reply(reply, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"created_time": rows.made[number], "last_edited_time": rows.changed[number]}
        title = {"Name": {"id": "title", "type": "title", "title": [{"plain_text": f"page {number}"}]}}
        return {
            "object": "page",
            "id": f"00000000-0000-0000-0000-{number:012x}",
            "archived": False,
            "properties": title,
            **{name: moment.strftime("%Y-%m-%dT%H:%M:00.000Z") for name, moment in times.items()},
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/v1/databases/{self.env[f'NOTION_{stream.upper()}']}/query": self.checked(
                lambda asked, stream=stream: self._query(stream, asked)
            )
            for stream in self.streams
        }

    def _query(self, stream: str, asked: Asked) -> Reply:
        body, rows = asked.json, self.tables[stream]
        has_only(body, "filter", "page_size", "sorts", "start_cursor")
        found = rows.by_change()
        if "filter" in body:
            wanted = body["filter"]
            has_only(wanted, "timestamp", "last_edited_time")
            since = datetime.fromisoformat(wanted["last_edited_time"]["on_or_after"])
            found = [number for number in found if rows.changed[number].replace(second=0) >= since]
        if body.get("sorts", [{"direction": "ascending", "timestamp": "last_edited_time"}]) != [
            {"direction": "ascending", "timestamp": "last_edited_time"}
        ]:
            raise Refused(400, "body failed validation: body.sorts")
        size, begin = body.get("page_size", 100), int(body.get("start_cursor", "0").rpartition("-")[2], 16)
        if size > 100:
            raise Refused(400, "body.page_size should be <= 100")
        is_last = begin + size >= len(found)
        cursor = None if is_last else f"fe2cc560-036c-44cd-90e8-{begin + size:012x}"
        reply = {"object": "list", "results": [self.record(stream, n) for n in found[begin : begin + size]]}
        return json_reply(
            reply | {"next_cursor": cursor, "has_more": not is_last, "type": "page_or_database"}
        )


class Airtable(Remote):
    """https://airtable.com/developers/web/api/list-records; each table has a field of the kind "last modified time"."""

    name = "airtable"
    env: ClassVar = {"AIRTABLE_TOKEN": "patAbCdEf123456.0123456789abcdef", "AIRTABLE_BASE": "appAbC123dEf456"}
    streams = ("customers", "orders")

    def check(self, asked: Asked) -> None:
        bearer(asked, self.env["AIRTABLE_TOKEN"])

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"error": {"type": "INVALID_REQUEST", "message": str(refused)}}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        changed = iso(rows.changed[number]).replace("Z", ".000Z")
        fields = {"Name": f"{stream} {number}", "Modified": changed}
        return {
            "id": f"rec{number:014}",
            "createdTime": iso(rows.made[number]).replace("Z", ".000Z"),
            "fields": fields,
        }

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/v0/{self.env['AIRTABLE_BASE']}/{stream.title()}": self.checked(
                lambda asked, stream=stream: self._list(stream, asked)
            )
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "filterByFormula", "offset", "pageSize")
        formula, since = asked.param("filterByFormula"), None
        if formula is not None:
            said = re.fullmatch(r"NOT\(IS_BEFORE\(LAST_MODIFIED_TIME\(\), *'([^']+)'\)\)", formula)
            if said is None:
                raise Refused(422, f"The formula for filtering records is invalid: {formula}")
            since = datetime.fromisoformat(said[1])
        found = sorted(self.tables[stream].by_change(since), key=lambda number: number * 7919 % 1009)
        size, begin = (
            min(int(asked.param("pageSize") or 100), 100),
            int((asked.param("offset") or "itr/0").partition("/")[2]),
        )
        reply: dict[str, Any] = {"records": [self.record(stream, n) for n in found[begin : begin + size]]}
        if begin + size < len(found):
            reply["offset"] = f"itrAbC/{begin + size}"
        return json_reply(reply)


class Linear(Remote):
    """https://linear.app/developers/graphql, /pagination and /filtering."""

    name = "linear"
    env: ClassVar = {"LINEAR_KEY": "lin_api_0123456789abcdefghij"}
    streams = ("issues", "projects")

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != self.env["LINEAR_KEY"]:
            raise Refused(401, "Authentication required, not authenticated")
        if asked.method != "POST" or not asked.headers.get("Content-Type", "").startswith("application/json"):
            raise Refused(400, "This operation has been blocked as a potential Cross-Site Request Forgery")

    def refusal(self, refused: Refused) -> Reply:
        code = "AUTHENTICATION_ERROR" if refused.status == 401 else "INPUT_ERROR"
        return json_reply(
            {"errors": [{"message": str(refused), "extensions": {"code": code}}]}, refused.status
        )

    def record(self, stream: str, number: int) -> dict[str, Any]:
        rows = self.tables[stream]
        times = {"createdAt": rows.made[number], "updatedAt": rows.changed[number]}
        about = {name: iso(moment).replace("Z", ".000Z") for name, moment in times.items()}
        name = {"title": f"issue {number}"} if stream == "issues" else {"name": f"project {number}"}
        return {"id": f"00000000-0000-4000-8000-{number:012x}", **name, **about}

    def routes(self) -> Mapping[str, Route]:
        return {"/graphql": self.checked(self._query)}

    def _query(self, asked: Asked) -> Reply:
        body = asked.json
        has_only(body, "query", "variables", "operationName")
        query, variables = " ".join(body["query"].split()), body.get("variables") or {}
        said = re.search(
            r"\b(issues|projects)\(first: ?(\$\w+|\d+), ?after: ?\$(\w+), ?orderBy: ?updatedAt, ?"
            r"filter: ?\{ ?updatedAt: ?\{ ?gte: ?\$(\w+) ?\} ?\}\)",
            query,
        )
        if said is None or "pageInfo" not in query:
            raise Refused(400, f"GraphQL validation error in {query}")
        stream = said[1]
        size = int(variables[said[2][1:]] if said[2].startswith("$") else said[2])
        since, after = variables.get(said[4]), variables.get(said[3])
        if size > 250:
            raise Refused(400, "Argument Validation Error: first")
        found = self.tables[stream].by_change(datetime.fromisoformat(since) if since else None)
        found.reverse()  # by updatedAt, the last one first
        if after is not None:
            found = found[found.index(int(after.removeprefix("cursor-"))) + 1 :]
        page = found[:size]
        info = {"hasNextPage": len(found) > size, "endCursor": f"cursor-{page[-1]}" if page else None}
        wanted = re.search(r"nodes ?\{ ?([\w ]+?) ?\}", query)
        names = wanted[1].split() if wanted else []
        nodes = [{name: self.record(stream, number)[name] for name in names} for number in page]
        return json_reply({"data": {stream: {"nodes": nodes, "pageInfo": info}}})


class PagerDuty(Remote):
    """https://developer.pagerduty.com/api-reference/: incidents and log entries of six months at most, the first 10,000."""

    name = "pagerduty"
    env: ClassVar = {"PAGERDUTY_TOKEN": "y_NbAkKc66ryYTWUXYEu"}
    streams = ("incidents", "log_entries")
    changes_rows = False
    step = timedelta(hours=12)
    most_requests = 40
    asked_again = 40

    def check(self, asked: Asked) -> None:
        if asked.headers.get("Authorization") != f"Token token={self.env['PAGERDUTY_TOKEN']}":
            raise Refused(401, "Unauthorized")

    def refusal(self, refused: Refused) -> Reply:
        return json_reply({"error": {"message": str(refused), "code": 2001}}, refused.status)

    def record(self, stream: str, number: int) -> dict[str, Any]:
        created = {"created_at": iso(self.tables[stream].made[number])}
        return {"id": f"P{number:06}", "type": stream[:-1], "summary": f"{stream} {number}", **created}

    def routes(self) -> Mapping[str, Route]:
        return {
            f"/{stream}": self.checked(lambda asked, stream=stream: self._list(stream, asked))
            for stream in self.streams
        }

    def _list(self, stream: str, asked: Asked) -> Reply:
        only(asked, "limit", "offset", "since", "sort_by", "total", "until")
        begin, limit = int(asked.param("offset") or 0), int(asked.param("limit") or 25)
        if begin + limit > 10_000 or limit > 100:
            raise Refused(400, "Invalid Input Provided: Offset must be less than 10,000")
        until = datetime.fromisoformat(asked.param("until") or iso(datetime.now(UTC)))
        since = datetime.fromisoformat(asked.param("since") or iso(until - timedelta(days=30)))
        if until - since > timedelta(days=184):
            raise Refused(400, "Invalid Input Provided: The date range is limited to 6 months")
        rows = self.tables[stream]
        found = [number for number in rows.by_change(since) if rows.made[number] < until]
        reply = {stream: [self.record(stream, number) for number in found[begin : begin + limit]]}
        about = {"limit": limit, "offset": begin, "total": None, "more": begin + limit < len(found)}
        return json_reply(reply | about)
